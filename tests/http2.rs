//! HTTP/2 and gRPC: frames of both directions to messages.

use ckscope::framing::http2::{Detected, Event, Http2, detect};
use ckscope::stream::{Piece, Side, Stamp};
use ckscope::time::Timestamp;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A client's call of `/a.B/C`, whose message travels in two DATA frames.
fn call() -> Vec<u8> {
    let literal = |name: &str, value: &str| {
        [&[0, name.len() as u8][..], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
    };
    let block = [literal(":path", "/a.B/C"), literal("content-type", "application/grpc")].concat();
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[]),
        frame(1, 0, 1, &block[..3]),
        frame(9, 4, 1, &block[3..]),
        frame(0, 8, 1, &[2, 0, 0, 0, 0, 3, b'a', 0, 0]),
        frame(0, 1, 1, b"bc"),
    ]
    .concat()
}

/// The paths and bytes of the messages in `bytes`, given `size` at a time.
fn messages(bytes: &[u8], size: usize) -> Vec<(Option<String>, Vec<u8>)> {
    let (mut http2, mut found) = (Http2::new(), Vec::new());
    let mut sink = |event: Event<'_>| {
        if let Event::Message(message) = event {
            assert_eq!(message.is_request, Some(true));
            found.push((message.path.map(str::to_owned), message.bytes.to_vec()));
        }
    };
    for (packet, bytes) in (1..).zip(bytes.chunks(size)) {
        let stamp = Stamp { packet, time: Timestamp(0) };
        http2.piece(Side::Initiator, true, Piece::Bytes { bytes, place: None, stamp }, &mut sink);
    }
    http2.end(Side::Initiator, &mut sink);
    found
}

#[test]
fn a_message_is_found_however_its_bytes_are_cut() {
    let call = call();
    assert_eq!(detect(true, &call), Detected::Yes);
    for size in 1..=call.len() {
        assert_eq!(messages(&call, size), [(Some("/a.B/C".to_owned()), b"abc".to_vec())], "{size}");
    }
}
