//! Which procedures belong to one exchange: by shared identifiers, nesting, and the hops of a relay.

use std::collections::{HashMap, HashSet, VecDeque};

use foldhash::fast::RandomState;

use super::transaction::{Guess, Guesses};
use super::{Seen, identifier_of};
use crate::dissect::{Definitions, IDENTIFIERS, Identifier, Message, Outcome, Role, Texts};
use crate::journal::{Journal, MAX_EXCHANGE, NONE, Procedure, State, TextId};
use crate::packet::Endpoint;
use crate::probing::{Entry, ProbingTable};
use crate::time::{Span, Timestamp};

/// Procedures that wait for the one they cause, per set of shared identifiers.
const MAX_WAITING: usize = 256;
/// Relays of one source that are still under way.
const MAX_RELAYS: usize = 64;

/// KMs on the route of one relay: what would be tied together beyond this, no exchange holds.
const MAX_HOPS: usize = MAX_EXCHANGE;

/// Identifiers by which one procedure causes another, two in each number; [`TextId::NONE`] where not shared. Numbers, for
/// an array is hashed from memory, where it has to arrive first.
type Shared = (u16, u64, u64, u64);
const _: () = assert!(IDENTIFIERS == 6);

/// Ties between procedures.
#[derive(Debug)]
pub struct Exchanges {
    time_out: Span,
    /// Per definition of a procedure: what those caused by it share with it.
    causes: Vec<Vec<Identifier>>,
    /// By identifier and value (texts are numbered without gaps): the first procedure that has it, or [`NONE`].
    first_with: [Vec<u32>; IDENTIFIERS],
    by_key: ProbingTable<Keyed>,
    waiting: HashMap<Shared, Waiting, RandomState>,
    /// Session IDs of procedures whose responses have not said them yet.
    pub guesses: Guesses,
    /// Relays under way, by source: until an answer names only the destination as next hop.
    relays: HashMap<TextId, VecDeque<Relay>, RandomState>,
}

/// The last procedure with a key ID, known by the ID's hash: in halves, for millions of them take less memory so.
#[derive(Clone, Copy, Debug)]
struct Keyed {
    key: [u32; 2],
    procedure: u32,
}

impl Keyed {
    fn new(key: u64, procedure: u32) -> Self {
        Self { key: [key as u32, (key >> 32) as u32], procedure }
    }
}

impl Entry for Keyed {
    const NONE: Self = Self { key: [0; 2], procedure: NONE };

    fn is_none(&self) -> bool {
        self.procedure == NONE
    }

    fn hash(&self) -> u64 {
        u64::from(self.key[1]) << 32 | u64::from(self.key[0])
    }
}

/// Procedures that wait for the one they cause.
#[derive(Debug, Default)]
struct Waiting {
    procedures: VecDeque<u32>,
    /// Which of them caused which was guessed.
    is_guessed: bool,
}

/// A distributed relay (Q.4164 7.1): every KM on the route asks for its next hop.
#[derive(Debug)]
struct Relay {
    procedure: u32,
    destination: TextId,
    application: TextId,
    last: Timestamp,
    /// Every KM once.
    askers: Vec<Hop>,
}

#[derive(Debug)]
struct Hop {
    asker: Endpoint,
    request: u32,
}

impl Exchanges {
    /// Ties for these definitions; a relay's next hop comes within `time_out`.
    pub fn new(definitions: &Definitions, time_out: Span) -> Self {
        let mut causes = vec![Vec::new(); definitions.procedures.len()];
        for procedure in &definitions.procedures {
            if let Some((outer, share)) = &procedure.nested_in {
                causes[*outer as usize].clone_from(share);
            }
        }
        Self {
            time_out,
            causes,
            first_with: Default::default(),
            by_key: ProbingTable::default(),
            waiting: HashMap::default(),
            guesses: Guesses::default(),
            relays: HashMap::default(),
        }
    }

