//! HTTP/2 (RFC 9113) and gRPC in it: both directions of a connection → messages and the ends of calls. In: pieces of
//! either direction. Out: [`Event`]s. Refuses to know what a message means, and which services exist.
//!
//! The two directions are framed apart, but share what one tells about the other: header fields of a call, settings.

mod connection;
mod event;
mod frame;
mod grpc;
pub mod hpack;
mod reader;
mod streams;

pub use event::{CallEnd, Event, GrpcMessage, HeaderList, Problem, ProblemKind, error_name, frame_name};
pub use grpc::MAX_MESSAGE;

use crate::stream::{Piece, Side};
use connection::{Blocks, Context, Shared};
use frame::{Chain, FrameHeader, HEADER, PREFACE};
use reader::Reader;

/// Bytes of the client's preface that no other protocol begins with.
const PARTICULAR: usize = 16;

/// The longest SETTINGS frame that a server begins with, in bytes, before it is taken for something else.
const MAX_FIRST_SETTINGS: u32 = 6 * 64;

/// Bytes looked at before what may be a chain of frames is taken for something else.
const MAX_UNDETECTED: usize = 64 << 10;

/// Whether bytes are HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detected {
    /// They are.
    Yes,
    /// They are not.
    No,
    /// They may be; more bytes tell.
    NeedMore,
}

/// Whether `bytes`, the first seen of a direction, are HTTP/2: the client's preface or the server's SETTINGS
/// (RFC 9113 3.4), or, joined midway (`from_the_start` is false), a chain of frames. Looks at the first byte on only:
/// joined inside a frame, [`next_chance`] tells where else to look.
pub fn detect(from_the_start: bool, bytes: &[u8]) -> Detected {
    let common = bytes.len().min(PREFACE.len());
    if bytes[..common] == PREFACE[..common] {
        return if common >= PARTICULAR { Detected::Yes } else { Detected::NeedMore };
    }
    if !from_the_start {
        return match frame::chain(bytes, frame::DEFAULT_MAX_LENGTH) {
            Chain::Frames | Chain::Exact { .. } => Detected::Yes,
            Chain::Open { .. } if bytes.len() < MAX_UNDETECTED => Detected::NeedMore,
            _ => Detected::No,
        };
    }
    match bytes.first_chunk::<HEADER>().map(FrameHeader::read) {
        Some(header) => {
            let is_settings = header.kind == frame::kind::SETTINGS && header.flags == 0;
            let is_first =
                is_settings && header.length <= MAX_FIRST_SETTINGS && header.is_plausible(MAX_FIRST_SETTINGS);
            if is_first { Detected::Yes } else { Detected::No }
        }
        // Of a SETTINGS frame that short, the first byte is 0.
        None if bytes.first().is_none_or(|&first| first == 0) => Detected::NeedMore,
        None => Detected::No,
    }
}

/// The first place in `bytes`, of a direction joined inside a frame, where a chain of frames may begin, and whether it
/// surely does; `bytes.len()` if there is none.
pub fn next_chance(bytes: &[u8]) -> (usize, bool) {
    let chains = (0..bytes.len()).map(|start| (start, frame::chain(&bytes[start..], frame::DEFAULT_MAX_LENGTH)));
    let found = chains.into_iter().find(|(_, chain)| *chain != Chain::None);
    found.map_or((bytes.len(), false), |(start, chain)| (start, chain == Chain::Frames))
}

/// Whether bytes that may be HTTP/2 have whole frames in front.
pub fn begins_with_frames(bytes: &[u8]) -> bool {
    match frame::chain(bytes, frame::DEFAULT_MAX_LENGTH) {
        Chain::Open { whole } | Chain::Exact { whole } => whole > 0,
        Chain::Frames => true,
        Chain::None => false,
    }
}

#[derive(Debug)]
struct Direction {
    reader: Reader,
    blocks: Blocks,
}

/// Both directions of a connection, from bytes to messages.
#[derive(Debug, Default)]
pub struct Http2 {
    /// Made when their first bytes come.
    directions: [Option<Direction>; 2],
    shared: Shared,
}

impl Http2 {
    /// A connection of which nothing was read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next part of what `side` sent; gives events to `sink`. `from_the_start`: the first byte of that
    /// direction was seen; counts with the direction's first piece.
    pub fn piece(&mut self, side: Side, from_the_start: bool, piece: Piece<'_>, sink: &mut dyn FnMut(Event<'_>)) {
        let limits = self.shared.limits[side as usize];
        self.directions[side as usize].get_or_insert_with(|| {
            let (mut reader, mut blocks) = (Reader::new(from_the_start), Blocks::new(from_the_start));
            // The other side's SETTINGS may have come first.
            blocks.decoder.allow(limits.0);
            reader.allow(limits.1);
            Direction { reader, blocks }
        });
        self.act(side, sink, |reader, context| reader.piece(piece, &mut |tally, part| context.part(tally, part)));
    }

    /// The direction is over: what is not whole is given as far as it is there.
    pub fn end(&mut self, side: Side, sink: &mut dyn FnMut(Event<'_>)) {
        self.act(side, sink, |reader, context| {
            reader.end(&mut |tally, part| context.part(tally, part));
            context.end(reader.tally());
        });
    }

    fn act(&mut self, side: Side, sink: &mut dyn FnMut(Event<'_>), act: impl FnOnce(&mut Reader, &mut Context<'_>)) {
        let [initiator, responder] = &mut self.directions;
        let (this, other) = match side {
            Side::Initiator => (initiator, responder),
            Side::Responder => (responder, initiator),
        };
        let Some(Direction { reader, blocks }) = this else { return };
        let other = other.as_mut().map(|other| (&mut other.reader, &mut other.blocks.decoder));
        act(reader, &mut Context { side, blocks, shared: &mut self.shared, other, sink });
    }

    /// Who the HTTP/2 client is, if anything told.
    pub fn client(&self) -> Option<Side> {
        self.shared.client
    }

    /// Bytes buffered in both directions.
    pub fn held_bytes(&self) -> usize {
        let directions = self.directions.iter().flatten();
        let held = directions.map(|direction| direction.reader.held_bytes() + direction.blocks.held_bytes());
        held.sum::<usize>() + self.shared.streams.held_bytes()
    }

    /// A packet not later than those that brought whole frames that wait for the direction to be in step.
    pub fn held_since(&self) -> Option<u32> {
        self.directions.iter().flatten().filter_map(|direction| direction.reader.held_since()).min()
    }

    /// Bytes of `side` that belong to no frame, or to no message although they should.
    pub fn undecoded(&self, side: Side) -> u64 {
        self.directions[side as usize].as_ref().map_or(0, |direction| direction.reader.undecoded())
    }
}
