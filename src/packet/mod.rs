//! Packet → TCP segment. In: one captured packet (link type, bytes). Out: addresses, ports, sequence numbers,
//! flags and where the payload lies; fragments are put together first. Refuses to know connections, streams and Ck.
//!
//! A packet is a view that is walked step by step, from its link layer inwards; `link` knows the steps down to
//! IP, `network` those from IP to TCP, tunnels lead back out. What is not TCP is nobody's loss; what could have been
//! TCP but cannot be read is counted by reason in [`Undecoded`].

mod fragments;
mod link;
mod network;
mod parser;
mod undecoded;
mod view;

pub use parser::{PacketParser, Parsed};
pub use undecoded::{Layer, Reason, Undecoded};

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// An IP address and a TCP port. IPv4 lies in the first four bytes of `address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The address, network order; the last 12 bytes are zero for IPv4.
    pub address: [u8; 16],
    /// The TCP port.
    pub port: u16,
    /// Whether `address` is IPv6.
    pub v6: bool,
}

/// The TCP flags that the analysis looks at, as on the wire (RFC 9293 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// FIN, SYN, RST and ACK bits.
    pub const FIN: u8 = 0x01;
    /// See [`Flags::FIN`].
    pub const SYN: u8 = 0x02;
    /// See [`Flags::FIN`].
    pub const RST: u8 = 0x04;
    /// See [`Flags::FIN`].
    pub const ACK: u8 = 0x10;

    /// Whether any of `bits` is set.
    pub const fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }
}

/// Where a segment's payload lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// In the packet: offset from the packet's first captured byte, and length.
    InPacket {
        /// Bytes from the packet's first captured byte.
        offset: u32,
        /// Captured bytes of the payload.
        length: u32,
    },
    /// Put together from fragments.
    Reassembled(Vec<u8>),
}

impl Payload {
    /// Its bytes, of which some may lie in `packet`, the one it was found in.
    pub fn bytes<'a>(&'a self, packet: &'a [u8]) -> &'a [u8] {
        match self {
            Self::InPacket { offset, length } => &packet[*offset as usize..][..*length as usize],
            Self::Reassembled(bytes) => bytes,
        }
    }

    /// How many bytes.
    pub fn length(&self) -> u32 {
        match self {
            Self::InPacket { length, .. } => *length,
            Self::Reassembled(bytes) => bytes.len() as u32,
        }
    }
}

/// One TCP segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Who sent it.
    pub source: Endpoint,
    /// To whom.
    pub destination: Endpoint,
    /// Sequence number of the first payload byte (of the SYN, if set).
    pub sequence: u32,
    /// Acknowledgment number; only meaningful with ACK.
    pub acknowledgment: u32,
    /// Flags.
    pub flags: Flags,
    /// The captured payload.
    pub payload: Payload,
    /// Payload bytes that were on the wire after those captured (snapshot length).
    pub missing: u32,
}

impl Endpoint {
    /// The address.
    pub fn ip(&self) -> IpAddr {
        if self.v6 {
            IpAddr::from(self.address)
        } else {
            let [a, b, c, d, ..] = self.address;
            IpAddr::from([a, b, c, d])
        }
    }

    /// Whether the address is this host's own.
    pub fn is_loopback(&self) -> bool {
        self.ip().is_loopback()
    }
}

/// `192.0.2.1:14740` or `[2001:db8::1]:14740`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.ip(), self.port).fmt(f)
    }
}
