//! Identifiers, kept once each.

use std::ops::Range;

use hashbrown::HashTable;

use crate::dissect::TextHasher;
use crate::prefetch::prefetch;

/// An interned text; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextId(pub u32);

impl TextId {
    /// No text.
    pub const NONE: TextId = TextId(0);

    /// Whether there is a text.
    pub const fn is_some(self) -> bool {
        self.0 != 0
    }
}

/// All interned texts, one after the other.
#[derive(Debug)]
pub struct Interner {
    all: String,
    /// Where text `i + 1` ends in `all`.
    ends: Vec<u64>,
    table: HashTable<Slot>,
    hasher: TextHasher,
}

/// A text in the table, with its hash: a table that grows need not look at the texts again.
#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    id: u32,
}

impl Slot {
    /// What the table goes by: it takes the low bits and the highest.
    fn spread(self) -> u64 {
        u64::from(self.hash) << 32 | u64::from(self.hash)
    }
}

impl Interner {
    /// No texts, whose hashes will be those of `hasher`.
    pub fn new(hasher: TextHasher) -> Self {
        Self { all: String::new(), ends: Vec::new(), table: HashTable::new(), hasher }
    }

    /// Asks for what says whether a text with this `hash` is known.
    pub fn prefetch(&self, hash: u32) {
        // Not compared yet, which would wait for the text.
        if let Some(slot) = self.table.find(Slot { hash, id: 0 }.spread(), |_| true) {
            prefetch(slot);
        }
    }

    /// The id of `text`, new or known, whose `hash` is half of the hasher's; [`TextId::NONE`] for an empty one.
    pub fn intern(&mut self, text: &[u8], hash: u32) -> TextId {
        if text.is_empty() {
            return TextId::NONE;
        }
        let id = self.ends.len() as u32 + 1;
        let new = Slot { hash, id };
        let (all, ends) = (self.all.as_bytes(), &self.ends);
        let is_it = |slot: &Slot| slot.hash == new.hash && &all[range(ends, slot.id)] == text;
        if let Some(known) = self.table.find(new.spread(), is_it) {
            return TextId(known.id);
        }
        // What is interned was read from JSON text, so it is UTF-8.
        self.all.push_str(str::from_utf8(text).unwrap_or("?"));
        self.ends.push(self.all.len() as u64);
        self.table.insert_unique(new.spread(), new, |slot| slot.spread());
        TextId(id)
    }

    /// The text of `id`; `None` for [`TextId::NONE`].
    pub fn get(&self, id: TextId) -> Option<&str> {
        id.is_some().then(|| &self.all[range(&self.ends, id.0)])
    }

    /// The id of `text`, if it was interned.
    pub fn find(&self, text: &str) -> Option<TextId> {
        let wanted = Slot { hash: self.hasher.hash(text.as_bytes()) as u32, id: 0 };
        let is_it = |slot: &Slot| slot.hash == wanted.hash && &self.all[range(&self.ends, slot.id)] == text;
        self.table.find(wanted.spread(), is_it).map(|slot| TextId(slot.id))
    }
}

/// Where text `id` lies.
fn range(ends: &[u64], id: u32) -> Range<usize> {
    let index = id as usize - 1;
    let start = if index == 0 { 0 } else { ends[index - 1] };
    start as usize..ends[index] as usize
}
