//! Ck over TCP (Q.4164 Appendix I): cutting a stream into PDUs.
//!
//! A stream is first *detected*: its beginning must be a chain of headers whose command codes exist and whose
//! Lengths end where their JSON objects end. Then it is *in step*. Where bytes are missing or a header is none, it
//! *scans* for the next header; what was skipped is told with the message found.

mod search;

use search::Verdict;

use super::grade::{Habits, length_without_header, swallower};
use super::header::{CommandCodes, HEADER, Header, MAX_LENGTH};
use super::json;
use super::pdu::{Pdu, Truncation};
use super::run::Run;
use crate::prefetch::CACHE_LINE;
use crate::stream::{Backlog, GapCause, Piece, Stamp};

/// Bytes looked at before a stream that shows no message is taken for another protocol: a stream joined inside the
/// largest message shows the next one within this.
const MAX_UNDETECTED: usize = 4 * (MAX_LENGTH + HEADER);

/// Bytes of a stream not known to be Ck that are searched for the ends of objects, over and over: ends the work that
/// a stream made of nothing but headers could cause.
const MAX_SEARCHED: u32 = 4 << 20;

/// Times that bytes of a Ck stream are searched at most for the end of an object behind a little-endian header, the only
/// kind that is not taken as it is: a real one ends the search, garbage that looks like many could go on.
const MAX_SEARCHES: usize = 16;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// At the stream's beginning, not yet known to be Ck.
    #[default]
    Detecting,
    /// Looking for a header.
    Scanning,
    /// The next byte begins a header.
    InStep,
    /// Another protocol.
    Foreign,
}

/// One direction of a connection, from bytes to PDUs. Small, for there may be hundreds of thousands.
#[derive(Debug)]
pub struct Framer {
    mode: Mode,
    /// The connection is known to carry Ck: by the other direction, or because the user says so.
    insisted: bool,
    recognised: bool,
    habits: Habits,
    /// Bytes of a PDU that is not whole yet, or of a stream not yet recognised.
    backlog: Backlog,
    detection: Detection,
    /// What the last scan found, the next header will confirm.
    waits_for_more: bool,
    /// Bytes searched for the end of objects that their Length does not tell.
    too_long_searched: u32,
    /// Payload bytes still to come of a PDU that a gap cut.
    discard: u32,
    skipped: u64,
    gap: u64,
    undecoded: u64,
}
const _: () = assert!(size_of::<Option<Framer>>() <= CACHE_LINE);

/// How far the search for a first PDU has come.
#[derive(Debug)]
struct Detection {
    /// Bytes at the front of the backlog that look like whole PDUs.
    judged: u32,
    /// How many of them speak for Ck.
    seen: u32,
    /// Bytes that may still be searched for the ends of objects.
    budget: u32,
}

/// What stands at the beginning of some bytes.
enum Cut {
    Pdu {
        length: usize,
        habits: Habits,
    },
    /// A PDU with an object of this length, and another one behind it, within what its Length says.
    TooLong {
        length: usize,
    },
    Need(usize),
    OutOfStep,
}

/// At which packet a PDU is placed among the messages of all connections.
#[derive(Clone, Copy)]
enum Placing {
    /// The one that completed it.
    Completed,
    /// The one that shows what it is, if any does.
    At(Option<Stamp>),
}

impl Framer {
    /// A direction whose first byte was (`from_the_start`) or was not seen; `insist`: it is Ck whatever it looks like.
    pub fn new(from_the_start: bool, insist: bool) -> Self {
        Self {
            mode: if from_the_start { Mode::Detecting } else { Mode::Scanning },
            insisted: insist,
            recognised: false,
            habits: Habits::default(),
            backlog: Backlog::default(),
            detection: Detection { judged: 0, seen: 0, budget: MAX_SEARCHED },
            waits_for_more: false,
            too_long_searched: 0,
            discard: 0,
            skipped: 0,
            gap: 0,
            undecoded: 0,
        }
    }

