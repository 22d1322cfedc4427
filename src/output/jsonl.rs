//! One JSON object per line, for programs: names, types and values are a promise.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::value::RawValue;

use super::fields::{self, Field};
use crate::diagnostic::Diagnostic;
use crate::dissect::{Decoded, Entry};
use crate::journal::{Side, View};

/// Writes message `index`.
///
/// # Errors
/// Those of `out`.
pub fn message(out: &mut impl Write, view: View<'_>, index: u32) -> io::Result<()> {
    fields::jsonl(out, view, index, &fields::Key::LINE.map(Field::Key))
}

/// Writes procedure `index`.
///
/// # Errors
/// Those of `out`.
pub fn procedure(out: &mut impl Write, view: View<'_>, index: u32) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &ProcedureLine { view, index })?;
    out.write_all(b"\n")
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

impl Entries<'_> {
    fn is_last(&self, index: usize) -> bool {
        let entry = &self.decoded.entries[index];
        !self.decoded.entries[index + 1..].iter().any(|later| match entry.parameter {
            Some(_) => later.parameter == entry.parameter,
            None => later.parameter.is_none() && later.name == entry.name,
        })
    }

    fn name<'b>(&'b self, entry: &'b Entry) -> &'b str {
        entry.parameter.map_or(&entry.name, |parameter| &self.view.journal.definitions.parameter(parameter).name)
    }
}

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (index, entry) in self.decoded.entries.iter().enumerate() {
            if entry.parameter.is_some() == self.known && self.is_last(index) {
                let raw: &RawValue = serde_json::from_str(&entry.value).map_err(serde::ser::Error::custom)?;
                map.serialize_entry(self.name(entry), raw)?;
            }
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

struct ProcedureLine<'a> {
    view: View<'a>,
    index: u32,
}

impl Serialize for ProcedureLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let journal = self.view.journal;
        let procedure = &journal.procedures[self.index as usize];
        let definition = &journal.definitions.procedures[procedure.definition as usize];
        let (first, last) = journal.first_and_last(self.index);
        let (start, end) = (self.view.record(first).time, self.view.record(last).time);
        let messages: Vec<u32> = journal.messages(self.index).map(|message| message + 1).collect();
        let related: Vec<u32> = journal.related(self.index).iter().map(|other| other + 1).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &(self.index + 1))?;
        map.serialize_entry("procedure", &definition.name)?;
        map.serialize_entry("clause", &definition.clause)?;
        map.serialize_entry("state", procedure.state.name())?;
        map.serialize_entry("messages", &messages)?;
        map.serialize_entry("related", &related)?;
        map.serialize_entry("session_id", &journal.texts.get(procedure.session))?;
        map.serialize_entry("key_relay_request_id", &journal.texts.get(procedure.key_relay_request))?;
        map.serialize_entry("start", &start.to_string())?;
        map.serialize_entry("end", &end.to_string())?;
        map.serialize_entry("duration_ms", &(end - start).as_millis_f64())?;
        map.end()
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
        map.serialize_entry("tls", &())?;
        map.serialize_entry("messages", &connection.messages)?;
        map.serialize_entry("undecoded", &BySide(traffic.undecoded))?;
        map.end()
    }
}

struct BySide(pub [u64; 2]);

impl Serialize for BySide {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(Side::Initiator.name(), &self.0[0])?;
        map.serialize_entry(Side::Responder.name(), &self.0[1])?;
        map.end()
    }
}
