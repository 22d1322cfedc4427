//! Header blocks → header lists.

use super::HpackError;
use super::headers::{Certainty, Headers, MAX_LIST, Representation};
use super::huffman;
use super::table::{DynamicTable, Entry, STATIC};

/// The table size before SETTINGS say another (RFC 9113 6.5.2).
const DEFAULT_TABLE: usize = 4096;

/// The largest table kept, in bytes, whatever is announced: a byte can stand for an entry as large as the table.
const MAX_TABLE: usize = 64 << 10;

/// Bytes that a block may expand to before it is given up; what is beyond [`MAX_LIST`] is read, but not kept.
const MAX_EXPANDED: usize = 4 * MAX_LIST;

/// Decodes the header blocks of one direction.
#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable,
    /// The largest table that the receiver ever allowed.
    allowed: usize,
}

impl Decoder {
    /// A decoder; `from_the_start`: the direction's first block will be the first given.
    pub fn new(from_the_start: bool) -> Self {
        Self { table: DynamicTable::new(DEFAULT_TABLE, !from_the_start), allowed: DEFAULT_TABLE }
    }

    /// The receiver's SETTINGS_HEADER_TABLE_SIZE. The sender uses it from when it acknowledges it, so the largest one
    /// ever announced is the limit.
    pub fn allow(&mut self, size: u32) {
        self.allowed = self.allowed.max(size as usize);
    }

    /// A header block was lost: what the table holds is uncertain from now on.
    pub fn lose(&mut self) {
        self.table.lose();
    }

    /// Bytes held.
    pub fn held_bytes(&self) -> usize {
        self.table.held_bytes()
    }

    /// Decodes a whole block into `headers`, which it empties first.
    ///
    /// # Errors
    /// The block is not HPACK: `headers` has the fields before the fault, and the table is uncertain from now on.
    pub fn decode(&mut self, block: &[u8], headers: &mut Headers) -> Result<(), HpackError> {
        headers.clear();
        let result = self.fields(&mut Cursor { bytes: block }, headers);
        if result.is_err() {
            self.table.lose();
        }
        result
    }

    fn fields(&mut self, block: &mut Cursor<'_>, headers: &mut Headers) -> Result<(), HpackError> {
        let mut begun = false;
        while let Some(&first) = block.bytes.first() {
            match first {
                // RFC 7541 6.1
                0x80.. => {
                    let index = block.integer(7)?;
                    self.indexed(index, headers)?;
                }
                // RFC 7541 6.2.1
                0x40..=0x7f => self.literal(block, 6, Representation::Incremental, headers)?,
                // RFC 7541 6.3
                0x20..=0x3f => {
                    let size = block.integer(5)?;
                    self.resize(size, begun)?;
                    continue;
                }
                // RFC 7541 6.2.3
                0x10..=0x1f => self.literal(block, 4, Representation::NeverIndexed, headers)?,
                // RFC 7541 6.2.2
                0x00..=0x0f => self.literal(block, 4, Representation::NotIndexed, headers)?,
            }
            begun = true;
            if headers.expanded() > MAX_EXPANDED {
                return Err(HpackError::Expansion);
            }
        }
        Ok(())
    }

    fn resize(&mut self, size: u32, late: bool) -> Result<(), HpackError> {
        if late {
            return Err(HpackError::LateSizeUpdate);
        }
        // Joined midway, what the receiver allows may not have been seen.
        if size as usize > self.allowed && !self.table.is_lossy() {
            return Err(HpackError::SizeUpdate(size));
        }
        self.table.resize((size as usize).min(MAX_TABLE));
        if size as usize > MAX_TABLE {
            self.table.lack_oldest();
        }
        Ok(())
    }

    fn indexed(&mut self, index: u32, headers: &mut Headers) -> Result<(), HpackError> {
        let (name, value, certainty) = self.entry(index)?;
        headers.begin(name);
        headers.value(value);
        headers.finish(Representation::Indexed, Some(index), certainty);
        Ok(())
    }

    fn literal(
        &mut self,
        block: &mut Cursor<'_>,
        prefix: u32,
        representation: Representation,
        headers: &mut Headers,
    ) -> Result<(), HpackError> {
        let index = block.integer(prefix)?;
        let certainty = if index == 0 {
            headers.begin(b"");
            block.string(headers.text())?;
            headers.name_ends();
            Certainty::Certain
        } else {
            let (name, _, (certainty, _)) = self.entry(index)?;
            headers.begin(name);
            certainty
        };
        block.string(headers.text())?;
        let certainty = (certainty, Certainty::Certain);
        if representation == Representation::Incremental {
            let (name, value) = headers.pending();
            self.table.insert(Entry::new(name, value, certainty));
        }
        headers.finish(representation, (index > 0).then_some(index), certainty);
        Ok(())
    }

    /// Name, value and their certainty of the entry at `index` of both tables (RFC 7541 2.3.3).
    fn entry(&self, index: u32) -> Result<Known<'_>, HpackError> {
        let place = (index as usize).checked_sub(1).ok_or(HpackError::IndexZero)?;
        if let Some((name, value)) = STATIC.get(place) {
            return Ok((name.as_bytes(), value.as_bytes(), (Certainty::Certain, Certainty::Certain)));
        }
        match self.table.get(place - STATIC.len()) {
            Some((entry, true)) => Ok((entry.name(), entry.value(), entry.certainty)),
            Some((entry, false)) => {
                let (name, value) = entry.certainty;
                let certainty = (name.at_most(Certainty::Uncertain), value.at_most(Certainty::Uncertain));
                Ok((entry.name(), entry.value(), certainty))
            }
            None if self.table.is_lossy() => Ok((b"", b"", (Certainty::Unknown, Certainty::Unknown))),
            None => Err(HpackError::Index(index)),
        }
    }
}

/// Name and value of an entry, and how certain each is.
type Known<'a> = (&'a [u8], &'a [u8], (Certainty, Certainty));

struct Cursor<'a> {
    bytes: &'a [u8],
}

impl Cursor<'_> {
    /// RFC 7541 5.1; larger than 32 bits is larger than any use of it.
    fn integer(&mut self, prefix: u32) -> Result<u32, HpackError> {
        let mask = (1u8 << prefix) - 1;
        let (&first, mut rest) = self.bytes.split_first().ok_or(HpackError::Truncated)?;
        let mut value = u64::from(first & mask);
        if first & mask == mask {
            for shift in (0..).step_by(7) {
                let (&byte, after) = rest.split_first().ok_or(HpackError::Truncated)?;
                rest = after;
                value += u64::from(byte & 0x7f) << shift;
                if value > u64::from(u32::MAX) || shift > 28 {
                    return Err(HpackError::Integer);
                }
                if byte & 0x80 == 0 {
                    break;
                }
            }
        }
        self.bytes = rest;
        Ok(value as u32)
    }

    /// RFC 7541 5.2
    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), HpackError> {
        let is_huffman = self.bytes.first().is_some_and(|first| first & 0x80 != 0);
        let length = self.integer(7)? as usize;
        let (string, rest) = self.bytes.split_at_checked(length).ok_or(HpackError::Truncated)?;
        self.bytes = rest;
        if is_huffman {
            huffman::decode(string, out).ok_or(HpackError::Huffman)
        } else {
            out.extend_from_slice(string);
            Ok(())
        }
    }
}
