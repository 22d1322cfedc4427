//! Messages → transactions and procedures, across connections. In: messages and ends of streams, in the order in which
//! they were captured. Out: records and procedures in the journal. Refuses to know bytes, clocks and bindings.
//!
//! The journal stands before this module, not after it as in the picture of the pipeline: correlating a response means
//! looking at the record of its request, and a second copy of what the journal holds would only have to be kept equal.

mod exchange;
mod ranges;
mod transaction;

use crate::diagnostic::Code;
use crate::dissect::{
    CommandCode, Definitions, Direction, Encoding, Facts, Identifier, Message, Outcome, ParameterId, Presence, Role,
    Texts,
};
use crate::framing::{Header, Truncation};
use crate::journal::{Binding, Finding, Journal, NONE, Record, Side, State, TextId};
use crate::place::Place;
use crate::prefetch::AHEAD;
use crate::stream::Stamp;
use crate::time::{Span, Timestamp};

use exchange::Exchanges;
use transaction::{Match, Open, Transactions};

/// One message as it comes out of framing and dissection.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Index of its connection.
    pub connection: u32,
    /// Who sent it.
    pub side: Side,
    /// The packet that completed it.
    pub stamp: Stamp,
    /// Number of the first packet that carries some of it.
    pub begun: u32,
    /// How its payload is written.
    pub encoding: Encoding,
    /// How it travelled.
    pub binding: Binding,
    /// Whether it came out of TLS.
    pub tls: bool,
    /// Its header; over gRPC, which has none, the HTTP/2 stream stands for the MessageID.
    pub header: Header,
    /// Where its payload lies.
    pub payload: Place,
    /// Payload bytes it should have, and has.
    pub length: (u32, u32),
    /// What is in its payload.
    pub facts: Facts,
    /// What it took to find it.
    pub framing: FramingFacts,
}

/// What it took to find a message in its stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct FramingFacts {
    /// Why it is not whole.
    pub truncated: Option<Truncation>,
    /// Bytes skipped before it.
    pub skipped: u64,
    /// Whether they lie at the beginning of a stream joined midway.
    pub joined: bool,
    /// Bytes missing before or inside it.
    pub gap: u64,
    /// The header is little-endian.
    pub little_endian: bool,
    /// Length counts the header.
    pub counts_header: bool,
    /// Requests may be missing: the connection was joined midway, or has gaps.
    pub incomplete_stream: bool,
}

/// Ties messages together.
#[derive(Debug)]
pub struct Correlator {
    time_out: Span,
    transactions: Transactions,
    exchanges: Exchanges,
}

impl Correlator {
    /// A correlator that calls a request unanswered after `time_out` of capture time.
    pub fn new(definitions: &Definitions, time_out: Span) -> Self {
        let exchanges = Exchanges::new(definitions, time_out);
        Self { time_out, transactions: Transactions::default(), exchanges }
    }

    /// Asks for what is known of a message's identifiers and key IDs, which will follow soon.
    pub fn prefetch_texts(&self, journal: &Journal, seen: &Seen, texts: &Texts) {
        let known = seen.facts.identifiers.iter().filter(|slice| slice.length > 0);
        known.for_each(|slice| journal.texts.prefetch(slice.hash));
        self.exchanges.prefetch(texts.keys_of(&seen.facts));
    }

    /// Asks for what is known of the connections of messages that will follow: `connection_of` the message that many
    /// messages ahead.
    pub fn prefetch(&self, journal: &Journal, connection_of: impl Fn(usize) -> Option<u32>) {
        if let Some(connection) = connection_of(AHEAD) {
            journal.connections[connection as usize].prefetch();
        }
        self.transactions.prefetch(journal, connection_of);
    }

    /// Takes the next message, whose payload lies at `payload`; `definitions` are the journal's.
    pub fn message(
        &mut self,
        journal: &mut Journal,
        definitions: &Definitions,
        seen: &Seen,
        payload: Place,
        texts: &Texts,
    ) {
        let definition = definitions.message(CommandCode(seen.header.code)).map(|(_, message)| message);
        let direction = direction(journal, definitions, seen, definition);
        let record = record(seen, payload, texts, direction, journal);
        let index = journal.push(record);
        journal.note_begun(index, seen.begun);
        journal.connections[seen.connection as usize].messages += 1;
        self.note_framing(journal, index, seen);
        self.note_role(journal, index, seen, direction, definition.is_some());
        if seen.binding == Binding::Tcp {
            self.transactions.note_version(journal, index);
        }
        self.transactions.expire(journal, seen.connection, seen.stamp.time, self.time_out);
        match definition {
            Some(message) => self.place(journal, definitions, index, seen, texts, message),
            None => journal.find(index, Finding::UnknownCommand),
        }
    }

