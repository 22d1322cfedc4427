//! Requests and their responses, whether or not the MessageID is echoed.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::ranges::Ranges;
use crate::dissect::{CommandCode, IDENTIFIERS, Identifier, Message, Outcome};
use crate::journal::{Binding, Finding, Journal, Record, Side, State, TextId};
use crate::prefetch::{AHEAD, CACHE_LINE, prefetch};
use crate::time::{Span, Timestamp};

/// Requests that wait on one connection: a KM has a handful, a load test thousands. Bounds the search for a response's
/// request.
const MAX_OPEN: usize = 8192;
/// Timed-out requests remembered per connection, for responses that come late.
const MAX_EXPIRED: usize = 64;
/// Responses remembered per connection until their calls end: as many as there are calls at once.
const MAX_ANSWERED: usize = 128;
/// Requests with one source that may be answered on another connection.
const MAX_ACROSS: usize = 256;

/// A request that waits for its response.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// Index of its record.
    pub message: u32,
    /// Whether its response may travel on another connection.
    pub across: bool,
}

/// A response's request.
#[derive(Clone, Copy, Debug)]
pub struct Match {
    /// Index of the request's record.
    pub request: u32,
    /// How long after the request it came, if that had timed out.
    pub late: Option<Span>,
}

/// What is known of one connection. Small, for there may be hundreds of thousands.
#[derive(Debug, Default)]
struct Connection {
    /// In the order sent: of most connections few, which then stand here.
    open: SmallVec<[Open; 2]>,
    /// The last responses over gRPC, whose calls may still end otherwise than well.
    answered: Option<Box<Answered>>,
    /// Requests whose time-out has passed.
    expired: Option<Box<Expired>>,
    /// MessageIDs of requests, by side.
    used: [Ranges; 2],
    /// Version of the last message, by side.
    versions: [Option<u16>; 2],
    /// Responses whose MessageID was, or was not, that of a request found without it; by answering side.
    echoes: [u32; 2],
    fresh: [u32; 2],
    /// The last response that found its request, by answering side; none once it was repeated, so that who gives all
    /// responses one MessageID is not misunderstood for long.
    last: [Option<u32>; 2],
}

const _: () = assert!(size_of::<Connection>() <= 2 * CACHE_LINE);

/// What a response answers.
enum Answer {
    Request(Match),
    /// Nothing: it was sent before.
    Repeated,
    Unknown,
}

impl Connection {
    /// Takes the request that message `index`, a response, answers.
    fn answer(&mut self, question: &Question<'_>, index: u32) -> Answer {
        let side = question.response.side as usize;
        let trusted = self.fresh[side] <= self.echoes[side];
        let choice = question.choose(self.open.iter(), trusted);
        let is_named = choice.is_some_and(|at| question.is_named_by(&self.open[at]));
        if !is_named && self.last[side].take_if(|last| question.repeats(*last)).is_some() {
            return Answer::Repeated;
        }
        // Of a request that has timed out, the MessageID says more than the order of the others.
        let late = self.expired.as_ref().filter(|_| trusted && !is_named);
        let late = late.and_then(|expired| expired.0.iter().position(|open| question.is_echo_of(open)));
        let request = match (late, choice) {
            (None, Some(at)) => Some((self.open.remove(at), false)),
            (at, _) => self.take_expired(question, trusted, at).map(|open| (open, true)),
        };
        let Some((open, is_late)) = request else { return Answer::Unknown };
        let request = &question.journal.records[open.message as usize];
        if !is_late {
            let echoed = request.message_id == question.response.message_id;
            let counter = if echoed { &mut self.echoes } else { &mut self.fresh };
            counter[side] += 1;
        }
        self.last[side] = Some(index);
        let late = is_late.then(|| question.response.time - request.time);
        Answer::Request(Match { request: open.message, late })
    }

    /// Takes the request at `at` among those that have timed out, or the best of them.
    fn take_expired(&mut self, question: &Question<'_>, trusted: bool, at: Option<usize>) -> Option<Open> {
        let Expired(expired) = &mut **self.expired.as_mut()?;
        let at = at.or_else(|| question.choose(expired.iter(), trusted))?;
        expired.remove(at)
    }
}

/// Responses of one connection, the latest last: behind a pointer, for most connections have none.
#[derive(Debug, Default)]
struct Answered(VecDeque<u32>);

/// Requests of one connection, the latest last: behind a pointer as well.
#[derive(Debug, Default)]
struct Expired(VecDeque<Open>);

