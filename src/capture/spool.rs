//! Capture writers. In: packets with their times. Out: pcapng (the spool that live and proxy append to) or
//! classic pcap, over any [`Write`]. Refuses to know what the packets mean.

use std::io::{self, Write};
use std::net::IpAddr;

use super::LinkType;
use crate::time::Timestamp;

/// Block types (pcapng draft, section 11.1).
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const NAME_RESOLUTION: u32 = 4;
const ENHANCED_PACKET: u32 = 6;
const DECRYPTION_SECRETS: u32 = 10;

/// Option codes (pcapng draft, sections 3.5, 4.1 and 4.2).
const OPTION_COMMENT: u16 = 1;
const OPTION_APPLICATION: u16 = 4;
const OPTION_INTERFACE_NAME: u16 = 2;
const OPTION_TIME_RESOLUTION: u16 = 9;

/// "TLSK": an NSS key log (pcapng draft, section 4.7).
pub const TLS_KEY_LOG: u32 = 0x544c_534b;

/// What a capture file says about where its packets were taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// How to read a packet's first header.
    pub link: LinkType,
    /// Most bytes captured of one packet; 0 for no limit.
    pub snaplen: u32,
    /// The interface's name, empty for none.
    pub name: String,
}

/// Writes pcapng: little-endian, times in nanoseconds. Nothing is buffered here beyond one block.
#[derive(Debug)]
pub struct Spool<W> {
    out: W,
    block: Vec<u8>,
    interfaces: u32,
}

impl<W: Write> Spool<W> {
    /// Begins a section written by `application`.
    pub fn new(out: W, application: &str) -> io::Result<Self> {
        Self::with_comments(out, application, &[])
    }

    /// The same, with comments on the section.
    pub fn with_comments(out: W, application: &str, comments: &[&str]) -> io::Result<Self> {
        let mut spool = Self { out, block: Vec::new(), interfaces: 0 };
        spool.write_block(SECTION_HEADER, |block| {
            block.extend(0x1a2b_3c4d_u32.to_le_bytes());
            block.extend([1, 0, 0, 0]); // version 1.0
            block.extend((-1_i64).to_le_bytes()); // section length not given
            for comment in comments {
                option(block, OPTION_COMMENT, comment.as_bytes());
            }
            option(block, OPTION_APPLICATION, application.as_bytes());
            end_of_options(block);
        })?;
        Ok(spool)
    }

    /// Adds an interface and returns its number, to be given with each of its packets.
    pub fn interface(&mut self, interface: &Interface) -> io::Result<u32> {
        self.write_block(INTERFACE_DESCRIPTION, |block| {
            block.extend(interface.link.0.to_le_bytes());
            block.extend([0, 0]);
            block.extend(interface.snaplen.to_le_bytes());
            if !interface.name.is_empty() {
                option(block, OPTION_INTERFACE_NAME, interface.name.as_bytes());
            }
            option(block, OPTION_TIME_RESOLUTION, &[9]); // 10^-9 s
            end_of_options(block);
        })?;
        self.interfaces += 1;
        Ok(self.interfaces - 1)
    }

    /// Adds a packet whose captured bytes are `bytes`; `original` is its length on the wire in bytes.
    /// Times before 1970 become 1970, which the format cannot go behind.
    pub fn packet(
        &mut self,
        interface: u32,
        time: Timestamp,
        original: u32,
        bytes: &[u8],
        comments: &[&str],
    ) -> io::Result<()> {
        let time = time.0.max(0) as u64;
        self.write_block(ENHANCED_PACKET, |block| {
            block.extend(interface.to_le_bytes());
            block.extend(((time >> 32) as u32).to_le_bytes());
            block.extend((time as u32).to_le_bytes());
            block.extend((bytes.len() as u32).to_le_bytes());
            block.extend(original.to_le_bytes());
            block.extend(bytes);
            pad(block);
            for comment in comments {
                option(block, OPTION_COMMENT, comment.as_bytes());
            }
            if !comments.is_empty() {
                end_of_options(block);
            }
        })
    }

