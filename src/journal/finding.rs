//! What is found about a message beside what its payload shows, what that is called and how it reads.

use super::{Journal, Record};
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::dissect::{Presence, grpc_status_name};
use crate::framing::Truncation;
use crate::time::Span;

/// Something about a message that its payload alone does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// No definition names its code.
    UnknownCommand,
    /// Sent by the side that is otherwise the other role.
    WrongDirection,
    /// Its end is not there.
    Truncated(Truncation),
    /// Bytes before it were skipped; `joined`: the capture began there.
    Resynchronised {
        /// How many.
        skipped: u64,
        /// Whether the capture began inside a message.
        joined: bool,
    },
    /// Bytes before or inside it are missing.
    Gap {
        /// How many.
        bytes: u64,
    },
    /// No response within the time-out.
    TimedOut {
        /// The time-out.
        limit: Span,
    },
    /// The connection closed before a response.
    ClosedUnanswered,
    /// Its call failed before a response (gRPC).
    CallEnded {
        /// How long after the request.
        after: Span,
    },
    /// Its call ended, after it, with a status that is not OK (gRPC).
    CallFailed {
        /// `grpc-status`.
        status: u32,
    },
    /// Too many requests were open to wait for its response.
    Abandoned,
    /// A response without a request.
    UnexpectedResponse {
        /// Whether the request may have been sent before the capture began, or lies in a gap.
        excused: bool,
    },
    /// A response that came after the time-out.
    LateResponse {
        /// How long after the request.
        after: Span,
    },
    /// Its MessageID was used before by its sender.
    DuplicateMessageId,
    /// The version differs from that of the message before.
    VersionChanged {
        /// What it was.
        from: u16,
    },
    /// The header is little-endian.
    LittleEndian,
    /// Length counts the header.
    LengthIncludesHeader,
    /// A parameter is missing that is mandatory because the request contained another.
    MissingBecauseRequested {
        /// Row of the missing parameter in the message's table.
        row: u8,
        /// Whether the message is a failure, which may have none to name.
        excused: bool,
    },
}

impl Finding {
    /// Its severity and code.
    pub const fn kind(&self) -> (Severity, Code) {
        use Severity::{Error, Note, Warning};
        match self {
            Self::UnknownCommand => (Warning, Code::UnknownCommand),
            Self::WrongDirection => (Error, Code::WrongDirection),
            Self::Truncated(Truncation::LengthTooLarge) => (Error, Code::TruncatedMessage),
            Self::Truncated(_) => (Warning, Code::TruncatedMessage),
            Self::Resynchronised { joined: true, .. } => (Note, Code::Resynchronised),
            Self::Resynchronised { joined: false, .. } => (Warning, Code::Resynchronised),
            Self::Gap { .. } => (Warning, Code::TcpGap),
            Self::TimedOut { .. } | Self::ClosedUnanswered | Self::CallEnded { .. } | Self::Abandoned => {
                (Warning, Code::Unanswered)
            }
            Self::CallFailed { .. } => (Warning, Code::FailureResponse),
            Self::UnexpectedResponse { excused: true } => (Note, Code::UnexpectedResponse),
            Self::UnexpectedResponse { excused: false } | Self::LateResponse { .. } => {
                (Warning, Code::UnexpectedResponse)
            }
            Self::DuplicateMessageId => (Warning, Code::DuplicateMessageId),
            Self::VersionChanged { .. } => (Warning, Code::UnsupportedVersion),
            Self::LittleEndian => (Error, Code::ByteOrder),
            Self::LengthIncludesHeader => (Error, Code::LengthIncludesHeader),
            Self::MissingBecauseRequested { excused: true, .. } => (Note, Code::MissingParameter),
            Self::MissingBecauseRequested { excused: false, .. } => (Error, Code::MissingParameter),
        }
    }

    /// The finding about `record` in words.
    pub fn explain(&self, journal: &Journal, record: &Record) -> Diagnostic {
        let (severity, code) = self.kind();
        let parameter = self.parameter(journal, record);
        Diagnostic { severity, code, text: self.text(journal, record), parameter }
    }

    fn parameter(&self, journal: &Journal, record: &Record) -> Option<String> {
        let Self::MissingBecauseRequested { row, .. } = self else { return None };
        let (_, message) = journal.definitions.message(record.code)?;
        Some(journal.definitions.parameter(message.rows.get(usize::from(*row))?.parameter).name.clone())
    }

