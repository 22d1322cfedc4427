//! The bytes of one direction → frames. Keeps of a frame what is looked at: DATA goes through as it comes, the rest of
//! what is long is left out. Finds back into step where bytes are missing or are no frames.

use super::event::ProblemKind;
use super::frame::{Chain, DEFAULT_MAX_LENGTH, FrameHeader, HEADER, PREFACE, chain, flag, kind};
use super::grpc::Chunk;
use crate::framing::Truncation;
use crate::framing::run::Run;
use crate::stream::{Backlog, GapCause, Piece, Stamp};

/// The largest header block kept, in bytes; a frame's part of one, too.
pub const MAX_BLOCK: usize = 256 << 10;

/// The largest SETTINGS or GOAWAY looked at, in bytes.
const MAX_CONTROL: usize = 4 << 10;

/// The largest length that a frame can have.
const MAX_LENGTH: u32 = (1 << 24) - 1;

/// Bytes among which a chain of frames is looked for: three of the default length and more.
const MAX_SCANNED: usize = 64 << 10;

/// Bytes searched, over and over, before a direction that does not come into step is given up: ends the work that bytes
/// made to look like frames could cause.
const MAX_SEARCHED: usize = 64 << 20;

/// Bytes that are in no message; told with the next one.
#[derive(Debug, Default)]
pub struct Tally {
    /// Missing in the capture.
    pub gap: u64,
    /// Skipped to find back into step.
    pub skipped: u64,
    /// All that were of no use.
    pub undecoded: u64,
}

/// What the bytes are.
#[derive(Debug)]
pub enum Part<'a> {
    /// The client's preface.
    Preface,
    /// A whole frame but DATA; of types that nobody looks at, and of what is too long, without its payload.
    Frame { header: FrameHeader, payload: Option<&'a [u8]>, stamp: Stamp },
    /// Data of a DATA frame, without padding.
    Data { header: FrameHeader, chunk: Chunk<'a> },
    /// A DATA frame is over.
    DataEnd { header: FrameHeader, stamp: Stamp },
    /// Bytes of this frame are missing; of DATA, this many of its data.
    Lost { header: FrameHeader, bytes: u64, cause: Truncation, placed: Option<Stamp> },
    /// Any number of frames may be missing.
    Interrupted { cause: Truncation, placed: Option<Stamp> },
    /// Something is wrong.
    Problem { kind: ProblemKind, stream: u32, stamp: Stamp },
}

/// Who takes the parts.
pub type Take<'a> = dyn FnMut(&mut Tally, Part<'_>) + 'a;

#[derive(Clone, Copy, Debug)]
enum State {
    /// At the stream's beginning.
    Start,
    /// The next bytes are a frame header.
    Header,
    /// The next bytes are the payload of a frame that is kept.
    Payload { header: FrameHeader, stamp: Stamp },
    /// The next bytes are of a frame that is not kept.
    Skip { header: FrameHeader, stamp: Stamp, left: u32, lost: bool },
    /// The next bytes are of a DATA frame; `padding` is `None` before its length was read.
    Data { header: FrameHeader, stamp: Stamp, left: u32, padding: Option<u32>, begun: bool },
    /// Looking for frames.
    Scan,
    /// No frames were found for too long.
    Foreign,
}

/// Reads the frames of one direction.
#[derive(Debug)]
pub struct Reader {
    state: State,
    backlog: Backlog,
    /// Whole frames at the front of the backlog, if they are frames.
    waiting: usize,
    budget: usize,
    max_length: u32,
    tally: Tally,
}

impl Reader {
    /// A reader of a direction whose first byte was (`from_the_start`) or was not seen.
    pub fn new(from_the_start: bool) -> Self {
        Self {
            state: if from_the_start { State::Start } else { State::Scan },
            backlog: Backlog::default(),
            waiting: 0,
            budget: MAX_SEARCHED,
            max_length: if from_the_start { DEFAULT_MAX_LENGTH } else { MAX_LENGTH },
            tally: Tally::default(),
        }
    }

    /// The receiver's SETTINGS_MAX_FRAME_SIZE.
    pub fn allow(&mut self, length: u32) {
        self.max_length = self.max_length.max(length.min(MAX_LENGTH));
    }

    /// Bytes buffered.
    pub fn held_bytes(&self) -> usize {
        self.backlog.len()
    }

    /// A packet not later than those of whole frames that wait.
    pub fn held_since(&self) -> Option<u32> {
        let waits = matches!(self.state, State::Scan) && self.waiting > 0;
        self.backlog.since().filter(|_| waits).map(|stamp| stamp.packet)
    }

