//! The pcapng format: sections of blocks (draft-ietf-opsawg-pcapng). Where a block is damaged this stops where
//! Wireshark stops, so that packet numbers agree; the reasons for stopping are the same.

use std::net::IpAddr;

use pcap_parser::{
    DSB_MAGIC as SECRETS, EPB_MAGIC as ENHANCED_PACKET, IDB_MAGIC as INTERFACE, NRB_MAGIC as NAMES, OptionCode,
    SHB_MAGIC as SECTION, SPB_MAGIC as SIMPLE_PACKET,
};

use super::fault::{Fault, FaultKind};
use super::map::Prefetch;
use super::options::{Clock, each_option, interface};
use super::summary::{FileSummary, Secrets};
use super::walker::{Order, header};
use crate::capture::{LinkType, Packet};
use crate::time::Timestamp;

/// The obsolete Packet Block (draft-ietf-opsawg-pcapng A.1); `pcap_parser` has no name for it.
const OBSOLETE_PACKET: u32 = 2;
/// Type, length, and the length again at the end.
const BLOCK_FRAME: usize = 12;
/// What lies before a block's body: type and length.
const BLOCK_HEADER: usize = 8;
/// Reads the same in both byte orders.
const SECTION_BYTES: [u8; 4] = SECTION.to_be_bytes();
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// With frame: byte-order magic, version, section length.
const SECTION_LEAST: usize = BLOCK_FRAME + 16;
/// With frame: link type, reserved, snapshot length.
const INTERFACE_LEAST: usize = BLOCK_FRAME + 8;
/// With frame: interface, time, captured length, original length.
const PACKET_LEAST: usize = BLOCK_FRAME + 20;
/// With frame: original length.
const SIMPLE_PACKET_LEAST: usize = BLOCK_FRAME + 4;
/// With frame: kind, length.
const SECRETS_LEAST: usize = BLOCK_FRAME + 8;
/// Far more than any machine has; keeps a file that is nothing but interfaces from filling the memory.
const MOST_INTERFACES: usize = 65_536;
/// Comments of sections that are kept of a file; people write a few.
const MOST_SECTION_COMMENTS: usize = 256;

/// Whether a file that starts so is pcapng.
pub fn is_magic(magic: [u8; 4]) -> bool {
    magic == SECTION_BYTES
}

/// What a packet needs to know of its interface.
struct Source {
    link: LinkType,
    snaplen: u32,
    clock: Clock,
}

/// Walks a pcapng file.
pub struct PcapngWalker {
    /// Bytes walked.
    pub position: usize,
    order: Order,
    /// The interfaces of the current section.
    sources: Vec<Source>,
    /// Interfaces of the sections before.
    earlier: usize,
    /// Names are wanted.
    names: bool,
    /// Where the comments of the last packet lie, and their bytes.
    comments: Vec<(u64, u16)>,
    /// The time of the packet before, for packets without one.
    last: Timestamp,
    block: u16,
    prefetch: Prefetch,
}

/// A block whose length was checked: type, whole length, and where it starts.
struct Found {
    kind: u32,
    start: usize,
    length: usize,
}

impl PcapngWalker {
    /// Reads the first section header.
    pub fn open(bytes: &[u8], block: u16, summary: &mut FileSummary) -> Result<Self, Box<Fault>> {
        let (order, last) = (Order { big: false }, Timestamp::default());
        let mut walker = Self::at(0, order, last, block);
        let found = walker.block(bytes)?;
        walker.section(bytes, &found, summary)?;
        walker.position = found.length;
        Ok(walker)
    }

    fn at(position: usize, order: Order, last: Timestamp, block: u16) -> Self {
        let (sources, comments, prefetch) = (Vec::new(), Vec::new(), Prefetch::default());
        Self { position, order, sources, earlier: 0, names: false, comments, last, block, prefetch }
    }

    /// From here on, puts the names of addresses into the summary.
    pub fn want_names(&mut self) {
        self.names = true;
    }

