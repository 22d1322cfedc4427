//! What lies on the two streams of a connection, up to messages.

use super::sink::{Origin, Sink};
use super::tls_hint::begins_tls;
use crate::framing::{CommandCodes, Framer, Pdu};
use crate::journal::{Protocol, Side};
use crate::stream::Piece;

/// What the layers above the streams need to know of them.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The user says that this connection is Ck.
    pub insist: bool,
    /// By side: its first byte was seen.
    pub from_the_start: [bool; 2],
    /// By side: bytes of it are missing.
    pub gaps: [bool; 2],
}

impl Context {
    fn origin<'a>(&self, side: Side, messages: &'a mut u32) -> Origin<'a> {
        let other = side.other() as usize;
        let midway = !self.from_the_start[other] || self.gaps[other];
        Origin { side, from_the_start: self.from_the_start[side as usize], midway, tls: false, messages }
    }
}

/// What lies on the two streams of a connection.
#[derive(Debug, Default)]
pub struct Layers {
    framers: [Option<Framer>; 2],
    /// Messages found, by side.
    messages: [u32; 2],
    is_ck: bool,
    /// A stream's first bytes are those of TLS.
    is_tls: bool,
}

impl Layers {
    /// The next part of one stream.
    pub fn piece(&mut self, side: Side, piece: Piece<'_>, context: Context, sink: &mut Sink<'_>) {
        sink.tap(side, &piece);
        let from_the_start = context.from_the_start[side as usize];
        let insist = context.insist || self.is_ck;
        let framer = self.framers[side as usize].get_or_insert_with(|| {
            self.is_tls |= matches!(piece, Piece::Bytes { bytes, .. } if begins_tls(bytes));
            Framer::new(from_the_start, insist)
        });
        let mut origin = context.origin(side, &mut self.messages[side as usize]);
        framer.piece(sink.codes, piece, &mut |pdu| sink.message(&pdu, &mut origin));
    }

    /// One direction's Ck makes the other's.
    pub fn share_knowledge(&mut self, context: Context, sink: &mut Sink<'_>) {
        if self.is_ck || !self.framers.iter().flatten().any(Framer::is_ck) {
            return;
        }
        self.is_ck = true;
        for side in [Side::Initiator, Side::Responder] {
            self.frame(side, context, sink, |framer, codes, give| framer.insist(codes, give));
        }
    }

    /// One stream is over.
    pub fn end(&mut self, side: Side, context: Context, sink: &mut Sink<'_>) {
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
        let mut origin = context.origin(side, &mut self.messages[side as usize]);
        act(framer, sink.codes, &mut |pdu| sink.message(&pdu, &mut origin));
    }

    /// Whether bytes wait that may still become messages of an earlier packet.
    pub fn holds(&self) -> bool {
        self.framers.iter().flatten().any(Framer::holds)
    }

    /// A packet not later than those that brought them.
    pub fn held_since(&self) -> Option<u32> {
        self.framers.iter().flatten().filter_map(Framer::held_since).min()
    }

    /// Bytes, by side, that belong to no message.
    pub fn undecoded(&self) -> [u64; 2] {
        [0, 1].map(|side: usize| self.framers[side].as_ref().map_or(0, Framer::undecoded))
    }

    /// What the connection carries.
    pub fn protocol(&self) -> Protocol {
        if self.framers.iter().flatten().any(Framer::is_ck) {
            Protocol::Ck
        } else if self.is_tls {
            Protocol::Tls
        } else {
            Protocol::Unknown
        }
    }
}
