//! Where packets come from. In: files, devices, sockets. Out: [`Batch`]es of packets in capture order.
//! Alone may touch files, devices, sockets and clocks; refuses to know what the packets mean.

pub mod file;
pub mod growing;
pub mod live;
pub mod proxy;
pub mod recording;
pub mod spool;
pub mod tcp;
pub mod watch;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::place::Place;
use crate::time::Timestamp;

/// A link-layer type as in pcap files (`LINKTYPE_*` of the tcpdump group's registry).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u16);

/// One captured record: its header; the bytes lie in a block of the batch.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// When it was captured.
    pub time: Timestamp,
    /// Where its first byte lies in its block.
    pub offset: u64,
    /// Bytes captured; they lie whole in the block.
    pub captured: u32,
    /// Bytes on the wire; more than `captured` when the snapshot length cut it.
    pub original: u32,
    /// How to read its first header.
    pub link: LinkType,
    /// Index into [`Batch::blocks`].
    pub block: u16,
    /// Which of its file's interfaces it was captured on, those of all sections counted in turn.
    pub interface: u16,
}

/// Bytes that many packets lie in: a mapped file or an owned buffer. Cheap to clone, `'static`, so that
/// it can be handed to other threads.
#[derive(Clone)]
pub struct Block {
    bytes: Arc<dyn AsRef<[u8]> + Send + Sync>,
    place: Place,
}

impl Block {
    /// A block whose first byte has the address `place`.
    pub fn new(bytes: impl AsRef<[u8]> + Send + Sync + 'static, place: Place) -> Self {
        Self { bytes: Arc::new(bytes), place }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    /// The address of the first byte.
    pub fn place(&self) -> Place {
        self.place
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({} bytes at {:?})", self.bytes().len(), self.place)
    }
}

/// Packets in capture order, with the blocks that hold their bytes.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The blocks that [`Packet::block`] points into.
    pub blocks: Vec<Block>,
    /// The packets.
    pub packets: Vec<Packet>,
    /// What the capture says of packets, in their order.
    pub comments: Vec<Comment>,
}

/// A comment on a packet: where its text lies, in the packet's block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Index into [`Batch::packets`].
    pub packet: u32,
    /// Index into [`Batch::blocks`].
    pub block: u16,
    /// Its bytes.
    pub length: u16,
    /// Where its first byte lies in the block.
    pub offset: u64,
}

impl Comment {
    /// What it says; what is not UTF-8 in it is replaced. `blocks` are those of its batch.
    pub fn text<'a>(&self, blocks: &'a [Block]) -> Cow<'a, str> {
        let start = self.offset as usize;
        String::from_utf8_lossy(&blocks[self.block as usize].bytes()[start..start + usize::from(self.length)])
    }
}

impl Batch {
    /// Takes a packet, which is the next, with its comments.
    #[inline]
    fn take(&mut self, packet: Packet, comments: &[(u64, u16)]) {
        let (index, block) = (self.packets.len() as u32, packet.block);
        self.packets.push(packet);
        self.comments.extend(comments.iter().map(|&(offset, length)| Comment { packet: index, block, length, offset }));
    }

    /// Forgets the packets; the blocks stay.
    fn clear(&mut self) {
        self.packets.clear();
        self.comments.clear();
    }

    /// The comments on the packet at `index`.
    pub fn comments_of(&self, index: usize) -> impl Iterator<Item = Cow<'_, str>> {
        let start = self.comments.partition_point(|comment| (comment.packet as usize) < index);
        let of_it = self.comments[start..].iter().take_while(move |comment| comment.packet as usize == index);
        of_it.map(|comment| comment.text(&self.blocks))
    }

    /// The captured bytes of `packet`, which must be one of this batch's.
    pub fn bytes(&self, packet: &Packet) -> &[u8] {
        let start = packet.offset as usize;
        &self.blocks[packet.block as usize].bytes()[start..start + packet.captured as usize]
    }
}
