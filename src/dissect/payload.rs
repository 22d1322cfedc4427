//! One pass over a payload, for both readers of it: the index, which keeps bits and identifiers, and the decoder,
//! which builds values and texts. What departs from the table is found here, once.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::definition::{Definitions, Message, Parameter, ParameterId, Presence, Role};
use super::scan::Outline;
use super::schema::SchemaId;
use super::shape::Shape;
use super::status::grpc_status_name;
use super::value::{Value, utf8};
use crate::diagnostic::{Code, Severity};

/// Names that no table has, told one by one and compared to find doubles; what a message has more is told as a number.
const MAX_UNKNOWN: usize = 16;

/// Who listens to a pass.
pub trait Observer {
    /// What a JSON name stands for in `message`.
    fn resolve(&mut self, definitions: &Definitions, message: Option<&Message>, name: &[u8]) -> Meaning {
        Meaning::of(definitions, message, definitions.parameter_named(utf8(name)))
    }
    /// A name, what it stands for, and its value.
    fn entry(&mut self, name: &[u8], meaning: Meaning, value: &Value<'_>);
    /// Something departs from the Recommendation; the text is made only if wanted.
    fn finding(&mut self, severity: Severity, code: Code, about: About<'_>, text: &dyn Fn() -> String);
}

/// What a JSON name stands for in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meaning {
    /// The parameter.
    pub parameter: Option<ParameterId>,
    /// Its row in the message's table.
    pub row: Option<u8>,
    /// What the correlation may use it for.
    pub role: Option<Role>,
}

impl Meaning {
    /// What a name that stands for `parameter` stands for in `message`.
    pub fn of(definitions: &Definitions, message: Option<&Message>, parameter: Option<ParameterId>) -> Self {
        let row = parameter.and_then(|parameter| message?.row(parameter).map(|(index, _)| index as u8));
        let role = parameter.and_then(|parameter| definitions.parameter(parameter).role);
        Self { parameter, row, role }
    }
}

/// What a finding is about.
#[derive(Clone, Copy, Debug)]
pub enum About<'a> {
    /// The payload.
    Payload,
    /// A parameter.
    Parameter(ParameterId),
    /// A name, as received, that stands for no parameter.
    Name(&'a str),
}

/// The result of a request, as far as a message says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// The message says nothing.
    #[default]
    Unsaid,
    /// Success.
    Success,
    /// A failure reason.
    Failure,
}

/// What a pass found out beside what the observer heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows of the table whose parameter is there, one bit each.
    pub present: u32,
    /// What the message says about the request it answers.
    pub outcome: Outcome,
}

/// How a payload is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// One JSON object (Q.4164 Appendix I).
    #[default]
    Json,
    /// A protobuf message of this schema (Q.4164 Appendix II).
    Protobuf(SchemaId),
    /// No payload at all: a gRPC call that ended with a status and no response. What stands for it is an object with
    /// `grpc-status` and `grpc-message`.
    GrpcStatus,
}

/// A payload, as far as the capture has it.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// How they are written.
    pub encoding: Encoding,
    /// Their end is not captured.
    pub truncated: bool,
}

impl<'a> Payload<'a> {
    /// A JSON payload that is whole.
    pub fn json(bytes: &'a [u8]) -> Self {
        Self { bytes, encoding: Encoding::Json, truncated: false }
    }
}

/// Goes over a payload once. `message` is its definition, if its code has one; `outline` is memory to work in.
pub fn walk(
    definitions: &Definitions,
    message: Option<&Message>,
    payload: Payload<'_>,
    outline: &mut Outline,
    observer: &mut impl Observer,
) -> Summary {
    let mut pass = Pass {
        definitions,
        message,
        observer,
        encoding: payload.encoding,
        seen: 0,
        doubled: 0,
        mistyped: 0,
        has_failed: false,
        unknown: Vec::new(),
        more_unknown: 0,
        summary: Summary::default(),
    };
    let readable = match payload.encoding {
        Encoding::Json | Encoding::GrpcStatus => pass.read(payload.bytes, payload.truncated, outline),
        Encoding::Protobuf(schema) => pass.read_protobuf(schema, payload.bytes, payload.truncated, outline),
    };
    pass.tell_more_unknown();
    if readable && !payload.truncated && payload.encoding != Encoding::GrpcStatus {
        pass.check_presence();
    }
    pass.summary
}

