//! Putting what the workers found back into capture order.
//!
//! A message is placed by the packet that completed it. One behind a hole is known only when the hole is filled or
//! given up, so nothing after it may be correlated before; how long that can take is bounded by the [`Horizon`].
//! What comes to light later than that is placed at the horizon instead. Both depend on packets alone, never on
//! batches, so the order is the same however the capture was cut.

use std::collections::VecDeque;

use super::work::{Event, Output, Tapped};
use crate::stream::Stamp;
use crate::time::{Span, Timestamp};

/// How much capture time an epoch covers: a retransmission fills a hole within two of them.
const EPOCH_TIME: Span = Span::from_secs(2);
/// How many packets an epoch covers at most, which bounds what waits.
const EPOCH_PACKETS: u32 = 65_536;

/// How far back in the capture a message may still be placed: to the beginning of the epoch before this one.
#[derive(Debug, Default)]
pub struct Horizon {
    /// When the current epoch began.
    began: Option<(u32, Timestamp)>,
    previous: u32,
    /// The packet from which the floor holds, and the floor.
    floor: (u32, u32),
}

impl Horizon {
    /// Takes the next packet.
    pub fn advance(&mut self, stamp: Stamp) {
        let (packet, time) = *self.began.get_or_insert((stamp.packet, stamp.time));
        if stamp.packet - packet >= EPOCH_PACKETS || stamp.time - time >= EPOCH_TIME {
            self.previous = packet;
            self.began = Some((stamp.packet, stamp.time));
            self.floor = (stamp.packet, packet);
        }
    }

    /// From which packet on which floor holds.
    pub fn floor(&self) -> (u32, u32) {
        self.floor
    }
}

/// What waits for its turn.
#[derive(Debug, Default)]
pub struct Reorder {
    /// Last packet and floor of each batch under way.
    expected: VecDeque<(u32, u32)>,
    waiting: Vec<Event>,
    outputs: Outputs,
}

/// Outputs that waiting events refer to.
#[derive(Debug, Default)]
pub struct Outputs {
    all: VecDeque<Output>,
    /// The number of the first.
    first: u64,
}

impl Outputs {
    /// The one that has what `event` refers to.
    pub fn of(&self, event: &Event) -> &Output {
        &self.all[(event.output - self.first) as usize]
    }
}

impl Reorder {
    /// A batch was sent that ends with packet `last`, where `floor` holds.
    pub fn expect(&mut self, last: u32, floor: u32) {
        self.expected.push_back((last, floor));
    }

    /// Takes the outputs of the oldest batch; from which packet on events must still wait.
    pub fn add(&mut self, outputs: Vec<Output>, tapped: &mut Vec<Tapped>) -> u32 {
        let (last, floor) = self.expected.pop_front().unwrap_or((u32::MAX, u32::MAX));
        let mut until = last.saturating_add(1);
        for mut output in outputs {
            if let Some(held) = output.held_since {
                until = until.min(held.max(floor));
            }
            tapped.append(&mut output.tapped);
            let number = self.outputs.first + self.outputs.all.len() as u64;
            output.events.iter_mut().for_each(|event| event.output = number);
            if self.waiting.is_empty() {
                // Most often all of it, and then nothing need be moved.
                std::mem::swap(&mut self.waiting, &mut output.events);
            } else {
                self.waiting.append(&mut output.events);
            }
            self.outputs.all.push_back(output);
        }
        until
    }

    /// Gives events before packet `until` in order; outputs that nothing refers to any more go to `spare`.
    /// With each event come those that follow it, and the outputs of all.
    pub fn release(&mut self, until: u32, spare: &mut Vec<Output>, mut apply: impl FnMut(&Event, &[Event], &Outputs)) {
        // Most batches of one worker are in order already.
        if !self.waiting.is_sorted_by_key(Event::order) {
            self.waiting.sort_by_key(Event::order);
        }
        let ready = self.waiting.partition_point(|event| event.key < until);
        for (index, event) in self.waiting[..ready].iter().enumerate() {
            apply(event, &self.waiting[index + 1..], &self.outputs);
        }
        self.waiting.drain(..ready);
        let oldest = self.waiting.iter().map(|event| event.output).min();
        let Outputs { all, first } = &mut self.outputs;
        let keep_from = oldest.unwrap_or(*first + all.len() as u64);
        spare.extend(all.drain(..(keep_from - *first) as usize));
        *first = keep_from;
    }
}
