//! How a peer writes its payloads. Q.4164 gives parameters a name in a table and a data type, and leaves open
//! how either looks in JSON; a [`Dialect`] is one choice in each place. In: [`Message`]s. Out: JSON, and back.

use serde_json::Value as Json;

use super::wire::Code;

/// A parameter of the tables in Q.4164 clause 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say what the tables say
pub enum Parameter {
    SourceKmaId,
    DestinationKmaId,
    ApplicationSourceId,
    ApplicationDestinationId,
    NextKmaIds,
    TransitKmaIds,
    KeyRelayRequestId,
    NumberOfKeys,
    SessionId,
    Response,
    DestinationKmId,
    SourceKmId,
    KeyIds,
    Extension,
}

/// Parameter, its name in the tables, and its field in Appendix II ("not mapped": none).
const NAMES: [(Parameter, &str, Option<&str>); 14] = [
    (Parameter::SourceKmaId, "Source KMA ID", Some("start_km")),
    (Parameter::DestinationKmaId, "Destination KMA ID", Some("end_km")),
    (Parameter::ApplicationSourceId, "Application source ID", None),
    (Parameter::ApplicationDestinationId, "Application destination ID", None),
    (Parameter::NextKmaIds, "Next KMA IDs", None),
    (Parameter::TransitKmaIds, "Transit KMA IDs", Some("kma_id")),
    (Parameter::KeyRelayRequestId, "Key relay request ID", Some("keyrelayrequest_id")),
    (Parameter::NumberOfKeys, "Number of keys", None),
    (Parameter::SessionId, "Session ID", None),
    (Parameter::Response, "Response", Some("result_code")),
    (Parameter::DestinationKmId, "Destination KM ID", None),
    (Parameter::SourceKmId, "Source KM ID", None),
    (Parameter::KeyIds, "Key IDs", Some("key_id")),
    (Parameter::Extension, "Extension", Some("error_message")),
];

impl Parameter {
    /// Its name in the tables of clause 8.
    pub fn table_name(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// Its field in the messages of Appendix II, if they map it.
    pub fn field(self) -> Option<&'static str> {
        NAMES[self as usize].2
    }

    /// The parameter of this name, however it is spelled.
    pub fn named(name: &str) -> Option<Self> {
        let wanted = folded(name);
        let same = |other: &str| folded(other) == wanted;
        NAMES.iter().find(|row| same(row.1) || row.2.is_some_and(same)).map(|row| row.0)
    }
}

/// Letters and digits in lower case: what every spelling of a name has in common.
fn folded(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was not, and why.
    Failure(String),
}

/// A parameter's value, before a dialect has shaped it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(String),
    /// An integer.
    Number(i64),
    /// IDs.
    List(Vec<String>),
    /// The parameter Response.
    Outcome(Outcome),
}

/// A message by its meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which.
    pub code: Code,
    /// Its parameters, in the order in which they are written.
    pub parameters: Vec<(Parameter, Value)>,
}

impl Message {
    /// A message without parameters.
    pub fn new(code: Code) -> Self {
        Self { code, parameters: Vec::new() }
    }

    /// With a string parameter.
    pub fn text(mut self, parameter: Parameter, text: impl Into<String>) -> Self {
        self.parameters.push((parameter, Value::Text(text.into())));
        self
    }