    /// Whether Ck messages were found.
    pub fn is_ck(&self) -> bool {
        self.recognised
    }

    /// The other direction carries Ck, so this one does.
    pub fn insist(&mut self, codes: &CommandCodes, sink: &mut (impl FnMut(Pdu<'_>) + ?Sized)) {
        self.insisted = true;
        match self.mode {
            Mode::Foreign => self.mode = Mode::Scanning,
            // What was not enough by itself may be now.
            Mode::Detecting | Mode::Scanning if !self.backlog.is_empty() => self.search(codes, sink),
            _ => {}
        }
    }

    /// Bytes of a Ck stream that belong to no PDU.
    pub fn undecoded(&self) -> u64 {
        // The other direction may show only after the end of this one what it was.
        let is_ck = self.recognised || self.insisted;
        self.undecoded + if is_ck { self.skipped } else { 0 }
    }

    /// Whether whole PDUs wait for more to be recognised by.
    pub fn holds(&self) -> bool {
        match self.mode {
            Mode::Detecting => self.detection.judged > 0,
            Mode::Scanning => self.waits_for_more,
            Mode::InStep | Mode::Foreign => false,
        }
    }

    /// A packet not later than those that brought them.
    pub fn held_since(&self) -> Option<u32> {
        if self.holds() { self.backlog.since().map(|stamp| stamp.packet) } else { None }
    }

    /// Bytes buffered.
    pub fn held_bytes(&self) -> usize {
        self.backlog.len()
    }

    /// Takes the next part of the stream; gives PDUs to `sink`.
    pub fn piece(&mut self, codes: &CommandCodes, piece: Piece<'_>, sink: &mut (impl FnMut(Pdu<'_>) + ?Sized)) {
        match piece {
            Piece::Bytes { bytes, place, stamp } => self.bytes(codes, Run { bytes, place, stamp }, sink),
            Piece::Gap { bytes, cause, until } => self.missing(codes, Gap { bytes, cause, until }, sink),
        }
    }

    /// The stream is over: what is not whole is given as far as it is there.
    pub fn end(&mut self, codes: &CommandCodes, sink: &mut (impl FnMut(Pdu<'_>) + ?Sized)) {
        self.conclude(codes, sink);
        if self.mode == Mode::InStep {
            self.part(codes, None, sink);
            self.truncate(Truncation::StreamEnded, None, sink);
        }
        self.drop_front(self.backlog.len());
        self.backlog.clear();
    }

    fn bytes(&mut self, codes: &CommandCodes, mut run: Run<'_>, sink: &mut (impl FnMut(Pdu<'_>) + ?Sized)) {
        while !run.bytes.is_empty() {
            match self.mode {
                Mode::Foreign => return self.skip(run.bytes.len()),
                Mode::InStep => self.in_step(codes, &mut run, sink),
                Mode::Detecting | Mode::Scanning => {
                    if self.backlog.is_empty()
                        && let Some(start) = self.entry(codes, run.bytes)
                    {
                        self.skip(start);
                        run.advance(start);
                    } else {
                        self.backlog.extend(run.bytes, run.stamp);
                        run.advance(run.bytes.len());
                        self.search(codes, sink);
                    }
                }
            }
        }
    }

    fn enter(&mut self, habits: Habits) {
        self.mode = Mode::InStep;
        self.habits = habits;
        self.recognised = true;
    }

    fn skip(&mut self, bytes: usize) {
        self.skipped += bytes as u64;
    }

    /// Drops bytes that belong to no PDU from the front of the backlog.
    fn drop_front(&mut self, bytes: usize) {
        self.skip(bytes);
        self.backlog.consume(bytes);
    }

    fn give_up(&mut self) {
        self.mode = Mode::Foreign;
        self.skip(self.backlog.len());
        self.backlog.clear();
    }

