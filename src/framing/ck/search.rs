//! Looking for PDUs: whether a stream is Ck at its beginning, and where the next header is after bytes were lost. A part
//! of [`Framer`], which cuts what is found here.

use super::super::grade::{Chain, END_OF_LINE, Grade, Habits, Order, Sighting, chain, grade, known_order, object_at};
use super::super::header::{CommandCodes, HEADER, MAX_LENGTH};
use super::super::json;
use super::super::pdu::Pdu;
use super::{Framer, MAX_SEARCHES, MAX_UNDETECTED, Mode};

/// What the beginning of a stream is.
pub(super) enum Verdict {
    Ck(Habits),
    Other,
    Wait,
}

impl Framer {
    /// Where in bytes that nothing precedes a PDU begins, if that can be told from them alone; enters step there.
    pub(super) fn entry(&mut self, codes: &CommandCodes, bytes: &[u8]) -> Option<usize> {
        let found = match self.mode {
            Mode::Detecting => match grade(codes, bytes) {
                Grade::Strong(habits) => Some((0, habits)),
                _ => None,
            },
            _ => self.scan(codes, bytes, false).ok(),
        };
        let (start, habits) = found?;
        self.enter(habits);
        Some(start)
    }

    /// Looks for PDUs in the backlog, to which bytes were just added.
    pub(super) fn search(&mut self, codes: &CommandCodes, sink: &mut (impl FnMut(Pdu<'_>) + ?Sized)) {
        if self.mode == Mode::Detecting {
            match self.judge(codes, false) {
                Verdict::Ck(habits) => self.enter(habits),
                Verdict::Wait if self.backlog.len() <= MAX_UNDETECTED => return,
                _ if self.insisted => self.mode = Mode::Scanning,
                _ => return self.give_up(),
            }
        }
        self.find_and_flush(codes, false, sink);
    }

    /// Scans the backlog and cuts what was found, in turn, until neither gets further. `last`: nothing will follow.
    pub(super) fn find_and_flush(
        &mut self,
        codes: &CommandCodes,
        last: bool,
        sink: &mut (impl FnMut(Pdu<'_>) + ?Sized),
    ) {
        loop {
            if self.mode == Mode::InStep {
                self.flush(codes, sink);
                if self.mode == Mode::InStep {
                    return;
                }
            }
            let backlog = std::mem::take(&mut self.backlog);
            let found = self.scan(codes, backlog.bytes(), last);
            self.backlog = backlog;
            match found {
                Ok((start, habits)) => {
                    self.drop_front(start);
                    self.enter(habits);
                }
                Err(keep_from) => {
                    self.drop_front(keep_from);
                    let hopeless = self.skipped > MAX_UNDETECTED as u64 || self.detection.budget == 0;
                    if hopeless && !self.insisted && !self.recognised {
                        self.give_up();
                    }
                    return;
                }
            }
        }
    }

    /// Whether the backlog, the beginning of a stream, is Ck. `last`: nothing will follow.
    pub(super) fn judge(&mut self, codes: &CommandCodes, last: bool) -> Verdict {
        let enough = if self.insisted || last { 1 } else { 2 };
        loop {
            let rest = &self.backlog.bytes()[self.detection.judged as usize..];
            if rest.len() < HEADER {
                let seen_enough = last && self.detection.seen > 0;
                return if seen_enough {
                    Verdict::Ck(Habits::default())
                } else if last {
                    Verdict::Other
                } else {
                    Verdict::Wait
                };
            }
            match grade(codes, rest) {
                Grade::Strong(habits) => return Verdict::Ck(habits),
                Grade::Medium(habits, _) if self.detection.seen + 1 >= enough => return Verdict::Ck(habits),
                Grade::Medium(_, length) => {
                    self.detection.seen += 1;
                    self.detection.judged += (HEADER + length) as u32;
                }
                Grade::Weak(_) if self.insisted => return Verdict::Ck(Habits::default()),
                Grade::Weak(length) => self.detection.judged += (HEADER + length) as u32,
                Grade::Partial(habits, named) if last => {
                    let payload = &rest[HEADER..];
                    // Little-endian is a guess that needs more than a header to go by.
                    let plausible =
                        json::begins_object(payload) || (!habits.little_endian && json::may_begin_object(payload));
                    let is_ck = plausible && (named || self.detection.seen > 0);
                    return if is_ck { Verdict::Ck(habits) } else { Verdict::Other };
                }
                Grade::Partial(..) => return Verdict::Wait,
                Grade::None => return Verdict::Other,
            }
        }
    }

    /// The first place in `bytes` where a PDU begins, or from where they must be kept; `last`: nothing will follow.
    ///
    /// The first header before an object decides. One before any other payload is believed where a chain of headers
    /// speaks for it before that place.
    fn scan(&mut self, codes: &CommandCodes, bytes: &[u8], last: bool) -> Result<(usize, Habits), usize> {
        let certain = self.insisted || self.recognised;
        let searches = MAX_SEARCHES * bytes.len().max(MAX_LENGTH);
        let mut searches_left = u32::try_from(searches).unwrap_or(u32::MAX);
        let mut chained = None;
        let mut open = None;
        self.waits_for_more = false;
        for start in 0..(bytes.len() + 1).saturating_sub(HEADER) {
            let Some(order) = known_order(codes, &bytes[start..]) else { continue };
            let left = if certain { &mut searches_left } else { &mut self.detection.budget };
            if *left == 0 && (!certain || order == Order::Little) {
                break;
            }
            match object_at(codes, bytes, start, certain, left) {
                Sighting::Pdu(habits) => {
                    let before = chained.filter(|&(_, _, end)| end <= start);
                    return Ok(before.map_or((start, habits), |(start, habits, _)| (start, habits)));
                }
                Sighting::Open => {
                    open = open.or(Some(start));
                    break;
                }
                Sighting::None if chained.is_none() => {
                    let counts_header = self.habits.counts_header;
                    let habits = Habits { little_endian: order == Order::Little, counts_header };
                    match chain(codes, &bytes[start..], habits, if certain { 1 } else { 2 }, last) {
                        Chain::Holds(length) => chained = Some((start, habits, start + length)),
                        Chain::Open => {
                            open = open.or(Some(start));
                            self.waits_for_more = true;
                        }
                        Chain::Broken => {}
                    }
                }
                Sighting::None => {}
            }
        }
        match (chained, open) {
            (Some((start, habits, _)), None) => Ok((start, habits)),
            (Some((start, habits, _)), Some(open)) if start < open => Ok((start, habits)),
            (_, open) => {
                // What stands before a header has its say, too.
                let kept = open.unwrap_or(bytes.len()).min(bytes.len().saturating_sub(HEADER));
                Err(kept.saturating_sub(END_OF_LINE.len()))
            }
        }
    }
}
