//! From PDUs to events: where the directions of a connection put what they find.

use super::allowance::Allowance;
use super::work::{Event, Found, Layer, Output, Part, Tap, Tapped};
use crate::correlate::{FramingFacts, Seen};
use crate::dissect::{CommandCode, Encoding, Indexer, Payload};
use crate::framing::{CommandCodes, Pdu};
use crate::journal::{Binding, Side};
use crate::place::Place;
use crate::stream::{Piece, Stamp};
use crate::tls::Secrets;

/// Where what is found goes.
pub struct Sink<'a> {
    pub codes: &'a CommandCodes,
    pub indexer: &'a mut Indexer,
    pub output: &'a mut Output,
    pub secrets: &'a Secrets,
    pub allowance: &'a mut Allowance,
    pub waits_for_secrets: bool,
    pub tap: &'a Tap,
    pub connection: u32,
    /// The packet at hand, and how far back messages may be placed.
    pub now: Stamp,
    pub floor: u32,
}

/// The direction that a message comes from.
pub struct Origin<'a> {
    pub side: Side,
    pub from_the_start: bool,
    /// The other direction may lack requests.
    pub midway: bool,
    /// Its bytes came out of TLS.
    pub tls: bool,
    /// Messages of it were found before.
    pub has_messages: &'a mut bool,
}

impl Sink<'_> {
    pub fn message(&mut self, pdu: &Pdu<'_>, origin: &mut Origin<'_>) {
        let is_first = !std::mem::replace(origin.has_messages, true);
        let code = CommandCode(pdu.header.code);
        let truncated = pdu.truncated.is_some();
        let payload = Payload { bytes: pdu.payload, encoding: Encoding::Json, truncated };
        let facts = self.indexer.index(code, payload, &mut self.output.texts);
        let payload = self.keep(pdu.place, pdu.payload);
        let seen = Seen {
            connection: self.connection,
            side: origin.side,
            stamp: pdu.stamp,
            begun: pdu.begun,
            encoding: Encoding::Json,
            binding: Binding::Tcp,
            tls: origin.tls,
            header: pdu.header,
            payload,
            length: (u32::from(pdu.length), pdu.payload.len() as u32),
            facts,
            framing: FramingFacts {
                truncated: pdu.truncated,
                skipped: pdu.skipped,
                joined: is_first && !origin.from_the_start && pdu.gap == 0,
                gap: pdu.gap,
                little_endian: pdu.little_endian,
                counts_header: pdu.counts_header,
                incomplete_stream: origin.midway,
            },
        };
        self.seen(seen, pdu.placed);
    }

    /// Where a payload lies: in the capture, or else with what was reassembled.
    pub fn keep(&mut self, place: Option<Place>, payload: &[u8]) -> Place {
        place.unwrap_or_else(|| {
            let start = self.output.reassembled.len() as u64;
            self.output.reassembled.extend_from_slice(payload);
            Place::in_arena(0, start)
        })
    }

    /// Hands on a message that is placed at a packet.
    pub fn seen(&mut self, seen: Seen, placed: Option<u32>) {
        self.output.messages.push(seen);
        // What the end of its stream cuts short is known only now, and placed now.
        let packet = placed.unwrap_or(self.now.packet);
        self.push(packet, Found::Message(self.output.messages.len() as u32 - 1));
    }

    pub fn ended(&mut self, side: Side) {
        self.push(self.now.packet, Found::Ended { connection: self.connection, side, time: self.now.time });
    }

    /// A call over gRPC failed otherwise than by a failure response.
    pub fn call_failed(&mut self, stream: u32, status: Option<u32>, at: Stamp) {
        self.push(at.packet, Found::CallFailed { stream, status, time: at.time });
    }

    fn push(&mut self, packet: u32, found: Found) {
        let key = packet.max(self.floor.min(self.now.packet));
        let event = Event { key, packet, delivered: self.now.packet, connection: self.connection, output: 0, found };
        self.output.events.push(event);
    }

    pub fn tap(&mut self, layer: Layer, side: Side, piece: &Piece<'_>) {
        let connection = self.connection;
        if self.tap.wants(connection, side, layer) {
            let part = match piece {
                Piece::Bytes { bytes, stamp, .. } => Part::Bytes(bytes.to_vec(), *stamp),
                Piece::Gap { bytes, .. } => Part::Gap(*bytes),
            };
            self.output.tapped.push(Tapped { connection, side, layer, part });
        }
    }
}
