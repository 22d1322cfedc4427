//! What was seen: one fixed-size record per message, procedures, connections, findings. The one model behind every
//! view. In: what the correlation concludes. Out: look-ups. Holds places instead of payloads; refuses to read files.

mod arena;
mod chunked;
mod comments;
mod connection;
mod finding;
mod text;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

pub use arena::Arena;
pub use chunked::Chunked;
pub use comments::{Comment, Comments};
pub use connection::{Closed, Connection, Protocol, Traffic, Trouble};
pub use finding::Finding;
pub use text::{Interner, TextId};
pub use view::View;

pub use crate::stream::Side;

use crate::diagnostic::{CodeSet, Severity};
use crate::dissect::{CommandCode, Definitions, Direction, Encoding, IDENTIFIERS, Identifier, TextHasher};
use crate::place::Place;
use crate::time::Timestamp;
use crate::tls;

/// No index.
pub const NONE: u32 = u32::MAX;

/// How a message travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Q.4164 Appendix I.
    Tcp,
    /// Q.4164 Appendix II.
    Grpc,
}

impl Binding {
    /// The name in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Grpc => "grpc",
        }
    }
}

/// One message. Its number is its index plus one.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// When the packet that completed it was captured.
    pub time: Timestamp,
    /// Where its payload lies.
    pub payload: Place,
    /// 1-based number of the packet that completed it.
    pub packet: u32,
    /// Index of its connection.
    pub connection: u32,
    /// MessageID (Q.4164 Figure I.1); over gRPC, which has none, the HTTP/2 stream (RFC 9113 5.1.1).
    pub message_id: u32,
    /// Payload bytes that it should have.
    pub length: u32,
    /// Payload bytes that the capture holds.
    pub captured: u32,
    /// Its identifiers, by [`Identifier`].
    pub identifiers: [TextId; IDENTIFIERS],
    /// Rows of its table that are there, one bit each.
    pub present: u32,
    /// Index of its procedure, or [`NONE`].
    pub procedure: u32,
    /// Index of the request that it answers, or [`NONE`].
    pub answers: u32,
    /// Version (Q.4164 Figure I.1).
    pub version: u16,
    /// Command code.
    pub code: CommandCode,
    /// Codes of its diagnostics.
    pub codes: CodeSet,
    /// The worst of them.
    pub worst: Option<Severity>,
    /// Who sent it.
    pub side: Side,
    /// Which way it went.
    pub direction: Direction,
    /// How its payload is written.
    pub encoding: Encoding,
    /// How it travelled.
    pub binding: Binding,
    /// Whether it came out of TLS.
    pub tls: bool,
}

impl Record {
    /// What ties it to its response on its connection, for people: `#7`, or `stream 3` over gRPC.
    pub fn reference(&self) -> String {
        match self.binding {
            Binding::Tcp => format!("#{}", self.message_id),
            Binding::Grpc => format!("stream {}", self.message_id),
        }
    }

    /// One of its identifiers.
    pub fn identifier(&self, identifier: Identifier) -> TextId {
        self.identifiers[identifier as usize]
    }
}

/// How a procedure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// All its messages were seen and none says no.
    Complete,
    /// A response says so.
    Failed,
    /// The capture ended while it was within its time-out.
    Pending,
    /// It timed out, or the connection closed.
    Unanswered,
}

impl State {
    /// The name in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Pending => "pending",
            Self::Unanswered => "unanswered",
        }
    }
}

/// Messages that a procedure keeps without a list of its own: clause 7 knows no longer one.
const INLINE_MESSAGES: usize = 3;

/// One procedure. Its id is its index plus one.
#[derive(Clone, Copy, Debug)]
pub struct Procedure {
    /// The earliest and the latest time of its messages.
    span: (Timestamp, Timestamp),
    messages: [u32; INLINE_MESSAGES],
    count: u32,
    /// Its session ID, if known.
    pub session: TextId,
    /// Its key relay request ID, if known.
    pub key_relay_request: TextId,
    /// Index in [`Journal::exchanges`], or [`NONE`].
    pub exchange: u32,
    /// Index of its definition in [`Definitions::procedures`].
    pub definition: u16,
    /// How it ended, or stands.
    pub state: State,
}

