//! One direction of a TCP connection (RFC 9293 3.4 to 3.10), as a listener sees it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::num::NonZeroU64;

use super::{GapCause, Piece, Stamp};
use crate::packet::Flags;
use crate::place::Place;
use crate::prefetch::CACHE_LINE;
use crate::time::{Span, Timestamp};

/// Bytes held behind a hole before it is called a gap: more than an unscaled window and enough for a scaled one in
/// a control network, small enough that 1,000 hostile connections stay under 4 GiB.
const MAX_HELD_BYTES: usize = 4 << 20;
/// Pieces held behind a hole before it is called a gap: a 16 KiB burst of one-byte segments.
const MAX_HELD_PIECES: usize = 16_384;
/// A hole that nothing filled for this long (capture time) is a gap: several retransmission time-outs.
const MAX_HOLE_AGE: Span = Span::from_secs(30);
/// A hole whose bytes were acknowledged is a gap after this long: captures on several queues reorder by less.
const ACKED_HOLE_AGE: Span = Span::from_millis(200);
/// ... or after this many more packets of the connection.
const ACKED_HOLE_PACKETS: u32 = 16;
/// A stream joined without its SYN waits this many packets of the connection for segments that belong before the
/// first one captured.
const SETTLING_PACKETS: u32 = 4;
/// ... or this long.
const SETTLING_AGE: Span = Span::from_millis(50);

/// A segment as its direction sees it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The packet that carried it.
    pub stamp: Stamp,
    /// Sequence number of the first byte, or of the SYN.
    pub sequence: u32,
    /// TCP flags.
    pub flags: Flags,
    /// Captured payload.
    pub bytes: &'a [u8],
    /// Where it lies in the capture.
    pub place: Option<Place>,
    /// Payload bytes cut off by the snapshot length.
    pub missing: u32,
}

/// What a direction was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Stream bytes, after reassembly.
    pub bytes: u64,
    /// Segments that brought nothing new.
    pub retransmitted: u32,
    /// Segments that brought bytes from before the highest seen.
    pub out_of_order: u32,
    /// Missing ranges.
    pub gaps: u32,
    /// Bytes that came when it was too late for them: from before the first one delivered, from behind the end, or from
    /// what was called missing last.
    pub misplaced: u64,
}

/// One direction of a connection. Small, for there may be hundreds of thousands: what few have is behind pointers.
#[derive(Debug, Default)]
pub struct Stream {
    /// Position of the next byte to deliver; the low 32 bits are its sequence number.
    next: u64,
    /// One past the highest position seen.
    highest: u64,
    /// Position of the first byte delivered.
    first: Option<NonZeroU64>,
    /// Position of the FIN.
    fin: Option<NonZeroU64>,
    held: Option<Box<Held>>,
    irregular: Option<Box<Irregular>>,
    /// Highest acknowledgment seen from the other direction.
    acknowledged: Option<u32>,
    phase: Phase,
    synchronised: bool,
}
const _: () = assert!(size_of::<Stream>() <= CACHE_LINE);

/// What most directions have nothing of.
#[derive(Debug, Default)]
struct Irregular {
    /// The last missing range.
    missing: (u64, u64),
    /// Bytes missing between those delivered.
    inside: u64,
    retransmitted: u32,
    out_of_order: u32,
    gaps: u32,
    misplaced: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Nothing seen.
    #[default]
    Fresh,
    /// Data seen, no SYN: an earlier segment may still come.
    Settling,
    /// In order up to `next`.
    Open,
    /// FIN delivered, or the connection is over.
    Ended,
}

/// What waits behind a hole.
#[derive(Debug)]
struct Held {
    /// By position; they do not overlap.
    pieces: BTreeMap<u64, HeldPiece>,
    bytes: usize,
    /// Packets of the connection since the hole was last acknowledged or the stream began to settle.
    packets: u32,
    /// The first packet that brought any of the pieces, or of those before them.
    first: Stamp,
    /// When the stream last moved.
    since: Stamp,
    /// When the hole's first byte was seen acknowledged.
    acknowledged: Option<Timestamp>,
}