    /// Cuts the PDUs that the backlog holds whole; leaves step where it does not hold one.
    fn flush(&mut self, codes: &CommandCodes, sink: &mut (impl FnMut(Pdu<'_>) + ?Sized)) {
        let mut placing = Placing::Completed;
        loop {
            match self.cut(codes, self.backlog.bytes()) {
                Cut::Pdu { length, habits } => {
                    self.habits = habits;
                    self.give_from_backlog(HEADER + length, None, placing, sink);
                }
                Cut::TooLong { length } => {
                    // Only the last packet showed it.
                    placing = Placing::At(self.backlog.completed_by(self.backlog.len()));
                    self.give_from_backlog(HEADER + length, Some(Truncation::LengthTooLarge), placing, sink);
                }
                Cut::Need(_) => return,
                Cut::OutOfStep => {
                    self.mode = Mode::Scanning;
                    return;
                }
            }
        }
    }

    /// Gives the PDU that the first `size` bytes of the backlog are.
    fn give_from_backlog(
        &mut self,
        size: usize,
        truncated: Option<Truncation>,
        placing: Placing,
        sink: &mut (impl FnMut(Pdu<'_>) + ?Sized),
    ) {
        let backlog = std::mem::take(&mut self.backlog);
        if let Some(stamp) = backlog.completed_by(size) {
            let placed = match placing {
                Placing::Completed => Some(stamp),
                Placing::At(packet) => packet,
            };
            let run = Run { bytes: &backlog.bytes()[..size], place: None, stamp };
            let begun = backlog.begun_by(size).unwrap_or(stamp);
            self.give(run, begun, truncated, placed, sink);
        }
        self.backlog = backlog;
        self.backlog.consume(size);
    }

    /// Cuts PDUs until `run` is used up or a header is none.
    fn in_step(&mut self, codes: &CommandCodes, run: &mut Run<'_>, sink: &mut (impl FnMut(Pdu<'_>) + ?Sized)) {
        let discarded = (self.discard as usize).min(run.bytes.len());
        self.discard -= discarded as u32;
        run.advance(discarded);
        while !run.bytes.is_empty() && self.mode == Mode::InStep {
            if !self.backlog.is_empty() {
                self.end_too_long(codes, run, sink);
                self.refill(codes, run);
                self.flush(codes, sink);
                continue;
            }
            match self.cut(codes, run.bytes) {
                Cut::Pdu { length, habits } => {
                    self.habits = habits;
                    let pdu = Run { bytes: &run.bytes[..HEADER + length], ..*run };
                    self.give(pdu, run.stamp, None, Some(run.stamp), sink);
                    run.advance(HEADER + length);
                }
                Cut::TooLong { length } => {
                    let pdu = Run { bytes: &run.bytes[..HEADER + length], ..*run };
                    self.give(pdu, run.stamp, Some(Truncation::LengthTooLarge), Some(run.stamp), sink);
                    run.advance(HEADER + length);
                }
                Cut::Need(_) => {
                    self.backlog.extend(run.bytes, run.stamp);
                    run.advance(run.bytes.len());
                }
                Cut::OutOfStep => self.mode = Mode::Scanning,
            }
        }
        if self.mode == Mode::Scanning && !self.backlog.is_empty() {
            self.find_and_flush(codes, false, sink);
        }
    }

    /// Where a segment ends with the object of a PDU that is not whole by its Length, and the next one begins another,
    /// the Length was too large.
    fn end_too_long(&mut self, codes: &CommandCodes, run: &Run<'_>, sink: &mut (impl FnMut(Pdu<'_>) + ?Sized)) {
        let Some((header, payload)) = run.bytes.split_first_chunk::<HEADER>() else { return };
        if !codes.is_known(Header::read(header, self.habits.little_endian).code) || !json::begins_object(payload) {
            return;
        }
        let Some(waiting) = self.backlog.bytes().get(HEADER..) else { return };
        let searched = self.too_long_searched as usize + waiting.len();
        if !waiting.ends_with(b"}") || searched > MAX_SEARCHES * MAX_LENGTH {
            return;
        }
        self.too_long_searched = searched as u32;
        if json::is_whole_object(waiting) {
            self.too_long_searched = 0;
            let (size, placing) = (self.backlog.len(), Placing::At(Some(run.stamp)));
            self.give_from_backlog(size, Some(Truncation::LengthTooLarge), placing, sink);
        }
    }

