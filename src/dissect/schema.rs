//! Protobuf schemas at run time: which message of which schema is which of the definitions', and how its fields are
//! written as JSON, so that everything behind reads both bindings alike.
//!
//! Messages are matched by name (Q.4164 Appendix II names messages and parameters, not packages, services or numbers).

use std::collections::HashMap;
use std::fmt::Write as _;

use foldhash::fast::RandomState;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, SerializeOptions};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use super::definition::{CommandCode, Definitions, ParameterId};
use super::wire::{Field, Fields, Scalar};

/// The name of the built-in schema.
const BUILT_IN: &str = "q4164-ck.proto";

/// Bytes of JSON that a message may become; the largest payload of Appendix I has 64 KiB.
const MAX_JSON: usize = 16 << 20;

/// Index of a message in [`Schemas`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SchemaId(pub u16);

/// A protobuf message that the definitions know.
#[derive(Clone, Debug)]
struct Schema {
    code: CommandCode,
    descriptor: MessageDescriptor,
    /// Which of the schemas it is from: the built-in one is the first.
    pool: usize,
    /// The parameters that its fields stand for.
    parameters: Vec<ParameterId>,
}

/// What a method takes and gives, as far as the definitions know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Method {
    /// What the client sends.
    pub input: Option<SchemaId>,
    /// What the server sends.
    pub output: Option<SchemaId>,
}

/// The messages of all schemas that the definitions know.
#[derive(Clone, Debug, Default)]
pub struct Schemas {
    messages: Vec<Schema>,
    /// By `/package.Service/Method`.
    methods: HashMap<String, Method>,
}

/// The schema that is built in: Appendix II's messages, their fields in the order of its tables.
pub fn built_in() -> DescriptorPool {
    struct BuiltIn;
    impl FileResolver for BuiltIn {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            match name {
                BUILT_IN => File::from_source(name, include_str!("../../dissectors/q4164-ck.proto")),
                _ => Err(protox::Error::file_not_found(name)),
            }
        }
    }
    let mut resolver = ChainFileResolver::new();
    resolver.add(BuiltIn);
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.open_file(BUILT_IN).expect("the built-in schema compiles: a test compiles it").descriptor_pool()
}

impl Schemas {
    /// The messages of `pools` that `definitions` know; of methods with one path, the last pool's counts.
    pub fn new(definitions: &Definitions, pools: Vec<DescriptorPool>) -> Self {
        let mut schemas = Self::default();
        for (number, pool) in pools.into_iter().enumerate() {
            let first = schemas.messages.len();
            let known = pool.all_messages().filter_map(|descriptor| Schema::of(definitions, descriptor, number));
            schemas.messages.extend(known);
            schemas.messages.truncate(usize::from(u16::MAX));
            for service in pool.services() {
                for method in service.methods() {
                    let find = |wanted: MessageDescriptor| {
                        let mut later = schemas.messages.iter().enumerate().skip(first);
                        let found = later.find(|(_, schema)| schema.descriptor == wanted);
                        found.map(|(index, _)| SchemaId(index as u16))
                    };
                    let path = format!("/{}/{}", service.full_name(), method.name());
                    let ends = Method { input: find(method.input()), output: find(method.output()) };
                    schemas.methods.insert(path, ends);
                }
            }
        }
        schemas
    }

    /// The method with this path.
    pub fn method(&self, path: &str) -> Option<Method> {
        self.methods.get(path).copied()
    }

    /// The command code that a message is equivalent to.
    pub fn code(&self, id: SchemaId) -> CommandCode {
        self.messages[usize::from(id.0)].code
    }

    /// Whether a message has a field for a parameter.
    pub fn has(&self, id: SchemaId, parameter: ParameterId) -> bool {
        self.messages[usize::from(id.0)].parameters.contains(&parameter)
    }

    /// Whether a message has a field of this name.
    pub fn names(&self, id: SchemaId, field: &str) -> bool {
        self.messages[usize::from(id.0)].descriptor.get_field_by_name(field).is_some()
    }

