//! What the definition files say, compiled: messages, parameters, procedures, and the look-ups the hot path needs.

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use foldhash::fast::FixedState;
use prost_reflect::DescriptorPool;

use super::schema::{Schemas, built_in};

/// A command code (Q.4164 Table I.1). Any value is kept; unknown ones print as their hex code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandCode(pub u16);

impl fmt::Display for CommandCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:04X}", self.0)
    }
}

/// Which way a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From a KM to the QKDN controller.
    KmToController,
    /// From the QKDN controller to a KM.
    ControllerToKm,
}

impl Direction {
    /// The name in definition files and output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KmToController => "km-to-controller",
            Self::ControllerToKm => "controller-to-km",
        }
    }
}

/// The identifiers that tie messages together; a record keeps one value of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Identifier {
    /// Source of the whole key relay route.
    Source,
    /// Destination of the whole key relay route.
    Destination,
    /// Source cryptographic application.
    ApplicationSource,
    /// Destination cryptographic application.
    ApplicationDestination,
    /// Session ID.
    Session,
    /// Key relay request ID.
    KeyRelayRequest,
}

/// How many [`Identifier`]s there are.
pub const IDENTIFIERS: usize = 6;

/// What the correlation may use a parameter for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A single identifier.
    Identifier(Identifier),
    /// A list of KMA-key IDs.
    Keys,
    /// A list of next hops.
    NextHops,
    /// The result of a request.
    Response,
}

impl Role {
    /// The name in definition files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identifier(Identifier::Source) => "source",
            Self::Identifier(Identifier::Destination) => "destination",
            Self::Identifier(Identifier::ApplicationSource) => "application-source",
            Self::Identifier(Identifier::ApplicationDestination) => "application-destination",
            Self::Identifier(Identifier::Session) => "session",
            Self::Identifier(Identifier::KeyRelayRequest) => "key-relay-request",
            Self::Keys => "keys",
            Self::NextHops => "next-hops",
            Self::Response => "response",
        }
    }

    /// All roles.
    pub const ALL: [Role; 9] = [
        Self::Identifier(Identifier::Source),
        Self::Identifier(Identifier::Destination),
        Self::Identifier(Identifier::ApplicationSource),
        Self::Identifier(Identifier::ApplicationDestination),
        Self::Identifier(Identifier::Session),
        Self::Identifier(Identifier::KeyRelayRequest),
        Self::Keys,
        Self::NextHops,
        Self::Response,
    ];
}

/// Index of a parameter in [`Definitions::parameters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParameterId(pub u16);

/// A parameter that any table names.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Canonical name: the table's title in `snake_case`.
    pub name: String,
    /// The title in the tables.
    pub title: String,
    /// Other names it is known by.
    pub aliases: Vec<String>,
    /// What ties or tells by it.
    pub role: Option<Role>,
}

/// JSON types as the tables name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// `string`
    String,
    /// `integer`
    Integer,
    /// `Array of string`
    ArrayOfString,
    /// `Array of objects`
    ArrayOfObjects,
}

impl Type {
    /// The name in definition files and diagnostics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::ArrayOfString => "array of string",
            Self::ArrayOfObjects => "array of objects",
        }
    }

    /// All types.
    pub const ALL: [Type; 4] = [Self::String, Self::Integer, Self::ArrayOfString, Self::ArrayOfObjects];
}

/// The M/O column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// M
    Mandatory,
    /// O
    Optional,
    /// Either this or the other parameter is mandatory.
    Unless(ParameterId),
    /// Mandatory if the request that this message answers contained the other parameter.
    IfRequested(ParameterId),
}

/// One row of a message's table.
#[derive(Clone, Debug)]
pub struct Row {
    /// The parameter.
    pub parameter: ParameterId,
    /// Its type in this table.
    pub kind: Type,
    /// Types read without complaint beside `kind`.
    pub also: Vec<Type>,
    /// Its presence.
    pub presence: Presence,
}

/// A message of clause 8, or a vendor's.
#[derive(Clone, Debug)]
pub struct Message {
    /// Command code.
    pub code: CommandCode,
    /// Name in Table I.1.
    pub name: String,
    /// Who sends it, by the first digits of the code.
    pub direction: Direction,
    /// Clause that describes it.
    pub clause: String,
    /// Table of its parameters, e.g. `Table 4`.
    pub table: String,
    /// Its name as a protobuf message (Q.4164 Table II.1-1).
    pub grpc: Option<String>,
    /// Requests that it answers.
    pub answers: Vec<CommandCode>,
    /// Whether what it answers may have travelled on another connection.
    pub across_connections: bool,
    /// Whether some message answers this one.
    pub is_answered: bool,
    /// Whether that message may travel on another connection.
    pub is_answered_across: bool,
    /// Its table; at most [`MAX_ROWS`] rows.
    pub rows: Vec<Row>,
    /// The procedure it belongs to: index in [`Definitions::procedures`], and its step there.
    pub step: Option<(u16, u8)>,
    /// Index in [`Definitions::files`].
    pub file: u16,
}

/// Rows of one table: presence is kept as a 32-bit set.
pub const MAX_ROWS: usize = 32;

impl Message {
    /// The row of `parameter`, with its index.
    pub fn row(&self, parameter: ParameterId) -> Option<(usize, &Row)> {
        self.rows.iter().enumerate().find(|(_, row)| row.parameter == parameter)
    }