/// Requests and responses of all connections.
#[derive(Debug, Default)]
pub struct Transactions {
    /// By index; `None` where no message was seen.
    connections: Vec<Option<Box<Connection>>>,
    /// Requests that may be answered on another connection, by the identifiers that a route is known by.
    across: HashMap<TextId, VecDeque<Open>, RandomState>,
}

impl Transactions {
    /// Asks for what is known of connections, see [`super::Correlator::prefetch`]: each step leads to the next.
    pub fn prefetch(&self, journal: &Journal, connection_of: impl Fn(usize) -> Option<u32>) {
        let known = |ahead: usize| self.connections.get(connection_of(ahead)? as usize);
        if let Some(known) = known(3 * AHEAD) {
            prefetch(known);
        }
        if let Some(Some(connection)) = known(2 * AHEAD) {
            prefetch(&**connection);
        }
        if let Some(Some(connection)) = known(AHEAD)
            && let Some(open) = connection.open.first()
        {
            prefetch(&journal.records[open.message as usize]);
        }
    }

    fn connection(&mut self, index: u32) -> &mut Connection {
        let index = index as usize;
        if self.connections.len() <= index {
            self.connections.resize_with(index + 1, || None);
        }
        self.connections[index].get_or_insert_default()
    }

    /// Remembers a request; one that had to be forgotten for it is returned.
    pub fn open(&mut self, journal: &Journal, open: Open) -> Option<Open> {
        let record = &journal.records[open.message as usize];
        if open.across {
            let waiting = self.across.entry(route_key(record)).or_default();
            waiting.push_back(open);
            if waiting.len() > MAX_ACROSS {
                waiting.pop_front();
            }
        }
        let connection = self.connection(record.connection);
        connection.open.push(open);
        (connection.open.len() > MAX_OPEN).then(|| connection.open.remove(0))
    }

    /// Notes the MessageID of a request.
    pub fn note_message_id(&mut self, journal: &mut Journal, index: u32) {
        let record = &journal.records[index as usize];
        let connection = self.connection(record.connection);
        if !connection.used[record.side as usize].insert(record.message_id) {
            journal.find(index, Finding::DuplicateMessageId);
        }
    }

    /// Notes the version of a message; any is right, a change is not.
    pub fn note_version(&mut self, journal: &mut Journal, index: u32) {
        let record = &journal.records[index as usize];
        let connection = self.connection(record.connection);
        let before = connection.versions[record.side as usize].replace(record.version);
        if let Some(from) = before.filter(|&before| before != record.version) {
            journal.find(index, Finding::VersionChanged { from });
        }
    }

    /// Sets requests aside whose time-out has passed.
    pub fn expire(&mut self, journal: &mut Journal, connection: u32, now: Timestamp, limit: Span) {
        let Some(Some(connection)) = self.connections.get_mut(connection as usize) else { return };
        let in_time = |open: &Open| now - journal.records[open.message as usize].time <= limit;
        let late = connection.open.iter().position(in_time).unwrap_or(connection.open.len());
        if late == 0 {
            return;
        }
        let Expired(expired) = &mut **connection.expired.get_or_insert_default();
        for open in connection.open.drain(..late) {
            journal.find(open.message, Finding::TimedOut { limit });
            super::give_up(journal, open);
            expired.push_back(open);
            if expired.len() > MAX_EXPIRED {
                expired.pop_front();
            }
        }
    }

    /// The same on all connections.
    pub fn expire_all(&mut self, journal: &mut Journal, now: Timestamp, limit: Span) {
        for connection in 0..self.connections.len() as u32 {
            self.expire(journal, connection, now, limit);
        }
    }

    /// Takes the requests that only `side` of `connection` could have answered.
    pub fn close(&mut self, connection: u32, side: Side, journal: &Journal) -> Vec<Open> {
        let Some(Some(connection)) = self.connections.get_mut(connection as usize) else { return Vec::new() };
        let waits = |open: &Open| journal.records[open.message as usize].side != side;
        let closed = connection.open.iter().copied().filter(waits).collect();
        connection.open.retain(|open| !waits(open));
        if let Some(expired) = &mut connection.expired {
            expired.0.retain(|open| !waits(open));
        }
        closed
    }

