//! Departures from the Recommendation, one in each capture.

use super::super::file::Capture;
use super::super::peer::{Target, Task};
use super::super::setup::Setup;
use super::super::simulation::Simulation;
use super::super::wire::{Code, Pdu};
use super::{Scenario, close, converse, next_hop, reserve, session, two_kms};
use crate::time::Span;

pub(super) const TABLE: &[Scenario] = &[
    Scenario::new("missing-parameter", "0x1406 without the mandatory Application source ID (Table 6)", |setup| {
        payload(setup, Code::SESSION_REQUEST, |_| r#"{"Application destination ID":"app-4","Number of keys":5}"#.into())
    }),
    Scenario::new("missing-either", "0x1403 with neither of the two destinations (Table 3)", |setup| {
        payload(setup, Code::RELAY_NOTIFICATION, |_| r#"{"Source KMA ID":"KMA-1"}"#.into())
    }),
    Scenario::new("wrong-type", "0x1406 with Number of keys as a string (Table 6)", |setup| {
        payload(setup, Code::SESSION_REQUEST, |text| text.replace(":5}", r#":"five"}"#))
    }),
    Scenario::new("unknown-parameter", "0x1406 with a parameter that no table names", |setup| {
        payload(setup, Code::SESSION_REQUEST, |text| text.replace('}', r#","Priority":{"level":3}}"#))
    }),
    Scenario::new("null-parameter", "0x1406 with null for Number of keys", |setup| {
        payload(setup, Code::SESSION_REQUEST, |text| text.replace(":5}", ":null}"))
    }),
    Scenario::new("duplicate-names", "0x1403 with Destination KMA ID twice, and different", |setup| {
        payload(setup, Code::RELAY_NOTIFICATION, |text| text.replace('}', r#","Destination KMA ID":"KMA-6"}"#))
    }),
    Scenario::new("malformed-json", "0x1406 whose JSON ends in the middle of a string", |setup| {
        payload(setup, Code::SESSION_REQUEST, |text| text[..text.len() - 24].into())
    }),
    Scenario::new("empty-payload", "0x1406 with Length 0", |setup| {
        payload(setup, Code::SESSION_REQUEST, |_| String::new())
    }),
    Scenario::new("payload-not-an-object", "0x1406 whose JSON is an array", |setup| {
        payload(setup, Code::SESSION_REQUEST, |text| format!("[{text}]"))
    }),
    Scenario::new("byte-order-mark", "payloads that begin with a byte order mark (RFC 8259 8.1 forbids it)", |setup| {
        tampered(setup, |pdu| encode(pdu, |changed| changed.payload = [&[0xef, 0xbb, 0xbf], &*pdu.payload].concat()))
    }),
    Scenario::new("little-endian", "headers in little-endian byte order", |setup| tampered(setup, little_endian)),
    Scenario::new("length-counts-header", "Length counts the ten bytes of the header too", |setup| {
        tampered(setup, length_counts_header)
    }),
    Scenario::new("length-too-large", "a Length of 65,535 before 58 bytes, and messages that it swallows", |setup| {
        tampered(setup, |pdu| {
            let mut bytes = pdu.encode();
            if pdu.code == Code::RELAY_RESPONSE {
                bytes[8..10].copy_from_slice(&u16::MAX.to_be_bytes());
            }
            bytes
        })
    }),
    Scenario::new("version-change", "Version changes from 1 to 2 within a connection", |setup| {
        tampered(setup, |pdu| encode(pdu, |pdu| pdu.version += u16::from(pdu.code == Code::SESSION_REQUEST)))
    }),
    Scenario::new("duplicate-message-id", "two requests of one KM with the same MessageID", |setup| {
        tampered(setup, |pdu| {
            encode(pdu, |pdu| {
                pdu.message_id -= u32::from(matches!(pdu.code, Code::SESSION_REQUEST | Code::SESSION_RESPONSE))
            })
        })
    }),
    Scenario::new("unknown-command", "a command code that is not in Table I.1, from each side", unknown_command),
    Scenario::new(
        "wrong-direction",
        "a KM sends a code that only the controller may, and the other way round",
        wrong_way,
    ),
    Scenario::new("unexpected-response", "responses that nobody asked for", unexpected),
    Scenario::new("garbage-between", "33 bytes that are no message between two messages", garbage),
];

/// The message as it would be after `change`.
fn encode(pdu: &Pdu, change: impl FnOnce(&mut Pdu)) -> Vec<u8> {
    let mut changed = pdu.clone();
    change(&mut changed);
    changed.encode()
}

/// The short conversation with everything sent changed by `tamper`.
fn tampered(setup: &Setup, tamper: impl FnMut(&Pdu) -> Vec<u8> + 'static) -> Capture {
    let mut simulation = two_kms(setup);
    simulation.tamper = Some(Box::new(tamper));
    converse(&mut simulation);
    close(simulation)
}

/// The short conversation with the payload of one kind of message changed.
fn payload(setup: &Setup, code: Code, change: impl Fn(&str) -> String + 'static) -> Capture {
    tampered(setup, move |pdu| {
        encode(pdu, |changed| {
            if pdu.code == code {
                changed.payload = change(&pdu.text()).into_bytes();
            }
        })
    })
}

fn little_endian(pdu: &Pdu) -> Vec<u8> {
    let mut bytes = pdu.encode();
    for field in [0..2, 2..6, 6..8, 8..10] {
        bytes[field].reverse();
    }
    bytes
}

fn length_counts_header(pdu: &Pdu) -> Vec<u8> {
    let mut bytes = pdu.encode();
    let length = bytes.len() as u16;
    bytes[8..10].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// Puts `pdus` between two conversations: (whether the KM sends it, what).
fn with_extra(setup: &Setup, pdus: &[(bool, u16, &str)]) -> Capture {
    let mut simulation = two_kms(setup);
    converse(&mut simulation);
    for (number, &(from_km, code, text)) in pdus.iter().enumerate() {
        let message_id = 0x7000_0000 + number as u32;
        let pdu = Pdu { version: 1, message_id, code: Code(code), payload: text.into() };
        let side = simulation.km_side();
        simulation.inject("KMA-1", if from_km { side } else { side.other() }, &pdu.encode());
        simulation.pause(Span::from_millis(1));
    }
    simulation.start_controller(reserve("KMA-1", Target::kma("KMA-4")));
    simulation.run();
    close(simulation)
}

fn unknown_command(setup: &Setup) -> Capture {
    with_extra(setup, &[(true, 0x1481, r#"{"KM ID":"KM-1","Load":17}"#), (false, 0x4182, r#"{"Response":"Success"}"#)])
}

fn wrong_way(setup: &Setup) -> Capture {
    let reservation = r#"{"Source KMA ID":"KMA-1","Destination KMA ID":"KMA-4"}"#;
    let session = r#"{"Application source ID":"app-1","Application destination ID":"app-4"}"#;
    with_extra(setup, &[(true, 0x410a, reservation), (false, 0x1406, session)])
}

fn unexpected(setup: &Setup) -> Capture {
    let relay = r#"{"Response":"Success","Key relay request ID":"KRR-000099"}"#;
    let next_hop = r#"{"Source KMA ID":"KMA-1","Destination KMA ID":"KMA-4","Next KMA IDs":["KMA-2"]}"#;
    with_extra(setup, &[(true, 0x1405, relay), (false, 0x4102, next_hop)])
}

fn garbage(setup: &Setup) -> Capture {
    let mut simulation = Simulation::new(setup);
    simulation.connect(&["KMA-1", "KMA-4"]);
    for task in [next_hop("KMA-1", Target::kma("KMA-4")), session("app-1", "app-4", None)] {
        simulation.start("KMA-1", task);
        simulation.run();
        simulation.inject("KMA-1", simulation.km_side(), b"\xff\xfe\x00 debug: heap 0x7f, retry 3 \x00\xff\n!");
        simulation.pause(Span::from_millis(1));
    }
    simulation.start("KMA-1", Task::Relay { target: Target::kma("KMA-4") });
    simulation.run();
    close(simulation)
}
