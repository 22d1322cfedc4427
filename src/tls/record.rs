//! Cutting a stream into TLS records, and finding back into step after a gap.

use crate::stream::{Backlog, GapCause, Piece, Stamp};

/// Type, version, length (RFC 8446 5.1).
pub(super) const HEADER: usize = 5;

/// The longest body: 2^14 and 2,048 bytes for what protection adds (RFC 5246 6.2.3).
const MAX_BODY: usize = (1 << 14) + 2048;

/// The content type of a record (RFC 8446 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind(pub u8);

impl Kind {
    pub const CHANGE_CIPHER_SPEC: Self = Self(20);
    pub const ALERT: Self = Self(21);
    pub const HANDSHAKE: Self = Self(22);
    pub const APPLICATION_DATA: Self = Self(23);

    /// Those above, and heartbeats (RFC 6520).
    fn exists(self) -> bool {
        matches!(self.0, 20..=24)
    }
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub kind: Kind,
    /// As its header has it.
    pub version: u16,
    pub body: &'a [u8],
    /// The packet that completed it.
    pub stamp: Stamp,
}

impl<'a> Record<'a> {
    /// Its header as on the wire.
    pub fn header(&self) -> [u8; HEADER] {
        let (version, length) = (self.version.to_be_bytes(), (self.body.len() as u16).to_be_bytes());
        [self.kind.0, version[0], version[1], length[0], length[1]]
    }

    fn cut(bytes: &'a [u8], stamp: Stamp) -> Self {
        let version = u16::from_be_bytes([bytes[1], bytes[2]]);
        Self { kind: Kind(bytes[0]), version, body: &bytes[HEADER..], stamp }
    }
}

/// What a stream was cut into.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut<'a> {
    Record(Record<'a>),
    /// So many bytes are no records, or are missing; `until` carries what follows.
    Lost {
        bytes: u64,
        cause: GapCause,
        until: Option<Stamp>,
    },
}

/// Whether bytes at the beginning of a stream, or of a packet, are TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detected {
    /// They are.
    Yes,
    /// They are not.
    No,
    /// They may be; more bytes tell.
    NeedMore,
}

/// Whether `bytes` begin a record of SSL 3.0 to TLS 1.3 (RFC 8446 5.1): of the handshake, or, where a connection was
/// joined midway, any other.
pub fn detect(bytes: &[u8]) -> Detected {
    let plausible = |index: usize, test: fn(u8) -> bool| bytes.get(index).is_none_or(|&byte| test(byte));
    let header = plausible(0, |kind| matches!(kind, 20..=23))
        && plausible(1, |major| major == 3)
        && plausible(2, |minor| minor <= 4)
        && plausible(3, |high| usize::from(high) <= MAX_BODY >> 8);
    let handshake = bytes.first() == Some(&Kind::HANDSHAKE.0);
    match bytes.len() {
        _ if !header => Detected::No,
        // No other protocol of ours begins so.
        3.. if handshake => Detected::Yes,
        HEADER.. => Detected::Yes,
        _ => Detected::NeedMore,
    }
}

/// The length of the record that `bytes` begin with, header included; `None` if they begin none.
fn record_length(bytes: &[u8]) -> Option<usize> {
    let &[kind, 3, minor @ 0..=4, high, low, ..] = bytes else { return None };
    let body = usize::from(u16::from_be_bytes([high, low]));
    (Kind(kind).exists() && minor <= 4 && body <= MAX_BODY).then_some(HEADER + body)
}

/// Cuts one direction into records.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    /// Of a record that is not whole yet; of anything, while out of step.
    backlog: Backlog,
    /// Bytes still to come of a record that a gap cut.
    discard: u64,
    out_of_step: bool,
    /// Bytes lost since the last record.
    lost: u64,
    cause: Option<GapCause>,
}

impl Cutter {
    /// A direction whose first bytes may be inside a record.
    pub fn midway() -> Self {
        Self { out_of_step: true, ..Self::default() }
    }

