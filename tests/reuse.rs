//! Addresses and ports used again, whatever of the close and the SYNs was captured; and how segments are counted.

mod support;

use ckscope::lab::wire::{Code, Pdu};
use serde_json::Value;
use support::analysis::{PLAIN, Printed, analyze_packets};
use support::traffic::{Captured, Connection, Segment};

const ASK: &str = r#"{"Source KMA ID":"K1","Destination KMA ID":"K4"}"#;
const HOP: &str = r#"{"Source KMA ID":"K1","Destination KMA ID":"K4","Next KMA IDs":["K2"]}"#;

/// A request and its response, from positions `from` of the streams of `connection` on; the next positions.
fn exchange(captured: &mut Captured, connection: &Connection, id: u32, from: [usize; 2]) -> [usize; 2] {
    let encode = |code, payload: &str| Pdu { version: 1, message_id: id, code, payload: payload.into() }.encode();
    let [request, response] = [encode(Code::NEXT_HOP_REQUEST, ASK), encode(Code::NEXT_HOP_RESPONSE, HOP)];
    let asked = from[0] + request.len();
    captured.push(&connection.segment(&Segment { side: 0, from: from[0], bytes: &request, acknowledged: from[1] }));
    captured.push(&connection.segment(&Segment { side: 1, from: from[1], bytes: &response, acknowledged: asked }));
    [asked, from[1] + response.len()]
}

fn printed(captured: Captured) -> Printed {
    analyze_packets(&captured.batch(), PLAIN)
}

/// Messages, complete procedures and connections.
fn counts(printed: &Printed) -> [usize; 3] {
    let complete = printed.procedures().iter().filter(|procedure| procedure["state"] == "complete").count();
    [printed.messages().len(), complete, printed.connections().len()]
}

fn with_initial(initial: [u32; 2]) -> Connection {
    Connection::new(1, initial)
}

#[test]
fn ports_used_again_without_any_sign_of_it_are_another_connection() {
    // Where both numbers go on far ahead, what lies between may be lost: that is one connection with gaps.
    for (again, connections) in
        [([0x1000_0000, 0xe000_0000], 2), ([0xf000_0000, 0x9000_0000], 1), ([0xe000_0000, 0x3000_0000], 2)]
    {
        let (first, second) = (with_initial([0x9000_0000, 0x4000_0000]), with_initial(again));
        let mut captured = Captured::default();
        captured.open(&first);
        let next = exchange(&mut captured, &first, 1, [0, 0]);
        exchange(&mut captured, &first, 2, next);
        // Its last ACK of the handshake is the first that was captured.
        captured.push(&second.segment(&Segment { side: 0, from: 0, bytes: &[], acknowledged: 0 }));
        let next = exchange(&mut captured, &second, 3, [0, 0]);
        exchange(&mut captured, &second, 4, next);
        assert_eq!(counts(&printed(captured)), [8, 4, connections], "{again:x?}");
    }
}

#[test]
fn a_stream_that_goes_on_far_ahead_is_the_same_with_a_gap() {
    let connection = with_initial([5, 7]);
    let mut captured = Captured::default();
    captured.open(&connection);
    exchange(&mut captured, &connection, 1, [0, 0]);
    exchange(&mut captured, &connection, 2, [50_000_000, 40_000_000]);
    captured.push(&connection.segment(&Segment { side: 0, from: 50_000_200, bytes: &[], acknowledged: 40_000_200 }));
    assert_eq!(counts(&printed(captured)), [4, 2, 1]);
}

#[test]
fn a_new_initial_sequence_number_of_the_responder_is_another_connection() {
    let (first, second) = (with_initial([5000, 0x4000_0000]), with_initial([5000, 0x4000_1000]));
    let mut captured = Captured::default();
    captured.open(&first);
    exchange(&mut captured, &first, 1, [0, 0]);
    captured.open(&second);
    exchange(&mut captured, &second, 2, [0, 0]);
    assert_eq!(counts(&printed(captured)), [4, 2, 2]);
}

#[test]
fn nothing_vanishes_behind_a_close() {
    for again in [[100, 200], [90_000, 95_000], [0x8000_0000, 0xc000_0000]] {
        let (first, second) = (with_initial([50_000, 60_000]), with_initial(again));
        let mut captured = Captured::default();
        captured.open(&first);
        let end = exchange(&mut captured, &first, 1, [0, 0]);
        captured.push(&first.fin(0, end[0], end[1])).push(&first.fin(1, end[1], end[0] + 1));
        exchange(&mut captured, &second, 2, [0, 0]);
        assert_eq!(counts(&printed(captured)), [4, 2, 2], "{again:?}");
    }
}

fn segments(from: &[(usize, &[u8])]) -> Value {
    let connection = with_initial([0, 0]);
    let mut captured = Captured::default();
    for &(from, bytes) in from {
        captured.push(&connection.segment(&Segment { side: 0, from, bytes, acknowledged: 0 }));
    }
    printed(captured).connections().remove(0)
}

#[test]
fn swapped_first_segments_of_a_connection_joined_midway_are_out_of_order() {
    let counted = segments(&[(500, b"second"), (495, b"first"), (506, b"third")]);
    assert_eq!((&counted["out_of_order"], &counted["retransmitted"]), (&1.into(), &0.into()));
}

#[test]
fn what_was_never_delivered_is_not_retransmitted() {
    let forward: Vec<(usize, &[u8])> = (0..60_000).map(|nth| (2 * nth, &b"x"[..])).collect();
    let backward: Vec<(usize, &[u8])> = forward.iter().rev().copied().collect();
    for (order, segments_of) in [("forward", forward), ("backward", backward)] {
        let counted = segments(&segments_of);
        assert_eq!(counted["retransmitted"], 0, "{order}: {counted}");
    }
}
