//! The full decoding of one message, when something shows it or filters on it.

use super::definition::{CommandCode, Definitions, ParameterId};
use super::payload::{About, Meaning, Observer, Payload, Summary, walk};
use super::scan::Outline;
use super::value::{Value, utf8};
use crate::diagnostic::{Code, Diagnostic, Severity};

/// One name and value of a payload, in the order received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name as received.
    pub name: String,
    /// The parameter that it stands for.
    pub parameter: Option<ParameterId>,
    /// Its row in the message's table.
    pub row: Option<usize>,
    /// Its value: JSON on one line.
    pub value: String,
    /// The content of a string without its quotes and escapes, or a number; else the JSON.
    pub shown: String,
}

impl Entry {
    /// The identifiers in its value, whichever way a list of them is written.
    pub fn identifiers(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Ok(raw) = serde_json::from_str(&self.value) {
            Value::new(raw).each_identifier(&mut |id| found.push(utf8(id).to_owned()));
        }
        found
    }
}

/// A message in full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Its names and values.
    pub entries: Vec<Entry>,
    /// Where its payload departs from its table.
    pub diagnostics: Vec<Diagnostic>,
    /// What the pass found out.
    pub summary: Summary,
}

impl Decoded {
    /// Decodes a payload in full.
    pub fn new(definitions: &Definitions, code: CommandCode, payload: Payload<'_>) -> Self {
        let message = definitions.message(code).map(|(_, message)| message);
        let mut pass = DecodePass { definitions, decoded: Self::default() };
        let summary = walk(definitions, message, payload, &mut Outline::default(), &mut pass);
        Self { summary, ..pass.decoded }
    }

    /// The entry of `parameter`: the last one, as JSON parsers choose.
    pub fn get(&self, parameter: ParameterId) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.parameter == Some(parameter))
    }
}

/// What a payload says of one parameter, as [`Entry::shown`] has it, at a third of the cost of all.
pub fn value_of(
    definitions: &Definitions,
    code: CommandCode,
    payload: Payload<'_>,
    parameter: ParameterId,
) -> Option<String> {
    let message = definitions.message(code).map(|(_, message)| message);
    let mut pass = FindPass { wanted: parameter, found: None };
    walk(definitions, message, payload, &mut Outline::default(), &mut pass);
    pass.found
}

struct FindPass {
    wanted: ParameterId,
    found: Option<String>,
}

impl Observer for FindPass {
    fn entry(&mut self, _name: &[u8], meaning: Meaning, value: &Value<'_>) {
        if meaning.parameter == Some(self.wanted) {
            self.found = Some(shown(value));
        }
    }

    fn finding(&mut self, _: Severity, _: Code, _: About<'_>, _: &dyn Fn() -> String) {}
}

/// The content of a string without its quotes and escapes, or a number; else the JSON.
fn shown(value: &Value<'_>) -> String {
    value.scalar().map_or_else(|| value.compact().into_owned(), |text| text.into_owned())
}

struct DecodePass<'a> {
    definitions: &'a Definitions,
    decoded: Decoded,
}

impl Observer for DecodePass<'_> {
    fn entry(&mut self, name: &[u8], meaning: Meaning, value: &Value<'_>) {
        let Meaning { parameter, row, .. } = meaning;
        let (json, shown) = (value.compact().into_owned(), shown(value));
        self.decoded.entries.push(Entry {
            name: utf8(name).to_owned(),
            parameter,
            row: row.map(usize::from),
            value: json,
            shown,
        });
    }

    fn finding(&mut self, severity: Severity, code: Code, about: About<'_>, text: &dyn Fn() -> String) {
        let parameter = match about {
            About::Payload => None,
            About::Parameter(parameter) => Some(self.definitions.parameter(parameter).name.clone()),
            About::Name(name) => Some(name.to_owned()),
        };
        self.decoded.diagnostics.push(Diagnostic { severity, code, text: text(), parameter });
    }
}
