//! Bytes of a stream that wait: of a PDU or a TLS record that is not whole yet, or of a stream not yet recognised.

use std::collections::VecDeque;

use super::Stamp;

/// A byte queue that knows which packet each byte came in. Most streams need none, so one that was never used is small.
#[derive(Debug, Default)]
pub struct Backlog(Option<Box<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    /// Bytes at the front of `bytes` that are consumed.
    front: usize,
    /// Bytes ever consumed; stamps are kept by absolute position so that consuming moves none.
    consumed: u64,
    stamps: VecDeque<(u64, Stamp)>,
    /// The first packet that brought any byte since the queue was last empty.
    since: Option<Stamp>,
}

impl Backlog {
    /// What waits.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |queue| queue.bytes())
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends what a packet brought.
    pub fn extend(&mut self, bytes: &[u8], stamp: Stamp) {
        if !bytes.is_empty() {
            self.0.get_or_insert_default().extend(bytes, stamp);
        }
    }

    /// What waits, by packet.
    pub fn runs(&self) -> impl Iterator<Item = (&[u8], Stamp)> {
        self.0.iter().flat_map(|queue| queue.runs())
    }

    /// Drops `count` bytes from the front; at most all of them.
    pub fn consume(&mut self, count: usize) {
        if let Some(queue) = &mut self.0 {
            queue.consume(count);
        }
    }

    /// Drops everything and its memory.
    pub fn clear(&mut self) {
        self.0 = None;
    }

    /// A packet not later than any that brought [`Backlog::bytes`].
    pub fn since(&self) -> Option<Stamp> {
        self.0.as_ref()?.since
    }

    /// The first packet that brought any of the first `end` bytes of [`Backlog::bytes`].
    pub fn begun_by(&self, end: usize) -> Option<Stamp> {
        self.0.as_ref()?.stamps_of(end).min_by_key(|stamp| stamp.packet)
    }

    /// The packet that completed the first `end` bytes of [`Backlog::bytes`]: out of order, that need not be the one
    /// that brought the last of them.
    pub fn completed_by(&self, end: usize) -> Option<Stamp> {
        self.0.as_ref()?.stamps_of(end).max_by_key(|stamp| stamp.packet)
    }
}

impl Queue {
    fn bytes(&self) -> &[u8] {
        &self.bytes[self.front..]
    }

    fn extend(&mut self, bytes: &[u8], stamp: Stamp) {
        if self.since.is_none_or(|since| stamp.packet < since.packet) {
            self.since = Some(stamp);
        }
        if self.stamps.back().is_none_or(|(_, last)| *last != stamp) {
            self.stamps.push_back((self.consumed + self.bytes().len() as u64, stamp));
        }
        self.bytes.extend_from_slice(bytes);
    }

    fn runs(&self) -> impl Iterator<Item = (&[u8], Stamp)> {
        let bytes = self.bytes();
        let within = |position: u64| (position.saturating_sub(self.consumed) as usize).min(bytes.len());
        let ends = self.stamps.iter().skip(1).map(|(start, _)| *start).chain([u64::MAX]);
        self.stamps.iter().zip(ends).map(move |((start, stamp), end)| (&bytes[within(*start)..within(end)], *stamp))
    }

    fn consume(&mut self, count: usize) {
        let count = count.min(self.bytes().len());
        self.front += count;
        self.consumed += count as u64;
        if self.bytes().is_empty() {
            self.bytes.clear();
            self.front = 0;
            self.stamps.clear();
            self.since = None;
        } else if self.front > self.bytes.len() / 2 {
            // Moves each byte at most once per halving, so consuming stays linear.
            self.bytes.drain(..self.front);
            self.front = 0;
        }
        while self.stamps.get(1).is_some_and(|(start, _)| *start <= self.consumed) {
            self.stamps.pop_front();
        }
    }

    /// The packets that brought the first `end` bytes.
    fn stamps_of(&self, end: usize) -> impl Iterator<Item = Stamp> {
        let end = self.consumed + end as u64;
        self.stamps.iter().take_while(move |(start, _)| *start < end).map(|(_, stamp)| *stamp)
    }
}