    /// Bytes that were of no use.
    pub fn undecoded(&self) -> u64 {
        self.tally.undecoded
    }

    /// What is in no message yet.
    pub fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// Takes the next part of the direction.
    pub fn piece(&mut self, piece: Piece<'_>, take: &mut Take<'_>) {
        match piece {
            Piece::Bytes { bytes, place, stamp } => self.bytes(Run { bytes, place, stamp }, take),
            Piece::Gap { bytes, cause, until } => {
                let cause = match cause {
                    GapCause::NotCaptured => Truncation::Gap,
                    GapCause::SnapshotLength => Truncation::SnapshotLength,
                    GapCause::NotDecrypted => Truncation::NotDecrypted,
                };
                self.missing(bytes, cause, until, take);
            }
        }
    }

    /// The direction is over.
    pub fn end(&mut self, take: &mut Take<'_>) {
        if matches!(self.state, State::Scan) && self.waiting > 0 {
            self.feed_backlog(0, take);
        }
        self.drop_backlog();
    }

    fn bytes(&mut self, mut run: Run<'_>, take: &mut Take<'_>) {
        while !run.bytes.is_empty() {
            match self.state {
                State::Scan => self.scan(&mut run, take),
                State::Foreign => return self.drop(run.bytes.len()),
                _ => self.step(&mut run, take),
            }
        }
    }

    /// Reads the next bytes of frames, or falls out of step.
    fn step(&mut self, run: &mut Run<'_>, take: &mut Take<'_>) {
        match self.state {
            State::Start => self.start(run, take),
            State::Header => self.header(run, take),
            State::Payload { header, stamp } => self.payload(header, stamp, run, take),
            State::Skip { header, stamp, left, lost } => {
                let count = run.bytes.len().min(left as usize);
                let stamp = later(stamp, run.stamp);
                run.advance(count);
                self.skip_on(header, stamp, left - count as u32, lost, take);
            }
            State::Data { header, stamp, left, padding, begun } => {
                self.data(header, stamp, (left, padding, begun), run, take);
            }
            State::Scan | State::Foreign => {}
        }
    }

    /// Moves bytes to the backlog until it has `need`; whether it has.
    fn fill(&mut self, need: usize, run: &mut Run<'_>) -> bool {
        let count = run.bytes.len().min(need - self.backlog.len());
        self.backlog.extend(&run.bytes[..count], run.stamp);
        run.advance(count);
        self.backlog.len() == need
    }

    fn start(&mut self, run: &mut Run<'_>, take: &mut Take<'_>) {
        let expected = &PREFACE[self.backlog.len()..];
        let count = run.bytes.len().min(expected.len());
        if run.bytes[..count] != expected[..count] {
            self.feed_backlog(0, take);
        } else if self.fill(PREFACE.len(), run) {
            self.backlog.clear();
            self.state = State::Header;
            take(&mut self.tally, Part::Preface);
        }
    }

    fn header(&mut self, run: &mut Run<'_>, take: &mut Take<'_>) {
        let (header, stamp) = match run.bytes.first_chunk::<HEADER>() {
            Some(header) if self.backlog.is_empty() => {
                let header = FrameHeader::read(header);
                if !self.is_in_step(&header) {
                    return self.fall_out(run.stamp, take);
                }
                run.advance(HEADER);
                (header, run.stamp)
            }
            _ => {
                if !self.fill(HEADER, run) {
                    return;
                }
                let stamp = self.backlog.completed_by(HEADER).unwrap_or(run.stamp);
                let Some(header) = self.backlog.bytes().first_chunk::<HEADER>().map(FrameHeader::read) else { return };
                if !self.is_in_step(&header) {
                    return self.fall_out(stamp, take);
                }
                self.backlog.consume(HEADER);
                (header, stamp)
            }
        };
        self.begin(header, stamp, take);
    }

    /// Whether bytes in the place of a header are one.
    fn is_in_step(&self, header: &FrameHeader) -> bool {
        if header.length > self.max_length {
            return header.is_plausible(MAX_LENGTH);
        }
        header.has_possible_length() && header.has_possible_stream()
    }

    fn fall_out(&mut self, stamp: Stamp, take: &mut Take<'_>) {
        self.state = State::Scan;
        self.waiting = 0;
        take(&mut self.tally, Part::Problem { kind: ProblemKind::OutOfStep, stream: 0, stamp });
        take(&mut self.tally, Part::Interrupted { cause: Truncation::Undecoded, placed: Some(stamp) });
    }

