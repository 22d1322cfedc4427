//! What a peer, or the capture, did wrong: Wireshark's expert info. Data attached to a message; never stops
//! the analysis.

use std::fmt;

/// How bad a diagnostic is. `Error` orders highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// A departure that the peers can probably live with, or something the capture does not hold.
    Warning,
    /// The Recommendation is broken.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// The stable, machine-readable kind of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Code {
    /// A mandatory parameter is not there.
    MissingParameter,
    /// A parameter's JSON type is not the table's.
    WrongType,
    /// A parameter that no table of this message names.
    UnknownParameter,
    /// A command code that no definition names.
    UnknownCommand,
    /// A command code of the other direction than this side's role.
    WrongDirection,
    /// The payload is not one JSON object with unique names.
    MalformedJson,
    /// Bytes of the message are not in the capture.
    TruncatedMessage,
    /// Bytes were skipped to find this message.
    Resynchronised,
    /// Bytes of the stream before or inside this message are not in the capture.
    TcpGap,
    /// No response within the time-out, or the connection closed before one.
    Unanswered,
    /// A response for which no request is open.
    UnexpectedResponse,
    /// A MessageID that its sender used before on this connection.
    DuplicateMessageId,
    /// The response says that the request failed.
    FailureResponse,
    /// The version field differs from what this connection used before.
    UnsupportedVersion,
    /// The header is in little-endian byte order.
    ByteOrder,
    /// The Length field counts the header too.
    LengthIncludesHeader,
}

impl Code {
    /// All codes, in the order of their bits in a [`CodeSet`].
    pub const ALL: [Code; 16] = [
        Self::MissingParameter,
        Self::WrongType,
        Self::UnknownParameter,
        Self::UnknownCommand,
        Self::WrongDirection,
        Self::MalformedJson,
        Self::TruncatedMessage,
        Self::Resynchronised,
        Self::TcpGap,
        Self::Unanswered,
        Self::UnexpectedResponse,
        Self::DuplicateMessageId,
        Self::FailureResponse,
        Self::UnsupportedVersion,
        Self::ByteOrder,
        Self::LengthIncludesHeader,
    ];

    /// The code as printed: kebab-case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MissingParameter => "missing-parameter",
            Self::WrongType => "wrong-type",
            Self::UnknownParameter => "unknown-parameter",
            Self::UnknownCommand => "unknown-command",
            Self::WrongDirection => "wrong-direction",
            Self::MalformedJson => "malformed-json",
            Self::TruncatedMessage => "truncated-message",
            Self::Resynchronised => "resynchronised",
            Self::TcpGap => "tcp-gap",
            Self::Unanswered => "unanswered",
            Self::UnexpectedResponse => "unexpected-response",
            Self::DuplicateMessageId => "duplicate-message-id",
            Self::FailureResponse => "failure-response",
            Self::UnsupportedVersion => "unsupported-version",
            Self::ByteOrder => "byte-order",
            Self::LengthIncludesHeader => "length-includes-header",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which codes a message carries, one bit each, so that a record says it without its texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodeSet(pub u16);

impl CodeSet {
    /// Adds `code`.
    pub fn insert(&mut self, code: Code) {
        self.0 |= 1 << code as u8;
    }

    /// Whether `code` is in the set.
    pub fn contains(self, code: Code) -> bool {
        self.0 & (1 << code as u8) != 0
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The codes in the set, in their order.
    pub fn iter(self) -> impl Iterator<Item = Code> {
        Code::ALL.into_iter().filter(move |&code| self.contains(code))
    }
}

/// One finding about one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Its kind.
    pub code: Code,
    /// One sentence: what was found, what the Recommendation says, with clause or table.
    pub text: String,
    /// The canonical name of the parameter it is about.
    pub parameter: Option<String>,
}
