//! The plaintext of TLS connections as TCP segments: real addresses and times, sequence numbers of its own.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use super::choice::Choice;
use crate::analyzer::{Layer, Part, Tap, Tapped};
use crate::capture::tcp::{ACK, FIN, Ip, PSH, RST, SYN, Segment, WINDOW};
use crate::journal::{Connection, Journal, Side};
use crate::packet::Endpoint;
use crate::stream::Located;
use crate::time::Timestamp;
use crate::tls::{Facts, suite_name, version_name};

/// Sequence number of the SYN.
const INITIAL: u32 = 0;
/// Payload bytes of a packet at most, so that its length fits its header's 16 bits.
const MOST: usize = 32 * 1024;

/// The plaintext of some connections, set aside in a temporary file until their packets are written.
#[derive(Debug, Default)]
pub struct Plaintext {
    connections: Arc<HashSet<u32>>,
    file: Option<BufWriter<File>>,
    /// Bytes in the file.
    written: u64,
    events: Vec<Event>,
    streams: HashMap<u32, Stream>,
}

/// Something to write at a packet.
#[derive(Clone, Copy, Debug)]
struct Event {
    packet: u32,
    connection: u32,
    side: Side,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Flags(u8),
    /// Bytes at `position` of the stream, which lie at `start` of the file.
    Data {
        position: u64,
        start: u64,
        length: u32,
    },
}

/// What of the streams is not wanted: positions, and the bytes dropped up to the end of each.
#[derive(Debug, Default)]
struct Dropped(HashMap<(u32, usize), Vec<(u64, u64)>>);

impl Dropped {
    fn add(&mut self, side: (u32, usize), position: u64, length: u32) {
        self.0.entry(side).or_default().push((position, length.into()));
    }

    /// Puts all in order and adds up.
    fn sort(&mut self) {
        for parts in self.0.values_mut() {
            parts.sort_unstable();
            let mut sum = 0;
            for (_, length) in parts {
                sum += *length;
                *length = sum;
            }
        }
    }

    /// Bytes dropped of a stream before `position`.
    fn before(&self, side: (u32, usize), position: u64) -> u64 {
        let Some(parts) = self.0.get(&side) else { return 0 };
        let count = parts.partition_point(|(start, _)| *start < position);
        count.checked_sub(1).map_or(0, |last| parts[last].1)
    }
}

/// A connection as far as it was written.
#[derive(Debug)]
struct Stream {
    /// The ends, by side.
    ends: [SocketAddr; 2],
    /// What its first packet says about it.
    origin: String,
    /// Stream bytes by side, those missing included.
    length: [u64; 2],
    /// By side, one past the last sequence number written.
    next: [u32; 2],
    /// Comments of the packets that are replaced, with the packets' numbers.
    comments: VecDeque<(u32, Vec<String>)>,
    begun: bool,
}

impl Plaintext {
    /// Of the connections in `choice` whose TLS was opened.
    pub fn of(journal: &Journal, choice: &Choice) -> Self {
        let opened = journal.tls.iter().filter(|(connection, facts)| facts.decrypted && choice.has(**connection));
        let stream =
            |(&index, facts): (&u32, &Facts)| (index, Stream::new(&journal.connections[index as usize], facts));
        let streams: HashMap<u32, Stream> = opened.map(stream).collect();
        Self { connections: Arc::new(streams.keys().copied().collect()), streams, ..Self::default() }
    }

    /// What the analysis has to hand to [`Plaintext::take`].
    pub fn tap(&self) -> Tap {
        Tap::Content(Arc::clone(&self.connections))
    }

