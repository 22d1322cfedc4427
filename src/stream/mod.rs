//! Segments → ordered bytes per direction of a connection, with gaps as values. In: the segments of one direction
//! in capture order, and what the other direction acknowledges. Out: [`Piece`]s. Refuses to know what the bytes mean;
//! reads no clock: time-outs compare capture times.

mod backlog;
mod connections;
mod reassembly;

pub use backlog::Backlog;
pub use connections::{ConnectionTable, Located, Sought};
pub use reassembly::{Arrival, Stream, StreamStats};

use crate::place::Place;
use crate::time::Timestamp;

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// Who sent the SYN, or the first packet where no SYN was captured.
    Initiator,
    /// The other one.
    Responder,
}

impl Side {
    /// The other end.
    pub const fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }

    /// The name in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initiator => "initiator",
            Self::Responder => "responder",
        }
    }
}

/// Where and when bytes were captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// 1-based number of the packet.
    pub packet: u32,
    /// Its time.
    pub time: Timestamp,
}

/// Why bytes of a stream are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// No packet of the capture holds them.
    NotCaptured,
    /// The snapshot length cut them off their packet.
    SnapshotLength,
    /// They are there, but in a TLS record that was not decrypted.
    NotDecrypted,
}

/// The next part of a stream, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes as captured.
    Bytes {
        /// The bytes, at least one.
        bytes: &'a [u8],
        /// Where the first one lies in the capture; `None` if it was put together from fragments.
        place: Option<Place>,
        /// The packet that carried them.
        stamp: Stamp,
    },
    /// Bytes that the capture does not hold.
    Gap {
        /// How many.
        bytes: u64,
        /// Why.
        cause: GapCause,
        /// The packet that carries what follows; `None` if nothing does.
        until: Option<Stamp>,
    },
}
