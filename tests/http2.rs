//! HTTP/2 and gRPC: frames of both directions to messages and the ends of calls, however they are cut, damaged or meant.

mod support;

use std::io::Write;

use ckscope::framing::Truncation;
use ckscope::framing::http2::{Detected, MAX_MESSAGE, detect};
use ckscope::stream::Side;
use proptest::prelude::*;
use proptest::sample::Index;
use support::http2::*;

/// A client's call of `/a.B/C`, whose headers and message travel in two frames each.
fn scattered_call() -> Vec<u8> {
    let block = literals(&[(":path", "/a.B/C"), ("content-type", "application/grpc")]);
    [
        PREFACE.to_vec(),
        frame(4, 0, 0, &[]),
        frame(1, 0, 1, &block[..3]),
        frame(9, 4, 1, &block[3..]),
        frame(0, 8, 1, &[2, 0, 0, 0, 0, 3, b'a', 0, 0]),
        frame(0, 1, 1, b"bc"),
    ]
    .concat()
}

#[test]
fn a_message_is_found_however_its_bytes_are_cut() {
    let call = scattered_call();
    assert_eq!(detect(true, &call), Detected::Yes);
    for size in 1..=call.len() {
        let pieces: Vec<_> = call.chunks(size).map(|piece| (CLIENT, piece.to_vec())).collect();
        let told = told(&pieces);
        assert_eq!(told.whole(), [(1, &b"abc"[..])], "{size}");
        assert_eq!(told.messages[0].path.as_deref(), Some("/a.B/C"));
        assert_eq!(told.messages[0].is_request, Some(true));
        assert!(told.problems.is_empty(), "{:?}", told.problems);
    }
}

/// Three calls in turn, and one that fails.
fn conversation() -> Vec<(Side, Vec<u8>)> {
    let mut pieces = opening();
    for (stream, request, response) in [(1, "one", "eins"), (3, "two", "zwei"), (5, "three", "drei")] {
        pieces.extend(call(stream, "/a.B/C", request.as_bytes(), response.as_bytes()));
    }
    pieces.push((CLIENT, [request_headers(7, "/a.B/D"), data(END_STREAM, 7, &message(false, b"four"))].concat()));
    let refusal =
        [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "5"), ("grpc-message", "no%20such")];
    pieces.push((SERVER, headers(END_STREAM, 7, &refusal)));
    pieces
}

#[test]
fn trailers_alone_tell_how_a_call_failed() {
    let told = told(&conversation());
    assert_eq!(told.messages.len(), 7);
    assert!(told.problems.is_empty(), "{:?}", told.problems);
    let failed: Vec<&End> = told.ends.iter().filter(|end| end.status != Some(0)).collect();
    let expected = End {
        side: SERVER,
        stream: 7,
        status: Some(5),
        text: Some("no such".to_owned()),
        http: Some(200),
        reset: None,
        messages: [1, 0],
    };
    assert_eq!(failed, [&expected]);
    assert_eq!(told.ends.len(), 4);
}

#[test]
fn a_lost_segment_loses_what_was_in_it() {
    let pieces = conversation();
    let whole = told(&pieces);
    for lost in 0..pieces.len() {
        let mut observer = Observer::default();
        for (at, (side, bytes)) in pieces.iter().enumerate() {
            if at == lost { observer.gap(*side, bytes.len() as u64) } else { observer.bytes(*side, bytes) }
        }
        let told = observer.end();
        let carried = |message: &Message| {
            let (side, bytes) = &pieces[lost];
            message.side == *side && bytes.windows(message.bytes.len()).any(|window| window == message.bytes)
        };
        let expected: Vec<_> = whole.messages.iter().filter(|message| !carried(message)).collect();
        let found: Vec<_> = told.whole();
        let expected: Vec<_> = expected.iter().map(|message| (message.stream, &message.bytes[..])).collect();
        assert_eq!(found, expected, "without piece {lost}: {:?}", told.problems);
    }
}

/// Frames that the client sends after what it sends first.
fn frames() -> (Vec<u8>, Vec<u8>) {
    let mut client = Vec::new();
    for stream in (1..40).step_by(2) {
        client.extend(request_headers(stream, "/a.B/C"));
        client.extend(data(END_STREAM, stream, &message(false, format!("message {stream}").as_bytes())));
    }
    ([PREFACE, &frame(4, 0, 0, &[])].concat(), client)
}

