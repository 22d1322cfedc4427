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
    bytes: Vec<u8>,
    /// Where text `i + 1` ends in `bytes`.
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
        let (bytes, ends) = (&self.bytes, &self.ends);
        if let Some(&id) = self.table.find(hash, |&id| slice(bytes, ends, id) == text) {
            return TextId(id);
        }
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as u64);
        let id = self.ends.len() as u32;
        let (bytes, ends, hasher) = (&self.bytes, &self.ends, &self.hasher);
        self.table.insert_unique(hash, id, |&id| hasher.hash_one(slice(bytes, ends, id)));
        TextId(id)
    }

    /// The text of `id`; `None` for [`TextId::NONE`].
    pub fn get(&self, id: TextId) -> Option<&str> {
        // What is interned was read from JSON text, so it is UTF-8.
        id.is_some().then(|| std::str::from_utf8(slice(&self.bytes, &self.ends, id.0)).unwrap_or("?"))
    }

    /// The id of `text`, if it was interned.
    pub fn find(&self, text: &str) -> Option<TextId> {
        let hash = self.hasher.hash_one(text.as_bytes());
        self.table.find(hash, |&id| slice(&self.bytes, &self.ends, id) == text.as_bytes()).map(|&id| TextId(id))
    }
}

fn slice<'a>(bytes: &'a [u8], ends: &[u64], id: u32) -> &'a [u8] {
    let index = id as usize - 1;
    let start = if index == 0 { 0 } else { ends[index - 1] };
    &bytes[start as usize..ends[index] as usize]
}