struct Pass<'d, O> {
    definitions: &'d Definitions,
    message: Option<&'d Message>,
    observer: &'d mut O,
    encoding: Encoding,
    /// Rows whose name was there, with or without a value.
    seen: u32,
    /// Rows whose name was there more than once, and rows with a value of a wrong type: each is told once, however often
    /// the name stands there. So is a failure.
    doubled: u32,
    mistyped: u32,
    has_failed: bool,
    /// Names that no table has, and whether they were there more than once.
    unknown: Vec<(String, bool)>,
    /// Names that no table has beyond those.
    more_unknown: usize,
    summary: Summary,
}

impl<O: Observer> Pass<'_, O> {
    /// Reads the payload as far as it goes; whether the absence of a parameter can be told from it.
    fn read(&mut self, payload: &[u8], truncated: bool, outline: &mut Outline) -> bool {
        if self.read_ordinary(payload, outline) {
            return true;
        }
        let text = match std::str::from_utf8(payload) {
            Ok(text) => Cow::Borrowed(text),
            Err(error) => {
                if !truncated {
                    let at = error.valid_up_to();
                    self.malformed(Severity::Error, &|| {
                        format!("payload is not UTF-8 from byte {at} on (RFC 8259 8.1)")
                    });
                }
                String::from_utf8_lossy(payload)
            }
        };
        let text = match text.strip_prefix('\u{feff}') {
            None => &*text,
            Some(rest) => {
                self.malformed(Severity::Warning, &|| {
                    "payload begins with a byte order mark (RFC 8259 8.1)".to_owned()
                });
                rest
            }
        };
        if has_lone_surrogate(text) {
            self.malformed(Severity::Note, &|| {
                "an escape stands for half of a surrogate pair, which is no character (RFC 8259 8.2)".to_owned()
            });
        }
        let start = text.trim_ascii_start();
        match start.as_bytes().first() {
            Some(b'{') => self.read_object(start, truncated),
            _ if truncated => false,
            None => {
                self.malformed(Severity::Error, &|| {
                    "payload is empty; expected a JSON object (Q.4164 Appendix I)".to_owned()
                });
                true
            }
            Some(_) => {
                self.malformed(Severity::Error, &|| not_an_object(start));
                true
            }
        }
    }

    /// Reads a protobuf message by way of JSON, so that one pass knows both.
    fn read_protobuf(&mut self, schema: SchemaId, bytes: &[u8], truncated: bool, outline: &mut Outline) -> bool {
        let mut json = String::with_capacity(2 * bytes.len() + 64);
        let problem = self.definitions.schemas().to_json(schema, bytes, &mut json);
        let readable = problem.is_none();
        if let Some(problem) = problem.filter(|_| !truncated) {
            self.malformed(Severity::Error, &|| format!("{problem} (Q.4164 Appendix II)"));
        }
        if !self.read_ordinary(json.as_bytes(), outline) {
            self.read_object(&json, false);
        }
        // proto3 leaves default values off the wire, and 0 is OK (Q.4164 Table II.3-2).
        if readable && self.summary.outcome == Outcome::Unsaid && self.has_result(schema) {
            self.summary.outcome = Outcome::Success;
        }
        readable
    }

    fn has_result(&self, schema: SchemaId) -> bool {
        let Some(message) = self.message.filter(|message| !message.answers.is_empty()) else { return false };
        message.rows.iter().any(|row| {
            let is_response = self.definitions.parameter(row.parameter).role == Some(Role::Response);
            is_response && self.definitions.schemas().has(schema, row.parameter)
        })
    }

    /// Whether a payload can have this parameter at all: a schema need not map it.
    fn is_mapped(&self, parameter: ParameterId) -> bool {
        match self.encoding {
            Encoding::Protobuf(schema) => self.definitions.schemas().has(schema, parameter),
            Encoding::Json | Encoding::GrpcStatus => true,
        }
    }

    /// Reads an ordinary object; false, and nothing was done, if it is not one.
    fn read_ordinary(&mut self, text: &[u8], outline: &mut Outline) -> bool {
        let Some(members) = outline.object(text) else { return false };
        members.iter().for_each(|member| self.entry(member.name, &member.into()));
        true
    }

    fn read_object(&mut self, text: &str, truncated: bool) -> bool {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = deserializer.deserialize_map(&mut *self).and_then(|()| deserializer.end());
        match read {
            Ok(()) => true,
            Err(_) if truncated => false,
            Err(error) => {
                self.malformed(Severity::Error, &|| format!("payload is not a JSON object: {error} (RFC 8259)"));
                false
            }
        }
    }

    fn malformed(&mut self, severity: Severity, text: &dyn Fn() -> String) {
        self.observer.finding(severity, Code::MalformedJson, About::Payload, text);
    }

    fn entry(&mut self, name: &[u8], value: &Value<'_>) {
        let meaning = self.observer.resolve(self.definitions, self.message, name);
        match meaning.row {
            Some(row) => self.known(usize::from(row), value),
            None => self.unknown(utf8(name), meaning.parameter),
        }
        self.judge_result(meaning, value);
        self.observer.entry(name, meaning, value);
    }

    fn known(&mut self, row: usize, value: &Value<'_>) {
        let Some(message) = self.message else { return };
        let expected = &message.rows[row];
        let about = About::Parameter(expected.parameter);
        let title = || &self.definitions.parameter(expected.parameter).title;
        let bit = 1 << row;
        if self.seen & bit != 0 && self.doubled & bit == 0 {
            self.doubled |= bit;
            self.observer.finding(Severity::Warning, Code::MalformedJson, about, &|| {
                format!("{} stands twice; the last one counts (RFC 8259 4)", title())
            });
        }
        self.seen |= bit;
        // null is there, of a wrong type: so it is in every kind of row.
        self.summary.present |= bit;
        let shape = value.shape();
        // What protobuf carries has the type of its schema, and Appendix II's differ from the tables'.
        if self.encoding == Encoding::Json
            && self.mistyped & bit == 0
            && !shape.is(expected.kind)
            && !expected.also.iter().any(|&kind| shape.is(kind))
        {
            self.mistyped |= bit;
            self.observer.finding(Severity::Error, Code::WrongType, about, &|| {
                format!("{} is {}; {} says {}", title(), shape.name(), message.table, expected.kind.name())
            });
        }
    }

    fn unknown(&mut self, name: &str, parameter: Option<ParameterId>) {
        let Some(message) = self.message.filter(|_| !self.is_vendors(name)) else { return };
        let about = parameter.map_or(About::Name(name), About::Parameter);
        if let Some((_, is_doubled)) = self.unknown.iter_mut().find(|(known, _)| known == name) {
            if std::mem::replace(is_doubled, true) {
                return;
            }
            self.observer.finding(Severity::Warning, Code::MalformedJson, about, &|| {
                format!("{name:?} stands twice; the last one counts (RFC 8259 4)")
            });
            return;
        } else if self.unknown.len() < MAX_UNKNOWN {
            self.unknown.push((name.to_owned(), false));
        } else {
            self.more_unknown += 1;
            return;
        }
        self.observer.finding(Severity::Note, Code::UnknownParameter, about, &|| {
            format!("{name:?} is no parameter of {} ({})", message.name, message.table)
        });
    }

    /// Whether a name that no table has is a vendor's own: its schema names it.
    fn is_vendors(&self, name: &str) -> bool {
        matches!(self.encoding, Encoding::Protobuf(schema) if self.definitions.schemas().names(schema, name))
    }

    /// What was not told one by one.
    fn tell_more_unknown(&mut self) {
        let (more, Some(message)) = (self.more_unknown, self.message) else { return };
        if more > 0 {
            self.observer.finding(Severity::Note, Code::UnknownParameter, About::Payload, &|| {
                format!("{more} more names are no parameters of {} ({})", message.name, message.table)
            });
        }
    }

    /// What the message says about the request it answers: by its Response, or by an empty list of next hops, the
    /// only "no" that Table 2 has room for.
    fn judge_result(&mut self, meaning: Meaning, value: &Value<'_>) {
        let outcome = match (meaning.role, value.shape()) {
            (Some(Role::Response), Shape::Null) => return,
            (Some(Role::Response), _) => {
                let text = value.scalar().unwrap_or(Cow::Borrowed(value.text()));
                if self.definitions.means_success(&text) { Outcome::Success } else { Outcome::Failure }
            }
            (Some(Role::NextHops), Shape::EmptyArray) => Outcome::Failure,
            _ => return,
        };
        let (Some(parameter), Some(message)) = (meaning.parameter, self.message) else { return };
        if message.answers.is_empty() {
            return;
        }
        self.summary.outcome = outcome;
        if outcome == Outcome::Failure && !std::mem::replace(&mut self.has_failed, true) {
            let is_status = self.encoding == Encoding::GrpcStatus;
            self.observer.finding(Severity::Warning, Code::FailureResponse, About::Parameter(parameter), &|| {
                let result = value.compact();
                match result.parse().ok().filter(|_| is_status).map(grpc_status_name) {
                    Some(name) => format!("the call ended with grpc-status {result} ({name}) and no response"),
                    None => format!("{} is {result} ({})", self.definitions.parameter(parameter).title, message.table),
                }
            });
        }
    }

    fn check_presence(&mut self) {
        let Some(message) = self.message else { return };
        for (index, row) in message.rows.iter().enumerate() {
            if self.seen & (1 << index) != 0 || !self.is_mapped(row.parameter) {
                continue;
            }
            if let Presence::Optional | Presence::IfRequested(_) = row.presence {
                continue;
            }
            let Parameter { title, role, .. } = self.definitions.parameter(row.parameter);
            let role = *role;
            match row.presence {
                // An absent result code is 0.
                Presence::Mandatory if role == Some(Role::Response) && self.encoding != Encoding::Json => {}
                Presence::Mandatory => {
                    let excused = self.summary.outcome == Outcome::Failure && role != Some(Role::Response);
                    let (severity, because) = if excused {
                        (Severity::Note, "; a failure may have none to name")
                    } else {
                        (Severity::Error, "")
                    };
                    self.observer.finding(severity, Code::MissingParameter, About::Parameter(row.parameter), &|| {
                        format!("{title} is missing; it is mandatory ({}){because}", message.table)
                    });
                }
                Presence::Unless(other) => self.check_either(message, index, other),
                Presence::Optional | Presence::IfRequested(_) => {}
            }
        }
    }

    fn check_either(&mut self, message: &Message, index: usize, other: ParameterId) {
        let other_row = message.row(other).map(|(index, _)| index);
        // Reported once: by the first of the two rows that the payload can have.
        let is_first = |other: usize| other < index && self.is_mapped(message.rows[other].parameter);
        if other_row.is_some_and(|other| is_first(other) || self.seen & (1 << other) != 0) {
            return;
        }
        let parameter = message.rows[index].parameter;
        self.observer.finding(Severity::Error, Code::MissingParameter, About::Parameter(parameter), &|| {
            let title = |id| &self.definitions.parameter(id).title;
            format!("neither {} nor {} is there; {} asks for one", title(parameter), title(other), message.table)
        });
    }
}

