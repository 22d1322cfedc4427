//! A simulated QKDN controller: knows the topology, finds routes, creates sessions, reserves and allocates keys
//! (Q.4164 clause 7). Sans-IO, see [`peer`](super::peer).

use std::collections::BTreeMap;

use super::dialect::{Message, Outcome, Parameter as P};
use super::key_manager::toward;
use super::peer::{Answer, Conduct, ConnectionId, Conversations, Input, Output, Peer, Target, Task};
use super::random::Random;
use super::topology::Topology;
use super::wire::{Code, Pdu};
use crate::time::Timestamp;

/// Why the controller made a request.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // fields are IDs, named as the parameters of clause 8
pub enum Why {
    /// 7.2: to have a key relayed.
    Relay { id: String },
    /// 7.4, nested in 7.3: the KM that asked waits for the result.
    Notify { session: String, asker: ConnectionId, asked: u32, destination_km: String },
    /// 7.5.
    Reserve { source: String, target: Target, allocate: bool },
    /// 7.6.
    Allocate,
}

/// The controller.
#[derive(Debug)]
pub struct Controller {
    /// Its conversations with the KMs.
    pub talk: Conversations<Why>,
    topology: Topology,
    random: Random,
    /// Which KM, by its place in the topology, is at the other end.
    connections: BTreeMap<ConnectionId, Option<usize>>,
    relays: u32,
}

impl Peer for Controller {
    fn handle(&mut self, now: Timestamp, input: Input<'_>) {
        let lost = self.talk.advance(now);
        self.give_up(lost);
        match input {
            Input::Connected(connection, km) => {
                self.connections.insert(connection, km);
            }
            Input::Received(connection, bytes) => self.receive(connection, bytes),
            Input::Closed(connection) => {
                self.connections.remove(&connection);
                let lost = self.talk.closed(connection);
                self.give_up(lost);
            }
            Input::Started(task) => self.start(task),
            Input::TimedOut => {}
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.talk.poll()
    }
}

impl Controller {
    /// A controller of `topology`; `seed` makes its session IDs.
    pub fn new(topology: Topology, conduct: Conduct, seed: u64) -> Self {
        let talk = Conversations::new(conduct);
        Self { talk, topology, random: Random::new(seed), connections: BTreeMap::new(), relays: 0 }
    }

    /// The KM at the other end, if known.
    pub fn km_at(&self, connection: ConnectionId) -> Option<usize> {
        self.connections.get(&connection).copied().flatten()
    }

    fn connection_to(&self, km: usize) -> Option<ConnectionId> {
        self.connections.iter().find(|(_, other)| **other == Some(km)).map(|(connection, _)| *connection)
    }

    fn start(&mut self, task: Task) {
        match task {
            Task::Reserve { source, target, allocate } => {
                let request = toward(Code::RESERVATION_REQUEST, &source, &self.resolved(&target));
                self.ask(&source.clone(), &request, Why::Reserve { source, target, allocate });
            }
            Task::Allocate { source, target, keys } => self.allocate(&source, &target, &keys),
            Task::NextHop { .. } | Task::Relay { .. } | Task::Session { .. } => {} // the KMs'
        }
    }

    fn allocate(&mut self, source: &str, target: &Target, keys: &[String]) {
        let request = toward(Code::ALLOCATION_REQUEST, source, &self.resolved(target)).list(P::KeyIds, keys);
        self.ask(source, &request, Why::Allocate);
    }

    /// Tables 10 and 12: Destination KMA ID is mandatory, the application only an addition.
    fn resolved(&self, target: &Target) -> Target {
        let kma = self.destination(target).map(|km| self.topology.kms[km].kma.clone());
        Target { kma: kma.or_else(|| target.kma.clone()), application: target.application.clone() }
    }

    fn destination(&self, target: &Target) -> Option<usize> {
        let by_kma = target.kma.as_deref().and_then(|id| self.topology.kma(id));
        by_kma.or_else(|| target.application.as_deref().and_then(|id| self.topology.application(id)))
    }

