//! Both directions of a connection, from segments to the layers on its streams.

use super::application::Context;
use super::layers::Layers;
use super::sink::Sink;
use super::work::{Output, SegmentTask};
use crate::journal::{Protocol, Side, Traffic};
use crate::packet::Flags;
use crate::place::Place;
use crate::prefetch::CACHE_LINE;
use crate::stream::{Arrival, Piece, Stream};
use crate::tls;

/// Both directions of a connection. Small, for there may be hundreds of thousands.
#[derive(Debug, Default)]
pub struct Pair {
    streams: [Stream; 2],
    layers: Layers,
    /// By side: its bytes are all there.
    ended: [bool; 2],
    /// By side: that it will send nothing more was said.
    closed: [bool; 2],
    /// Bytes that wait in it, as its worker counted them last.
    pub counted: usize,
    /// Its worker knows that something waits.
    pub is_holding: bool,
    /// Its worker knows that something waits for a secret.
    pub is_awaiting: bool,
}

const _: () = assert!(size_of::<Pair>() <= 5 * CACHE_LINE);

const SIDES: [Side; 2] = [Side::Initiator, Side::Responder];

impl Pair {
    pub fn segment(&mut self, task: &SegmentTask, bytes: &[u8], place: Option<Place>, sink: &mut Sink<'_>) {
        if task.swaps_sides {
            self.swap_sides();
        }
        let mut context = self.context(task.insist);
        context.from_the_start[task.side as usize] |= task.initial.is_some();
        self.run(task.side.other(), context, sink, |stream, deliver| {
            stream.acknowledged(task.acknowledgment, task.stamp.time, deliver);
        });
        let reset = task.flags.has(Flags::RST);
        let mut genuine_reset = false;
        context.gaps = self.context(task.insist).gaps;
        self.run(task.side, context, sink, |stream, deliver| {
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

    /// What was taken for the initiator is the responder. What waits goes to its side; what was handed on was read as the
    /// other's already.
    fn swap_sides(&mut self) {
        if self.layers.is_untouched() {
            self.streams.swap(0, 1);
        }
    }

    /// One direction's Ck makes the other's.
    fn share_knowledge(&mut self, sink: &mut Sink<'_>) {
        if self.layers.has_knowledge_to_share() {
            self.layers.share_knowledge(self.without_more(), sink);
        }
    }

    fn context(&self, insist: bool) -> Context {
        Context {
            insist,
            from_the_start: [self.streams[0].is_from_the_start(), self.streams[1].is_from_the_start()],
            gaps: [self.streams[0].has_gaps(), self.streams[1].has_gaps()],
            tls: false,
        }
    }

    /// The context of what comes to light without new bytes: what the other side sent may not have yet.
    fn without_more(&self) -> Context {
        Context { gaps: [true, true], ..self.context(false) }
    }

    /// Lets `act` move a stream, and hands on what it delivers.
    fn run(
        &mut self,
        side: Side,
        context: Context,
        sink: &mut Sink<'_>,
        act: impl FnOnce(&mut Stream, &mut dyn FnMut(Piece<'_>)),
    ) {
        let Self { streams, layers, .. } = self;
        act(&mut streams[side as usize], &mut |piece| layers.piece(side, piece, context, sink));
    }

    /// A direction whose stream ended is over.
    fn settle(&mut self, side: Side, sink: &mut Sink<'_>) {
        if self.streams[side as usize].is_ended() && !self.ended[side as usize] {
            self.layers.end(side, self.without_more(), sink);
            self.ended[side as usize] = true;
            self.close_ended(sink);
        }
    }

    /// Says of the sides that ended that they will send nothing more, once nothing of them waits for a secret.
    fn close_ended(&mut self, sink: &mut Sink<'_>) {
        if !self.awaits_secret() {
            for side in SIDES {
                if self.ended[side as usize] {
                    self.close(side, sink);
                }
            }
        }
    }

    /// Says, once, that this side will send nothing more.
    fn close(&mut self, side: Side, sink: &mut Sink<'_>) {
        if !std::mem::replace(&mut self.closed[side as usize], true) {
            sink.ended(side);
        }
    }

    /// A RST closes both directions. Their streams stay: a RST that its receiver does not take for genuine is followed
    /// by more.
    fn reset(&mut self, sink: &mut Sink<'_>) {
        self.give_up_holes(sink);
        SIDES.into_iter().for_each(|side| self.close(side, sink));
    }

    /// Nothing more will come from either side.
    pub fn retire(&mut self, sink: &mut Sink<'_>) {
        self.flush(sink);
        self.ended = [true, true];
        SIDES.into_iter().for_each(|side| self.close(side, sink));
    }

    /// Delivers everything that waits, for the last time.
    pub fn flush(&mut self, sink: &mut Sink<'_>) {
        self.deliver_held(sink, |stream, deliver| stream.end(deliver));
        SIDES.into_iter().for_each(|side| self.layers.end(side, self.without_more(), sink));
        self.layers.give_up_waiting(self.without_more(), sink);
        self.close_ended(sink);
    }

    pub fn give_up_holes(&mut self, sink: &mut Sink<'_>) {
        self.deliver_held(sink, |stream, deliver| stream.give_up_holes(deliver));
    }

    /// Waits for nothing any more: too much waits.
    pub fn give_up_waiting(&mut self, sink: &mut Sink<'_>) {
        self.give_up_holes(sink);
        self.layers.give_up_waiting(self.without_more(), sink);
        self.close_ended(sink);
    }

    fn deliver_held(&mut self, sink: &mut Sink<'_>, act: impl Fn(&mut Stream, &mut dyn FnMut(Piece<'_>))) {
        for side in SIDES {
            self.run(side, self.without_more(), sink, &act);
            self.share_knowledge(sink);
        }
    }

    /// More TLS secrets have become known.
    pub fn retry(&mut self, sink: &mut Sink<'_>) {
        self.layers.retry(self.without_more(), sink);
        self.close_ended(sink);
    }

    /// Whether something waits that only a secret can open.
    pub fn awaits_secret(&self) -> bool {
        self.layers.awaits_secret()
    }

    /// What was learned of TLS since the last call.
    pub fn take_tls_news(&mut self) -> Option<tls::Facts> {
        self.layers.take_news()
    }

    pub fn holds(&self) -> bool {
        self.streams.iter().any(Stream::holds) || self.layers.held_since().is_some()
    }

    pub fn held_since(&self) -> Option<u32> {
        self.streams.iter().filter_map(Stream::held_since).chain(self.layers.held_since()).min()
    }

    pub fn held_bytes(&self) -> usize {
        self.streams.iter().map(Stream::held_bytes).sum::<usize>() + self.layers.held_bytes()
    }

    /// Both sides ended, though something may still wait for a secret.
    pub fn has_ended(&self) -> bool {
        self.ended == [true, true]
    }

    pub fn is_over(&self) -> bool {
        self.has_ended() && !self.awaits_secret()
    }

    /// Says what the connection was made of, now that it is over.
    pub fn conclude(&mut self, connection: u32, output: &mut Output) -> Traffic {
        let traffic = self.traffic();
        output.traffic.push((connection, traffic));
        output.tls.extend(self.layers.tls().map(|facts| (connection, facts.clone())));
        traffic
    }

    /// What it was made of so far.
    pub fn traffic(&self) -> Traffic {
        let stats = [self.streams[0].stats(), self.streams[1].stats()];
        let (protocol, mut undecoded) = (self.layers.protocol(), self.layers.undecoded());
        if let Protocol::Ck | Protocol::Grpc = protocol {
            SIDES.into_iter().for_each(|side| undecoded[side as usize] += stats[side as usize].misplaced);
        }
        Traffic {
            bytes: [stats[0].bytes, stats[1].bytes],
            retransmitted: stats[0].retransmitted + stats[1].retransmitted,
            out_of_order: stats[0].out_of_order + stats[1].out_of_order,
            gaps: stats[0].gaps + stats[1].gaps,
            undecoded,
            protocol,
        }
    }
}
