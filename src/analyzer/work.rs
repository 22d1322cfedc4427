//! What workers are told and what they answer.

use std::collections::HashSet;
use std::sync::Arc;

use crate::capture::Block;
use crate::correlate::{Correlator, Seen};
use crate::dissect::{Definitions, Texts};
use crate::journal::{Journal, Side, Traffic, Trouble};
use crate::packet::Flags;
use crate::prefetch::prefetch;
use crate::stream::Stamp;
use crate::time::Timestamp;
use crate::tls::{self, Secrets, SessionSecret};

/// A segment and where it belongs.
#[derive(Clone, Copy, Debug)]
pub struct SegmentTask {
    pub connection: u32,
    pub side: Side,
    pub initial: Option<u32>,
    /// What was taken for the initiator before is not.
    pub swaps_sides: bool,
    pub sequence: u32,
    pub acknowledgment: Option<u32>,
    pub flags: Flags,
    pub stamp: Stamp,
    /// Where its payload lies in its block.
    pub offset: u64,
    pub length: u32,
    pub missing: u32,
    pub block: u16,
    /// Whether the block is the capture's, not a datagram put together from fragments.
    pub in_capture: bool,
    pub insist: bool,
}

/// What a worker is told, in capture order.
#[derive(Debug)]
pub enum Task {
    Segment(SegmentTask),
    /// Another connection began on the same addresses.
    Retire {
        connection: u32,
        stamp: Stamp,
    },
    /// Secrets became known, and nothing else happened.
    Retry {
        stamp: Stamp,
    },
    /// The capture is over.
    Finish {
        stamp: Stamp,
    },
}

/// A worker's part of a batch.
#[derive(Debug)]
pub struct Work {
    pub tasks: Vec<Task>,
    pub blocks: Vec<Block>,
    /// The TLS secrets known so far.
    pub secrets: Secrets,
    /// TLS sessions that were learned since the last batch.
    pub sessions: Arc<Vec<SessionSecret>>,
    /// Where to put what is found: an empty one, whose memory was used before.
    pub output: Output,
    /// From which packet on which floor holds; the first one holds from the batch's beginning.
    pub floors: Vec<(u32, u32)>,
}

/// Which bytes are wanted besides the messages. Connections go by index.
#[derive(Clone, Debug, Default)]
pub enum Tap {
    /// None.
    #[default]
    Nothing,
    /// All of one direction.
    Side(u32, Side),
    /// The [`Layer::Content`] of both directions of these connections.
    Content(Arc<HashSet<u32>>),
}

impl Tap {
    /// Whether it wants this.
    pub(super) fn wants(&self, connection: u32, side: Side, layer: Layer) -> bool {
        match self {
            Self::Nothing => false,
            Self::Side(wanted, of) => (*wanted, *of) == (connection, side),
            Self::Content(wanted) => layer == Layer::Content && wanted.contains(&connection),
        }
    }
}

/// Part of a direction that somebody wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tapped {
    /// Index of the connection.
    pub connection: u32,
    /// Who sent it.
    pub side: Side,
    /// Where it was taken from.
    pub layer: Layer,
    /// What it is.
    pub part: Part,
}

/// Where bytes of a direction are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The stream of a connection that is TLS.
    Ciphertext,
    /// What TLS carries; the stream itself where there is no TLS.
    Content,
}

/// Some of a direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Stream bytes, and the packet that carried them; of a TLS record, the one that completed it.
    Bytes(Vec<u8>, Stamp),
    /// That many are missing.
    Gap(u64),
}

/// What a worker found.
#[derive(Debug)]
pub enum Found {
    /// Index in [`Output::messages`].
    Message(u32),
    /// A call over gRPC failed: with a status after its last response, or before any.
    CallFailed { stream: u32, status: Option<u32>, time: Timestamp },
    /// Nothing more comes from this side.
    Ended { connection: u32, side: Side, time: Timestamp },
}

/// Something found, and its place in the order.
#[derive(Debug)]
pub struct Event {
    /// The packet it is placed at.
    pub key: u32,
    /// The packet it belongs to: an earlier one if it came to light too late to be placed there.
    pub packet: u32,
    /// The packet that brought it to light.
    pub delivered: u32,
    pub connection: u32,
    /// Which output holds its texts.
    pub output: u64,
    pub found: Found,
}

impl Event {
    /// Events sort by this; a stable sort keeps those of one connection in the order found.
    pub fn order(&self) -> (u32, u32, u32, u32) {
        (self.key, self.packet, self.delivered, self.connection)
    }

    /// The message that was found, if it is one.
    pub fn message<'a>(&self, output: &'a Output) -> Option<&'a Seen> {
        match self.found {
            Found::Message(index) => Some(&output.messages[index as usize]),
            Found::CallFailed { .. } | Found::Ended { .. } => None,
        }
    }

    /// Asks for the message that was found, if it is one.
    pub fn prefetch(&self, output: &Output) {
        if let Some(seen) = self.message(output) {
            prefetch(seen);
        }
    }

    /// Hands what was found to the correlation.
    pub fn apply(
        &self,
        output: &Output,
        correlator: &mut Correlator,
        definitions: &Definitions,
        journal: &mut Journal,
    ) {
        match &self.found {
            Found::Message(index) => {
                let seen = &output.messages[*index as usize];
                let payload = match seen.payload.arena() {
                    Some(_) => {
                        let start = seen.payload.offset() as usize;
                        journal.arena.push(&output.reassembled[start..start + seen.length.1 as usize])
                    }
                    None => seen.payload,
                };
                correlator.message(journal, definitions, seen, payload, &output.texts);
            }
            Found::CallFailed { stream, status, time } => {
                correlator.call_failed(journal, self.connection, *stream, *status, *time);
            }
            Found::Ended { connection, side, time } => correlator.ended(journal, *connection, *side, *time),
        }
    }
}

/// What a worker made of its part of a batch.
#[derive(Debug, Default)]
pub struct Output {
    pub events: Vec<Event>,
    pub messages: Vec<Seen>,
    pub texts: Texts,
    /// Payloads that are nowhere contiguous in the capture.
    pub reassembled: Vec<u8>,
    /// Connections that are over, and what they were made of.
    pub traffic: Vec<(u32, Traffic)>,
    /// TLS sessions that other connections may resume.
    pub sessions: Vec<SessionSecret>,
    /// What was learned of TLS, by connection.
    pub tls: Vec<(u32, tls::Facts)>,
    /// What could not be decoded, by connection.
    pub troubles: Vec<(u32, Trouble)>,
    /// The first packet of what waits behind holes.
    pub held_since: Option<u32>,
    pub tapped: Vec<Tapped>,
    /// The batch's tasks, done: their memory is used again.
    pub done: Vec<Task>,
}

impl Output {
    /// Empties it, for its memory to be used again. Memory that is touched anew for every batch is dear: the system
    /// clears it first.
    pub fn reuse(&mut self) {
        self.events.clear();
        self.messages.clear();
        self.texts.bytes.clear();
        self.texts.keys.clear();
        self.reassembled.clear();
        self.traffic.clear();
        self.sessions.clear();
        self.tls.clear();
        self.troubles.clear();
        self.tapped.clear();
        self.held_since = None;
    }
}

impl Task {
    /// The packet at hand.
    pub fn stamp(&self) -> Stamp {
        match self {
            Self::Segment(task) => task.stamp,
            Self::Retire { stamp, .. } | Self::Retry { stamp } | Self::Finish { stamp } => *stamp,
        }
    }
}
