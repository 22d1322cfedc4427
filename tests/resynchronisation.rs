//! Streams in which something is missing, wrong or not Ck: what is found again, and what is not taken for Ck.

mod support;

use ckscope::lab::wire::{Code, Pdu};
use serde_json::Value;
use support::analysis::{PLAIN, Printed, analyze_packets, diagnostics};
use support::traffic::{Captured, Connection, Segment};

const KM: usize = 0;

fn pdu(message_id: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    Pdu { version: 1, message_id, code: Code::NEXT_HOP_REQUEST, payload: payload.as_ref().into() }.encode()
}

/// One side's stream, cut into segments of at most `most` bytes; nothing of it before `from` is captured, and no SYN.
fn joined(stream: &[u8], from: usize, most: usize) -> Printed {
    let connection = Connection::new(1, [7000, 9000]);
    let mut captured = Captured::default();
    for (nth, bytes) in stream[from..].chunks(most).enumerate() {
        let from = from + nth * most;
        captured.push(&connection.segment(&Segment { side: KM, from, bytes, acknowledged: 0 }));
    }
    analyze_packets(&captured.batch(), PLAIN)
}

fn ids(messages: &[Value]) -> Vec<u64> {
    messages.iter().map(|message| message["message_id"].as_u64().unwrap()).collect()
}

/// Ways to write a payload that in-step decoding accepts: what every message of a peer looks like.
const STYLES: [&[u8]; 9] = [
    br#"{"Source KMA ID":"K1","Destination KMA ID":"K4"}"#,
    b" \r\n\t{\"Source KMA ID\":\"K1\"}",
    b"\xef\xbb\xbf{\"Source KMA ID\":\"K1\"}",
    b"{\"Source KMA ID\":\"K1\"}\0\0\0",
    b"{\"Source KMA ID\":\"K1\"}  \n",
    b"[]",
    b"[{\"Source KMA ID\":\"K1\"}]",
    b"null",
    b"{}",
];

#[test]
fn joined_midway_every_style_of_payload_is_found() {
    for (style, most) in STYLES.iter().flat_map(|style| [usize::MAX, 1, 7].map(|most| (style, most))) {
        let stream = [pdu(1, style), pdu(2, style), pdu(3, style), pdu(4, style)].concat();
        let printed = joined(&stream, 5, most.min(stream.len()));
        let shown = String::from_utf8_lossy(style);
        assert_eq!(ids(&printed.messages()), [2, 3, 4], "{shown:?} in segments of {most}");
    }
}

#[test]
fn after_a_gap_every_style_of_payload_is_found() {
    // A stream known to be Ck: two headers in a row, or one before the end, are enough; a payload may be empty then.
    for (style, most) in STYLES.iter().chain([&&b""[..]]).flat_map(|style| [usize::MAX, 1, 7].map(|most| (style, most)))
    {
        let first = pdu(1, STYLES[0]);
        let rest = [pdu(2, STYLES[0]), pdu(3, style), pdu(4, style), pdu(5, style)].concat();
        let connection = Connection::new(1, [7000, 9000]);
        let mut captured = Captured::default();
        captured.open(&connection);
        captured.push(&connection.segment(&Segment { side: KM, from: 0, bytes: &first, acknowledged: 0 }));
        let lost = 20;
        for (nth, bytes) in rest[lost..].chunks(most.min(rest.len())).enumerate() {
            let from = first.len() + lost + nth * most.min(rest.len());
            captured.push(&connection.segment(&Segment { side: KM, from, bytes, acknowledged: 0 }));
        }
        let messages = analyze_packets(&captured.batch(), PLAIN).messages();
        let shown = String::from_utf8_lossy(style);
        assert_eq!(ids(&messages), [1, 3, 4, 5], "{shown:?} in segments of {most}");
        assert!(diagnostics(&messages[1]).contains(&"tcp-gap"), "{shown:?}");
    }
}

#[test]
fn a_message_in_the_body_of_http_is_none_even_without_its_syn() {
    let body = pdu(1, STYLES[0]);
    let head = format!("POST /messages HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
    let chunk = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len());
    for head in [head, chunk] {
        let stream = [head.as_bytes(), &body, b"\r\n", head.as_bytes(), &body].concat();
        for most in [stream.len(), head.len(), 7, 1] {
            assert_eq!(joined(&stream, 3, most).messages, "", "{head:?} in segments of {most}");
        }
    }
}

#[test]
fn headers_inside_binary_data_are_no_messages() {
    // The fields of a header stand there, again and again, but never where the Length before says.
    let mut data = vec![0; 4096];
    for at in (0..data.len() - 10).step_by(37) {
        data[at..at + 10].copy_from_slice(&[0, 1, 0, 0, 0, 7, 0x14, 0x01, 0, 5]);
    }
    let stream = [pdu(1, STYLES[0]), data, pdu(2, STYLES[5]), pdu(3, STYLES[5])].concat();
    let connection = Connection::new(1, [7000, 9000]);
    let mut captured = Captured::default();
    captured.open(&connection);
    for (nth, bytes) in stream.chunks(1000).enumerate() {
        captured.push(&connection.segment(&Segment { side: KM, from: nth * 1000, bytes, acknowledged: 0 }));
    }
    let messages = analyze_packets(&captured.batch(), PLAIN).messages();
    assert!(messages.iter().all(|message| diagnostics(message).contains(&"malformed-json") || message["number"] == 1));
    assert_eq!(ids(&messages).iter().filter(|&&id| id != 7).count(), 3, "{:?}", ids(&messages));
}

