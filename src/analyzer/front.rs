//! What comes first: packets, numbered in capture order, the segments in them, which connection each belongs to, and
//! which worker gets it. In: batches of packets. Out: [`Segments`]. Depends on nothing that is found later, so it can
//! run ahead on a thread of its own.

use super::order::Horizon;
use super::work::{SegmentTask, Task};
use crate::capture::{Batch, Block, Comment, Packet};
use crate::journal::Side;
use crate::packet::{Endpoint, Flags, PacketParser, Parsed, Payload, Segment, Undecoded};
use crate::place::Place;
use crate::stream::{ConnectionTable, Located, Sought, Stamp};
use crate::time::Timestamp;

/// The first byte of a TLS stream whose secrets may be known: it begins with a handshake record (RFC 8446 5.1).
const HANDSHAKE: u8 = 22;

/// From packets to segments.
pub struct Front {
    parser: PacketParser,
    table: ConnectionTable,
    horizon: Horizon,
    packets: u32,
    last: Timestamp,
    /// The segments of a batch, until their connections are found; empty between batches.
    found: Vec<Found>,
    workers: usize,
    /// TCP ports whose connections are Ck whatever they look like.
    ports: Vec<u16>,
}

/// The segments of a batch, dealt out to the workers, and what else its packets said.
#[derive(Default)]
pub struct Segments {
    /// By worker.
    pub(super) shares: Vec<Share>,
    /// What the segments say of connections, in capture order.
    pub(super) notes: Vec<Note>,
    /// The ends of the connections of those notes that tell them, initiator first.
    pub(super) ends: Vec<[Endpoint; 2]>,
    /// What the capture says of packets.
    pub(super) remarks: Vec<Remark>,
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
    /// What could not be read so far, if that has changed.
    pub(super) undecoded: Option<Undecoded>,
}

/// A worker's share of a batch.
#[derive(Default)]
pub(super) struct Share {
    pub tasks: Vec<Task>,
    /// Payloads put together from fragments; they follow the batch's blocks.
    pub blocks: Vec<Block>,
    /// From which packet on which floor holds, see [`Horizon::floor`].
    pub floors: Vec<(u32, u32)>,
}

/// What a segment says of its connection.
pub(super) struct Note {
    pub connection: u32,
    pub side: Side,
    pub flags: Flags,
    /// Its ends are told.
    pub has_ends: bool,
    pub time: Timestamp,
}

/// A comment on a packet.
pub(super) struct Remark {
    pub connection: u32,
    pub packet: u32,
    pub comment: Comment,
}

/// A segment whose connection is sought.
struct Found {
    segment: Segment,
    sought: Sought,
    stamp: Stamp,
    floor: (u32, u32),
    /// Where its packet lies.
    block: u16,
    offset: u64,
}

impl Front {
    /// A front that has seen nothing, for so many workers.
    pub(super) fn new(workers: usize, ports: Vec<u16>) -> Self {
        Self {
            parser: PacketParser::new(),
            table: ConnectionTable::default(),
            horizon: Horizon::default(),
            packets: 0,
            last: Timestamp::default(),
            found: Vec::new(),
            workers,
            ports,
        }
    }

    /// One like this that has seen nothing.
    pub(super) fn anew(&self) -> Self {
        Self::new(self.workers, self.ports.clone())
    }

    /// Reads the next packets; `segments`, what was read before, is overwritten.
    pub fn read(&mut self, batch: &Batch, segments: &mut Segments) {
        segments.clear(self.workers);
        segments.first = batch.packets.first().map_or(self.last, |packet| packet.time);
        let (before, mut is_news) = (self.packets, false);
        for packet in &batch.packets {
            let bytes = batch.bytes(packet);
            match self.packet(packet, bytes) {
                (Parsed::Segment(segment), stamp) => {
                    let payload = segment.payload.bytes(bytes);
                    segments.has_tls |= payload.first() == Some(&HANDSHAKE);
                    is_news |= matches!(segment.payload, Payload::Reassembled(_));
                    let (sought, floor) = (self.table.seek(&segment), self.horizon.floor());
                    let (block, offset) = (packet.block, packet.offset);
                    self.found.push(Found { segment, sought, stamp, floor, block, offset });
                }
                (Parsed::Other, _) => {}
                (Parsed::Fragment | Parsed::Undecodable(_), _) => is_news = true,
            }
        }
        self.deal(batch, before, segments);
        (segments.packets, segments.last) = (self.packets, self.last);
        segments.floor = self.horizon.floor();
        segments.undecoded = is_news.then(|| self.parser.undecoded());
    }

