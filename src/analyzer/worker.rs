//! One worker: its share of the connections, from segments to messages.

use std::sync::Arc;

use foldhash::fast::RandomState;

use super::tls_hint::begins_tls;
use crate::capture::Block;
use crate::correlate::{Correlator, FramingFacts, Seen};
use crate::dissect::{CommandCode, Definitions, Indexer, Texts};
use crate::framing::{CommandCodes, Framer, Pdu};
use crate::journal::{Journal, Protocol, Side, Traffic};
use crate::packet::Flags;
use crate::place::Place;
use crate::prefetch::{AHEAD, prefetch};
use crate::stream::{Arrival, Piece, Stamp, Stream};

/// Bytes that may wait behind holes on all connections of a worker; beyond it holes are given up at once.
const MAX_HELD: usize = 256 << 20;

/// A segment and where it belongs.
#[derive(Clone, Copy, Debug)]
pub struct SegmentTask {
    pub connection: u32,
    pub side: Side,
    pub initial: Option<u32>,
    pub sequence: u32,
    pub acknowledgment: Option<u32>,
    pub flags: Flags,
    pub stamp: Stamp,
    /// Where its payload lies in its block.
    pub offset: u64,
    pub length: u32,
    pub missing: u32,
    pub block: u16,
    /// Whether the block is the capture's, not a datagram put together from fragments.
    pub in_capture: bool,
    pub insist: bool,
}

/// What a worker is told, in capture order.
#[derive(Debug)]
pub enum Task {
    Segment(SegmentTask),
    /// Another connection began on the same addresses.
    Retire {
        connection: u32,
        stamp: Stamp,
    },
    /// The capture is over.
    Finish {
        stamp: Stamp,
    },
}

/// A worker's part of a batch.
#[derive(Debug)]
pub struct Work {
    pub tasks: Vec<Task>,
    pub blocks: Vec<Block>,
    /// Where to put what is found: an empty one, whose memory was used before.
    pub output: Output,
    /// From which packet on which floor holds; the first one holds from the batch's beginning.
    pub floors: Vec<(u32, u32)>,
}

/// Part of a direction that somebody wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tapped {
    /// Stream bytes.
    Bytes(Vec<u8>),
    /// That many are missing.
    Gap(u64),
}

/// What a worker found.
#[derive(Debug)]
pub enum Found {
    /// Index in [`Output::messages`].
    Message(u32),
    /// Nothing more comes from this side.
    Ended { connection: u32, side: Side },
}

/// Something found, and its place in the order.
#[derive(Debug)]
pub struct Event {
    /// The packet it is placed at.
    pub key: u32,
    /// The packet that brought it to light.
    pub delivered: u32,
    pub connection: u32,
    /// Which output holds its texts.
    pub output: u64,
    pub found: Found,
}

impl Event {
    /// Events sort by this; a stable sort keeps those of one connection in the order found.
    pub fn order(&self) -> (u32, u32, u32) {
        (self.key, self.delivered, self.connection)
    }

    /// Hands what was found to the correlation.
    pub fn apply(
        &self,
        output: &Output,
        correlator: &mut Correlator,
        definitions: &Definitions,
        journal: &mut Journal,
    ) {
        match &self.found {
            Found::Message(index) => {
                let mut seen = output.messages[*index as usize];
                if seen.payload.arena().is_some() {
                    let start = seen.payload.offset() as usize;
                    seen.payload = journal.arena.push(&output.reassembled[start..start + seen.length.1 as usize]);
                }
                correlator.message(journal, definitions, &seen, &output.texts);
            }
            Found::Ended { connection, side } => correlator.ended(journal, *connection, *side),
        }
    }
}

/// What a worker made of its part of a batch.
#[derive(Debug, Default)]
pub struct Output {
    pub events: Vec<Event>,
    pub messages: Vec<Seen>,
    pub texts: Texts,
    /// Payloads that are nowhere contiguous in the capture.
    pub reassembled: Vec<u8>,
    /// Connections that are over, and what they were made of.
    pub traffic: Vec<(u32, Traffic)>,
    /// The first packet of what waits behind holes.
    pub held_since: Option<u32>,
    pub tapped: Vec<Tapped>,
    /// The batch's tasks, done: their memory is used again.
    pub done: Vec<Task>,
}

