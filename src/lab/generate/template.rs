//! Packets as prebuilt pcapng blocks, in which only what differs from packet to packet is replaced.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::capture::spool::Spool;
use crate::lab::dialect::{Dialect, Message, Outcome, Parameter as P};
use crate::lab::link::Link;
use crate::lab::random::Random;
use crate::lab::setup::PORT;
use crate::lab::tcp::{ACK, Ip, PSH, SYN, Segment, WINDOW, fold, sum};
use crate::lab::wire::{Code, Pdu};
use crate::time::Timestamp;

/// The 13 messages in the order of their places in [`Templates::messages`].
pub(super) const MESSAGES: [Code; 13] = [
    Code::NEXT_HOP_REQUEST,
    Code::NEXT_HOP_RESPONSE,
    Code::RELAY_NOTIFICATION,
    Code::RELAY_REQUEST,
    Code::RELAY_RESPONSE,
    Code::SESSION_REQUEST,
    Code::SESSION_RESPONSE,
    Code::SESSION_NOTIFICATION,
    Code::SESSION_NOTIFICATION_RESPONSE,
    Code::RESERVATION_REQUEST,
    Code::RESERVATION_RESPONSE,
    Code::ALLOCATION_REQUEST,
    Code::ALLOCATION_RESPONSE,
];

/// What differs between payloads of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Number of the source KM, three digits.
    Source,
    /// Number of the destination KM, three digits.
    Destination,
    /// Number of the next KM, three digits.
    Next,
    /// Number of the key relay request, nine digits.
    Number,
    /// The exchange's first, second or third UUID.
    Uuid(u8),
}

/// Placeholders in the prebuilt payloads. Each is as long as what replaces it, and in no other text.
const PLACEHOLDERS: [(Slot, &str); 7] = [
    (Slot::Source, "S00"),
    (Slot::Destination, "D00"),
    (Slot::Next, "N00"),
    (Slot::Number, "R00000000"),
    (Slot::Uuid(0), "u0000000-0000-0000-0000-000000000000"),
    (Slot::Uuid(1), "v0000000-0000-0000-0000-000000000000"),
    (Slot::Uuid(2), "w0000000-0000-0000-0000-000000000000"),
];

/// One TCP connection between a KM and the controller.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    /// The KM, from 0.
    pub(super) km: u32,
    /// The KM's next MessageID.
    pub(super) km_id: u32,
    /// The controller's next MessageID to this KM.
    pub(super) controller_id: u32,
    port: u16,
    /// Next sequence numbers: the KM's, the controller's.
    next: [u32; 2],
    /// Milliseconds of its latest packet.
    latest: u32,
}

impl Flow {
    /// Connection number `nth` of a KM.
    pub(super) fn new(km: u32, nth: u32, random: &mut Random) -> Self {
        let bits = random.bits();
        let next = [bits as u32, (bits >> 32) as u32];
        // Ports from 10,000 on; the first MessageID tells connections apart in hex.
        let port = 10_000 + nth as u16;
        Self { km, km_id: (nth << 12) + 1, controller_id: 0x8000_0001 + (nth << 12), port, next, latest: 0 }
    }
}

/// A pcapng block with one packet.
#[derive(Debug)]
pub(super) struct Template {
    block: Vec<u8>,
    from_km: bool,
    /// Bytes of sequence space that the segment takes.
    occupies: u32,
    /// Bytes of TCP header and payload.
    length: usize,
    syn: bool,
    /// Offsets in the block.
    pub(super) slots: Vec<(Slot, usize)>,
}

/// Where things lie in a block: the packet after 28 bytes, then Ethernet, IPv4 without options, TCP.
const TIME: usize = 12;
const PACKET: usize = 28;
const IP: usize = PACKET + 14;
const TCP: usize = IP + 20;
/// Where the payload begins in a segment that is no SYN: 20 bytes and the timestamps option.
const PAYLOAD: usize = TCP + 32;

/// Last number of the first KM's address, 192.0.2.11.
const FIRST_HOST: u8 = 11;

