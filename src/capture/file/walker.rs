//! Walks the records of one file, whichever its format.

use super::fault::{Fault, FaultKind};
use super::pcap::PcapWalker;
use super::pcapng::PcapngWalker;
use super::summary::{FileSummary, FileType, Secrets};
use crate::capture::Packet;

/// The position in a file and what has been learned on the way there.
pub enum Walker {
    Pcap(PcapWalker),
    Pcapng(PcapngWalker),
}

/// What a file's first bytes say it is.
pub fn recognise(bytes: &[u8]) -> Option<FileType> {
    let magic: [u8; 4] = *bytes.first_chunk()?;
    if super::pcapng::is_magic(magic) {
        Some(FileType::Pcapng)
    } else {
        super::pcap::Variant::of(magic).map(|_| FileType::Pcap)
    }
}

impl Walker {
    /// Reads the header of a file of type `summary.file_type`; its packets will say that they lie in `block`.
    pub fn open(bytes: &[u8], block: u16, summary: &mut FileSummary) -> Result<Self, Box<Fault>> {
        match summary.file_type {
            FileType::Pcap => PcapWalker::open(bytes, block, summary).map(Self::Pcap),
            FileType::Pcapng => PcapngWalker::open(bytes, block, summary).map(Self::Pcapng),
        }
    }

    /// The next packet; `None` at a proper end of the file. Must not be called again after a fault.
    #[inline]
    pub fn next(&mut self, bytes: &[u8], summary: &mut FileSummary) -> Result<Option<Packet>, Box<Fault>> {
        match self {
            Self::Pcap(walker) => walker.next(bytes),
            Self::Pcapng(walker) => walker.next(bytes, summary),
        }
    }

    /// The secrets that the rest of the file carries.
    pub fn secrets_ahead(&self, bytes: &[u8]) -> Vec<Secrets> {
        match self {
            Self::Pcap(_) => Vec::new(),
            Self::Pcapng(walker) => walker.secrets_ahead(bytes),
        }
    }

    /// From here on, puts the names of addresses into the summary; pcap has none.
    pub fn want_names(&mut self) {
        if let Self::Pcapng(walker) = self {
            walker.want_names();
        }
    }

    /// Where the comments of the last packet lie, and their bytes; pcap has none.
    #[inline]
    pub fn comments(&self) -> &[(u64, u16)] {
        match self {
            Self::Pcap(_) => &[],
            Self::Pcapng(walker) => walker.comments(),
        }
    }

    /// Goes on at `position`, where a record begins: the bytes to come do not begin where those before did.
    pub fn seek(&mut self, position: usize) {
        match self {
            Self::Pcap(walker) => walker.position = position,
            Self::Pcapng(walker) => walker.position = position,
        }
    }

    /// Bytes walked.
    pub fn position(&self) -> usize {
        match self {
            Self::Pcap(walker) => walker.position,
            Self::Pcapng(walker) => walker.position,
        }
    }
}

/// The byte order of a file or section, which need not be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Most significant byte first.
    pub big: bool,
}

impl Order {
    /// The 16-bit number at `offset`; the caller has checked that it lies in `bytes`.
    #[inline]
    pub fn u16(self, bytes: &[u8], offset: usize) -> u16 {
        let raw = [bytes[offset], bytes[offset + 1]];
        if self.big { u16::from_be_bytes(raw) } else { u16::from_le_bytes(raw) }
    }

    /// The 32-bit number at `offset`; the caller has checked that it lies in `bytes`.
    #[inline]
    pub fn u32(self, bytes: &[u8], offset: usize) -> u32 {
        let raw = *bytes[offset..].first_chunk().expect("the caller has checked the length");
        if self.big { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) }
    }
}

/// The header of `length` bytes at `position`, if so many remain.
#[inline]
pub fn header<'a>(bytes: &'a [u8], position: usize, length: usize, what: &'static str) -> Result<&'a [u8], Box<Fault>> {
    let remain = bytes.len() - position;
    if remain < length {
        return Err(FaultKind::HeaderCut { what, expected: length, remain }.at(position));
    }
    Ok(&bytes[position..position + length])
}
