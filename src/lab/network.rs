//! A simulated network: TCP connections between addresses, seen from one capture point. In: who dials, sends
//! and closes, and when. Out: the [`Segment`]s that pass. Refuses to know Ck.

use std::net::SocketAddr;

use super::random::Random;
use super::tcp::{ACK, FIN, HEADER, PSH, RST, SYN, Segment, WINDOW};
use crate::time::{Span, Timestamp};

/// Bytes of stream in one segment at most: an Ethernet packet less IP and TCP headers.
const MOST_PER_SEGMENT: usize = 1500 - 20 - HEADER;

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who dialled.
    Initiator,
    /// Who was dialled.
    Responder,
}

impl Side {
    /// The other end.
    pub fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }
}

/// What one end of a connection has said and heard.
#[derive(Clone, Debug)]
struct End {
    address: SocketAddr,
    /// Next sequence number to send (RFC 9293: SND.NXT).
    next: u32,
    /// What it has received so far.
    heard: u32,
    /// When the other end's latest bytes arrive, and the sequence number after them; not yet acknowledged.
    arriving: Vec<(Timestamp, u32)>,
    /// Latest TSval received.
    echo: u32,
}

#[derive(Debug)]
struct Connection {
    ends: [End; 2],
}

/// The network.
#[derive(Debug)]
pub struct Network {
    /// What has passed so far; in the order of time only after [`Network::finish`].
    segments: Vec<Segment>,
    connections: Vec<Connection>,
    random: Random,
    /// The sequence number that the next connection's initiator begins with, if it is not to be a random one.
    pub first_sequence: Option<u32>,
    /// Bytes of stream in one segment at most.
    pub most_per_segment: usize,
}