    /// Ties the procedure of message `index` to others by what the message holds.
    pub fn note(
        &mut self,
        journal: &mut Journal,
        definitions: &Definitions,
        index: u32,
        message: &Message,
        seen: &Seen,
        texts: &Texts,
    ) {
        let procedure = journal.records[index as usize].procedure;
        if procedure == NONE {
            return;
        }
        let definition_index = journal.procedures[procedure as usize].definition;
        let definition = &definitions.procedures[definition_index as usize];
        let begins = message.step.is_some_and(|(_, step)| step == 0);
        self.adopt_identifiers(journal, procedure, index);
        for &role in &definition.related_by {
            match identifier_of(role) {
                Some(identifier) if journal.records[index as usize].identifier(identifier).is_some() => {
                    self.tie(journal, procedure, identifier);
                }
                None if role == Role::Keys => self.tie_keys(journal, procedure, seen, texts),
                _ => {}
            }
        }
        if begins && !self.causes[definition_index as usize].is_empty() {
            let share = &self.causes[definition_index as usize];
            let Waiting { procedures, .. } =
                self.waiting.entry(shared(journal, index, definition_index, share)).or_default();
            procedures.push_back(procedure);
            if procedures.len() > MAX_WAITING {
                procedures.pop_front();
            }
        }
        if let (true, Some((outer, share))) = (begins, &definition.nested_in) {
            self.nest(journal, index, *outer, share);
        }
        if definition.hops {
            self.hop(journal, index, begins, seen, texts);
        }
    }

    /// The capture is over: what was only thought of as a procedure's session ID is the best there is.
    pub fn finish(&mut self, journal: &mut Journal) {
        let mut guesses: Vec<(u32, Guess)> = self.guesses.drain().collect();
        guesses.sort_unstable();
        // What a response has said to be another's was guessed wrongly.
        let guessed: HashSet<TextId, RandomState> = guesses.iter().map(|(_, guess)| guess.session).collect();
        let of = |procedure: &Procedure| (procedure.definition, procedure.session);
        let said = journal.procedures.iter().map(of).filter(|(_, session)| guessed.contains(session));
        let said: HashSet<(u16, TextId), RandomState> = said.collect();
        for (procedure, Guess { session, .. }) in guesses {
            let entry = &mut journal.procedures[procedure as usize];
            if !entry.session.is_some() && !said.contains(&(entry.definition, session)) {
                entry.session = session;
                self.tie(journal, procedure, Identifier::Session);
            }
        }
    }

    /// The procedure that has these key IDs, by their hashes.
    pub fn keyed(&self, keys: &[u64]) -> Option<u32> {
        keys.iter().find_map(|&key| self.by_key.find(key, |known| known.hash() == key)).map(|known| known.procedure)
    }

    fn adopt_identifiers(&mut self, journal: &mut Journal, procedure: u32, index: u32) {
        let record = &journal.records[index as usize];
        let entry = &mut journal.procedures[procedure as usize];
        if !entry.session.is_some() && record.identifier(Identifier::Session).is_some() {
            entry.session = record.identifier(Identifier::Session);
            self.guesses.remove(&procedure);
        }
        if !entry.key_relay_request.is_some() {
            entry.key_relay_request = record.identifier(Identifier::KeyRelayRequest);
        }
    }

    /// Relates procedures that share the value of an identifier.
    fn tie(&mut self, journal: &mut Journal, procedure: u32, identifier: Identifier) {
        let entry = &journal.procedures[procedure as usize];
        let value = match identifier {
            Identifier::Session => entry.session,
            Identifier::KeyRelayRequest => entry.key_relay_request,
            _ => journal
                .messages(procedure)
                .iter()
                .map(|&message| journal.records[message as usize].identifier(identifier))
                .find(|value| value.is_some())
                .unwrap_or_default(),
        };
        if value.is_some() {
            let firsts = &mut self.first_with[identifier as usize];
            let at = value.0 as usize;
            if firsts.len() <= at {
                firsts.resize(at + 1, NONE);
            }
            if firsts[at] == NONE {
                firsts[at] = procedure;
            }
            journal.relate(firsts[at], procedure);
        }
    }

    fn tie_keys(&mut self, journal: &mut Journal, procedure: u32, seen: &Seen, texts: &Texts) {
        for &key in texts.keys_of(&seen.facts) {
            match self.by_key.find_mut(key, |known| known.hash() == key) {
                Some(known) => {
                    let earlier = std::mem::replace(&mut known.procedure, procedure);
                    journal.relate(earlier, procedure);
                }
                None => self.by_key.insert(Keyed::new(key, procedure)),
            }
        }
    }

    /// Asks for what says which procedures have these key IDs, by their hashes.
    pub fn prefetch(&self, keys: &[u64]) {
        keys.iter().for_each(|&key| self.by_key.prefetch(key));
    }

    /// The oldest procedure that shares what causes this one is thought to have its session ID.
    fn nest(&mut self, journal: &mut Journal, index: u32, outer: u16, share: &[Identifier]) {
        let session = journal.records[index as usize].identifier(Identifier::Session);
        let key = shared(journal, index, outer, share);
        let Some(Waiting { procedures, is_guessed }) = self.waiting.get_mut(&key) else { return };
        procedures.retain(|&cause| {
            let entry = &journal.procedures[cause as usize];
            entry.state == State::Pending && !entry.session.is_some()
        });
        *is_guessed |= procedures.len() > 1;
        if session.is_some()
            && let Some(cause) = procedures.pop_front()
        {
            let nested = journal.records[index as usize].procedure;
            self.guesses.insert(cause, Guess { session, certain: !*is_guessed, nested });
        }
        if procedures.is_empty() {
            self.waiting.remove(&key);
        }
    }