/// Everything that was seen.
#[derive(Debug)]
pub struct Journal {
    /// What the messages are called.
    pub definitions: Arc<Definitions>,
    /// The messages.
    pub records: Chunked<Record>,
    /// The procedures.
    pub procedures: Chunked<Procedure>,
    /// The connections.
    pub connections: Chunked<Connection>,
    /// Procedures of one exchange, by id order.
    pub exchanges: Chunked<Exchange>,
    /// Identifiers.
    pub texts: Interner,
    /// Payloads that are nowhere contiguous in the capture.
    pub arena: Arena,
    /// Time of the first packet.
    pub start: Timestamp,
    /// Time of the last packet.
    pub end: Timestamp,
    /// What is known of TLS, by index of connection.
    pub tls: HashMap<u32, tls::Facts>,
    /// What the capture says of packets.
    pub comments: Comments,
    /// By message, ascending.
    findings: Vec<(u32, Finding)>,
    /// Those of messages before the last of `findings`, until [`Journal::settle`] puts them into their place.
    late_findings: BTreeMap<u32, Vec<Finding>>,
    /// Messages that more than one packet carries, and the first of those.
    begun: Vec<(u32, u32)>,
    troubles: HashMap<u32, Vec<Trouble>>,
    /// All messages of the procedures that have more than [`INLINE_MESSAGES`].
    long: HashMap<u32, Vec<u32>>,
    /// Ties that were not followed, of all exchanges.
    omitted_ties: u64,
    order: Order,
}

/// Whether everything came in the order in which [`Journal::settle`] leaves it.
#[derive(Debug, Default)]
struct Order {
    /// The packet of the last message.
    packet: u32,
    /// The first message of the last procedure.
    first: u32,
    messages_differ: bool,
    procedures_differ: bool,
}

/// Indexes of procedures of one exchange: of most, few enough to need no memory of their own.
pub type Members = SmallVec<[u32; 4]>;

/// Procedures that belong together, at most [`MAX_EXCHANGE`] of them.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// In the order in which they joined.
    pub members: Members,
    /// Ties that were not followed because an exchange was full.
    pub omitted: u32,
}

/// Procedures of one exchange: far more than hops of a relay, and few enough that a capture in which everything
/// shares one identifier does not print every procedure with every other.
pub const MAX_EXCHANGE: usize = 256;

impl Journal {
    /// An empty journal, of messages whose identifiers `hasher` has hashed.
    pub fn new(definitions: Arc<Definitions>, hasher: TextHasher) -> Self {
        Self {
            definitions,
            records: Chunked::default(),
            procedures: Chunked::default(),
            connections: Chunked::default(),
            exchanges: Chunked::default(),
            texts: Interner::new(hasher),
            arena: Arena::default(),
            start: Timestamp::default(),
            end: Timestamp::default(),
            tls: HashMap::new(),
            comments: Comments::default(),
            findings: Vec::new(),
            late_findings: BTreeMap::new(),
            begun: Vec::new(),
            troubles: HashMap::new(),
            long: HashMap::new(),
            omitted_ties: 0,
            order: Order::default(),
        }
    }

    /// Takes the next message; its index.
    pub fn push(&mut self, record: Record) -> u32 {
        let packet = std::mem::replace(&mut self.order.packet, record.packet);
        self.order.messages_differ |= record.packet < packet;
        self.records.push(record);
        self.records.len() as u32 - 1
    }

    /// Begins a procedure with its first message; its index.
    pub fn begin(&mut self, definition: u16, message: u32) -> u32 {
        let index = self.procedures.len() as u32;
        let record = &mut self.records[message as usize];
        record.procedure = index;
        let first = std::mem::replace(&mut self.order.first, message);
        self.order.procedures_differ |= message < first;
        self.procedures.push(Procedure {
            span: (record.time, record.time),
            messages: [message; INLINE_MESSAGES],
            count: 1,
            session: TextId::NONE,
            key_relay_request: TextId::NONE,
            exchange: NONE,
            definition,
            state: State::Pending,
        });
        index
    }

