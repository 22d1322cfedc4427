//! A small capture in memory: frames, the interfaces they were taken on, and the kind of file they go into.

use std::io::{self, Write};
use std::net::IpAddr;

use super::link::Link;
use super::tcp::{Ip, Segment};
use crate::capture::spool::{Interface, PcapFormat, PcapWriter, Spool, TLS_KEY_LOG};
use crate::time::{Span, Timestamp};

/// One captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When.
    pub time: Timestamp,
    /// Which of [`Capture::interfaces`].
    pub interface: u32,
    /// Bytes on the wire.
    pub original: u32,
    /// Bytes captured.
    pub bytes: Vec<u8>,
    /// Comments, which only pcapng can keep.
    pub comments: Vec<String>,
}

/// The kind of file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// pcapng.
    #[default]
    Pcapng,
    /// Classic pcap.
    Pcap(PcapFormat),
}

/// What is around the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Nothing.
    #[default]
    None,
    /// gzip (RFC 1952) with stored blocks, so that no library's version decides the bytes.
    Gzip,
    /// Zstandard (RFC 8878) with raw blocks, for the same reason.
    Zstd,
}

/// The capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// The kind of file.
    pub format: Format,
    /// What is around it.
    pub compression: Compression,
    /// At least one; classic pcap keeps only the first's link type.
    pub interfaces: Vec<Interface>,
    /// Names of addresses, which only pcapng can keep.
    pub names: Vec<(IpAddr, String)>,
    /// TLS secrets as an NSS key log, which only pcapng can keep.
    pub secrets: Vec<u8>,
    /// In capture order.
    pub frames: Vec<Frame>,
}

impl Capture {
    /// What one interface of this link layer captured of `segments`.
    pub fn of(segments: &[Segment], link: Link, ip: Ip) -> Self {
        let mut capture = Self::default();
        capture.add(segments, link, ip, "lab0");
        capture
    }

    /// Adds what one more interface captured; frames stay in the order in which they are added.
    pub fn add(&mut self, segments: &[Segment], link: Link, ip: Ip, name: &str) {
        let interface = self.interfaces.len() as u32;
        self.interfaces.push(Interface { link: link.link_type(), snaplen: 0, name: name.to_owned() });
        for segment in segments {
            // Any number that differs between the packets whose fragments could meet will do.
            let identification = (segment.sequence.wrapping_mul(0x9e37_79b1) >> 16) as u16;
            for (part, packet) in ip.packets(segment, identification).iter().enumerate() {
                let bytes = link.frame(segment.source.ip(), segment.destination.ip(), packet);
                let time = segment.time + Span(part as i64 * 1_000);
                let original = bytes.len() as u32;
                self.frames.push(Frame { time, interface, original, bytes, comments: Vec::new() });
            }
        }
    }

    /// Cuts every frame at `snaplen` bytes, as a capture with `-s` does.
    pub fn cut(&mut self, snaplen: u32) {
        self.interfaces.iter_mut().for_each(|interface| interface.snaplen = snaplen);
        self.frames.iter_mut().for_each(|frame| frame.bytes.truncate(snaplen as usize));
    }

    /// The whole file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let plain = match self.format {
            Format::Pcapng => self.pcapng(),
            Format::Pcap(format) => self.pcap(format),
        };
        let plain = plain.expect("writing to memory does not fail");
        match self.compression {
            Compression::None => plain,
            Compression::Gzip => gzip(&plain),
            Compression::Zstd => zstd(&plain),
        }
    }

    /// Writes the whole file.
    pub fn write(&self, mut out: impl Write) -> io::Result<()> {
        out.write_all(&self.to_bytes())?;
        out.flush()
    }

    fn pcapng(&self) -> io::Result<Vec<u8>> {
        let mut spool = Spool::new(Vec::new(), "ckscope lab")?;
        for interface in &self.interfaces {
            spool.interface(interface)?;
        }
        if !self.names.is_empty() {
            let names: Vec<_> = self.names.iter().map(|(address, name)| (*address, &**name)).collect();
            spool.names(&names)?;
        }
        if !self.secrets.is_empty() {
            spool.secrets(TLS_KEY_LOG, &self.secrets)?; // before the packets that need them
        }
        for frame in &self.frames {
            let comments: Vec<&str> = frame.comments.iter().map(String::as_str).collect();
            spool.packet(frame.interface, frame.time, frame.original, &frame.bytes, &comments)?;
        }
        Ok(spool.into_inner())
    }

    fn pcap(&self, format: PcapFormat) -> io::Result<Vec<u8>> {
        let interface = &self.interfaces[0];
        let mut writer = PcapWriter::new(Vec::new(), format, interface.link, interface.snaplen)?;
        for frame in &self.frames {
            writer.packet(frame.time, frame.original, &frame.bytes)?;
        }
        Ok(writer.into_inner())
    }
}

/// RFC 1952 around RFC 1951 stored blocks.
fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let blocks = plain.chunks(usize::from(u16::MAX));
    let last = blocks.len() - 1;
    for (number, block) in blocks.enumerate() {
        let length = block.len() as u16;
        bytes.push(u8::from(number == last));
        bytes.extend(length.to_le_bytes());
        bytes.extend((!length).to_le_bytes());
        bytes.extend(block);
    }
    let mut crc = flate2::Crc::new();
    crc.update(plain);
    bytes.extend(crc.sum().to_le_bytes());
    bytes.extend((plain.len() as u32).to_le_bytes());
    bytes
}

/// RFC 8878 3.1.1: one frame, single segment, content size in four bytes, raw blocks.
fn zstd(plain: &[u8]) -> Vec<u8> {
    const LARGEST_BLOCK: usize = 128 * 1024;
    let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    bytes.extend((plain.len() as u32).to_le_bytes());
    let blocks = plain.chunks(LARGEST_BLOCK);
    let last = blocks.len() - 1;
    for (number, block) in blocks.enumerate() {
        let header = u32::from(number == last) | (block.len() as u32) << 3;
        bytes.extend(&header.to_le_bytes()[..3]);
        bytes.extend(block);
    }
    bytes
}
