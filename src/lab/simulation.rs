//! The peers of a topology joined by a simulated [`Network`] with a seeded clock. In: who connects and what
//! each begins. Out: the segments that passed. The same setup gives the same segments every time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::PoisonError;

use super::appendix_ii::dialect;
use super::calls::Calls;
use super::controller::Controller;
use super::grpc::Serves;
use super::key_manager::KeyManager;
use super::line::End;
use super::network::{Network, Side};
use super::peer::{Conduct, ConnectionId, Event, Input, Output, Peer, Task};
use super::random::Random;
use super::setup::{Binding, CONTROLLER_HOST, Dial, PORT, START, Setup};
use super::tcp::Segment;
use super::tls::Configurations;
use super::wire::{Code, Pdu};
use crate::time::{Span, Timestamp};

/// Changes what a peer sends: from the message it means to the bytes that go out. The other peer receives what
/// was meant, as if it were liberal, so that the conversation goes on.
pub type Tamper = Box<dyn FnMut(&Pdu) -> Vec<u8>>;

/// What is to happen at some time; numbers are those of TCP connections, and of peers.
#[derive(Debug)]
enum Happening {
    Connected(usize),
    Send(usize, Side, Pdu),
    /// Put on the wire what TLS or gRPC has to say of its own.
    Emit(usize, Side, Vec<u8>),
    Arrive(usize, Side, Vec<u8>),
    Start(usize, Task),
}

/// A TCP connection.
#[derive(Debug)]
struct Line {
    /// The KM it is of.
    km: usize,
    /// What the peers know it as: its own number or, of two connections that gRPC takes, that of the first.
    known_as: usize,
    ends: [End; 2],
}

/// The simulation.
pub struct Simulation {
    /// The clock.
    pub now: Timestamp,
    /// The network, for what no peer would do.
    pub network: Network,
    /// The controller.
    pub controller: Controller,
    /// The KMs, in the order of the topology.
    pub kms: Vec<KeyManager>,
    /// Applied to everything sent.
    pub tamper: Option<Tamper>,
    /// Requests that nobody answered in time, or whose connection went.
    pub unanswered: Vec<Code>,
    setup: Setup,
    random: Random,
    /// By the network's numbers.
    lines: Vec<Line>,
    tls: Option<Configurations>,
    calls: Option<Calls>,
    /// What is to happen; the second number keeps the order of what happens at one time.
    queue: BTreeMap<(Timestamp, u64), Happening>,
    scheduled: u64,
    /// When each direction of each connection sends last.
    sending: BTreeMap<(usize, bool), Timestamp>,
    /// When each peer wants to be woken; the controller stands after the KMs.
    wakes: Vec<Option<Timestamp>>,
}

impl Simulation {
    /// Peers without connections.
    pub fn new(setup: &Setup) -> Self {
        // MessageIDs of different peers are easy to tell apart: the KM's number stands in the upper bits.
        let mut setup = setup.clone();
        if setup.binding == Binding::Grpc {
            (setup.km, setup.controller) = (dialect(setup.km), dialect(setup.controller));
        }
        let kms = &setup.topology.kms;
        let conduct = |at: usize| Conduct::new(setup.km, ((at as u32 + 1) << 20) + 1);
        let km =
            |(at, km): (usize, &_)| KeyManager::new(Clone::clone(km), conduct(at), setup.seed ^ (at as u64 + 2) << 32);
        let conduct = Conduct::new(setup.controller, 0x8000_0001);
        Self {
            now: START,
            network: Network::new(setup.seed),
            controller: Controller::new(setup.topology.clone(), conduct, setup.seed ^ 1 << 32),
            kms: kms.iter().enumerate().map(km).collect(),
            tamper: None,
            unanswered: Vec::new(),
            random: Random::new(setup.seed.wrapping_add(1)),
            lines: Vec::new(),
            tls: setup.tls.map(|version| Configurations::new(&setup, version)),
            calls: (setup.binding == Binding::Grpc).then(|| Calls::new(setup.failures)),
            queue: BTreeMap::new(),
            scheduled: 0,
            sending: BTreeMap::new(),
            wakes: vec![None; kms.len() + 1],
            setup,
        }
    }