    /// Sends a request to the KM of a KMA, if that is connected.
    fn ask(&mut self, kma: &str, request: &Message, why: Why) {
        let connection = self.topology.kma(kma).and_then(|km| self.connection_to(km));
        if let Some(connection) = connection {
            self.talk.request(connection, request, why);
        }
    }

    fn receive(&mut self, connection: ConnectionId, bytes: &[u8]) {
        for (pdu, message) in self.talk.received(connection, bytes) {
            self.learn(connection, &message);
            match pdu.code {
                Code::NEXT_HOP_REQUEST => self.on_next_hop(connection, &pdu, &message),
                Code::RELAY_NOTIFICATION => self.on_relay_notification(connection, &pdu, &message),
                Code::RELAY_RESPONSE => self.on_relay_response(connection, &pdu, &message),
                Code::SESSION_REQUEST => self.on_session_request(connection, &pdu, &message),
                Code::SESSION_NOTIFICATION_RESPONSE => self.on_session_notified(connection, &pdu, &message),
                Code::RESERVATION_RESPONSE => self.on_reserved(connection, &pdu, &message),
                Code::ALLOCATION_RESPONSE => {
                    self.talk.answered(connection, &pdu, |why| matches!(why, Why::Allocate));
                }
                _ => {} // not for a controller
            }
        }
    }

    /// Without certificates, a stranger is known by the first of its requests that tells: the source of a route
    /// or of a session. (In 7.1 a KM in the middle names the route's source, so that one is believed last.)
    fn learn(&mut self, connection: ConnectionId, message: &Message) {
        if self.km_at(connection).is_some() {
            return;
        }
        let by_application = message.get(P::ApplicationSourceId).and_then(|id| self.topology.application(id));
        let by_kma = || message.get(P::SourceKmaId).and_then(|id| self.topology.kma(id));
        if let Some(km) = by_application.or_else(by_kma).filter(|&km| self.connection_to(km).is_none()) {
            self.connections.insert(connection, Some(km));
        }
    }

    fn target(message: &Message) -> Target {
        let kma = message.get(P::DestinationKmaId).map(str::to_owned);
        Target { kma, application: message.get(P::ApplicationDestinationId).map(str::to_owned) }
    }

    /// 7.1: the neighbours of whoever asks, not of the route's source. Table 2 has no Response: no next hop is
    /// how a controller says that it knows none.
    fn on_next_hop(&mut self, connection: ConnectionId, pdu: &Pdu, message: &Message) {
        let answer = self.talk.conduct.answer(pdu.code);
        if answer == Answer::Silence {
            return;
        }
        let destination = self.destination(&Self::target(message)).filter(|_| answer == Answer::Honest);
        let asker = self.km_at(connection);
        let hops = asker.zip(destination).map(|(asker, to)| self.topology.next_hops(asker, to)).unwrap_or_default();
        let response = Message::new(Code::NEXT_HOP_RESPONSE)
            .maybe(P::SourceKmaId, message.get(P::SourceKmaId))
            .maybe(P::DestinationKmaId, destination.map(|km| &*self.topology.kms[km].kma))
            .list(P::NextKmaIds, &hops);
        self.talk.respond(connection, pdu.message_id, &response);
    }

    /// 7.2: the whole route. Without one there is nothing to answer with: 0x4104 has no Response.
    fn on_relay_notification(&mut self, connection: ConnectionId, pdu: &Pdu, message: &Message) {
        let source = message.get(P::SourceKmaId).and_then(|id| self.topology.kma(id)).or(self.km_at(connection));
        let ends = source.zip(self.destination(&Self::target(message)));
        let route = ends.and_then(|(from, to)| Some((from, to, self.topology.transit(from, to)?)));
        let (Some((from, to, transit)), Answer::Honest) = (route, self.talk.conduct.answer(pdu.code)) else { return };
        self.relays += 1;
        let id = format!("KRR-{:06}", self.relays);
        let request = Message::new(Code::RELAY_REQUEST)
            .text(P::SourceKmaId, &self.topology.kms[from].kma)
            .text(P::DestinationKmaId, &self.topology.kms[to].kma)
            .list(P::TransitKmaIds, &transit)
            .text(P::KeyRelayRequestId, &id);
        self.talk.request_answering(connection, pdu.message_id, &request, Why::Relay { id });
    }

