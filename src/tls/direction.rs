//! One direction of a connection: its records, and the keys that open them.

use std::ops::Range;

use super::keys;
use super::opener::Opener;
use super::record::{Cutter, Kind, Record};
use super::suite::Suite;
use crate::stream::GapCause;

/// Sequence numbers tried beyond the expected one, at most: as many records may be missing in a gap.
const MAX_SLACK: u64 = 1 << 14;
/// Generations of a traffic secret tried after a gap in which KeyUpdates may lie.
const MAX_UPDATES: usize = 2;

/// What an attempt costs besides the bytes that it decrypts, in bytes: so much does setting it up take.
const ATTEMPT: u64 = 512;

/// Work that attempts may cost, in bytes decrypted: as every byte of a connection brings a little of it, what a capture
/// made to cause work can cause is a multiple of its size.
#[derive(Debug)]
pub(super) struct Budget(u64);

impl Budget {
    /// What a connection begins with: enough to get over a segment lost early.
    const FIRST: u64 = 64 * 1024;
    /// Bytes decrypted in vain, for each byte that comes.
    const PER_BYTE: u64 = 32;

    /// A record came.
    pub fn earn(&mut self, bytes: usize) {
        self.0 = self.0.saturating_add(bytes as u64 * Self::PER_BYTE);
    }

    /// Pays, if there is enough left.
    fn pay(&mut self, cost: u64) -> Option<()> {
        self.0 = self.0.checked_sub(cost)?;
        Some(())
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self(Self::FIRST)
    }
}

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
    /// The traffic secret and its suite; none in TLS 1.2.
    pub secret: Option<(Suite, Vec<u8>)>,
}

impl Epoch {
    /// The keys after a KeyUpdate.
    fn updated(&self) -> Option<Self> {
        let (suite, secret) = self.secret.as_ref()?;
        let secret = keys::next_secret(suite.hash, secret)?;
        let opener = keys::tls13(*suite, &secret)?;
        Some(Self { phase: self.phase, opener, secret: Some((*suite, secret)) })
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
    /// Those that KeyUpdates in a gap would have made after the last of them.
    unseen: Vec<Epoch>,
    /// Number of the next record.
    sequence: u64,
    /// How many records may have been lost since the last one that was opened.
    slack: u64,
    /// Which keys, and how many lost records, to try first with the next record: where the budget ended the search.
    resume: (usize, u64),
    /// The keys of the last record that was opened.
    pub reached: Option<Phase>,
    /// The nonce that a record carried, and its number.
    nonce: Option<(u64, u64)>,
    /// Content that may be missing: bytes and why.
    pub lost: Option<(u64, GapCause)>,
    /// Some of it may be 0-RTT data.
    pub lost_early: bool,
    /// Bytes are missing from the capture.
    pub has_gap: bool,
}

impl Direction {
    /// Nothing was opened yet with the keys at hand.
    pub fn has_new_keys(&self) -> bool {
        let phase = self.epochs.first().map(|epoch| epoch.phase);
        self.reached.is_none_or(|reached| phase.is_some_and(|phase| phase > reached))
    }

    /// New keys come into use, not known yet.
    pub fn change_keys(&mut self) {
        self.epochs.clear();
        self.unseen.clear();
        (self.sequence, self.slack, self.resume, self.nonce) = (0, 0, (0, 0), None);
        self.protected = true;
    }

    /// New keys came into use unseen: what said so was lost, and what followed may have been.
    pub fn keys_have_changed(&mut self) {
        self.change_keys();
        self.slack = 1;
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
            self.go_on_to(index);
            (self.sequence, self.slack, self.resume) = (0, 0, (0, 0));
        }
    }

    /// A KeyUpdate was seen.
    pub fn update(&mut self) {
        if let Some(updated) = self.epochs.first().and_then(Epoch::updated) {
            self.epochs = vec![updated];
            self.unseen.clear();
            (self.sequence, self.slack, self.resume) = (0, 0, (0, 0));
        }
    }

    /// Opens a record, where records may have been lost before it by finding out which one it is.
    pub fn open(&mut self, record: &Record<'_>, budget: &mut Budget, scratch: &mut Vec<u8>) -> Option<Opened> {
        for index in 0..self.epochs.len() {
            // The likely number costs one attempt, whatever there is left to pay others with.
            let first = self.likely(index, record).unwrap_or(self.first(index));
            if let Some(opened) = self.attempt(index, first, record, scratch) {
                return Some(opened);
            }
        }
        if self.slack > 0 { self.search(record, budget, scratch) } else { None }
    }

    /// The least number that the next record may have under the keys at `index`.
    fn first(&self, index: usize) -> u64 {
        if index == 0 { self.sequence } else { 0 }
    }

    /// Tries all numbers that the record may have, as far as the budget goes; the next record goes on from there.
    fn search(&mut self, record: &Record<'_>, budget: &mut Budget, scratch: &mut Vec<u8>) -> Option<Opened> {
        self.foresee_updates();
        let cost = record.body.len() as u64 + ATTEMPT;
        let (mut index, mut lost) = std::mem::take(&mut self.resume);
        loop {
            if lost > self.slack {
                (index, lost) = (index + 1, 0);
            }
            if index >= self.epochs.len() + self.unseen.len() {
                return None;
            }
            if budget.pay(cost).is_none() {
                // The next record comes after this one, so that one more is lost.
                self.resume = (index, lost + 1);
                return None;
            }
            let sequence = self.first(index).wrapping_add(lost);
            if let Some(opened) = self.attempt(index, sequence, record, scratch) {
                return Some(opened);
            }
            lost += 1;
        }
    }

    /// Makes the keys that KeyUpdates among what was lost would have made.
    fn foresee_updates(&mut self) {
        let last = self.epochs.last().filter(|epoch| epoch.phase == Phase::Application);
        if self.unseen.is_empty() {
            self.unseen =
                std::iter::successors(last.and_then(Epoch::updated), Epoch::updated).take(MAX_UPDATES).collect();
        }
    }

    /// Opens a record as number `sequence` under the keys at `index` of those known and those foreseen.
    fn attempt(&mut self, index: usize, sequence: u64, record: &Record<'_>, scratch: &mut Vec<u8>) -> Option<Opened> {
        let epoch = self.epochs.iter().chain(&self.unseen).nth(index)?;
        let (kind, content) = epoch.opener.open(sequence, record, scratch)?;
        let phase = epoch.phase;
        self.nonce = epoch.opener.carried_nonce(record).map(|nonce| (nonce, sequence));
        self.go_on_to(index);
        (self.sequence, self.slack, self.resume) = (sequence.wrapping_add(1), 0, (0, 0));
        self.reached = Some(phase);
        Some(Opened { kind, content, phase, sequence })
    }

    /// Forgets the keys before those at `index`, and what was foreseen of those after.
    fn go_on_to(&mut self, index: usize) {
        let mut unseen = std::mem::take(&mut self.unseen);
        match index.checked_sub(self.epochs.len()) {
            Some(foreseen) => self.epochs = vec![unseen.swap_remove(foreseen)],
            None => drop(self.epochs.drain(..index)),
        }
    }

    /// The number that a record has if its sender counts the nonces that records carry.
    fn likely(&self, index: usize, record: &Record<'_>) -> Option<u64> {
        let (before, sequence) = self.nonce.filter(|_| self.slack > 0 && index == 0)?;
        let nonce = self.epochs[index].opener.carried_nonce(record)?;
        sequence.checked_add(nonce.wrapping_sub(before))
    }
}
