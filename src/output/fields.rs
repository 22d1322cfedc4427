//! Single fields of messages: the keys of the jsonl output, what is known of the procedure, and every parameter that
//! a definition names. In: a [`View`]. Out: values, for jsonl, csv and tab-separated text.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::escape::{escaped, escaped_json};
use super::jsonl::{Diagnostics, Entries};
use crate::dissect::{Decoded, Definitions, ParameterId};
use crate::journal::{Binding, NONE, Procedure, Record, View};

/// A key of the jsonl output, or one more thing that is known of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// 1-based number.
    Number,
    /// RFC 3339.
    Time,
    /// 1-based number of the packet that completed it.
    Packet,
    /// 1-based number.
    Connection,
    /// Who sent it.
    Source,
    /// Who received it.
    Destination,
    /// How it travelled.
    Binding,
    /// Whether it came out of TLS.
    Tls,
    /// Which way.
    Direction,
    /// Header field.
    Version,
    /// Header field.
    MessageId,
    /// Header field.
    CommandCode,
    /// Its name.
    Message,
    /// Payload bytes.
    Length,
    /// Parameters that a definition names.
    Parameters,
    /// The others.
    UnknownParameters,
    /// 1-based id of its procedure.
    Procedure,
    /// What departs from the Recommendation.
    Diagnostics,
    /// Number of the request that it answers.
    Answers,
    /// Name of its procedure.
    ProcedureName,
    /// Clause of its procedure.
    Clause,
    /// State of its procedure.
    State,
}

impl Key {
    /// The keys of a line of jsonl, in their order.
    pub const LINE: [Key; 18] = [
        Self::Number,
        Self::Time,
        Self::Packet,
        Self::Connection,
        Self::Source,
        Self::Destination,
        Self::Binding,
        Self::Tls,
        Self::Direction,
        Self::Version,
        Self::MessageId,
        Self::CommandCode,
        Self::Message,
        Self::Length,
        Self::Parameters,
        Self::UnknownParameters,
        Self::Procedure,
        Self::Diagnostics,
    ];

    /// The keys that a line does not have, but `--fields` knows.
    pub const MORE: [Key; 4] = [Self::Answers, Self::ProcedureName, Self::Clause, Self::State];

    /// The key as written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Time => "time",
            Self::Packet => "packet",
            Self::Connection => "connection",
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Binding => "binding",
            Self::Tls => "tls",
            Self::Direction => "direction",
            Self::Version => "version",
            Self::MessageId => "message_id",
            Self::CommandCode => "command_code",
            Self::Message => "message",
            Self::Length => "length",
            Self::Parameters => "parameters",
            Self::UnknownParameters => "unknown_parameters",
            Self::Procedure => "procedure",
            Self::Diagnostics => "diagnostics",
            Self::Answers => "answers",
            Self::ProcedureName => "procedure_name",
            Self::Clause => "clause",
            Self::State => "state",
        }
    }
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// A key.
    Key(Key),
    /// A parameter, by its canonical name.
    Parameter(ParameterId),
}

/// A name that no field has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no field {name:?}{}", .nearest.as_ref().map_or_else(String::new, |near| format!(" (did you mean {near:?}?)")))]
pub struct UnknownField {
    /// The name as given.
    pub name: String,
    /// The field whose name is most like it.
    pub nearest: Option<String>,
}

impl Field {
    /// All fields, keys first.
    pub fn all(definitions: &Definitions) -> impl Iterator<Item = Field> + use<> {
        let parameters = (0..definitions.parameters.len() as u16).map(|index| Self::Parameter(ParameterId(index)));
        Key::LINE.into_iter().chain(Key::MORE).map(Self::Key).chain(parameters)
    }

    /// What csv has when nobody chose: everything but objects, each parameter in a column of its own.
    pub fn columns(definitions: &Definitions) -> Vec<Field> {
        let objects = [Key::Parameters, Key::UnknownParameters, Key::Diagnostics].map(Self::Key);
        let columns = Self::all(definitions).filter(|field| !objects.contains(field));
        columns.chain([Key::UnknownParameters, Key::Diagnostics].map(Self::Key)).collect()
    }

    /// The field called `name`.
    ///
    /// # Errors
    /// There is none.
    pub fn named(definitions: &Definitions, name: &str) -> Result<Field, UnknownField> {
        if let Some(field) = Self::all(definitions).find(|field| field.name(definitions) == name) {
            return Ok(field);
        }
        let likeness = |field: Field| (strsim::jaro_winkler(name, field.name(definitions)), field);
        let (score, nearest) = Self::all(definitions)
            .map(likeness)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .unwrap_or((0.0, Field::Key(Key::Number)));
        let nearest = (score > 0.7).then(|| nearest.name(definitions).to_owned());
        Err(UnknownField { name: name.to_owned(), nearest })
    }

    /// Its name.
    pub fn name(self, definitions: &Definitions) -> &str {
        match self {
            Self::Key(key) => key.name(),
            Self::Parameter(id) => &definitions.parameter(id).name,
        }
    }
}

/// A message, ready to be asked for fields.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Where it is.
    pub view: View<'a>,
    /// Its index.
    pub index: u32,
    /// Its record.
    pub record: &'a Record,
    /// Its payload.
    pub decoded: &'a Decoded,
}

