//! What [`Controller`](super::controller::Controller) and [`KeyManager`](super::key_manager::KeyManager) have
//! in common: the sans-IO contract, MessageIDs, open requests, and how to behave badly on request.
//!
//! The contract: one [`Peer::handle`], then [`Peer::poll`] until it gives [`Output::Timeout`] (wake me then) or
//! `None` (nothing to wait for), then the next `handle`. Time comes in with every input; a peer reads no clock
//! and opens no socket.

use std::collections::{BTreeMap, VecDeque};

use super::dialect::{Dialect, Ids, Message, Outcome};
use super::wire::{Code, Deframer, Pdu};
use crate::time::{Span, Timestamp};

/// One TCP connection, as whoever drives the peer numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub usize);

/// Where keys are to go: a KMA, or an application whose KM the controller knows (Tables 1 and 3: either is mandatory).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Destination KMA ID.
    pub kma: Option<String>,
    /// Application destination ID.
    pub application: Option<String>,
}

impl Target {
    /// A KMA.
    pub fn kma(id: &str) -> Self {
        Self { kma: Some(id.to_owned()), application: None }
    }

    /// An application.
    pub fn application(id: &str) -> Self {
        Self { kma: None, application: Some(id.to_owned()) }
    }
}

/// A procedure to begin. KMs begin the first three, the controller the last two.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // fields are IDs, named as the parameters of clause 8
pub enum Task {
    /// 7.1: ask for the next hop of the relay that `source` began.
    NextHop { source: String, target: Target },
    /// 7.2: ask for the whole route.
    Relay { target: Target },
    /// 7.3: create a session.
    Session { source: String, destination: String, keys: Option<i64> },
    /// 7.5 at the KM of KMA `source`, followed by 7.6 if `allocate`.
    Reserve { source: String, target: Target, allocate: bool },
    /// 7.6 of these key IDs.
    Allocate { source: String, target: Target, keys: Vec<String> },
}

/// What happens to a peer.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A connection stands, to the KM at this place of the topology if that is known.
    Connected(ConnectionId, Option<usize>),
    /// Bytes arrived.
    Received(ConnectionId, &'a [u8]),
    /// The connection is gone.
    Closed(ConnectionId),
    /// A procedure is to begin.
    Started(Task),
    /// The time asked for with [`Output::Timeout`] has come.
    TimedOut,
}

/// What a peer wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Transmit(ConnectionId, Pdu),
    /// Tell whoever watches.
    Event(Event),
    /// Call again at this time, unless something else happens before.
    Timeout(Timestamp),
}

/// What a peer noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // fields are IDs, named as the parameters of clause 8
pub enum Event {
    /// A message came.
    Received(ConnectionId, Pdu),
    /// Nobody answered the request in time, or its connection is gone.
    Unanswered(ConnectionId, Code),
    /// 7.1: the key goes to this KMA, which is to ask for the hop after it. Travels between KMs, not over Ck.
    Relayed { next: String, source: String, target: Target },
}

/// A peer, whichever.
pub trait Peer {
    /// Takes what happened at `now`.
    fn handle(&mut self, now: Timestamp, input: Input<'_>);
    /// What it wants done next.
    fn poll(&mut self) -> Option<Output>;
}

/// How a peer answers one kind of request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// As things are.
    #[default]
    Honest,
    /// With this failure reason.
    Refuse(String),
    /// Not at all.
    Silence,
}

/// How a peer behaves where it has a choice.
#[derive(Clone, Debug)]
pub struct Conduct {
    /// How it writes.
    pub dialect: Dialect,
    /// How it answers, by the code of the request; what is not listed it answers honestly.
    pub answers: BTreeMap<Code, Answer>,
    /// How long it thinks over its next answers; after the last, not at all.
    pub delays: VecDeque<Span>,
    /// How long it waits for an answer.
    pub patience: Span,
    /// Its first MessageID.
    pub first_id: u32,
}

impl Conduct {
    /// Good conduct, with MessageIDs from `first_id` on.
    pub fn new(dialect: Dialect, first_id: u32) -> Self {
        let patience = Span::from_secs(5);
        Self { dialect, answers: BTreeMap::new(), delays: VecDeque::new(), patience, first_id }
    }

    /// How it answers `code`.
    pub fn answer(&self, code: Code) -> Answer {
        self.answers.get(&code).cloned().unwrap_or_default()
    }
}

impl Answer {
    /// The outcome to report where honesty would say `honest`; `None` for silence.
    pub fn or(self, honest: Outcome) -> Option<Outcome> {
        match self {
            Self::Honest => Some(honest),
            Self::Refuse(reason) => Some(Outcome::Failure(reason)),
            Self::Silence => None,
        }
    }
}

/// A request that waits for its answer; `W` says what for.
#[derive(Clone, Debug)]
struct Open<W> {
    connection: ConnectionId,
    id: u32,
    request: Code,
    deadline: Timestamp,
    why: W,
}

/// A peer's side of all its conversations: cuts what arrives, numbers what leaves, remembers open requests.
#[derive(Debug)]
pub struct Conversations<W> {
    /// How the peer behaves; may be changed between inputs.
    pub conduct: Conduct,
    now: Timestamp,
    next_id: u32,
    deframers: BTreeMap<ConnectionId, Deframer>,
    open: Vec<Open<W>>,
    delayed: Vec<(Timestamp, ConnectionId, Pdu)>,
    ready: VecDeque<Output>,
}