    /// Connects the KMs of these KMAs, one after the other, and waits until they are.
    pub fn connect(&mut self, kmas: &[&str]) {
        for kma in kmas {
            let km = self.position(kma);
            let ephemeral = 32_768 + self.random.below(28_000) as u16;
            self.connect_from(km, ephemeral);
            self.run();
            let breath = Span(200_000 + self.random.below(800_000) as i64);
            self.pause(breath);
        }
    }

    /// Connects a KM; whoever dials does so from port `ephemeral`. Over gRPC the controller dials too.
    pub fn connect_from(&mut self, km: usize, ephemeral: u16) -> usize {
        if self.setup.binding == Binding::Tcp {
            return self.dial(km, self.setup.dial, ephemeral, self.lines.len());
        }
        let first = self.dial(km, Dial::Km, ephemeral, self.lines.len());
        self.dial(km, Dial::Controller, ephemeral ^ 1, first);
        first
    }

    fn dial(&mut self, km: usize, dial: Dial, ephemeral: u16, known_as: usize) -> usize {
        let km_address = self.setup.address(self.setup.topology.kms[km].host);
        let controller = self.setup.address(CONTROLLER_HOST);
        let (from, to) = match dial {
            Dial::Km => (km_address, controller),
            Dial::Controller => (controller, km_address),
        };
        let [from, to] = [SocketAddr::new(from, ephemeral), SocketAddr::new(to, PORT)];
        let (connection, at) = self.network.connect(self.now, from, to);
        let ends = match &self.tls {
            Some(tls) => tls.ends(km, dial).map(|session| End::new(Some(session))),
            None => [End::default(), End::default()],
        };
        self.lines.push(Line { km, known_as, ends });
        self.schedule(at, Happening::Connected(connection));
        connection
    }

    /// The KM of a KMA.
    ///
    /// # Panics
    /// If the topology has no such KMA: scenarios name only those it has.
    pub fn km(&mut self, kma: &str) -> &mut KeyManager {
        let position = self.position(kma);
        &mut self.kms[position]
    }

    /// The KM of `kma` begins a procedure.
    pub fn start(&mut self, kma: &str, task: Task) {
        let km = self.position(kma);
        self.schedule(self.now, Happening::Start(km, task));
    }

    /// The controller begins a procedure.
    pub fn start_controller(&mut self, task: Task) {
        self.schedule(self.now, Happening::Start(self.kms.len(), task));
    }

    /// Goes on until nothing is left to happen, time-outs included.
    pub fn run(&mut self) {
        self.run_until(Timestamp(i64::MAX));
    }

    /// Lets time pass, with what happens in it.
    pub fn pause(&mut self, span: Span) {
        let end = self.now + span;
        self.run_until(end);
        self.now = end;
    }

    /// The KM of `kma` closes its connection.
    pub fn hang_up(&mut self, kma: &str) {
        self.pause(Span::from_millis(1));
        let connection = self.connection(kma);
        for line in self.lines_of(connection) {
            let side = self.km_side_of(line);
            let end = &mut self.lines[line].ends[side as usize];
            end.close();
            let good_bye = end.outgoing();
            self.now = self.network.send(line, side, self.now, &good_bye);
            self.now = self.network.close(line, side, self.now);
        }
        self.disconnected(connection);
    }

    /// Every KM that is connected closes its connection.
    pub fn hang_up_all(&mut self) {
        let open: Vec<String> = (0..self.kms.len())
            .filter(|km| self.lines.iter().any(|line| line.km == *km))
            .map(|km| self.kms[km].km.kma.clone())
            .collect();
        open.iter().for_each(|kma| self.hang_up(kma));
    }

    /// The controller breaks the connection to the KM of `kma`.
    pub fn reset(&mut self, kma: &str) {
        let connection = self.connection(kma);
        for line in self.lines_of(connection) {
            self.now = self.network.reset(line, self.km_side_of(line).other(), self.now);
        }
        self.disconnected(connection);
    }

    /// The network's number of the connection of `kma`, the latest if it had several.
    pub fn connection(&self, kma: &str) -> usize {
        let km = self.position(kma);
        let line = self.lines.iter().rfind(|line| line.km == km);
        line.expect("the scenario connected it").known_as
    }

    fn lines_of(&self, connection: usize) -> Vec<usize> {
        (0..self.lines.len()).filter(|&line| self.lines[line].known_as == connection).collect()
    }

