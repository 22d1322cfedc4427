//! Both directions of a connection, from segments to messages.

use super::sink::{Origin, Sink};
use super::tls_hint::begins_tls;
use super::work::SegmentTask;
use crate::framing::{CommandCodes, Framer, Pdu};
use crate::journal::{Protocol, Side, Traffic};
use crate::packet::Flags;
use crate::place::Place;
use crate::stream::{Arrival, Piece, Stream};

/// Both directions of a connection.
#[derive(Debug, Default)]
pub struct Pair {
    sides: [Half; 2],
    is_ck: bool,
    /// Its worker knows that something waits.
    pub is_holding: bool,
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

impl Pair {
    pub fn segment(&mut self, task: &SegmentTask, bytes: &[u8], place: Option<Place>, sink: &mut Sink<'_>) {
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
        self.share_knowledge(sink);
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
    fn share_knowledge(&mut self, sink: &mut Sink<'_>) {
        if self.is_ck || !self.sides.iter().any(|half| half.framer.as_ref().is_some_and(Framer::is_ck)) {
            return;
        }
        self.is_ck = true;
        for side in [Side::Initiator, Side::Responder] {
            self.sides[side as usize].insist(side, sink);
        }
    }

    /// Nothing more will come from either side.
    pub fn retire(&mut self, sink: &mut Sink<'_>) {
        self.flush(sink);
        for side in [Side::Initiator, Side::Responder] {
            let half = &mut self.sides[side as usize];
            half.ended = true;
            half.close(side, sink);
        }
    }

    /// Delivers everything that waits, for the last time.
    pub fn flush(&mut self, sink: &mut Sink<'_>) {
        self.deliver_held(sink, |stream, deliver| stream.end(deliver));
        for side in [Side::Initiator, Side::Responder] {
            self.sides[side as usize].end_framing(side, sink);
        }
    }

    pub fn give_up_holes(&mut self, sink: &mut Sink<'_>) {
        self.deliver_held(sink, |stream, deliver| stream.give_up_holes(deliver));
    }

    fn deliver_held(&mut self, sink: &mut Sink<'_>, act: impl Fn(&mut Stream, &mut dyn FnMut(Piece<'_>))) {
        for side in [Side::Initiator, Side::Responder] {
            let is_ck = self.is_ck;
            self.sides[side as usize].run(side, is_ck, None, true, sink, &act);
            self.share_knowledge(sink);
        }
    }

    pub fn holds(&self) -> bool {
        self.sides.iter().any(Half::holds)
    }

    pub fn held_since(&self) -> Option<u32> {
        self.sides.iter().filter_map(Half::held_since).min()
    }

    pub fn held_bytes(&self) -> usize {
        self.sides.iter().map(|half| half.stream.held_bytes()).sum()
    }

    pub fn is_over(&self) -> bool {
        self.sides.iter().all(|half| half.ended)
    }

    pub fn traffic(&self) -> Traffic {
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

    fn holds(&self) -> bool {
        self.stream.holds() || self.framer.as_ref().is_some_and(Framer::holds)
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

    fn insist(&mut self, side: Side, sink: &mut Sink<'_>) {
        self.frame(side, sink, |framer, codes, give| framer.insist(codes, give));
    }

    fn end_framing(&mut self, side: Side, sink: &mut Sink<'_>) {
        self.frame(side, sink, |framer, codes, give| framer.end(codes, give));
    }

    /// Lets `act` move the framer, if there is one, without new bytes.
    fn frame(
        &mut self,
        side: Side,
        sink: &mut Sink<'_>,
        act: impl FnOnce(&mut Framer, &CommandCodes, &mut dyn FnMut(Pdu<'_>)),
    ) {
        let from_the_start = self.stream.is_from_the_start();
        let Self { framer: Some(framer), messages, .. } = self else { return };
        let mut origin = Origin { side, from_the_start, midway: true, messages };
        act(framer, sink.codes, &mut |pdu| sink.message(&pdu, &mut origin));
    }
}
