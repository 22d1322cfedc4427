//! What fuzzers call: one function per stage that meets hostile bytes. Each takes any bytes, and must neither panic nor
//! take long. `fuzz/` has a target for each; `tests/fuzz_corpus.rs` runs them without a fuzzer.

use std::io;
use std::sync::{Arc, LazyLock};

use crate::analyzer::{Analyzer, Options};
use crate::capture::file::Reader;
use crate::capture::{Batch, LinkType};
use crate::dissect::{CommandCode, Decoded, Definitions, Encoding, Payload};
use crate::framing::http2::Http2;
use crate::framing::{CommandCodes, Framer};
use crate::journal::View;
use crate::output::jsonl;
use crate::packet::{Flags, PacketParser};
use crate::stream::{Arrival, GapCause, Piece, Side, Stamp, Stream};
use crate::time::Timestamp;
use crate::tls::{Secrets, Session};

/// Small, so that few packets meet the ends of many batches.
const BATCH: usize = 7;

static Q4164: LazyLock<Arc<Definitions>> = LazyLock::new(|| Arc::new(Definitions::q4164()));

/// A capture file, of whatever format and compression.
pub fn capture_file(bytes: &[u8]) {
    each_batch(bytes, |batch| batch.packets.iter().for_each(|packet| drop(batch.bytes(packet).to_vec())));
}

/// One packet, behind its link type.
pub fn packet(bytes: &[u8]) {
    let Some((link, packet)) = bytes.split_first_chunk() else { return };
    let mut parser = PacketParser::new();
    // Twice, so that a fragment finds its like.
    for _ in 0..2 {
        parser.parse(LinkType(u16::from_be_bytes(*link)), packet, packet.len() as u32, Timestamp(0));
    }
}

/// One direction of a connection, as a list of segments: by how much the sequence number goes on, and the
/// acknowledgment; flags; how much the snapshot length cut; how many of the bytes that follow it carries.
pub fn stream(mut bytes: &[u8]) {
    let definitions = &*Q4164;
    let codes = CommandCodes::new(
        definitions.messages.iter().map(|message| message.code.0),
        definitions.directions.iter().map(|&(prefix, _)| prefix),
    );
    let (mut stream, mut framer, mut found) = (Stream::default(), Framer::new(true, false), 0);
    let (mut sequence, mut acknowledged) = (0u32, 0u32);
    let mut stamp = Stamp { packet: 0, time: Timestamp(0) };
    while let Some((&[onward, acknowledgment, flags, missing, length], rest)) = bytes.split_first_chunk() {
        let (payload, rest) = rest.split_at(rest.len().min(length.into()));
        bytes = rest;
        sequence = sequence.wrapping_add_signed(i32::from(onward.cast_signed()));
        acknowledged = acknowledged.wrapping_add_signed(i32::from(acknowledgment.cast_signed()));
        stamp = Stamp { packet: stamp.packet + 1, time: Timestamp(stamp.time.0 + 20_000_000) };
        let missing = u32::from(missing);
        let arrival = Arrival { stamp, sequence, flags: Flags(flags), bytes: payload, place: None, missing };
        let mut sink = |piece: Piece<'_>| framer.piece(&codes, piece, &mut |_| found += 1);
        stream.arrived(&arrival, &mut sink);
        stream.acknowledged(Some(acknowledged), stamp.time, &mut sink);
        sequence = sequence.wrapping_add(payload.len() as u32);
    }
    stream.end(&mut |piece| framer.piece(&codes, piece, &mut |_| found += 1));
    framer.end(&codes, &mut |_| found += 1);
}

/// A connection over TLS: a key log behind its length, and pieces of both streams. Each begins with what it is (bit 0:
/// whose; bit 1: a gap; bit 2: the key log comes now), and its length, of a gap in multiples of 2 to the bits above.
pub fn tls(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk() else { return };
    let (key_log, mut rest) = rest.split_at(rest.len().min(u16::from_be_bytes(*length).into()));
    let (mut session, mut secrets, mut delivered) = (Session::new(true), Secrets::default(), 0);
    let mut stamp = Stamp { packet: 0, time: Timestamp(0) };
    let mut deliver = |_: Side, piece: Piece<'_>| delivered += usize::from(matches!(piece, Piece::Bytes { .. }));
    while let Some((&[what, high, low], after)) = rest.split_first_chunk() {
        let length = u16::from_be_bytes([high, low]);
        stamp.packet += 1;
        let side = if what & 1 == 0 { Side::Initiator } else { Side::Responder };
        if what & 4 != 0 && secrets.add(key_log).secrets > 0 {
            session.retry(&secrets, &mut deliver);
        }
        let (payload, after) = after.split_at(if what & 2 == 0 { after.len().min(length.into()) } else { 0 });
        rest = after;
        let gap = Piece::Gap { bytes: u64::from(length) << (what >> 3), cause: GapCause::NotCaptured, until: None };
        let piece = if what & 2 == 0 { Piece::Bytes { bytes: payload, place: None, stamp } } else { gap };
        session.piece(side, true, piece, &secrets, &mut deliver);
    }
    [Side::Initiator, Side::Responder].into_iter().for_each(|side| session.end(side, &secrets, &mut deliver));
    session.give_up(&secrets, &mut deliver);
    assert_eq!(session.held_bytes(), 0, "nothing waits after the end");
}