#[derive(Debug)]
struct HeldPiece {
    bytes: Vec<u8>,
    place: Option<Place>,
    missing: u32,
    stamp: Stamp,
}

impl HeldPiece {
    fn length(&self) -> u64 {
        self.bytes.len() as u64 + u64::from(self.missing)
    }
}

/// Part of a segment while it is cut to what is new.
#[derive(Clone, Copy)]
struct Part<'a> {
    position: u64,
    bytes: &'a [u8],
    place: Option<Place>,
    missing: u32,
}

impl<'a> Part<'a> {
    fn end(&self) -> u64 {
        self.position + self.bytes.len() as u64 + u64::from(self.missing)
    }

    /// What lies at `position` and after.
    fn from(self, position: u64) -> Part<'a> {
        let cut = position.saturating_sub(self.position).min(self.end() - self.position);
        let captured = cut.min(self.bytes.len() as u64);
        Part {
            position: self.position + cut,
            bytes: &self.bytes[captured as usize..],
            place: self.place.map(|place| place.plus(captured)),
            missing: self.missing - (cut - captured) as u32,
        }
    }

    /// What lies before `position`.
    fn until(self, position: u64) -> Part<'a> {
        let keep = position.saturating_sub(self.position);
        let captured = keep.min(self.bytes.len() as u64);
        Part {
            bytes: &self.bytes[..captured as usize],
            missing: (keep - captured).min(u64::from(self.missing)) as u32,
            ..self
        }
    }
}

