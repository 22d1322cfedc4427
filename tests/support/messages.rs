//! Ck messages of every kind and dialect, written by the lab, whose code the decoder does not share.

use ckscope::lab::dialect::{Dialect, Ids, Lists, Message, Outcome, Parameter as P, Responses, Spelling, Value};
use ckscope::lab::wire::{Code, Pdu};
use clap::ValueEnum;
use proptest::prelude::*;

/// The messages of clause 8 with the parameters of their tables.
pub const TABLES: [(Code, &[P]); 13] = [
    (Code::NEXT_HOP_REQUEST, &[P::SourceKmaId, P::DestinationKmaId, P::ApplicationDestinationId]),
    (Code::NEXT_HOP_RESPONSE, &[P::SourceKmaId, P::DestinationKmaId, P::NextKmaIds]),
    (Code::RELAY_NOTIFICATION, &[P::SourceKmaId, P::DestinationKmaId, P::ApplicationDestinationId]),
    (Code::RELAY_REQUEST, &[P::SourceKmaId, P::DestinationKmaId, P::TransitKmaIds, P::KeyRelayRequestId]),
    (Code::RELAY_RESPONSE, &[P::Response, P::KeyRelayRequestId]),
    (Code::SESSION_REQUEST, &[P::ApplicationSourceId, P::ApplicationDestinationId, P::NumberOfKeys]),
    (Code::SESSION_RESPONSE, &[P::SessionId, P::Response, P::DestinationKmId]),
    (
        Code::SESSION_NOTIFICATION,
        &[P::ApplicationSourceId, P::ApplicationDestinationId, P::SessionId, P::SourceKmId, P::NumberOfKeys],
    ),
    (Code::SESSION_NOTIFICATION_RESPONSE, &[P::SessionId, P::Response]),
    (Code::RESERVATION_REQUEST, &[P::SourceKmaId, P::DestinationKmaId, P::ApplicationDestinationId]),
    (Code::RESERVATION_RESPONSE, &[P::SourceKmaId, P::DestinationKmaId, P::KeyIds, P::Response]),
    (Code::ALLOCATION_REQUEST, &[P::SourceKmaId, P::DestinationKmaId, P::KeyIds]),
    (Code::ALLOCATION_RESPONSE, &[P::SourceKmaId, P::DestinationKmaId, P::Response]),
];

/// Whether the KM sends it (Table I.1).
pub fn is_from_km(code: Code) -> bool {
    code.0 >> 8 == 0x14
}

/// A message by its meaning, and how it is written.
#[derive(Clone, Debug)]
pub struct Written {
    pub message: Message,
    pub message_id: u32,
    pub dialect: Dialect,
}

impl Written {
    pub fn encode(&self) -> Vec<u8> {
        let payload = self.dialect.write(&self.message).into_bytes();
        Pdu { version: self.dialect.version, message_id: self.message_id, code: self.message.code, payload }.encode()
    }
}

/// One message of every kind, with all its parameters, MessageIDs counting from 1.
pub fn one_of_each() -> Vec<Written> {
    let message = |(code, parameters): (Code, &[P])| Message {
        code,
        parameters: parameters.iter().map(|&parameter| (parameter, sample(parameter))).collect(),
    };
    let written = |(at, row)| Written { message: message(row), message_id: at as u32 + 1, dialect: Dialect::default() };
    TABLES.into_iter().enumerate().map(written).collect()
}

fn sample(parameter: P) -> Value {
    match parameter {
        P::NumberOfKeys => Value::Number(5),
        P::Response => Value::Outcome(Outcome::Success),
        P::NextKmaIds | P::TransitKmaIds | P::KeyIds => Value::List(vec!["id-1".into(), "id-2".into()]),
        _ => Value::Text(parameter.table_name().to_lowercase()),
    }
}

/// Any message: any dialect, any part of its parameters in any order, any values.
pub fn any_message() -> impl Strategy<Value = Written> {
    let message = prop::sample::select(TABLES.to_vec()).prop_flat_map(|(code, parameters)| {
        let parameters = prop::sample::subsequence(parameters, 0..=parameters.len()).prop_shuffle();
        let valued = parameters.prop_flat_map(|parameters| {
            parameters
                .into_iter()
                .map(|parameter| any_value(parameter).prop_map(move |value| (parameter, value)))
                .collect::<Vec<_>>()
        });
        valued.prop_map(move |parameters| Message { code, parameters })
    });
    (message, any::<u32>(), any_dialect()).prop_map(|(message, message_id, dialect)| Written {
        message,
        message_id,
        dialect,
    })
}

/// A message that only one role sends.
pub fn message_from(km: bool) -> impl Strategy<Value = Written> {
    any_message().prop_filter("the other role's", move |written| is_from_km(written.message.code) == km)
}

fn any_dialect() -> impl Strategy<Value = Dialect> {
    let spelling = prop::sample::select(Spelling::value_variants());
    let lists = prop::sample::select(Lists::value_variants());
    let responses = prop::sample::select(Responses::value_variants());
    (any::<u16>(), spelling, lists, responses).prop_map(|(version, spelling, lists, responses)| Dialect {
        version,
        spelling,
        lists,
        responses,
        ids: Ids::Echo,
    })
}

fn any_value(parameter: P) -> BoxedStrategy<Value> {
    match parameter {
        P::NumberOfKeys => any::<i64>().prop_map(Value::Number).boxed(),
        // A failure's reason would travel as a number and an Extension in some dialects.
        P::Response => Just(Value::Outcome(Outcome::Success)).boxed(),
        // A comma parts what one string lists.
        P::NextKmaIds | P::TransitKmaIds | P::KeyIds => prop::collection::vec("[^, \t\r\n][^,]{0,8}[^, \t\r\n]", 0..4)
            .prop_map(trimmed)
            .prop_map(Value::List)
            .boxed(),
        _ => any::<String>().prop_map(Value::Text).boxed(),
    }
}

/// What white space is to Unicode parts nothing, but the lab trims it.
fn trimmed(ids: Vec<String>) -> Vec<String> {
    ids.iter().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()).collect()
}