    /// The side that KMs are on.
    pub fn km_side(&self) -> Side {
        if self.setup.dial == Dial::Km { Side::Initiator } else { Side::Responder }
    }

    /// The same for a TCP connection: the second of two that gRPC takes is the controller's.
    fn km_side_of(&self, line: usize) -> Side {
        match self.setup.binding {
            Binding::Tcp => self.km_side(),
            Binding::Grpc if self.lines[line].known_as == line => Side::Initiator,
            Binding::Grpc => Side::Responder,
        }
    }

    /// The peer at an end of a TCP connection.
    fn peer_at(&self, line: usize, side: Side) -> usize {
        if side == self.km_side_of(line) { self.lines[line].km } else { self.kms.len() }
    }

    /// `side` of the connection of `kma` sends what no peer would; nobody reacts.
    pub fn inject(&mut self, kma: &str, side: Side, bytes: &[u8]) {
        let connection = self.connection(kma);
        self.now = self.say(connection, side, bytes, Vec::new());
    }

    /// What passed.
    pub fn finish(self) -> Vec<Segment> {
        self.network.finish()
    }

    fn position(&self, kma: &str) -> usize {
        self.setup.topology.kma(kma).expect("scenarios name KMAs of their topology")
    }

    fn schedule(&mut self, at: Timestamp, happening: Happening) {
        self.queue.insert((at, self.scheduled), happening);
        self.scheduled += 1;
    }

    fn run_until(&mut self, end: Timestamp) {
        loop {
            let wake = self.wakes.iter().flatten().min().copied();
            let next = self.queue.first_key_value().map(|(key, _)| key.0);
            let Some(at) = next.into_iter().chain(wake).min().filter(|at| *at <= end) else { return };
            self.now = self.now.max(at);
            match self.queue.first_entry().filter(|entry| entry.key().0 == at) {
                Some(entry) => {
                    let happening = entry.remove();
                    self.happen(happening);
                }
                None => (0..self.wakes.len())
                    .filter(|&peer| self.wakes[peer] == Some(at))
                    .collect::<Vec<_>>()
                    .into_iter()
                    .for_each(|peer| self.tell(peer, Input::TimedOut)),
            }
            self.pump();
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Connected(connection) => {
                self.progress(connection, Side::Initiator);
                self.progress(connection, Side::Responder);
            }
            Happening::Send(connection, side, pdu) => self.send(connection, side, &pdu),
            Happening::Emit(connection, side, bytes) => {
                let end = &mut self.lines[connection].ends[side as usize];
                end.send(&bytes);
                let wire = end.outgoing();
                if !wire.is_empty() {
                    self.put(connection, side, wire);
                }
            }
            Happening::Arrive(connection, side, bytes) => self.arrive(connection, side, &bytes),
            Happening::Start(peer, task) => self.tell(peer, Input::Started(task)),
        }
    }

    fn send(&mut self, connection: usize, side: Side, pdu: &Pdu) {
        let meant = pdu.encode();
        let said = self.tamper.as_mut().map_or_else(|| meant.clone(), |tamper| tamper(pdu));
        self.say(connection, side, &said, meant);
    }

    /// `said` goes out now, in whose place the other end sees `meant`; gives the time at which it arrives.
    fn say(&mut self, connection: usize, side: Side, said: &[u8], meant: Vec<u8>) -> Timestamp {
        let ends = &mut self.lines[connection].ends;
        ends[side.other() as usize].expect(said.len(), meant);
        ends[side as usize].send(said);
        let wire = ends[side as usize].outgoing();
        self.put(connection, side, wire)
    }

    fn put(&mut self, connection: usize, side: Side, wire: Vec<u8>) -> Timestamp {
        let arrival = self.network.send(connection, side, self.now, &wire);
        self.schedule(arrival, Happening::Arrive(connection, side.other(), wire));
        arrival
    }

    fn arrive(&mut self, connection: usize, side: Side, wire: &[u8]) {
        let end = &mut self.lines[connection].ends[side as usize];
        let bytes = end.receive(wire);
        match &mut self.calls {
            Some(calls) => calls.receive(connection, side, &bytes),
            None => {
                let seen = end.complete(bytes.len());
                if !seen.is_empty() {
                    let peer = self.peer_at(connection, side);
                    self.tell(peer, Input::Received(ConnectionId(connection), &seen));
                }
            }
        }
        self.progress(connection, side);
    }

