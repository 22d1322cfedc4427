//! The bytes of one direction of one HTTP/2 stream → gRPC messages (gRPC over HTTP/2, "Length-Prefixed-Message").

use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use crate::framing::Truncation;
use crate::place::Place;
use crate::stream::Stamp;

/// Bytes of a message's prefix: the compressed flag and the length.
const PREFIX: usize = 5;

/// The largest message kept, in bytes, before and after decompression: ten times what Ck's own framing can carry.
pub const MAX_MESSAGE: usize = 1 << 20;

/// How messages with the compressed flag are compressed (`grpc-encoding`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// No header told.
    #[default]
    Unsaid,
    /// `identity`
    Identity,
    /// `gzip`
    Gzip,
    /// `deflate`: zlib, as HTTP means it, or bare, as some do.
    Deflate,
    /// Another.
    Other,
}

impl Encoding {
    /// What the value of `grpc-encoding` says.
    pub fn named(name: &[u8]) -> Self {
        match name {
            b"identity" => Self::Identity,
            b"gzip" | b"x-gzip" => Self::Gzip,
            b"deflate" => Self::Deflate,
            _ => Self::Other,
        }
    }
}

/// Contiguous bytes of a DATA frame.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    pub bytes: &'a [u8],
    pub place: Option<Place>,
    /// The packet that completed them: their own, or their frame header's, if later.
    pub stamp: Stamp,
    /// Bytes of the frame's data from here on, `bytes` included.
    pub frame_left: usize,
    /// Whether they are the first of their frame's data.
    pub begins_frame: bool,
}

impl Chunk<'_> {
    fn advance(&mut self, count: usize) {
        self.bytes = &self.bytes[count..];
        self.place = self.place.map(|place| place.plus(count as u64));
        self.frame_left -= count;
        self.begins_frame &= count == 0;
    }
}

/// A message found.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    pub bytes: &'a [u8],
    pub place: Option<Place>,
    pub compressed: bool,
    pub wire_length: u32,
    pub truncated: Option<Truncation>,
    /// Its end was given up because too much waited.
    pub too_large: bool,
    pub stamp: Stamp,
    /// What told that it is not whole; `None` for the end of the stream.
    pub placed: Option<u32>,
}

/// What an assembler has to say.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    Message(Found<'a>),
    /// That many bytes begin no message.
    NoBoundary(usize),
}

/// Puts messages together.
#[derive(Debug, Default)]
pub struct Assembler {
    state: State,
    prefix: Vec<u8>,
    body: Vec<u8>,
    /// The packet that completed what is there of the message.
    stamp: Option<Stamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The next byte begins a message, or continues its prefix.
    #[default]
    Prefix,
    /// Inside a message.
    Body { compressed: bool, length: u32, left: u32 },
    /// The rest of a message that was given is to be left out.
    Discard { left: u32 },
    /// Where the next message begins is not known.
    Lost,
}

impl Assembler {
    /// An assembler for a direction whose beginning was not seen.
    pub fn joined_midway() -> Self {
        Self { state: State::Lost, ..Self::default() }
    }

    /// Bytes held.
    pub fn held_bytes(&self) -> usize {
        self.body.len() + self.prefix.len()
    }