impl Template {
    fn new(from_km: bool, flags: u8, payload: Vec<u8>) -> Self {
        let end = |host, port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)), port);
        let [km, controller] = [end(FIRST_HOST, 0), end(1, PORT)];
        let [source, destination] = if from_km { [km, controller] } else { [controller, km] };
        let time = Timestamp(0);
        let (sequence, acknowledgment, timestamps) = (0, 0, (0, 0));
        let syn = flags & SYN != 0;
        let occupies = payload.len() as u32 + u32::from(syn);
        let segment =
            Segment { time, source, destination, sequence, acknowledgment, flags, timestamps, window: WINDOW, payload };
        let frame = Link::Ethernet.frame(source.ip(), destination.ip(), &Ip::default().packets(&segment, 0)[0]);
        let length = frame.len() - (TCP - PACKET);
        let slots = slots(&segment.payload).map(|(slot, offset)| (slot, PAYLOAD + offset)).collect();
        Self { block: block(&frame), from_km, occupies, length, syn, slots }
    }

    /// Replaces the MessageID.
    pub(super) fn message_id(&mut self, id: u32) {
        self.put(PAYLOAD + 2, id.to_be_bytes());
    }

    /// Replaces `count` decimal digits.
    pub(super) fn digits(&mut self, offset: usize, count: usize, mut number: u64) {
        for digit in self.block[offset..offset + count].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }

    /// Replaces a UUID, whose dashes stand already (version 4, RFC 9562 5.4).
    pub(super) fn uuid(&mut self, offset: usize, random: &mut Random) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        /// Where the digits lie among the dashes.
        const PLACES: [usize; 32] = [
            0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 17, 19, 20, 21, 22, 24, 25, 26, 27, 28, 29, 30, 31, 32,
            33, 34, 35,
        ];
        let uuid: &mut [u8; 36] = self.block[offset..].first_chunk_mut().expect("a slot is as long as a UUID");
        for half in PLACES.chunks(16) {
            let mut bits = random.bits();
            for place in half {
                uuid[*place] = HEX[(bits & 15) as usize];
                bits >>= 4;
            }
        }
        uuid[14] = b'4';
        uuid[19] = b'a';
    }

    /// Writes the packet as the next of `flow`, and moves the flow on.
    pub(super) fn write(&mut self, out: &mut impl Write, now: Timestamp, flow: &mut Flow) -> io::Result<()> {
        let [mine, other] = if self.from_km { [0, 1] } else { [1, 0] };
        let time = now.0 as u64;
        self.put(TIME, ((time >> 32) as u32).to_le_bytes());
        self.put(TIME + 4, (time as u32).to_le_bytes());
        self.put(IP + 4, (flow.next[mine] as u16).to_be_bytes()); // identification
        let host = FIRST_HOST + flow.km as u8;
        let [address, port] = if self.from_km { [IP + 15, TCP] } else { [IP + 19, TCP + 2] };
        self.block[address] = host;
        // The Ethernet address ends as the IP address does.
        self.block[if self.from_km { PACKET + 11 } else { PACKET + 5 }] = host;
        self.put(port, flow.port.to_be_bytes());
        self.put(TCP + 4, flow.next[mine].to_be_bytes());
        let first = self.syn && self.from_km;
        self.put(TCP + 8, if first { 0 } else { flow.next[other] }.to_be_bytes());
        let milliseconds = (now.0 / 1_000_000) as u32;
        let timestamps = if self.syn { TCP + 28 } else { TCP + 24 };
        self.put(timestamps, milliseconds.to_be_bytes());
        self.put(timestamps + 4, flow.latest.to_be_bytes());
        self.checksums();
        flow.latest = milliseconds;
        flow.next[mine] = flow.next[mine].wrapping_add(self.occupies);
        out.write_all(&self.block)
    }

    fn checksums(&mut self) {
        self.put(IP + 10, [0, 0]);
        let header = fold(sum(&self.block[IP..TCP]));
        self.put(IP + 10, header.to_be_bytes());
        self.put(TCP + 16, [0, 0]);
        let addresses = sum(&self.block[IP + 12..TCP]);
        let segment = sum(&self.block[TCP..TCP + self.length]);
        // Protocol 6 and the length complete the pseudo header (RFC 9293 3.1).
        let checksum = fold(addresses + 6 + self.length as u64 + segment);
        self.put(TCP + 16, checksum.to_be_bytes());
    }

    fn put<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) {
        self.block[offset..offset + N].copy_from_slice(&bytes);
    }
}