    /// An end may have come up, and TLS may have something to say of its own, which takes it 300 µs.
    fn progress(&mut self, line: usize, side: Side) {
        if self.tls.is_some() {
            self.schedule(self.now + Span(300_000), Happening::Emit(line, side, Vec::new()));
        }
        if !self.lines[line].ends[side as usize].came_up() {
            return;
        }
        let (peer, km, known_as) = (self.peer_at(line, side), self.lines[line].km, self.lines[line].known_as);
        // Over gRPC a peer's connection is the one it calls over.
        if let Some(calls) = &mut self.calls {
            let serves = if peer == self.kms.len() { Serves::Notifications } else { Serves::Requests };
            calls.open(line, side, (peer, known_as), serves);
            if side == Side::Responder {
                return;
            }
        }
        let km = (peer == self.kms.len()).then_some(km);
        self.tell(peer, Input::Connected(ConnectionId(known_as), km));
    }

    /// Lets gRPC do what it can: what it says goes out after 80 µs, what it heard goes to the peers.
    fn pump(&mut self) {
        while let Some(calls) = &mut self.calls {
            let (said, heard) = calls.settle();
            for (line, side, bytes) in said {
                self.schedule(self.now + Span(80_000), Happening::Emit(line, side, bytes));
            }
            if heard.is_empty() {
                return;
            }
            for (peer, arrival) in heard {
                self.tell(peer, Input::Received(arrival.connection, &arrival.pdu.encode()));
            }
        }
    }

    /// Gives a peer an input and does what it asks for.
    fn tell(&mut self, peer: usize, input: Input<'_>) {
        let now = self.now;
        self.peer(peer).handle(now, input);
        self.wakes[peer] = None;
        while let Some(output) = self.peer(peer).poll() {
            match output {
                Output::Transmit(connection, pdu) => self.transmit(peer, connection.0, pdu),
                Output::Event(Event::Relayed { next, source, target }) => self.relay(&next, source, target),
                Output::Event(Event::Unanswered(_, code)) => self.unanswered.push(code),
                Output::Event(Event::Received(..)) => {}
                Output::Timeout(at) => {
                    self.wakes[peer] = Some(at);
                    return;
                }
            }
        }
    }

    fn peer(&mut self, peer: usize) -> &mut dyn Peer {
        match self.kms.get_mut(peer) {
            Some(km) => km,
            None => &mut self.controller,
        }
    }

    /// A peer needs 150 to 550 µs to write a message, and writes one after the other.
    fn transmit(&mut self, peer: usize, connection: usize, pdu: Pdu) {
        if let Some(calls) = &self.calls {
            if let Err(code) = calls.transmit(peer, connection, pdu) {
                self.setup.aside.unmapped.lock().unwrap_or_else(PoisonError::into_inner).push(code);
            }
            return;
        }
        let side = if peer == self.kms.len() { self.km_side().other() } else { self.km_side() };
        let ready = self.now + Span(150_000 + self.random.below(400_000) as i64);
        let last = self.sending.entry((connection, side == Side::Initiator)).or_default();
        *last = ready.max(*last + Span(1_000));
        let at = *last;
        self.schedule(at, Happening::Send(connection, side, pdu));
    }

    /// The key itself travels between KMs, which takes a few milliseconds and is not on Ck.
    fn relay(&mut self, next: &str, source: String, target: super::peer::Target) {
        let at = self.now + Span(1_000_000 + self.random.below(3_000_000) as i64);
        if let Some(km) = self.setup.topology.kma(next) {
            self.schedule(at, Happening::Start(km, Task::NextHop { source, target }));
        }
    }

