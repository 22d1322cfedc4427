//! The part of a packet that is still to be read.

use super::network::Ends;
use super::undecoded::{Layer, Reason};

/// A packet, read up to `at`. It ends where the innermost length field says, which may be beyond what was captured.
pub struct View<'a> {
    /// The captured bytes, from the packet's first to where the innermost header says it ends.
    pub bytes: &'a [u8],
    /// Where the next header starts.
    pub at: usize,
    /// Where the packet ended on the wire; `bytes` is shorter when the snapshot length cut it.
    pub wire: usize,
    /// The addresses of the innermost IP header behind us. They stand here and not in a step, so that a step is
    /// small enough for a register: copying it was half of the time a packet took.
    pub ends: Ends,
}

impl<'a> View<'a> {
    /// A packet of which `original` bytes were on the wire.
    #[inline]
    pub fn new(bytes: &'a [u8], original: usize, ends: Ends) -> Self {
        Self { bytes, at: 0, wire: original.max(bytes.len()), ends }
    }

    /// What was captured from here on.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The next `N` bytes, which then are behind us.
    #[inline]
    pub fn take<const N: usize>(&mut self, layer: Layer) -> Result<&'a [u8; N], Reason> {
        let taken = self.rest().first_chunk().ok_or(Reason::Cut(layer))?;
        self.at += N;
        Ok(taken)
    }

    /// Leaves `count` bytes behind.
    #[inline]
    pub fn skip(&mut self, count: usize, layer: Layer) -> Result<(), Reason> {
        if count > self.rest().len() {
            return Err(Reason::Cut(layer));
        }
        self.at += count;
        Ok(())
    }

    /// Ends the packet at `end`, if it is not over before: what follows is padding or a check sequence. A length
    /// that goes beyond what was on the wire is not believed.
    #[inline]
    pub fn end_at(&mut self, end: usize) {
        self.wire = self.wire.min(end.max(self.at));
        self.bytes = &self.bytes[..self.bytes.len().min(self.wire)];
    }

    /// Whether the snapshot length cut the packet.
    #[inline]
    pub fn is_cut(&self) -> bool {
        self.bytes.len() < self.wire
    }
}