    /// Ties the hops of one relay: the same route, each asked for by another KM, one after the other.
    fn hop(&mut self, journal: &mut Journal, index: u32, begins: bool, seen: &Seen, texts: &Texts) {
        let record = journal.records[index as usize];
        let route = record.identifiers;
        let source = route[Identifier::Source as usize];
        if !begins {
            return self.hop_answered(journal, index, seen, texts);
        }
        let asker = asker(journal, index);
        let time_out = self.time_out;
        let relays = self.relays.entry(source).or_default();
        relays.retain(|relay| record.time - relay.last <= time_out);
        let found = relays.iter_mut().find(|relay| relay.continues(journal, &route, asker));
        match found {
            Some(relay) => {
                relay.last = record.time;
                relay.asked(Hop { asker, request: index });
                journal.relate(relay.procedure, record.procedure);
            }
            None => {
                relays.push_back(Relay {
                    procedure: record.procedure,
                    destination: route[Identifier::Destination as usize],
                    application: route[Identifier::ApplicationDestination as usize],
                    last: record.time,
                    askers: vec![Hop { asker, request: index }],
                });
                if relays.len() > MAX_RELAYS {
                    relays.pop_front();
                }
            }
        }
    }

    fn hop_answered(&mut self, journal: &mut Journal, index: u32, seen: &Seen, texts: &Texts) {
        let record = journal.records[index as usize];
        let Some(request) = journal.records.get(record.answers as usize) else { return };
        let Some(relays) = self.relays.get_mut(&request.identifier(Identifier::Source)) else { return };
        let asked = |relay: &&mut Relay| relay.askers.iter().any(|hop| hop.request == record.answers);
        let Some(relay) = relays.iter_mut().rev().find(asked) else { return };
        relay.last = record.time;
        let destination = record.identifier(Identifier::Destination);
        if !relay.destination.is_some() {
            relay.destination = destination;
        }
        let next = texts.get(seen.facts.only_next_hop);
        let wanted = journal.texts.get(relay.destination).map(str::as_bytes);
        let arrived = seen.facts.outcome != Outcome::Failure && next.is_some() && next == wanted;
        if arrived {
            relays.retain(|relay| !relay.askers.iter().any(|hop| hop.request == record.answers));
        }
    }
}

impl Relay {
    /// Whether a request for `route` by `asker` is this relay's next hop: the same destination, and not asked for by
    /// the same KM before, unless it got no answer to go by.
    fn continues(&self, journal: &Journal, route: &[TextId; IDENTIFIERS], asker: Endpoint) -> bool {
        let same = |mine: TextId, other: TextId| mine.is_some() && mine == other;
        let leads_there = same(self.destination, route[Identifier::Destination as usize])
            || same(self.application, route[Identifier::ApplicationDestination as usize]);
        let asked_before = || {
            self.askers.iter().any(|hop| {
                let procedure = journal.records[hop.request as usize].procedure;
                hop.asker == asker
                    && matches!(journal.procedures[procedure as usize].state, State::Complete | State::Pending)
            })
        };
        leads_there && self.askers.len() < MAX_HOPS && !asked_before()
    }

    /// Notes a hop; a KM that asks again had no answer to go by the first time.
    fn asked(&mut self, hop: Hop) {
        match self.askers.iter_mut().find(|known| known.asker == hop.asker) {
            Some(known) => *known = hop,
            None => self.askers.push(hop),
        }
    }
}

/// Who asks: the KM's address. On a loopback address many KMs share it, so there it is the port too.
fn asker(journal: &Journal, index: u32) -> Endpoint {
    let record = &journal.records[index as usize];
    let connection = &journal.connections[record.connection as usize];
    let end = connection.end(record.side);
    let port = if end.is_loopback() { end.port } else { 0 };
    Endpoint { port, ..end }
}

fn shared(journal: &Journal, index: u32, outer: u16, share: &[Identifier]) -> Shared {
    let record = &journal.records[index as usize];
    let mut values = [0; 3];
    for &identifier in share {
        let (pair, half) = (identifier as usize / 2, identifier as usize % 2);
        values[pair] |= u64::from(record.identifier(identifier).0) << (32 * half);
    }
    let [a, b, c] = values;
    (outer, a, b, c)
}