    fn disconnected(&mut self, connection: usize) {
        let lines = self.lines_of(connection);
        self.queue.retain(|_, happening| match happening {
            Happening::Connected(other)
            | Happening::Send(other, ..)
            | Happening::Emit(other, ..)
            | Happening::Arrive(other, ..) => !lines.contains(other),
            Happening::Start(..) => true,
        });
        if let Some(calls) = &mut self.calls {
            calls.close(connection);
        }
        self.tell(self.lines[connection].km, Input::Closed(ConnectionId(connection)));
        self.tell(self.kms.len(), Input::Closed(ConnectionId(connection)));
        self.run_until(self.now);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use clap::ValueEnum;

    use super::*;
    use crate::lab::dialect::{Dialect, Ids, Lists, Responses, Spelling};
    use crate::lab::peer::Target;
    use crate::lab::wire::Deframer;

    /// Codes of the messages that were sent, in the order of time.
    fn codes(segments: &[Segment]) -> Vec<Code> {
        let mut directions: BTreeMap<(SocketAddr, SocketAddr), Deframer> = BTreeMap::new();
        let mut codes = Vec::new();
        for segment in segments {
            let deframer = directions.entry((segment.source, segment.destination)).or_default();
            deframer.push(&segment.payload);
            codes.extend(std::iter::from_fn(|| deframer.next_pdu()).map(|pdu| pdu.code));
        }
        codes
    }

    /// Runs one of each procedure; gives what was said and what nobody answered.
    fn every_procedure(setup: &Setup) -> (Vec<Code>, Vec<Code>) {
        let mut simulation = Simulation::new(setup);
        simulation.connect(&["KMA-1", "KMA-4"]);
        let target = Target::kma("KMA-4");
        let session = Task::Session { source: "app-1".into(), destination: "app-4".into(), keys: None };
        let hop = Task::NextHop { source: "KMA-1".into(), target: target.clone() };
        for task in [hop, Task::Relay { target: target.clone() }, session] {
            simulation.start("KMA-1", task);
            simulation.run();
        }
        simulation.start_controller(Task::Reserve { source: "KMA-1".into(), target, allocate: true });
        simulation.run();
        let unanswered = std::mem::take(&mut simulation.unanswered);
        (codes(&simulation.finish()), unanswered)
    }

    const EVERY_CODE: [u16; 13] =
        [0x1401, 0x4102, 0x1403, 0x4104, 0x1405, 0x1406, 0x4108, 0x1409, 0x4107, 0x410a, 0x140b, 0x410c, 0x140d];

    #[test]
    fn peers_of_different_dialects_understand_each_other() {
        let dialects = Spelling::value_variants().iter().zip(Lists::value_variants().iter().cycle());
        let dialects = dialects.zip(Ids::value_variants().iter().cycle());
        for ((&spelling, &lists), &ids) in dialects {
            let odd = Dialect { spelling, lists, ids, responses: Responses::Number, ..Dialect::default() };
            for (km, controller) in [(odd, Dialect::default()), (Dialect::default(), odd)] {
                let (said, unanswered) = every_procedure(&Setup { km, controller, ..Setup::default() });
                assert_eq!(said, EVERY_CODE.map(Code), "{odd:?}");
                assert_eq!(unanswered, []);
            }
        }
    }

    #[test]
    fn it_does_not_matter_who_dials() {
        let (said, unanswered) = every_procedure(&Setup { dial: Dial::Controller, ..Setup::default() });
        assert_eq!((said, unanswered), (EVERY_CODE.map(Code).to_vec(), vec![]));
    }

    #[test]
    fn gives_up_a_request_when_its_connection_goes() {
        let mut simulation = Simulation::new(&Setup::default());
        simulation.connect(&["KMA-1"]);
        simulation.controller.talk.conduct.delays.push_back(Span::from_secs(1));
        simulation.start("KMA-1", Task::Relay { target: Target::kma("KMA-4") });
        simulation.pause(Span::from_millis(5));
        simulation.reset("KMA-1");
        simulation.run();
        assert_eq!(simulation.unanswered, [Code::RELAY_NOTIFICATION, Code::RELAY_REQUEST]);
    }

    #[test]
    fn every_byte_is_acknowledged() {
        let mut simulation = Simulation::new(&Setup::default());
        simulation.connect(&["KMA-1"]);
        simulation.start("KMA-1", Task::Relay { target: Target::kma("KMA-4") });
        simulation.run();
        simulation.hang_up("KMA-1");
        let segments = simulation.finish();
        let last = |source: IpAddr| segments.iter().rev().find(|segment| segment.source.ip() == source).unwrap();
        let setup = Setup::default();
        let [km, controller] = [last(setup.address(11)), last(setup.address(1))];
        assert_eq!(km.acknowledgment, controller.sequence.wrapping_add(1), "the controller's FIN");
        assert_eq!(controller.acknowledgment, km.sequence, "the KM's FIN, before its last ACK");
    }
}
