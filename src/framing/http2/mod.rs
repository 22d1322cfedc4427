//! HTTP/2 (RFC 9113) and gRPC in it: both directions of a connection → messages and the ends of calls. In: pieces of
//! either direction. Out: [`Event`]s. Refuses to know what a message means, and which services exist.
//!
//! The two directions are framed apart, but share what one tells about the other: header fields of a call, settings.

mod event;
pub mod hpack;

pub use event::{CallEnd, Event, GrpcMessage, HeaderList, Problem, ProblemKind, error_name, frame_name};

use crate::stream::{Piece, Side};

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
/// (RFC 9113 3.4), or, joined midway (`from_the_start` is false), a chain of frames.
pub fn detect(from_the_start: bool, bytes: &[u8]) -> Detected {
    let _ = (from_the_start, bytes);
    Detected::No
}

/// Both directions of a connection, from bytes to messages.
#[derive(Debug, Default)]
pub struct Http2 {}

impl Http2 {
    /// A connection of which nothing was read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next part of what `side` sent; gives events to `sink`. `from_the_start`: the first byte of that
    /// direction was seen.
    pub fn piece(&mut self, side: Side, from_the_start: bool, piece: Piece<'_>, sink: &mut dyn FnMut(Event<'_>)) {
        let _ = (side, from_the_start, piece, sink);
    }

    /// The direction is over: what is not whole is given as far as it is there.
    pub fn end(&mut self, side: Side, sink: &mut dyn FnMut(Event<'_>)) {
        let _ = (side, sink);
    }

    /// Bytes buffered in both directions.
    pub fn held_bytes(&self) -> usize {
        0
    }

    /// A packet not later than those that brought whole messages that wait for the stream to be in step.
    pub fn held_since(&self) -> Option<u32> {
        None
    }

    /// Bytes of `side` that belong to no frame, or to no message although they should.
    pub fn undecoded(&self, side: Side) -> u64 {
        let _ = side;
        0
    }
}
