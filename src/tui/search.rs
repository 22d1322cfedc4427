//! Where a search for text or bytes leads, in pieces, so that it can be interrupted.

use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

use super::scan::PIECE;
use crate::journal::View;

/// A search under way.
#[derive(Clone, Debug)]
pub struct Search {
    /// Tells it from others.
    pub number: u64,
    needle: Regex,
    /// The list that it goes through: its messages (`None` for all), and how many they are.
    listed: Option<Arc<Vec<u32>>>,
    count: usize,
    /// The next position in the list to look at.
    next: usize,
    /// Positions to look at yet: all of them, the first one's own last.
    left: usize,
    backward: bool,
    wrapped: bool,
}

/// How far a search got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It goes on.
    NotYet,
    /// This message; `wrapped`: beyond the end of the list, from its other end on.
    At {
        /// Index of the message.
        message: u32,
        /// Whether it went round.
        wrapped: bool,
    },
    /// It is nowhere in the list.
    Nothing,
}

/// Where to search.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Messages in the order of the list; `None` for all, in theirs.
    pub listed: Option<Arc<Vec<u32>>>,
    /// How many they are.
    pub count: usize,
    /// The position to begin beside.
    pub from: usize,
    /// Towards the first.
    pub backward: bool,
}

impl Search {
    /// A search for `text`, capital or not, or for bytes where it is written `0x…`.
    ///
    /// # Errors
    /// It is too long.
    pub fn new(number: u64, text: &str, ground: Ground) -> Result<Self, String> {
        let Ground { listed, count, from, backward } = ground;
        let needle = needle(text).map_err(|_| "that is too long to search for".to_owned())?;
        let mut search = Self { number, needle, listed, count, next: from, left: count, backward, wrapped: false };
        search.turn();
        Ok(search)
    }

    /// Goes to the next position.
    fn turn(&mut self) {
        let last = self.count.saturating_sub(1);
        let (next, end, other) = if self.backward {
            (self.next.wrapping_sub(1), self.next == 0, last)
        } else {
            (self.next + 1, self.next >= last, 0)
        };
        self.wrapped |= end;
        self.next = if end { other } else { next.min(last) };
    }

    /// Looks at some more messages.
    pub fn step(&mut self, view: View<'_>) -> Found {
        for _ in 0..PIECE {
            let Some(left) = self.left.checked_sub(1) else { return Found::Nothing };
            let message = self.listed.as_ref().map_or(self.next as u32, |listed| listed[self.next]);
            if self.is_in(view, message) {
                return Found::At { message, wrapped: self.wrapped };
            }
            self.left = left;
            self.turn();
        }
        Found::NotYet
    }

    fn is_in(&self, view: View<'_>, index: u32) -> bool {
        let record = view.record(index);
        self.needle.is_match(view.payload(record))
            || self.needle.is_match(view.name(record).as_bytes())
            || self.needle.is_match(record.code.to_string().as_bytes())
    }
}

fn needle(text: &str) -> Result<Regex, regex::Error> {
    match hex(text) {
        Some(bytes) => {
            let pattern: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            RegexBuilder::new(&pattern).unicode(false).build()
        }
        None => RegexBuilder::new(&regex::escape(text)).case_insensitive(true).build(),
    }
}

/// The bytes that `0x1f 8b` stands for.
fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.strip_prefix("0x")?.bytes().filter(|byte| *byte != b' ').collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    // Two bytes are a command code, which is found by its name.
    if digits.len() % 2 == 1 || digits.len() < 6 { None } else { digits.chunks(2).map(pair).collect() }
}