    /// The only kind of message that `bytes` can be, where no path tells: every field known, and no other kind fits, nor
    /// the same with other names.
    pub fn guess(&self, bytes: &[u8]) -> Option<SchemaId> {
        let fits = |schema: &Schema| {
            let mut fields = Fields::of(bytes);
            let all = fields.by_ref().all(|field| {
                let known = schema.descriptor.get_field(field.number);
                known.is_some_and(|known| {
                    known.kind() == Kind::String && field.text().is_some() || fits_number(&known, &field)
                })
            });
            all && !fields.is_cut() && !bytes.is_empty()
        };
        let fitting = || self.messages.iter().enumerate().filter(|(_, schema)| fits(schema));
        // What was given by name speaks before what is built in.
        let pool = fitting().map(|(_, schema)| schema.pool).max()?;
        let mut fitting = fitting().filter(|(_, schema)| (schema.pool > 0) == (pool > 0));
        let (index, first) = fitting.next()?;
        let names = |schema: &Schema| -> Vec<String> {
            let fields = Fields::of(bytes).filter_map(|field| schema.descriptor.get_field(field.number));
            fields.map(|field| field.name().to_owned()).collect()
        };
        let is_alike = |other: &Schema| other.code == first.code && names(other) == names(first);
        fitting.all(|(_, other)| is_alike(other)).then_some(SchemaId(index as u16))
    }

    /// Writes a message as a JSON object with the schema's own names, in the order of the wire; what is wrong with it.
    pub fn to_json(&self, id: SchemaId, bytes: &[u8], json: &mut String) -> Option<String> {
        let descriptor = &self.messages[usize::from(id.0)].descriptor;
        let mut writer = Writer { descriptor, bytes, json, problem: None };
        writer.write();
        writer.problem
    }
}

fn fits_number(known: &FieldDescriptor, field: &Field<'_>) -> bool {
    matches!(known.kind(), Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Sint32 | Kind::Bool)
        && matches!(field.value, Scalar::Varint(_))
}

impl Schema {
    fn of(definitions: &Definitions, descriptor: MessageDescriptor, pool: usize) -> Option<Self> {
        let code = definitions.messages.iter().find(|message| message.grpc.as_deref() == Some(descriptor.name()))?.code;
        let parameters = descriptor.fields().filter_map(|field| definitions.parameter_named(field.name())).collect();
        Some(Self { code, descriptor, pool, parameters })
    }
}

/// Writes one message.
struct Writer<'a> {
    descriptor: &'a MessageDescriptor,
    bytes: &'a [u8],
    json: &'a mut String,
    problem: Option<String>,
}

/// An integer of a kind, unless it is encoded as another.
fn integer(kind: &Kind, value: Scalar<'_>) -> Option<i128> {
    Some(match (kind, value) {
        (Kind::Int32, Scalar::Varint(value)) => i128::from(value as i32),
        (Kind::Int64, Scalar::Varint(value)) => i128::from(value as i64),
        (Kind::Uint32, Scalar::Varint(value)) => i128::from(value as u32),
        (Kind::Uint64, Scalar::Varint(value)) => i128::from(value),
        (Kind::Sint32 | Kind::Sint64, Scalar::Varint(value)) => i128::from((value >> 1) as i64 ^ -((value & 1) as i64)),
        (Kind::Fixed32, Scalar::Fixed32(value)) => i128::from(value),
        (Kind::Sfixed32, Scalar::Fixed32(value)) => i128::from(value as i32),
        (Kind::Fixed64, Scalar::Fixed64(value)) => i128::from(value),
        (Kind::Sfixed64, Scalar::Fixed64(value)) => i128::from(value as i64),
        _ => return None,
    })
}

