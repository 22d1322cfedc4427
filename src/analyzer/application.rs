//! What the streams of a connection carry once TLS is off: Ck's own framing, or HTTP/2.

use super::sink::{Origin, Sink};
use crate::framing::http2::{self, Detected, Event, Http2};
use crate::framing::{CommandCodes, Framer, Pdu};
use crate::journal::Side;
use crate::stream::{Backlog, Piece, Stamp};

/// Bytes of a direction looked at before it is not taken for HTTP/2 any more: a connection joined midway shows a chain
/// of frame headers within a few of its default frame size (RFC 9113 4.2).
const MAX_UNDETECTED: usize = 64 * 1024;

/// What is known of the streams that the bytes come from.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The user says that this connection is Ck.
    pub insist: bool,
    /// By side: its first byte was seen.
    pub from_the_start: [bool; 2],
    /// By side: bytes of it are missing.
    pub gaps: [bool; 2],
    /// They come out of TLS.
    pub tls: bool,
}

impl Context {
    /// Everything that `side` sent so far is there.
    fn is_whole(&self, side: Side) -> bool {
        self.from_the_start[side as usize] && !self.gaps[side as usize]
    }

    fn origin<'a>(&self, side: Side, has_messages: &'a mut bool) -> Origin<'a> {
        let other = side.other() as usize;
        let midway = !self.from_the_start[other] || self.gaps[other];
        Origin { side, from_the_start: self.from_the_start[side as usize], midway, tls: self.tls, has_messages }
    }
}

/// Both directions, from bytes to messages.
#[derive(Debug, Default)]
pub struct Application {
    framers: [Option<Framer>; 2],
    http2: Option<Box<Http2>>,
    /// Bytes that may be HTTP/2's.
    undetected: Option<Box<[Undetected; 2]>>,
    /// By side: they are not.
    not_http2: [bool; 2],
    /// By side: messages were found.
    has_messages: [bool; 2],
    is_ck: bool,
}

/// Bytes of a direction that may be HTTP/2's.
#[derive(Debug, Default)]
struct Undetected {
    held: Backlog,
    /// Bytes in which, joined midway, a frame was looked for at every place.
    searched: usize,
}

const SIDES: [Side; 2] = [Side::Initiator, Side::Responder];

impl Application {
    /// The next part of one direction.
    pub fn piece(&mut self, side: Side, piece: Piece<'_>, context: Context, sink: &mut Sink<'_>) {
        if self.http2.is_none() && !self.is_ck {
            self.detect(side, piece, context, sink);
        }
        if let Some(http2) = &mut self.http2 {
            let from_the_start = context.is_whole(side);
            http2.piece(side, from_the_start, piece, &mut give(&mut self.has_messages, context, sink));
            return;
        }
        let insist = context.insist || self.is_ck;
        let from_the_start = context.from_the_start[side as usize];
        let framer = self.framers[side as usize].get_or_insert_with(|| Framer::new(from_the_start, insist));
        let mut origin = context.origin(side, &mut self.has_messages[side as usize]);
        framer.piece(sink.codes, piece, &mut |pdu| sink.message(&pdu, &mut origin));
        if framer.is_ck() {
            self.undetected = None;
        }
    }

    /// Looks whether the connection is HTTP/2, with a piece that nothing has taken yet.
    fn detect(&mut self, side: Side, piece: Piece<'_>, context: Context, sink: &mut Sink<'_>) {
        let index = side as usize;
        let from_the_start = context.is_whole(side);
        let Piece::Bytes { bytes, stamp, .. } = piece else {
            self.undetected.iter_mut().for_each(|undetected| undetected[index].held.clear());
            return;
        };
        if self.not_http2[index] || self.framers.iter().flatten().any(Framer::is_ck) {
            return;
        }
        let held = self.undetected.as_ref().map(|undetected| &undetected[index].held).filter(|held| !held.is_empty());
        let all = held.map(|held| [held.bytes(), bytes].concat());
        let all = all.as_deref().unwrap_or(bytes);
        match http2::detect(from_the_start, all) {
            Detected::No if from_the_start => self.not_http2[index] = true,
            // Joined inside a frame: one may begin later.
            Detected::No => return self.look_on(index, all, (bytes, stamp), (context, sink)),
            Detected::NeedMore if all.len() > MAX_UNDETECTED => self.not_http2[index] = true,
            Detected::NeedMore => {
                self.undetected.get_or_insert_default()[index].held.extend(bytes, stamp);
            }
            Detected::Yes => self.become_http2(context, sink),
        }
        if self.not_http2 == [true, true] {
            self.undetected = None;
        }
    }

