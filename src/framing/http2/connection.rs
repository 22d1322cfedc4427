//! Frames → messages and the ends of calls: what the frames of one side mean for the connection's streams.

use super::event::{CallEnd, Event, GrpcMessage, HeaderList, Problem, ProblemKind};
use super::frame::{FrameHeader, flag, kind};
use super::grpc::{self, Chunk, Found, Outcome};
use super::hpack::{Decoder, Headers};
use super::reader::{MAX_BLOCK, Part, Reader, Tally};
use super::streams::{HeaderKind, Stream, Streams};
use crate::framing::Truncation;
use crate::stream::{Side, Stamp};

/// Bytes of unfinished messages of all streams of a connection.
const MAX_HELD: usize = 4 << 20;

/// SETTINGS that matter here (RFC 9113 6.5.2).
const HEADER_TABLE_SIZE: u16 = 1;
const MAX_FRAME_SIZE: u16 = 5;

/// The header blocks of one direction.
#[derive(Debug)]
pub struct Blocks {
    pub decoder: Decoder,
    headers: Headers,
    /// What came of a block that goes on in CONTINUATION frames.
    block: Vec<u8>,
    open: Option<OpenBlock>,
}

#[derive(Clone, Copy, Debug)]
struct OpenBlock {
    /// The frame that began it.
    header: FrameHeader,
    /// Bytes of it are missing, or it is too large.
    is_lost: bool,
    stamp: Stamp,
}

impl Blocks {
    /// The blocks of a direction whose first one will (`from_the_start`) or will not be seen.
    pub fn new(from_the_start: bool) -> Self {
        Self { decoder: Decoder::new(from_the_start), headers: Headers::default(), block: Vec::new(), open: None }
    }

    /// Bytes held.
    pub fn held_bytes(&self) -> usize {
        self.block.len() + self.decoder.held_bytes()
    }
}

/// What both directions share.
#[derive(Debug, Default)]
pub struct Shared {
    pub streams: Streams,
    /// Who is the HTTP/2 client, if anything told.
    pub client: Option<Side>,
    /// Header table and frame sizes that each side may use: what the other's SETTINGS announced.
    pub limits: [(u32, u32); 2],
    /// Decompressed bytes.
    inflated: Vec<u8>,
}

/// What the parts of one direction act upon.
pub struct Context<'a> {
    pub side: Side,
    pub blocks: &'a mut Blocks,
    pub shared: &'a mut Shared,
    /// The other direction, which this one's SETTINGS concern.
    pub other: Option<(&'a mut Reader, &'a mut Decoder)>,
    pub sink: &'a mut dyn FnMut(Event<'_>),
}