    /// Adds a message to a procedure.
    pub fn join(&mut self, procedure: u32, message: u32) {
        let record = &mut self.records[message as usize];
        record.procedure = procedure;
        let entry = &mut self.procedures[procedure as usize];
        let (start, end) = entry.span;
        entry.span = (start.min(record.time), end.max(record.time));
        let position = entry.count as usize;
        entry.count += 1;
        match entry.messages.get_mut(position) {
            Some(place) => *place = message,
            None => self.long.entry(procedure).or_insert_with(|| entry.messages.to_vec()).push(message),
        }
    }

    /// Indexes of a procedure's messages, in time order.
    pub fn messages(&self, procedure: u32) -> &[u32] {
        let entry = &self.procedures[procedure as usize];
        entry.messages.get(..entry.count as usize).unwrap_or_else(|| &self.long[&procedure])
    }

    /// The earliest and the latest time of a procedure's messages: capture times may go back.
    pub fn span(&self, procedure: u32) -> (Timestamp, Timestamp) {
        self.procedures[procedure as usize].span
    }

    /// First and last message of a procedure.
    pub fn first_and_last(&self, procedure: u32) -> (u32, u32) {
        let messages = self.messages(procedure);
        (messages[0], messages[messages.len() - 1])
    }

    /// Indexes of the other procedures of the same exchange, ascending.
    pub fn related(&self, procedure: u32) -> Members {
        let mut related: Members =
            self.members(procedure).iter().copied().filter(|&other| other != procedure).collect();
        related.sort_unstable();
        related
    }

    /// Indexes of the procedures of the same exchange, itself among them, in the order in which they joined; empty if
    /// there is no other.
    pub fn members(&self, procedure: u32) -> &[u32] {
        let exchange = self.exchanges.get(self.procedures[procedure as usize].exchange as usize);
        exchange.map_or(&[], |exchange| &exchange.members)
    }

    /// Puts two procedures into one exchange.
    pub fn relate(&mut self, a: u32, b: u32) {
        let (x, y) = (self.procedures[a as usize].exchange, self.procedures[b as usize].exchange);
        match (x, y) {
            _ if a == b || (x == y && x != NONE) => {}
            (NONE, NONE) => {
                self.exchanges.push(Exchange { members: smallvec![a, b], omitted: 0 });
                let index = self.exchanges.len() as u32 - 1;
                self.procedures[a as usize].exchange = index;
                self.procedures[b as usize].exchange = index;
            }
            (NONE, exchange) => self.merge(exchange, &[a]),
            (exchange, NONE) => self.merge(exchange, &[b]),
            _ => {
                let (large, small) = if self.size(x) >= self.size(y) { (x, y) } else { (y, x) };
                let members = std::mem::take(&mut self.exchanges[small as usize].members);
                self.merge(large, &members);
                if self.procedures[members[0] as usize].exchange == small {
                    self.exchanges[small as usize].members = members;
                }
            }
        }
    }

    /// Ties that were not followed because an exchange was full.
    pub fn omitted_ties(&self) -> u64 {
        self.omitted_ties
    }

    fn size(&self, exchange: u32) -> usize {
        self.exchanges[exchange as usize].members.len()
    }

    fn merge(&mut self, exchange: u32, joining: &[u32]) {
        let target = &mut self.exchanges[exchange as usize];
        if target.members.len() + joining.len() > MAX_EXCHANGE {
            target.omitted += 1;
            self.omitted_ties += 1;
            return;
        }
        target.members.extend_from_slice(joining);
        for &procedure in joining {
            self.procedures[procedure as usize].exchange = exchange;
        }
    }

    /// Notes what could not be decoded on a connection; of one kind, the first is kept and the others are counted.
    pub fn note_trouble(&mut self, connection: u32, trouble: Trouble) {
        let known = self.troubles.entry(connection).or_default();
        match known.iter_mut().find(|known| known.kind == trouble.kind) {
            Some(known) => known.count += trouble.count,
            None => known.push(trouble),
        }
    }

    /// What could not be decoded on a connection, in the order met.
    pub fn troubles(&self, connection: u32) -> &[Trouble] {
        self.troubles.get(&connection).map_or(&[], Vec::as_slice)
    }

