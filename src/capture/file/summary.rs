//! What is known of each input besides its packets.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use crate::capture::{LinkType, Packet};
use crate::time::Timestamp;

/// The format of a capture file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// The classic format of libpcap.
    Pcap,
    /// The block format of draft-ietf-opsawg-pcapng.
    Pcapng,
}

/// How a file was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// An interface that packets were captured on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name; only pcapng has one.
    pub name: Option<String>,
    /// How to read the first header of its packets.
    pub link: LinkType,
    /// Most bytes captured of a packet; 0 means no limit.
    pub snaplen: u32,
}

/// Secrets that a pcapng file carries (Decryption Secrets Block).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// Their kind; [`Secrets::TLS_KEY_LOG`] or another of the registry.
    pub kind: u32,
    /// Where their bytes lie in the file's block.
    pub range: Range<u64>,
}

impl Secrets {
    /// The kind of a TLS key log in NSS format (draft-ietf-opsawg-pcapng 4.7).
    pub const TLS_KEY_LOG: u32 = 0x544c_534b;
}

/// Where reading stopped and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// 1-based number, in its file, of the packet that could not be read: one more than were.
    pub packet: u64,
    /// Bytes from the start of the file, after decompression.
    pub offset: u64,
    /// What was found and what was expected.
    pub text: String,
}

/// `packet 17, byte offset 20480: record claims 1500 bytes, 212 remain; the 16 packets before it were read`.
impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "packet {}, byte offset {}: {}; ", self.packet, self.offset, self.text)?;
        match self.packet - 1 {
            0 => write!(f, "no packet before it"),
            1 => write!(f, "the packet before it was read"),
            before => write!(f, "the {before} packets before it were read"),
        }
    }
}

/// One input, as far as it has been read.
#[derive(Clone, Debug)]
pub struct FileSummary {
    /// The input as given.
    pub name: String,
    /// Its format.
    pub file_type: FileType,
    /// How it was compressed, if it was.
    pub compression: Option<Compression>,
    /// Packets read so far.
    pub packets: u64,
    /// Their captured bytes.
    pub bytes: u64,
    /// The earliest time of a packet; not always that of the first.
    pub first: Option<Timestamp>,
    /// The latest time of a packet.
    pub last: Option<Timestamp>,
    /// The interfaces described so far, those of all sections in turn.
    pub interfaces: Vec<Interface>,
    /// The secrets found so far; [`Reader::tls_key_logs`](super::Reader::tls_key_logs) has the bytes of those for TLS.
    pub secrets: Vec<Secrets>,
    /// Comments of sections, the first 256.
    pub section_comments: Vec<String>,
    /// Names of addresses, if [`Reader::again`](super::Reader::again) reads the file.
    pub names: Vec<(IpAddr, String)>,
    /// Where and why reading stopped early.
    pub damage: Option<Damage>,
}

impl FileSummary {
    pub(super) fn new(name: String, file_type: FileType, compression: Option<Compression>) -> Self {
        let (packets, bytes, first, last) = (0, 0, None, None);
        Self {
            name,
            file_type,
            compression,
            packets,
            bytes,
            first,
            last,
            interfaces: Vec::new(),
            secrets: Vec::new(),
            section_comments: Vec::new(),
            names: Vec::new(),
            damage: None,
        }
    }

    #[inline]
    pub(super) fn count(&mut self, packet: &Packet) {
        self.packets += 1;
        self.bytes += u64::from(packet.captured);
        self.first = Some(self.first.map_or(packet.time, |first| first.min(packet.time)));
        self.last = Some(self.last.map_or(packet.time, |last| last.max(packet.time)));
    }
}