impl Context<'_> {
    pub fn part(&mut self, tally: &mut Tally, part: Part<'_>) {
        match part {
            Part::Preface => self.shared.client = Some(self.side),
            Part::Frame { header, payload, stamp } => {
                self.keep_block_whole(&header, stamp);
                self.frame(tally, header, payload, stamp);
            }
            Part::Data { header, chunk } => {
                self.keep_block_whole(&header, chunk.stamp);
                self.data(tally, header.stream, chunk);
            }
            Part::DataEnd { header, stamp } => {
                if header.has(flag::END_STREAM) {
                    self.end_stream(tally, header.stream, stamp);
                }
            }
            Part::Lost { header, bytes, cause, placed } => self.lost(tally, header, bytes, cause, placed),
            Part::Interrupted { cause, placed } => {
                self.blocks.open = None;
                self.blocks.decoder.lose();
                self.each_half(tally, |half, give| half.assembler.interrupted(cause, packet(placed), give));
            }
            Part::Problem { kind, stream, stamp } => self.problem(kind, stream, stamp),
        }
    }

    /// The direction is over.
    pub fn end(&mut self, tally: &mut Tally) {
        if let Some(open) = self.blocks.open.take().filter(|open| !open.is_lost) {
            self.lose_block(ProblemKind::HeaderBlockLost, open.header.stream, open.stamp);
        }
        self.each_half(tally, |half, give| half.assembler.end(Truncation::StreamEnded, None, give));
    }

    fn problem(&mut self, kind: ProblemKind, stream: u32, stamp: Stamp) {
        (self.sink)(Event::Problem(Problem { side: self.side, stream, kind, stamp }));
    }

    fn frame(&mut self, tally: &mut Tally, header: FrameHeader, payload: Option<&[u8]>, stamp: Stamp) {
        match (header.kind, payload) {
            (kind::HEADERS | kind::PUSH_PROMISE, _) => self.begin_block(tally, header, payload, stamp),
            (kind::CONTINUATION, _) => self.continue_block(tally, header, payload, stamp),
            (kind::SETTINGS, Some(payload)) => self.settings(payload),
            (kind::RST_STREAM, Some(&[a, b, c, d])) => {
                self.reset(tally, header.stream, u32::from_be_bytes([a, b, c, d]), stamp);
            }
            (kind::GOAWAY, Some(&[a, b, c, d, e, f, g, h, ..])) => {
                let (last, code) = (u32::from_be_bytes([a & 0x7f, b, c, d]), u32::from_be_bytes([e, f, g, h]));
                self.go_away(tally, last, code, stamp);
            }
            _ => {}
        }
    }

    fn settings(&mut self, payload: &[u8]) {
        let limits = &mut self.shared.limits[self.side.other() as usize];
        for &[i0, i1, v0, v1, v2, v3] in payload.as_chunks::<6>().0 {
            let value = u32::from_be_bytes([v0, v1, v2, v3]);
            match u16::from_be_bytes([i0, i1]) {
                HEADER_TABLE_SIZE => limits.0 = limits.0.max(value),
                MAX_FRAME_SIZE => limits.1 = limits.1.max(value),
                _ => {}
            }
        }
        let limits = *limits;
        if let Some((reader, decoder)) = &mut self.other {
            decoder.allow(limits.0);
            reader.allow(limits.1);
        }
    }

    /// Nothing may stand between the frames of a block (RFC 9113 6.10).
    fn keep_block_whole(&mut self, header: &FrameHeader, stamp: Stamp) {
        let Some(open) = self.blocks.open else { return };
        if header.kind != kind::CONTINUATION || header.stream != open.header.stream {
            self.blocks.open = None;
            self.blocks.decoder.lose();
            self.problem(ProblemKind::ContinuationExpected, open.header.stream, stamp);
        }
    }

    fn begin_block(&mut self, tally: &mut Tally, header: FrameHeader, payload: Option<&[u8]>, stamp: Stamp) {
        let fragment = payload.map(|payload| fragment(&header, payload));
        if fragment == Some(None) {
            self.problem(ProblemKind::Padding, header.stream, stamp);
        }
        let fragment = fragment.flatten();
        let open = OpenBlock { header, is_lost: fragment.is_none(), stamp };
        if fragment.is_none() {
            self.lose_block(ProblemKind::HeaderBlockTooLarge, header.stream, stamp);
        }
        match fragment {
            Some(fragment) if header.has(flag::END_HEADERS) => self.block(tally, open, fragment),
            _ => {
                self.blocks.block.clear();
                self.blocks.block.extend_from_slice(fragment.unwrap_or_default());
                self.blocks.open = Some(open);
                if header.has(flag::END_HEADERS) {
                    self.finish_block(tally);
                }
            }
        }
    }

    fn continue_block(&mut self, tally: &mut Tally, header: FrameHeader, payload: Option<&[u8]>, stamp: Stamp) {
        let Some(open) = &mut self.blocks.open else {
            // Its beginning is missing.
            return self.lose_block(ProblemKind::HeaderBlockLost, header.stream, stamp);
        };
        if open.stamp.packet < stamp.packet {
            open.stamp = stamp;
        }
        let fits = payload.is_some_and(|payload| self.blocks.block.len() + payload.len() <= MAX_BLOCK);
        if fits && !open.is_lost {
            self.blocks.block.extend_from_slice(payload.unwrap_or_default());
        } else if !open.is_lost {
            open.is_lost = true;
            self.lose_block(ProblemKind::HeaderBlockTooLarge, header.stream, stamp);
        }
        if header.has(flag::END_HEADERS) {
            self.finish_block(tally);
        }
    }

    fn lose_block(&mut self, kind: ProblemKind, stream: u32, stamp: Stamp) {
        self.blocks.block.clear();
        self.blocks.decoder.lose();
        self.problem(kind, stream, stamp);
    }

    fn finish_block(&mut self, tally: &mut Tally) {
        let Some(open) = self.blocks.open.take() else { return };
        if !open.is_lost {
            let block = std::mem::take(&mut self.blocks.block);
            self.block(tally, open, &block);
            self.blocks.block = block;
            self.blocks.block.clear();
        } else if open.header.kind == kind::HEADERS {
            self.unread_headers(tally, open.header, open.stamp);
        }
    }

    /// A header list that cannot be read still opens its direction of the stream, and may end it.
    fn unread_headers(&mut self, tally: &mut Tally, header: FrameHeader, stamp: Stamp) {
        self.take_headers(tally, header, stamp, &Headers::default());
    }

    fn block(&mut self, tally: &mut Tally, open: OpenBlock, block: &[u8]) {
        let (stream, stamp) = (open.header.stream, open.stamp);
        let mut headers = std::mem::take(&mut self.blocks.headers);
        if let Err(error) = self.blocks.decoder.decode(block, &mut headers) {
            self.problem(ProblemKind::Compression(error), stream, stamp);
        }
        if headers.unknown() > 0 {
            self.problem(ProblemKind::UnknownIndex { fields: headers.unknown() }, stream, stamp);
        }
        if headers.left_out() > 0 {
            self.problem(ProblemKind::HeaderListTooLarge, stream, stamp);
        }
        (self.sink)(Event::Headers(HeaderList { side: self.side, stream, headers: &headers, stamp }));
        if open.header.kind == kind::HEADERS {
            self.take_headers(tally, open.header, stamp, &headers);
        }
        self.blocks.headers = headers;
    }

    fn take_headers(&mut self, tally: &mut Tally, header: FrameHeader, stamp: Stamp, headers: &Headers) {
        let kind = HeaderKind::of(headers);
        match kind {
            HeaderKind::Request => self.shared.client = Some(self.side),
            HeaderKind::Response => self.shared.client = Some(self.side.other()),
            HeaderKind::Other => {}
        }
        if self.shared.streams.is_closed(header.stream) {
            return;
        }
        self.make_room(tally, header.stream, stamp);
        let stream = self.shared.streams.open(header.stream);
        let before = stream.held_bytes();
        stream.headers(self.side, kind, headers);
        let after = stream.held_bytes();
        self.shared.streams.held = self.shared.streams.held + after - before;
        if header.has(flag::END_STREAM) {
            self.end_stream(tally, header.stream, stamp);
        }
    }

    fn data(&mut self, tally: &mut Tally, id: u32, chunk: Chunk<'_>) {
        if self.shared.streams.is_closed(id) {
            return;
        }
        let stamp = chunk.stamp;
        self.make_room(tally, id, stamp);
        if !self.shared.streams.open(id).halves[self.side as usize].is_foreign {
            self.with_half(tally, id, Some(stamp), |half, most, give| half.assembler.data(chunk, most, give));
        }
    }

    /// Forgets the oldest stream if there are too many to open `id`; gives what it holds.
    fn make_room(&mut self, tally: &mut Tally, id: u32, stamp: Stamp) {
        let Some(oldest) = self.shared.streams.in_the_way(id) else { return };
        self.cut_both(tally, oldest, Truncation::Undecoded, stamp);
        self.shared.streams.close(oldest);
        self.problem(ProblemKind::TooManyStreams, oldest, stamp);
    }

    /// Neither side's message on stream `id` will become whole.
    fn cut_both(&mut self, tally: &mut Tally, id: u32, cause: Truncation, stamp: Stamp) {
        for side in [Side::Initiator, Side::Responder] {
            self.with_half_of(tally, id, side, Some(stamp), |half, _, give| {
                half.assembler.end(cause, Some(stamp.packet), give);
            });
        }
    }

    fn lost(&mut self, tally: &mut Tally, header: FrameHeader, bytes: u64, cause: Truncation, placed: Option<Stamp>) {
        if header.kind == kind::DATA {
            return self.with_half(tally, header.stream, placed, |half, _, give| {
                half.assembler.missing(bytes, cause, packet(placed), give);
            });
        }
        let Some(stamp) = placed else { return };
        if header.carries_block() {
            self.blocks.open = None;
            self.lose_block(ProblemKind::HeaderBlockLost, header.stream, stamp);
            if header.kind == kind::HEADERS {
                self.unread_headers(tally, header, stamp);
            }
        } else {
            self.problem(ProblemKind::FrameLost { kind: header.kind }, header.stream, stamp);
        }
    }

    /// This side will send nothing more on the stream.
    fn end_stream(&mut self, tally: &mut Tally, id: u32, stamp: Stamp) {
        self.with_half(tally, id, Some(stamp), |half, _, give| {
            half.ended = true;
            half.assembler.end(Truncation::StreamEnded, Some(stamp.packet), give);
        });
        let client = self.shared.client;
        let Some(stream) = self.shared.streams.get_mut(id) else { return };
        let is_over = stream.halves.iter().all(|half| half.ended);
        let is_answer = client.map_or(stream.grpc_status.is_some(), |client| client != self.side);
        if is_answer {
            (self.sink)(Event::Ended(call_end(id, stream, self.side, client, None, stamp)));
        }
        if is_over {
            self.shared.streams.close(id);
        }
    }

    fn reset(&mut self, tally: &mut Tally, id: u32, code: u32, stamp: Stamp) {
        self.cut_both(tally, id, Truncation::StreamEnded, stamp);
        if let Some(stream) = self.shared.streams.close(id) {
            (self.sink)(Event::Ended(call_end(id, &stream, self.side, self.shared.client, Some(code), stamp)));
        }
    }

    /// Streams that the other side opened after `last` are not looked at (RFC 9113 6.8); a client's ids are odd.
    fn go_away(&mut self, tally: &mut Tally, last: u32, code: u32, stamp: Stamp) {
        let others = if self.shared.client == Some(self.side) { 0 } else { 1 };
        for id in self.shared.streams.ids() {
            if id > last && id % 2 == others {
                self.reset(tally, id, code, stamp);
            }
        }
    }

    /// Lets `act` move this side of every stream.
    fn each_half(&mut self, tally: &mut Tally, act: impl Fn(&mut super::streams::Half, &mut dyn FnMut(Outcome<'_>))) {
        for id in self.shared.streams.ids() {
            self.with_half(tally, id, None, |half, _, give| act(half, give));
        }
    }

    fn with_half(
        &mut self,
        tally: &mut Tally,
        id: u32,
        stamp: Option<Stamp>,
        act: impl FnOnce(&mut super::streams::Half, usize, &mut dyn FnMut(Outcome<'_>)),
    ) {
        self.with_half_of(tally, id, self.side, stamp, act);
    }

    /// Lets `act`, which is told how many bytes may be held, move one direction of a stream, and gives what it finds.
    fn with_half_of(
        &mut self,
        tally: &mut Tally,
        id: u32,
        side: Side,
        stamp: Option<Stamp>,
        act: impl FnOnce(&mut super::streams::Half, usize, &mut dyn FnMut(Outcome<'_>)),
    ) {
        // What is missing before a message is missing on its own side, whoever gave it up.
        let tally = match &mut self.other {
            Some((reader, _)) if side != self.side => reader.tally(),
            _ => tally,
        };
        let Shared { streams, client, inflated, .. } = &mut *self.shared;
        let held = streams.held;
        let Some(stream) = streams.get_mut(id) else { return };
        let mut half = std::mem::take(&mut stream.halves[side as usize]);
        let before = half.assembler.held_bytes();
        let (encoding, mut told) = (half.encoding, half.is_told);
        let mut giver = Giver { side, id, stream, client: *client, tally, inflated, sink: self.sink };
        act(&mut half, (MAX_HELD + before).saturating_sub(held), &mut |outcome| match outcome {
            Outcome::Message(found) => {
                told = false;
                giver.message(&found, encoding);
            }
            Outcome::NoBoundary(bytes) => {
                giver.tally.undecoded += bytes as u64;
                if let Some(stamp) = stamp.filter(|_| !told) {
                    told = true;
                    giver.problem(ProblemKind::NoMessageBoundary, stamp);
                }
            }
        });
        half.is_told = told;
        streams.held = held + half.assembler.held_bytes() - before;
        if let Some(stream) = streams.get_mut(id) {
            stream.halves[side as usize] = half;
        }
    }
}

/// Gives what one direction of a stream holds.
struct Giver<'a> {
    side: Side,
    id: u32,
    stream: &'a mut Stream,
    client: Option<Side>,
    tally: &'a mut Tally,
    inflated: &'a mut Vec<u8>,
    sink: &'a mut dyn FnMut(Event<'_>),
}

impl Giver<'_> {
    fn problem(&mut self, kind: ProblemKind, stamp: Stamp) {
        (self.sink)(Event::Problem(Problem { side: self.side, stream: self.id, kind, stamp }));
    }

    fn message(&mut self, found: &Found<'_>, encoding: grpc::Encoding) {
        self.stream.messages[self.side as usize] += 1;
        let mut truncated = found.truncated;
        if found.too_large {
            self.problem(ProblemKind::MessageTooLarge { length: found.wire_length }, found.stamp);
        }
        if found.compressed {
            let whole = grpc::decompress(found.bytes, encoding, self.inflated);
            if whole != Some(true) {
                let kind = if whole.is_none() { ProblemKind::UnknownEncoding } else { ProblemKind::Decompression };
                // What is cut cannot be decompressed to its end, and that it is cut is told.
                if truncated.is_none() || whole.is_none() {
                    self.problem(kind, found.stamp);
                }
                truncated = truncated.or(Some(Truncation::Undecoded));
            }
        }
        (self.sink)(Event::Message(GrpcMessage {
            side: self.side,
            is_request: self.client.map(|client| client == self.side),
            stream: self.id,
            path: self.stream.path.as_deref(),
            path_uncertain: self.stream.path_uncertain,
            bytes: if found.compressed { self.inflated } else { found.bytes },
            place: found.place.filter(|_| !found.compressed),
            wire_length: found.wire_length,
            compressed: found.compressed,
            truncated,
            stamp: found.stamp,
            placed: found.placed,
            gap: std::mem::take(&mut self.tally.gap),
            skipped: std::mem::take(&mut self.tally.skipped),
        }));
    }
}

fn call_end(
    id: u32,
    stream: &Stream,
    side: Side,
    client: Option<Side>,
    reset: Option<u32>,
    stamp: Stamp,
) -> CallEnd<'_> {
    CallEnd {
        side,
        stream: id,
        path: stream.path.as_deref(),
        grpc_status: stream.grpc_status,
        grpc_message: stream.grpc_message.as_deref(),
        http_status: stream.http_status,
        reset,
        messages: stream.messages,
        client,
        stamp,
    }
}

fn packet(stamp: Option<Stamp>) -> Option<u32> {
    stamp.map(|stamp| stamp.packet)
}

/// The part of a header block in a HEADERS or PUSH_PROMISE frame (RFC 9113 6.2, 6.6); `None` if its padding or the
/// fields before it do not fit.
fn fragment<'a>(header: &FrameHeader, payload: &'a [u8]) -> Option<&'a [u8]> {
    let (padding, payload) = if header.has(flag::PADDED) {
        let (&padding, rest) = payload.split_first()?;
        (usize::from(padding), rest)
    } else {
        (0, payload)
    };
    let before = match header.kind {
        kind::PUSH_PROMISE => 4,
        _ if header.has(flag::PRIORITY) => 5,
        _ => 0,
    };
    let payload = payload.get(before..)?;
    payload.get(..payload.len().checked_sub(padding)?)
}
