//! What a connection of HTTP/2 tells: messages, the ends of calls, and what could not be decoded.

use std::fmt;

use super::hpack::Headers;
use crate::framing::Truncation;
use crate::place::Place;
use crate::stream::{Side, Stamp};

/// What the framing found.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A gRPC message.
    Message(GrpcMessage<'a>),
    /// A call is over, or one side of it was given up.
    Ended(CallEnd<'a>),
    /// Something could not be decoded, or breaks a rule.
    Problem(Problem),
    /// A header list, before what follows from it.
    Headers(HeaderList<'a>),
}

impl Event<'_> {
    /// Who caused it.
    pub fn side(&self) -> Side {
        match self {
            Self::Message(message) => message.side,
            Self::Ended(end) => end.side,
            Self::Problem(problem) => problem.side,
            Self::Headers(headers) => headers.side,
        }
    }
}

/// One length-prefixed message (gRPC over HTTP/2, "Length-Prefixed-Message").
#[derive(Clone, Copy, Debug)]
pub struct GrpcMessage<'a> {
    /// Who sent it.
    pub side: Side,
    /// Whether the HTTP/2 client sent it; `None` where nothing told who that is.
    pub is_request: Option<bool>,
    /// HTTP/2 stream.
    pub stream: u32,
    /// `/package.Service/Method`; `None` where its header field is not known.
    pub path: Option<&'a str>,
    /// The path was read from a header table that may lack entries.
    pub path_uncertain: bool,
    /// The message, decompressed, as far as it is there.
    pub bytes: &'a [u8],
    /// Where it lies, if it is contiguous in the capture and was not compressed.
    pub place: Option<Place>,
    /// Bytes that its prefix announces (compressed, if it is).
    pub wire_length: u32,
    /// Whether it was compressed.
    pub compressed: bool,
    /// Why it is not whole, if it is not.
    pub truncated: Option<Truncation>,
    /// The packet that completed it.
    pub stamp: Stamp,
    /// The packet at which it is placed among the messages of all connections; `None` where nothing said that it is
    /// not whole but the end of the stream.
    pub placed: Option<u32>,
    /// Bytes of this direction missing before or inside it.
    pub gap: u64,
    /// Bytes of this direction skipped before it to find back into step.
    pub skipped: u64,
}

/// The end of a call.
#[derive(Clone, Copy, Debug)]
pub struct CallEnd<'a> {
    /// Who ended it: the server by trailers or END_STREAM, either side by RST_STREAM, the other by GOAWAY.
    pub side: Side,
    /// HTTP/2 stream.
    pub stream: u32,
    /// As in [`GrpcMessage`].
    pub path: Option<&'a str>,
    /// `grpc-status`; `None` where no trailers told it.
    pub grpc_status: Option<u32>,
    /// `grpc-message`, percent-decoded.
    pub grpc_message: Option<&'a str>,
    /// `:status`.
    pub http_status: Option<u16>,
    /// The error code of RST_STREAM or GOAWAY ([`error_name`] has its name).
    pub reset: Option<u32>,
    /// Messages that each side sent, by [`Side`].
    pub messages: [u32; 2],
    /// Who the HTTP/2 client is, if known.
    pub client: Option<Side>,
    /// The packet that ended it.
    pub stamp: Stamp,
}

/// The header list of a HEADERS or PUSH_PROMISE frame with its CONTINUATIONs.
#[derive(Clone, Copy, Debug)]
pub struct HeaderList<'a> {
    /// Who sent it.
    pub side: Side,
    /// HTTP/2 stream.
    pub stream: u32,
    /// The fields.
    pub headers: &'a Headers,
    /// The packet that completed it.
    pub stamp: Stamp,
}

/// What could not be decoded, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Who sent it.
    pub side: Side,
    /// HTTP/2 stream; 0 where it concerns the connection.
    pub stream: u32,
    /// What it is.
    pub kind: ProblemKind,
    /// The packet at which it was found.
    pub stamp: Stamp,
}

/// Kinds of [`Problem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// Fields of a header list name entries of the dynamic table that came before the capture or in a gap.
    UnknownIndex {
        /// How many fields.
        fields: u32,
    },
    /// A header block that no decoder can read (RFC 9113 4.3 COMPRESSION_ERROR).
    Compression(super::hpack::HpackError),
    /// A header list larger than we keep; the rest of its fields were read but not kept.
    HeaderListTooLarge,
    /// A header block larger than we keep, in bytes; the header table is uncertain from here on.
    HeaderBlockTooLarge,
    /// A header block of which bytes are not in the capture; the header table is uncertain from here on.
    HeaderBlockLost,
    /// A header block interrupted by another frame (RFC 9113 6.10).
    ContinuationExpected,
    /// A frame longer than its receiver allows or its type has (RFC 9113 4.2).
    FrameSize {
        /// The frame's type.
        kind: u8,
        /// Its length in bytes.
        length: u32,
    },
    /// Padding longer than its frame (RFC 9113 6.1).
    Padding,
    /// What should be a frame header is none; skipped on to the next that is.
    OutOfStep,
    /// A frame whose bytes are not in the capture.
    FrameLost {
        /// The frame's type.
        kind: u8,
    },
    /// More streams are open than we remember; the oldest was forgotten.
    TooManyStreams,
    /// A message's bytes were given up because too much waited.
    MessageTooLarge {
        /// Bytes its prefix announces.
        length: u32,
    },
    /// A compressed message that does not decompress.
    Decompression,
    /// A message compressed in a way we do not read, or did not see announced.
    UnknownEncoding,
    /// DATA that begins no message: the start of its message is not in the capture, or it is no gRPC.
    NoMessageBoundary,
}