/// Both directions of a connection of HTTP/2, as a list of pieces: a byte whose bits say which side's it is, whether
/// it is missing, and, of the first, whether the connection was joined midway; how many of the bytes that follow it has.
pub fn http2(mut bytes: &[u8]) {
    const SERVER: u8 = 1;
    const MISSING: u8 = 2;
    const MIDWAY: u8 = 4;
    let midway = bytes.first().is_some_and(|first| first & MIDWAY != 0);
    let (mut http2, mut found) = (Http2::new(), 0);
    let mut stamp = Stamp { packet: 0, time: Timestamp(0) };
    while let Some((&[kind, length], rest)) = bytes.split_first_chunk() {
        let (piece, rest) = rest.split_at(rest.len().min(length.into()));
        bytes = rest;
        stamp.packet += 1;
        let piece = match kind & MISSING {
            0 if piece.is_empty() => continue,
            0 => Piece::Bytes { bytes: piece, place: None, stamp },
            _ => Piece::Gap { bytes: length.into(), cause: GapCause::NotCaptured, until: Some(stamp) },
        };
        let side = if kind & SERVER == 0 { Side::Initiator } else { Side::Responder };
        http2.piece(side, !midway, piece, &mut |_| found += 1);
    }
    [Side::Initiator, Side::Responder].into_iter().for_each(|side| http2.end(side, &mut |_| found += 1));
}

/// A message of gRPC, of whichever kind it can be.
pub fn protobuf(bytes: &[u8]) {
    let schemas = Q4164.schemas();
    let named = ["NotifyKeyRelay", "KeyRelay", "KeyReservation", "KeyAllocation"].map(|method| {
        schemas.method(&format!("/qkdn.ck.v1.CkInterface/{method}")).expect("the built-in schema has it")
    });
    let ends = named.into_iter().flat_map(|method| [method.input, method.output]).chain([schemas.guess(bytes)]);
    for schema in ends.flatten() {
        let payload = Payload { bytes, encoding: Encoding::Protobuf(schema), truncated: false };
        Decoded::new(&Q4164, schemas.code(schema), payload);
    }
}

/// A payload, behind its command code.
pub fn payload(bytes: &[u8]) {
    let Some((code, payload)) = bytes.split_first_chunk() else { return };
    let code = CommandCode(u16::from_be_bytes(*code));
    for truncated in [false, true] {
        Decoded::new(&Q4164, code, Payload { bytes: payload, encoding: Encoding::Json, truncated });
    }
}

/// A capture file, the whole way to what is printed.
pub fn analyzer(bytes: &[u8]) {
    let mut analyzer = Analyzer::new(Options::new(Arc::clone(&Q4164)));
    let Some(reader) = each_batch(bytes, |batch| analyzer.batch(batch)) else { return };
    analyzer.finish();
    let view = View { journal: analyzer.journal(), blocks: reader.blocks() };
    let (records, procedures) = (view.journal.records.len() as u32, view.journal.procedures.len() as u32);
    let printed = (0..records).try_for_each(|index| jsonl::message(&mut io::sink(), view, index));
    let (mut lines, mut line) = (jsonl::Procedures::new(view), Vec::new());
    for index in 0..procedures {
        lines.write(&mut line, index);
        line.clear();
    }
    printed.expect("every value can be printed");
}

fn each_batch(bytes: &[u8], mut take: impl FnMut(&Batch)) -> Option<Reader> {
    let mut reader = Reader::of_bytes("fuzz", bytes).ok()?;
    let mut batch = Batch::default();
    while reader.read_batch(&mut batch, BATCH) {
        take(&batch);
    }
    Some(reader)
}