/// A PDU whose Length says `length`.
fn with_length(message_id: u32, payload: &[u8], length: u16) -> Vec<u8> {
    let mut bytes = pdu(message_id, payload);
    bytes[8..10].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// A stream from its SYN on, in segments of at most `most` bytes.
fn whole(stream: &[u8], most: usize) -> Vec<Value> {
    let connection = Connection::new(1, [7000, 9000]);
    let mut captured = Captured::default();
    captured.open(&connection);
    for (nth, bytes) in stream.chunks(most).enumerate() {
        captured.push(&connection.segment(&Segment { side: KM, from: nth * most, bytes, acknowledged: 0 }));
    }
    analyze_packets(&captured.batch(), PLAIN).messages()
}

#[test]
fn a_length_that_is_too_large_swallows_nothing() {
    let wrong = |id, length| with_length(id, STYLES[0], length);
    for style in STYLES {
        let rest = [pdu(8, style), pdu(9, style)].concat();
        let at_the_end = [pdu(1, STYLES[0]), wrong(2, 0xffff), wrong(3, 0x7fff), rest.clone()].concat();
        let first = [wrong(2, 0xffff), rest.clone()].concat();
        let within = [pdu(1, STYLES[0]), wrong(2, 100), rest.clone(), rest.clone()].concat();
        for (stream, expected) in
            [(at_the_end, &[1, 2, 3, 8, 9][..]), (first, &[2, 8, 9]), (within, &[1, 2, 8, 9, 8, 9])]
        {
            for most in [stream.len(), 70, 9, 1] {
                let messages = whole(&stream, most);
                let shown = String::from_utf8_lossy(style);
                assert_eq!(ids(&messages), expected, "{shown:?} in segments of {most}");
                let wrong = messages.iter().find(|message| message["message_id"] == 2).unwrap();
                assert_eq!(diagnostics(wrong), ["truncated-message"]);
            }
        }
    }
}

#[test]
fn a_length_that_is_too_large_swallows_nothing_before_a_gap() {
    let before = [pdu(1, STYLES[0]), with_length(2, STYLES[0], 0xffff), pdu(3, STYLES[0])].concat();
    let after = [pdu(4, STYLES[0]), pdu(5, STYLES[0])].concat();
    let connection = Connection::new(1, [7000, 9000]);
    let mut captured = Captured::default();
    captured.open(&connection);
    captured.push(&connection.segment(&Segment { side: KM, from: 0, bytes: &before, acknowledged: 0 }));
    let from = before.len() + 500;
    captured.push(&connection.segment(&Segment { side: KM, from, bytes: &after, acknowledged: 0 }));
    let messages = analyze_packets(&captured.batch(), PLAIN).messages();
    assert_eq!(ids(&messages), [1, 2, 3, 4, 5]);
    assert_eq!(diagnostics(&messages[3]), ["tcp-gap"]);
}

#[test]
fn what_comes_too_late_for_the_beginning_of_a_stream_joined_midway_is_counted() {
    let units: Vec<Vec<u8>> = (0..10).map(|id| pdu(id, STYLES[0])).collect();
    let connection = Connection::new(1, [7000, 9000]);
    let mut captured = Captured::default();
    for nth in [5, 4, 3, 2, 1, 0, 6, 7, 8, 9] {
        let (from, bytes) = (7000 + nth * units[0].len(), &units[nth]);
        captured.push(&connection.segment(&Segment { side: KM, from, bytes, acknowledged: 0 }));
    }
    let printed = analyze_packets(&captured.batch(), PLAIN);
    let lost = units.len() - printed.messages().len();
    assert!(lost > 0, "{:?}", ids(&printed.messages()));
    assert_eq!(printed.connections()[0]["undecoded"]["initiator"], lost * units[0].len());
}

#[test]
fn bytes_behind_the_end_of_a_stream_are_counted_but_for_keep_alives() {
    let unit = pdu(1, STYLES[0]);
    for (behind, undecoded) in [(0, 0), (1000, 1)] {
        let connection = Connection::new(1, [7000, 9000]);
        let mut captured = Captured::default();
        captured.open(&connection);
        captured.push(&connection.segment(&Segment { side: KM, from: 0, bytes: &unit, acknowledged: 0 }));
        captured.push(&connection.fin(KM, unit.len(), 0));
        let from = unit.len() + behind;
        captured.push(&connection.segment(&Segment { side: KM, from, bytes: b"\0", acknowledged: 0 }));
        let connections = analyze_packets(&captured.batch(), PLAIN).connections();
        assert_eq!(connections[0]["undecoded"]["initiator"], undecoded, "{behind}");
    }
}