impl<W> Conversations<W> {
    /// None yet.
    pub fn new(conduct: Conduct) -> Self {
        Self {
            now: Timestamp::default(),
            next_id: conduct.first_id,
            conduct,
            deframers: BTreeMap::new(),
            open: Vec::new(),
            delayed: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// Moves the clock, releases answers whose time has come, and hands back why the requests were made that
    /// nobody answered in time.
    pub fn advance(&mut self, now: Timestamp) -> Vec<(ConnectionId, W)> {
        self.now = now;
        self.delayed.sort_by_key(|(due, ..)| *due);
        while self.delayed.first().is_some_and(|(due, ..)| *due <= now) {
            let (_, connection, pdu) = self.delayed.remove(0);
            self.ready.push_back(Output::Transmit(connection, pdu));
        }
        self.give_up(|open| open.deadline <= now)
    }

    /// Forgets a connection, and hands back why the requests on it were made.
    pub fn closed(&mut self, connection: ConnectionId) -> Vec<(ConnectionId, W)> {
        self.deframers.remove(&connection);
        self.delayed.retain(|(_, other, _)| *other != connection);
        self.give_up(|open| open.connection == connection)
    }

    fn give_up(&mut self, lost: impl Fn(&Open<W>) -> bool) -> Vec<(ConnectionId, W)> {
        let (lost, open) = std::mem::take(&mut self.open).into_iter().partition(lost);
        self.open = open;
        let mut reasons = Vec::new();
        for open in lost {
            self.event(Event::Unanswered(open.connection, open.request));
            reasons.push((open.connection, open.why));
        }
        reasons
    }

    /// Takes bytes and gives back the messages they complete.
    pub fn received(&mut self, connection: ConnectionId, bytes: &[u8]) -> Vec<(Pdu, Message)> {
        let deframer = self.deframers.entry(connection).or_default();
        deframer.push(bytes);
        let pdus: Vec<Pdu> = std::iter::from_fn(|| deframer.next_pdu()).collect();
        for pdu in &pdus {
            self.event(Event::Received(connection, pdu.clone()));
        }
        pdus.into_iter().map(|pdu| (pdu.clone(), Message::read(pdu.code, &pdu.payload))).collect()
    }

    /// Sends a request under a new MessageID and remembers `why` until it is answered.
    pub fn request(&mut self, connection: ConnectionId, message: &Message, why: W) {
        let id = self.fresh_id();
        self.remember(connection, id, message.code, why);
        self.send(connection, id, message);
    }

    /// Sends the request that also answers the request `answered` (0x4104 answers 0x1403).
    pub fn request_answering(&mut self, connection: ConnectionId, answered: u32, message: &Message, why: W) {
        let echo = self.conduct.dialect.ids == Ids::EchoAll;
        let id = if echo { answered } else { self.fresh_id() };
        self.remember(connection, id, message.code, why);
        self.send(connection, id, message);
    }

    /// Answers the request `answered`, after thinking as long as the conduct says.
    pub fn respond(&mut self, connection: ConnectionId, answered: u32, message: &Message) {
        let echo = self.conduct.dialect.ids != Ids::Fresh;
        let id = if echo { answered } else { self.fresh_id() };
        self.send(connection, id, message);
    }

    /// Why the request was made that this response answers: the one with its MessageID, else the oldest of
    /// its kind on this connection for which `fits`.
    pub fn answered(&mut self, connection: ConnectionId, pdu: &Pdu, fits: impl Fn(&W) -> bool) -> Option<W> {
        let candidate = |open: &Open<W>| open.connection == connection && open.request.answered_by() == Some(pdu.code);
        let found = self
            .open
            .iter()
            .position(|open| candidate(open) && open.id == pdu.message_id)
            .or_else(|| self.open.iter().position(|open| candidate(open) && fits(&open.why)))?;
        Some(self.open.remove(found).why)
    }

    /// Tells whoever watches.
    pub fn event(&mut self, event: Event) {
        self.ready.push_back(Output::Event(event));
    }

    /// The next output.
    pub fn poll(&mut self) -> Option<Output> {
        self.ready.pop_front().or_else(|| self.timeout().map(Output::Timeout))
    }

    fn timeout(&self) -> Option<Timestamp> {
        let deadlines = self.open.iter().map(|open| open.deadline);
        deadlines.chain(self.delayed.iter().map(|(due, ..)| *due)).min()
    }

    fn fresh_id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        id
    }

    fn remember(&mut self, connection: ConnectionId, id: u32, request: Code, why: W) {
        let deadline = self.now + self.conduct.patience;
        self.open.push(Open { connection, id, request, deadline, why });
    }

    fn send(&mut self, connection: ConnectionId, message_id: u32, message: &Message) {
        let dialect = &self.conduct.dialect;
        let payload = dialect.write(message).into_bytes();
        let pdu = Pdu { version: dialect.version, message_id, code: message.code, payload };
        match self.conduct.delays.pop_front() {
            Some(delay) if delay > Span::default() => self.delayed.push((self.now + delay, connection, pdu)),
            _ => self.ready.push_back(Output::Transmit(connection, pdu)),
        }
    }
}
