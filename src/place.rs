//! Where bytes lie, so that a record can name its payload in eight bytes instead of holding it.

/// The address of a byte: in a capture (its blocks follow each other in one address space) or in an arena
/// of bytes that are nowhere contiguous in the capture (reassembled, decrypted).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u64);

/// Set in the address of an arena's byte; the seven bits below it say which arena.
const ARENA: u64 = 1 << 63;
const ARENA_SHIFT: u32 = 56;
const OFFSET_MASK: u64 = (1 << ARENA_SHIFT) - 1;

impl Place {
    /// The byte at `offset` of the captures' common address space.
    pub const fn in_capture(offset: u64) -> Self {
        Self(offset & OFFSET_MASK)
    }

    /// The byte at `offset` of arena number `arena` (below 128).
    pub const fn in_arena(arena: u8, offset: u64) -> Self {
        Self(ARENA | ((arena as u64 & 0x7f) << ARENA_SHIFT) | (offset & OFFSET_MASK))
    }

    /// The arena's number, or `None` for a byte of a capture.
    pub const fn arena(self) -> Option<u8> {
        if self.0 & ARENA == 0 { None } else { Some(((self.0 >> ARENA_SHIFT) & 0x7f) as u8) }
    }

    /// The offset within the captures' address space or within the arena.
    pub const fn offset(self) -> u64 {
        self.0 & OFFSET_MASK
    }

    /// The byte `bytes` before this one in a capture; none before its beginning, or in an arena.
    pub const fn before(self, bytes: u64) -> Option<Self> {
        if self.arena().is_some() {
            return None;
        }
        match self.0.checked_sub(bytes) {
            Some(offset) => Some(Self(offset)),
            None => None,
        }
    }

    /// The byte `bytes` further on.
    pub const fn plus(self, bytes: u64) -> Self {
        Self((self.0 & !OFFSET_MASK) | ((self.0 + bytes) & OFFSET_MASK))
    }
}