    /// Takes the requests of a call (gRPC), known by its stream.
    pub fn close_call(&mut self, connection: u32, stream: u32, journal: &Journal) -> Vec<Open> {
        let Some(Some(connection)) = self.connections.get_mut(connection as usize) else { return Vec::new() };
        let is_its = |open: &Open| journal.records[open.message as usize].message_id == stream;
        let closed = connection.open.iter().copied().filter(is_its).collect();
        connection.open.retain(|open| !is_its(open));
        closed
    }

    /// Remembers a response over gRPC.
    pub fn note_answer(&mut self, connection: u32, message: u32) {
        let Answered(answered) = &mut **self.connection(connection).answered.get_or_insert_default();
        answered.push_back(message);
        if answered.len() > MAX_ANSWERED {
            answered.pop_front();
        }
    }

    /// The last response of a call.
    pub fn last_answer(&self, connection: u32, stream: u32, journal: &Journal) -> Option<u32> {
        let connection = self.connections.get(connection as usize)?.as_ref()?;
        let mut latest = connection.answered.iter().flat_map(|answered| answered.0.iter().rev()).copied();
        latest.find(|&message| journal.records[message as usize].message_id == stream)
    }

    /// Takes every request that still waits.
    pub fn drain(&mut self) -> Vec<Open> {
        let mut all: Vec<Open> =
            self.connections.iter_mut().flatten().flat_map(|connection| std::mem::take(&mut connection.open)).collect();
        all.sort_unstable_by_key(|open| open.message);
        all
    }

    /// Finds the request that message `index` answers, and takes it. `keyed` is the procedure that its key IDs name.
    pub fn answer(
        &mut self,
        journal: &Journal,
        index: u32,
        message: &Message,
        outcome: Outcome,
        (guesses, keyed): (&Guesses, Option<u32>),
    ) -> Option<Match> {
        let response = &journal.records[index as usize];
        let same_call = response.binding == Binding::Grpc && !message.across_connections;
        let answers = &message.answers;
        let question = Question { journal, response, outcome, answers, guesses, keyed, same_call };
        let connection = self.connections.get_mut(response.connection as usize).and_then(Option::as_deref_mut);
        let found = match connection.map(|connection| connection.answer(&question, index)) {
            Some(Answer::Request(found)) => found,
            Some(Answer::Repeated) => return None,
            Some(Answer::Unknown) | None if message.across_connections => {
                self.answer_across(&Question { same_call: false, ..question })?
            }
            Some(Answer::Unknown) | None => return None,
        };
        if message.across_connections {
            self.forget_across(journal, found.request);
        }
        Some(found)
    }

    /// A response on another connection than its request: only by what identifies it.
    fn answer_across(&mut self, question: &Question<'_>) -> Option<Match> {
        let journal = question.journal;
        let waiting = self.across.get_mut(&route_key(question.response))?;
        let at = waiting.iter().position(|open| {
            let request = &journal.records[open.message as usize];
            let still_open =
                journal.procedures.get(request.procedure as usize).is_none_or(|p| p.state == State::Pending);
            still_open && question.is_asked_by(request) && matches!(question.agreement(request), Some(1..))
        })?;
        let open = waiting.remove(at)?;
        let request = &journal.records[open.message as usize];
        if let Some(Some(connection)) = self.connections.get_mut(request.connection as usize) {
            connection.open.retain(|other| other.message != open.message);
        }
        Some(Match { request: open.message, late: None })
    }

    fn forget_across(&mut self, journal: &Journal, request: u32) {
        let key = route_key(&journal.records[request as usize]);
        if let Some(waiting) = self.across.get_mut(&key) {
            waiting.retain(|open| open.message != request);
            if waiting.is_empty() {
                self.across.remove(&key);
            }
        }
    }
}

/// Session IDs that requests are thought to have, before their responses say so: by index of procedure. Certain where
/// no other request had the same applications.
pub type Guesses = HashMap<u32, Guess, RandomState>;

/// A session ID that a request is thought to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guess {
    /// The session ID.
    pub session: TextId,
    /// No other request could have it.
    pub certain: bool,
    /// The procedure that says so, which the request caused.
    pub nested: u32,
}

/// What a route is known by when connections differ.
fn route_key(record: &Record) -> TextId {
    let source = record.identifier(Identifier::Source);
    if source.is_some() { source } else { record.identifier(Identifier::Destination) }
}