impl ProblemKind {
    /// A short kebab-case name, for counting.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownIndex { .. } => "unknown-header-index",
            Self::Compression(_) => "compression-error",
            Self::HeaderListTooLarge => "header-list-too-large",
            Self::HeaderBlockTooLarge => "header-block-too-large",
            Self::HeaderBlockLost => "header-block-lost",
            Self::ContinuationExpected => "continuation-expected",
            Self::FrameSize { .. } => "frame-size",
            Self::Padding => "padding",
            Self::OutOfStep => "out-of-step",
            Self::FrameLost { .. } => "frame-lost",
            Self::TooManyStreams => "too-many-streams",
            Self::MessageTooLarge { .. } => "message-too-large",
            Self::Decompression => "decompression",
            Self::UnknownEncoding => "unknown-encoding",
            Self::NoMessageBoundary => "no-message-boundary",
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownIndex { fields } => {
                write!(
                    f,
                    "{fields} header fields refer to a header table that was built before the capture or in a gap"
                )
            }
            Self::Compression(error) => write!(f, "header block is not HPACK: {error} (RFC 9113 4.3)"),
            Self::HeaderListTooLarge => f.write_str("header list is larger than 256 KiB; the rest is not kept"),
            Self::HeaderBlockTooLarge => f.write_str("header block is larger than 256 KiB; it is not decoded"),
            Self::HeaderBlockLost => f.write_str("bytes of a header block are in no packet; it is not decoded"),
            Self::ContinuationExpected => {
                f.write_str("header block is interrupted by another frame; expected CONTINUATION (RFC 9113 6.10)")
            }
            Self::FrameSize { kind, length } => {
                write!(f, "{} frame of {length} bytes (RFC 9113 4.2)", frame_name(*kind))
            }
            Self::Padding => f.write_str("padding is longer than its frame (RFC 9113 6.1)"),
            Self::OutOfStep => f.write_str("no frame header where one is expected; skipped to the next"),
            Self::FrameLost { kind } => write!(f, "bytes of a {} frame are in no packet", frame_name(*kind)),
            Self::TooManyStreams => f.write_str("more streams are open than are remembered; the oldest is forgotten"),
            Self::MessageTooLarge { length } => {
                write!(f, "gRPC message of {length} bytes is larger than we keep; its end is not decoded")
            }
            Self::Decompression => f.write_str("compressed gRPC message does not decompress to its end"),
            Self::UnknownEncoding => f.write_str("gRPC message is compressed in a way that is not known"),
            Self::NoMessageBoundary => f.write_str("DATA begins no gRPC message"),
        }
    }
}

/// The name of a frame type (RFC 9113 6).
pub const fn frame_name(kind: u8) -> &'static str {
    match kind {
        0x0 => "DATA",
        0x1 => "HEADERS",
        0x2 => "PRIORITY",
        0x3 => "RST_STREAM",
        0x4 => "SETTINGS",
        0x5 => "PUSH_PROMISE",
        0x6 => "PING",
        0x7 => "GOAWAY",
        0x8 => "WINDOW_UPDATE",
        0x9 => "CONTINUATION",
        _ => "unknown",
    }
}

/// The name of an HTTP/2 error code (RFC 9113 7).
pub const fn error_name(code: u32) -> &'static str {
    match code {
        0x0 => "NO_ERROR",
        0x1 => "PROTOCOL_ERROR",
        0x2 => "INTERNAL_ERROR",
        0x3 => "FLOW_CONTROL_ERROR",
        0x4 => "SETTINGS_TIMEOUT",
        0x5 => "STREAM_CLOSED",
        0x6 => "FRAME_SIZE_ERROR",
        0x7 => "REFUSED_STREAM",
        0x8 => "CANCEL",
        0x9 => "COMPRESSION_ERROR",
        0xa => "CONNECT_ERROR",
        0xb => "ENHANCE_YOUR_CALM",
        0xc => "INADEQUATE_SECURITY",
        0xd => "HTTP_1_1_REQUIRED",
        _ => "unknown error",
    }
}