    /// Takes the next part of the stream.
    pub fn piece(&mut self, piece: Piece<'_>, give: &mut dyn FnMut(Cut<'_>)) {
        match piece {
            Piece::Gap { bytes, cause, .. } => self.gap(bytes, cause),
            Piece::Bytes { bytes, stamp, .. } => self.bytes(bytes, stamp, give),
        }
    }

    /// Bytes that wait.
    pub fn held_bytes(&self) -> usize {
        self.backlog.len()
    }

    /// The stream is over.
    pub fn end(&mut self, give: &mut dyn FnMut(Cut<'_>)) {
        // What looked like a record that is not whole may hide some that are.
        while self.out_of_step && !self.backlog.is_empty() {
            self.lost += 1;
            self.backlog.consume(1);
            self.cut_backlog(give);
        }
        self.lost += self.backlog.len() as u64;
        self.backlog.clear();
        if self.lost > 0 {
            let cause = self.cause.take().unwrap_or(GapCause::NotDecrypted);
            give(Cut::Lost { bytes: std::mem::take(&mut self.lost), cause, until: None });
        }
    }

    fn gap(&mut self, bytes: u64, cause: GapCause) {
        self.cause = Some(cause);
        self.lost += bytes + self.backlog.len() as u64;
        if self.discard > 0 {
            let within = self.discard.min(bytes);
            self.discard -= within;
            self.out_of_step |= bytes > within;
        } else if let Some(whole) = record_length(self.backlog.bytes()).filter(|_| !self.out_of_step) {
            let lacking = (whole - self.backlog.len()) as u64;
            self.discard = lacking.saturating_sub(bytes);
            self.out_of_step |= bytes > lacking;
        } else {
            self.out_of_step = true;
        }
        self.backlog.clear();
    }

    fn bytes(&mut self, mut bytes: &[u8], stamp: Stamp, give: &mut dyn FnMut(Cut<'_>)) {
        let discarded = self.discard.min(bytes.len() as u64);
        self.discard -= discarded;
        self.lost += discarded;
        bytes = &bytes[discarded as usize..];
        if !self.backlog.is_empty() || self.out_of_step {
            self.backlog.extend(bytes, stamp);
            return self.cut_backlog(give);
        }
        while let Some(length) = record_length(bytes).filter(|&length| length <= bytes.len()) {
            self.give(Record::cut(&bytes[..length], stamp), give);
            bytes = &bytes[length..];
        }
        self.backlog.extend(bytes, stamp);
        if bytes.len() >= HEADER {
            self.cut_backlog(give);
        }
    }

    fn give(&mut self, record: Record<'_>, give: &mut dyn FnMut(Cut<'_>)) {
        if self.lost > 0 {
            let cause = self.cause.take().unwrap_or(GapCause::NotDecrypted);
            give(Cut::Lost { bytes: std::mem::take(&mut self.lost), cause, until: Some(record.stamp) });
        }
        give(Cut::Record(record));
    }

    /// Cuts what the backlog holds whole.
    fn cut_backlog(&mut self, give: &mut dyn FnMut(Cut<'_>)) {
        let mut backlog = std::mem::take(&mut self.backlog);
        loop {
            if self.out_of_step {
                let (skip, found) = find(backlog.bytes());
                self.lost += skip as u64;
                backlog.consume(skip);
                if !found {
                    break;
                }
                self.out_of_step = false;
            }
            match record_length(backlog.bytes()) {
                Some(length) if length <= backlog.len() => {
                    if let Some(stamp) = backlog.completed_by(length) {
                        self.give(Record::cut(&backlog.bytes()[..length], stamp), give);
                    }
                    backlog.consume(length);
                }
                None if backlog.len() >= HEADER => self.out_of_step = true,
                _ => break,
            }
        }
        self.backlog = backlog;
    }
}

/// How many bytes lie before the first that can be a record, and whether there is one. A header is taken for one where
/// another follows its record; where that cannot be seen yet, it is waited for.
fn find(bytes: &[u8]) -> (usize, bool) {
    let candidates = memchr::memchr_iter(3, bytes).filter_map(|major| major.checked_sub(1));
    for start in candidates {
        let rest = &bytes[start..];
        if rest.len() < HEADER {
            return (start, false);
        }
        let Some(length) = record_length(rest).filter(|&length| length > HEADER) else { continue };
        match rest.get(length..) {
            // Whatever is too short to tell.
            None => return (start, false),
            Some(next) if detect(next) != Detected::No => return (start, true),
            Some(_) => {}
        }
    }
    (bytes.len().saturating_sub(1), false)
}
