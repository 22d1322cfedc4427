//! TCP connections: who, when, what they carry and what they are made of.

use std::mem::offset_of;

use super::Side;
use crate::packet::Endpoint;
use crate::prefetch::{CACHE_LINE, prefetch};
use crate::time::Timestamp;

/// How a TCP connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Both sides sent FIN.
    Fin,
    /// A RST was seen.
    Rst,
}

impl Closed {
    /// The name in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Rst => "rst",
        }
    }
}

/// What a connection carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Ck over TCP (Q.4164 Appendix I).
    Ck,
    /// Ck over TCP in TLS.
    CkTls,
    /// Ck over gRPC (Q.4164 Appendix II).
    Grpc,
    /// Ck over gRPC in TLS.
    GrpcTls,
    /// TLS that was not decrypted, or in which there is no Ck.
    Tls,
    /// Anything else, or nothing.
    #[default]
    Unknown,
}

impl Protocol {
    /// The name in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ck => "ck",
            Self::CkTls => "ck+tls",
            Self::Grpc => "grpc",
            Self::GrpcTls => "grpc+tls",
            Self::Tls => "tls",
            Self::Unknown => "unknown",
        }
    }
}

/// What reassembly and framing say of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Stream bytes by side.
    pub bytes: [u64; 2],
    /// Segments that brought nothing new.
    pub retransmitted: u32,
    /// Segments that came late.
    pub out_of_order: u32,
    /// Missing ranges.
    pub gaps: u32,
    /// Bytes by side that belong to no message, on a connection that carries Ck.
    pub undecoded: [u64; 2],
    /// What it carries.
    pub protocol: Protocol,
}

/// Something on a connection that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What kind of thing: a short kebab-case name.
    pub kind: &'static str,
    /// The first of its kind, in words.
    pub text: String,
    /// Where that was: 1-based number of the packet.
    pub packet: u32,
    /// How many there were.
    pub count: u64,
}

/// One TCP connection. Its number is its index plus one. What every packet and message needs stands together, in what
/// a processor fetches at once; with many connections each is somewhere else.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Connection {
    /// The ends, by [`Side`].
    pub ends: [Endpoint; 2],
    /// Last packet.
    pub end: Timestamp,
    /// Packets.
    pub packets: u32,
    /// Messages.
    pub messages: u32,
    /// How it was closed, if it was.
    pub closed: Option<Closed>,
    /// Sides whose FIN was seen, one bit each.
    pub fins: u8,
    /// The side that is the KM, once a message said so.
    pub km: Option<Side>,
    /// First packet.
    pub start: Timestamp,
    /// What it was made of; known when the analysis is finished.
    pub traffic: Traffic,
}
const _: () = assert!(offset_of!(Connection, start) == CACHE_LINE && size_of::<Connection>() == 2 * CACHE_LINE);

impl Connection {
    /// Asks for what every packet and message needs.
    pub fn prefetch(&self) {
        prefetch(&self.ends);
    }

    /// Notes when a packet was captured: capture times may go back.
    pub fn note_time(&mut self, time: Timestamp) {
        if time < self.end {
            self.start = self.start.min(time);
        } else {
            self.end = time;
        }
    }

    /// What was taken for the initiator is the responder.
    pub fn swap_sides(&mut self) {
        self.ends.swap(0, 1);
        self.fins = (self.fins & 1) << 1 | self.fins >> 1;
        self.km = self.km.map(Side::other);
    }

    /// The end on `side`.
    pub fn end(&self, side: Side) -> Endpoint {
        self.ends[side as usize]
    }

    /// Whether `side` sent a FIN.
    pub fn has_finished(&self, side: Side) -> bool {
        self.fins & 1 << side as u8 != 0
    }
}
