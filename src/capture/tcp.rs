//! TCP segments as IP packets, with everything a receiver checks: lengths, options, checksums.

use std::net::{IpAddr, SocketAddr};

use crate::time::Timestamp;

/// TCP flags (RFC 9293 3.1).
pub const FIN: u8 = 0x01;
/// See [`FIN`].
pub const SYN: u8 = 0x02;
/// See [`FIN`].
pub const RST: u8 = 0x04;
/// See [`FIN`].
pub const PSH: u8 = 0x08;
/// See [`FIN`].
pub const ACK: u8 = 0x10;

/// One segment as it passed the capture point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// When.
    pub time: Timestamp,
    /// From whom.
    pub source: SocketAddr,
    /// To whom, of the same IP version.
    pub destination: SocketAddr,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number; 0 without ACK.
    pub acknowledgment: u32,
    /// Flags.
    pub flags: u8,
    /// TSval and TSecr (RFC 7323 3.2), in milliseconds.
    pub timestamps: (u32, u32),
    /// The window as it is advertised, scaled by 128; that of a SYN, which is not scaled (RFC 7323 2.2), is always the
    /// same.
    pub window: u16,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// A window as good as any.
pub const WINDOW: u16 = 502;

/// Bytes of the TCP header with the options of all segments but SYN.
pub const HEADER: usize = 32;

impl Segment {
    /// The TCP header and payload with the right checksum.
    pub fn encode(&self) -> Vec<u8> {
        let options = self.options();
        let offset = (20 + options.len()) / 4;
        let window: u16 = if self.flags & SYN != 0 { 64_240 } else { self.window };
        let mut bytes = Vec::with_capacity(offset * 4 + self.payload.len());
        bytes.extend(self.source.port().to_be_bytes());
        bytes.extend(self.destination.port().to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.acknowledgment.to_be_bytes());
        bytes.extend([(offset as u8) << 4, self.flags]);
        bytes.extend(window.to_be_bytes());
        bytes.extend([0; 4]); // checksum and urgent pointer
        bytes.extend(options);
        bytes.extend(&self.payload);
        let sum = sum(&bytes) + pseudo_header(self.source.ip(), self.destination.ip(), bytes.len());
        bytes[16..18].copy_from_slice(&fold(sum).to_be_bytes());
        bytes
    }

    fn options(&self) -> Vec<u8> {
        let (value, echo) = self.timestamps;
        let timestamps = [&[8, 10][..], &value.to_be_bytes(), &echo.to_be_bytes()].concat();
        if self.flags & SYN != 0 {
            // MSS 1460, SACK permitted, timestamps, window scale 7: as Linux begins.
            return [&[2, 4, 5, 0xb4, 4, 2][..], &timestamps, &[1, 3, 3, 7]].concat();
        }
        [&[1, 1][..], &timestamps].concat()
    }
}

/// Part of the checksum that covers the addresses (RFC 9293 3.1, RFC 8200 8.1).
fn pseudo_header(source: IpAddr, destination: IpAddr, length: usize) -> u64 {
    let addresses = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => sum(&source.octets()) + sum(&destination.octets()),
        (IpAddr::V6(source), IpAddr::V6(destination)) => sum(&source.octets()) + sum(&destination.octets()),
        _ => unreachable!("the ends of a connection have one IP version"),
    };
    addresses + PROTOCOL as u64 + length as u64
}

/// IP protocol number of TCP.
const PROTOCOL: u8 = 6;

/// Sum of big-endian 16-bit words; an odd last byte counts as a high one (RFC 1071).
pub fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let whole: u64 = words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    whole + u64::from(u32::from_be_bytes(last))
}

/// The Internet checksum of what was summed.
pub fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// What happens to a segment below TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ip {
    /// Cut packets with more payload bytes than this into fragments; a multiple of 8.
    pub fragment: Option<usize>,
    /// Put hop-by-hop and destination options before the segment; for IPv6 alone.
    pub extensions: bool,
}

impl Ip {
    /// The segment as IP packets, more than one if it is fragmented; `identification` tells packets apart.
    pub fn packets(&self, segment: &Segment, identification: u16) -> Vec<Vec<u8>> {
        let (source, destination) = (segment.source.ip(), segment.destination.ip());
        let mut bytes = segment.encode();
        if self.extensions {
            // Destination options are part of what is fragmented (RFC 8200 4.5).
            bytes.splice(..0, option_header(PROTOCOL));
        }
        let pieces = self.fragment.filter(|&most| bytes.len() > most).unwrap_or(bytes.len());
        let count = bytes.len().div_ceil(pieces);
        let piece = |(at, piece): (usize, &[u8])| {
            let part = Part { offset: at * pieces, more: at + 1 < count, whole: count == 1, identification };
            match (source, destination) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    ipv4(source.octets(), destination.octets(), part, piece)
                }
                (IpAddr::V6(source), IpAddr::V6(destination)) => {
                    self.ipv6(source.octets(), destination.octets(), part, piece)
                }
                _ => unreachable!("the ends of a connection have one IP version"),
            }
        };
        bytes.chunks(pieces).enumerate().map(piece).collect()
    }

    fn ipv6(&self, source: [u8; 16], destination: [u8; 16], part: Part, payload: &[u8]) -> Vec<u8> {
        let (first, chain) = self.extension_headers(part);
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(((chain.len() + payload.len()) as u16).to_be_bytes());
        packet.extend([first, 64]); // next header, hop limit
        packet.extend(source);
        packet.extend(destination);
        packet.extend(chain);
        packet.extend(payload);
        packet
    }

    /// The extension headers that every fragment has, in RFC 8200's order (4.1), and the type of the first.
    fn extension_headers(&self, part: Part) -> (u8, Vec<u8>) {
        let (mut first, mut chain) = (if self.extensions { DESTINATION_OPTIONS } else { PROTOCOL }, Vec::new());
        if !part.whole {
            chain.extend([first, 0]);
            chain.extend((part.offset as u16 | u16::from(part.more)).to_be_bytes());
            chain.extend(u32::from(part.identification).to_be_bytes());
            first = FRAGMENT;
        }
        if self.extensions {
            chain.splice(..0, option_header(first));
            first = HOP_BY_HOP_OPTIONS;
        }
        (first, chain)
    }
}

/// Types of extension headers (RFC 8200 4.3, 4.5, 4.6).
const HOP_BY_HOP_OPTIONS: u8 = 0;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// An options header of eight bytes with nothing but padding (PadN) in it.
fn option_header(next: u8) -> [u8; 8] {
    [next, 0, 1, 4, 0, 0, 0, 0]
}

/// Which part of a packet a fragment is.
#[derive(Clone, Copy)]
struct Part {
    /// Bytes before it.
    offset: usize,
    more: bool,
    whole: bool,
    identification: u16,
}

fn ipv4(source: [u8; 4], destination: [u8; 4], part: Part, payload: &[u8]) -> Vec<u8> {
    const DO_NOT_FRAGMENT: u16 = 0x4000;
    const MORE_FRAGMENTS: u16 = 0x2000;
    let flags = if part.whole { DO_NOT_FRAGMENT } else { u16::from(part.more) * MORE_FRAGMENTS };
    let mut packet = vec![0x45, 0];
    packet.extend(((20 + payload.len()) as u16).to_be_bytes());
    packet.extend(part.identification.to_be_bytes());
    packet.extend((flags | (part.offset / 8) as u16).to_be_bytes());
    packet.extend([64, PROTOCOL, 0, 0]); // time to live, protocol, checksum
    packet.extend(source);
    packet.extend(destination);
    let checksum = fold(sum(&packet));
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(payload);
    packet
}