    /// With a string parameter, if there is one.
    pub fn maybe(self, parameter: Parameter, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(parameter, text),
            None => self,
        }
    }

    /// With an integer parameter, if there is one.
    pub fn number(mut self, parameter: Parameter, number: Option<i64>) -> Self {
        self.parameters.extend(number.map(|number| (parameter, Value::Number(number))));
        self
    }

    /// With a list of IDs.
    pub fn list(mut self, parameter: Parameter, ids: &[String]) -> Self {
        self.parameters.push((parameter, Value::List(ids.to_vec())));
        self
    }

    /// With the parameter Response.
    pub fn outcome(mut self, outcome: &Outcome) -> Self {
        self.parameters.push((Parameter::Response, Value::Outcome(outcome.clone())));
        self
    }

    fn value(&self, parameter: Parameter) -> Option<&Value> {
        self.parameters.iter().find(|(name, _)| *name == parameter).map(|(_, value)| value)
    }

    /// The value of a string parameter.
    pub fn get(&self, parameter: Parameter) -> Option<&str> {
        match self.value(parameter)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of an integer parameter.
    pub fn get_number(&self, parameter: Parameter) -> Option<i64> {
        match self.value(parameter)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The IDs of a list parameter; none if it is absent.
    pub fn get_list(&self, parameter: Parameter) -> &[String] {
        match self.value(parameter) {
            Some(Value::List(ids)) => ids,
            _ => &[],
        }
    }

    /// What the parameter Response says; success if it is absent.
    pub fn get_outcome(&self) -> Outcome {
        match self.value(Parameter::Response) {
            Some(Value::Outcome(outcome)) => outcome.clone(),
            _ => Outcome::Success,
        }
    }

    /// Reads a payload in whatever dialect. What it cannot read, and names it does not know, it leaves out.
    pub fn read(code: Code, payload: &[u8]) -> Self {
        let mut message = Self::new(code);
        if let Ok(Json::Object(members)) = serde_json::from_slice(payload) {
            for (name, json) in &members {
                let parameter = Parameter::named(name);
                message.parameters.extend(parameter.and_then(|name| Some((name, read_value(name, json)?))));
            }
        }
        message
    }
}

fn read_value(parameter: Parameter, json: &Json) -> Option<Value> {
    use Parameter as P;
    match (parameter, json) {
        (P::Response, _) => Some(Value::Outcome(read_outcome(json))),
        (P::NextKmaIds | P::TransitKmaIds | P::KeyIds, _) => Some(Value::List(read_list(json))),
        (_, Json::String(text)) => Some(Value::Text(text.clone())),
        (_, Json::Number(number)) => number.as_i64().map(Value::Number),
        _ => None,
    }
}

fn read_outcome(json: &Json) -> Outcome {
    match json {
        Json::Number(number) if number.as_i64() == Some(0) => Outcome::Success,
        Json::String(text) if matches!(folded(text).as_str(), "success" | "ok" | "0") => Outcome::Success,
        Json::String(text) => Outcome::Failure(text.clone()),
        other => Outcome::Failure(other.to_string()),
    }
}

fn read_list(json: &Json) -> Vec<String> {
    match json {
        Json::String(text) => text.split(',').map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()).collect(),
        Json::Array(items) => items.iter().flat_map(read_list).collect(),
        Json::Object(members) => members.values().flat_map(read_list).collect(),
        _ => Vec::new(),
    }
}

/// How parameter names are spelled in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Spelling {
    /// "Source KMA ID", as in the tables of clause 8.
    #[default]
    Table,
    /// source_kma_id
    Snake,
    /// sourceKmaId
    Camel,
    /// SOURCE_KMA_ID
    Upper,
    /// source-kma-id
    Kebab,
    /// start_km and the other fields of Appendix II; snake_case where it maps none.
    AppendixIi,
}

impl Spelling {
    fn spell(self, parameter: Parameter) -> String {
        match (self, NAMES[parameter as usize].2) {
            (Self::AppendixIi, Some(field)) => field.to_owned(),
            _ => self.spell_words(parameter.table_name()),
        }
    }

    fn spell_words(self, words: &str) -> String {
        match self {
            Self::Table => words.to_owned(),
            Self::Snake | Self::AppendixIi => words.to_lowercase().replace(' ', "_"),
            Self::Kebab => words.to_lowercase().replace(' ', "-"),
            Self::Upper => words.to_uppercase().replace(' ', "_"),
            Self::Camel => words.split(' ').enumerate().map(|(at, word)| camel(at, word)).collect(),
        }
    }
}

fn camel(position: usize, word: &str) -> String {
    let word = word.to_lowercase();
    match word.chars().next() {
        Some(first) if position > 0 => format!("{}{}", first.to_ascii_uppercase(), &word[first.len_utf8()..]),
        _ => word,
    }
}

/// How a list of IDs is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Lists {
    /// The data type of each table: Table 2 array of strings, Tables 4 and 11 one string, Tables 12 and 13 array of objects.
    #[default]
    Tables,
    /// "KMA-2,KMA-3"
    Comma,
    /// ["KMA-2","KMA-3"]
    Strings,
    /// [{"KMA ID":"KMA-2"},{"KMA ID":"KMA-3"}]
    Objects,
}

/// How the parameter Response is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Responses {
    /// The data type of each table: integer in Tables 11 and 13, string in the others.
    #[default]
    Tables,
    /// "Success" or the reason of the failure.
    Text,
    /// 0 or 1 (Appendix II, `result_code`).
    Number,
}

/// Which MessageID a message gets that answers another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Ids {
    /// Responses repeat the request's; 0x4104 is a request of its own.
    #[default]
    Echo,
    /// 0x4104 too repeats that of the 0x1403 it answers.
    EchoAll,
    /// Every message has its own.
    Fresh,
}

