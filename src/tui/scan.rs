//! Long looks at many messages, in pieces, so that any of it can be interrupted: what is let through.

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
        ascending(self.messages.iter().map(of).filter(|&it| it != crate::journal::NONE).collect())
    }

    /// Connections that a shown message came on, ascending.
    pub fn connections(&self, view: View<'_>) -> Vec<u32> {
        ascending(self.messages.iter().map(|&index| view.record(index).connection).collect())
    }
}

fn ascending(mut all: Vec<u32>) -> Vec<u32> {
    all.sort_unstable();
    all.dedup();
    all
}
