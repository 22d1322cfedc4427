//! Identifiers, kept once each.

use super::Chunked;
use crate::dissect::TextHasher;
use crate::probing::{Entry, ProbingTable};

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

/// Bytes of texts that are kept together, so that none is moved when there are more.
const PAGE: usize = 256 << 10;

/// All interned texts.
#[derive(Debug)]
pub struct Interner {
    /// Texts one after the other, each whole in one of them.
    pages: Vec<String>,
    /// Where text `i + 1` lies.
    texts: Chunked<Text>,
    table: ProbingTable<Slot>,
    hasher: TextHasher,
}

/// Where a text lies: in which page, from which byte on, and how many.
#[derive(Clone, Copy, Debug)]
struct Text {
    page: u32,
    start: u32,
    length: u32,
}

/// A text in the table, with its hash: a table that grows need not look at the texts again.
#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    id: u32,
}

impl Entry for Slot {
    const NONE: Self = Self { hash: 0, id: 0 };

    fn is_none(&self) -> bool {
        self.id == 0
    }

    fn hash(&self) -> u64 {
        u64::from(self.hash)
    }
}

impl Interner {
    /// No texts, whose hashes will be those of `hasher`.
    pub fn new(hasher: TextHasher) -> Self {
        Self { pages: Vec::new(), texts: Chunked::default(), table: ProbingTable::default(), hasher }
    }

    /// Asks for what says whether a text with this `hash` is known.
    pub fn prefetch(&self, hash: u32) {
        self.table.prefetch(u64::from(hash));
    }

    /// The id of `text`, new or known, whose `hash` is half of the hasher's; [`TextId::NONE`] for an empty one.
    pub fn intern(&mut self, text: &[u8], hash: u32) -> TextId {
        if text.is_empty() {
            return TextId::NONE;
        }
        let is_it = |slot: &Slot| slot.hash == hash && self.text(slot.id).as_bytes() == text;
        if let Some(known) = self.table.find(u64::from(hash), is_it) {
            return TextId(known.id);
        }
        // What is interned was read from JSON text, so it is UTF-8.
        self.keep(str::from_utf8(text).unwrap_or("?"));
        let id = self.texts.len() as u32;
        self.table.insert(Slot { hash, id });
        TextId(id)
    }

    fn keep(&mut self, text: &str) {
        if self.pages.last().is_none_or(|page| page.capacity() - page.len() < text.len()) {
            self.pages.push(String::with_capacity(PAGE.max(text.len())));
        }
        let index = self.pages.len() - 1;
        let page = &mut self.pages[index];
        self.texts.push(Text { page: index as u32, start: page.len() as u32, length: text.len() as u32 });
        page.push_str(text);
    }

    fn text(&self, id: u32) -> &str {
        let Text { page, start, length } = self.texts[id as usize - 1];
        &self.pages[page as usize][start as usize..(start + length) as usize]
    }

    /// The text of `id`; `None` for [`TextId::NONE`].
    pub fn get(&self, id: TextId) -> Option<&str> {
        id.is_some().then(|| self.text(id.0))
    }

    /// The id of `text`, if it was interned.
    pub fn find(&self, text: &str) -> Option<TextId> {
        let hash = self.hasher.hash(text.as_bytes()) as u32;
        let is_it = |slot: &Slot| slot.hash == hash && self.text(slot.id) == text;
        self.table.find(u64::from(hash), is_it).map(|slot| TextId(slot.id))
    }
}
