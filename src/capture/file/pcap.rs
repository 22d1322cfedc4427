//! The classic pcap format: a header of 24 bytes, then packets of a 16-byte header and their bytes
//! (draft-ietf-opsawg-pcap).

use super::fault::{Fault, FaultKind};
use super::map::Prefetch;
use super::summary::{FileSummary, Interface};
use super::walker::{Order, header};
use crate::capture::{LinkType, Packet};
use crate::time::Timestamp;

const FILE_HEADER: usize = 24;
/// Seconds, fraction, captured length, original length.
const RECORD_HEADER: usize = 16;
/// Alexey Kuznetzov's format adds interface index, protocol and packet type: 8 bytes.
const MODIFIED_RECORD_HEADER: usize = 24;
/// Libpcap and Wireshark take a longer packet for damage (`MAXIMUM_SNAPLEN`, `WTAP_MAX_PACKET_SIZE_STANDARD`);
/// without a bound one damaged length would swallow much of the file as a single packet.
const MOST_CAPTURED: u32 = 262_144;
/// The link type has 16 bits; those above hold the length of a frame check sequence and reserved bits.
const LINK_TYPE_MASK: u32 = 0xffff;

/// What the magic number tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    order: Order,
    /// Nanoseconds per unit of the time's fraction.
    unit: u32,
    record_header: usize,
}

impl Variant {
    /// The variant with this magic number, if there is one.
    pub fn of(magic: [u8; 4]) -> Option<Self> {
        Self::in_order(u32::from_le_bytes(magic), false).or(Self::in_order(u32::from_be_bytes(magic), true))
    }

    fn in_order(magic: u32, big: bool) -> Option<Self> {
        let (unit, record_header) = match magic {
            0xa1b2_c3d4 => (1_000, RECORD_HEADER),
            0xa1b2_3c4d => (1, RECORD_HEADER),
            0xa1b2_cd34 => (1_000, MODIFIED_RECORD_HEADER),
            _ => return None,
        };
        Some(Self { order: Order { big }, unit, record_header })
    }
}

/// Which of a record's two lengths comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lengths {
    CapturedFirst,
    OriginalFirst,
    /// Version 2.3 was written both ways; the smaller one is the captured length.
    Either,
}

impl Lengths {
    fn of_version(major: u16, minor: u16) -> Self {
        match (major, minor) {
            // DG/UX's tcpdump calls its version 543.0 and writes as versions before 2.3 did.
            (2, ..3) | (543, _) => Self::OriginalFirst,
            (2, 3) => Self::Either,
            _ => Self::CapturedFirst,
        }
    }

    fn swapped(self, first: u32, second: u32) -> bool {
        match self {
            Self::CapturedFirst => false,
            Self::OriginalFirst => true,
            Self::Either => first > second,
        }
    }
}

/// Walks a pcap file.
pub struct PcapWalker {
    /// Bytes walked.
    pub position: usize,
    variant: Variant,
    lengths: Lengths,
    most: u32,
    link: LinkType,
    block: u16,
    prefetch: Prefetch,
}

impl PcapWalker {
    /// Reads the file header.
    pub fn open(bytes: &[u8], block: u16, summary: &mut FileSummary) -> Result<Self, Box<Fault>> {
        let head = header(bytes, 0, FILE_HEADER, "pcap file")?;
        let variant = head.first_chunk().and_then(|magic| Variant::of(*magic)).expect("the magic was recognised");
        let order = variant.order;
        let (major, minor) = (order.u16(head, 4), order.u16(head, 6));
        if major < 2 {
            return Err(FaultKind::PcapVersion(major, minor).at(4));
        }
        let snaplen = order.u32(head, 16);
        let link = LinkType((order.u32(head, 20) & LINK_TYPE_MASK) as u16);
        summary.interfaces.push(Interface { name: None, link, snaplen });
        let (lengths, most) = (Lengths::of_version(major, minor), snaplen.max(MOST_CAPTURED));
        Ok(Self { position: FILE_HEADER, variant, lengths, most, link, block, prefetch: Prefetch::default() })
    }

    /// The next packet; `None` at the end of the file.
    #[inline]
    pub fn next(&mut self, bytes: &[u8]) -> Result<Option<Packet>, Box<Fault>> {
        if self.position == bytes.len() {
            return Ok(None);
        }
        self.prefetch.ahead_of(bytes, self.position);
        let Variant { order, unit, record_header } = self.variant;
        let head = header(bytes, self.position, record_header, "record")?;
        let (mut captured, mut original) = (order.u32(head, 8), order.u32(head, 12));
        if self.lengths.swapped(captured, original) {
            std::mem::swap(&mut captured, &mut original);
        }
        let start = self.position + record_header;
        self.check(captured, bytes.len() - start)?;
        self.position = start + captured as usize;
        // 2^32 seconds and 2^32 milliseconds of nanoseconds fit in an `i64`.
        let time = i64::from(order.u32(head, 0)) * 1_000_000_000 + i64::from(order.u32(head, 4)) * i64::from(unit);
        let (time, offset) = (Timestamp(time), start as u64);
        Ok(Some(Packet { time, offset, captured, original, link: self.link, block: self.block, interface: 0 }))
    }

    #[inline]
    fn check(&self, captured: u32, remain: usize) -> Result<(), Box<Fault>> {
        if captured > self.most {
            return Err(FaultKind::RecordTooLong { claimed: captured, most: self.most }.at(self.position));
        }
        if captured as usize > remain {
            return Err(FaultKind::RecordCut { claimed: captured, remain }.at(self.position));
        }
        Ok(())
    }
}