    /// Where the comments of the last packet lie, and their bytes.
    #[inline]
    pub fn comments(&self) -> &[(u64, u16)] {
        &self.comments
    }

    /// All secrets from here to the end, or to where reading must stop; the walk itself stays where it is.
    pub fn secrets_ahead(&self, bytes: &[u8]) -> Vec<Secrets> {
        let mut scout = Self::at(self.position, self.order, self.last, self.block);
        let mut found = Vec::new();
        while scout.position != bytes.len() {
            scout.prefetch.ahead_of(bytes, scout.position);
            let Ok(block) = scout.block(bytes) else { break };
            if block.kind == SECRETS
                && let Ok(secrets) = scout.secrets(bytes, &block)
            {
                found.push(secrets);
            }
            scout.position += block.length;
        }
        found
    }

    /// The next packet; `None` at the end of the file.
    #[inline]
    pub fn next(&mut self, bytes: &[u8], summary: &mut FileSummary) -> Result<Option<Packet>, Box<Fault>> {
        while self.position != bytes.len() {
            self.prefetch.ahead_of(bytes, self.position);
            let found = self.block(bytes)?;
            let packet = match found.kind {
                ENHANCED_PACKET | OBSOLETE_PACKET => Some(self.packet(bytes, &found)?),
                SIMPLE_PACKET => Some(self.simple_packet(bytes, &found)?),
                _ => {
                    self.other(bytes, &found, summary)?;
                    None
                }
            };
            self.position += found.length;
            if let Some(packet) = packet {
                self.comments.clear();
                if found.has_options(&packet) {
                    self.note_comments(bytes, &found, &packet);
                }
                return Ok(Some(packet));
            }
        }
        Ok(None)
    }

    /// The block at the current position, with its two lengths checked.
    #[inline]
    fn block(&mut self, bytes: &[u8]) -> Result<Found, Box<Fault>> {
        let start = self.position;
        let head = header(bytes, start, BLOCK_FRAME, "block")?;
        if head[..4] == SECTION_BYTES {
            self.order = byte_order(head).map_err(|kind| kind.at(start))?;
        }
        let (kind, claimed) = (self.order.u32(head, 0), self.order.u32(head, 4));
        let remain = bytes.len() - start;
        // Blocks are padded to 32 bits, but some writers leave the padding out of the length; so does Wireshark read it.
        let length = (claimed as usize).next_multiple_of(4);
        if length < BLOCK_FRAME {
            return Err(FaultKind::BlockTooShort { block: kind, claimed, least: BLOCK_FRAME }.at(start));
        }
        if length > remain {
            return Err(FaultKind::BlockCut { block: kind, claimed, remain }.at(start));
        }
        let second = self.order.u32(bytes, start + length - 4);
        if second != claimed {
            return Err(FaultKind::LengthsDiffer { block: kind, first: claimed, second }.at(start));
        }
        Ok(Found { kind, start, length })
    }

    /// An Enhanced Packet Block or the Packet Block before it, which differ in the interface field alone.
    #[inline]
    fn packet(&mut self, bytes: &[u8], found: &Found) -> Result<Packet, Box<Fault>> {
        let head = found.need(bytes, PACKET_LEAST)?;
        let order = self.order;
        let id = if found.kind == OBSOLETE_PACKET { u32::from(order.u16(head, 8)) } else { order.u32(head, 8) };
        let Some(source) = self.sources.get(id as usize) else {
            return Err(FaultKind::UnknownInterface { id, described: self.sources.len() }.at(found.start));
        };
        let (captured, original) = (order.u32(head, 20), order.u32(head, 24));
        let room = found.length - PACKET_LEAST;
        if captured as usize > room {
            return Err(FaultKind::PacketTooLong { claimed: captured, room }.at(found.start));
        }
        let ticks = u64::from(order.u32(head, 12)) << 32 | u64::from(order.u32(head, 16));
        self.last = source.clock.time(ticks);
        let offset = (found.start + PACKET_LEAST - 4) as u64;
        let interface = self.interface_of(id as usize);
        Ok(Packet { time: self.last, offset, captured, original, link: source.link, block: self.block, interface })
    }