impl Stream {
    /// Takes one segment of this direction; delivers to `sink` what is in order now.
    pub fn arrived(&mut self, arrival: &Arrival<'_>, sink: &mut (impl FnMut(Piece<'_>) + ?Sized)) {
        let syn = arrival.flags.has(Flags::SYN);
        if syn {
            self.begin(arrival.sequence.wrapping_add(1), sink);
        }
        let sequence = arrival.sequence.wrapping_add(u32::from(syn));
        let part = Part {
            position: self.position(sequence),
            bytes: arrival.bytes,
            place: arrival.place,
            missing: arrival.missing,
        };
        if arrival.flags.has(Flags::FIN) && self.phase != Phase::Ended {
            self.fin = NonZeroU64::new(part.end());
            if self.phase == Phase::Fresh && part.end() == part.position {
                self.join(part);
                self.phase = Phase::Open;
            }
        }
        if part.end() > part.position {
            self.take(part, arrival.stamp, sink);
        }
        self.finish_if_complete();
    }

    /// The stream begins with sequence number `first`: its SYN was seen.
    pub fn begin(&mut self, first: u32, sink: &mut (impl FnMut(Piece<'_>) + ?Sized)) {
        if !self.synchronised {
            self.synchronise(first);
            self.drain(sink);
        }
    }

    /// Whether a RST with this sequence number is the sender's own (RFC 5961 3.2), as far as a listener can tell.
    pub fn accepts_reset(&self, sequence: u32) -> bool {
        self.phase == Phase::Fresh || sequence == self.next as u32 || sequence == self.highest as u32
    }

    /// Takes what the other direction acknowledges, and counts a packet of the connection: decides gaps.
    pub fn acknowledged(&mut self, number: Option<u32>, now: Timestamp, sink: &mut (impl FnMut(Piece<'_>) + ?Sized)) {
        if let Some(number) = number {
            match self.acknowledged {
                Some(known) if (number.wrapping_sub(known) as i32) <= 0 => {}
                _ => self.acknowledged = Some(number),
            }
        }
        if self.held.is_some() {
            self.decide(now, sink);
        }
    }

    /// What waits is delivered now, with its gaps.
    pub fn give_up_holes(&mut self, sink: &mut (impl FnMut(Piece<'_>) + ?Sized)) {
        self.settle();
        while self.held.is_some() {
            self.skip_hole(u64::MAX, sink);
        }
    }

    /// No more segments will come: what waits is delivered, with its gaps.
    pub fn end(&mut self, sink: &mut (impl FnMut(Piece<'_>) + ?Sized)) {
        self.give_up_holes(sink);
        if let (Some(fin), Phase::Open) = (self.fin.map(NonZeroU64::get), self.phase)
            && fin > self.next
        {
            self.gap(fin - self.next, GapCause::NotCaptured, None, sink);
        }
        self.phase = Phase::Ended;
    }

    /// Whether the FIN was reached, or [`Stream::end`] called.
    pub fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Whether something waits behind a hole.
    pub fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// A packet not later than those that brought what waits.
    pub fn held_since(&self) -> Option<u32> {
        self.held.as_ref().map(|held| held.first.packet)
    }

    /// Bytes that wait behind holes.
    pub fn held_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.bytes)
    }

    /// What this direction was made of so far.
    pub fn stats(&self) -> StreamStats {
        let irregular = self.irregular.as_deref();
        // What was delivered lies between the first byte and the next one, but for what is missing there.
        let between = self.first.map_or(0, |first| self.next - first.get());
        irregular.map_or(StreamStats { bytes: between, ..StreamStats::default() }, |irregular| StreamStats {
            bytes: between - irregular.inside,
            retransmitted: irregular.retransmitted,
            out_of_order: irregular.out_of_order,
            gaps: irregular.gaps,
            misplaced: irregular.misplaced,
        })
    }

    /// Whether bytes are missing.
    pub fn has_gaps(&self) -> bool {
        self.irregular.as_ref().is_some_and(|irregular| irregular.gaps > 0)
    }

    fn irregular(&mut self) -> &mut Irregular {
        self.irregular.get_or_insert_default()
    }

    fn count_retransmitted(&mut self) {
        self.irregular().retransmitted += 1;
    }

    fn count_out_of_order(&mut self) {
        self.irregular().out_of_order += 1;
    }

    /// Whether the stream's first byte is the connection's: its SYN was seen before any data was delivered.
    pub fn is_from_the_start(&self) -> bool {
        self.synchronised
    }

    /// The position that a sequence number near `next` stands for.
    fn position(&self, sequence: u32) -> u64 {
        // Below 2^32 nothing is ever delivered, so that a segment from before a late SYN stays positive.
        if self.phase == Phase::Fresh {
            return (1 << 32) | u64::from(sequence);
        }
        let distance = sequence.wrapping_sub(self.next as u32) as i32;
        self.next.saturating_add_signed(i64::from(distance))
    }

    /// A SYN says where the stream begins.
    fn synchronise(&mut self, first: u32) {
        let position = self.position(first);
        match self.phase {
            Phase::Fresh => self.next = position,
            Phase::Settling => self.next = self.next.min(position),
            Phase::Open | Phase::Ended => return,
        }
        self.phase = Phase::Open;
        self.synchronised = true;
        self.highest = self.highest.max(self.next);
    }

    fn take(&mut self, part: Part<'_>, stamp: Stamp, sink: &mut (impl FnMut(Piece<'_>) + ?Sized)) {
        match self.phase {
            Phase::Fresh => self.join(part),
            Phase::Settling if part.position < self.next => self.next = part.position,
            _ => {}
        }
        let was_delivered = self.was_delivered(part.position);
        // A keep-alive repeats the last byte, or has one of its own at that place (RFC 9293 3.8.4).
        let keep_alive = part.end() == self.next && part.end() - part.position == 1;
        if !keep_alive {
            self.count_too_late(part);
        }
        if part.end() <= self.next || self.phase == Phase::Ended {
            match was_delivered {
                _ if keep_alive => {}
                true => self.count_retransmitted(),
                false => self.count_out_of_order(),
            }
            return;
        }
        let late = part.position < self.highest;
        if self.phase == Phase::Open && part.position <= self.next {
            let overlaps = late && part.position < self.next;
            if late && !overlaps {
                self.count_out_of_order();
            }
            self.deliver_in_order(part.from(self.next), stamp, sink);
        } else {
            match self.hold(part, stamp) {
                false => self.count_retransmitted(),
                true if late => self.count_out_of_order(),
                true => {}
            }
        }
        self.highest = self.highest.max(part.end());
    }

    /// Counts bytes that come when it is too late for them.
    fn count_too_late(&mut self, part: Part<'_>) {
        if self.is_outside(part) {
            self.irregular().misplaced += part.bytes.len() as u64;
            return;
        }
        let Some(irregular) = &mut self.irregular else { return };
        let (from, to) = irregular.missing;
        let start = part.position.max(from);
        let end = to.min(part.position + part.bytes.len() as u64);
        if start < end {
            irregular.misplaced += end - start;
            irregular.missing = if end == to { (from, start) } else { (end, to) };
        }
    }

    /// Whether a byte before `next` was delivered, and was not called missing before it came.
    fn was_delivered(&self, position: u64) -> bool {
        let (from, to) = self.irregular.as_ref().map_or((0, 0), |irregular| irregular.missing);
        self.first.is_none_or(|first| position >= first.get()) && !(from..to).contains(&position)
    }

    /// Whether a part lies before the first byte delivered, or behind the end. At the end itself, in the FIN's place, a
    /// keep-alive has its byte.
    fn is_outside(&self, part: Part<'_>) -> bool {
        let is_behind = self.phase == Phase::Ended && part.position > self.next;
        self.first.is_some_and(|first| part.end() <= first.get()) || is_behind
    }

    /// The first data of a stream whose SYN was not captured (or not yet).
    fn join(&mut self, part: Part<'_>) {
        self.next = part.position;
        let expected = self.acknowledged == Some(part.position as u32);
        self.phase = if expected { Phase::Open } else { Phase::Settling };
        self.highest = self.next;
    }

    fn deliver_in_order(&mut self, part: Part<'_>, stamp: Stamp, sink: &mut (impl FnMut(Piece<'_>) + ?Sized)) {
        let Some(held) = &self.held else {
            self.deliver(part, stamp, sink);
            return;
        };
        // What is held was captured first and wins where it overlaps.
        let first_held = held.pieces.keys().next().copied().unwrap_or(u64::MAX);
        self.deliver(part.until(first_held), stamp, sink);
        self.drain(sink);
        if part.end() > self.next {
            let rest = part.from(self.next);
            if self.held.is_some() {
                self.hold(rest, stamp);
                self.drain(sink);
            } else {
                self.deliver(rest, stamp, sink);
            }
        }
    }

    fn deliver(&mut self, part: Part<'_>, stamp: Stamp, sink: &mut (impl FnMut(Piece<'_>) + ?Sized)) {
        self.first = self.first.or(NonZeroU64::new(self.next));
        if !part.bytes.is_empty() {
            self.next += part.bytes.len() as u64;
            sink(Piece::Bytes { bytes: part.bytes, place: part.place, stamp });
        }
        if part.missing > 0 {
            self.gap(u64::from(part.missing), GapCause::SnapshotLength, Some(stamp), sink);
        }
    }

    fn gap(&mut self, bytes: u64, cause: GapCause, until: Option<Stamp>, sink: &mut (impl FnMut(Piece<'_>) + ?Sized)) {
        let (from, is_inside) = (self.next, self.first.is_some());
        self.next += bytes;
        let irregular = self.irregular();
        irregular.missing = (from, from + bytes);
        irregular.inside += if is_inside { bytes } else { 0 };
        irregular.gaps += 1;
        sink(Piece::Gap { bytes, cause, until });
    }

    /// Keeps what of `part` is not held yet; whether there was any.
    fn hold(&mut self, part: Part<'_>, stamp: Stamp) -> bool {
        let held = self.held.get_or_insert_with(|| {
            Box::new(Held {
                pieces: BTreeMap::new(),
                bytes: 0,
                packets: 0,
                first: stamp,
                since: stamp,
                acknowledged: None,
            })
        });
        let mut rest = part;
        if let Some((&position, piece)) = held.pieces.range(..=part.position).next_back() {
            rest = rest.from(position + piece.length());
        }
        let mut fresh = false;
        while rest.end() > rest.position {
            let following =
                held.pieces.range(rest.position..).next().map(|(&position, piece)| (position, piece.length()));
            let (until, resume) = following.map_or((rest.end(), rest.end()), |(at, length)| (at, at + length));
            let piece = rest.until(until.min(rest.end()));
            if piece.end() > piece.position {
                fresh = true;
                held.insert(piece, stamp);
            }
            rest = rest.from(resume.min(rest.end()));
        }
        fresh
    }

    /// Delivers held pieces that are in order now.
    fn drain(&mut self, sink: &mut (impl FnMut(Piece<'_>) + ?Sized)) {
        while let Some(mut held) = self.held.take() {
            match held.pieces.first_entry() {
                None => return,
                Some(entry) if *entry.key() > self.next => {
                    self.held = Some(held);
                    return;
                }
                Some(entry) => {
                    let (position, piece) = entry.remove_entry();
                    held.moved(&piece);
                    self.held = (!held.pieces.is_empty()).then_some(held);
                    let part = Part { position, bytes: &piece.bytes, place: piece.place, missing: piece.missing };
                    self.deliver(part.from(self.next), piece.stamp, sink);
                }
            }
        }
    }

    /// Ends the wait for earlier segments of a stream joined without its SYN.
    fn settle(&mut self) {
        if self.phase == Phase::Settling {
            self.phase = Phase::Open;
        }
    }

    fn decide(&mut self, now: Timestamp, sink: &mut (impl FnMut(Piece<'_>) + ?Sized)) {
        let acknowledged = self.acknowledged.map(|number| self.position(number));
        let (phase, next, fin) = (self.phase, self.next, self.fin);
        let Some(held) = &mut self.held else { return };
        held.packets += 1;
        if phase == Phase::Settling {
            let waited = now - held.since.time;
            if held.packets >= SETTLING_PACKETS || waited >= SETTLING_AGE || fin.is_some() {
                self.settle();
                self.drain(sink);
            }
        } else if held.is_too_much(now) {
            self.skip_hole(u64::MAX, sink);
        } else if let Some(acknowledged) = acknowledged.filter(|&number| number > next)
            && held.was_received(now)
        {
            // What lies behind the acknowledgment may still be sent again.
            self.skip_hole(acknowledged, sink);
        }
        self.finish_if_complete();
    }

    /// Gives the hole up as far as `limit`: a gap, and what follows it.
    fn skip_hole(&mut self, limit: u64, sink: &mut (impl FnMut(Piece<'_>) + ?Sized)) {
        let Some(held) = &mut self.held else { return };
        match held.pieces.first_key_value().map(|(&position, piece)| (position.min(limit), piece.stamp)) {
            Some((position, stamp)) if position > self.next => {
                held.acknowledged = None;
                self.gap(position - self.next, GapCause::NotCaptured, Some(stamp), sink);
            }
            Some(_) => {}
            None => self.held = None,
        }
        self.drain(sink);
    }

    fn finish_if_complete(&mut self) {
        if self.phase == Phase::Open && self.fin.is_some_and(|fin| fin.get() <= self.next) && self.held.is_none() {
            self.phase = Phase::Ended;
        }
    }
}

impl Held {
    fn insert(&mut self, part: Part<'_>, stamp: Stamp) {
        if let Entry::Vacant(vacant) = self.pieces.entry(part.position) {
            self.bytes += part.bytes.len();
            let bytes = part.bytes.to_vec();
            vacant.insert(HeldPiece { bytes, place: part.place, missing: part.missing, stamp });
        }
    }

    fn moved(&mut self, piece: &HeldPiece) {
        self.bytes -= piece.bytes.len();
        self.acknowledged = None;
        self.packets = 0;
        self.since = piece.stamp;
    }

    /// Whether the hole whose first byte was acknowledged will not be filled any more.
    fn was_received(&mut self, now: Timestamp) -> bool {
        let since = *self.acknowledged.get_or_insert_with(|| {
            self.packets = 0;
            now
        });
        self.packets >= ACKED_HOLE_PACKETS || now - since >= ACKED_HOLE_AGE
    }

    /// Whether too much waits behind the hole, or for too long.
    fn is_too_much(&self, now: Timestamp) -> bool {
        self.bytes > MAX_HELD_BYTES || self.pieces.len() > MAX_HELD_PIECES || now - self.since.time >= MAX_HOLE_AGE
    }
}
