//! Long looks at many messages, in pieces: what a filter lets through, and where a search leads. Between two pieces
//! the screen is drawn and keys are read, so that any of it can be interrupted.

use memchr::memmem;

use crate::journal::View;

/// Messages that one piece looks at: a few milliseconds.
pub const PIECE: u32 = 2048;

/// An identifier whose carriers are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Its text.
    pub text: String,
}

impl Carried {
    /// Whether message `index` carries it: as an identifier, in a list, as any parameter's value, or as its MessageID
    /// written `#7`.
    pub fn is_in(&self, view: View<'_>, index: u32) -> bool {
        let record = view.record(index);
        if let Some(number) = self.text.strip_prefix('#') {
            return number.parse() == Ok(record.message_id);
        }
        let known = view.journal.texts.find(&self.text);
        if known.is_some_and(|id| record.identifiers.contains(&id)) {
            return true;
        }
        // Escapes in JSON could hide it from this look; nobody escapes identifiers.
        if memmem::find(view.payload(record), self.text.as_bytes()).is_none() {
            return false;
        }
        let decoded = view.decoded(record);
        decoded.entries.iter().any(|entry| entry.shown == self.text || entry.identifiers().contains(&self.text))
    }
}

/// Decides whether a message is shown.
pub type Test<'a> = dyn Fn(View<'_>, u32) -> bool + 'a;

/// The messages that are shown, as far as they were looked at.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The first message that was not looked at.
    pub next: u32,
    /// Indexes of those shown, ascending.
    pub messages: Vec<u32>,
}

impl Scan {
    /// Looks at some more, up to message `count`; whether it got there.
    pub fn step(&mut self, view: View<'_>, count: u32, test: &Test<'_>) -> bool {
        let end = count.min(self.next.saturating_add(PIECE));
        self.messages.extend((self.next..end).filter(|&index| test(view, index)));
        self.next = self.next.max(end);
        self.next >= count
    }

    /// Procedures that a shown message belongs to, ascending.
    pub fn procedures(&self, view: View<'_>) -> Vec<u32> {
        let of = |&index: &u32| view.record(index).procedure;
        let mut all: Vec<u32> = self.messages.iter().map(of).filter(|&it| it != crate::journal::NONE).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// A search under way.
#[derive(Clone, Debug)]
pub struct Search {
    /// What is looked for: bytes, letters in lower case.
    needle: Vec<u8>,
    /// The next position in the list of messages to look at.
    next: i64,
    backward: bool,
}

/// How far a search got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It goes on.
    NotYet,
    /// At this position in the list.
    At(usize),
    /// There is nothing more that way.
    Nothing,
}

impl Search {
    /// A search for `text`, or for bytes where it is written `0x…`, from position `from` on.
    pub fn new(text: &str, from: usize, backward: bool) -> Self {
        let needle = hex(text).unwrap_or_else(|| text.to_ascii_lowercase().into_bytes());
        let next = from as i64 + if backward { -1 } else { 1 };
        Self { needle, next, backward }
    }

    /// Looks at some more positions of a list of `count` messages, whose indexes `message` tells.
    pub fn step(&mut self, view: View<'_>, count: usize, message: &dyn Fn(usize) -> u32) -> Found {
        for _ in 0..PIECE {
            let at = match usize::try_from(self.next) {
                Ok(at) if at < count => at,
                _ => return Found::Nothing,
            };
            self.next += if self.backward { -1 } else { 1 };
            if self.is_in(view, message(at)) {
                return Found::At(at);
            }
        }
        Found::NotYet
    }

    fn is_in(&self, view: View<'_>, index: u32) -> bool {
        let record = view.record(index);
        let holds = |bytes: &[u8]| memmem::find(&bytes.to_ascii_lowercase(), &self.needle).is_some();
        let raw = |bytes: &[u8]| memmem::find(bytes, &self.needle).is_some();
        let payload = view.payload(record);
        raw(payload)
            || holds(payload)
            || holds(view.name(record).as_bytes())
            || holds(record.code.to_string().as_bytes())
    }
}

/// The bytes that `0x1f 8b` stands for.
fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.strip_prefix("0x")?.bytes().filter(|byte| *byte != b' ').collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    // Two bytes are a command code, which is found by its name.
    if digits.len() % 2 == 1 || digits.len() < 6 { None } else { digits.chunks(2).map(pair).collect() }
}
