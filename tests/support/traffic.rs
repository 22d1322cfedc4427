//! TCP connections packet by packet, with every number in the tester's hand.

use ckscope::capture::{Batch, Block, LinkType, Packet};
use ckscope::place::Place;
use ckscope::time::{Span, Timestamp};

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

/// Between two packets, unless something else is asked for.
const INTERVAL: Span = Span(100_000);
/// Link type RAW: packets begin with IP.
const RAW: LinkType = LinkType(101);

/// A connection between 10.1.x.x and 10.0.0.1: side 0 dials.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    pub ends: [([u8; 4], u16); 2],
    /// Initial sequence numbers, by side.
    pub initial: [u32; 2],
}

/// A piece of a side's stream.
#[derive(Clone, Debug)]
pub struct Segment<'a> {
    pub side: usize,
    /// Where in the stream it begins.
    pub from: usize,
    pub bytes: &'a [u8],
    /// How much of the other side's stream it acknowledges.
    pub acknowledged: usize,
}

impl Segment<'_> {
    /// Whether the byte at this position of a side's stream lies in it.
    pub fn brings(&self, side: usize, position: usize) -> bool {
        self.side == side && (self.from..self.from + self.bytes.len()).contains(&position)
    }
}

impl Connection {
    /// The `number`-th connection to the port of the sample captures.
    pub fn new(number: u16, initial: [u32; 2]) -> Self {
        let [high, low] = number.to_be_bytes();
        Self { ends: [([10, 1, high, low], 40_000), ([10, 0, 0, 1], 4164)], initial }
    }

    pub fn syn(&self) -> Vec<u8> {
        self.packet(0, self.initial[0], None, SYN, &[])
    }

    pub fn syn_ack(&self) -> Vec<u8> {
        self.packet(1, self.initial[1], Some(self.initial[0].wrapping_add(1)), SYN, &[])
    }

    pub fn segment(&self, segment: &Segment<'_>) -> Vec<u8> {
        let Segment { side, from, bytes, acknowledged } = *segment;
        self.packet(side, self.sequence(side, from), Some(self.sequence(1 - side, acknowledged)), 0, bytes)
    }

    pub fn fin(&self, side: usize, from: usize, acknowledged: usize) -> Vec<u8> {
        self.packet(side, self.sequence(side, from), Some(self.sequence(1 - side, acknowledged)), FIN, &[])
    }

    /// The sequence number of a position in a side's stream.
    fn sequence(&self, side: usize, position: usize) -> u32 {
        self.initial[side].wrapping_add(1).wrapping_add(position as u32)
    }

    fn packet(&self, side: usize, sequence: u32, acknowledgment: Option<u32>, flags: u8, payload: &[u8]) -> Vec<u8> {
        let [(source, source_port), (destination, destination_port)] = [self.ends[side], self.ends[1 - side]];
        let mut bytes = vec![0x45, 0];
        bytes.extend((40 + payload.len() as u16).to_be_bytes());
        bytes.extend([0, 1, 0, 0, 64, 6, 0, 0]);
        bytes.extend(source);
        bytes.extend(destination);
        bytes.extend(source_port.to_be_bytes());
        bytes.extend(destination_port.to_be_bytes());
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(acknowledgment.unwrap_or_default().to_be_bytes());
        bytes.extend([0x50, flags | if acknowledgment.is_some() { ACK } else { 0 }, 0xff, 0xff, 0, 0, 0, 0]);
        bytes.extend(payload);
        bytes
    }
}

/// Packets in the order captured.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    bytes: Vec<u8>,
    packets: Vec<Packet>,
    now: Span,
}

impl Captured {
    pub fn push(&mut self, packet: &[u8]) -> &mut Self {
        self.packets.push(Packet {
            time: Timestamp(0) + self.now,
            offset: self.bytes.len() as u64,
            captured: packet.len() as u32,
            original: packet.len() as u32,
            link: RAW,
            block: 0,
            interface: 0,
        });
        self.bytes.extend(packet);
        self.pause(INTERVAL)
    }

    pub fn pause(&mut self, pause: Span) -> &mut Self {
        self.now = Span(self.now.0 + pause.0);
        self
    }

    /// SYN and SYN ACK.
    pub fn open(&mut self, connection: &Connection) -> &mut Self {
        self.push(&connection.syn()).push(&connection.syn_ack())
    }

    /// Bytes on the wire.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn batch(self) -> Batch {
        Batch { blocks: vec![Block::new(self.bytes, Place::in_capture(0))], packets: self.packets, ..Batch::default() }
    }
}
