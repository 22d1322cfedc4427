//! Which packets carry the wanted messages.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use crate::capture::Batch;
use crate::capture::file::Replay;
use crate::diagnostic::Code;
use crate::journal::{Binding, Journal, Record, Side};
use crate::packet::{Flags, PacketParser, Parsed, Payload, Segment};
use crate::stream::{ConnectionTable, Located};

use super::plaintext::Plaintext;

/// Packets read at a time.
pub(super) const BATCH: usize = 1024;

/// Flags that begin and end connections.
const ENDS: u8 = Flags::SYN | Flags::FIN | Flags::RST;

/// What of a connection is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// All up to this packet.
    Until(u32),
    /// By side, the data in these ranges of packets: ascending, without overlap.
    Ranges([Vec<(u32, u32)>; 2]),
}

/// What is wanted of a capture.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// By index of connection; `None` for everything there is.
    parts: Option<HashMap<u32, Part>>,
    /// The addresses of those connections.
    addresses: HashSet<IpAddr>,
}

/// A message by the packets that carry it: first, last, and whether it is wanted.
type Carried = (u32, u32, bool);

impl Choice {
    /// Every packet.
    pub fn everything() -> Self {
        Self { parts: None, addresses: HashSet::new() }
    }

    /// What carries the messages that `wanted` holds for. With `decrypted`, Ck in TLS is as good as Ck without it.
    pub fn of(journal: &Journal, decrypted: bool, wanted: impl Fn(u32) -> bool) -> Self {
        let wanted: Vec<bool> = (0..journal.records.len() as u32).map(wanted).collect();
        let mut connections: HashSet<u32> = HashSet::new();
        let mut parts: HashMap<u32, Part> = HashMap::new();
        for (record, _) in journal.records.iter().zip(&wanted).filter(|(_, wanted)| **wanted) {
            connections.insert(record.connection);
            let until = match record {
                _ if needs_surroundings(record) => u32::MAX,
                _ if record.binding == Binding::Grpc || (record.tls && !decrypted) => record.packet,
                _ => continue,
            };
            if let Part::Until(last) = parts.entry(record.connection).or_insert(Part::Until(0)) {
                *last = (*last).max(until);
            }
        }
        let mut carried: BTreeMap<(u32, usize), Vec<Carried>> = BTreeMap::new();
        for (index, record) in journal.records.iter().enumerate() {
            if connections.contains(&record.connection) && !parts.contains_key(&record.connection) {
                let (first, last) = journal.carriers(index as u32);
                let side = (record.connection, record.side as usize);
                carried.entry(side).or_default().push((first, last, wanted[index]));
            }
        }
        for ((connection, side), messages) in carried {
            let part = parts.entry(connection).or_insert_with(|| Part::Ranges(Default::default()));
            if let Part::Ranges(ranges) = part {
                ranges[side] = clusters(messages);
            }
        }
        let ends = parts.keys().flat_map(|&connection| journal.connections[connection as usize].ends);
        Self { addresses: ends.map(|end| end.ip()).collect(), parts: Some(parts) }
    }

    /// What tells the TLS connections that were opened and are wanted from all others: their client randoms.
    pub fn randoms(&self, journal: &Journal) -> BTreeSet<[u8; 32]> {
        let all = journal.tls.iter().filter(|(connection, facts)| facts.decrypted && self.has(**connection));
        all.filter_map(|(_, facts)| facts.random).collect()
    }

    /// Whether anything of a connection is wanted.
    pub fn has(&self, connection: u32) -> bool {
        self.parts.as_ref().is_none_or(|parts| parts.contains_key(&connection))
    }

    /// Whether the data that packet `packet` brought is wanted.
    pub(super) fn wants(&self, connection: u32, side: Side, packet: u32) -> bool {
        let Some(parts) = &self.parts else { return true };
        match parts.get(&connection) {
            None => false,
            Some(Part::Until(last)) => packet <= *last,
            Some(Part::Ranges(ranges)) => {
                let ranges = &ranges[side as usize];
                let at = ranges.partition_point(|(_, last)| *last < packet);
                ranges.get(at).is_some_and(|(first, _)| *first <= packet)
            }
        }
    }

    /// Whether anything of somebody at this address is.
    pub(super) fn has_address(&self, address: &IpAddr) -> bool {
        self.parts.is_none() || self.addresses.contains(address)
    }

    pub(super) fn is_until(&self, connection: u32) -> bool {
        let part = self.parts.as_ref().and_then(|parts| parts.get(&connection));
        matches!(part, Some(Part::Until(_)))
    }

