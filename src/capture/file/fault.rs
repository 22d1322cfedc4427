//! What can be wrong with the bytes of a capture file.

use thiserror::Error;

/// What was found and what was expected, at [`Fault::offset`].
#[derive(Debug)]
pub struct Fault {
    /// Bytes from the start of the (decompressed) file to the record that is wrong.
    pub offset: u64,
    /// What is wrong there.
    pub kind: FaultKind,
}

/// The ways in which a record can be wrong.
#[derive(Debug, Error)]
pub enum FaultKind {
    #[error("{remain} bytes remain, a {what} header has {expected}")]
    HeaderCut { what: &'static str, expected: usize, remain: usize },
    #[error("record claims {claimed} bytes, {remain} remain")]
    RecordCut { claimed: u32, remain: usize },
    #[error("record claims {claimed} bytes, more than the {most} a packet of this file may have")]
    RecordTooLong { claimed: u32, most: u32 },
    #[error("block of type {block:#x} claims {claimed} bytes, {remain} remain")]
    BlockCut { block: u32, claimed: u32, remain: usize },
    #[error("block of type {block:#x} claims {claimed} bytes, it needs at least {least}")]
    BlockTooShort { block: u32, claimed: u32, least: usize },
    #[error("block of type {block:#x} claims {first} bytes at its start and {second} at its end")]
    LengthsDiffer { block: u32, first: u32, second: u32 },
    #[error("packet claims {claimed} captured bytes, its block has room for {room}")]
    PacketTooLong { claimed: u32, room: usize },
    #[error("packet names interface {id}, {described} were described in its section")]
    UnknownInterface { id: u32, described: usize },
    #[error("more than {0} interfaces are described")]
    TooManyInterfaces(usize),
    #[error("secrets claim {claimed} bytes, their block has room for {room}")]
    SecretsTooLong { claimed: u32, room: usize },
    #[error("option {code} claims {claimed} bytes, {remain} remain in its block")]
    OptionTooLong { code: u16, claimed: u16, remain: usize },
    #[error("byte-order magic is {0:#010x}, expected 0x1a2b3c4d in either order")]
    ByteOrder(u32),
    #[error("pcapng version {0}.{1}, expected 1.0 or 1.2")]
    PcapngVersion(u16, u16),
    #[error("pcap version {0}.{1}, expected 2.0 to 2.4")]
    PcapVersion(u16, u16),
    #[error("starts like no capture file, expected pcap or pcapng, not compressed")]
    NotACapture,
    #[error("what was written here cannot be read")]
    Unreadable,
    #[error("more than 4294967295 packets in all; packets are numbered in 32 bits")]
    TooManyPackets,
}

impl FaultKind {
    /// Whether it is only that the bytes end too early, which more bytes can mend.
    pub fn is_cut(&self) -> bool {
        matches!(self, Self::HeaderCut { .. } | Self::RecordCut { .. } | Self::BlockCut { .. })
    }

    /// This fault at `offset`. Boxed, because each of a million packets is returned beside it.
    #[cold]
    pub fn at(self, offset: usize) -> Box<Fault> {
        Box::new(Fault { offset: offset as u64, kind: self })
    }
}
