//! What comes first: packets, numbered in capture order, the segments in them, and which connection each belongs to.
//! In: batches of packets. Out: [`Segments`]. Depends on nothing that is found later, so it can run ahead on a thread
//! of its own.

use super::order::Horizon;
use crate::capture::{Batch, Comment, Packet};
use crate::packet::{PacketParser, Parsed, Payload, Segment, Undecoded};
use crate::stream::{ConnectionTable, Located, Sought, Stamp};
use crate::time::Timestamp;

/// The first byte of a TLS stream whose secrets may be known: it begins with a handshake record (RFC 8446 5.1).
const HANDSHAKE: u8 = 22;

/// From packets to segments.
pub struct Front {
    parser: PacketParser,
    table: ConnectionTable,
    /// How to find the connections of a batch's segments; empty between batches.
    sought: Vec<Sought>,
    horizon: Horizon,
    packets: u32,
    last: Timestamp,
}

/// The segments of a batch, and what else its packets said.
#[derive(Default)]
pub struct Segments {
    pub(super) found: Vec<Found>,
    /// Packets so far, with those of this batch.
    pub(super) packets: u32,
    /// When the first packet of this batch was captured.
    pub(super) first: Timestamp,
    /// The latest time so far.
    pub(super) last: Timestamp,
    /// How far back messages may be placed after this batch, see [`Horizon::floor`].
    pub(super) floor: (u32, u32),
    /// A segment looks like the beginning of TLS.
    pub(super) has_tls: bool,
    /// What the capture says of packets, by their numbers.
    pub(super) comments: Vec<(u32, Comment)>,
    /// What could not be read so far, if that has changed.
    pub(super) undecoded: Option<Undecoded>,
}

/// A segment in a batch.
pub(super) struct Found {
    pub segment: Segment,
    pub located: Located,
    pub stamp: Stamp,
    /// How far back messages may be placed, see [`Horizon::floor`].
    pub floor: (u32, u32),
    /// Where its packet lies.
    pub block: u16,
    pub offset: u64,
}

impl Front {
    /// A front that has seen nothing.
    pub(super) fn new() -> Self {
        let (parser, table, horizon) = (PacketParser::new(), ConnectionTable::default(), Horizon::default());
        Self { parser, table, sought: Vec::new(), horizon, packets: 0, last: Timestamp::default() }
    }

    /// Reads the next packets; `segments`, what was read before, is overwritten.
    pub fn read(&mut self, batch: &Batch, segments: &mut Segments) {
        segments.found.clear();
        segments.has_tls = false;
        let comments = batch.comments.iter().map(|comment| (self.packets + comment.packet + 1, *comment));
        segments.comments.extend(comments);
        segments.first = batch.packets.first().map_or(self.last, |packet| packet.time);
        let mut is_news = false;
        for packet in &batch.packets {
            let bytes = batch.bytes(packet);
            match self.packet(packet, bytes) {
                (Parsed::Segment(segment), stamp) => {
                    let payload = segment.payload.bytes(bytes);
                    segments.has_tls |= payload.first() == Some(&HANDSHAKE);
                    is_news |= matches!(segment.payload, Payload::Reassembled(_));
                    self.sought.push(self.table.seek(&segment));
                    let (located, floor) = (Located::default(), self.horizon.floor());
                    let (block, offset) = (packet.block, packet.offset);
                    segments.found.push(Found { segment, located, stamp, floor, block, offset });
                }
                (Parsed::Other, _) => {}
                (Parsed::Fragment | Parsed::Undecodable(_), _) => is_news = true,
            }
        }
        self.locate(&mut segments.found);
        (segments.packets, segments.last) = (self.packets, self.last);
        segments.floor = self.horizon.floor();
        segments.undecoded = is_news.then(|| self.parser.undecoded());
    }

    /// Finds the connection of each segment: in passes, so that what is known of the connections is on its way when it
    /// is looked at.
    fn locate(&mut self, found: &mut [Found]) {
        self.sought.iter().for_each(|&sought| self.table.prefetch(sought));
        for (Found { segment, located, .. }, sought) in found.iter_mut().zip(self.sought.drain(..)) {
            let length = segment.payload.length().saturating_add(segment.missing);
            *located = self.table.locate(segment, sought, length);
        }
    }

    fn packet(&mut self, packet: &Packet, bytes: &[u8]) -> (Parsed, Stamp) {
        self.packets += 1;
        self.last = self.last.max(packet.time);
        let stamp = Stamp { packet: self.packets, time: packet.time };
        self.horizon.advance(stamp);
        (self.parser.parse(packet.link, bytes, packet.original, packet.time), stamp)
    }
}