    /// Looks for frames behind the first byte of `all`, what was held and the piece at hand; after [`MAX_UNDETECTED`]
    /// bytes only where pieces begin.
    fn look_on(
        &mut self,
        index: usize,
        all: &[u8],
        (bytes, stamp): (&[u8], Stamp),
        (context, sink): (Context, &mut Sink<'_>),
    ) {
        let undetected = &mut self.undetected.get_or_insert_default()[index];
        let is_tired = undetected.searched > MAX_UNDETECTED;
        let from = if is_tired { (all.len() - bytes.len()).max(1) } else { 1 };
        let rest = &all[from.min(all.len())..];
        let (at, is_sure) = if is_tired && http2::detect(false, rest) == Detected::No {
            (rest.len(), false)
        } else {
            http2::next_chance(rest)
        };
        undetected.searched += at;
        let held = &mut undetected.held;
        if is_sure {
            held.consume(from + at);
            return self.become_http2(context, sink);
        }
        held.extend(bytes, stamp);
        held.consume(from + at);
    }

    /// What was held of either direction is HTTP/2's.
    fn become_http2(&mut self, context: Context, sink: &mut Sink<'_>) {
        self.framers = [None, None];
        let http2 = self.http2.insert(Box::default());
        let undetected = self.undetected.take().unwrap_or_default();
        for (side, Undetected { held, .. }) in SIDES.into_iter().zip(undetected.iter()) {
            for (bytes, stamp) in held.runs() {
                let piece = Piece::Bytes { bytes, place: None, stamp };
                let from_the_start = context.is_whole(side);
                http2.piece(side, from_the_start, piece, &mut give(&mut self.has_messages, context, sink));
            }
        }
    }

    /// Whether one direction was found to be Ck, and the other does not know.
    pub fn has_knowledge_to_share(&self) -> bool {
        !self.is_ck && self.framers.iter().flatten().any(Framer::is_ck)
    }

    /// One direction's Ck makes the other's.
    pub fn share_knowledge(&mut self, context: Context, sink: &mut Sink<'_>) {
        if !self.has_knowledge_to_share() {
            return;
        }
        self.is_ck = true;
        for side in SIDES {
            self.frame(side, context, sink, |framer, codes, give| framer.insist(codes, give));
        }
    }

    /// One direction is over.
    pub fn end(&mut self, side: Side, context: Context, sink: &mut Sink<'_>) {
        if let Some(http2) = &mut self.http2 {
            http2.end(side, &mut give(&mut self.has_messages, context, sink));
        }
        self.frame(side, context, sink, |framer, codes, give| framer.end(codes, give));
        self.share_knowledge(context, sink);
    }

    /// Lets `act` move a framer, if there is one, without new bytes.
    fn frame(
        &mut self,
        side: Side,
        context: Context,
        sink: &mut Sink<'_>,
        act: impl FnOnce(&mut Framer, &CommandCodes, &mut dyn FnMut(Pdu<'_>)),
    ) {
        let Some(framer) = &mut self.framers[side as usize] else { return };
        let mut origin = context.origin(side, &mut self.has_messages[side as usize]);
        act(framer, sink.codes, &mut |pdu| sink.message(&pdu, &mut origin));
    }

    /// A packet not later than those that brought what may still become messages of an earlier packet.
    pub fn held_since(&self) -> Option<u32> {
        let framed = self.framers.iter().flatten().filter_map(Framer::held_since);
        let undetected = self.undetected().filter(|held| http2::begins_with_frames(held.bytes()));
        let undetected = undetected.filter_map(Backlog::since).map(|stamp| stamp.packet);
        framed.chain(self.http2.as_ref().and_then(|http2| http2.held_since())).chain(undetected).min()
    }

    fn undetected(&self) -> impl Iterator<Item = &Backlog> {
        self.undetected.iter().flat_map(|sides| sides.iter()).map(|side| &side.held)
    }

    /// Bytes buffered outside the framers of Ck, whose bound is small.
    pub fn held_bytes(&self) -> usize {
        let undetected: usize = self.undetected().map(Backlog::len).sum();
        undetected + self.http2.as_ref().map_or(0, |http2| http2.held_bytes())
    }

    /// Bytes, by side, that belong to no message; what is no Ck has none.
    pub fn undecoded(&self) -> [u64; 2] {
        SIDES.map(|side| match &self.http2 {
            Some(http2) if self.is_grpc() => http2.undecoded(side),
            Some(_) => 0,
            None => self.framers[side as usize].as_ref().map_or(0, Framer::undecoded),
        })
    }

    /// Whether messages were found in Ck's own framing.
    pub fn is_ck(&self) -> bool {
        self.framers.iter().flatten().any(Framer::is_ck)
    }

    /// Whether messages were found in gRPC.
    pub fn is_grpc(&self) -> bool {
        self.http2.is_some() && self.has_messages != [false, false]
    }

    /// Whether nothing was recognised so far.
    pub fn is_unknown(&self) -> bool {
        self.http2.is_none() && !self.is_ck()
    }
}

/// Hands events of HTTP/2 on.
fn give<'a, 's>(
    has_messages: &'a mut [bool; 2],
    context: Context,
    sink: &'a mut Sink<'s>,
) -> impl FnMut(Event<'_>) + use<'a, 's> {
    move |event| {
        let side = event.side();
        sink.event(&event, &mut context.origin(side, &mut has_messages[side as usize]));
    }
}
