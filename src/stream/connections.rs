//! Which connection a segment belongs to. In: segments in capture order. Out: numbered connections, the side that
//! sent each segment, and where one connection ends and the next on the same addresses begins.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::packet::{Endpoint, Flags, Segment};
use crate::prefetch::{CACHE_LINE, prefetch};

/// A SYN whose data was captured before it lies at most this far before that data.
const MAX_REORDERED: u32 = 1 << 20;
/// Data on a connection's addresses that lies farther than this from what it carried may be another connection's.
const MAX_AFTERMATH: u32 = 1 << 20;

/// A connection's addresses: the same for both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    low: Endpoint,
    high: Endpoint,
}

/// What is remembered of the current connection between two endpoints; index 0 is the lower endpoint's side. As small
/// as what a processor fetches together: with many connections each is somewhere else.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Entry {
    key: Key,
    connection: u32,
    /// Initial sequence numbers, where known.
    initial: [u32; 2],
    /// Sequence numbers after the last segment, where known.
    last: [u32; 2],
    /// What is known, and was seen, of either side: one bit each.
    seen: [u8; 2],
    /// Which endpoint is the initiator.
    low_is_initiator: bool,
    /// Some segment had a payload.
    carries: bool,
}
const _: () = assert!(size_of::<Entry>() == CACHE_LINE);

/// Bits of [`Entry::seen`].
const INITIAL: u8 = 1;
const LAST: u8 = 2;
const FIN: u8 = 4;
const RST: u8 = 8;

/// Where a segment belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// It shows that what was taken for the initiator is not.
    pub swaps_sides: bool,
    /// No segment of the connection had a payload so far, with this one.
    pub is_idle: bool,
}

/// The connections of a capture.
#[derive(Debug, Default)]
pub struct ConnectionTable {
    /// The current connection between each pair of endpoints.
    entries: Vec<Entry>,
    /// Indexes of `entries`: small enough to stay in a cache when they do not.
    index: HashTable<u32>,
    hasher: RandomState,
    count: u32,
}

/// A segment that is about to be located.
#[derive(Clone, Copy, Debug)]
pub struct Sought {
    hash: u64,
    from_low: bool,
}

impl Key {
    /// Whether these are its addresses.
    fn is_of(&self, (low, high): (&Endpoint, &Endpoint)) -> bool {
        self.low == *low && self.high == *high
    }
}

/// The addresses of a segment that the lower endpoint sent, or not: the lower one first.
fn ends(segment: &Segment, from_low: bool) -> (&Endpoint, &Endpoint) {
    if from_low { (&segment.source, &segment.destination) } else { (&segment.destination, &segment.source) }
}

impl ConnectionTable {
    /// Prepares to locate `segment`.
    pub fn seek(&self, segment: &Segment) -> Sought {
        let from_low = segment.source <= segment.destination;
        Sought { hash: self.hasher.hash_one(ends(segment, from_low)), from_low }
    }

    /// Asks for what is known of a connection that will be located soon, if anything is.
    pub fn prefetch(&self, sought: Sought) {
        // Not compared yet, which would wait for the entry: rarely another's, and then only in vain.
        if let Some(&index) = self.index.find(sought.hash, |_| true) {
            prefetch(&self.entries[index as usize]);
        }
    }