    /// One side of a connection will send nothing more from `time` on: what waits for it stays unanswered.
    pub fn ended(&mut self, journal: &mut Journal, connection: u32, side: Side, time: Timestamp) {
        for open in self.transactions.close(connection, side, journal) {
            let limit = self.time_out;
            let timed_out = time - journal.records[open.message as usize].time > limit;
            let finding = if timed_out { Finding::TimedOut { limit } } else { Finding::ClosedUnanswered };
            journal.find(open.message, finding);
            give_up(journal, open);
        }
    }

    /// A call (gRPC) failed at `time` otherwise than by a failure response: by a `status`, or by none at all.
    pub fn call_failed(
        &mut self,
        journal: &mut Journal,
        connection: u32,
        stream: u32,
        status: Option<u32>,
        time: Timestamp,
    ) {
        self.transactions.expire(journal, connection, time, self.time_out);
        let open = self.transactions.close_call(connection, stream, journal);
        let Some(status) = status else {
            for open in open {
                let after = time - journal.records[open.message as usize].time;
                journal.find(open.message, Finding::CallEnded { after });
                give_up(journal, open);
            }
            return;
        };
        // Where nothing is the response to what is open, the status is.
        let last = self.transactions.last_answer(connection, stream, journal).filter(|_| open.is_empty());
        for message in open.into_iter().map(|open| open.message).chain(last) {
            journal.find(message, Finding::CallFailed { status });
            let procedure = journal.records[message as usize].procedure;
            if let Some(procedure) = journal.procedures.get_mut(procedure as usize) {
                procedure.state = State::Failed;
            }
        }
    }

    /// Everything up to `now` was seen: what timed out by then will not be answered in time.
    pub fn expire(&mut self, journal: &mut Journal, now: Timestamp) {
        self.transactions.expire_all(journal, now, self.time_out);
    }

    /// The capture is over, its last packet at `end`.
    pub fn finish(&mut self, journal: &mut Journal, end: Timestamp) {
        journal.end = end;
        for open in self.transactions.drain() {
            let request = &journal.records[open.message as usize];
            let finding = if end - request.time > self.time_out {
                Finding::TimedOut { limit: self.time_out }
            } else if journal.connections[request.connection as usize].has_finished(request.side.other()) {
                // Sent after the other side's FIN.
                Finding::ClosedUnanswered
            } else {
                continue;
            };
            journal.find(open.message, finding);
            give_up(journal, open);
        }
        self.exchanges.finish(journal);
    }

    fn note_framing(&mut self, journal: &mut Journal, index: u32, seen: &Seen) {
        let framing = &seen.framing;
        if framing.gap > 0 {
            journal.find(index, Finding::Gap { bytes: framing.gap });
        }
        if framing.skipped > 0 {
            journal.find(index, Finding::Resynchronised { skipped: framing.skipped, joined: framing.joined });
        }
        if let Some(why) = framing.truncated {
            journal.find(index, Finding::Truncated(why));
        }
        if framing.little_endian {
            journal.find(index, Finding::LittleEndian);
        }
        if framing.counts_header {
            journal.find(index, Finding::LengthIncludesHeader);
        }
    }

    /// The first message that a definition names says which side is the KM; a later one may contradict it.
    fn note_role(&mut self, journal: &mut Journal, index: u32, seen: &Seen, direction: Direction, named: bool) {
        let km = if direction == Direction::KmToController { seen.side } else { seen.side.other() };
        let known = &mut journal.connections[seen.connection as usize].km;
        match *known {
            None if named => *known = Some(km),
            Some(known) if known != km => journal.find(index, Finding::WrongDirection),
            _ => {}
        }
    }

    /// Finds the message's request and procedure.
    fn place(
        &mut self,
        journal: &mut Journal,
        definitions: &Definitions,
        index: u32,
        seen: &Seen,
        texts: &Texts,
        message: &Message,
    ) {
        let matched = if message.answers.is_empty() {
            None
        } else {
            let hints = (&self.exchanges.guesses, self.exchanges.keyed(texts.keys_of(&seen.facts)));
            self.transactions.answer(journal, index, message, seen.facts.outcome, hints)
        };
        if seen.binding == Binding::Grpc && !message.answers.is_empty() {
            self.transactions.note_answer(seen.connection, index);
        }
        let opens_anew = message.answers.is_empty() || message.is_answered;
        match matched {
            Some(matched) => {
                check_requested(journal, definitions, index, matched.request, message);
                self.answered(journal, index, message, matched, seen.facts.outcome);
            }
            None if opens_anew => self.opened(journal, index, message),
            None => {
                let excused = seen.framing.incomplete_stream;
                journal.find(index, Finding::UnexpectedResponse { excused });
            }
        }
        if message.is_answered {
            let open = Open { message: index, across: message.is_answered_across };
            self.transactions.open(journal, open).into_iter().for_each(|forgotten| {
                journal.find(forgotten.message, Finding::Abandoned);
                give_up(journal, forgotten);
            });
            if message.answers.is_empty() && seen.binding == Binding::Tcp {
                self.transactions.note_message_id(journal, index);
            }
        }
        self.exchanges.note(journal, definitions, index, message, seen, texts);
    }