    /// A Simple Packet Block: of interface 0, and without a time. It gets that of the packet before it: the epoch
    /// would make time jump back by decades, which no time-out and no merge of files could make sense of.
    fn simple_packet(&self, bytes: &[u8], found: &Found) -> Result<Packet, Box<Fault>> {
        let head = found.need(bytes, SIMPLE_PACKET_LEAST)?;
        let Some(source) = self.sources.first() else {
            return Err(FaultKind::UnknownInterface { id: 0, described: 0 }.at(found.start));
        };
        let original = self.order.u32(head, 8);
        let captured = if source.snaplen == 0 { original } else { original.min(source.snaplen) };
        let room = found.length - SIMPLE_PACKET_LEAST;
        if captured as usize > room {
            return Err(FaultKind::PacketTooLong { claimed: captured, room }.at(found.start));
        }
        let offset = (found.start + BLOCK_HEADER + 4) as u64;
        let interface = self.interface_of(0);
        Ok(Packet { time: self.last, offset, captured, original, link: source.link, block: self.block, interface })
    }

    /// Which of the file's interfaces is number `id` of its section; there are at most [`MOST_INTERFACES`].
    fn interface_of(&self, id: usize) -> u16 {
        (self.earlier + id) as u16
    }

    /// Notes the comments of a packet. Options that cannot be read end them, as they hold nothing that a packet needs.
    #[cold]
    fn note_comments(&mut self, bytes: &[u8], found: &Found, packet: &Packet) {
        let (start, end) = (packet.end(), found.end());
        let comments = &mut self.comments;
        let _ = each_option(&bytes[start..end], self.order, |code, value| {
            if code == OptionCode::Comment {
                let offset = value.as_ptr().addr() - bytes.as_ptr().addr(); // it is a part of them
                comments.push((offset as u64, value.len() as u16)); // options count their bytes in 16 bits
            }
        });
    }

    /// Notes the names of a Name Resolution Block, whose records look like options (draft-ietf-opsawg-pcapng 4.5).
    fn names(&self, bytes: &[u8], found: &Found, summary: &mut FileSummary) {
        let _ = each_option(found.after(bytes, BLOCK_FRAME), self.order, |code, value| {
            let (address, names) = match (code.0, value) {
                (1, [a, b, c, d, names @ ..]) => (IpAddr::from([*a, *b, *c, *d]), names),
                (2, value) => match value.split_first_chunk::<16>() {
                    Some((address, names)) => (IpAddr::from(*address), names),
                    None => return,
                },
                _ => return,
            };
            let names = names.split(|&byte| byte == 0).filter(|name| !name.is_empty());
            summary.names.extend(names.map(|name| (address, String::from_utf8_lossy(name).into_owned())));
        });
    }

