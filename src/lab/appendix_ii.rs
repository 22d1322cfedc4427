//! The gRPC messages of Q.4164 Appendix II: a [`Message`] to protobuf bytes and back, by the definitions in
//! `dissectors/q4164-ck.proto`. Refuses to know connections and calls.

use std::sync::LazyLock;

use prost::Message as _;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor, ReflectMessage, ServiceDescriptor, Value,
};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use super::dialect::{Dialect, Ids, Lists, Message, Outcome, Parameter, Responses, Spelling, Value as Meaning};
use super::wire::{Code, Pdu};

const FILE: &str = "q4164-ck.proto";
const SOURCE: &str = include_str!("../../dissectors/q4164-ck.proto");

/// The messages of Table II.1-1.
const MESSAGES: [(Code, &str); 7] = [
    (Code::RELAY_NOTIFICATION, "KeyRelayRequestNotification"),
    (Code::RELAY_REQUEST, "KeyRelayRequest"),
    (Code::RELAY_RESPONSE, "KeyRelayResponse"),
    (Code::RESERVATION_REQUEST, "KeyReservationRequest"),
    (Code::RESERVATION_RESPONSE, "KeyReservationResponse"),
    (Code::ALLOCATION_REQUEST, "KeyAllocationRequest"),
    (Code::ALLOCATION_RESPONSE, "KeyAllocationResponse"),
];

/// How peers must write that speak gRPC: what Appendix II has no field for (MessageID, reasons as objects) they
/// must not need.
pub fn dialect(dialect: Dialect) -> Dialect {
    Dialect {
        spelling: Spelling::AppendixIi,
        lists: Lists::Comma,
        responses: Responses::Number,
        ids: Ids::Echo,
        ..dialect
    }
}

/// The service and its messages.
#[derive(Debug)]
pub struct Schema(ServiceDescriptor);

/// The project's own definitions.
pub static Q4164: LazyLock<Schema> = LazyLock::new(|| {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Own);
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file(FILE).expect("the project's own definitions compile");
    let pool = compiler.descriptor_pool();
    Schema(pool.services().next().expect("the project's own definitions have a service"))
});

/// Finds the project's file.
struct Own;

impl FileResolver for Own {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == FILE { File::from_source(name, SOURCE) } else { Err(protox::Error::file_not_found(name)) }
    }
}

impl Schema {
    /// The method that carries this request, as it stands in `:path`; `None` if Appendix II maps no such request.
    pub fn path(&self, request: Code) -> Option<String> {
        let method = self.methods().find(|method| code(&method.input()) == Some(request))?;
        Some(format!("/{}/{}", self.0.full_name(), method.name()))
    }

    /// The request that a call of this `:path` carries.
    pub fn request(&self, path: &str) -> Option<Code> {
        let name = path.strip_prefix('/')?.strip_prefix(self.0.full_name())?.strip_prefix('/')?;
        self.methods().find(|method| method.name() == name).and_then(|method| code(&method.input()))
    }

    /// The message that answers this request within the call; `None` where that is empty.
    pub fn response(&self, request: Code) -> Option<Code> {
        let method = self.methods().find(|method| code(&method.input()) == Some(request))?;
        code(&method.output())
    }

    fn methods(&self) -> impl Iterator<Item = MethodDescriptor> + '_ {
        self.0.methods()
    }

    fn message(&self, code: Code) -> Option<MessageDescriptor> {
        let name = MESSAGES.iter().find(|(other, _)| *other == code)?.1;
        self.0.parent_pool().all_messages().find(|message| message.name() == name)
    }

    /// A PDU as protobuf; what Appendix II does not map is left out. `None` if it maps no such message.
    pub fn encode(&self, pdu: &Pdu) -> Option<Vec<u8>> {
        let mut dynamic = DynamicMessage::new(self.message(pdu.code)?);
        let descriptor = dynamic.descriptor();
        for (parameter, value) in &Message::read(pdu.code, &pdu.payload).parameters {
            let field = parameter.field().and_then(|name| descriptor.get_field_by_name(name));
            if let Some(field) = field {
                dynamic.set_field(&field, field_value(&field, value));
            }
        }
        Some(dynamic.encode_to_vec())
    }

    /// Protobuf as a PDU with this MessageID in the [`dialect`] of the lab.
    pub fn decode(&self, code: Code, message_id: u32, bytes: &[u8]) -> Result<Pdu, prost::DecodeError> {
        let mut message = Message::new(code);
        if let Some(descriptor) = self.message(code) {
            let dynamic = DynamicMessage::decode(descriptor.clone(), bytes)?;
            message.parameters = descriptor.fields().filter_map(|field| parameter(&dynamic, &field)).collect();
        }
        Ok(pdu(message_id, &message))
    }
}

