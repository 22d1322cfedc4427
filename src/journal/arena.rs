//! Bytes that are nowhere contiguous in the capture.

use crate::place::Place;

/// Bytes of one chunk; a payload never crosses a chunk's end, so a chunk holds many of the largest.
const CHUNK: usize = 1 << 20;

/// An append-only store. Its chunks never move, so it grows without copying.
#[derive(Debug, Default)]
pub struct Arena {
    chunks: Vec<Vec<u8>>,
}

impl Arena {
    /// Keeps `bytes`; where.
    pub fn push(&mut self, bytes: &[u8]) -> Place {
        let fits = self.chunks.last().is_some_and(|chunk| chunk.len() + bytes.len() <= chunk.capacity());
        if !fits {
            self.chunks.push(Vec::with_capacity(bytes.len().max(CHUNK)));
        }
        let index = self.chunks.len() as u64 - 1;
        let chunk = self.chunks.last_mut().expect("one was just made");
        let offset = chunk.len() as u64;
        chunk.extend_from_slice(bytes);
        // A chunk may exceed CHUNK only by holding a single piece, so `offset` stays below 2^20.
        Place::in_arena(0, index << 20 | offset)
    }

    /// The `length` bytes at `place`, if they were kept here.
    pub fn get(&self, place: Place, length: usize) -> Option<&[u8]> {
        let chunk = self.chunks.get((place.offset() >> 20) as usize)?;
        let start = (place.offset() & (CHUNK as u64 - 1)) as usize;
        chunk.get(start..start + length)
    }
}