    fn begin(&mut self, header: FrameHeader, stamp: Stamp, take: &mut Take<'_>) {
        if header.length > self.max_length {
            let kind = ProblemKind::FrameSize { kind: header.kind, length: header.length };
            take(&mut self.tally, Part::Problem { kind, stream: header.stream, stamp });
        }
        if header.kind == kind::DATA {
            let padding = if header.has(flag::PADDED) { None } else { Some(0) };
            self.data_on(header, stamp, (header.length, padding, false), take);
        } else if header.length as usize > kept(header.kind) || header.length == 0 {
            let left = header.length;
            self.skip_on(header, stamp, left, false, take);
        } else {
            self.state = State::Payload { header, stamp };
        }
    }

    fn payload(&mut self, header: FrameHeader, stamp: Stamp, run: &mut Run<'_>, take: &mut Take<'_>) {
        let length = header.length as usize;
        if self.backlog.is_empty() && run.bytes.len() >= length {
            let payload = Some(&run.bytes[..length]);
            self.state = State::Header;
            take(&mut self.tally, Part::Frame { header, payload, stamp: later(stamp, run.stamp) });
            run.advance(length);
        } else if self.fill(length, run) {
            self.state = State::Header;
            let stamp = later(stamp, self.backlog.completed_by(length).unwrap_or(run.stamp));
            take(&mut self.tally, Part::Frame { header, payload: Some(self.backlog.bytes()), stamp });
            self.backlog.consume(length);
        }
    }

    fn skip_on(&mut self, header: FrameHeader, stamp: Stamp, left: u32, lost: bool, take: &mut Take<'_>) {
        if left > 0 {
            self.state = State::Skip { header, stamp, left, lost };
            return;
        }
        self.state = State::Header;
        if !lost {
            let payload = if header.length == 0 { Some(&[][..]) } else { None };
            take(&mut self.tally, Part::Frame { header, payload, stamp });
        }
    }

    fn data(
        &mut self,
        header: FrameHeader,
        stamp: Stamp,
        (left, padding, begun): (u32, Option<u32>, bool),
        run: &mut Run<'_>,
        take: &mut Take<'_>,
    ) {
        let stamp = later(stamp, run.stamp);
        let Some(padding) = padding else {
            let wanted = u32::from(run.bytes[0]);
            run.advance(1);
            if wanted >= left {
                take(&mut self.tally, Part::Problem { kind: ProblemKind::Padding, stream: header.stream, stamp });
            }
            return self.data_on(header, stamp, (left - 1, Some(wanted.min(left - 1)), false), take);
        };
        let data = left.saturating_sub(padding);
        let count = run.bytes.len().min(if data > 0 { data } else { left } as usize);
        if data > 0 {
            let chunk = Chunk {
                bytes: &run.bytes[..count],
                place: run.place,
                stamp,
                frame_left: data as usize,
                begins_frame: !begun,
            };
            take(&mut self.tally, Part::Data { header, chunk });
        }
        run.advance(count);
        self.data_on(header, stamp, (left - count as u32, Some(padding), true), take);
    }

    fn data_on(
        &mut self,
        header: FrameHeader,
        stamp: Stamp,
        (left, padding, begun): (u32, Option<u32>, bool),
        take: &mut Take<'_>,
    ) {
        if left > 0 {
            self.state = State::Data { header, stamp, left, padding, begun };
        } else {
            self.state = State::Header;
            take(&mut self.tally, Part::DataEnd { header, stamp });
        }
    }

    fn missing(&mut self, bytes: u64, cause: Truncation, placed: Option<Stamp>, take: &mut Take<'_>) {
        self.tally.gap += bytes;
        let inside = |left: u32| u32::try_from(bytes).ok().filter(|&missing| missing <= left);
        match self.state {
            State::Payload { header, stamp } => {
                let left = header.length - self.backlog.len() as u32;
                if let Some(missing) = inside(left) {
                    self.drop_backlog();
                    take(&mut self.tally, Part::Lost { header, bytes, cause, placed });
                    return self.skip_on(header, stamp, left - missing, true, take);
                }
            }
            State::Skip { header, stamp, left, lost } => {
                if let Some(missing) = inside(left) {
                    return self.skip_on(header, stamp, left - missing, lost, take);
                }
            }
            State::Data { header, stamp, left, padding, .. } => {
                if let Some(missing) = inside(left) {
                    return self.missing_data(header, stamp, (left, padding, missing), (cause, placed), take);
                }
            }
            State::Foreign => return,
            State::Start | State::Header | State::Scan => {}
        }
        self.drop_backlog();
        self.state = State::Scan;
        self.waiting = 0;
        take(&mut self.tally, Part::Interrupted { cause, placed });
    }

