//! Definition files (TOML) → [`Definitions`]. In: the file's text and its name. Out: the definitions, or an error
//! with file, line and key. Refuses keys it does not know: a misspelt key must not be silently without effect.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::definition::{
    CommandCode, DefinitionFile, Definitions, Direction, MAX_ROWS, Message, NO_MESSAGE, Parameter, ParameterId,
    Presence, Procedure, Role, Row, Type, normalised,
};

/// The embedded definition of Q.4164.
pub const Q4164: &str = include_str!("../../dissectors/q4164-ck.toml");

/// The largest definition file read, in bytes; the embedded one has 12 KB.
pub const MAX_FILE: usize = 1 << 20;

/// Parameters of all files together; ids are 16 bits and this is far beyond any interface.
const MAX_PARAMETERS: usize = 4096;

/// What is wrong with a definition file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {text}")]
pub struct DefinitionError {
    /// The file as given.
    pub file: String,
    /// 1-based line.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
    /// What was found and what was expected.
    pub text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    name: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    reference: String,
    #[serde(default)]
    direction: Vec<RawDirection>,
    response: Option<RawResponse>,
    #[serde(default)]
    parameter: Vec<RawParameter>,
    #[serde(default)]
    message: Vec<RawMessage>,
    #[serde(default)]
    procedure: Vec<RawProcedure>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDirection {
    prefix: Spanned<u8>,
    name: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawResponse {
    success: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawParameter {
    name: Spanned<String>,
    title: Option<String>,
    role: Option<Spanned<String>>,
    #[serde(default)]
    aliases: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMessage {
    code: Spanned<u16>,
    name: String,
    clause: String,
    table: String,
    grpc: Option<String>,
    #[serde(default)]
    answers: Vec<Spanned<u16>>,
    #[serde(default)]
    across_connections: bool,
    #[serde(default)]
    parameters: Vec<RawRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRow {
    name: Spanned<String>,
    #[serde(rename = "type")]
    kind: Spanned<String>,
    #[serde(default)]
    also: Vec<Spanned<String>>,
    presence: Spanned<RawPresence>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawPresence {
    Word(String),
    Condition(RawCondition),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCondition {
    unless: Option<String>,
    if_requested: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProcedure {
    name: Spanned<String>,
    title: Option<String>,
    clause: String,
    messages: Vec<Spanned<u16>>,
    #[serde(default)]
    related_by: Vec<Spanned<String>>,
    #[serde(default)]
    hops: bool,
    nested_in: Option<RawNested>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNested {
    procedure: Spanned<String>,
    share: Vec<Spanned<String>>,
}

/// A fault at a span of the text; [`Source::locate`] turns it into lines and columns.
struct Fault {
    span: Range<usize>,
    text: String,
}

fn fault<T>(at: &Spanned<T>, text: impl Into<String>) -> Fault {
    Fault { span: at.span(), text: text.into() }
}

impl Definitions {
    /// The embedded definition of Q.4164.
    pub fn q4164() -> Self {
        let mut definitions = Self::default();
        definitions.add(Q4164, "built in").expect("the embedded definition is checked by a test");
        definitions
    }

    /// Adds a file, or overrides by it: messages by code, parameters and procedures by name.
    ///
    /// # Errors
    /// The first fault of the text, with line and column; `self` may then hold a part of the file.
    pub fn add(&mut self, text: &str, path: &str) -> Result<(), DefinitionError> {
        let located = |fault: Fault| locate(text, path, fault);
        let raw: RawFile = toml::from_str(text).map_err(|error| {
            located(Fault { span: error.span().unwrap_or(0..0), text: error.message().replace('\n', ", ") })
        })?;
        self.merge(raw, path).map_err(located)?;
        self.schemas.take();
        Ok(())
    }

    fn merge(&mut self, raw: RawFile, path: &str) -> Result<(), Fault> {
        let file = self.files.len() as u16;
        self.files.push(DefinitionFile {
            name: raw.name,
            title: raw.title,
            reference: raw.reference,
            path: path.to_owned(),
        });
        for direction in raw.direction {
            self.merge_direction(&direction)?;
        }
        if let Some(response) = raw.response {
            self.success.extend(response.success.iter().map(|word| word.to_lowercase()));
        }
        for parameter in raw.parameter {
            self.merge_parameter(parameter)?;
        }
        let mut checks = Vec::new();
        for mut message in raw.message {
            let answers = std::mem::take(&mut message.answers);
            self.merge_message(message, &answers, file)?;
            checks.extend(answers);
        }
        for procedure in raw.procedure {
            checks.extend(self.merge_procedure(procedure, file)?);
        }
        self.link(&checks)
    }

    fn merge_direction(&mut self, raw: &RawDirection) -> Result<(), Fault> {
        let direction = [Direction::KmToController, Direction::ControllerToKm]
            .into_iter()
            .find(|direction| direction.name() == raw.name.get_ref())
            .ok_or_else(|| {
                fault(&raw.name, "unknown direction; expected \"km-to-controller\" or \"controller-to-km\"")
            })?;
        let prefix = *raw.prefix.get_ref();
        self.directions.retain(|(known, _)| *known != prefix);
        self.directions.push((prefix, direction));
        Ok(())
    }

    fn merge_parameter(&mut self, raw: RawParameter) -> Result<(), Fault> {
        let role = raw.role.map(|role| role_named(&role)).transpose()?;
        let name = raw.name.get_ref().clone();
        let id = match self.parameters.iter().position(|parameter| parameter.name == name) {
            Some(index) => {
                let known = &mut self.parameters[index];
                known.title = raw.title.unwrap_or_else(|| known.title.clone());
                known.role = role.or(known.role);
                ParameterId(index as u16)
            }
            None => {
                if self.parameters.len() == MAX_PARAMETERS {
                    return Err(fault(&raw.name, format!("more than {MAX_PARAMETERS} parameters")));
                }
                let title = raw.title.unwrap_or_else(|| name.clone());
                self.parameters.push(Parameter { name, title, aliases: Vec::new(), role });
                ParameterId(self.parameters.len() as u16 - 1)
            }
        };
        self.merge_name(&raw.name, id)?;
        for alias in raw.aliases {
            self.merge_name(&alias, id)?;
            self.parameters[id.0 as usize].aliases.push(alias.into_inner());
        }
        Ok(())
    }

    fn merge_name(&mut self, name: &Spanned<String>, id: ParameterId) -> Result<(), Fault> {
        match self.names.insert(normalised(name.get_ref()), id) {
            Some(other) if other != id => {
                let text = format!("{:?} already stands for {}", name.get_ref(), self.parameter(other).name);
                Err(fault(name, text))
            }
            _ => Ok(()),
        }
    }

    fn merge_message(&mut self, raw: RawMessage, answers: &[Spanned<u16>], file: u16) -> Result<(), Fault> {
        let code = CommandCode(*raw.code.get_ref());
        let direction = self.direction(code).ok_or_else(|| {
            fault(&raw.code, format!("{code}: no [[direction]] has the prefix 0x{:02X}", code.0 >> 8))
        })?;
        if raw.parameters.len() > MAX_ROWS {
            return Err(fault(&raw.code, format!("{code}: more than {MAX_ROWS} parameters")));
        }
        let rows = raw.parameters.iter().map(|row| self.row(row)).collect::<Result<Vec<_>, _>>()?;
        if let Some(again) = rows
            .iter()
            .enumerate()
            .position(|(i, row)| rows[..i].iter().any(|earlier| earlier.parameter == row.parameter))
        {
            return Err(fault(&raw.parameters[again].name, "this parameter stands twice in the message"));
        }
        let message = Message {
            code,
            name: raw.name,
            direction,
            clause: raw.clause,
            table: raw.table,
            grpc: raw.grpc,
            answers: answers.iter().map(|code| CommandCode(*code.get_ref())).collect(),
            across_connections: raw.across_connections,
            is_answered: false,
            is_answered_across: false,
            rows,
            step: None,
            file,
        };
        match self.messages.binary_search_by_key(&code, |known| known.code) {
            Ok(index) if self.messages[index].file == file => {
                Err(fault(&raw.code, format!("{code} stands twice in this file")))
            }
            Ok(index) => {
                self.messages[index] = message;
                Ok(())
            }
            Err(index) => {
                self.messages.insert(index, message);
                Ok(())
            }
        }
    }

    fn row(&self, raw: &RawRow) -> Result<Row, Fault> {
        Ok(Row {
            parameter: self.named(raw.name.get_ref(), raw.name.span())?,
            kind: type_named(&raw.kind)?,
            also: raw.also.iter().map(type_named).collect::<Result<_, _>>()?,
            presence: self.presence(&raw.presence)?,
        })
    }

    fn presence(&self, raw: &Spanned<RawPresence>) -> Result<Presence, Fault> {
        let named = |name: &String| self.named(name, raw.span());
        match raw.get_ref() {
            RawPresence::Word(word) if word == "mandatory" => Ok(Presence::Mandatory),
            RawPresence::Word(word) if word == "optional" => Ok(Presence::Optional),
            RawPresence::Condition(RawCondition { unless: Some(other), if_requested: None }) => {
                Ok(Presence::Unless(named(other)?))
            }
            RawPresence::Condition(RawCondition { unless: None, if_requested: Some(other) }) => {
                Ok(Presence::IfRequested(named(other)?))
            }
            _ => Err(fault(
                raw,
                "expected \"mandatory\", \"optional\", { unless = PARAMETER } or { if_requested = PARAMETER }",
            )),
        }
    }

    fn named(&self, name: &str, span: Range<usize>) -> Result<ParameterId, Fault> {
        let found = self.parameters.iter().position(|parameter| parameter.name == name);
        found.map(|index| ParameterId(index as u16)).ok_or_else(|| Fault {
            span,
            text: format!(
                "no [[parameter]] is named {name:?}; parameters are named by their canonical snake_case name"
            ),
        })
    }

    fn merge_procedure(&mut self, raw: RawProcedure, file: u16) -> Result<Vec<Spanned<u16>>, Fault> {
        let nested_in = match &raw.nested_in {
            Some(nested) => Some(self.nested(nested)?),
            None => None,
        };
        let procedure = Procedure {
            name: raw.name.get_ref().clone(),
            title: raw.title.unwrap_or_else(|| raw.name.get_ref().clone()),
            clause: raw.clause,
            messages: raw.messages.iter().map(|code| CommandCode(*code.get_ref())).collect(),
            related_by: raw.related_by.iter().map(role_named).collect::<Result<_, _>>()?,
            hops: raw.hops,
            nested_in,
            file,
        };
        if procedure.messages.is_empty() || procedure.messages.len() > usize::from(u8::MAX) {
            return Err(fault(&raw.name, "a procedure has between 1 and 255 messages"));
        }
        match self.procedures.iter().position(|known| known.name == procedure.name) {
            Some(index) => self.procedures[index] = procedure,
            None => self.procedures.push(procedure),
        }
        Ok(raw.messages)
    }

    fn nested(&self, raw: &RawNested) -> Result<(u16, Vec<super::definition::Identifier>), Fault> {
        let outer = self.procedures.iter().position(|known| known.name == *raw.procedure.get_ref());
        let outer = outer.ok_or_else(|| fault(&raw.procedure, "no procedure before this one has that name"))?;
        let share = raw.share.iter().map(|role| match role_named(role)? {
            Role::Identifier(identifier) => Ok(identifier),
            _ => Err(fault(role, "only single identifiers can be shared")),
        });
        Ok((outer as u16, share.collect::<Result<_, _>>()?))
    }

    /// Derives what follows from all messages and procedures together.
    fn link(&mut self, listed: &[Spanned<u16>]) -> Result<(), Fault> {
        self.by_code = self.directions.iter().map(|&(prefix, _)| (prefix, [NO_MESSAGE; 256])).collect();
        for (index, message) in self.messages.iter().enumerate() {
            let [prefix, rest] = message.code.0.to_be_bytes();
            if let Some((_, indexes)) = self.by_code.iter_mut().find(|(known, _)| *known == prefix) {
                indexes[usize::from(rest)] = index as u16;
            }
        }
        for code in listed {
            if self.message(CommandCode(*code.get_ref())).is_none() {
                return Err(fault(code, format!("no [[message]] has the code {}", CommandCode(*code.get_ref()))));
            }
        }
        let answered: Vec<(CommandCode, bool)> = self
            .messages
            .iter()
            .flat_map(|message| message.answers.iter().map(|&code| (code, message.across_connections)))
            .collect();
        for message in &mut self.messages {
            message.is_answered = answered.iter().any(|&(code, _)| code == message.code);
            message.is_answered_across = answered.contains(&(message.code, true));
            message.step = self.procedures.iter().enumerate().find_map(|(index, procedure)| {
                let step = procedure.messages.iter().position(|&code| code == message.code)?;
                Some((index as u16, step as u8))
            });
        }
        Ok(())
    }
}

fn role_named(name: &Spanned<String>) -> Result<Role, Fault> {
    Role::ALL.into_iter().find(|role| role.name() == name.get_ref()).ok_or_else(|| {
        let all: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
        fault(name, format!("unknown role {:?}; expected one of {}", name.get_ref(), all.join(", ")))
    })
}

fn type_named(name: &Spanned<String>) -> Result<Type, Fault> {
    Type::ALL.into_iter().find(|kind| kind.name() == name.get_ref()).ok_or_else(|| {
        let all: Vec<_> = Type::ALL.iter().map(|kind| kind.name()).collect();
        fault(name, format!("unknown type {:?}; expected one of {}", name.get_ref(), all.join(", ")))
    })
}

fn locate(text: &str, file: &str, fault: Fault) -> DefinitionError {
    located(text, file, fault.span.start, fault.text)
}

/// What is wrong at `offset` of `text`, which stands in `file`.
pub(crate) fn located(text: &str, file: &str, offset: usize, what: String) -> DefinitionError {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    DefinitionError { file: file.to_owned(), line, column, text: what }
}