#[test]
fn joined_inside_any_frame_the_messages_after_it_are_found() {
    let (_, client) = frames();
    for (start, size) in (0..client.len() / 4).flat_map(|start| [(start, 1), (start, 100), (start, 4000)]) {
        let mut observer = Observer::joined(true);
        client[start..].chunks(size).for_each(|piece| observer.bytes(CLIENT, piece));
        let told = observer.end();
        let whole = told.whole();
        assert!(whole.len() >= 14, "{start} in segments of {size}: {}", whole.len());
        assert!(whole.iter().all(|(stream, bytes)| *bytes == format!("message {stream}").as_bytes()), "{start}");
        assert!(told.messages.iter().all(|message| message.path.as_deref().is_none_or(|path| path == "/a.B/C")));
    }
}

#[test]
fn a_path_from_a_table_with_a_gap_is_not_certain() {
    // The path is indexed with the first call, then named by its index; of the call between, the block is lost.
    let indexed = field(0x40, ":path", "/a.B/C");
    let other = field(0x40, ":path", "/a.B/D");
    let kind = literals(&[("content-type", "application/grpc")]);
    let request = |stream, block: &[u8], text: &[u8]| {
        let block = [block, &kind].concat();
        [frame(1, END_HEADERS, stream, &block), data(END_STREAM, stream, &message(false, text))].concat()
    };
    let mut observer = Observer::default();
    observer.bytes(CLIENT, &[PREFACE, &frame(4, 0, 0, &[])].concat());
    observer.bytes(CLIENT, &request(1, &indexed, b"one"));
    observer.gap(CLIENT, request(3, &other, b"two").len() as u64);
    observer.bytes(CLIENT, &request(5, &[0xbe], b"three"));
    observer.bytes(CLIENT, &request(7, &field(0x40, ":path", "/a.B/E"), b"four"));
    observer.bytes(CLIENT, &request(9, &[0xbe], b"five"));
    let told = observer.end();
    let found: Vec<_> = told.messages.iter().map(|found| (found.stream, found.path_uncertain)).collect();
    assert_eq!(found, [(1, false), (5, true), (7, false), (9, false)]);
    assert_eq!(told.messages[3].path.as_deref(), Some("/a.B/E"));
}

#[test]
fn a_gap_inside_data_costs_its_message_only() {
    let call = [
        request_headers(1, "/a.B/C"),
        data(0, 1, &message(false, &[b'x'; 100])),
        data(END_STREAM, 1, &message(false, b"next")),
    ]
    .concat();
    let body = request_headers(1, "/a.B/C").len() + 9 + 5;
    for (from, to) in [(body, body + 100), (body + 10, body + 20), (body + 50, body + 100)] {
        let mut observer = Observer::default();
        observer.bytes(CLIENT, &[PREFACE, &frame(4, 0, 0, &[])].concat());
        observer.bytes(CLIENT, &call[..from]);
        observer.gap(CLIENT, (to - from) as u64);
        observer.bytes(CLIENT, &call[to..]);
        let told = observer.end();
        assert_eq!(told.whole(), [(1, &b"next"[..])]);
        assert_eq!(told.messages[0].truncated, Some(Truncation::Gap));
        assert_eq!(told.messages[0].bytes, vec![b'x'; from - body]);
    }
}

#[test]
fn a_reset_ends_the_call_and_what_still_arrives_is_no_other() {
    let mut pieces = opening();
    let reset = frame(3, 0, 1, &8u32.to_be_bytes());
    pieces.push((CLIENT, [request_headers(1, "/a.B/C"), data(0, 1, &message(false, b"first"))].concat()));
    pieces.push((SERVER, reset));
    pieces.push((CLIENT, data(0, 1, &message(false, b"late"))));
    pieces.push((CLIENT, headers(END_STREAM, 1, &[("late", "trailer")])));
    let told = told(&pieces);
    assert_eq!(told.whole(), [(1, &b"first"[..])]);
    assert_eq!((told.ends.len(), told.ends[0].reset, told.ends[0].side), (1, Some(8), SERVER));
    assert!(told.problems.is_empty(), "{:?}", told.problems);
}