impl Output {
    /// Empties it, for its memory to be used again. Memory that is touched anew for every batch is dear: the system
    /// clears it first.
    pub fn reuse(&mut self) {
        self.events.clear();
        self.messages.clear();
        self.texts.bytes.clear();
        self.texts.keys.clear();
        self.reassembled.clear();
        self.traffic.clear();
        self.tapped.clear();
        self.held_since = None;
    }
}

/// A worker and its connections.
#[derive(Debug)]
pub struct Worker {
    codes: Arc<CommandCodes>,
    indexer: Indexer,
    tap: Option<(u32, Side)>,
    /// Connections are dealt out in turn, so a worker's own are every `share`-th.
    share: usize,
    /// Its first one.
    first: usize,
    slots: Vec<Slot>,
    /// Connections in which something waits.
    holding: Vec<u32>,
    held: usize,
}

#[derive(Debug, Default)]
enum Slot {
    /// No payload seen.
    #[default]
    Idle,
    Live(Box<Pair>),
    /// Both sides ended.
    Over(Box<Traffic>),
}

/// Both directions of a connection.
#[derive(Debug, Default)]
struct Pair {
    sides: [Half; 2],
    is_ck: bool,
    is_holding: bool,
}

#[derive(Debug, Default)]
struct Half {
    stream: Stream,
    framer: Option<Framer>,
    /// The stream's first bytes are those of TLS.
    is_tls: bool,
    messages: u32,
    /// Its bytes are all there.
    ended: bool,
    /// That it will send nothing more was said.
    closed: bool,
}

/// Where what is found goes.
struct Sink<'a> {
    codes: &'a CommandCodes,
    indexer: &'a mut Indexer,
    output: &'a mut Output,
    tap: Option<(u32, Side)>,
    connection: u32,
    /// The packet at hand, and how far back messages may be placed.
    now: Stamp,
    floor: u32,
}

impl Worker {
    pub fn new(
        codes: Arc<CommandCodes>,
        definitions: Arc<Definitions>,
        hasher: RandomState,
        (first, share): (usize, usize),
        tap: Option<(u32, Side)>,
    ) -> Self {
        let indexer = Indexer::new(definitions, hasher);
        Self { codes, indexer, tap, share, first, slots: Vec::new(), holding: Vec::new(), held: 0 }
    }

    /// Does its part of a batch.
    pub fn run(&mut self, mut work: Work) -> Output {
        let mut output = work.output;
        let mut floors = work.floors.iter().copied().peekable();
        let mut floor = floors.next().map_or(0, |(_, floor)| floor);
        for index in 0..work.tasks.len() {
            if let Some(later) = work.tasks.get(index + AHEAD) {
                self.prefetch(later);
            }
            let task = &work.tasks[index];
            let stamp = task.stamp();
            while let Some(&(from, next)) = floors.peek()
                && from <= stamp.packet
            {
                floor = next;
                floors.next();
            }
            match task {
                Task::Segment(task) => self.segment(task, &work.blocks, floor, &mut output),
                Task::Retire { connection, stamp } => self.retire(*connection, *stamp, floor, &mut output),
                Task::Finish { stamp } => self.finish(*stamp, floor, &mut output),
            }
        }
        work.tasks.clear();
        output.held_since = self.held_since();
        output.done = work.tasks;
        output
    }

    fn prefetch(&self, task: &Task) {
        if let Task::Segment(task) = task
            && let Some(Slot::Live(pair)) = self.slots.get(task.connection as usize / self.share)
        {
            prefetch(&**pair);
        }
    }

