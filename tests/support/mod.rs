//! Writes small capture files and packets for tests; the bytes are put together here and not by the code under test.
#![allow(dead_code)] // each test binary uses its own part

pub mod analysis;
pub mod ck;
pub mod http2;
pub mod messages;
pub mod packets;
pub mod peers;
pub mod tls;
pub mod traffic;

use std::path::{Path, PathBuf};

use ckscope::capture::file::Reader;
use ckscope::capture::{Batch, Packet};

/// Most significant byte first, or last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Big,
    Little,
}

impl Order {
    pub fn u16(self, value: u16) -> [u8; 2] {
        if self == Self::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub fn u32(self, value: u32) -> [u8; 4] {
        if self == Self::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub fn u64(self, value: u64) -> [u8; 8] {
        if self == Self::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }
}

pub const MICROSECONDS: u32 = 0xa1b2_c3d4;
pub const NANOSECONDS: u32 = 0xa1b2_3c4d;
pub const MODIFIED: u32 = 0xa1b2_cd34;

/// A pcap file under construction.
pub struct Pcap {
    pub bytes: Vec<u8>,
    order: Order,
    modified: bool,
}

impl Pcap {
    pub fn new(order: Order, magic: u32, link: u32) -> Self {
        let mut bytes = order.u32(magic).to_vec();
        bytes.extend(order.u16(2));
        bytes.extend(order.u16(4));
        bytes.extend([0; 8]);
        bytes.extend(order.u32(65_535));
        bytes.extend(order.u32(link));
        Self { bytes, order, modified: magic == MODIFIED }
    }

    pub fn packet(&mut self, seconds: u32, fraction: u32, data: &[u8]) -> &mut Self {
        for field in [seconds, fraction, data.len() as u32, data.len() as u32 + 5] {
            self.bytes.extend(self.order.u32(field));
        }
        if self.modified {
            self.bytes.extend([0; 8]);
        }
        self.bytes.extend(data);
        self
    }
}

/// A pcapng file under construction, without its section header.
pub struct Pcapng {
    pub bytes: Vec<u8>,
    pub order: Order,
}

impl Pcapng {
    /// With a section header and one Ethernet interface.
    pub fn new(order: Order) -> Self {
        let mut file = Self { bytes: Vec::new(), order };
        file.section(order).interface(1, 0, &[]);
        file
    }

    pub fn section(&mut self, order: Order) -> &mut Self {
        self.order = order;
        let mut body = order.u32(0x1a2b_3c4d).to_vec();
        body.extend(order.u16(1));
        body.extend(order.u16(0));
        body.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, &body)
    }

    pub fn interface(&mut self, link: u16, snaplen: u32, options: &[(u16, &[u8])]) -> &mut Self {
        let mut body = self.order.u16(link).to_vec();
        body.extend([0; 2]);
        body.extend(self.order.u32(snaplen));
        for (code, value) in options {
            body.extend(self.order.u16(*code));
            body.extend(self.order.u16(value.len() as u16));
            body.extend(padded(value));
        }
        self.block(1, &body)
    }

    pub fn packet(&mut self, interface: u32, ticks: u64, data: &[u8]) -> &mut Self {
        let length = data.len() as u32;
        let fields = [interface, (ticks >> 32) as u32, ticks as u32, length, length + 5];
        let mut body: Vec<u8> = fields.iter().flat_map(|field| self.order.u32(*field)).collect();
        body.extend(padded(data));
        self.block(6, &body)
    }

    pub fn block(&mut self, kind: u32, body: &[u8]) -> &mut Self {
        let body = padded(body);
        let length = self.order.u32(body.len() as u32 + 12);
        self.bytes.extend(self.order.u32(kind));
        self.bytes.extend(length);
        self.bytes.extend(body);
        self.bytes.extend(length);
        self
    }
}

pub fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A directory of files that goes away with the value.
pub struct Files(tempfile::TempDir);

impl Files {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("a temporary file");
        path
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Everything that `reader` has left: packets with their bytes. Small batches, so that their ends are met.
pub fn read_all(reader: &mut Reader) -> Vec<(Packet, Vec<u8>)> {
    let (mut batch, mut packets) = (Batch::default(), Vec::new());
    while reader.read_batch(&mut batch, 3) {
        packets.extend(batch.packets.iter().map(|packet| (*packet, batch.bytes(packet).to_vec())));
    }
    packets
}

/// The comments on all packets that `reader` has left.
pub fn all_comments(reader: &mut Reader) -> Vec<String> {
    let (mut batch, mut comments) = (Batch::default(), Vec::new());
    while reader.read_batch(&mut batch, 3) {
        comments.extend(batch.comments.iter().map(|comment| comment.text(&batch.blocks).into_owned()));
    }
    comments
}

/// The project's own captures.
pub fn sample_captures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut captures: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end != "md")).collect();
    captures.sort();
    captures
}

/// The folder of captures from other hands, which lies beside this project where it is developed.
pub fn shared_captures() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no captures from other hands at {}", folder.display());
    None
}