    /// Notes the first packet that carries some of message `message`, the last one there is.
    pub fn note_begun(&mut self, message: u32, packet: u32) {
        if packet < self.records[message as usize].packet {
            self.begun.push((message, packet));
        }
    }

    /// Numbers of the first and the last packet that carry some of a message of Ck over TCP outside TLS; valid once
    /// [`Journal::settle`] ran.
    pub fn carriers(&self, message: u32) -> (u32, u32) {
        let last = self.records[message as usize].packet;
        let found = self.begun.binary_search_by_key(&message, |(of, _)| *of);
        (found.map_or(last, |index| self.begun[index].1), last)
    }

    /// Attaches a finding to a message.
    pub fn find(&mut self, message: u32, finding: Finding) {
        let (severity, code) = finding.kind();
        let record = &mut self.records[message as usize];
        record.codes.insert(code);
        record.worst = record.worst.max(Some(severity));
        match self.findings.last() {
            Some((last, _)) if *last > message => self.late_findings.entry(message).or_default().push(finding),
            _ => self.findings.push((message, finding)),
        }
    }

    /// The findings of a message.
    pub fn findings(&self, message: u32) -> impl Iterator<Item = Finding> {
        let start = self.findings.partition_point(|(of, _)| *of < message);
        let in_time = self.findings[start..].iter().take_while(move |(of, _)| *of == message);
        let late = self.late_findings.get(&message).into_iter().flatten();
        in_time.map(|(_, finding)| finding).chain(late).copied()
    }

    /// Puts everything into its final order: messages by the packet that completed them, procedures by their first
    /// message.
    pub fn settle(&mut self) {
        for (message, findings) in std::mem::take(&mut self.late_findings) {
            self.findings.extend(findings.into_iter().map(|finding| (message, finding)));
        }
        if std::mem::take(&mut self.order.messages_differ) {
            self.renumber();
            self.order.procedures_differ = true;
        }
        self.findings.sort_by_key(|(message, _)| *message);
        self.begun.sort_unstable();
        if std::mem::take(&mut self.order.procedures_differ) {
            self.renumber_procedures();
        }
    }

    fn renumber(&mut self) {
        let mut order: Vec<u32> = (0..self.records.len() as u32).collect();
        order.sort_by_key(|&index| self.records[index as usize].packet);
        let new = inverse(&order);
        let renumbered = |index: u32| if index == NONE { NONE } else { new[index as usize] };
        self.records = order.iter().map(|&index| self.records[index as usize]).collect();
        for record in self.records.iter_mut() {
            record.answers = renumbered(record.answers);
        }
        for (message, _) in &mut self.findings {
            *message = renumbered(*message);
        }
        for (message, _) in &mut self.begun {
            *message = renumbered(*message);
        }
        for index in 0..self.procedures.len() {
            let mut messages: Vec<u32> = self.messages(index as u32).iter().copied().map(renumbered).collect();
            messages.sort_unstable();
            let inline = messages.len().min(INLINE_MESSAGES);
            self.procedures[index].messages[..inline].copy_from_slice(&messages[..inline]);
            if messages.len() > INLINE_MESSAGES {
                self.long.insert(index as u32, messages);
            }
        }
    }

    fn renumber_procedures(&mut self) {
        let mut order: Vec<u32> = (0..self.procedures.len() as u32).collect();
        order.sort_by_key(|&index| self.procedures[index as usize].messages[0]);
        let new = inverse(&order);
        self.procedures = order.iter().map(|&index| self.procedures[index as usize]).collect();
        for record in self.records.iter_mut().filter(|record| record.procedure != NONE) {
            record.procedure = new[record.procedure as usize];
        }
        for exchange in self.exchanges.iter_mut() {
            exchange.members.iter_mut().for_each(|member| *member = new[*member as usize]);
        }
        let long = std::mem::take(&mut self.long);
        self.long = long.into_iter().map(|(procedure, list)| (new[procedure as usize], list)).collect();
    }
}

/// Where each index went: `order[new] = old` → `[old] = new`.
fn inverse(order: &[u32]) -> Vec<u32> {
    let mut new = vec![0; order.len()];
    for (position, &index) in order.iter().enumerate() {
        new[index as usize] = position as u32;
    }
    new
}