    /// A message that begins a procedure.
    fn opened(&mut self, journal: &mut Journal, index: u32, message: &Message) {
        if let Some((procedure, _)) = message.step {
            journal.begin(procedure, index);
        }
    }

    fn answered(&mut self, journal: &mut Journal, index: u32, message: &Message, matched: Match, outcome: Outcome) {
        let request = matched.request;
        journal.records[index as usize].answers = request;
        if let Some(after) = matched.late {
            journal.find(index, Finding::LateResponse { after });
        }
        let procedure = journal.records[request as usize].procedure;
        if procedure == NONE {
            return self.opened(journal, index, message);
        }
        journal.join(procedure, index);
        let state = &mut journal.procedures[procedure as usize].state;
        if *state == State::Pending {
            *state = match outcome {
                Outcome::Failure => State::Failed,
                _ if message.is_answered => State::Pending,
                _ => State::Complete,
            };
        }
    }
}

/// What is mandatory only because the request contained something.
fn check_requested(journal: &mut Journal, definitions: &Definitions, index: u32, request: u32, message: &Message) {
    for (row, entry) in message.rows.iter().enumerate() {
        let Presence::IfRequested(other) = entry.presence else { continue };
        let record = &journal.records[index as usize];
        let unreadable = record.codes.contains(Code::TruncatedMessage) || record.codes.contains(Code::MalformedJson);
        let missing = record.present & (1 << row) == 0;
        let excused = record.codes.contains(Code::FailureResponse);
        if missing && !unreadable && contains(definitions, &journal.records[request as usize], other) {
            journal.find(index, Finding::MissingBecauseRequested { row: row as u8, excused });
        }
    }
}

fn contains(definitions: &Definitions, record: &Record, parameter: ParameterId) -> bool {
    let row = definitions.message(record.code).and_then(|(_, message)| message.row(parameter));
    row.is_some_and(|(row, _)| record.present & (1 << row) != 0)
}

/// By the command code; where that does not say, by the sender's role so far, else as if the KM had dialled.
fn direction(journal: &Journal, definitions: &Definitions, seen: &Seen, definition: Option<&Message>) -> Direction {
    let by_code = || definitions.direction(CommandCode(seen.header.code));
    definition.map(|message| message.direction).or_else(by_code).unwrap_or_else(|| {
        let km = journal.connections[seen.connection as usize].km.unwrap_or(Side::Initiator);
        if km == seen.side { Direction::KmToController } else { Direction::ControllerToKm }
    })
}

/// A request's procedure, if it still waits, will not be answered.
fn give_up(journal: &mut Journal, open: Open) {
    let procedure = journal.records[open.message as usize].procedure;
    if let Some(procedure) = journal.procedures.get_mut(procedure as usize)
        && procedure.state == State::Pending
    {
        procedure.state = State::Unanswered;
    }
}

fn record(seen: &Seen, payload: Place, texts: &Texts, direction: Direction, journal: &mut Journal) -> Record {
    let identifiers = seen.facts.identifiers.map(|slice| match texts.get(slice) {
        Some(text) => journal.texts.intern(text, slice.hash),
        None => TextId::NONE,
    });
    Record {
        time: seen.stamp.time,
        payload,
        packet: seen.stamp.packet,
        connection: seen.connection,
        message_id: seen.header.message_id,
        length: seen.length.0,
        captured: seen.length.1,
        identifiers,
        present: seen.facts.present,
        procedure: NONE,
        answers: NONE,
        version: seen.header.version,
        code: CommandCode(seen.header.code),
        codes: seen.facts.codes,
        worst: seen.facts.worst,
        side: seen.side,
        direction,
        encoding: seen.encoding,
        binding: seen.binding,
        tls: seen.tls,
    }
}

/// Whether a role is that of a single identifier, and of which.
fn identifier_of(role: Role) -> Option<Identifier> {
    match role {
        Role::Identifier(identifier) => Some(identifier),
        _ => None,
    }
}
