//! Identifiers, kept once each.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

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
#[derive(Debug, Default)]
pub struct Interner {
    all: String,
    /// Where text `i + 1` ends in `all`.
    ends: Vec<u64>,
    table: HashTable<u32>,
    hasher: RandomState,
}

impl Interner {
    /// The id of `text`, new or known; [`TextId::NONE`] for an empty one.
    pub fn intern(&mut self, text: &[u8]) -> TextId {
        if text.is_empty() {
            return TextId::NONE;
        }
        let hash = self.hasher.hash_one(text);
        let (all, ends) = (&self.all, &self.ends);
        if let Some(&id) = self.table.find(hash, |&id| slice(all, ends, id).as_bytes() == text) {
            return TextId(id);
        }
        // What is interned was read from JSON text, so it is UTF-8.
        self.all.push_str(str::from_utf8(text).unwrap_or("?"));
        self.ends.push(self.all.len() as u64);
        let id = self.ends.len() as u32;
        let (all, ends, hasher) = (&self.all, &self.ends, &self.hasher);
        self.table.insert_unique(hash, id, |&id| hasher.hash_one(slice(all, ends, id).as_bytes()));
        TextId(id)
    }

    /// The text of `id`; `None` for [`TextId::NONE`].
    pub fn get(&self, id: TextId) -> Option<&str> {
        id.is_some().then(|| slice(&self.all, &self.ends, id.0))
    }

    /// The id of `text`, if it was interned.
    pub fn find(&self, text: &str) -> Option<TextId> {
        let hash = self.hasher.hash_one(text.as_bytes());
        self.table.find(hash, |&id| slice(&self.all, &self.ends, id) == text).map(|&id| TextId(id))
    }
}

fn slice<'a>(all: &'a str, ends: &[u64], id: u32) -> &'a str {
    let index = id as usize - 1;
    let start = if index == 0 { 0 } else { ends[index - 1] };
    &all[start as usize..ends[index] as usize]
}