    fn on_relay_response(&mut self, connection: ConnectionId, pdu: &Pdu, message: &Message) {
        let same = |id: &str| message.get(P::KeyRelayRequestId).is_none_or(|other| other == id);
        self.talk.answered(connection, pdu, |why| matches!(why, Why::Relay { id } if same(id)));
    }

    /// 7.3: makes a session ID and, if the destination KM is there, begins 7.4 with it.
    fn on_session_request(&mut self, connection: ConnectionId, pdu: &Pdu, message: &Message) {
        let application = message.get(P::ApplicationDestinationId).unwrap_or_default().to_owned();
        match self.talk.conduct.answer(pdu.code) {
            Answer::Silence => return,
            Answer::Refuse(reason) => return self.refuse_session(connection, pdu.message_id, &reason),
            Answer::Honest => {}
        }
        let Some(destination) = self.topology.application(&application) else {
            return self.refuse_session(connection, pdu.message_id, "Application destination ID unknown");
        };
        let Some(notified) = self.connection_to(destination) else {
            return self.refuse_session(connection, pdu.message_id, "Destination KM not connected");
        };
        let session = self.random.uuid();
        let notification = Message::new(Code::SESSION_NOTIFICATION)
            .maybe(P::ApplicationSourceId, message.get(P::ApplicationSourceId))
            .text(P::ApplicationDestinationId, application)
            .text(P::SessionId, &session)
            .maybe(P::SourceKmId, self.km_at(connection).map(|km| &*self.topology.kms[km].id))
            .number(P::NumberOfKeys, message.get_number(P::NumberOfKeys));
        let destination_km = self.topology.kms[destination].id.clone();
        let why = Why::Notify { session, asker: connection, asked: pdu.message_id, destination_km };
        self.talk.request(notified, &notification, why);
    }

    /// Table 7 makes Session ID and Destination KM ID mandatory; a refusal has neither yet.
    fn refuse_session(&mut self, connection: ConnectionId, asked: u32, reason: &str) {
        let response = Message::new(Code::SESSION_RESPONSE).outcome(&Outcome::Failure(reason.to_owned()));
        self.talk.respond(connection, asked, &response);
    }

    /// 7.4 is answered: so is the 7.3 around it.
    fn on_session_notified(&mut self, connection: ConnectionId, pdu: &Pdu, message: &Message) {
        let named = message.get(P::SessionId);
        let same = |id: &str| named.is_none_or(|other| other == id);
        let why =
            self.talk.answered(connection, pdu, |why| matches!(why, Why::Notify { session, .. } if same(session)));
        if let Some(why) = why {
            self.finish_session(why, message.get_outcome());
        }
    }

    fn finish_session(&mut self, why: Why, outcome: Outcome) {
        let Why::Notify { session, asker, asked, destination_km } = why else { return };
        if !self.connections.contains_key(&asker) {
            return; // whoever asked is gone
        }
        let outcome = match outcome {
            Outcome::Success => Outcome::Success,
            Outcome::Failure(reason) => Outcome::Failure(format!("Destination KM refused: {reason}")),
        };
        let response = Message::new(Code::SESSION_RESPONSE)
            .text(P::SessionId, session)
            .outcome(&outcome)
            .text(P::DestinationKmId, destination_km);
        self.talk.respond(asker, asked, &response);
    }

    /// 7.5 is answered: 7.6 may follow with the key IDs reserved.
    fn on_reserved(&mut self, connection: ConnectionId, pdu: &Pdu, message: &Message) {
        let why = self.talk.answered(connection, pdu, |why| matches!(why, Why::Reserve { .. }));
        if let Some(Why::Reserve { source, target, allocate: true }) = why
            && message.get_outcome() == Outcome::Success
        {
            self.allocate(&source, &target, message.get_list(P::KeyIds));
        }
    }

    /// Whoever waits for a request that got no answer is told so, if still there.
    fn give_up(&mut self, lost: Vec<(ConnectionId, Why)>) {
        for (_, why) in lost {
            self.finish_session(why, Outcome::Failure("no answer".to_owned()));
        }
    }
}