#[test]
fn what_is_missing_of_one_side_is_not_told_of_the_others_message_that_it_resets() {
    let mut observer = Observer::default();
    opening().iter().for_each(|(side, bytes)| observer.bytes(*side, bytes));
    let begun = &message(false, b"never whole")[..10];
    observer.bytes(CLIENT, &[request_headers(1, "/a.B/C"), data(0, 1, begun)].concat());
    observer.bytes(CLIENT, &request_headers(3, "/a.B/C"));
    let ping = frame(6, 0, 0, &[0; 8]);
    observer.bytes(SERVER, &ping[..13]);
    observer.gap(SERVER, 4);
    observer.bytes(SERVER, &frame(3, 0, 1, &8u32.to_be_bytes()));
    observer.bytes(SERVER, &[response_headers(3), data(0, 3, &message(false, b"whole"))].concat());
    let told = observer.end();
    let gaps: Vec<(Side, u64)> = told.messages.iter().map(|message| (message.side, message.gap)).collect();
    assert_eq!(gaps, [(CLIENT, 0), (SERVER, 4)]);
}

#[test]
fn a_header_block_without_an_end_is_told() {
    let mut pieces = opening();
    pieces.push((CLIENT, [frame(1, 0, 1, &field(0, "a", "b")), frame(9, 0, 1, b"")].concat()));
    assert_eq!(told(&pieces).problems, ["header-block-lost"]);
}

#[test]
fn going_away_ends_the_calls_that_will_not_be_looked_at() {
    let mut pieces = opening();
    for stream in [1, 3, 5] {
        pieces.push((CLIENT, [request_headers(stream, "/a.B/C"), data(1, stream, &message(false, b"x"))].concat()));
    }
    pieces.push((SERVER, frame(7, 0, 0, &[3u32.to_be_bytes(), 2u32.to_be_bytes()].concat())));
    let told = told(&pieces);
    let ended: Vec<_> = told.ends.iter().map(|end| (end.stream, end.reset)).collect();
    assert_eq!(ended, [(5, Some(2))]);
}

