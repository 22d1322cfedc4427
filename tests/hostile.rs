//! Captures made to take long: where one careless step makes the time grow with the square of the size, which is minutes
//! at the sizes here. In one pass they take about a second in a debug build.

mod support;

use std::time::{Duration, Instant};

use ckscope::lab::wire::{Code, Pdu};
use support::analysis::{PLAIN, Printed, analyze_packets};
use support::traffic::{Captured, Connection, Segment};

/// Far more than one pass takes on a slow machine, far less than the square.
const PATIENCE: Duration = Duration::from_secs(20);

fn analyzed_soon(captured: Captured) -> Printed {
    let began = Instant::now();
    let printed = analyze_packets(&captured.batch(), PLAIN);
    assert!(began.elapsed() < PATIENCE, "took {:?}", began.elapsed());
    printed
}

fn pdu(message_id: u32, code: Code, payload: &str) -> Vec<u8> {
    Pdu { version: 1, message_id, code, payload: payload.into() }.encode()
}

/// One side's stream, in segments of so many bytes.
fn stream(bytes: &[u8], most: usize) -> Captured {
    let connection = Connection::new(1, [0, 0]);
    let mut captured = Captured::default();
    captured.open(&connection);
    for (nth, bytes) in bytes.chunks(most).enumerate() {
        captured.push(&connection.segment(&Segment { side: 0, from: nth * most, bytes, acknowledged: 0 }));
    }
    captured
}

#[test]
fn a_foreign_stream_in_one_byte_segments() {
    let unit = pdu(1, Code(0x2222), "{}");
    assert_eq!(analyzed_soon(stream(&unit.repeat(10_000), 1)).messages, "");
}

#[test]
fn little_endian_headers_without_an_end() {
    let unit = [&[1, 0, 7, 0, 0, 0, 3, 0x14, 0x30, 0x75][..], b"{\""].concat();
    let segment = [&[0; 64][..], &unit.repeat(4990)].concat();
    let first = pdu(1, Code::SESSION_REQUEST, "{}");
    let mut garbage = first.clone();
    garbage.resize(segment.len(), 0);
    let messages = analyzed_soon(stream(&[garbage, segment.repeat(20)].concat(), segment.len())).messages();
    assert_eq!(messages[0]["length"], 2);
}

#[test]
fn pieces_behind_a_hole() {
    let connection = Connection::new(1, [0, 0]);
    let mut captured = Captured::default();
    captured.open(&connection);
    for nth in 1..16_000 {
        captured.push(&connection.segment(&Segment { side: 0, from: 2 * nth, bytes: b"x", acknowledged: 0 }));
    }
    assert_eq!(analyzed_soon(captured).messages, "");
}

#[test]
fn a_route_asked_for_again_and_again_in_vain() {
    let asked = r#"{"Source KMA ID":"A","Destination KMA ID":"B"}"#;
    let answered = r#"{"Source KMA ID":"A","Destination KMA ID":"B","Next KMA IDs":[]}"#;
    let connection = Connection::new(1, [0, 0]);
    let mut captured = Captured::default();
    captured.open(&connection);
    let mut from = [0, 0];
    for id in 0..20_000 {
        for (side, code, payload) in [(0, Code::NEXT_HOP_REQUEST, asked), (1, Code::NEXT_HOP_RESPONSE, answered)] {
            let bytes = pdu(id, code, payload);
            let acknowledged = from[1 - side];
            captured.push(&connection.segment(&Segment { side, from: from[side], bytes: &bytes, acknowledged }));
            from[side] += bytes.len();
        }
    }
    assert_eq!(analyzed_soon(captured).procedures.lines().count(), 20_000);
}

#[test]
fn a_payload_of_nothing_but_names() {
    let names: Vec<String> = (0..6000).map(|number| format!("\"{number:x}\":0")).collect();
    let unit = pdu(1, Code::SESSION_REQUEST, &format!("{{{}}}", names.join(",")));
    assert_eq!(analyzed_soon(stream(&unit.repeat(8), 1400)).messages.lines().count(), 8);
}

#[test]
fn arrays_in_arrays_however_deep() {
    for (open, close, depth) in [("[", "]", 32_000), (r#"["\u0041","#, ",1]", 5000)] {
        let list = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        let unit = pdu(1, Code::RESERVATION_RESPONSE, &format!(r#"{{"Key IDs":{list}}}"#));
        assert_eq!(analyzed_soon(stream(&unit.repeat(8), 1400)).messages.lines().count(), 8);
    }
}