/// Fields with the same number together, in the order in which numbers first appear.
fn by_number<'a>(fields: &mut Fields<'a>) -> Vec<(u32, Vec<Field<'a>>)> {
    let mut grouped: Vec<(u32, Vec<Field<'a>>)> = Vec::new();
    let mut places: HashMap<u32, usize, RandomState> = HashMap::default();
    for field in fields {
        let place = *places.entry(field.number).or_insert(grouped.len());
        match grouped.get_mut(place) {
            Some((_, same)) => same.push(field),
            None => grouped.push((field.number, vec![field])),
        }
    }
    grouped
}

impl Writer<'_> {
    fn write(&mut self) {
        let mut fields = Fields::of(self.bytes);
        let by_number = by_number(&mut fields);
        if fields.is_cut() {
            self.wrong(|| format!("payload is no protobuf from byte {} on", fields.position()));
        }
        self.json.push('{');
        for (index, (number, fields)) in by_number.iter().enumerate() {
            if self.json.len() > MAX_JSON {
                self.wrong(|| "payload is larger as JSON than is kept; its end is left out".to_owned());
                break;
            }
            if index > 0 {
                self.json.push(',');
            }
            match self.descriptor.get_field(*number) {
                Some(known) => self.known(&known, fields),
                None => self.unknown(*number, fields),
            }
        }
        self.json.push('}');
    }

    fn wrong(&mut self, text: impl FnOnce() -> String) {
        if self.problem.is_none() {
            self.problem = Some(text());
        }
    }

    fn name(&mut self, name: &str) {
        self.text(name);
        self.json.push(':');
    }

    fn text(&mut self, text: &str) {
        self.json.push_str(&serde_json::Value::from(text).to_string());
    }

    fn known(&mut self, known: &FieldDescriptor, fields: &[Field<'_>]) {
        self.name(known.name());
        let simple = !matches!(known.kind(), Kind::Message(_) | Kind::Bytes | Kind::Float | Kind::Double);
        if !simple {
            return self.by_library(known, fields);
        }
        if !known.is_list() {
            // The last one counts ("Protocol Buffers, Encoding: Last One Wins").
            let last = fields.last().expect("a field is listed because it was met");
            return self.value(known, last);
        }
        self.json.push('[');
        let start = self.json.len();
        for field in fields {
            for value in self.unpacked(known, field) {
                if self.json.len() > start {
                    self.json.push(',');
                }
                self.value(known, &value);
            }
        }
        self.json.push(']');
    }

    /// The values of a field that may be a packed list.
    fn unpacked<'f>(&self, known: &FieldDescriptor, field: &Field<'f>) -> Vec<Field<'f>> {
        match field.value {
            Scalar::Bytes(bytes) if known.kind() != Kind::String => {
                let of = |value| Field { value, ..*field };
                match known.kind() {
                    Kind::Fixed32 | Kind::Sfixed32 => {
                        let words =
                            bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
                        words.map(|word| of(Scalar::Fixed32(word))).collect()
                    }
                    Kind::Fixed64 | Kind::Sfixed64 => {
                        let words = bytes.chunks_exact(8).filter_map(|word| word.first_chunk());
                        words.map(|word| of(Scalar::Fixed64(u64::from_le_bytes(*word)))).collect()
                    }
                    _ => super::wire::varints(bytes).map(|value| of(Scalar::Varint(value))).collect(),
                }
            }
            _ => vec![*field],
        }
    }

    fn value(&mut self, known: &FieldDescriptor, field: &Field<'_>) {
        let number = match (known.kind(), field.value) {
            (Kind::String, Scalar::Bytes(bytes)) => {
                if std::str::from_utf8(bytes).is_err() {
                    self.wrong(|| format!("field {} is not UTF-8", known.name()));
                }
                return self.text(&String::from_utf8_lossy(bytes));
            }
            (Kind::Bool, Scalar::Varint(value)) => {
                return self.json.push_str(if value == 0 { "false" } else { "true" });
            }
            (Kind::Enum(names), Scalar::Varint(value)) => {
                match names.get_value(value as i32) {
                    Some(name) => return self.text(name.name()),
                    // A number that the schema does not know.
                    None => i128::from(value as i32),
                }
            }
            (kind, value) => match integer(&kind, value) {
                Some(number) => number,
                None => {
                    self.wrong(|| format!("field {} is not encoded as its schema says", known.name()));
                    return self.raw(value);
                }
            },
        };
        let _ = write!(self.json, "{number}");
    }

    /// Messages, maps, bytes and floating point: as the protobuf library reads them.
    fn by_library(&mut self, known: &FieldDescriptor, fields: &[Field<'_>]) {
        let wire: Vec<u8> = fields.iter().flat_map(|field| &self.bytes[field.span.0..field.span.1]).copied().collect();
        let options = SerializeOptions::new().stringify_64_bit_integers(false).use_proto_field_name(true);
        let value = DynamicMessage::decode(self.descriptor.clone(), wire.as_slice()).ok().and_then(|message| {
            let object = message.serialize_with_options(serde_json::value::Serializer, &options).ok()?;
            object.get(known.name()).cloned()
        });
        match value {
            Some(value) => self.json.push_str(&value.to_string()),
            None => {
                self.wrong(|| format!("field {} is not encoded as its schema says", known.name()));
                let last = fields.last().expect("a field is listed because it was met");
                self.raw(last.value);
            }
        }
    }

    fn unknown(&mut self, number: u32, fields: &[Field<'_>]) {
        self.name(&format!("field_{number}"));
        if let [field] = fields {
            return self.raw(field.value);
        }
        self.json.push('[');
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                self.json.push(',');
            }
            self.raw(field.value);
        }
        self.json.push(']');
    }

    /// A value of which only the encoding is known: bytes are a text if they can be, else hexadecimal.
    fn raw(&mut self, value: Scalar<'_>) {
        match value {
            Scalar::Varint(value) | Scalar::Fixed64(value) => self.json.push_str(&value.to_string()),
            Scalar::Fixed32(value) => self.json.push_str(&value.to_string()),
            Scalar::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => self.text(text),
                Err(_) => {
                    self.json.push('"');
                    for byte in bytes {
                        let _ = write!(self.json, "{byte:02x}");
                    }
                    self.json.push('"');
                }
            },
        }
    }
}
