//! One JSON object per line, for programs: names, types and values are a promise.

use std::collections::HashSet;
use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::value::RawValue;

use super::fields::{self, Field};
use super::tls::TlsObject;
use crate::diagnostic::Diagnostic;
use crate::dissect::{Decoded, Entry};
use crate::journal::{Comment, Side, Trouble, View};
use crate::time::{Rfc3339, Span, digits};

/// Writes message `index`.
///
/// # Errors
/// Those of `out`.
pub fn message(out: &mut impl Write, view: View<'_>, index: u32) -> io::Result<()> {
    fields::jsonl(out, view, index, &fields::Key::LINE.map(Field::Key))
}

/// Writes procedures.
///
/// By hand: a capture has millions of them, and this takes a tenth of the time that a serializer does.
#[derive(Clone, Debug)]
pub struct Procedures<'a> {
    view: View<'a>,
    /// By definition: what all of its procedures have alike.
    kinds: Vec<Vec<u8>>,
    times: Rfc3339,
}

impl<'a> Procedures<'a> {
    /// For those of `view`.
    pub fn new(view: View<'a>) -> Self {
        let definitions = view.journal.definitions.procedures.iter();
        let kinds = definitions.map(|definition| {
            let mut kind = Vec::new();
            let mut line = Line(&mut kind);
            line.raw(",\"procedure\":").text(Some(&definition.name));
            line.raw(",\"clause\":").text(Some(&definition.clause)).raw(",\"state\":\"");
            kind
        });
        Self { view, kinds: kinds.collect(), times: Rfc3339::default() }
    }

    /// Appends procedure `index` to `out`.
    pub fn write(&mut self, out: &mut Vec<u8>, index: u32) {
        let journal = self.view.journal;
        let procedure = &journal.procedures[index as usize];
        let (start, end) = journal.span(index);
        let mut line = Line(out);
        line.raw("{\"id\":").number(u64::from(index) + 1);
        line.bytes(&self.kinds[procedure.definition as usize]).raw(procedure.state.name());
        line.raw("\",\"messages\":").numbers(journal.messages(index));
        line.raw(",\"related\":").numbers(&journal.related(index));
        line.raw(",\"session_id\":").text(journal.texts.get(procedure.session));
        line.raw(",\"key_relay_request_id\":").text(journal.texts.get(procedure.key_relay_request));
        line.raw(",\"start\":\"").bytes(self.times.of(start));
        line.raw("\",\"end\":\"").bytes(self.times.of(end));
        line.raw("\",\"duration_ms\":").milliseconds(end - start).raw("}\n");
    }
}

/// Writes connection `index`.
///
/// # Errors
/// Those of `out`.
pub fn connection(out: &mut impl Write, view: View<'_>, index: u32) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &ConnectionLine { view, index })?;
    out.write_all(b"\n")
}

/// The entries whose names are, or are not, those of parameters; of doubles the last.
pub(super) struct Entries<'a> {
    pub(super) view: View<'a>,
    pub(super) decoded: &'a Decoded,
    pub(super) known: bool,
}

impl<'a> Entries<'a> {
    /// The entries to show, in the order received.
    fn shown(&self) -> Vec<&'a Entry> {
        let mut names = HashSet::new();
        let mut shown = Vec::new();
        for entry in self.decoded.entries.iter().rev() {
            if entry.parameter.is_some() == self.known && names.insert(self.name(entry)) {
                shown.push(entry);
            }
        }
        shown.reverse();
        shown
    }

    fn name(&self, entry: &'a Entry) -> &'a str {
        entry.parameter.map_or(&entry.name, |parameter| &self.view.journal.definitions.parameter(parameter).name)
    }
}

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for entry in self.shown() {
            let raw: &RawValue = serde_json::from_str(&entry.value).map_err(serde::ser::Error::custom)?;
            map.serialize_entry(self.name(entry), raw)?;
        }
        map.end()
    }
}

/// The diagnostics of a message.
pub(super) struct Diagnostics<'a>(pub(super) &'a [Diagnostic]);

impl Serialize for Diagnostics<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for diagnostic in self.0 {
            list.serialize_element(&DiagnosticObject(diagnostic))?;
        }
        list.end()
    }
}

struct DiagnosticObject<'a>(&'a Diagnostic);

impl Serialize for DiagnosticObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let diagnostic = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("severity", &diagnostic.severity.to_string())?;
        map.serialize_entry("code", diagnostic.code.name())?;
        map.serialize_entry("text", &diagnostic.text)?;
        if let Some(parameter) = &diagnostic.parameter {
            map.serialize_entry("parameter", parameter)?;
        }
        map.end()
    }
}

/// JSON text under construction.
struct Line<'a>(&'a mut Vec<u8>);

