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
}

impl Batch {
    /// The captured bytes of `packet`, which must be one of this batch's.
    pub fn bytes(&self, packet: &Packet) -> &[u8] {
        let start = packet.offset as usize;
        &self.blocks[packet.block as usize].bytes()[start..start + packet.captured as usize]
    }
}