    fn segment(&mut self, task: &SegmentTask, blocks: &[Block], floor: u32, output: &mut Output) {
        let index = task.connection as usize / self.share;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Slot::default);
        }
        let slot = &mut self.slots[index];
        let pair = match slot {
            Slot::Live(pair) => pair,
            Slot::Idle if task.length == 0 && task.missing == 0 => return,
            Slot::Idle => {
                *slot = Slot::Live(Box::default());
                let Slot::Live(pair) = slot else { return };
                pair
            }
            Slot::Over(traffic) => {
                if task.length > 0 {
                    traffic.retransmitted += 1;
                    output.traffic.push((task.connection, **traffic));
                }
                return;
            }
        };
        let before = pair.held_bytes();
        let block = &blocks[task.block as usize];
        let start = task.offset as usize;
        let bytes = &block.bytes()[start..start + task.length as usize];
        let place = task.in_capture.then(|| block.place().plus(task.offset));
        let mut sink = Sink {
            codes: &self.codes,
            indexer: &mut self.indexer,
            output,
            tap: self.tap,
            connection: task.connection,
            now: task.stamp,
            floor,
        };
        pair.segment(task, bytes, place, &mut sink);
        self.held = (self.held + pair.held_bytes()).saturating_sub(before);
        if self.held > MAX_HELD {
            self.held -= pair.held_bytes();
            pair.give_up_holes(&mut sink);
        }
        if pair.holds() && !pair.is_holding {
            pair.is_holding = true;
            self.holding.push(task.connection);
        }
        if pair.is_over() {
            let traffic = pair.traffic();
            output.traffic.push((task.connection, traffic));
            *slot = Slot::Over(Box::new(traffic));
        }
    }

    fn retire(&mut self, connection: u32, stamp: Stamp, floor: u32, output: &mut Output) {
        let Some(slot) = self.slots.get_mut(connection as usize / self.share) else { return };
        let Slot::Live(pair) = slot else { return };
        self.held = self.held.saturating_sub(pair.held_bytes());
        let mut sink = Sink {
            codes: &self.codes,
            indexer: &mut self.indexer,
            output,
            tap: self.tap,
            connection,
            now: stamp,
            floor,
        };
        pair.retire(&mut sink);
        let traffic = pair.traffic();
        output.traffic.push((connection, traffic));
        *slot = Slot::Over(Box::new(traffic));
    }

    /// Ends every connection without calling its requests unanswered: the capture ended, not they.
    fn finish(&mut self, stamp: Stamp, floor: u32, output: &mut Output) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Slot::Live(pair) = slot else { continue };
            let connection = (index * self.share + self.first) as u32;
            let mut sink = Sink {
                codes: &self.codes,
                indexer: &mut self.indexer,
                output: &mut *output,
                tap: self.tap,
                connection,
                now: stamp,
                floor,
            };
            pair.flush(&mut sink);
            output.traffic.push((connection, pair.traffic()));
        }
    }

    fn held_since(&mut self) -> Option<u32> {
        let Self { slots, holding, share, .. } = self;
        let mut since: Option<u32> = None;
        holding.retain(|&connection| {
            let Slot::Live(pair) = &mut slots[connection as usize / *share] else { return false };
            let held = pair.held_since();
            pair.is_holding = held.is_some();
            since = [since, held].into_iter().flatten().min();
            pair.is_holding
        });
        since
    }
}

impl Task {
    fn stamp(&self) -> Stamp {
        match self {
            Self::Segment(task) => task.stamp,
            Self::Retire { stamp, .. } | Self::Finish { stamp } => *stamp,
        }
    }
}

impl Pair {
    fn segment(&mut self, task: &SegmentTask, bytes: &[u8], place: Option<Place>, sink: &mut Sink<'_>) {
        let [initiator, responder] = &mut self.sides;
        let (this, other) = match task.side {
            Side::Initiator => (initiator, responder),
            Side::Responder => (responder, initiator),
        };
        let insist = task.insist || self.is_ck;
        let midway = !this.is_from_the_start(task.initial) || this.stream.stats().gaps > 0;
        other.run(task.side.other(), insist, None, midway, sink, |stream, deliver| {
            stream.acknowledged(task.acknowledgment, task.stamp.time, deliver);
        });
        let midway = !other.stream.is_from_the_start() || other.stream.stats().gaps > 0;
        let reset = task.flags.has(Flags::RST);
        let mut genuine_reset = false;
        this.run(task.side, insist, task.initial, midway, sink, |stream, deliver| {
            if let Some(initial) = task.initial {
                stream.begin(initial.wrapping_add(1), deliver);
            }
            let arrival = Arrival {
                stamp: task.stamp,
                sequence: task.sequence,
                flags: task.flags,
                bytes,
                place,
                missing: task.missing,
            };
            genuine_reset = reset && stream.accepts_reset(task.sequence);
            stream.arrived(&arrival, deliver);
            stream.acknowledged(None, task.stamp.time, deliver);
        });
        if genuine_reset {
            self.reset(sink);
        }
        self.settle(task.side, sink);
        self.settle(task.side.other(), sink);
        self.share_knowledge();
    }