impl Line<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn raw(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn number(&mut self, value: u64) -> &mut Self {
        self.raw(itoa::Buffer::new().format(value))
    }

    /// Indexes, as they are numbered outside.
    fn numbers(&mut self, indexes: &[u32]) -> &mut Self {
        self.raw("[");
        for (position, &index) in indexes.iter().enumerate() {
            if position > 0 {
                self.raw(",");
            }
            self.number(u64::from(index) + 1);
        }
        self.raw("]")
    }

    fn text(&mut self, text: Option<&str>) -> &mut Self {
        let Some(text) = text else { return self.raw("null") };
        // All bytes are looked at, whatever is found: so many are at a time.
        let is_special = |byte| (byte < b' ') | (byte == b'"') | (byte == b'\\');
        if text.bytes().fold(false, |found, byte| found | is_special(byte)) {
            serde_json::to_writer(&mut *self.0, text).expect("text is JSON, and a Vec takes everything");
            return self;
        }
        self.raw("\"").raw(text).raw("\"")
    }

    /// `0.744147`: exact, with at least one decimal and no zeros after the last.
    fn milliseconds(&mut self, span: Span) -> &mut Self {
        let nanos = span.0.unsigned_abs();
        if span.0 < 0 {
            self.raw("-");
        }
        let mut decimals = *b".000000";
        digits(&mut decimals[1..], (nanos % 1_000_000) as u32);
        let zeros = decimals[2..].iter().rev().take_while(|&&digit| digit == b'0').count();
        self.number(nanos / 1_000_000).bytes(&decimals[..decimals.len() - zeros])
    }
}

struct ConnectionLine<'a> {
    view: View<'a>,
    index: u32,
}

impl Serialize for ConnectionLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let connection = &self.view.journal.connections[self.index as usize];
        let traffic = &connection.traffic;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("connection", &(self.index + 1))?;
        map.serialize_entry("initiator", &connection.end(Side::Initiator).to_string())?;
        map.serialize_entry("responder", &connection.end(Side::Responder).to_string())?;
        map.serialize_entry("start", &connection.start.to_string())?;
        map.serialize_entry("end", &connection.end.to_string())?;
        map.serialize_entry("packets", &connection.packets)?;
        map.serialize_entry("bytes", &BySide(traffic.bytes))?;
        map.serialize_entry("retransmitted", &traffic.retransmitted)?;
        map.serialize_entry("out_of_order", &traffic.out_of_order)?;
        map.serialize_entry("gaps", &traffic.gaps)?;
        map.serialize_entry("closed", &connection.closed.map(|closed| closed.name()))?;
        map.serialize_entry("protocol", traffic.protocol.name())?;
        map.serialize_entry("tls", &self.view.journal.tls.get(&self.index).map(TlsObject))?;
        map.serialize_entry("messages", &connection.messages)?;
        map.serialize_entry("undecoded", &BySide(traffic.undecoded))?;
        map.serialize_entry("troubles", &Troubles(self.view.journal.troubles(self.index)))?;
        map.serialize_entry("comments", &Comments(self.view.journal.comments.of_connection(self.index)))?;
        map.end()
    }
}

/// What could not be decoded on a connection.
struct Troubles<'a>(&'a [Trouble]);

impl Serialize for Troubles<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for trouble in self.0 {
            list.serialize_element(&TroubleObject(trouble))?;
        }
        list.end()
    }
}

/// What the capture says of a connection's packets.
struct Comments<'a>(&'a [Comment]);

impl Serialize for Comments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for comment in self.0 {
            list.serialize_element(&CommentObject(comment))?;
        }
        list.end()
    }
}

struct CommentObject<'a>(&'a Comment);

impl Serialize for CommentObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("packet", &self.0.packet)?;
        map.serialize_entry("text", &self.0.text)?;
        map.end()
    }
}

struct TroubleObject<'a>(&'a Trouble);

impl Serialize for TroubleObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("kind", self.0.kind)?;
        map.serialize_entry("count", &self.0.count)?;
        map.serialize_entry("packet", &self.0.packet)?;
        map.serialize_entry("text", &self.0.text)?;
        map.end()
    }
}

/// A number for each side.
pub(super) struct BySide(pub [u64; 2]);

impl Serialize for BySide {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(Side::Initiator.name(), &self.0[0])?;
        map.serialize_entry(Side::Responder.name(), &self.0[1])?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_read_back_as_they_were() {
        for nanos in [0, 1, 10, 744_147, 1_000_000, 21_852_165, -1, -1_500_000, i64::MAX, i64::MIN] {
            let mut line = Vec::new();
            Line(&mut line).milliseconds(Span(nanos));
            let read: f64 = serde_json::from_slice(&line).unwrap();
            assert_eq!(read, nanos as f64 / 1e6, "{nanos}");
        }
        for text in ["", "KMA-1", "a\"b\\c\n\u{1b}", "量\u{202e}"] {
            let mut line = Vec::new();
            Line(&mut line).text(Some(text));
            assert_eq!(serde_json::from_slice::<String>(&line).unwrap(), text);
        }
    }
}