    fn text(&self, journal: &Journal, record: &Record) -> String {
        match *self {
            Self::UnknownCommand => {
                format!("no definition names the command code {} (Q.4164 Table I.1); --dissector adds one", record.code)
            }
            Self::WrongDirection => format!(
                "{} is a message {}, but this side has been the other one on this connection (Q.4164 Table I.1)",
                record.code,
                record.direction.name().replace('-', " ")
            ),
            Self::Truncated(why) => {
                let (there, length) = (record.captured, record.length);
                let because = match why {
                    Truncation::StreamEnded => "the stream ends inside it",
                    Truncation::Gap => "the rest is in no packet",
                    Truncation::SnapshotLength => "the snapshot length cut its packet",
                    Truncation::NotDecrypted => "the rest is in a TLS record that was not decrypted",
                    Truncation::Undecoded => "it is larger than is kept, or does not decompress to its end",
                    Truncation::LengthTooLarge => "Length is too large, for another message follows",
                };
                format!("{there} of {length} payload bytes are there: {because} (Q.4164 Figure I.1)")
            }
            Self::Resynchronised { skipped, joined: true } => {
                format!(
                    "the capture begins inside a message; {skipped} bytes before this one were skipped (Q.4164 Figure I.1)"
                )
            }
            Self::Resynchronised { skipped, joined: false } => {
                format!("{skipped} bytes that are no message were skipped to find this one (Q.4164 Figure I.1)")
            }
            Self::Gap { bytes } => {
                format!("{bytes} bytes of the stream before or inside this message are missing (Q.4164 Appendix I)")
            }
            Self::TimedOut { limit } => {
                format!("no response within {} s{}", limit.0 as f64 / 1e9, expected_answer(journal, record))
            }
            Self::ClosedUnanswered => {
                format!("the connection closed before a response{}", expected_answer(journal, record))
            }
            Self::CallEnded { after } => {
                let after = after.0 as f64 / 1e9;
                format!("its call failed after {after:.3} s, before a response{}", expected_answer(journal, record))
            }
            Self::CallFailed { status } => {
                format!("its call ended with grpc-status {status} ({})", grpc_status_name(status))
            }
            Self::Abandoned => {
                format!(
                    "too many requests were open on this connection to wait for more{}",
                    expected_answer(journal, record)
                )
            }
            Self::UnexpectedResponse { excused } => {
                let hint = if excused { "; it may lie before the capture's beginning or in a gap" } else { "" };
                format!("no open request on this connection that this message answers{}{hint}", clause(journal, record))
            }
            Self::LateResponse { after } => {
                let after = after.0 as f64 / 1e9;
                format!("came {after:.3} s after its request, which had timed out{}", clause(journal, record))
            }
            Self::DuplicateMessageId => format!(
                "its sender has used MessageID {} before on this connection; it identifies each message (Q.4164 Appendix I)",
                record.message_id
            ),
            Self::VersionChanged { from } => {
                format!("version {} where the message before had {from} (Q.4164 Figure I.1)", record.version)
            }
            Self::LittleEndian => {
                "the header is in little-endian byte order; expected network order (Q.4164 Figure I.1)".to_owned()
            }
            Self::LengthIncludesHeader => {
                "Length counts the 10 bytes of the header; it is the payload's length (Q.4164 Appendix I)".to_owned()
            }
            Self::MissingBecauseRequested { row, .. } => missing_because(journal, record, row),
        }
    }
}

/// ` (Q.4164 8.2)`: where the message is defined.
fn clause(journal: &Journal, record: &Record) -> String {
    let message = journal.definitions.message(record.code);
    message.map_or_else(String::new, |(_, message)| format!(" (Q.4164 {})", message.clause))
}

/// `; Table 2 answers it`-like hint: what should have come.
fn expected_answer(journal: &Journal, record: &Record) -> String {
    let answer = journal.definitions.messages.iter().find(|message| message.answers.contains(&record.code));
    answer.map_or_else(String::new, |message| {
        format!("; expected {} {:?} (Q.4164 {})", message.code, message.name, message.clause)
    })
}

fn missing_because(journal: &Journal, record: &Record, row: u8) -> String {
    let definitions = &journal.definitions;
    let Some((_, message)) = definitions.message(record.code) else { return String::new() };
    let Some(row) = message.rows.get(usize::from(row)) else { return String::new() };
    let title = &definitions.parameter(row.parameter).title;
    match row.presence {
        Presence::IfRequested(other) => format!(
            "{title} is missing; it is mandatory because the request contained {} ({})",
            definitions.parameter(other).title,
            message.table
        ),
        _ => format!("{title} is missing ({})", message.table),
    }
}