    /// A direction whose stream ended is over.
    fn settle(&mut self, side: Side, sink: &mut Sink<'_>) {
        let half = &mut self.sides[side as usize];
        if half.stream.is_ended() && !half.ended {
            half.end_framing(side, sink);
            half.ended = true;
            half.close(side, sink);
        }
    }

    /// A RST closes both directions. Their streams stay: a RST that its receiver does not take for genuine is followed
    /// by more.
    fn reset(&mut self, sink: &mut Sink<'_>) {
        self.give_up_holes(sink);
        for side in [Side::Initiator, Side::Responder] {
            self.sides[side as usize].close(side, sink);
        }
    }

    /// One direction's Ck makes the other's.
    fn share_knowledge(&mut self) {
        if self.is_ck || !self.sides.iter().any(|half| half.framer.as_ref().is_some_and(Framer::is_ck)) {
            return;
        }
        self.is_ck = true;
        self.sides.iter_mut().filter_map(|half| half.framer.as_mut()).for_each(Framer::insist);
    }

    /// Nothing more will come from either side.
    fn retire(&mut self, sink: &mut Sink<'_>) {
        self.flush(sink);
        for side in [Side::Initiator, Side::Responder] {
            let half = &mut self.sides[side as usize];
            half.ended = true;
            half.close(side, sink);
        }
    }

    /// Delivers everything that waits, for the last time.
    fn flush(&mut self, sink: &mut Sink<'_>) {
        self.deliver_held(sink, |stream, deliver| stream.end(deliver));
        for side in [Side::Initiator, Side::Responder] {
            self.sides[side as usize].end_framing(side, sink);
        }
    }

    fn give_up_holes(&mut self, sink: &mut Sink<'_>) {
        self.deliver_held(sink, |stream, deliver| stream.give_up_holes(deliver));
    }

    fn deliver_held(&mut self, sink: &mut Sink<'_>, act: impl Fn(&mut Stream, &mut dyn FnMut(Piece<'_>))) {
        for side in [Side::Initiator, Side::Responder] {
            let is_ck = self.is_ck;
            self.sides[side as usize].run(side, is_ck, None, true, sink, &act);
            self.share_knowledge();
        }
    }

    fn holds(&self) -> bool {
        self.sides.iter().any(|half| half.held_since().is_some())
    }

    fn held_since(&self) -> Option<u32> {
        self.sides.iter().filter_map(Half::held_since).min()
    }

    fn held_bytes(&self) -> usize {
        self.sides.iter().map(|half| half.stream.held_bytes()).sum()
    }

    fn is_over(&self) -> bool {
        self.sides.iter().all(|half| half.ended)
    }

    fn traffic(&self) -> Traffic {
        let stats = [self.sides[0].stream.stats(), self.sides[1].stream.stats()];
        let undecoded = |half: &Half| half.framer.as_ref().map_or(0, Framer::undecoded);
        Traffic {
            bytes: [stats[0].bytes, stats[1].bytes],
            retransmitted: stats[0].retransmitted + stats[1].retransmitted,
            out_of_order: stats[0].out_of_order + stats[1].out_of_order,
            gaps: stats[0].gaps + stats[1].gaps,
            undecoded: [undecoded(&self.sides[0]), undecoded(&self.sides[1])],
            protocol: self.protocol(),
        }
    }

    fn protocol(&self) -> Protocol {
        if self.is_ck {
            Protocol::Ck
        } else if self.sides.iter().any(|half| half.is_tls) {
            Protocol::Tls
        } else {
            Protocol::Unknown
        }
    }
}