    /// A block that holds no packet. Those that are not known here (names, statistics, custom ones, ...) are skipped.
    #[cold]
    fn other(&mut self, bytes: &[u8], found: &Found, summary: &mut FileSummary) -> Result<(), Box<Fault>> {
        match found.kind {
            SECTION => self.section(bytes, found, summary),
            INTERFACE => self.interface(bytes, found, summary),
            SECRETS => {
                summary.secrets.push(self.secrets(bytes, found)?);
                Ok(())
            }
            NAMES if self.names => {
                self.names(bytes, found, summary);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn section(&mut self, bytes: &[u8], found: &Found, summary: &mut FileSummary) -> Result<(), Box<Fault>> {
        let head = found.need(bytes, SECTION_LEAST)?;
        let (major, minor) = (self.order.u16(head, 12), self.order.u16(head, 14));
        // 1.2 is 1.0 from writers that announce newer block types (draft-ietf-opsawg-pcapng 4.1).
        if !matches!((major, minor), (1, 0 | 2)) {
            return Err(FaultKind::PcapngVersion(major, minor).at(found.start));
        }
        let room = MOST_SECTION_COMMENTS.saturating_sub(summary.section_comments.len());
        let mut comments = Vec::new();
        let comment = |code: OptionCode, value: &[u8]| {
            if code == OptionCode::Comment && comments.len() < room {
                comments.push(String::from_utf8_lossy(value).into_owned());
            }
        };
        each_option(found.after(bytes, SECTION_LEAST), self.order, comment).map_err(|kind| kind.at(found.start))?;
        summary.section_comments.extend(comments);
        self.earlier += self.sources.len();
        self.sources.clear();
        Ok(())
    }

    fn interface(&mut self, bytes: &[u8], found: &Found, summary: &mut FileSummary) -> Result<(), Box<Fault>> {
        let head = found.need(bytes, INTERFACE_LEAST)?;
        if summary.interfaces.len() == MOST_INTERFACES {
            return Err(FaultKind::TooManyInterfaces(MOST_INTERFACES).at(found.start));
        }
        let (link, snaplen) = (LinkType(self.order.u16(head, 8)), self.order.u32(head, 12));
        let options = found.after(bytes, INTERFACE_LEAST);
        let (name, clock) = interface(options, self.order).map_err(|kind| kind.at(found.start))?;
        self.sources.push(Source { link, snaplen, clock });
        summary.interfaces.push(super::Interface { name, link, snaplen });
        Ok(())
    }

    fn secrets(&self, bytes: &[u8], found: &Found) -> Result<Secrets, Box<Fault>> {
        let head = found.need(bytes, SECRETS_LEAST)?;
        let (kind, claimed) = (self.order.u32(head, 8), self.order.u32(head, 12));
        let room = found.length - SECRETS_LEAST;
        if claimed as usize > room {
            return Err(FaultKind::SecretsTooLong { claimed, room }.at(found.start));
        }
        let start = (found.start + SECRETS_LEAST - 4) as u64;
        Ok(Secrets { kind, range: start..start + u64::from(claimed) })
    }
}

impl Found {
    /// Where its second length lies.
    fn end(&self) -> usize {
        self.start + self.length - 4
    }

    /// Whether something follows the bytes of `packet`, which lies in it.
    #[inline]
    fn has_options(&self, packet: &Packet) -> bool {
        self.kind != SIMPLE_PACKET && packet.end() < self.end()
    }

    /// The block's bytes but for the last four, if it is at least `least` long.
    #[inline]
    fn need<'a>(&self, bytes: &'a [u8], least: usize) -> Result<&'a [u8], Box<Fault>> {
        if self.length < least {
            let claimed = self.length as u32;
            return Err(FaultKind::BlockTooShort { block: self.kind, claimed, least }.at(self.start));
        }
        Ok(&bytes[self.start..self.end()])
    }

    /// What follows the fixed part of a block whose least length is `least`: its options.
    fn after<'a>(&self, bytes: &'a [u8], least: usize) -> &'a [u8] {
        &bytes[self.start + least - 4..self.end()]
    }
}

impl Packet {
    /// Where its bytes end, with those that fill them up to 32 bits (draft-ietf-opsawg-pcapng 4.3).
    #[inline]
    fn end(&self) -> usize {
        self.offset as usize + (self.captured as usize).next_multiple_of(4)
    }
}

/// The byte order of a section, from its header's first 12 bytes.
fn byte_order(head: &[u8]) -> Result<Order, FaultKind> {
    let little = Order { big: false }.u32(head, BLOCK_HEADER);
    match little {
        BYTE_ORDER_MAGIC => Ok(Order { big: false }),
        _ if little.swap_bytes() == BYTE_ORDER_MAGIC => Ok(Order { big: true }),
        _ => Err(FaultKind::ByteOrder(little)),
    }
}
