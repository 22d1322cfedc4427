//! A simulated KM: begins the procedures of Q.4164 clauses 7.1 to 7.3 and answers those of 7.2 and 7.4 to 7.6.
//! Sans-IO, see [`peer`](super::peer). It has one connection to its QKDN controller.

use std::collections::BTreeSet;

use super::dialect::{Message, Outcome, Parameter as P};
use super::peer::{Conduct, ConnectionId, Conversations, Event, Input, Output, Peer, Target, Task};
use super::random::Random;
use super::topology::Km;
use super::wire::{Code, Pdu};
use crate::time::Timestamp;

/// Keys that one reservation reserves.
const KEYS_PER_RESERVATION: usize = 3;

/// The KM.
#[derive(Debug)]
pub struct KeyManager {
    /// Who it is.
    pub km: Km,
    /// Its conversation with the controller.
    pub talk: Conversations<Task>,
    connection: Option<ConnectionId>,
    random: Random,
    reserved: BTreeSet<String>,
}

impl Peer for KeyManager {
    fn handle(&mut self, now: Timestamp, input: Input<'_>) {
        self.talk.advance(now);
        match input {
            Input::Connected(connection, _) => self.connection = Some(connection),
            Input::Received(connection, bytes) => self.receive(connection, bytes),
            Input::Closed(connection) => {
                self.connection = None;
                self.talk.closed(connection);
            }
            Input::Started(task) => self.start(task),
            Input::TimedOut => {}
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.talk.poll()
    }
}

impl KeyManager {
    /// A KM without a connection; `seed` makes its key IDs.
    pub fn new(km: Km, conduct: Conduct, seed: u64) -> Self {
        let talk = Conversations::new(conduct);
        Self { km, talk, connection: None, random: Random::new(seed), reserved: BTreeSet::new() }
    }

    fn start(&mut self, task: Task) {
        let Some(connection) = self.connection else { return };
        let request = match &task {
            Task::NextHop { target, .. } if target.kma.as_deref() == Some(&*self.km.kma) => return, // it has arrived
            Task::NextHop { source, target } => toward(Code::NEXT_HOP_REQUEST, source, target),
            Task::Relay { target } => toward(Code::RELAY_NOTIFICATION, &self.km.kma, target),
            Task::Session { source, destination, keys } => Message::new(Code::SESSION_REQUEST)
                .text(P::ApplicationSourceId, source)
                .text(P::ApplicationDestinationId, destination)
                .number(P::NumberOfKeys, *keys),
            Task::Reserve { .. } | Task::Allocate { .. } => return, // the controller's
        };
        self.talk.request(connection, &request, task);
    }

    fn receive(&mut self, connection: ConnectionId, bytes: &[u8]) {
        for (pdu, message) in self.talk.received(connection, bytes) {
            match pdu.code {
                Code::NEXT_HOP_RESPONSE => self.on_next_hop(connection, &pdu, &message),
                Code::RELAY_REQUEST => self.on_relay_request(connection, &pdu, &message),
                Code::SESSION_RESPONSE => {
                    self.talk.answered(connection, &pdu, |_| true);
                }
                Code::SESSION_NOTIFICATION => self.on_session_notification(connection, &pdu, &message),
                Code::RESERVATION_REQUEST => self.on_reservation(connection, &pdu, &message),
                Code::ALLOCATION_REQUEST => self.on_allocation(connection, &pdu, &message),
                _ => {} // not for a KM
            }
        }
    }

    /// 7.1: relays to the first of the KMs offered, which asks on.
    fn on_next_hop(&mut self, connection: ConnectionId, pdu: &Pdu, message: &Message) {
        let asked = self.talk.answered(connection, pdu, |task| matches!(task, Task::NextHop { .. }));
        let Some(Task::NextHop { source, target }) = asked else { return };
        if let Some(next) = message.get_list(P::NextKmaIds).first().cloned() {
            let kma = target.kma.or_else(|| message.get(P::DestinationKmaId).map(str::to_owned));
            let target = Target { kma, application: target.application };
            self.talk.event(Event::Relayed { next, source, target });
        }
    }

    /// 7.2: relays along the route given and says how that went.
    fn on_relay_request(&mut self, connection: ConnectionId, pdu: &Pdu, message: &Message) {
        self.talk.answered(connection, pdu, |task| matches!(task, Task::Relay { .. }));
        let Some(outcome) = self.talk.conduct.answer(pdu.code).or(Outcome::Success) else { return };
        let response = Message::new(Code::RELAY_RESPONSE)
            .outcome(&outcome)
            .maybe(P::KeyRelayRequestId, message.get(P::KeyRelayRequestId));
        self.talk.respond(connection, pdu.message_id, &response);
    }

    /// 7.4: tells the destination application.
    fn on_session_notification(&mut self, connection: ConnectionId, pdu: &Pdu, message: &Message) {
        let known = self.km.applications.iter().any(|app| Some(&**app) == message.get(P::ApplicationDestinationId));
        let unknown = || Outcome::Failure("Destination application not registered".to_owned());
        let honest = if known { Outcome::Success } else { unknown() };
        let Some(outcome) = self.talk.conduct.answer(pdu.code).or(honest) else { return };
        let response = Message::new(Code::SESSION_NOTIFICATION_RESPONSE)
            .maybe(P::SessionId, message.get(P::SessionId))
            .outcome(&outcome);
        self.talk.respond(connection, pdu.message_id, &response);
    }

    /// 7.5: sets keys aside.
    fn on_reservation(&mut self, connection: ConnectionId, pdu: &Pdu, message: &Message) {
        let Some(outcome) = self.talk.conduct.answer(pdu.code).or(Outcome::Success) else { return };
        let mut response = repeated(Code::RESERVATION_RESPONSE, message);
        if outcome == Outcome::Success {
            let keys: Vec<String> = (0..KEYS_PER_RESERVATION).map(|_| self.random.uuid()).collect();
            response = response.list(P::KeyIds, &keys);
            self.reserved.extend(keys);
        }
        self.talk.respond(connection, pdu.message_id, &response.outcome(&outcome));
    }

    /// 7.6: hands out keys set aside before.
    fn on_allocation(&mut self, connection: ConnectionId, pdu: &Pdu, message: &Message) {
        let keys = message.get_list(P::KeyIds);
        let reserved = !keys.is_empty() && keys.iter().all(|key| self.reserved.contains(key));
        let honest = if reserved { Outcome::Success } else { Outcome::Failure("Key IDs are not reserved".to_owned()) };
        let Some(outcome) = self.talk.conduct.answer(pdu.code).or(honest) else { return };
        if outcome == Outcome::Success {
            self.reserved.retain(|key| !keys.contains(key));
        }
        let response = repeated(Code::ALLOCATION_RESPONSE, message).outcome(&outcome);
        self.talk.respond(connection, pdu.message_id, &response);
    }
}

/// A request that names the whole route's source and its target.
pub(super) fn toward(code: Code, source: &str, target: &Target) -> Message {
    Message::new(code)
        .text(P::SourceKmaId, source)
        .maybe(P::DestinationKmaId, target.kma.as_deref())
        .maybe(P::ApplicationDestinationId, target.application.as_deref())
}

/// The optional parameters that Tables 11 and 13 let a response repeat.
fn repeated(code: Code, request: &Message) -> Message {
    Message::new(code)
        .maybe(P::SourceKmaId, request.get(P::SourceKmaId))
        .maybe(P::DestinationKmaId, request.get(P::DestinationKmaId))
        .maybe(P::ApplicationDestinationId, request.get(P::ApplicationDestinationId))
}
