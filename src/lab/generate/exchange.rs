//! The exchanges that a large capture is made of: which message follows which, on whose connection, and what
//! ties them.

use super::template::{Flow, Slot, Template};
use crate::lab::random::Random;

/// A procedure, or two that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// 7.1, one hop.
    Hop,
    /// 7.1, three hops on three KMs' connections.
    Hops,
    /// 7.2.
    Relay,
    /// 7.3 with 7.4 on the destination KM's connection.
    Session,
    /// 7.5, then 7.6.
    Keys,
}

/// One message of an exchange: which of the 13 ([`super::template::MESSAGES`]), on which of its connections, and
/// which of its requests it begins or answers.
#[derive(Clone, Copy)]
struct Step(usize, usize, Turn);

/// How a message gets its MessageID.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// A new one of the KM's, kept at this place.
    Km(usize),
    /// A new one of the controller's, kept at this place.
    Controller(usize),
    /// The one kept at this place.
    Answer(usize),
}

use Turn::{Answer, Controller, Km};

const HOPS: [Step; 6] = [
    Step(0, 0, Km(0)),
    Step(1, 0, Answer(0)),
    Step(0, 1, Km(0)),
    Step(1, 1, Answer(0)),
    Step(0, 2, Km(0)),
    Step(1, 2, Answer(0)),
];
const RELAY: [Step; 3] = [Step(2, 0, Km(0)), Step(3, 0, Controller(1)), Step(4, 0, Answer(1))];
const SESSION: [Step; 4] = [Step(5, 0, Km(0)), Step(7, 1, Controller(1)), Step(8, 1, Answer(1)), Step(6, 0, Answer(0))];
const KEYS: [Step; 4] =
    [Step(9, 0, Controller(0)), Step(10, 0, Answer(0)), Step(11, 0, Controller(0)), Step(12, 0, Answer(0))];

impl Kind {
    /// How often each kind is begun, of 16: sessions and keys are daily business, relays come before them.
    pub(super) const MIX: [Self; 16] = {
        use Kind::{Hop, Hops, Keys, Relay, Session};
        [
            Hop, Hops, Hops, Relay, Relay, Relay, Relay, Session, Session, Session, Session, Session, Keys, Keys, Keys,
            Keys,
        ]
    };

    fn steps(self) -> &'static [Step] {
        match self {
            Self::Hop => &HOPS[..2],
            Self::Hops => &HOPS,
            Self::Relay => &RELAY,
            Self::Session => &SESSION,
            Self::Keys => &KEYS,
        }
    }

    /// Messages in it.
    pub(super) fn messages(self) -> u64 {
        self.steps().len() as u64
    }

    /// Connections it needs.
    pub(super) fn connections(self) -> usize {
        match self {
            Self::Hop | Self::Relay | Self::Keys => 1,
            Self::Session => 2,
            Self::Hops => 3,
        }
    }
}

/// An exchange under way.
pub(super) struct Exchange {
    steps: &'static [Step],
    done: usize,
    flows: [u32; 3],
    kms: [u32; 3],
    target: u32,
    /// MessageIDs of the requests not yet answered.
    ids: [u32; 2],
    /// Makes the session ID or the key IDs.
    seed: u64,
    /// Makes the key relay request ID.
    number: u64,
}

impl Exchange {
    /// On `flows`, the connections of `kms`, toward `target`.
    pub(super) fn new(kind: Kind, flows: [u32; 3], kms: [u32; 3], target: u32, seed: u64, number: u64) -> Self {
        let target = if kind == Kind::Session { kms[1] } else { target };
        Self { steps: kind.steps(), done: 0, flows, kms, target, ids: [0; 2], seed, number }
    }

    pub(super) fn is_done(&self) -> bool {
        self.done == self.steps.len()
    }

    /// The flow and the kind of the next message.
    pub(super) fn next(&self) -> (u32, usize) {
        let Step(kind, connection, _) = self.steps[self.done];
        (self.flows[connection], kind)
    }

    /// Writes what ties the next message into its template, and moves on.
    pub(super) fn fill(&mut self, template: &mut Template, flow: &mut Flow) {
        let Step(_, connection, turn) = self.steps[self.done];
        let place = match turn {
            Km(place) | Controller(place) | Answer(place) => place,
        };
        match turn {
            Km(_) => self.ids[place] = fresh(&mut flow.km_id),
            Controller(_) => self.ids[place] = fresh(&mut flow.controller_id),
            Answer(_) => {}
        }
        template.message_id(self.ids[place]);
        // The KM after this one on the route; after the last, the destination.
        let next = self.kms.get(connection + 1).copied().filter(|_| self.done + 1 < self.steps.len());
        for at in 0..template.slots.len() {
            let (slot, offset) = template.slots[at];
            match slot {
                Slot::Source => template.digits(offset, 3, u64::from(self.kms[0] + 1)),
                Slot::Destination => template.digits(offset, 3, u64::from(self.target + 1)),
                Slot::Next => template.digits(offset, 3, u64::from(next.unwrap_or(self.target) + 1)),
                Slot::Number => template.digits(offset, 9, self.number),
                Slot::Uuid(nth) => template.uuid(offset, &mut Random::new(self.seed ^ u64::from(nth) << 32)),
            }
        }
        self.done += 1;
    }
}

/// The counter's number, which no later message of its owner has.
fn fresh(counter: &mut u32) -> u32 {
    let id = *counter;
    *counter = counter.wrapping_add(1);
    id
}