/// One peer's way of writing what the Recommendation leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The header's Version.
    pub version: u16,
    /// Names.
    pub spelling: Spelling,
    /// Lists.
    pub lists: Lists,
    /// Response.
    pub responses: Responses,
    /// MessageIDs of responses.
    pub ids: Ids,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            version: 1,
            spelling: Spelling::default(),
            lists: Lists::default(),
            responses: Responses::default(),
            ids: Ids::default(),
        }
    }
}

impl Dialect {
    /// The payload of `message`: one JSON object, parameters in their order, no white space.
    pub fn write(&self, message: &Message) -> String {
        let members: Vec<String> =
            message.parameters.iter().flat_map(|(name, value)| self.members(message.code, *name, value)).collect();
        format!("{{{}}}", members.join(","))
    }

    /// The members that one parameter becomes: one, or two where a numeric Response needs its reason told apart.
    fn members(&self, code: Code, parameter: Parameter, value: &Value) -> Vec<String> {
        let member = |parameter: Parameter, json: String| format!("{}:{json}", quoted(&self.spelling.spell(parameter)));
        match value {
            Value::Text(text) => vec![member(parameter, quoted(text))],
            Value::Number(number) => vec![member(parameter, number.to_string())],
            Value::List(ids) => vec![member(parameter, self.list(code, parameter, ids))],
            Value::Outcome(Outcome::Success) if self.numeric(code) => vec![member(parameter, "0".into())],
            Value::Outcome(Outcome::Success) => vec![member(parameter, quoted("Success"))],
            Value::Outcome(Outcome::Failure(reason)) if self.numeric(code) => {
                vec![member(parameter, "1".into()), member(Parameter::Extension, self.reason(reason))]
            }
            Value::Outcome(Outcome::Failure(reason)) => vec![member(parameter, quoted(reason))],
        }
    }

    fn numeric(&self, code: Code) -> bool {
        match self.responses {
            Responses::Tables => matches!(code, Code::RESERVATION_RESPONSE | Code::ALLOCATION_RESPONSE),
            Responses::Text => false,
            Responses::Number => true,
        }
    }

    /// Extension: an array of objects in the tables, a string in Appendix II.
    fn reason(&self, reason: &str) -> String {
        if self.spelling == Spelling::AppendixIi {
            return quoted(reason);
        }
        format!("[{{{}:{}}}]", quoted(&self.spelling.spell_words("Reason")), quoted(reason))
    }

    fn list(&self, code: Code, parameter: Parameter, ids: &[String]) -> String {
        let shape = match (self.lists, parameter, code) {
            (Lists::Tables, Parameter::NextKmaIds, _) => Lists::Strings,
            (Lists::Tables, Parameter::KeyIds, Code::ALLOCATION_REQUEST | Code::ALLOCATION_RESPONSE) => Lists::Objects,
            (Lists::Tables, _, _) => Lists::Comma,
            (shape, _, _) => shape,
        };
        if shape == Lists::Comma {
            return quoted(&ids.join(","));
        }
        let item = if parameter == Parameter::KeyIds { "Key ID" } else { "KMA ID" };
        let name = quoted(&self.spelling.spell_words(item));
        let items = ids.iter().map(|id| match shape {
            Lists::Objects => format!("{{{name}:{}}}", quoted(id)),
            _ => quoted(id),
        });
        format!("[{}]", items.collect::<Vec<_>>().join(","))
    }
}

fn quoted(text: &str) -> String {
    Json::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message::new(Code::ALLOCATION_REQUEST)
            .text(Parameter::SourceKmaId, "KMA-1")
            .list(Parameter::KeyIds, &["a".into(), "b".into()])
    }

    #[test]
    fn reads_every_dialect_it_writes() {
        use clap::ValueEnum;
        for &spelling in Spelling::value_variants() {
            for &lists in Lists::value_variants() {
                let payload = Dialect { spelling, lists, ..Dialect::default() }.write(&message());
                assert_eq!(Message::read(Code::ALLOCATION_REQUEST, payload.as_bytes()), sorted(message()), "{payload}");
            }
        }
    }

    /// serde_json hands members out by name.
    fn sorted(mut message: Message) -> Message {
        message.parameters.sort_by_key(|(name, _)| (*name != Parameter::KeyIds) as u8);
        message
    }

    #[test]
    fn writes_the_types_of_the_tables() {
        let payload = Dialect::default().write(&message());
        assert_eq!(payload, r#"{"Source KMA ID":"KMA-1","Key IDs":[{"Key ID":"a"},{"Key ID":"b"}]}"#);
    }
}