/// The enhanced packet block of a frame.
fn block(frame: &[u8]) -> Vec<u8> {
    let section = Spool::new(Vec::new(), "").expect("memory takes all").into_inner().len();
    let mut spool = Spool::new(Vec::new(), "").expect("memory takes all");
    spool.packet(0, Timestamp(0), frame.len() as u32, frame, &[]).expect("memory takes all");
    spool.into_inner().split_off(section)
}

/// Where placeholders stand in a payload.
fn slots(payload: &[u8]) -> impl Iterator<Item = (Slot, usize)> {
    PLACEHOLDERS.iter().flat_map(|&(slot, text)| {
        let found = payload.windows(text.len()).enumerate().filter(|(_, window)| *window == text.as_bytes());
        found.map(move |(offset, _)| (slot, offset))
    })
}

/// All packets there are.
#[derive(Debug)]
pub(super) struct Templates {
    /// SYN, SYN ACK, ACK.
    pub(super) handshake: [Template; 3],
    /// By place in [`MESSAGES`].
    pub(super) messages: Vec<Template>,
}

impl Templates {
    pub(super) fn new() -> Self {
        let handshake = [(true, SYN), (false, SYN | ACK), (true, ACK)];
        Self {
            handshake: handshake.map(|(from_km, flags)| Template::new(from_km, flags, Vec::new())),
            messages: MESSAGES.map(message_template).into(),
        }
    }
}

fn message_template(code: Code) -> Template {
    let payload = Dialect::default().write(&message(code)).into_bytes();
    let bytes = Pdu { version: 1, message_id: 0, code, payload }.encode();
    let from_km = code.0 >> 8 == 0x14; // Q.4164 Table I.1, the text below it
    Template::new(from_km, ACK | PSH, bytes)
}

/// The message with placeholders for what differs.
fn message(code: Code) -> Message {
    let message = Message::new(code);
    let uuids = [4, 5, 6].map(|place: usize| PLACEHOLDERS[place].1.to_owned());
    let [source, destination] = ["KMA-S00.qkdn.operator.example", "KMA-D00.qkdn.operator.example"];
    let [from, to] = ["app-S00.sae.qkdn.operator.example", "app-D00.sae.qkdn.operator.example"];
    let route = |message: Message| message.text(P::SourceKmaId, source).text(P::DestinationKmaId, destination);
    let next = "KMA-N00.qkdn.operator.example".to_owned();
    let relay = "KRR-R00000000";
    match code {
        Code::NEXT_HOP_RESPONSE => route(message).list(P::NextKmaIds, &[next]),
        Code::RELAY_REQUEST => {
            let second = "KMA-D00.west.qkdn.operator.example".to_owned();
            route(message).list(P::TransitKmaIds, &[next, second]).text(P::KeyRelayRequestId, relay)
        }
        Code::RELAY_RESPONSE => message.outcome(&Outcome::Success).text(P::KeyRelayRequestId, relay),
        Code::SESSION_REQUEST => applications(message, from, to).number(P::NumberOfKeys, Some(16)),
        Code::SESSION_NOTIFICATION => applications(message, from, to)
            .text(P::SessionId, &uuids[0])
            .text(P::SourceKmId, "KM-S00.qkdn.operator.example")
            .number(P::NumberOfKeys, Some(16)),
        Code::SESSION_NOTIFICATION_RESPONSE => message.text(P::SessionId, &uuids[0]).outcome(&Outcome::Success),
        Code::SESSION_RESPONSE => message
            .text(P::SessionId, &uuids[0])
            .outcome(&Outcome::Success)
            .text(P::DestinationKmId, "KM-D00.qkdn.operator.example"),
        Code::RESERVATION_RESPONSE => route(message).list(P::KeyIds, &uuids).outcome(&Outcome::Success),
        Code::ALLOCATION_REQUEST => route(message).list(P::KeyIds, &uuids),
        Code::ALLOCATION_RESPONSE => route(message).outcome(&Outcome::Success),
        _ => route(message).text(P::ApplicationDestinationId, to),
    }
}

fn applications(message: Message, from: &str, to: &str) -> Message {
    message.text(P::ApplicationSourceId, from).text(P::ApplicationDestinationId, to)
}