    /// Adds secrets; `kind` is [`TLS_KEY_LOG`] for an NSS key log. They must stand before the packets they decrypt.
    pub fn secrets(&mut self, kind: u32, secrets: &[u8]) -> io::Result<()> {
        self.write_block(DECRYPTION_SECRETS, |block| {
            block.extend(kind.to_le_bytes());
            block.extend((secrets.len() as u32).to_le_bytes());
            block.extend(secrets);
            pad(block);
        })
    }

    /// Adds names of addresses.
    pub fn names(&mut self, names: &[(IpAddr, &str)]) -> io::Result<()> {
        self.write_block(NAME_RESOLUTION, |block| {
            for (address, name) in names {
                name_record(block, *address, name);
            }
            block.extend([0; 4]); // nrb_record_end
        })
    }

    /// Hands what was written on to where it goes.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The writer underneath.
    pub fn into_inner(self) -> W {
        self.out
    }

    /// The same, to look at.
    pub fn get_ref(&self) -> &W {
        &self.out
    }

    /// The same, to take what was written out of it; only between blocks.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    fn write_block(&mut self, kind: u32, body: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.block.clear();
        self.block.extend(kind.to_le_bytes());
        self.block.extend([0; 4]); // the length, known below
        body(&mut self.block);
        let length = (self.block.len() as u32 + 4).to_le_bytes();
        self.block[4..8].copy_from_slice(&length);
        self.block.extend(length);
        self.out.write_all(&self.block)
    }
}

/// Blocks and options lie on four-byte boundaries; every block body here begins on one.
fn pad(block: &mut Vec<u8>) {
    block.resize(block.len().next_multiple_of(4), 0);
}

/// One option. A value beyond the 16-bit length field is cut there.
fn option(block: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    block.extend(code.to_le_bytes());
    block.extend((value.len() as u16).to_le_bytes());
    block.extend(value);
    pad(block);
}

fn end_of_options(block: &mut Vec<u8>) {
    block.extend([0; 4]);
}

/// nrb_record_ipv4 (1) or nrb_record_ipv6 (2): the address and a zero-terminated name.
fn name_record(block: &mut Vec<u8>, address: IpAddr, name: &str) {
    let mut value = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    value.extend(name.as_bytes());
    value.push(0);
    option(block, if address.is_ipv4() { 1 } else { 2 }, &value);
}

/// The two things that differ between classic pcap files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PcapFormat {
    /// Fractions of seconds are nanoseconds; else microseconds.
    pub nanoseconds: bool,
    /// Numbers are big-endian; else little-endian.
    pub big_endian: bool,
}

/// Writes classic pcap.
#[derive(Debug)]
pub struct PcapWriter<W> {
    out: W,
    format: PcapFormat,
}

impl<W: Write> PcapWriter<W> {
    /// Begins a file; it has one link type, and a `snaplen` of 0 is written as 262,144, libpcap's own limit.
    pub fn new(out: W, format: PcapFormat, link: LinkType, snaplen: u32) -> io::Result<Self> {
        let mut writer = Self { out, format };
        let magic = if format.nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        let snaplen = if snaplen == 0 { 262_144 } else { snaplen };
        let version = if format.big_endian { 0x0002_0004 } else { 0x0004_0002 }; // two 16-bit numbers: 2, 4
        writer.write_numbers(&[magic, version, 0, 0, snaplen, u32::from(link.0)])?;
        Ok(writer)
    }

    /// Adds a packet whose captured bytes are `bytes`; `original` is its length on the wire in bytes.
    pub fn packet(&mut self, time: Timestamp, original: u32, bytes: &[u8]) -> io::Result<()> {
        let time = time.0.max(0);
        let unit = if self.format.nanoseconds { 1 } else { 1000 };
        let fraction = time % 1_000_000_000 / unit;
        self.write_numbers(&[(time / 1_000_000_000) as u32, fraction as u32, bytes.len() as u32, original])?;
        self.out.write_all(bytes)
    }

    /// The writer underneath.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn write_numbers(&mut self, numbers: &[u32]) -> io::Result<()> {
        for number in numbers {
            let bytes = if self.format.big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
            self.out.write_all(&bytes)?;
        }
        Ok(())
    }
}