#[test]
fn a_proxys_page_is_no_message() {
    let mut pieces = opening();
    pieces.push((CLIENT, [request_headers(1, "/a.B/C"), data(END_STREAM, 1, &message(false, b"x"))].concat()));
    let page = headers(0, 1, &[(":status", "503"), ("content-type", "text/html")]);
    pieces.push((SERVER, [page, data(END_STREAM, 1, b"\0\0\0\0\x04html")].concat()));
    let told = told(&pieces);
    assert_eq!((told.messages.len(), told.problems.len()), (1, 0));
    assert_eq!((told.ends[0].http, told.ends[0].status, told.ends[0].messages), (Some(503), None, [1, 0]));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bare(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One message, compressed in a way that the headers call `encoding`, or say nothing about.
fn compressed(encoding: Option<&str>, body: &[u8]) -> Told {
    let mut fields = vec![(":path", "/a.B/C"), ("content-type", "application/grpc+proto")];
    fields.extend(encoding.map(|encoding| ("grpc-encoding", encoding)));
    let mut pieces = opening();
    pieces.push((CLIENT, headers(0, 1, &fields)));
    pieces.extend(message(true, body).chunks(16_000).map(|chunk| (CLIENT, data(0, 1, chunk))));
    told(&pieces)
}

#[test]
fn compressed_messages_are_decompressed() {
    let text = b"key relay, key relay, key relay".repeat(20);
    for (encoding, body) in [
        (Some("gzip"), gzip(&text)),
        (None, gzip(&text)),
        (Some("deflate"), zlib(&text)),
        (Some("deflate"), bare(&text)),
        (Some("identity"), text.clone()),
    ] {
        let told = compressed(encoding, &body);
        assert_eq!(told.whole(), [(1, &text[..])], "{encoding:?}");
        assert!(told.problems.is_empty(), "{encoding:?}: {:?}", told.problems);
    }
}

#[test]
fn what_cannot_be_decompressed_is_told() {
    let body = gzip(&b"key relay, key relay, key relay".repeat(20));
    for (encoding, body, problem) in [
        (Some("snappy"), &body[..], "unknown-encoding"),
        (None, b"no gzip", "unknown-encoding"),
        (Some("gzip"), b"no gzip", "decompression"),
        (Some("gzip"), &body[..body.len() - 9], "decompression"),
    ] {
        let told = compressed(encoding, body);
        assert_eq!(told.problems, [problem], "{encoding:?}");
        assert_eq!(told.messages[0].truncated, Some(Truncation::Undecoded));
    }
}

#[test]
fn a_message_that_expands_without_end_is_cut() {
    let told = compressed(Some("gzip"), &gzip(&vec![0; 40 * MAX_MESSAGE]));
    assert_eq!(told.problems, ["decompression"]);
    assert_eq!(told.messages[0].bytes.len(), MAX_MESSAGE);
}

#[test]
fn a_message_larger_than_is_kept_is_cut_and_the_next_one_is_found() {
    let mut observer = Observer::default();
    observer.bytes(CLIENT, &[PREFACE, &frame(4, 0, 0, &[]), &request_headers(1, "/a.B/C")].concat());
    let large = message(false, &vec![7; MAX_MESSAGE + 50_000]);
    large.chunks(16_000).for_each(|chunk| observer.bytes(CLIENT, &data(0, 1, chunk)));
    observer.bytes(CLIENT, &data(END_STREAM, 1, &message(false, b"next")));
    let told = observer.end();
    assert_eq!(told.problems, ["message-too-large"]);
    assert_eq!((told.messages[0].bytes.len(), told.messages[0].truncated), (MAX_MESSAGE, Some(Truncation::Undecoded)));
    assert_eq!(told.whole(), [(1, &b"next"[..])]);
    assert!(told.held < 2 * MAX_MESSAGE);
}

#[test]
fn a_thousand_streams_at_once_are_told_apart() {
    let streams = (0..1000).map(|nth| 2 * nth + 1);
    let text = |stream: u32| format!("the message of stream {stream}").into_bytes();
    let mut observer = Observer::default();
    observer.bytes(CLIENT, &[PREFACE, &frame(4, 0, 0, &[])].concat());
    streams.clone().for_each(|stream| observer.bytes(CLIENT, &request_headers(stream, "/a.B/C")));
    for at in 0..3 {
        for stream in streams.clone() {
            let message = message(false, &text(stream));
            let part = message.chunks(message.len().div_ceil(3)).nth(at).unwrap().to_vec();
            observer.bytes(CLIENT, &data(u8::from(at == 2), stream, &part));
        }
    }
    let told = observer.end();
    assert!(told.problems.is_empty(), "{:?}", told.problems);
    assert_eq!(told.whole().len(), 1000);
    assert!(told.whole().iter().all(|(stream, bytes)| **bytes == text(*stream)));
}

#[test]
fn streams_without_end_are_forgotten_and_their_messages_told() {
    let mut observer = Observer::default();
    observer.bytes(CLIENT, &[PREFACE, &frame(4, 0, 0, &[])].concat());
    let half = &message(false, &[1; 100])[..60];
    for nth in 0..6000 {
        observer.bytes(CLIENT, &[request_headers(2 * nth + 1, "/a.B/C"), data(0, 2 * nth + 1, half)].concat());
    }
    let held = observer.told.held;
    let told = observer.end();
    assert_eq!(told.messages.len(), 6000, "each half message is told, now or at the end");
    assert!(told.problems.iter().all(|problem| *problem == "too-many-streams"));
    assert!(held < 16 << 20, "{held}");
}

#[test]
fn headers_that_never_end_are_given_up() {
    let mut observer = Observer::default();
    observer.bytes(CLIENT, &[PREFACE, &frame(4, 0, 0, &[]), &frame(1, 0, 1, &field(0, "a", "b"))].concat());
    for _ in 0..10_000 {
        observer.bytes(CLIENT, &frame(9, 0, 1, &field(0, "name", &"v".repeat(100))));
    }
    let told = observer.end();
    assert_eq!(told.problems, ["header-block-too-large"]);
    assert!(told.held < 1 << 20, "{}", told.held);
}

#[test]
fn a_block_between_whose_frames_another_stands_is_told() {
    let mut pieces = opening();
    let block = literals(&[(":path", "/a.B/C")]);
    pieces.push((CLIENT, [frame(1, 0, 1, &block[..4]), frame(6, 0, 0, &[0; 8]), frame(9, 4, 1, &block[4..])].concat()));
    assert_eq!(told(&pieces).problems, ["continuation-expected", "header-block-lost"]);
}

#[test]
fn the_table_may_be_as_large_as_the_receiver_says() {
    // The server allows 65 536 bytes; the client says that it uses 8192 and fills them.
    let update = [0x3f, 0xe1, 0x3f];
    let long = "v".repeat(120);
    let entries: Vec<u8> = (0..40).flat_map(|nth| field(0x40, &format!("name-{nth:03}"), &long)).collect();
    let request = literals(&[(":path", "/a.B/C"), ("content-type", "application/grpc")]);
    let first = [&update[..], &entries, &request].concat();
    let oldest = 0x80 | (62 + 39);
    let pieces = |allowed: &[u8]| {
        vec![
            (CLIENT, [PREFACE, &frame(4, 0, 0, &[])].concat()),
            (SERVER, allowed.to_vec()),
            (CLIENT, [frame(4, 1, 0, &[]), frame(1, END_HEADERS, 1, &first)].concat()),
            (CLIENT, frame(1, END_HEADERS, 3, &[&[oldest][..], &request].concat())),
        ]
    };
    assert!(told(&pieces(&setting(1, 65_536))).problems.is_empty());
    assert_eq!(told(&pieces(&frame(4, 0, 0, &[]))).problems[0], "compression-error");
}

#[test]
fn giant_frames_are_passed_over() {
    let mut observer = Observer::default();
    observer.bytes(CLIENT, &[PREFACE, &frame(4, 0, 0, &[])].concat());
    for kind in [1, 0xf0] {
        observer.bytes(CLIENT, &[&[0xff, 0xff, 0xff, kind, 0, 0, 0, 0, 1][..]].concat());
        (0..0xff_ffff / 65_535).for_each(|_| observer.bytes(CLIENT, &vec![0; 65_535]));
        observer.bytes(CLIENT, &vec![0; 0xff_ffff % 65_535]);
    }
    let next = [request_headers(3, "/a.B/C"), data(END_STREAM, 3, &message(false, b"next"))].concat();
    observer.bytes(CLIENT, &next);
    observer.bytes(CLIENT, &next);
    let told = observer.end();
    assert!(told.whole().contains(&(3, &b"next"[..])), "{told:?}");
    assert!(told.problems.contains(&"frame-size") && told.held < 1 << 20, "{} {:?}", told.held, told.problems);
}

fn both_directions() -> (Vec<u8>, Vec<u8>) {
    let of =
        |wanted| conversation().into_iter().filter(|(side, _)| *side == wanted).flat_map(|(_, bytes)| bytes).collect();
    (of(CLIENT), of(SERVER))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn cuts_of_both_directions_change_nothing(cuts in prop::collection::vec((any::<bool>(), 1..40usize), 0..200)) {
        let (client, server) = both_directions();
        let (mut asked, mut answered) = (&client[..], &server[..]);
        let mut observer = Observer::default();
        // The client is first to speak; an answer does not overtake its request.
        observer.bytes(CLIENT, &asked[..33]);
        asked = &asked[33..];
        for (is_client, size) in cuts {
            let progress = |rest: &[u8], all: &[u8]| (all.len() - rest.len()) as f64 / all.len() as f64;
            let ahead = progress(asked, &client) > progress(answered, &server) + 0.3;
            let (side, rest) = if is_client || !ahead { (CLIENT, &mut asked) } else { (SERVER, &mut answered) };
            let (piece, after) = rest.split_at(size.min(rest.len()));
            observer.bytes(side, piece);
            *rest = after;
        }
        observer.bytes(CLIENT, asked);
        observer.bytes(SERVER, answered);
        let (found, whole) = (observer.end(), told(&conversation()));
        prop_assert_eq!(found.by_side(), whole.by_side());
        prop_assert_eq!(found.problems, whole.problems);
    }

    #[test]
    fn damage_makes_no_panic_and_holds_little(
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..20),
        size in 1..100usize,
        midway: bool,
    ) {
        let (mut client, server) = both_directions();
        for (at, value) in changes {
            let at = at.index(client.len());
            client[at] = value;
        }
        let mut observer = Observer::joined(midway);
        client.chunks(size).for_each(|piece| observer.bytes(CLIENT, piece));
        server.chunks(size).for_each(|piece| observer.bytes(SERVER, piece));
        prop_assert!(observer.end().held < 1 << 20);
    }
}
