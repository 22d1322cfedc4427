//! The tables that header fields refer to (RFC 7541 2.3).

use std::collections::VecDeque;

use super::headers::Certainty;

/// RFC 7541 Appendix A.
#[rustfmt::skip]
pub const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// What an entry counts beside its texts (RFC 7541 4.1).
pub const ENTRY_OVERHEAD: usize = 32;

/// An entry of the dynamic table.
#[derive(Debug)]
pub struct Entry {
    text: Box<[u8]>,
    name: u32,
    /// Whether its name and value are what the sender has there.
    pub certainty: (Certainty, Certainty),
}

impl Entry {
    /// An entry with these texts.
    pub fn new(name: &[u8], value: &[u8], certainty: (Certainty, Certainty)) -> Self {
        Self { text: [name, value].concat().into(), name: name.len() as u32, certainty }
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.text[..self.name as usize]
    }

    /// Its value.
    pub fn value(&self) -> &[u8] {
        &self.text[self.name as usize..]
    }

    fn size(&self) -> usize {
        self.text.len() + ENTRY_OVERHEAD
    }
}

/// The dynamic table of one direction.
#[derive(Debug)]
pub struct DynamicTable {
    /// The newest first.
    entries: VecDeque<Entry>,
    size: usize,
    max_size: usize,
    /// Entries may be missing.
    lossy: bool,
    /// How many of the newest entries are known to be the newest, where some may be missing.
    certain: usize,
}

impl DynamicTable {
    /// An empty table. `lossy`: the sender's need not be empty.
    pub fn new(max_size: usize, lossy: bool) -> Self {
        Self { entries: VecDeque::new(), size: 0, max_size, lossy, certain: 0 }
    }

    /// The entry at `index`, 0 being the newest, and whether it is certainly the one the sender means.
    pub fn get(&self, index: usize) -> Option<(&Entry, bool)> {
        self.entries.get(index).map(|entry| (entry, !self.lossy || index < self.certain))
    }

    /// Whether entries may be missing.
    pub fn is_lossy(&self) -> bool {
        self.lossy
    }

    /// Entries may have been added that were not seen.
    pub fn lose(&mut self) {
        self.lossy = true;
        self.certain = 0;
    }

    /// The sender's table is larger than this one: the oldest entries may be missing, what is here is certain.
    pub fn lack_oldest(&mut self) {
        if !self.lossy {
            self.lossy = true;
            self.certain = self.entries.len();
        }
    }

    /// Adds an entry; an empty table results if it is larger than the table (RFC 7541 4.4).
    pub fn insert(&mut self, entry: Entry) {
        let size = entry.size();
        self.evict(self.max_size.saturating_sub(size));
        if size <= self.max_size {
            self.size += size;
            self.entries.push_front(entry);
            self.certain = (self.certain + 1).min(self.entries.len());
        }
    }

    /// Changes the size that the table may have.
    pub fn resize(&mut self, max_size: usize) {
        self.max_size = max_size;
        self.evict(max_size);
        if max_size == 0 {
            // The sender's is empty too.
            self.lossy = false;
        }
    }

    /// Bytes held.
    pub fn held_bytes(&self) -> usize {
        self.size
    }

    fn evict(&mut self, most: usize) {
        while self.size > most
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= oldest.size();
        }
        self.certain = self.certain.min(self.entries.len());
    }
}