impl Half {
    fn is_from_the_start(&self, initial: Option<u32>) -> bool {
        self.stream.is_from_the_start() || initial.is_some()
    }

    fn held_since(&self) -> Option<u32> {
        let framed = self.framer.as_ref().and_then(Framer::held_since);
        match (self.stream.held_since(), framed) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Lets `act` move the stream, and frames what it delivers. `midway`: requests may be missing that this side
    /// answers.
    fn run(
        &mut self,
        side: Side,
        insist: bool,
        initial: Option<u32>,
        midway: bool,
        sink: &mut Sink<'_>,
        act: impl FnOnce(&mut Stream, &mut dyn FnMut(Piece<'_>)),
    ) {
        let from_the_start = self.is_from_the_start(initial);
        let Self { stream, framer, is_tls, messages, .. } = self;
        let mut origin = Origin { side, from_the_start, midway, messages };
        act(stream, &mut |piece| {
            sink.tap(side, &piece);
            let framer = framer.get_or_insert_with(|| {
                *is_tls = matches!(piece, Piece::Bytes { bytes, .. } if begins_tls(bytes));
                Framer::new(from_the_start, insist)
            });
            framer.piece(sink.codes, piece, &mut |pdu| sink.message(&pdu, &mut origin));
        });
    }

    /// Says, once, that this side will send nothing more.
    fn close(&mut self, side: Side, sink: &mut Sink<'_>) {
        if !std::mem::replace(&mut self.closed, true) {
            sink.ended(side);
        }
    }

    fn end_framing(&mut self, side: Side, sink: &mut Sink<'_>) {
        let from_the_start = self.stream.is_from_the_start();
        let Self { framer: Some(framer), messages, .. } = self else { return };
        let mut origin = Origin { side, from_the_start, midway: true, messages };
        framer.end(sink.codes, &mut |pdu| sink.message(&pdu, &mut origin));
    }
}

/// The direction that a message comes from.
struct Origin<'a> {
    side: Side,
    from_the_start: bool,
    /// The other direction may lack requests.
    midway: bool,
    messages: &'a mut u32,
}

impl Sink<'_> {
    fn message(&mut self, pdu: &Pdu<'_>, origin: &mut Origin<'_>) {
        *origin.messages += 1;
        let code = CommandCode(pdu.header.code);
        let facts = self.indexer.index(code, pdu.payload, pdu.truncated.is_some(), &mut self.output.texts);
        let payload = pdu.place.unwrap_or_else(|| {
            let start = self.output.reassembled.len() as u64;
            self.output.reassembled.extend_from_slice(pdu.payload);
            Place::in_arena(0, start)
        });
        self.output.messages.push(Seen {
            connection: self.connection,
            side: origin.side,
            stamp: pdu.stamp,
            header: pdu.header,
            payload,
            length: (u32::from(pdu.length), pdu.payload.len() as u32),
            facts,
            framing: FramingFacts {
                truncated: pdu.truncated,
                skipped: pdu.skipped,
                joined: *origin.messages == 1 && !origin.from_the_start && pdu.gap == 0,
                gap: pdu.gap,
                little_endian: pdu.little_endian,
                counts_header: pdu.counts_header,
                incomplete_stream: origin.midway,
            },
        });
        // What the end of its stream cuts short is known only now, and placed now.
        let key = pdu.placed.map_or(self.now.packet, |packet| packet.max(self.floor));
        self.push(key, Found::Message(self.output.messages.len() as u32 - 1));
    }

    fn ended(&mut self, side: Side) {
        self.push(self.now.packet, Found::Ended { connection: self.connection, side });
    }

    fn push(&mut self, key: u32, found: Found) {
        let event = Event { key, delivered: self.now.packet, connection: self.connection, output: 0, found };
        self.output.events.push(event);
    }

    fn tap(&mut self, side: Side, piece: &Piece<'_>) {
        if self.tap == Some((self.connection, side)) {
            self.output.tapped.push(match piece {
                Piece::Bytes { bytes, .. } => Tapped::Bytes(bytes.to_vec()),
                Piece::Gap { bytes, .. } => Tapped::Gap(*bytes),
            });
        }
    }
}
