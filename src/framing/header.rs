//! The 10-byte header of Ck over TCP: a view over exactly ten bytes, so that no accessor can fail.

/// Bytes of a header (Q.4164 Figure I.1: 2 + 4 + 2 + 2).
pub const HEADER: usize = 10;

/// The largest payload: Length has 2 bytes (Q.4164 Figure I.1).
pub const MAX_LENGTH: usize = 65_535;

/// The fields of a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Version of the protocol format.
    pub version: u16,
    /// MessageID.
    pub message_id: u32,
    /// CommandCode (Q.4164 Table I.1).
    pub code: u16,
    /// Length of the payload in bytes, as the sender says.
    pub length: u16,
}

impl Header {
    /// Reads a header in network order, or as a little-endian peer writes it.
    pub fn read(bytes: &[u8; HEADER], little_endian: bool) -> Self {
        let [v0, v1, i0, i1, i2, i3, c0, c1, l0, l1] = *bytes;
        if little_endian {
            Self {
                version: u16::from_le_bytes([v0, v1]),
                message_id: u32::from_le_bytes([i0, i1, i2, i3]),
                code: u16::from_le_bytes([c0, c1]),
                length: u16::from_le_bytes([l0, l1]),
            }
        } else {
            Self {
                version: u16::from_be_bytes([v0, v1]),
                message_id: u32::from_be_bytes([i0, i1, i2, i3]),
                code: u16::from_be_bytes([c0, c1]),
                length: u16::from_be_bytes([l0, l1]),
            }
        }
    }
}

/// Which command codes exist: all that the framing knows of the definitions.
#[derive(Clone, Debug)]
pub struct CommandCodes {
    known: Vec<u64>,
    families: [bool; 256],
}

impl CommandCodes {
    /// The codes that definitions name, and the first digits that stand for a direction.
    pub fn new(codes: impl IntoIterator<Item = u16>, prefixes: impl IntoIterator<Item = u8>) -> Self {
        let mut known = vec![0; 1024];
        for code in codes {
            known[usize::from(code >> 6)] |= 1 << (code & 63);
        }
        let mut families = [false; 256];
        for prefix in prefixes {
            families[usize::from(prefix)] = true;
        }
        Self { known, families }
    }

    /// Whether a definition names `code`.
    pub fn is_known(&self, code: u16) -> bool {
        self.known[usize::from(code >> 6)] & (1 << (code & 63)) != 0
    }

    /// Whether the first digits of `code` stand for a direction.
    pub fn is_of_a_family(&self, code: u16) -> bool {
        self.families[usize::from(code >> 8)]
    }
}
