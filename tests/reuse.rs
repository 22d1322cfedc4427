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

/// All orders of `count` things, by their indexes.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![vec![]];
    }
    let shorter = orders(count - 1);
    let with_last = |order: &Vec<usize>| {
        let order = order.clone();
        (0..count).map(move |at| [&order[..at], &[count - 1], &order[at..]].concat())
    };
    shorter.iter().flat_map(with_last).collect()
}

#[test]
fn who_dialled_is_known_in_whatever_order_the_first_packets_were_captured() {
    let connection = Connection::new(1, [7000, 9000]);
    let encode = |code, payload: &str| Pdu { version: 1, message_id: 1, code, payload: payload.into() }.encode();
    let [request, response] = [encode(Code::NEXT_HOP_REQUEST, ASK), encode(Code::NEXT_HOP_RESPONSE, HOP)];
    let asks = Segment { side: 0, from: 0, bytes: &request, acknowledged: 0 };
    let answers = Segment { side: 1, from: 0, bytes: &response, acknowledged: request.len() };
    let packets = [connection.syn(), connection.syn_ack(), connection.segment(&asks), connection.segment(&answers)];
    for order in orders(packets.len()) {
        let mut captured = Captured::default();
        for &packet in &order {
            captured.push(&packets[packet]);
        }
        let printed = printed(captured);
        let [connection] = &printed.connections()[..] else { panic!("{order:?}: one connection") };
        let bytes = serde_json::json!({ "initiator": request.len(), "responder": response.len() });
        assert_eq!((&connection["initiator"], &connection["bytes"]), (&"10.1.0.1:40000".into(), &bytes), "{order:?}");
        assert_eq!(connection["gaps"], 0, "{order:?}");
        let mut sources: Vec<Value> = printed.messages().iter().map(|message| message["source"].clone()).collect();
        sources.sort_by_key(Value::to_string);
        assert_eq!(sources, ["10.0.0.1:4164", "10.1.0.1:40000"], "{order:?}");
    }
}

#[test]
fn what_comes_after_it_was_called_missing_is_counted_once() {
    let connection = with_initial([7000, 9000]);
    let ask = |id| Pdu { version: 1, message_id: id, code: Code::NEXT_HOP_REQUEST, payload: ASK.into() }.encode();
    let stream = (1..=3).flat_map(ask).collect::<Vec<u8>>();
    let one = stream.len() / 3;
    let part = |from: usize, to: usize| {
        connection.segment(&Segment { side: 0, from, bytes: &stream[from..to], acknowledged: 0 })
    };
    for lost in [0, 1] {
        let mut captured = Captured::default();
        captured.open(&connection);
        for nth in (0..3).filter(|&nth| nth != lost) {
            captured.push(&part(nth * one, (nth + 1) * one));
        }
        for _ in 0..20 {
            captured.push(&connection.segment(&Segment { side: 1, from: 0, bytes: &[], acknowledged: 3 * one }));
        }
        captured.push(&part(lost * one, (lost + 1) * one));
        let printed = printed(captured);
        assert_eq!(counts(&printed)[0], 2);
        let [connection] = &printed.connections()[..] else { panic!("one connection") };
        assert_eq!(connection["undecoded"], serde_json::json!({ "initiator": one, "responder": 0 }), "{lost}");
        assert_eq!((&connection["gaps"], &connection["out_of_order"]), (&1.into(), &1.into()), "{lost}");
    }
}

#[test]
fn a_keep_alive_in_the_place_of_a_missing_byte_is_no_lost_byte() {
    let connection = with_initial([7000, 9000]);
    let request = Pdu { version: 1, message_id: 1, code: Code::NEXT_HOP_REQUEST, payload: ASK.into() }.encode();
    let one = request.len();
    let segment = |side, from, bytes, acknowledged| connection.segment(&Segment { side, from, bytes, acknowledged });
    let undecoded = |with_keep_alive: bool| {
        let mut captured = Captured::default();
        captured.open(&connection).push(&segment(0, 0, &request, 0)).push(&segment(0, 2 * one, &request[..9], 0));
        // What is acknowledged ends inside the hole, and so does the gap.
        for _ in 0..20 {
            captured.push(&segment(1, 0, &[], 2 * one - 5));
        }
        if with_keep_alive {
            captured.push(&segment(0, 2 * one - 6, b"\0", 0));
        }
        let [connection] = &printed(captured).connections()[..] else { panic!("one connection") };
        (connection["undecoded"].clone(), connection["gaps"].clone())
    };
    assert_eq!(undecoded(true), undecoded(false));
}

#[test]
fn bytes_of_no_message_are_counted_although_only_the_end_of_the_other_side_shows_that_it_is_ck() {
    let connection = with_initial([7000, 9000]);
    let response = Pdu { version: 1, message_id: 1, code: Code::NEXT_HOP_RESPONSE, payload: HOP.into() }.encode();
    let asks = connection.segment(&Segment { side: 0, from: 0, bytes: &response[..5], acknowledged: 0 });
    let answers = connection.segment(&Segment { side: 1, from: 0, bytes: &response[..30], acknowledged: 0 });
    for packets in [[&asks, &answers], [&answers, &asks]] {
        let mut captured = Captured::default();
        captured.open(&connection).push(packets[0]).push(packets[1]);
        let printed = printed(captured);
        assert_eq!(counts(&printed)[0], 1);
        let [connection] = &printed.connections()[..] else { panic!("one connection") };
        assert_eq!(connection["undecoded"], serde_json::json!({ "initiator": 5, "responder": 0 }));
    }
}
