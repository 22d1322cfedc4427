//! What the framing cuts streams into.

use super::header::Header;
use crate::place::Place;
use crate::stream::Stamp;

/// Why a PDU is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truncation {
    /// The capture or the connection ended inside it.
    StreamEnded,
    /// Bytes of it are in no packet.
    Gap,
    /// The snapshot length cut it.
    SnapshotLength,
    /// The rest is in a TLS record that was not decrypted.
    NotDecrypted,
    /// It is larger than we keep, or does not decompress to its end.
    Undecoded,
    /// Nothing: its Length is too large, for the object ends before and another message follows.
    LengthTooLarge,
}

/// One PDU, and what it took to find it.
#[derive(Clone, Copy, Debug)]
pub struct Pdu<'a> {
    /// Its header.
    pub header: Header,
    /// Its payload, as far as it is there.
    pub payload: &'a [u8],
    /// Where the payload lies, if it is contiguous in the capture.
    pub place: Option<Place>,
    /// The packet that completed it.
    pub stamp: Stamp,
    /// Number of the first packet that carries some of it; not always the one that carries its first byte.
    pub begun: u32,
    /// The packet at which it is placed among the messages of all connections; `None` where nothing said that it is
    /// not whole but the end of the stream.
    pub placed: Option<u32>,
    /// Payload bytes it should have.
    pub length: u16,
    /// Why it is not whole, if it is not.
    pub truncated: Option<Truncation>,
    /// Bytes skipped before it because they were no message.
    pub skipped: u64,
    /// Bytes missing before or inside it.
    pub gap: u64,
    /// The header is little-endian.
    pub little_endian: bool,
    /// Length counts the header.
    pub counts_header: bool,
}