/// A PDU as it would have been without gRPC.
pub fn pdu(message_id: u32, message: &Message) -> Pdu {
    let dialect = dialect(Dialect::default());
    Pdu { version: dialect.version, message_id, code: message.code, payload: dialect.write(message).into_bytes() }
}

fn code(message: &MessageDescriptor) -> Option<Code> {
    MESSAGES.iter().find(|(_, name)| *name == message.name()).map(|(code, _)| *code)
}

fn field_value(field: &FieldDescriptor, value: &Meaning) -> Value {
    match value {
        Meaning::Text(text) => Value::String(text.clone()),
        Meaning::Number(number) => Value::I32(i32::try_from(*number).unwrap_or(i32::MAX)),
        Meaning::List(ids) if field.is_list() => Value::List(ids.iter().cloned().map(Value::String).collect()),
        Meaning::List(ids) => Value::String(ids.join(",")),
        Meaning::Outcome(outcome) => Value::I32(i32::from(*outcome != Outcome::Success)), // 0: OK, 1: NG
    }
}

/// A field that is there, or Response, whose absence is 0.
fn parameter(message: &DynamicMessage, field: &FieldDescriptor) -> Option<(Parameter, Meaning)> {
    let parameter = Parameter::named(field.name())?;
    let value = message.get_field(field);
    let meaning = match (parameter, &*value) {
        (Parameter::Response, value) if value.as_i32() == Some(0) => Meaning::Outcome(Outcome::Success),
        (Parameter::Response, _) => {
            let reason = message.get_field_by_name(Parameter::Extension.field()?);
            let reason = reason.as_ref().and_then(|reason| reason.as_str()).unwrap_or_default();
            Meaning::Outcome(Outcome::Failure(reason.to_owned()))
        }
        (Parameter::Extension, _) => return None, // it went with Response
        (_, Value::List(ids)) => Meaning::List(ids.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        (_, Value::String(text)) if text.is_empty() => return None,
        (Parameter::TransitKmaIds | Parameter::KeyIds, Value::String(text)) => {
            Meaning::List(text.split(',').map(str::to_owned).collect())
        }
        (_, Value::String(text)) => Meaning::Text(text.clone()),
        _ => return None,
    };
    Some((parameter, meaning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_of_appendix_ii_survives() {
        let ids = ["a".to_owned(), "b".to_owned()];
        for (code, name) in MESSAGES {
            let mut message = Message::new(code).text(Parameter::SourceKmaId, "KMA-1");
            if matches!(code, Code::ALLOCATION_REQUEST | Code::RESERVATION_RESPONSE) {
                message = message.list(Parameter::KeyIds, &ids);
            }
            if code == Code::RELAY_RESPONSE {
                message = Message::new(code).outcome(&Outcome::Failure("no keys".to_owned()));
            } else if matches!(code, Code::RESERVATION_RESPONSE | Code::ALLOCATION_RESPONSE) {
                message = message.outcome(&Outcome::Success);
            }
            let pdu = pdu(7, &message);
            let bytes = Q4164.encode(&pdu).unwrap();
            assert_eq!(Q4164.decode(code, 7, &bytes).unwrap().text(), pdu.text(), "{name}");
        }
    }

    #[test]
    fn requests_have_methods_and_session_messages_none() {
        let response = Q4164.response(Code::RELAY_REQUEST);
        assert_eq!(response, Some(Code::RELAY_RESPONSE));
        for request in [Code::RELAY_NOTIFICATION, Code::RELAY_REQUEST, Code::RESERVATION_REQUEST] {
            assert_eq!(Q4164.request(&Q4164.path(request).unwrap()), Some(request));
        }
        assert_eq!(Q4164.path(Code::SESSION_REQUEST), None);
    }
}
