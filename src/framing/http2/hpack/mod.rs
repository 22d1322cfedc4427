//! HPACK (RFC 7541): header blocks → header lists. Keeps how each field was represented, and survives a table of
//! which it did not see the beginning.

mod decode;
mod headers;
mod huffman;
mod table;

pub use decode::Decoder;
pub use headers::{Certainty, Field, Headers, MAX_LIST, Representation};

/// Why a header block cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HpackError {
    /// The block ends inside a field.
    #[error("the block ends inside a field")]
    Truncated,
    /// An integer is larger than any decoder reads (RFC 7541 5.1).
    #[error("an integer is too large")]
    Integer,
    /// A Huffman code that is none, or wrong padding (RFC 7541 5.2).
    #[error("a string is not Huffman code")]
    Huffman,
    /// Index 0 (RFC 7541 6.1).
    #[error("index 0")]
    IndexZero,
    /// An index beyond the tables (RFC 7541 2.3.3).
    #[error("index {0} is beyond the table")]
    Index(u32),
    /// A table size update that is not allowed: after a field, or beyond the limit (RFC 7541 4.2).
    #[error("a table size update after a field")]
    LateSizeUpdate,
    /// The block expands to many times what any header list has.
    #[error("the block expands beyond any header list")]
    Expansion,
    /// A table size update beyond what the receiver allows (RFC 7541 6.3).
    #[error("a table size update to {0} bytes, more than the receiver allows")]
    SizeUpdate(u32),
}
