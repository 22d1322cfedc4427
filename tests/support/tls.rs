//! TLS connections as recorded, and what a session makes of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ckscope::capture::Batch;
use ckscope::capture::file::Reader;
use ckscope::packet::{PacketParser, Parsed};
use ckscope::stream::{Arrival, ConnectionTable, GapCause, Piece, Side, Stamp, Stream};
use ckscope::time::Timestamp;
use ckscope::tls::{Facts, Secrets, Session};

pub const SIDES: [Side; 2] = [Side::Initiator, Side::Responder];

/// A piece that owns its bytes.
#[derive(Clone, Debug)]
pub enum Chunk {
    Bytes(Vec<u8>, Stamp),
    Gap(u64),
}

/// Both directions of a connection, in the order in which they were captured.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub chunks: Vec<(Side, Chunk)>,
    pub from_the_start: bool,
}

impl Default for Recorded {
    fn default() -> Self {
        Self { chunks: Vec::new(), from_the_start: true }
    }
}

pub fn stamp(packet: u32) -> Stamp {
    Stamp { packet, time: Timestamp(i64::from(packet)) }
}

impl Recorded {
    pub fn say(&mut self, side: Side, bytes: &[u8]) {
        self.chunks.push((side, Chunk::Bytes(bytes.to_vec(), stamp(self.chunks.len() as u32 + 1))));
    }

    /// The same bytes in pieces of at most `size`.
    pub fn cut(&self, size: usize) -> Self {
        let mut cut = Self { chunks: Vec::new(), from_the_start: self.from_the_start };
        for (side, chunk) in &self.chunks {
            match chunk {
                Chunk::Bytes(bytes, stamp) => {
                    cut.chunks.extend(bytes.chunks(size).map(|part| (*side, Chunk::Bytes(part.to_vec(), *stamp))));
                }
                gap => cut.chunks.push((*side, gap.clone())),
            }
        }
        cut
    }

    /// The same bytes, a TLS record per piece; all of a direction must be whole records.
    pub fn by_record(&self) -> Self {
        let mut waiting = [Vec::new(), Vec::new()];
        let mut cut = Self::default();
        for (side, chunk) in &self.chunks {
            let Chunk::Bytes(bytes, _) = chunk else { panic!("a gap") };
            let waiting = &mut waiting[*side as usize];
            waiting.extend_from_slice(bytes);
            while let Some(&[_, _, _, high, low]) = waiting.first_chunk() {
                let length = 5 + usize::from(u16::from_be_bytes([high, low]));
                if waiting.len() < length {
                    break;
                }
                let record: Vec<u8> = waiting.drain(..length).collect();
                cut.say(*side, &record);
            }
        }
        cut
    }

    /// What a session that is given `secrets` from the start makes of it.
    pub fn decrypt(&self, secrets: &Secrets) -> Decrypted {
        let (mut session, mut found) = (Session::new(false), Decrypted::default());
        self.feed(&mut session, secrets, &mut found);
        found.finish(session, secrets)
    }

    pub fn feed(&self, session: &mut Session, secrets: &Secrets, found: &mut Decrypted) {
        for (side, chunk) in &self.chunks {
            let piece = match chunk {
                Chunk::Bytes(bytes, stamp) => Piece::Bytes { bytes, place: None, stamp: *stamp },
                Chunk::Gap(bytes) => Piece::Gap { bytes: *bytes, cause: GapCause::NotCaptured, until: None },
            };
            session.piece(*side, self.from_the_start, piece, secrets, &mut |side, piece| found.add(side, piece));
        }
    }
}

/// What was delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decrypted {
    /// By side.
    pub bytes: [Vec<u8>; 2],
    /// The same by the packet that completed its record.
    pub by_packet: BTreeMap<u32, Vec<u8>>,
    /// Where in `bytes` gaps lie.
    pub gaps: Vec<(usize, usize)>,
    pub facts: Facts,
}