/// A response that looks for its request.
struct Question<'a> {
    journal: &'a Journal,
    response: &'a Record,
    outcome: Outcome,
    answers: &'a [CommandCode],
    guesses: &'a Guesses,
    /// The procedure that the response's key IDs name.
    keyed: Option<u32>,
    /// The request is one of the same call (gRPC), or one that the response names: a vendor's response may be a call
    /// of its own.
    same_call: bool,
}

impl Question<'_> {
    /// Whether the MessageID, or an identifier that was made for the exchange, says that this is the request.
    fn is_named_by(&self, open: &Open) -> bool {
        let request = &self.journal.records[open.message as usize];
        request.message_id == self.response.message_id || self.names(request)
    }

    /// Whether the response has the MessageID of this request, which it may answer.
    fn is_echo_of(&self, open: &Open) -> bool {
        let request = &self.journal.records[open.message as usize];
        request.message_id == self.response.message_id
            && self.is_asked_by(request)
            && request.side != self.response.side
            && self.agreement(request).is_some()
    }

    /// Whether the response is message `earlier` again, which had the MessageID of the request that it answered: who
    /// answers with MessageIDs of its own gives none twice.
    fn repeats(&self, earlier: u32) -> bool {
        let earlier = &self.journal.records[earlier as usize];
        let request = self.journal.records.get(earlier.answers as usize);
        let what = |record: &Record| (record.message_id, record.code, record.length, record.identifiers);
        request.is_some_and(|request| request.message_id == earlier.message_id) && what(earlier) == what(self.response)
    }

    /// The place of the best candidate: by the session it is thought to have where that is certain, by MessageID (where
    /// this side is `trusted` to echo it), then by key IDs, then by the session, then by agreeing identifiers, then the
    /// oldest.
    fn choose<'o>(&self, open: impl Iterator<Item = &'o Open>, trusted: bool) -> Option<usize> {
        let mut best: Option<(u32, usize)> = None;
        let mut echoed = None;
        for (at, open) in open.enumerate() {
            let request = &self.journal.records[open.message as usize];
            if !self.is_asked_by(request) || request.side == self.response.side {
                continue;
            }
            let equal = request.message_id == self.response.message_id;
            if self.same_call && !equal && !self.names(request) {
                continue;
            }
            let equal = equal && trusted;
            if equal {
                echoed = echoed.or(Some(at));
            }
            let (Some(agreement), Some(guess)) = (self.agreement(request), self.guess(request)) else { continue };
            let keyed = self.keyed.is_some_and(|procedure| procedure == request.procedure);
            let rank = guess + 32 * u32::from(equal) + 16 * u32::from(keyed) + agreement.min(3);
            if best.is_none_or(|(highest, _)| rank > highest) {
                best = Some((rank, at));
            }
        }
        best.map(|(_, at)| at).or(echoed)
    }

    /// Whether both have one of the identifiers that are made for an exchange.
    fn names(&self, request: &Record) -> bool {
        [Identifier::Session, Identifier::KeyRelayRequest].into_iter().any(|identifier| {
            let named = self.response.identifier(identifier);
            named.is_some() && named == request.identifier(identifier)
        })
    }

    fn is_asked_by(&self, request: &Record) -> bool {
        self.answers.contains(&request.code)
    }

    /// How many identifiers both have alike; `None` if some differ.
    fn agreement(&self, request: &Record) -> Option<u32> {
        let mut alike = 0;
        for index in 0..IDENTIFIERS {
            let (asked, answered) = (request.identifiers[index], self.response.identifiers[index]);
            if asked.is_some() && answered.is_some() {
                if asked != answered {
                    return None;
                }
                alike += 1;
            }
        }
        Some(alike)
    }

    /// How much the session that the request is thought to have speaks for it; `None` if it certainly has another. Where
    /// the response names none, the end of what the request caused speaks: a failure causes a failure.
    fn guess(&self, request: &Record) -> Option<u32> {
        let session = self.response.identifier(Identifier::Session);
        match self.guesses.get(&request.procedure) {
            Some(guess) if session.is_some() => match (guess.session == session, guess.certain) {
                (true, true) => Some(64),
                (true, false) => Some(8),
                (false, true) => None,
                (false, false) => Some(0),
            },
            Some(guess) => match (self.journal.procedures[guess.nested as usize].state, self.outcome) {
                (State::Failed, Outcome::Failure) | (State::Complete, Outcome::Success) => Some(8),
                (State::Failed, Outcome::Success) | (State::Complete, Outcome::Failure) => Some(0),
                _ => Some(4),
            },
            None => Some(4),
        }
    }
}
