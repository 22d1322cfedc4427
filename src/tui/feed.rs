//! Where the interface gets what it shows: a journal that may still grow, behind a lock that is held only for a look.

use std::collections::BTreeSet;

use crate::capture::Block;
use crate::capture::file::Replay;
use crate::journal::{Journal, View};

/// Whether more is to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// More is to come.
    #[default]
    Growing,
    /// Everything was read; numbers are final.
    Done,
    /// Reading was stopped before the end; numbers are final.
    Cancelled,
}

/// How a source stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Changes whenever the journal does.
    pub generation: u64,
    /// Whether more is to come.
    pub phase: Phase,
    /// Bytes read and bytes in all, where the source has an end.
    pub read: Option<(u64, u64)>,
    /// Bytes that were recorded and not analysed yet.
    pub behind: u64,
    /// Packets that were lost before they could be looked at.
    pub lost: u64,
    /// How a live source stands; none for files.
    pub panel: Option<SourcePanel>,
    /// What could not be read, a sentence each.
    pub problems: Vec<String>,
}

/// A source of procedures.
pub trait Feed: Send + Sync {
    /// Shows what there is to `look`, which must be quick: the analysis may be waiting.
    fn with(&self, look: &mut dyn FnMut(View<'_>));
    /// How it stands.
    fn status(&self) -> Status;
    /// Stops reading; what was read stays.
    fn cancel(&self);
    /// The TLS secrets of the connections with these client randoms, as a key log, and of how many it has any.
    fn key_log(&self, _randoms: &BTreeSet<[u8; 32]>) -> (String, usize) {
        (String::new(), 0)
    }
    /// Reads the packets once more, from the first; `None` where they are not in files that can be.
    fn packets(&self) -> Option<Replay> {
        None
    }
}

/// How a live source stands, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourcePanel {
    /// What kind of source it is, like `proxy`.
    pub title: String,
    /// What went wrong, or might; first of all.
    pub warnings: Vec<String>,
    /// Names and values.
    pub facts: Vec<(String, String)>,
    /// Lists of things, like the connections of a proxy.
    pub tables: Vec<SourceTable>,
}

/// A list in a [`SourcePanel`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceTable {
    /// What is listed.
    pub title: String,
    /// The heads of its columns.
    pub columns: Vec<String>,
    /// A text for each column.
    pub rows: Vec<Vec<String>>,
    /// What there is to say about a row, line by line.
    pub details: Vec<Vec<String>>,
}

/// A journal that grows no more.
#[derive(Debug)]
pub struct Still {
    /// What was seen.
    pub journal: Journal,
    /// The capture's bytes.
    pub blocks: Vec<Block>,
}

impl Feed for Still {
    fn with(&self, look: &mut dyn FnMut(View<'_>)) {
        look(View { journal: &self.journal, blocks: &self.blocks });
    }

    fn status(&self) -> Status {
        Status { generation: 1, phase: Phase::Done, ..Status::default() }
    }

    fn cancel(&self) {}
}