impl<'a> Row<'a> {
    fn procedure(&self) -> Option<&'a Procedure> {
        self.view.journal.procedures.get(self.record.procedure as usize)
    }

    fn procedure_definition(&self) -> Option<&'a crate::dissect::Procedure> {
        let procedure = self.procedure()?;
        Some(&self.view.journal.definitions.procedures[procedure.definition as usize])
    }

    /// A field's text without quotes; empty where there is no value. Diagnostics are told by their codes.
    fn text(&self, field: Field) -> String {
        match field {
            Field::Key(Key::Diagnostics) => {
                let codes: Vec<&str> = self.record.codes.iter().map(|code| code.name()).collect();
                codes.join(" ")
            }
            Field::Parameter(id) => self.decoded.get(id).map_or_else(String::new, |entry| entry.shown.clone()),
            Field::Key(_) => {
                let json = serde_json::to_string(&Value { row: *self, field }).unwrap_or_default();
                match json.as_bytes().first() {
                    Some(b'n') => String::new(),
                    Some(b'"') => serde_json::from_str(&json).unwrap_or(json),
                    _ => json,
                }
            }
        }
    }
}

/// The JSON value of a field.
pub struct Value<'a> {
    /// Of this message.
    pub row: Row<'a>,
    /// Which one.
    pub field: Field,
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.field {
            Field::Key(key) => self.key(key, serializer),
            Field::Parameter(id) => {
                let raw = self.row.decoded.get(id).map(|entry| serde_json::from_str::<&RawValue>(&entry.value));
                raw.transpose().map_err(serde::ser::Error::custom)?.serialize(serializer)
            }
        }
    }
}

impl Value<'_> {
    fn key<S: Serializer>(&self, key: Key, serializer: S) -> Result<S::Ok, S::Error> {
        let Row { view, index, record, decoded } = self.row;
        let connection = &view.journal.connections[record.connection as usize];
        let has_header = record.binding == Binding::Tcp;
        match key {
            Key::Number => serializer.serialize_u32(index + 1),
            Key::Time => serializer.collect_str(&record.time),
            Key::Packet => serializer.serialize_u32(record.packet),
            Key::Connection => serializer.serialize_u32(record.connection + 1),
            Key::Source => serializer.collect_str(&connection.end(record.side)),
            Key::Destination => serializer.collect_str(&connection.end(record.side.other())),
            Key::Binding => serializer.serialize_str(record.binding.name()),
            Key::Tls => serializer.serialize_bool(record.tls),
            Key::Direction => serializer.serialize_str(record.direction.name()),
            Key::Version => has_header.then_some(record.version).serialize(serializer),
            Key::MessageId => has_header.then_some(record.message_id).serialize(serializer),
            Key::CommandCode => serializer.collect_str(&record.code),
            Key::Message => serializer.serialize_str(view.name(record)),
            Key::Length => serializer.serialize_u32(record.length),
            Key::Parameters => Entries { view, decoded, known: true }.serialize(serializer),
            Key::UnknownParameters => Entries { view, decoded, known: false }.serialize(serializer),
            Key::Procedure => (record.procedure != NONE).then(|| record.procedure + 1).serialize(serializer),
            Key::Diagnostics => Diagnostics(&view.diagnostics(index, decoded)).serialize(serializer),
            Key::Answers => (record.answers != NONE).then(|| record.answers + 1).serialize(serializer),
            Key::ProcedureName => self.row.procedure_definition().map(|it| &it.name).serialize(serializer),
            Key::Clause => self.row.procedure_definition().map(|it| &it.clause).serialize(serializer),
            Key::State => self.row.procedure().map(|it| it.state.name()).serialize(serializer),
        }
    }
}

/// Writes message `index` as an object of `fields`.
///
/// # Errors
/// Those of `out`.
pub fn jsonl(out: &mut impl Write, view: View<'_>, index: u32, fields: &[Field]) -> io::Result<()> {
    let record = view.record(index);
    let decoded = view.decoded(record);
    let row = Row { view, index, record, decoded: &decoded };
    serde_json::to_writer(&mut *out, &Object { row, fields })?;
    out.write_all(b"\n")
}

struct Object<'a> {
    row: Row<'a>,
    fields: &'a [Field],
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let definitions = &self.row.view.journal.definitions;
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for &field in self.fields {
            map.serialize_entry(field.name(definitions), &Value { row: self.row, field })?;
        }
        map.end()
    }
}

/// Writes the names of `fields` as the header of a csv file.
///
/// # Errors
/// Those of `out`.
pub fn csv_header(out: &mut impl Write, definitions: &Definitions, fields: &[Field]) -> io::Result<()> {
    let names: Vec<String> = fields.iter().map(|field| quoted(&escaped(field.name(definitions)))).collect();
    write!(out, "{}\r\n", names.join(","))
}

/// Writes message `index` as a line of csv (RFC 4180). Control characters are escaped as in JSON, so a record is one line;
/// a backslash stays one, so that lists and objects stay JSON.
///
/// # Errors
/// Those of `out`.
pub fn csv(out: &mut impl Write, view: View<'_>, index: u32, fields: &[Field]) -> io::Result<()> {
    let line = texts(view, index, fields, escaped_json).map(|text| quoted(&text)).collect::<Vec<_>>().join(",");
    write!(out, "{line}\r\n")
}

/// Writes message `index` as columns with tabs between them.
///
/// # Errors
/// Those of `out`.
pub fn tabbed(out: &mut impl Write, view: View<'_>, index: u32, fields: &[Field]) -> io::Result<()> {
    writeln!(out, "{}", texts(view, index, fields, escaped).collect::<Vec<_>>().join("\t"))
}

/// The fields of message `index`, made safe by `clean`.
fn texts(
    view: View<'_>,
    index: u32,
    fields: &[Field],
    clean: impl Fn(&str) -> Cow<'_, str>,
) -> impl Iterator<Item = String> {
    let record = view.record(index);
    let decoded = view.decoded(record);
    fields.iter().map(move |&field| clean(&Row { view, index, record, decoded: &decoded }.text(field)).into_owned())
}

/// In quotes where RFC 4180 asks for them.
pub(super) fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\r', '\n']) || text.starts_with(' ') || text.ends_with(' ') {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