    /// Finds, or begins, the connection of `segment`, which `sought` was made for.
    pub fn locate(&mut self, segment: &Segment, sought: Sought, payload: u32) -> Located {
        let Sought { hash, from_low } = sought;
        let ends = ends(segment, from_low);
        let side = usize::from(!from_low);
        let Self { entries, index, hasher, count } = self;
        let known = index.find(hash, |&index| entries[index as usize].key.is_of(ends)).copied();
        let mut is_new = known.is_none();
        let mut replaces = None;
        let at = known.unwrap_or_else(|| {
            let at = entries.len() as u32;
            entries.push(Entry::new(*count, segment, from_low));
            index.insert_unique(hash, at, |&index| {
                let Key { low, high } = &entries[index as usize].key;
                hasher.hash_one((low, high))
            });
            at
        });
        let entry = &mut entries[at as usize];
        if !is_new && entry.is_over_for(segment, side, payload) {
            replaces = Some(entry.connection);
            is_new = true;
            *entry = Entry::new(*count, segment, from_low);
        }
        *count += u32::from(is_new);
        let low_was_initiator = entry.low_is_initiator;
        entry.note(segment, side, payload);
        Located {
            connection: entry.connection,
            from_initiator: from_low == entry.low_is_initiator,
            is_new,
            replaces,
            initial: entry.initial(side),
            swaps_sides: entry.low_is_initiator != low_was_initiator,
            is_idle: !entry.carries,
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
        let (&low, &high) = ends(segment, from_low);
        let key = Key { low, high };
        // A SYN ACK answers a SYN, so its receiver is the initiator although its SYN was not captured.
        let from_responder = segment.flags.has(Flags::SYN) && segment.flags.has(Flags::ACK);
        let low_is_initiator = from_low != from_responder;
        let mut entry =
            Self { key, connection, initial: [0; 2], last: [0; 2], seen: [0; 2], low_is_initiator, carries: false };
        if from_responder {
            entry.begin(usize::from(from_low), segment.acknowledgment.wrapping_sub(1));
        }
        entry
    }

    fn initial(&self, side: usize) -> Option<u32> {
        (self.seen[side] & INITIAL != 0).then_some(self.initial[side])
    }

    fn last(&self, side: usize) -> Option<u32> {
        (self.seen[side] & LAST != 0).then_some(self.last[side])
    }

    fn begin(&mut self, side: usize, initial: u32) {
        self.initial[side] = initial;
        self.seen[side] |= INITIAL;
    }

    fn is_reset(&self) -> bool {
        (self.seen[0] | self.seen[1]) & RST != 0
    }

    fn is_closed(&self) -> bool {
        self.is_reset() || self.seen[0] & self.seen[1] & FIN != 0
    }

    /// Whether `segment` belongs to a later connection on the same addresses.
    fn is_over_for(&self, segment: &Segment, side: usize, payload: u32) -> bool {
        let syn = segment.flags.has(Flags::SYN);
        if syn && !segment.flags.has(Flags::ACK) {
            return match (self.initial(side), self.last(side)) {
                // A SYN after the close is a new connection even if its host always counts from the same number.
                (Some(initial), _) => initial != segment.sequence || self.is_closed(),
                // Data captured before its own SYN.
                (None, Some(last)) => last.wrapping_sub(segment.sequence) > MAX_REORDERED,
                (None, None) => self.is_closed(),
            };
        }
        if syn {
            return self.initial(side).is_some_and(|initial| initial != segment.sequence);
        }
        payload > 0 && self.is_foreign(segment, side)
    }

    /// Whether data cannot be this connection's.
    fn is_foreign(&self, segment: &Segment, side: usize) -> bool {
        let Some(last) = self.last(side) else { return self.is_closed() };
        let sequence = segment.sequence;
        if self.is_closed() {
            let follows_fin = !self.is_reset() && is_ahead(sequence, last);
            return follows_fin || is_far(sequence, last) || self.is_before_start(sequence, side, last);
        }
        if sequence.wrapping_sub(last) <= MAX_AFTERMATH {
            return false;
        }
        // Where only both numbers go on far, the capture may have lost what lies between.
        let acknowledged = segment.flags.has(Flags::ACK).then_some(segment.acknowledgment);
        let (is_elsewhere, is_back) = match (acknowledged, self.last(1 - side)) {
            (Some(number), Some(other)) => (is_far(number, other), is_far(number, other) && !is_ahead(number, other)),
            _ => (true, false),
        };
        let is_another = is_far(sequence, last) && is_elsewhere && (is_back || !is_ahead(sequence, last));
        is_another || self.is_before_start(sequence, side, last)
    }

    /// Whether a sequence number lies before the SYN, which itself is not far back.
    fn is_before_start(&self, sequence: u32, side: usize, last: u32) -> bool {
        self.initial(side).is_some_and(|initial| {
            let before = initial.wrapping_sub(sequence);
            (1..=MAX_AFTERMATH).contains(&before) && last.wrapping_sub(sequence) > before
        })
    }

    fn note(&mut self, segment: &Segment, side: usize, payload: u32) {
        let flags = segment.flags;
        if flags.has(Flags::SYN) {
            self.begin(side, segment.sequence);
            // The SYN sender is the initiator, whoever was captured first; a SYN ACK says so where that is not known.
            if !flags.has(Flags::ACK) {
                self.low_is_initiator = side == 0;
            } else if self.initial(1 - side).is_none() {
                self.low_is_initiator = side == 1;
            }
        }
        let length = payload + u32::from(flags.has(Flags::SYN)) + u32::from(flags.has(Flags::FIN));
        let end = segment.sequence.wrapping_add(length);
        // What is sent again takes nothing back, and what carries nothing shows nothing far away.
        let is_news = |last| is_ahead(end, last) && (length > 0 || !is_far(end, last));
        if flags.has(Flags::SYN) || self.last(side).is_none_or(is_news) {
            self.last[side] = end;
            self.seen[side] |= LAST;
        }
        self.carries |= payload > 0;
        self.seen[side] |= if flags.has(Flags::FIN) { FIN } else { 0 };
        self.seen[side] |= if flags.has(Flags::RST) { RST } else { 0 };
    }
}

fn is_ahead(sequence: u32, of: u32) -> bool {
    sequence.wrapping_sub(of).cast_signed() > 0
}

fn is_far(sequence: u32, from: u32) -> bool {
    let ahead = sequence.wrapping_sub(from);
    ahead.min(ahead.wrapping_neg()) > MAX_AFTERMATH
}