    /// Whether the last step of a procedure, or an answer that nothing answers.
    pub fn is_final(&self) -> bool {
        !self.answers.is_empty() && !self.is_answered
    }
}

/// A procedure of clause 7, or a vendor's.
#[derive(Clone, Debug)]
pub struct Procedure {
    /// The name in output, e.g. `key-relay-distributed`.
    pub name: String,
    /// For people.
    pub title: String,
    /// Clause that describes it.
    pub clause: String,
    /// Its messages, in order.
    pub messages: Vec<CommandCode>,
    /// Sharing a value of one of these makes two procedures one exchange.
    pub related_by: Vec<Role>,
    /// Whether procedures with the same route are the hops of one relay.
    pub hops: bool,
    /// The procedure that causes this one (index), and the identifiers both share.
    pub nested_in: Option<(u16, Vec<Identifier>)>,
    /// Index in [`Definitions::files`].
    pub file: u16,
}

/// Where definitions came from.
#[derive(Clone, Debug)]
pub struct DefinitionFile {
    /// `name` in the file.
    pub name: String,
    /// `title` in the file.
    pub title: String,
    /// `reference` in the file.
    pub reference: String,
    /// Path, or `built in`.
    pub path: String,
}

/// All definition files together.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    /// In the order given; the embedded one first.
    pub files: Vec<DefinitionFile>,
    /// Every parameter.
    pub parameters: Vec<Parameter>,
    /// Every message, sorted by code.
    pub messages: Vec<Message>,
    /// Every procedure.
    pub procedures: Vec<Procedure>,
    /// First digits of a command code → direction.
    pub directions: Vec<(u8, Direction)>,
    /// Words that mean success, lower case.
    pub success: Vec<String>,
    /// See [`Definitions::schemas`].
    pub(super) schemas: OnceLock<Schemas>,
    pub(super) pools: Vec<DescriptorPool>,
    pub(super) names: HashMap<String, ParameterId, FixedState>,
    /// Index in `messages` by code, for the codes of each direction's prefix.
    pub(super) by_code: Vec<(u8, [u16; 256])>,
}

/// No message, in [`Definitions::by_code`].
pub(super) const NO_MESSAGE: u16 = u16::MAX;

impl Definitions {
    /// The message with this code, with its index in [`Definitions::messages`].
    pub fn message(&self, code: CommandCode) -> Option<(u16, &Message)> {
        let [prefix, rest] = code.0.to_be_bytes();
        let (_, indexes) = self.by_code.iter().find(|(known, _)| *known == prefix)?;
        let index = indexes[usize::from(rest)];
        (index != NO_MESSAGE).then(|| (index, &self.messages[usize::from(index)]))
    }

    /// The direction that the first digits of `code` stand for.
    pub fn direction(&self, code: CommandCode) -> Option<Direction> {
        let prefix = (code.0 >> 8) as u8;
        self.directions.iter().find(|(known, _)| *known == prefix).map(|&(_, direction)| direction)
    }

    /// The parameter that a JSON name stands for, ignoring case, spaces, `_` and `-`.
    pub fn parameter_named(&self, name: &str) -> Option<ParameterId> {
        let mut short = [0; SHORT];
        let known = match normalised_short(name, &mut short) {
            Some(name) => self.names.get(name),
            None => self.names.get(&normalised(name)),
        };
        known.copied()
    }

    /// Takes schemas beside those known: a method that they have counts as they say.
    pub fn add_schemas(&mut self, pool: DescriptorPool) {
        self.pools.push(pool);
        self.schemas.take();
    }

    /// The messages of protobuf schemas that are messages of these definitions: of the built-in one, and of those added.
    /// Made when first asked for, since most captures have no gRPC.
    pub fn schemas(&self) -> &Schemas {
        self.schemas.get_or_init(|| Schemas::new(self, [vec![built_in()], self.pools.clone()].concat()))
    }

    /// The parameter with this index.
    pub fn parameter(&self, id: ParameterId) -> &Parameter {
        &self.parameters[id.0 as usize]
    }

    /// Whether a Response with this text means success.
    pub fn means_success(&self, text: &str) -> bool {
        let text = text.trim();
        let is_number = || text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
        if is_number() && text.parse::<f64>() == Ok(0.0) {
            return true;
        }
        self.success.iter().any(|word| {
            let Some(head) = text.get(..word.len()) else { return false };
            let rest = text[word.len()..].trim_start();
            head.eq_ignore_ascii_case(word) && rest.chars().next().is_none_or(|c| c.is_ascii_punctuation())
        })
    }
}

/// Names up to here are normalised in place.
const SHORT: usize = 48;

/// [`normalised`] without memory of its own, for names as they nearly always are: short, and in ASCII.
fn normalised_short<'a>(name: &str, buffer: &'a mut [u8; SHORT]) -> Option<&'a str> {
    if name.len() > SHORT || !name.is_ascii() {
        return None;
    }
    let mut length = 0;
    for byte in name.bytes().filter(|byte| !matches!(byte, b' ' | b'_' | b'-')) {
        buffer[length] = byte.to_ascii_lowercase();
        length += 1;
    }
    std::str::from_utf8(&buffer[..length]).ok()
}

/// A JSON name without what spellings differ in: case, spaces, `_` and `-`.
pub fn normalised(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, ' ' | '_' | '-')).flat_map(char::to_lowercase).collect()
}
