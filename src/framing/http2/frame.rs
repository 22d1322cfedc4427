//! Frames (RFC 9113 4, 6): their headers, and how to tell one from other bytes.

/// Bytes of a frame header.
pub const HEADER: usize = 9;

/// What a client sends first (RFC 9113 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The largest payload before SETTINGS say another (RFC 9113 6.5.2).
pub const DEFAULT_MAX_LENGTH: u32 = 1 << 14;

/// Frame types (RFC 9113 6).
pub mod kind {
    pub const DATA: u8 = 0x0;
    pub const HEADERS: u8 = 0x1;
    pub const PRIORITY: u8 = 0x2;
    pub const RST_STREAM: u8 = 0x3;
    pub const SETTINGS: u8 = 0x4;
    pub const PUSH_PROMISE: u8 = 0x5;
    pub const PING: u8 = 0x6;
    pub const GOAWAY: u8 = 0x7;
    pub const WINDOW_UPDATE: u8 = 0x8;
    pub const CONTINUATION: u8 = 0x9;
}

/// Flags (RFC 9113 6).
pub mod flag {
    pub const END_STREAM: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
}

/// A frame header (RFC 9113 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of the payload.
    pub length: u32,
    /// Type.
    pub kind: u8,
    /// Flags.
    pub flags: u8,
    /// Stream, without the reserved bit.
    pub stream: u32,
    /// The bit before it, which senders leave 0.
    pub reserved: bool,
}

impl FrameHeader {
    /// Reads a header.
    pub fn read(bytes: &[u8; HEADER]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes;
        let stream = u32::from_be_bytes([s0, s1, s2, s3]);
        Self {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind,
            flags,
            stream: stream & 0x7fff_ffff,
            reserved: stream >> 31 != 0,
        }
    }

    /// Whether `flag` is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether it carries a part of a header block.
    pub fn carries_block(&self) -> bool {
        matches!(self.kind, kind::HEADERS | kind::PUSH_PROMISE | kind::CONTINUATION)
    }

    /// Whether its length is one that its type can have (RFC 9113 6).
    pub fn has_possible_length(&self) -> bool {
        match self.kind {
            kind::PRIORITY => self.length == 5,
            kind::RST_STREAM | kind::WINDOW_UPDATE => self.length == 4,
            kind::SETTINGS => self.length.is_multiple_of(6),
            kind::PING => self.length == 8,
            kind::GOAWAY => self.length >= 8,
            _ => true,
        }
    }

    /// Whether its stream is one that its type can have (RFC 9113 6).
    pub fn has_possible_stream(&self) -> bool {
        match self.kind {
            kind::SETTINGS | kind::PING | kind::GOAWAY => self.stream == 0,
            kind::WINDOW_UPDATE => true,
            0..=kind::CONTINUATION => self.stream != 0,
            _ => true,
        }
    }

    /// Whether it looks like a frame among bytes that may be anything: a known type with nothing unusual about it.
    pub fn is_plausible(&self, max_length: u32) -> bool {
        let flags = match self.kind {
            kind::DATA => flag::END_STREAM | flag::PADDED,
            kind::HEADERS => flag::END_STREAM | flag::END_HEADERS | flag::PADDED | flag::PRIORITY,
            // ACK is END_STREAM's bit.
            kind::SETTINGS | kind::PING => flag::END_STREAM,
            kind::PUSH_PROMISE => flag::END_HEADERS | flag::PADDED,
            kind::CONTINUATION => flag::END_HEADERS,
            _ => 0,
        };
        self.kind <= kind::CONTINUATION
            && self.flags & !flags == 0
            && !self.reserved
            && self.length <= max_length
            && self.has_possible_length()
            && self.has_possible_stream()
    }
}

/// How far bytes look like frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// They surely are.
    Frames,
    /// Whole frames, fewer, end exactly where the bytes do, and not all of them are DATA, whose header is the least
    /// particular.
    Exact {
        /// How many.
        whole: usize,
    },
    /// They may be: what is there looks like it, but is too little.
    Open {
        /// Whole frames among them.
        whole: usize,
    },
    /// They are not.
    None,
}

/// Frames in a row that nothing but frames looks like.
const CERTAIN: usize = 3;

impl Chain {
    /// Whether they are frames, where frames are to be expected.
    pub fn is_likely(self) -> bool {
        matches!(self, Self::Frames | Self::Exact { .. })
    }
}

/// How far `bytes` begin with a chain of frames: plausible headers, each where the last frame ends.
pub fn chain(bytes: &[u8], max_length: u32) -> Chain {
    let (mut at, mut whole, mut particular) = (0, 0, false);
    loop {
        let rest = &bytes[at..];
        let Some(header) = rest.first_chunk::<HEADER>() else {
            let is_exact = rest.is_empty() && particular;
            return if is_exact { Chain::Exact { whole } } else { Chain::Open { whole } };
        };
        let header = FrameHeader::read(header);
        if !header.is_plausible(max_length) {
            return Chain::None;
        }
        if whole + 1 == CERTAIN {
            return Chain::Frames;
        }
        let end = HEADER + header.length as usize;
        if end > rest.len() {
            return Chain::Open { whole };
        }
        particular |= header.kind != kind::DATA;
        whole += 1;
        at += end;
    }
}
