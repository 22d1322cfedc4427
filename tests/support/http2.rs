//! HTTP/2 frame by frame, and what is read of it. The bytes are put together here and not by the code under test.

use ckscope::framing::Truncation;
use ckscope::framing::http2::{Event, Http2};
use ckscope::stream::{GapCause, Piece, Side, Stamp};
use ckscope::time::Timestamp;

pub const CLIENT: Side = Side::Initiator;
pub const SERVER: Side = Side::Responder;
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// SETTINGS with one parameter.
pub fn setting(identifier: u16, value: u32) -> Vec<u8> {
    frame(4, 0, 0, &[&identifier.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// What either side begins with.
pub fn opening() -> Vec<(Side, Vec<u8>)> {
    vec![(CLIENT, [PREFACE, &frame(4, 0, 0, &[])].concat()), (SERVER, frame(4, 0, 0, &[]))]
}

/// A literal of an HPACK block: `first` says whether it is indexed.
pub fn field(first: u8, name: &str, value: &str) -> Vec<u8> {
    assert!(name.len() < 127 && value.len() < 127);
    [&[first, name.len() as u8][..], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
}

pub fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(0, name, value)).collect()
}

pub fn headers(flags: u8, stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(1, flags | END_HEADERS, stream, &literals(fields))
}

pub fn data(flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(0, flags, stream, payload)
}

/// With its prefix.
pub fn message(compressed: bool, bytes: &[u8]) -> Vec<u8> {
    [&[u8::from(compressed)][..], &(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

pub fn request_headers(stream: u32, path: &str) -> Vec<u8> {
    headers(0, stream, &[(":method", "POST"), (":path", path), ("content-type", "application/grpc")])
}

pub fn response_headers(stream: u32) -> Vec<u8> {
    headers(0, stream, &[(":status", "200"), ("content-type", "application/grpc")])
}

pub fn trailers(stream: u32, status: &str) -> Vec<u8> {
    headers(END_STREAM, stream, &[("grpc-status", status)])
}

/// A unary call that goes well.
pub fn call(stream: u32, path: &str, request: &[u8], response: &[u8]) -> Vec<(Side, Vec<u8>)> {
    let asked = [request_headers(stream, path), data(END_STREAM, stream, &message(false, request))].concat();
    let answered =
        [response_headers(stream), data(0, stream, &message(false, response)), trailers(stream, "0")].concat();
    vec![(CLIENT, asked), (SERVER, answered)]
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub side: Side,
    pub is_request: Option<bool>,
    pub stream: u32,
    pub path: Option<String>,
    pub path_uncertain: bool,
    pub bytes: Vec<u8>,
    pub truncated: Option<Truncation>,
    pub gap: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub side: Side,
    pub stream: u32,
    pub status: Option<u32>,
    pub text: Option<String>,
    pub http: Option<u16>,
    pub reset: Option<u32>,
    pub messages: [u32; 2],
}

/// What a connection told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub messages: Vec<Message>,
    pub ends: Vec<End>,
    pub problems: Vec<&'static str>,
    /// The most that was held at once.
    pub held: usize,
}

impl Told {
    /// Stream and bytes of the messages that are whole.
    pub fn whole(&self) -> Vec<(u32, &[u8])> {
        let whole = self.messages.iter().filter(|message| message.truncated.is_none());
        whole.map(|message| (message.stream, &message.bytes[..])).collect()
    }

    /// Sorted by side, which alone has an order however the directions are mixed.
    pub fn by_side(&self) -> Vec<Message> {
        let mut messages = self.messages.clone();
        messages.sort_by_key(|message| message.side as usize);
        messages
    }

    fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::Message(message) => self.messages.push(Message {
                side: message.side,
                is_request: message.is_request,
                stream: message.stream,
                path: message.path.map(str::to_owned),
                path_uncertain: message.path_uncertain,
                bytes: message.bytes.to_vec(),
                truncated: message.truncated,
                gap: message.gap,
            }),
            Event::Ended(end) => self.ends.push(End {
                side: end.side,
                stream: end.stream,
                status: end.grpc_status,
                text: end.grpc_message.map(str::to_owned),
                http: end.http_status,
                reset: end.reset,
                messages: end.messages,
            }),
            Event::Problem(problem) => self.problems.push(problem.kind.name()),
            Event::Headers(_) => {}
        }
    }
}

/// A connection under observation.
#[derive(Default)]
pub struct Observer {
    http2: Http2,
    packet: u32,
    midway: bool,
    pub told: Told,
}

impl Observer {
    /// From the start, or midway.
    pub fn joined(midway: bool) -> Self {
        Self { midway, ..Self::default() }
    }

    pub fn bytes(&mut self, side: Side, bytes: &[u8]) {
        let stamp = self.stamp();
        if !bytes.is_empty() {
            self.piece(side, Piece::Bytes { bytes, place: None, stamp });
        }
    }

    /// The stream goes on, but for this many bytes.
    pub fn gap(&mut self, side: Side, bytes: u64) {
        let until = Some(self.stamp());
        self.piece(side, Piece::Gap { bytes, cause: GapCause::NotCaptured, until });
    }

    fn stamp(&mut self) -> Stamp {
        self.packet += 1;
        Stamp { packet: self.packet, time: Timestamp(0) }
    }

    fn piece(&mut self, side: Side, piece: Piece<'_>) {
        let told = &mut self.told;
        self.http2.piece(side, !self.midway, piece, &mut |event| told.take(&event));
        self.told.held = self.told.held.max(self.http2.held_bytes());
    }

    pub fn end(mut self) -> Told {
        for side in [CLIENT, SERVER] {
            let told = &mut self.told;
            self.http2.end(side, &mut |event| told.take(&event));
        }
        self.told
    }
}

/// What is told of pieces, of which those of each side follow each other.
pub fn told(pieces: &[(Side, Vec<u8>)]) -> Told {
    let mut observer = Observer::default();
    pieces.iter().for_each(|(side, bytes)| observer.bytes(*side, bytes));
    observer.end()
}