impl Network {
    /// A network whose delays and sequence numbers come from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            segments: Vec::new(),
            connections: Vec::new(),
            random: Random::new(seed),
            first_sequence: None,
            most_per_segment: MOST_PER_SEGMENT,
        }
    }

    /// Dials: SYN, SYN ACK, ACK. Gives the connection's number and when it stands.
    pub fn connect(&mut self, at: Timestamp, from: SocketAddr, to: SocketAddr) -> (usize, Timestamp) {
        let first = self.first_sequence.take().unwrap_or(self.random.bits() as u32);
        let second = self.random.bits() as u32;
        let end = |address, next| End { address, next, heard: 0, arriving: Vec::new(), echo: 0 };
        self.connections.push(Connection { ends: [end(from, first), end(to, second)] });
        let connection = self.connections.len() - 1;
        let at = self.emit(connection, Side::Initiator, at, SYN, &[]);
        let at = self.emit(connection, Side::Responder, at, SYN | ACK, &[]);
        let at = self.emit(connection, Side::Initiator, at, ACK, &[]);
        self.settle(connection, Side::Responder, at);
        (connection, at)
    }

    /// Sends `bytes` and gives the time at which the last of them arrives.
    pub fn send(&mut self, connection: usize, side: Side, at: Timestamp, bytes: &[u8]) -> Timestamp {
        let mut arrival = at;
        let mut departure = at;
        let count = bytes.len().div_ceil(self.most_per_segment);
        for (number, piece) in bytes.chunks(self.most_per_segment).enumerate() {
            let push = if number + 1 == count { PSH } else { 0 };
            arrival = self.emit(connection, side, departure, ACK | push, piece).max(arrival);
            departure = departure + Span(12_000); // 1500 bytes at 1 Gbit/s
        }
        arrival
    }

    /// Sends `bytes` as one segment each and gives the time at which the last arrives.
    pub fn send_each(&mut self, connection: usize, side: Side, at: Timestamp, pieces: &[&[u8]]) -> Timestamp {
        pieces.iter().enumerate().fold(at, |latest, (number, piece)| {
            let departure = at + Span(number as i64 * 40_000);
            self.emit(connection, side, departure, ACK | PSH, piece).max(latest)
        })
    }

    /// Closes one direction: FIN. Gives the time at which the other end has acknowledged it.
    pub fn shut(&mut self, connection: usize, side: Side, at: Timestamp) -> Timestamp {
        let arrival = self.emit(connection, side, at, FIN | ACK, &[]);
        self.acknowledge(connection, side.other(), arrival)
    }

    /// Closes both directions, `side` first: FIN, FIN ACK, ACK.
    pub fn close(&mut self, connection: usize, side: Side, at: Timestamp) -> Timestamp {
        let arrival = self.emit(connection, side, at, FIN | ACK, &[]);
        let arrival = self.emit(connection, side.other(), arrival, FIN | ACK, &[]);
        self.acknowledge(connection, side, arrival)
    }

    /// Breaks the connection: RST.
    pub fn reset(&mut self, connection: usize, side: Side, at: Timestamp) -> Timestamp {
        self.emit(connection, side, at, RST | ACK, &[])
    }

    /// Asks whether the other end is still there, and is answered: a segment that repeats the last
    /// acknowledged byte's number (RFC 9293 3.8.4).
    pub fn keep_alive(&mut self, connection: usize, side: Side, at: Timestamp) -> Timestamp {
        let [end, _] = self.ends(connection, side);
        let next = end.next;
        end.next = next.wrapping_sub(1);
        let arrival = self.emit(connection, side, at, ACK, &[]);
        self.ends(connection, side)[0].next = next;
        self.emit(connection, side.other(), arrival, ACK, &[])
    }

    /// Everything that passed, in order of time.
    pub fn finish(mut self) -> Vec<Segment> {
        for connection in 0..self.connections.len() {
            for side in [Side::Initiator, Side::Responder] {
                self.settle(connection, side, Timestamp(i64::MAX));
            }
        }
        self.segments.sort_by_key(|segment| segment.time);
        self.segments
    }

    /// A segment leaves `side`; gives the time at which it arrives.
    fn emit(&mut self, connection: usize, side: Side, at: Timestamp, flags: u8, payload: &[u8]) -> Timestamp {
        self.settle(connection, side.other(), at);
        self.settle(connection, side, at);
        self.pass(connection, side, at, flags, payload);
        let latency = Span(60_000 + self.random.below(60_000) as i64);
        let [source, destination] = self.ends(connection, side);
        let occupied = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        source.next = source.next.wrapping_add(occupied);
        // Segments of one direction do not overtake each other.
        let earliest = destination.arriving.last().map_or(at, |(time, _)| *time);
        let arrival = (at + latency).max(earliest);
        if occupied > 0 {
            destination.arriving.push((arrival, source.next));
        }
        arrival
    }

    /// Sends the bare ACKs that `side` owes by `now`: one 50 µs after each arrival that no other follows closely.
    fn settle(&mut self, connection: usize, side: Side, now: Timestamp) {
        let arriving = &self.connections[connection].ends[side as usize].arriving;
        let last_of_burst = |at: usize| arriving.get(at + 1).is_none_or(|next| next.0 - arriving[at].0 > Span(45_000));
        let due: Vec<Timestamp> =
            (0..arriving.len()).filter(|&at| last_of_burst(at)).map(|at| arriving[at].0 + Span(50_000)).collect();
        for due in due.into_iter().filter(|due| *due < now) {
            self.acknowledge(connection, side, due);
        }
    }

    /// A bare ACK, if anything has arrived by `at` that is not acknowledged. It is not itself acknowledged.
    fn acknowledge(&mut self, connection: usize, side: Side, at: Timestamp) -> Timestamp {
        let [end, _] = self.ends(connection, side);
        if end.arriving.iter().all(|(time, _)| *time > at) {
            return at;
        }
        self.pass(connection, side, at, ACK, &[]);
        at + Span(60_000)
    }

    /// Writes down a segment from `side` that acknowledges whatever has arrived by `at`.
    fn pass(&mut self, connection: usize, side: Side, at: Timestamp, flags: u8, payload: &[u8]) {
        let [source, destination] = self.ends(connection, side);
        let arrived = source.arriving.iter().filter(|(time, _)| *time <= at).map(|(_, next)| *next).next_back();
        source.heard = arrived.unwrap_or(source.heard);
        source.arriving.retain(|(time, _)| *time > at);
        // Milliseconds from a start of each end's own.
        let value = ((at.0 / 1_000_000) as u32).wrapping_add(u32::from(source.address.port()) << 16);
        let segment = Segment {
            time: at,
            source: source.address,
            destination: destination.address,
            sequence: source.next,
            acknowledgment: if flags & ACK == 0 { 0 } else { source.heard },
            flags,
            timestamps: (value, source.echo),
            window: WINDOW,
            payload: payload.to_vec(),
        };
        destination.echo = value;
        self.segments.push(segment);
    }

    /// `side`'s end and the other.
    fn ends(&mut self, connection: usize, side: Side) -> [&mut End; 2] {
        let [initiator, responder] = &mut self.connections[connection].ends;
        match side {
            Side::Initiator => [initiator, responder],
            Side::Responder => [responder, initiator],
        }
    }
}
