//! What was read, to be read once more: the same packets in the same order, with the names of addresses.

use std::sync::Arc;

use super::summary::FileSummary;
use super::tail::{News, Tail};
use super::timeline::Reader;
use crate::capture::growing::Growing;
use crate::capture::{Batch, Packet};

/// A reader at the first packet of captures that were read before.
pub struct Replay(Source);

enum Source {
    /// One timeline.
    Files(Reader),
    /// One file after the other, as far as they have grown.
    Growing(Arc<Growing>, Box<Tail>),
}

impl Replay {
    /// What `reader` reads, from its beginning.
    pub fn of_files(reader: &Reader) -> Self {
        Self(Source::Files(reader.again()))
    }

    /// What a [`Tail`] of `growing` reads, from its beginning.
    pub fn of_growing(growing: &Arc<Growing>) -> Self {
        Self(Source::Growing(Arc::clone(growing), Box::new(Tail::again(Arc::clone(growing)))))
    }

    /// The same, at the first packet.
    #[must_use]
    pub fn again(&self) -> Self {
        match &self.0 {
            Source::Files(reader) => Self::of_files(reader),
            Source::Growing(growing, _) => Self::of_growing(growing),
        }
    }

    /// Refills `batch` with the next packets, about `most` of them. False when nothing is left, or nothing yet.
    pub fn read_batch(&mut self, batch: &mut Batch, most: usize) -> bool {
        match &mut self.0 {
            Source::Files(reader) => reader.read_batch(batch, most),
            Source::Growing(_, tail) => loop {
                match tail.read_batch(batch) {
                    News::Some if batch.packets.is_empty() => {}
                    News::Some => return true,
                    News::None | News::Over => return false,
                }
            },
        }
    }

    /// Whether all there was until here was there to be read; files of a ring may have been removed.
    pub fn is_whole(&self) -> bool {
        match &self.0 {
            Source::Files(_) => true,
            Source::Growing(_, tail) => tail.is_whole(),
        }
    }

    /// The files, as far as they have been read.
    pub fn files(&self) -> &[FileSummary] {
        match &self.0 {
            Source::Files(reader) => reader.files(),
            Source::Growing(_, tail) => tail.files(),
        }
    }

    /// The index in [`Replay::files`] of the file that a packet of the last batch is from.
    pub fn file_of(&self, packet: &Packet) -> usize {
        match &self.0 {
            Source::Files(_) => packet.block.into(),
            // A batch holds packets of one file.
            Source::Growing(_, tail) => tail.files().len() - 1,
        }
    }
}
