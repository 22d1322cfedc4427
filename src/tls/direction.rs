//! One direction of a connection: its records, and the keys that open them.

use std::ops::Range;

use super::keys;
use super::opener::Opener;
use super::record::{Cutter, Kind, Record};
use super::suite::Hash;
use crate::stream::GapCause;

/// Sequence numbers tried beyond the expected one, at most: as many records may be missing in a gap.
const MAX_SLACK: u64 = 1 << 14;
/// Generations of a traffic secret tried after a gap in which KeyUpdates may lie.
const MAX_UPDATES: usize = 2;

/// Attempts that may fail on a connection before lost records are not searched for any more: ends the work that a
/// capture made to cause it could cause.
pub(super) const MAX_ATTEMPTS: u32 = 1 << 16;

/// Which keys a record was protected with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// 0-RTT data.
    Early,
    /// Handshake messages of TLS 1.3.
    Handshake,
    /// The rest, and everything of TLS 1.2.
    Application,
}

/// The keys of a phase.
#[derive(Debug)]
pub(super) struct Epoch {
    pub phase: Phase,
    pub opener: Opener,
    /// The traffic secret and its hash; none in TLS 1.2.
    pub secret: Option<(Hash, Vec<u8>)>,
}

impl Epoch {
    /// The keys after a KeyUpdate.
    fn updated(&self, suite: super::suite::Suite) -> Option<Self> {
        let (hash, secret) = self.secret.as_ref()?;
        let secret = keys::next_secret(*hash, secret)?;
        let opener = keys::tls13(suite, &secret)?;
        Some(Self { phase: self.phase, opener, secret: Some((*hash, secret)) })
    }
}

/// A record that was opened.
pub(super) struct Opened {
    pub kind: Kind,
    /// Where its content lies in the scratch buffer.
    pub content: Range<usize>,
    pub phase: Phase,
    /// Its number among the records of its keys.
    pub sequence: u64,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Direction {
    pub cutter: Option<Cutter>,
    pub from_the_start: bool,
    pub ended: bool,
    /// Handshake messages that are not whole yet.
    pub messages: Vec<u8>,
    /// TLS 1.2: what follows is protected.
    pub protected: bool,
    /// In the order in which they are used, the current one first.
    pub epochs: Vec<Epoch>,
    /// Number of the next record.
    sequence: u64,
    /// How many records may have been lost since the last one that was opened.
    slack: u64,
    /// The nonce that a record carried, and its number.
    nonce: Option<(u64, u64)>,
    /// Content that may be missing: bytes and why.
    pub lost: Option<(u64, GapCause)>,
    /// Bytes are missing from the capture.
    pub has_gap: bool,
}

impl Direction {
    /// New keys come into use, not known yet.
    pub fn change_keys(&mut self) {
        self.epochs.clear();
        (self.sequence, self.slack, self.nonce) = (0, 0, None);
        self.protected = true;
    }

    /// So many bytes were lost, in at most so many records.
    pub fn lose(&mut self, bytes: u64, records: u64, cause: GapCause) {
        self.slack = self.slack.saturating_add(records).min(MAX_SLACK);
        let (lost, _) = self.lost.unwrap_or((0, cause));
        self.lost = Some((lost + bytes, cause));
        // The rest of a handshake message that was cut would be taken for the beginning of another.
        self.messages.clear();
    }

    /// Goes on to the keys of `phase`.
    pub fn advance(&mut self, phase: Phase) {
        if let Some(index) = self.epochs.iter().position(|epoch| epoch.phase == phase).filter(|&index| index > 0) {
            self.epochs.drain(..index);
            (self.sequence, self.slack) = (0, 0);
        }
    }

    /// A KeyUpdate was seen.
    pub fn update(&mut self, suite: super::suite::Suite) {
        if let Some(updated) = self.epochs.first().and_then(|epoch| epoch.updated(suite)) {
            self.epochs = vec![updated];
            (self.sequence, self.slack) = (0, 0);
        }
    }

    /// Opens a record, where records may have been lost before it by finding out which one it is.
    pub fn open(
        &mut self,
        record: &Record<'_>,
        suite: super::suite::Suite,
        attempts_left: &mut u32,
        scratch: &mut Vec<u8>,
    ) -> Option<Opened> {
        for index in 0..self.epochs.len() {
            let first = if index == 0 { self.sequence } else { 0 };
            for sequence in self.likely(index, record).into_iter().chain(first..=first + self.slack) {
                if let Some((kind, content)) = self.epochs[index].opener.open(sequence, record, scratch) {
                    self.epochs.drain(..index);
                    return Some(self.opened(record, kind, content, sequence));
                }
                if *attempts_left == 0 {
                    break;
                }
                *attempts_left -= 1;
            }
        }
        self.open_updated(record, suite, attempts_left, scratch)
    }

    /// Tries the keys that KeyUpdates in a gap would have made.
    fn open_updated(
        &mut self,
        record: &Record<'_>,
        suite: super::suite::Suite,
        attempts_left: &mut u32,
        scratch: &mut Vec<u8>,
    ) -> Option<Opened> {
        if self.slack == 0 || *attempts_left == 0 {
            return None;
        }
        let mut epoch = self.epochs.last().filter(|epoch| epoch.phase == Phase::Application)?.updated(suite)?;
        for _ in 0..MAX_UPDATES {
            for sequence in 0..=self.slack {
                if let Some((kind, content)) = epoch.opener.open(sequence, record, scratch) {
                    self.epochs = vec![epoch];
                    return Some(self.opened(record, kind, content, sequence));
                }
                *attempts_left = attempts_left.checked_sub(1)?;
            }
            epoch = epoch.updated(suite)?;
        }
        None
    }

    /// The number that a record has if its sender counts the nonces that records carry.
    fn likely(&self, index: usize, record: &Record<'_>) -> Option<u64> {
        let (before, sequence) = self.nonce.filter(|_| self.slack > 0 && index == 0)?;
        let nonce = self.epochs[index].opener.carried_nonce(record)?;
        sequence.checked_add(nonce.wrapping_sub(before))
    }

    fn opened(&mut self, record: &Record<'_>, kind: Kind, content: Range<usize>, sequence: u64) -> Opened {
        let epoch = &self.epochs[0];
        self.nonce = epoch.opener.carried_nonce(record).map(|nonce| (nonce, sequence));
        (self.sequence, self.slack) = (sequence + 1, 0);
        Opened { kind, content, phase: epoch.phase, sequence }
    }
}