    fn missing_data(
        &mut self,
        header: FrameHeader,
        stamp: Stamp,
        (left, padding, missing): (u32, Option<u32>, u32),
        (cause, placed): (Truncation, Option<Stamp>),
        take: &mut Take<'_>,
    ) {
        let stamp = placed.map_or(stamp, |placed| later(stamp, placed));
        let Some(padding) = padding else {
            // How much of the rest is padding is among what is missing.
            take(&mut self.tally, Part::Lost { header, bytes: left.into(), cause, placed });
            return self.data_on(header, stamp, (left - missing, Some(left), true), take);
        };
        let data = left.saturating_sub(padding).min(missing);
        if data > 0 {
            take(&mut self.tally, Part::Lost { header, bytes: data.into(), cause, placed });
        }
        self.data_on(header, stamp, (left - missing, Some(padding), true), take);
    }

    fn scan(&mut self, run: &mut Run<'_>, take: &mut Take<'_>) {
        if self.backlog.is_empty() && chain(run.bytes, self.max_length).is_likely() {
            return self.enter();
        }
        self.backlog.extend(run.bytes, run.stamp);
        run.advance(run.bytes.len());
        while matches!(self.state, State::Scan) && self.search(take) {}
    }

    /// Looks for frames in the backlog and reads them; whether there were any.
    fn search(&mut self, take: &mut Take<'_>) -> bool {
        let (mut first, mut entry) = (None, None);
        let bytes = self.backlog.bytes();
        for start in 0..bytes.len() {
            match chain(&bytes[start..], self.max_length) {
                Chain::Frames => {
                    entry = Some(start);
                    break;
                }
                // Where every place is tried, a frame or two are found by chance.
                Chain::Open { whole } | Chain::Exact { whole } => first = first.or(Some((start, whole))),
                Chain::None => {}
            }
        }
        self.budget = self.budget.saturating_sub(bytes.len());
        if let Some(start) = entry {
            self.feed_backlog(start, take);
            return true;
        }
        let (keep, waiting) = first.unwrap_or((self.backlog.len(), 0));
        let useless = keep.max(self.backlog.len().saturating_sub(MAX_SCANNED));
        self.waiting = if useless == keep { waiting } else { 0 };
        self.backlog.consume(useless);
        self.drop(useless);
        if self.budget == 0 {
            self.drop_backlog();
            self.state = State::Foreign;
        }
        false
    }

    fn enter(&mut self) {
        self.state = State::Header;
        self.waiting = 0;
        self.budget = MAX_SEARCHED;
    }

    /// Reads the backlog, without its first `start` bytes, as frames.
    fn feed_backlog(&mut self, start: usize, take: &mut Take<'_>) {
        let mut waiting = std::mem::take(&mut self.backlog);
        waiting.consume(start);
        self.drop(start);
        self.enter();
        while !waiting.is_empty() {
            let frame = waiting.bytes().first_chunk::<HEADER>().map(FrameHeader::read);
            let length = frame.map_or(HEADER, |frame| HEADER + frame.length as usize).min(waiting.len());
            let Some(stamp) = waiting.completed_by(length) else { break };
            let mut run = Run { bytes: &waiting.bytes()[..length], place: None, stamp };
            while !run.bytes.is_empty() && !matches!(self.state, State::Scan) {
                self.step(&mut run, take);
            }
            let left = run.bytes.len();
            waiting.consume(length - left);
            if left > 0 {
                // Out of step again, at the beginning of what looked like a frame, when nothing else was kept.
                self.backlog = waiting;
                return;
            }
        }
    }

    fn drop(&mut self, bytes: usize) {
        self.tally.skipped += bytes as u64;
        self.tally.undecoded += bytes as u64;
    }

    fn drop_backlog(&mut self) {
        self.drop(self.backlog.len());
        self.backlog.clear();
        self.waiting = 0;
    }
}

/// How many bytes of a frame's payload are kept.
fn kept(kind: u8) -> usize {
    match kind {
        kind::HEADERS | kind::PUSH_PROMISE | kind::CONTINUATION => MAX_BLOCK,
        kind::SETTINGS | kind::GOAWAY | kind::RST_STREAM => MAX_CONTROL,
        _ => 0,
    }
}

fn later(a: Stamp, b: Stamp) -> Stamp {
    if b.packet > a.packet { b } else { a }
}
