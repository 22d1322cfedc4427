//! Which connection a segment belongs to. In: segments in capture order. Out: numbered connections, the side that
//! sent each segment, and where one connection ends and the next on the same addresses begins.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::packet::{Endpoint, Flags, Segment};

/// A SYN whose data was captured before it lies at most this far before that data.
const MAX_REORDERED: u32 = 1 << 20;
/// Data on a closed connection's addresses that lies farther than this from what it carried is another connection's.
const MAX_AFTERMATH: u32 = 1 << 20;

/// A connection's addresses: the same for both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    low: Endpoint,
    high: Endpoint,
}

/// What is remembered of the current connection between two endpoints; index 0 is the lower endpoint's side.
#[derive(Clone, Copy, Debug)]
struct Entry {
    connection: u32,
    /// Which endpoint is the initiator.
    low_is_initiator: bool,
    initial: [Option<u32>; 2],
    /// Sequence number after the last segment.
    last: [Option<u32>; 2],
    fins: u8,
    reset: bool,
}

/// Where a segment belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// Index of the connection.
    pub connection: u32,
    /// Whether its initiator sent the segment.
    pub from_initiator: bool,
    /// The connection begins with this segment.
    pub is_new: bool,
    /// The connection that this one follows on the same addresses.
    pub replaces: Option<u32>,
    /// The sender's initial sequence number, if its SYN was seen.
    pub initial: Option<u32>,
}

/// The connections of a capture.
#[derive(Debug, Default)]
pub struct ConnectionTable {
    entries: HashMap<Key, Entry, RandomState>,
    count: u32,
}

impl ConnectionTable {
    /// Finds, or begins, the connection of `segment`.
    pub fn locate(&mut self, segment: &Segment, payload: u32) -> Located {
        let from_low = segment.source <= segment.destination;
        let (low, high) =
            if from_low { (segment.source, segment.destination) } else { (segment.destination, segment.source) };
        let side = usize::from(!from_low);
        let count = self.count;
        let mut is_new = false;
        let mut replaces = None;
        let entry = self.entries.entry(Key { low, high }).or_insert_with(|| {
            is_new = true;
            Entry::new(count, segment, from_low)
        });
        if !is_new && entry.is_over_for(segment, side, payload) {
            replaces = Some(entry.connection);
            is_new = true;
            *entry = Entry::new(count, segment, from_low);
        }
        self.count += u32::from(is_new);
        entry.note(segment, side, payload);
        Located {
            connection: entry.connection,
            from_initiator: from_low == entry.low_is_initiator,
            is_new,
            replaces,
            initial: entry.initial[side],
        }
    }

    /// Connections so far.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Entry {
    fn new(connection: u32, segment: &Segment, from_low: bool) -> Self {
        // A SYN ACK answers a SYN, so its receiver is the initiator although its SYN was not captured.
        let from_responder = segment.flags.has(Flags::SYN) && segment.flags.has(Flags::ACK);
        Self {
            connection,
            low_is_initiator: from_low != from_responder,
            initial: [None; 2],
            last: [None; 2],
            fins: 0,
            reset: false,
        }
    }

    fn is_closed(&self) -> bool {
        self.reset || self.fins == 3
    }

    /// Whether `segment` belongs to a later connection on the same addresses.
    fn is_over_for(&self, segment: &Segment, side: usize, payload: u32) -> bool {
        let syn = segment.flags.has(Flags::SYN);
        if syn && !segment.flags.has(Flags::ACK) {
            return match (self.initial[side], self.last[side]) {
                (Some(initial), _) => initial != segment.sequence,
                // Data captured before its own SYN.
                (None, Some(last)) => last.wrapping_sub(segment.sequence) > MAX_REORDERED,
                (None, None) => self.is_closed(),
            };
        }
        if syn || payload == 0 || !self.is_closed() {
            return false;
        }
        let distance = |last: u32| {
            let ahead = segment.sequence.wrapping_sub(last);
            ahead.min(ahead.wrapping_neg())
        };
        self.last[side].is_none_or(|last| distance(last) > MAX_AFTERMATH)
    }

    fn note(&mut self, segment: &Segment, side: usize, payload: u32) {
        let flags = segment.flags;
        if flags.has(Flags::SYN) {
            self.initial[side] = Some(segment.sequence);
            // The SYN sender is the initiator, whoever was captured first.
            if !flags.has(Flags::ACK) {
                self.low_is_initiator = side == 0;
            }
        }
        let length = payload + u32::from(flags.has(Flags::SYN)) + u32::from(flags.has(Flags::FIN));
        self.last[side] = Some(segment.sequence.wrapping_add(length));
        self.fins |= u8::from(flags.has(Flags::FIN)) << side;
        self.reset |= flags.has(Flags::RST);
    }
}
