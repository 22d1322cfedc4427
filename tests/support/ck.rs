//! Ck over TCP between KMs and a controller, byte by byte.

use super::{NANOSECONDS, Order, Pcap};

const CONTROLLER: ([u8; 4], u16) = ([192, 0, 2, 1], 4164);

/// A capture of KMs that dial one controller.
pub struct Conversation {
    pcap: Pcap,
    /// Next sequence number by KM and sender.
    sequence: [[u32; 2]; 10],
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Km,
    Controller,
}

impl Conversation {
    pub fn new() -> Self {
        Self { pcap: Pcap::new(Order::Little, NANOSECONDS, 1), sequence: [[1000; 2]; 10] }
    }

    /// KM `km` (192.0.2.10 + km) and the controller exchange a message at `micros` after 2026-01-05T09:00:00Z.
    pub fn say(&mut self, micros: u32, km: u8, from: From, (code, id): (u16, u32), payload: &str) -> &mut Self {
        let mut pdu = 1_u16.to_be_bytes().to_vec();
        pdu.extend(id.to_be_bytes());
        pdu.extend(code.to_be_bytes());
        pdu.extend((payload.len() as u16).to_be_bytes());
        pdu.extend(payload.as_bytes());
        self.segment(micros, km, from, 0x18, &pdu)
    }

    /// Both sides close the connection.
    pub fn close(&mut self, micros: u32, km: u8) -> &mut Self {
        self.segment(micros, km, From::Km, 0x11, &[]).segment(micros + 1, km, From::Controller, 0x11, &[])
    }

    /// A KM opens its connection.
    pub fn open(&mut self, micros: u32, km: u8) -> &mut Self {
        self.segment(micros, km, From::Km, 0x02, &[]).segment(micros + 1, km, From::Controller, 0x12, &[])
    }

    /// Leaves `bytes` of a stream out of the capture.
    pub fn lose(&mut self, km: u8, from: From, bytes: u32) -> &mut Self {
        self.sequence[usize::from(km)][from as usize] += bytes;
        self
    }

    pub fn segment(&mut self, micros: u32, km: u8, from: From, flags: u8, payload: &[u8]) -> &mut Self {
        let ends = [([192, 0, 2, 10 + km], 40_000 + u16::from(km)), CONTROLLER];
        let (source, destination) = if from == From::Km { (ends[0], ends[1]) } else { (ends[1], ends[0]) };
        let sequence = &mut self.sequence[usize::from(km)];
        let mut tcp = [source.1.to_be_bytes(), destination.1.to_be_bytes()].concat();
        tcp.extend(sequence[from as usize].to_be_bytes());
        tcp.extend(sequence[1 - from as usize].to_be_bytes());
        tcp.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend(payload);
        sequence[from as usize] += payload.len() as u32 + u32::from(flags & 3 != 0);
        let mut packet = vec![2; 12];
        packet.extend([8, 0, 0x45, 0]);
        packet.extend((tcp.len() as u16 + 20).to_be_bytes());
        packet.extend([0, 1, 0, 0, 64, 6, 0, 0]);
        packet.extend([source.0, destination.0].concat());
        packet.extend(tcp);
        self.pcap.packet(1_767_603_600 + micros / 1_000_000, micros % 1_000_000 * 1000, &packet);
        self
    }

    pub fn bytes(&self) -> &[u8] {
        &self.pcap.bytes
    }
}