/// Whether a `\uD800` to `\uDFFF` has no other half beside it.
fn has_lone_surrogate(text: &str) -> bool {
    let bytes = text.as_bytes();
    let unit = |at: usize| {
        let digits = text.get(at + 2..at + 6).filter(|_| bytes[at..].starts_with(b"\\u"))?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut from = 0;
    while let Some(found) = memchr::memchr(b'\\', &bytes[from..]) {
        let at = from + found;
        match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => from = at + 12,
            Some(0xd800..=0xdfff) => return true,
            _ => from = (at + 2).min(bytes.len()),
        }
    }
    false
}

fn not_an_object(text: &str) -> String {
    let found = match text.as_bytes()[0] {
        _ if serde_json::from_str::<IgnoredAny>(text).is_err() => "no JSON",
        b'[' => "an array",
        b'"' => "a string",
        b't' | b'f' => "a boolean",
        b'n' => "null",
        _ => "a number",
    };
    format!("payload is {found}; expected a JSON object (Q.4164 Appendix I)")
}

impl<'de, O: Observer> Visitor<'de> for &mut Pass<'_, O> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Name<'de>>()? {
            let raw: &'de RawValue = map.next_value()?;
            self.entry(name.0.as_bytes(), &Value::new(raw));
        }
        Ok(())
    }
}

/// A JSON name, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(name.to_owned())))
    }
}
