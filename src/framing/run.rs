//! Bytes of one packet that a framer has still to take.

use crate::place::Place;
use crate::stream::Stamp;

/// Bytes of one packet.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// What is left of them.
    pub bytes: &'a [u8],
    /// Where the first one lies in the capture; `None` if it was put together.
    pub place: Option<Place>,
    /// The packet.
    pub stamp: Stamp,
}

impl Run<'_> {
    /// Takes `count` bytes, of as many as there are.
    pub fn advance(&mut self, count: usize) {
        self.bytes = &self.bytes[count..];
        self.place = self.place.map(|place| place.plus(count as u64));
    }
}