    /// Takes what was tapped.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub fn take(&mut self, tapped: Vec<Tapped>) -> io::Result<()> {
        for Tapped { connection, side, layer, part } in tapped {
            debug_assert_eq!(layer, Layer::Content);
            // Nothing else was to be tapped.
            let Some(stream) = self.streams.get_mut(&connection) else { continue };
            let position = stream.length[side as usize];
            match part {
                Part::Gap(bytes) => stream.length[side as usize] += bytes,
                Part::Bytes(bytes, stamp) => {
                    stream.length[side as usize] += bytes.len() as u64;
                    let file = match &mut self.file {
                        Some(file) => file,
                        None => self.file.insert(BufWriter::new(tempfile::tempfile()?)),
                    };
                    file.write_all(&bytes)?;
                    let what = What::Data { position, start: self.written, length: bytes.len() as u32 };
                    self.written += bytes.len() as u64;
                    self.events.push(Event { packet: stamp.packet, connection, side, what });
                }
            }
        }
        Ok(())
    }

    /// Whether it stands for the packets of a connection.
    pub(super) fn replaces(&self, connection: u32) -> bool {
        self.connections.contains(&connection)
    }

    /// Whether it stands for any.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Takes note of a packet that it stands for.
    pub(super) fn packet(&mut self, packet: u32, located: Located, flags: u8, comments: Vec<String>) {
        let connection = located.connection;
        if flags != 0 {
            let side = if located.from_initiator { Side::Initiator } else { Side::Responder };
            self.events.push(Event { packet, connection, side, what: What::Flags(flags) });
        }
        if let Some(stream) = self.streams.get_mut(&connection).filter(|_| !comments.is_empty()) {
            stream.comments.push_back((packet, comments));
        }
    }

    /// Drops what is not in `choice`, and puts the rest in order.
    pub(super) fn settle(&mut self, choice: &Choice) -> io::Result<()> {
        let in_order = |event: &Event| match event.what {
            What::Flags(flags) => (event.packet, if flags & SYN != 0 { 0 } else { 2 }),
            What::Data { .. } => (event.packet, 1),
        };
        // Of what is wanted up to a packet, that is wanted as well which waited for what came late.
        let mut last: HashMap<(u32, usize), u64> = HashMap::new();
        for event in &self.events {
            if let What::Data { position, .. } = event.what
                && choice.wants(event.connection, event.side, event.packet)
            {
                let last = last.entry((event.connection, event.side as usize)).or_default();
                *last = (*last).max(position);
            }
        }
        let mut dropped = Dropped::default();
        self.events.retain(|event| match event.what {
            What::Flags(_) => true,
            What::Data { position, length, .. } => {
                let before = |last: &u64| position <= *last;
                let side = (event.connection, event.side as usize);
                let wanted = choice.wants(event.connection, event.side, event.packet)
                    || choice.is_until(event.connection) && last.get(&side).is_some_and(before);
                if !wanted {
                    dropped.add(side, position, length);
                }
                wanted
            }
        });
        self.close_ranks(dropped);
        self.events.sort_by_key(in_order);
        self.events.reverse();
        self.file.as_mut().map_or(Ok(()), BufWriter::flush)
    }

    /// Moves what is left together, so that nothing seems to be missing but what the capture lacks.
    fn close_ranks(&mut self, mut dropped: Dropped) {
        dropped.sort();
        for event in &mut self.events {
            if let What::Data { position, .. } = &mut event.what {
                *position -= dropped.before((event.connection, event.side as usize), *position);
            }
        }
        for (&connection, stream) in &mut self.streams {
            for (side, length) in stream.length.iter_mut().enumerate() {
                *length -= dropped.before((connection, side), u64::MAX);
            }
        }
    }

    /// The packets, as raw IP, to write at packet `number`, and the comments on each.
    pub(super) fn packets_at(
        &mut self,
        number: u32,
        time: Timestamp,
        mut give: impl FnMut(&[u8], &[String]) -> io::Result<()>,
    ) -> io::Result<()> {
        while let Some(event) = self.events.pop_if(|event| event.packet == number) {
            let (flags, bytes, position) = match event.what {
                What::Flags(flags) => (flags, Vec::new(), 0),
                What::Data { position, start, length } => (PSH, self.bytes(start, length as usize)?, position),
            };
            let Some(stream) = self.streams.get_mut(&event.connection) else { continue };
            let mut comments = stream.comments_until(number);
            if !std::mem::replace(&mut stream.begun, true) {
                comments.insert(0, stream.origin.clone());
            }
            for (index, part) in parts(&bytes).enumerate() {
                let position = position + (index * MOST) as u64;
                let segment = stream.segment(&event, time, flags, position, part);
                // It tells packets apart whose fragments could meet; these have none.
                for packet in Ip::default().packets(&segment, number as u16) {
                    give(&packet, &std::mem::take(&mut comments))?;
                }
            }
        }
        Ok(())
    }

    fn bytes(&mut self, start: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        if let Some(file) = &mut self.file {
            let file = file.get_mut();
            file.seek(SeekFrom::Start(start))?;
            file.read_exact(&mut bytes)?;
        }
        Ok(bytes)
    }
}

impl Stream {
    fn new(connection: &Connection, facts: &Facts) -> Self {
        let (ends, origin) = (connection.ends.map(address), origin(facts));
        Self { ends, origin, length: [0; 2], next: [0; 2], comments: VecDeque::new(), begun: false }
    }

    fn comments_until(&mut self, packet: u32) -> Vec<String> {
        let mut comments = Vec::new();
        while self.comments.front().is_some_and(|(of, _)| *of <= packet) {
            comments.extend(self.comments.pop_front().into_iter().flat_map(|(_, more)| more));
        }
        comments
    }

    fn segment(&mut self, event: &Event, time: Timestamp, flags: u8, position: u64, bytes: &[u8]) -> Segment {
        let (side, other) = (event.side as usize, event.side.other() as usize);
        let sequence = match flags {
            flags if flags & SYN != 0 => INITIAL,
            flags if flags & (FIN | RST) != 0 => sequence(self.length[side]),
            _ => sequence(position),
        };
        let length = bytes.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        self.next[side] = sequence.wrapping_add(length);
        let opens = flags & SYN != 0 && event.side == Side::Initiator;
        let milliseconds = (time.0 / 1_000_000) as u32;
        Segment {
            time,
            source: self.ends[side],
            destination: self.ends[other],
            sequence,
            acknowledgment: if opens { 0 } else { self.next[other] },
            flags: if opens { flags } else { flags | ACK },
            timestamps: (milliseconds, if opens { 0 } else { milliseconds }),
            window: WINDOW,
            payload: bytes.to_vec(),
        }
    }
}

/// Of the byte at `position` of a stream; it goes round as sequence numbers do.
fn sequence(position: u64) -> u32 {
    INITIAL.wrapping_add(1).wrapping_add(position as u32)
}

/// In parts that fit into packets; at least one, for a segment may carry nothing.
fn parts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let nothing = bytes.is_empty().then_some(bytes);
    nothing.into_iter().chain(bytes.chunks(MOST))
}

fn address(end: Endpoint) -> SocketAddr {
    SocketAddr::new(end.ip(), end.port)
}

/// What the first packet of a connection says about it.
fn origin(facts: &Facts) -> String {
    let version = facts.version.map_or_else(|| "TLS".to_owned(), version_name);
    let suite = facts.suite.and_then(suite_name).map_or_else(String::new, |name| format!(", {name}"));
    let sni = facts.sni.as_ref().map_or_else(String::new, |name| format!(", for {name}"));
    format!("plaintext of {version}{suite}{sni}; packets made by ckscope")
}
