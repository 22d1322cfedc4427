//! The open streams of a connection: what their headers said, and their messages under construction.

use std::collections::{BTreeMap, VecDeque};

use super::grpc::{Assembler, Encoding};
use super::hpack::{Certainty, Field, Headers};
use crate::stream::Side;

/// Streams remembered at once.
const MAX_STREAMS: usize = 4096;

/// Closed streams remembered: what was under way when a stream was reset still arrives (RFC 9113 5.4.2).
const MAX_CLOSED: usize = 256;

/// The longest path kept, in bytes; that of a method has a few dozen.
const MAX_PATH: usize = 512;

/// The longest `grpc-message` kept, in bytes.
const MAX_STATUS_MESSAGE: usize = 4096;

/// One direction of a stream.
#[derive(Debug)]
pub struct Half {
    pub assembler: Assembler,
    pub encoding: Encoding,
    pub headers_seen: bool,
    /// Its data is something else than gRPC.
    pub is_foreign: bool,
    pub ended: bool,
    /// That its data begins no message was told.
    pub is_told: bool,
}

impl Default for Half {
    fn default() -> Self {
        Self {
            // Until its headers come: where they were missed, so may have been data.
            assembler: Assembler::joined_midway(),
            encoding: Encoding::default(),
            headers_seen: false,
            is_foreign: false,
            ended: false,
            is_told: false,
        }
    }
}

/// A stream.
#[derive(Debug, Default)]
pub struct Stream {
    pub path: Option<Box<str>>,
    pub path_uncertain: bool,
    pub http_status: Option<u16>,
    pub grpc_status: Option<u32>,
    pub grpc_message: Option<Box<str>>,
    pub messages: [u32; 2],
    pub halves: [Half; 2],
}

/// What a header list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderKind {
    Request,
    Response,
    /// Trailers, or a list whose pseudo-header fields are not known.
    Other,
}

impl HeaderKind {
    /// By its pseudo-header fields (RFC 9113 8.3).
    pub fn of(headers: &Headers) -> Self {
        let has =
            |name: &[u8]| headers.iter().any(|field| field.name == name && field.certainty.0 == Certainty::Certain);
        if has(b":path") || has(b":method") {
            Self::Request
        } else if has(b":status") {
            Self::Response
        } else {
            Self::Other
        }
    }
}

impl Stream {
    /// Takes what a header list says.
    pub fn headers(&mut self, side: Side, kind: HeaderKind, headers: &Headers) {
        for field in headers.iter() {
            self.field(side, &field);
        }
        let is_informational = self.http_status.is_some_and(|status| (100..200).contains(&status));
        if kind == HeaderKind::Response && is_informational {
            return;
        }
        let half = &mut self.halves[side as usize];
        if !half.headers_seen {
            half.headers_seen = true;
            half.assembler = Assembler::default();
            if kind != HeaderKind::Other && headers.left_out() == 0 && headers.iter().all(|field| field.is_certain()) {
                half.is_foreign = headers.get("content-type").is_none_or(|field| !names_grpc(field.value));
            }
        }
    }

    /// Of what may be another's, a path alone is kept, and marked.
    fn field(&mut self, side: Side, field: &Field<'_>) {
        let text = std::str::from_utf8(field.value).ok();
        match field.name {
            b":path" if field.certainty.1 != Certainty::Unknown => {
                self.path = text.filter(|path| path.len() <= MAX_PATH).map(Into::into);
                self.path_uncertain = !field.is_certain();
            }
            _ if !field.is_certain() => {}
            b":status" => self.http_status = text.and_then(|status| status.parse().ok()),
            b"grpc-encoding" => self.halves[side as usize].encoding = Encoding::named(field.value),
            b"grpc-status" => self.grpc_status = text.and_then(|status| status.parse().ok()),
            b"grpc-message" => self.grpc_message = Some(percent_decoded(field.value)),
            _ => {}
        }
    }

    /// Bytes held.
    pub fn held_bytes(&self) -> usize {
        self.halves.iter().map(|half| half.assembler.held_bytes()).sum::<usize>()
    }
}

fn names_grpc(content_type: &[u8]) -> bool {
    // gRPC-Web has its trailers in its data.
    content_type.starts_with(b"application/grpc") && !content_type.starts_with(b"application/grpc-web")
}

/// `grpc-message` without its percent encoding (gRPC over HTTP/2, "Status-Message"); what is no UTF-8 is replaced.
fn percent_decoded(text: &[u8]) -> Box<str> {
    let text = &text[..text.len().min(MAX_STATUS_MESSAGE)];
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escaped = match after {
            [high, low, ..] if byte == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                decoded.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            None => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into()
}

/// The streams that are open.
#[derive(Debug, Default)]
pub struct Streams {
    open: BTreeMap<u32, Stream>,
    /// The last ones closed.
    closed: VecDeque<u32>,
    /// Bytes of messages under construction.
    pub held: usize,
}

impl Streams {
    /// The stream to be closed before `id` can be opened, if there are too many.
    pub fn in_the_way(&self, id: u32) -> Option<u32> {
        let is_full = self.open.len() >= MAX_STREAMS && !self.open.contains_key(&id);
        self.open.keys().next().copied().filter(|_| is_full)
    }

    /// Whether the stream `id` was closed, as far back as that is remembered.
    pub fn is_closed(&self, id: u32) -> bool {
        !self.open.contains_key(&id) && self.closed.contains(&id)
    }

    /// The stream `id`, which is new if it is not open.
    pub fn open(&mut self, id: u32) -> &mut Stream {
        self.open.entry(id).or_default()
    }

    /// The stream `id`, if it is open.
    pub fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        self.open.get_mut(&id)
    }

    /// Forgets the stream `id`.
    pub fn close(&mut self, id: u32) -> Option<Stream> {
        let stream = self.open.remove(&id)?;
        self.held -= stream.held_bytes();
        self.closed.push_back(id);
        if self.closed.len() > MAX_CLOSED {
            self.closed.pop_front();
        }
        Some(stream)
    }

    /// The open streams, in the order of their ids.
    pub fn ids(&self) -> Vec<u32> {
        self.open.keys().copied().collect()
    }

    /// Bytes held.
    pub fn held_bytes(&self) -> usize {
        self.held + self.open.len() * size_of::<Stream>() + self.closed.len() * size_of::<u32>()
    }
}
