//! A header list, and how each of its fields was represented.

use super::table::ENTRY_OVERHEAD;

/// The largest header list kept, in bytes as SETTINGS_MAX_HEADER_LIST_SIZE counts them (RFC 9113 6.5.2).
pub const MAX_LIST: usize = 256 << 10;

/// How a field was represented (RFC 7541 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Representation {
    /// An entry of a table.
    Indexed,
    /// A literal that becomes an entry.
    Incremental,
    /// A literal that does not.
    NotIndexed,
    /// A literal that must not, anywhere on its way.
    NeverIndexed,
}

/// Whether a text is what its sender meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// It came before the capture or in a gap: the text is empty.
    Unknown,
    /// Entries of the table may be missing, so this may be another's.
    Uncertain,
    /// It is.
    Certain,
}

impl Certainty {
    /// The lesser of the two.
    pub fn at_most(self, most: Self) -> Self {
        self.min(most)
    }
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name, as sent.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// How it was represented.
    pub representation: Representation,
    /// The index that it, or its name, was taken from (RFC 7541 2.3.3).
    pub index: Option<u32>,
    /// Certainty of name and value.
    pub certainty: (Certainty, Certainty),
}

impl Field<'_> {
    /// Whether both texts are what the sender meant.
    pub fn is_certain(&self) -> bool {
        self.certainty == (Certainty::Certain, Certainty::Certain)
    }
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    middle: u32,
    end: u32,
    representation: Representation,
    index: Option<u32>,
    certainty: (Certainty, Certainty),
}

/// A header list.
#[derive(Debug, Default)]
pub struct Headers {
    text: Vec<u8>,
    fields: Vec<Span>,
    /// Where the field that is being read starts, and its value.
    start: usize,
    middle: usize,
    /// As SETTINGS_MAX_HEADER_LIST_SIZE counts, with what was left out.
    expanded: usize,
    left_out: u32,
    unknown: u32,
}

impl Headers {
    /// The fields, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.fields.iter().map(|span| Field {
            name: &self.text[span.start as usize..span.middle as usize],
            value: &self.text[span.middle as usize..span.end as usize],
            representation: span.representation,
            index: span.index,
            certainty: span.certainty,
        })
    }

    /// The last field called `name`.
    pub fn get(&self, name: &str) -> Option<Field<'_>> {
        self.iter().filter(|field| field.name == name.as_bytes()).last()
    }

    /// Fields that were not kept because the list is too large.
    pub fn left_out(&self) -> u32 {
        self.left_out
    }

    /// Fields whose name or value is not known.
    pub fn unknown(&self) -> u32 {
        self.unknown
    }

    /// Bytes of all fields, with those left out.
    pub(super) fn expanded(&self) -> usize {
        self.expanded
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
        (self.start, self.middle, self.expanded) = (0, 0, 0);
        (self.left_out, self.unknown) = (0, 0);
    }

    pub(super) fn begin(&mut self, name: &[u8]) {
        self.start = self.text.len();
        self.text.extend_from_slice(name);
        self.middle = self.text.len();
    }

    pub(super) fn name_ends(&mut self) {
        self.middle = self.text.len();
    }

    pub(super) fn value(&mut self, value: &[u8]) {
        self.text.extend_from_slice(value);
    }

    /// Where the text that is being read goes.
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Name and value of the field that is being read.
    pub(super) fn pending(&self) -> (&[u8], &[u8]) {
        self.text[self.start..].split_at(self.middle - self.start)
    }

    /// The field is read; it stays unless the list became too large.
    pub(super) fn finish(
        &mut self,
        representation: Representation,
        index: Option<u32>,
        certainty: (Certainty, Certainty),
    ) {
        let size = self.text.len() - self.start + ENTRY_OVERHEAD;
        self.expanded += size;
        if self.left_out > 0 || self.expanded > MAX_LIST {
            self.left_out += 1;
            self.text.truncate(self.start);
            return;
        }
        if certainty.0.min(certainty.1) == Certainty::Unknown {
            self.unknown += 1;
        }
        self.fields.push(Span {
            start: self.start as u32,
            middle: self.middle as u32,
            end: self.text.len() as u32,
            representation,
            index,
            certainty,
        });
    }
}