impl Decrypted {
    pub fn add(&mut self, side: Side, piece: Piece<'_>) {
        match piece {
            Piece::Bytes { bytes, stamp, .. } => {
                self.bytes[side as usize].extend_from_slice(bytes);
                self.by_packet.entry(stamp.packet).or_default().extend_from_slice(bytes);
            }
            Piece::Gap { .. } => self.gaps.push((side as usize, self.bytes[side as usize].len())),
        }
    }

    pub fn finish(mut self, mut session: Session, secrets: &Secrets) -> Self {
        SIDES.iter().for_each(|&side| session.end(side, secrets, &mut |side, piece| self.add(side, piece)));
        session.give_up(secrets, &mut |side, piece| self.add(side, piece));
        assert_eq!(session.held_bytes(), 0, "nothing waits after the end");
        assert_eq!(session.held_since(), None, "nothing waits after the end");
        self.facts = session.facts().clone();
        self
    }

    /// What the TLS client sent, and what the server.
    pub fn by_role(&self) -> [&[u8]; 2] {
        let client = self.facts.client.unwrap_or(Side::Initiator);
        [&self.bytes[client as usize], &self.bytes[client.other() as usize]]
    }
}

/// The capture file in the folder of captures from other hands.
pub fn shared_capture(name: &str) -> Option<PathBuf> {
    let folder = super::shared_captures()?.join(name);
    ["capture.pcapng", "capture.pcap"].into_iter().map(|file| folder.join(file)).find(|path| path.is_file())
}

pub fn secrets(key_log: &str) -> Secrets {
    let mut secrets = Secrets::default();
    secrets.add(key_log.as_bytes());
    secrets
}

/// The connections of a capture, in order, and the secrets it carries.
pub fn connections(path: &Path) -> (Vec<Recorded>, Secrets) {
    let (mut reader, errors) = Reader::open(&[path.to_owned()]);
    assert!(errors.is_empty(), "{errors:?}");
    let (mut parser, mut table, mut batch) = (PacketParser::new(), ConnectionTable::default(), Batch::default());
    let (mut streams, mut recorded): (Vec<[Stream; 2]>, Vec<Recorded>) = (Vec::new(), Vec::new());
    let mut number = 0;
    while reader.read_batch(&mut batch, 64) {
        for packet in &batch.packets {
            number += 1;
            let bytes = batch.bytes(packet);
            let Parsed::Segment(segment) = parser.parse(packet.link, bytes, packet.original, packet.time) else {
                continue;
            };
            let payload = segment.payload.bytes(bytes).to_vec();
            let located = table.locate(&segment, table.seek(&segment), payload.len() as u32);
            if located.is_new {
                streams.push(Default::default());
                recorded.push(Recorded::default());
            }
            let side = if located.from_initiator { Side::Initiator } else { Side::Responder };
            let stamp = Stamp { packet: number, time: packet.time };
            let arrival = Arrival {
                stamp,
                sequence: segment.sequence,
                flags: segment.flags,
                bytes: &payload,
                place: None,
                missing: segment.missing,
            };
            let into = &mut recorded[located.connection as usize];
            into.from_the_start &= located.initial.is_some();
            streams[located.connection as usize][side as usize].arrived(&arrival, &mut |piece| into.take(side, piece));
        }
    }
    for (streams, into) in streams.iter_mut().zip(&mut recorded) {
        SIDES.iter().for_each(|&side| streams[side as usize].end(&mut |piece| into.take(side, piece)));
    }
    let mut secrets = Secrets::default();
    reader.tls_key_logs(0).for_each(|log| _ = secrets.add(log));
    (recorded, secrets)
}

impl Recorded {
    fn take(&mut self, side: Side, piece: Piece<'_>) {
        self.chunks.push(match piece {
            Piece::Bytes { bytes, stamp, .. } => (side, Chunk::Bytes(bytes.to_vec(), stamp)),
            Piece::Gap { bytes, .. } => (side, Chunk::Gap(bytes)),
        });
    }
}

/// The key logs that a capture carries.
pub fn key_log(path: &Path) -> String {
    let (reader, _) = Reader::open(&[path.to_owned()]);
    let logs: Vec<u8> = reader.key_logs_ahead().concat();
    String::from_utf8(logs).expect("a key log is text")
}