    /// Takes bytes; `most`: how many may be held of one message.
    pub fn data(&mut self, mut chunk: Chunk<'_>, most: usize, give: &mut dyn FnMut(Outcome<'_>)) {
        while !chunk.bytes.is_empty() {
            match self.state {
                State::Lost if chunk.begins_frame && begins_messages(&chunk) => self.state = State::Prefix,
                State::Lost => {
                    give(Outcome::NoBoundary(chunk.bytes.len()));
                    return;
                }
                State::Discard { left } => {
                    let count = chunk.bytes.len().min(left as usize);
                    chunk.advance(count);
                    self.state = match left - count as u32 {
                        0 => State::Prefix,
                        left => State::Discard { left },
                    };
                }
                State::Prefix => self.prefix(&mut chunk, give),
                State::Body { compressed, length, left } => {
                    let count = chunk.bytes.len().min(left as usize);
                    self.body(&chunk, count, (compressed, length, left), most, give);
                    chunk.advance(count);
                }
            }
        }
    }

    fn prefix(&mut self, chunk: &mut Chunk<'_>, give: &mut dyn FnMut(Outcome<'_>)) {
        let count = chunk.bytes.len().min(PREFIX - self.prefix.len());
        self.prefix.extend_from_slice(&chunk.bytes[..count]);
        self.saw(chunk.stamp);
        if self.prefix[0] > 1 {
            // No flag that exists: what comes here is no gRPC, or not its beginning.
            self.lose();
            return;
        }
        chunk.advance(count);
        let Ok([compressed, l0, l1, l2, l3]) = <[u8; PREFIX]>::try_from(&self.prefix[..]) else { return };
        self.prefix.clear();
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        self.state = State::Body { compressed: compressed == 1, length, left: length };
        if length == 0 {
            let place = chunk.place;
            self.finish(&[], place, None, None, give);
            self.state = State::Prefix;
        }
    }

    fn body(
        &mut self,
        chunk: &Chunk<'_>,
        count: usize,
        (compressed, length, left): (bool, u32, u32),
        most: usize,
        give: &mut dyn FnMut(Outcome<'_>),
    ) {
        self.saw(chunk.stamp);
        let bytes = &chunk.bytes[..count];
        let rest = left - count as u32;
        if self.body.is_empty() && rest == 0 && bytes.len() <= MAX_MESSAGE {
            self.finish(bytes, chunk.place, None, None, give);
            self.state = State::Prefix;
            return;
        }
        let room = most.min(MAX_MESSAGE).saturating_sub(self.body.len());
        if count > room {
            self.body.extend_from_slice(&bytes[..room]);
            self.cut(Truncation::Undecoded, Some(chunk.stamp.packet), &mut |outcome| match outcome {
                Outcome::Message(found) => give(Outcome::Message(Found { too_large: true, ..found })),
                outcome => give(outcome),
            });
            self.state = if rest == 0 { State::Prefix } else { State::Discard { left: rest } };
            return;
        }
        self.body.extend_from_slice(bytes);
        self.state = State::Body { compressed, length, left: rest };
        if rest == 0 {
            let body = std::mem::take(&mut self.body);
            self.finish(&body, None, None, None, give);
            self.state = State::Prefix;
        }
    }

    /// Bytes of this stream are missing: `bytes` of the DATA frame at hand.
    pub fn missing(&mut self, bytes: u64, cause: Truncation, placed: Option<u32>, give: &mut dyn FnMut(Outcome<'_>)) {
        match self.state {
            State::Body { left, .. } => {
                self.cut(cause, placed, give);
                self.state = match u64::from(left).checked_sub(bytes) {
                    Some(0) => State::Prefix,
                    Some(left) => State::Discard { left: left as u32 },
                    None => State::Lost,
                };
            }
            State::Discard { left } => {
                self.state = match u64::from(left).checked_sub(bytes) {
                    Some(0) => State::Prefix,
                    Some(left) => State::Discard { left: left as u32 },
                    None => State::Lost,
                };
            }
            State::Prefix | State::Lost => self.lose(),
        }
    }

    /// Bytes of the connection are missing, and nobody knows whose.
    pub fn interrupted(&mut self, cause: Truncation, placed: Option<u32>, give: &mut dyn FnMut(Outcome<'_>)) {
        self.end(cause, placed, give);
        self.lose();
    }

    /// No more bytes will come: gives a message that is not whole.
    pub fn end(&mut self, cause: Truncation, placed: Option<u32>, give: &mut dyn FnMut(Outcome<'_>)) {
        if let State::Body { .. } = self.state {
            self.cut(cause, placed, give);
            self.state = State::Lost;
        } else if !self.prefix.is_empty() {
            give(Outcome::NoBoundary(self.prefix.len()));
            self.prefix.clear();
        }
    }

    fn lose(&mut self) {
        self.prefix.clear();
        self.body = Vec::new();
        self.stamp = None;
        self.state = State::Lost;
    }

    fn saw(&mut self, stamp: Stamp) {
        if self.stamp.is_none_or(|known| known.packet <= stamp.packet) {
            self.stamp = Some(stamp);
        }
    }

    fn cut(&mut self, cause: Truncation, placed: Option<u32>, give: &mut dyn FnMut(Outcome<'_>)) {
        let body = std::mem::take(&mut self.body);
        self.finish(&body, None, Some(cause), placed, give);
    }

    fn finish(
        &mut self,
        bytes: &[u8],
        place: Option<Place>,
        truncated: Option<Truncation>,
        placed: Option<u32>,
        give: &mut dyn FnMut(Outcome<'_>),
    ) {
        let (State::Body { compressed, length, .. }, Some(stamp)) = (self.state, self.stamp.take()) else { return };
        let placed = if truncated.is_some() { placed } else { Some(stamp.packet) };
        give(Outcome::Message(Found {
            bytes,
            place,
            compressed,
            wire_length: length,
            truncated,
            too_large: false,
            stamp,
            placed,
        }));
    }
}

/// Whether a DATA frame begins with messages: prefix by prefix as far as its bytes are there, none of which may reach
/// beyond the frame.
fn begins_messages(chunk: &Chunk<'_>) -> bool {
    let (mut at, mut messages) = (0, 0);
    while let Some(&[flag, l0, l1, l2, l3]) = chunk.bytes.get(at..).and_then(|rest| rest.first_chunk::<PREFIX>()) {
        at = at.saturating_add(PREFIX + u32::from_be_bytes([l0, l1, l2, l3]) as usize);
        if flag > 1 || at > chunk.frame_left {
            return false;
        }
        messages += 1;
    }
    messages > 0 && (at == chunk.frame_left || at >= chunk.bytes.len())
}

/// Decompresses a message into `out`, up to [`MAX_MESSAGE`]; whether it is whole. `None` for an encoding that is not
/// known.
pub fn decompress(bytes: &[u8], encoding: Encoding, out: &mut Vec<u8>) -> Option<bool> {
    out.clear();
    let read = |reader: &mut dyn Read, out: &mut Vec<u8>| {
        let read = reader.take(MAX_MESSAGE as u64 + 1).read_to_end(out);
        let is_whole = read.is_ok() && out.len() <= MAX_MESSAGE;
        out.truncate(MAX_MESSAGE);
        is_whole
    };
    match encoding {
        Encoding::Identity => {
            out.extend_from_slice(bytes);
            Some(true)
        }
        Encoding::Gzip => Some(read(&mut MultiGzDecoder::new(bytes), out)),
        // Without the header that told: gzip says what it is.
        Encoding::Unsaid if bytes.starts_with(&[0x1f, 0x8b]) => Some(read(&mut MultiGzDecoder::new(bytes), out)),
        Encoding::Deflate => {
            if read(&mut ZlibDecoder::new(bytes), out) {
                return Some(true);
            }
            let mut bare = Vec::new();
            let is_whole = read(&mut DeflateDecoder::new(bytes), &mut bare);
            if is_whole || bare.len() > out.len() {
                *out = bare;
            }
            Some(is_whole)
        }
        Encoding::Unsaid | Encoding::Other => None,
    }
}