    fn packet(&mut self, packet: &Packet, bytes: &[u8]) -> (Parsed, Stamp) {
        self.packets += 1;
        self.last = self.last.max(packet.time);
        let stamp = Stamp { packet: self.packets, time: packet.time };
        self.horizon.advance(stamp);
        (self.parser.parse(packet.link, bytes, packet.original, packet.time), stamp)
    }

    /// Finds the connection of each segment and gives it to its worker: in passes, so that what is known of the
    /// connections is on its way when it is looked at. `before`: packets before this batch.
    fn deal(&mut self, batch: &Batch, before: u32, segments: &mut Segments) {
        self.found.iter().for_each(|found| self.table.prefetch(found.sought));
        let mut comments = batch.comments.iter().peekable();
        let mut found = std::mem::take(&mut self.found);
        for found in found.drain(..) {
            let length = found.segment.payload.length().saturating_add(found.segment.missing);
            let located = self.table.locate(&found.segment, found.sought, length);
            let packet = found.stamp.packet;
            while let Some(&&comment) = comments.peek()
                && before + comment.packet < packet
            {
                comments.next();
                // Those on packets without a segment are nobody's.
                if before + comment.packet + 1 == packet {
                    segments.remarks.push(Remark { connection: located.connection, packet, comment });
                }
            }
            let (source, destination) = (found.segment.source, found.segment.destination);
            let insist =
                !self.ports.is_empty() && [source, destination].iter().any(|end| self.ports.contains(&end.port));
            segments.take(found, located, batch.blocks.len() as u32, insist);
        }
        self.found = found;
    }
}

impl Segments {
    /// Makes ready for the next batch; memory stays.
    fn clear(&mut self, workers: usize) {
        let Self { shares, notes, ends, remarks, .. } = self;
        shares.resize_with(workers, Share::default);
        for Share { tasks, blocks, floors } in shares {
            tasks.clear();
            blocks.clear();
            floors.clear();
        }
        notes.clear();
        ends.clear();
        remarks.clear();
        self.has_tls = false;
    }

    /// Takes a segment of a batch of so many `blocks`.
    fn take(&mut self, found: Found, located: Located, blocks: u32, insist: bool) {
        let Found { segment, stamp, floor, block, offset, .. } = found;
        if let Some(connection) = located.replaces {
            self.share(connection).tasks.push(Task::Retire { connection, stamp });
        }
        self.note(&segment, located, stamp);
        let share = self.share(located.connection);
        if share.floors.last() != Some(&floor) {
            share.floors.push(floor);
        }
        let length = segment.payload.length();
        let (block, offset, in_capture) = match segment.payload {
            Payload::InPacket { offset: within, .. } => (u32::from(block), offset + u64::from(within), true),
            Payload::Reassembled(bytes) => {
                share.blocks.push(Block::new(bytes, Place::default()));
                (blocks + share.blocks.len() as u32 - 1, 0, false)
            }
        };
        share.tasks.push(Task::Segment(SegmentTask {
            connection: located.connection,
            side: side_of(located),
            initial: located.initial,
            sequence: segment.sequence,
            acknowledgment: segment.flags.has(Flags::ACK).then_some(segment.acknowledgment),
            flags: segment.flags,
            stamp,
            offset,
            length,
            missing: segment.missing,
            block,
            in_capture,
            insist,
        }));
    }

    fn note(&mut self, segment: &Segment, located: Located, stamp: Stamp) {
        let Located { connection, is_new, .. } = located;
        // Only a SYN changes who the initiator is, once the first packet was seen.
        let has_ends = is_new || segment.flags.has(Flags::SYN);
        if has_ends {
            let (source, destination) = (segment.source, segment.destination);
            self.ends.push(if located.from_initiator { [source, destination] } else { [destination, source] });
        }
        let (side, flags, time) = (side_of(located), segment.flags, stamp.time);
        self.notes.push(Note { connection, side, flags, has_ends, time });
    }

    /// The share of the worker that has this connection. A division takes as long as a look into a cache.
    fn share(&mut self, connection: u32) -> &mut Share {
        let workers = self.shares.len();
        &mut self.shares[if workers == 1 { 0 } else { connection as usize % workers }]
    }
}

fn side_of(located: Located) -> Side {
    if located.from_initiator { Side::Initiator } else { Side::Responder }
}