    /// By packet, whether it is wanted. What [`Plaintext`] stands for is not, and is told the ends of its connections.
    pub(super) fn packets(&self, replay: &mut Replay, plaintext: &mut Plaintext) -> Vec<bool> {
        let mut chooser = Chooser {
            choice: self,
            plaintext,
            parser: PacketParser::new(),
            table: ConnectionTable::default(),
            waiting: HashMap::new(),
            highest: HashMap::new(),
            chosen: Vec::new(),
        };
        let mut batch = Batch::default();
        while replay.read_batch(&mut batch, BATCH) {
            for index in 0..batch.packets.len() {
                chooser.packet(&batch, index);
            }
        }
        chooser.chosen
    }
}

/// Whether a message was found, or its end was, only by what stands around it.
fn needs_surroundings(record: &Record) -> bool {
    const SIGNS: [Code; 7] = [
        Code::TruncatedMessage,
        Code::TcpGap,
        Code::Resynchronised,
        Code::MalformedJson,
        Code::UnknownCommand,
        Code::ByteOrder,
        Code::LengthIncludesHeader,
    ];
    record.length == 0 || SIGNS.iter().any(|&sign| record.codes.contains(sign))
}

/// Joins what shares a packet; the ranges in which anything is wanted.
fn clusters(mut messages: Vec<Carried>) -> Vec<(u32, u32)> {
    messages.sort_unstable();
    let mut joined: Vec<Carried> = Vec::new();
    for (first, last, wanted) in messages {
        match joined.last_mut() {
            Some(before) if first <= before.1 => *before = (before.0, before.1.max(last), before.2 || wanted),
            _ => joined.push((first, last, wanted)),
        }
    }
    joined.into_iter().filter(|range| range.2).map(|(first, last, _)| (first, last)).collect()
}

/// Goes through the packets as the analysis did.
struct Chooser<'a> {
    choice: &'a Choice,
    plaintext: &'a mut Plaintext,
    parser: PacketParser,
    table: ConnectionTable,
    /// Packets with fragments of datagrams that are not whole yet.
    waiting: HashMap<u64, Vec<u32>>,
    /// By connection and side: sequence number after the last byte seen while everything was wanted.
    highest: HashMap<(u32, bool), u32>,
    chosen: Vec<bool>,
}

impl Chooser<'_> {
    fn packet(&mut self, batch: &Batch, index: usize) {
        let packet = &batch.packets[index];
        self.chosen.push(self.choice.parts.is_none());
        let number = self.chosen.len() as u32;
        match self.parser.parse(packet.link, batch.bytes(packet), packet.original, packet.time) {
            Parsed::Segment(segment) => self.segment(&segment, number, batch, index),
            Parsed::Fragment => self.waiting.entry(self.parser.datagram()).or_default().push(number),
            Parsed::Other | Parsed::Undecodable(_) => {}
        }
    }

    fn segment(&mut self, segment: &Segment, number: u32, batch: &Batch, index: usize) {
        let (length, fragments) = match &segment.payload {
            Payload::InPacket { length, .. } => (*length, Vec::new()),
            Payload::Reassembled(bytes) => {
                (bytes.len() as u32, self.waiting.remove(&self.parser.datagram()).unwrap_or_default())
            }
        };
        let length = length.saturating_add(segment.missing);
        let located = self.table.locate(segment, self.table.seek(segment), length);
        let replaced = self.plaintext.replaces(located.connection);
        let wanted = !replaced && self.wants(segment, located, number, length);
        for number in fragments.into_iter().chain([number]) {
            self.chosen[number as usize - 1] = wanted;
        }
        if replaced && self.choice.has(located.connection) {
            let comments = batch.comments_of(index).map(Cow::into_owned).collect();
            self.plaintext.packet(number, located, segment.flags.0 & ENDS, comments);
        }
    }

    fn wants(&mut self, segment: &Segment, located: Located, number: u32, length: u32) -> bool {
        let Located { connection, from_initiator, .. } = located;
        if !self.choice.has(connection) {
            return false;
        }
        if segment.flags.has(ENDS) {
            return true;
        }
        let side = if from_initiator { Side::Initiator } else { Side::Responder };
        let wanted = self.choice.wants(connection, side, number);
        if !self.choice.is_until(connection) {
            return wanted && (length > 0 || self.choice.parts.is_none());
        }
        let end = segment.sequence.wrapping_add(length);
        let highest = self.highest.entry((connection, from_initiator)).or_insert(end);
        if wanted && is_after(end, *highest) {
            *highest = end;
        }
        // What comes again later may be what was missing before.
        wanted || (length > 0 && is_after(*highest, segment.sequence))
    }
}

fn is_after(sequence: u32, other: u32) -> bool {
    sequence.wrapping_sub(other).cast_signed() > 0
}