    /// Moves into the backlog what its first PDU still needs, as far as `run` has it.
    fn refill(&mut self, codes: &CommandCodes, run: &mut Run<'_>) {
        while let Cut::Need(needed) = self.cut(codes, self.backlog.bytes()) {
            let take = (needed - self.backlog.len()).min(run.bytes.len());
            if take == 0 {
                return;
            }
            self.backlog.extend(&run.bytes[..take], run.stamp);
            run.advance(take);
        }
    }

    /// What stands at the beginning of `bytes`, in step.
    fn cut(&self, codes: &CommandCodes, bytes: &[u8]) -> Cut {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return Cut::Need(HEADER) };
        let header = Header::read(header, self.habits.little_endian);
        if !codes.is_known(header.code) && !codes.is_of_a_family(header.code) {
            if rest.is_empty() && header.length > 0 {
                return Cut::Need(HEADER + 1);
            }
            if !json::may_begin_object(rest) {
                return Cut::OutOfStep;
            }
        }
        let claimed = usize::from(header.length);
        if self.habits.counts_header {
            return self.whole_or_need(codes, rest, claimed.saturating_sub(HEADER));
        }
        match length_without_header(codes, rest, claimed, self.habits.little_endian) {
            Some(length) => Cut::Pdu { length, habits: Habits { counts_header: true, ..self.habits } },
            None => self.whole_or_need(codes, rest, claimed),
        }
    }

    fn whole_or_need(&self, codes: &CommandCodes, rest: &[u8], length: usize) -> Cut {
        match rest.get(..length) {
            None => Cut::Need(HEADER + length),
            Some([] | [.., b'}']) => Cut::Pdu { length, habits: self.habits },
            // What does not end as objects do may hold one that does.
            Some(payload) => match swallower(codes, rest, self.habits) {
                Some(end) if end < payload.len() => Cut::TooLong { length: end },
                _ => Cut::Pdu { length, habits: self.habits },
            },
        }
    }

    /// Gives the PDU that `run` is, header first; `begun`: the first packet that carries some of it.
    fn give(
        &mut self,
        run: Run<'_>,
        begun: Stamp,
        truncated: Option<Truncation>,
        placed: Option<Stamp>,
        sink: &mut (impl FnMut(Pdu<'_>) + ?Sized),
    ) {
        let Some((header, payload)) = run.bytes.split_first_chunk::<HEADER>() else { return };
        let header = Header::read(header, self.habits.little_endian);
        self.undecoded += self.skipped;
        sink(Pdu {
            header,
            payload,
            place: run.place.map(|place| place.plus(HEADER as u64)),
            stamp: run.stamp,
            begun: begun.packet,
            placed: placed.map(|stamp| stamp.packet),
            length: self.payload_length(header),
            truncated,
            skipped: std::mem::take(&mut self.skipped),
            gap: std::mem::take(&mut self.gap),
            little_endian: self.habits.little_endian,
            counts_header: self.habits.counts_header,
        });
    }

    fn payload_length(&self, header: Header) -> u16 {
        if self.habits.counts_header { header.length.saturating_sub(HEADER as u16) } else { header.length }
    }

    /// Bytes are missing here.
    fn missing(&mut self, codes: &CommandCodes, gap: Gap, sink: &mut (impl FnMut(Pdu<'_>) + ?Sized)) {
        self.conclude(codes, sink);
        if self.mode == Mode::Foreign {
            return;
        }
        let discarded = u64::from(self.discard).min(gap.bytes);
        self.discard -= discarded as u32;
        let mut beyond = gap.bytes - discarded;
        if self.mode == Mode::InStep {
            self.part(codes, gap.until, sink);
        }
        if self.mode == Mode::InStep && self.backlog.len() >= HEADER {
            beyond = self.cut_by_gap(gap, sink);
        }
        if beyond > 0 {
            self.drop_front(self.backlog.len());
            self.gap += beyond;
            self.mode = Mode::Scanning;
        }
    }

    /// A gap inside a PDU whose header is there: the PDU is given as it is. How much of the gap lies beyond it.
    fn cut_by_gap(&mut self, gap: Gap, sink: &mut (impl FnMut(Pdu<'_>) + ?Sized)) -> u64 {
        let truncation = match gap.cause {
            GapCause::NotCaptured => Truncation::Gap,
            GapCause::SnapshotLength => Truncation::SnapshotLength,
            GapCause::NotDecrypted => Truncation::NotDecrypted,
        };
        let had = self.backlog.len();
        // What the snapshot length cut is said by the truncation itself.
        self.gap += if gap.cause == GapCause::NotCaptured { gap.bytes } else { 0 };
        let lacking = (self.truncate(truncation, gap.until, sink) - had) as u64;
        // Of one payload, which is no longer than Length can say.
        self.discard = lacking.saturating_sub(gap.bytes) as u32;
        gap.bytes.saturating_sub(lacking)
    }

    /// Gives the PDU that the backlog holds a part of; its whole size, header included. Nothing without a header.
    fn truncate(&mut self, why: Truncation, until: Option<Stamp>, sink: &mut (impl FnMut(Pdu<'_>) + ?Sized)) -> usize {
        let had = self.backlog.len();
        let Some(header) = self.backlog.bytes().first_chunk::<HEADER>() else { return had };
        let whole = HEADER + usize::from(self.payload_length(Header::read(header, self.habits.little_endian)));
        self.give_from_backlog(had, Some(why), Placing::At(until), sink);
        whole.max(had)
    }

    /// What the backlog holds will never be whole. If that is because a Length is too large, gives the PDUs that it
    /// swallowed.
    fn part(&mut self, codes: &CommandCodes, until: Option<Stamp>, sink: &mut (impl FnMut(Pdu<'_>) + ?Sized)) {
        loop {
            let (size, truncated) = match self.cut(codes, self.backlog.bytes()) {
                Cut::Pdu { length, habits } => {
                    self.habits = habits;
                    (HEADER + length, None)
                }
                Cut::TooLong { length } => (HEADER + length, Some(Truncation::LengthTooLarge)),
                Cut::OutOfStep => {
                    self.mode = Mode::Scanning;
                    return;
                }
                Cut::Need(_) => {
                    let payload = self.backlog.bytes().get(HEADER..).unwrap_or_default();
                    let Some(length) = swallower(codes, payload, self.habits) else { return };
                    (HEADER + length, Some(Truncation::LengthTooLarge))
                }
            };
            self.give_from_backlog(size, truncated, Placing::At(until), sink);
        }
    }

    /// Decides about what waits for more with what there is.
    fn conclude(&mut self, codes: &CommandCodes, sink: &mut (impl FnMut(Pdu<'_>) + ?Sized)) {
        match self.mode {
            _ if self.backlog.is_empty() => {}
            Mode::Detecting => {
                self.mode = Mode::Scanning;
                if let Verdict::Ck(habits) = self.judge(codes, true) {
                    self.enter(habits);
                    self.find_and_flush(codes, true, sink);
                }
            }
            Mode::Scanning => self.find_and_flush(codes, true, sink),
            Mode::InStep | Mode::Foreign => {}
        }
    }
}

/// Missing bytes, as [`Piece::Gap`] has them.
#[derive(Clone, Copy)]
struct Gap {
    bytes: u64,
    cause: GapCause,
    until: Option<Stamp>,
}
