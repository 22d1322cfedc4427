//! The gRPC binding, from capture to procedures: what it says is what plain TCP says.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use ckscope::analyzer::Analyzer;
use ckscope::capture::Batch;
use ckscope::capture::file::Reader;
use ckscope::lab::scenario::{self, Scenario};
use ckscope::stream::Side;
use serde_json::Value;
use support::analysis::{PLAIN, Printed, analyze_file, analyze_packets, diagnostics, options};
use support::http2::*;
use support::shared_captures;
use support::traffic::{Captured, Connection, Segment};

fn printed(scenario: &Scenario) -> Printed {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    analyze_file(&captures.join(scenario.file()), PLAIN)
}

/// What a message means, whatever it was carried in. Appendix II has fewer words for what failed, and a grpc-status
/// none but that.
fn meaning(message: &Value, failures_alike: bool) -> Value {
    let parameters = message["parameters"].as_object().unwrap();
    let failed = diagnostics(message).contains(&"failure-response");
    let mut kept: Vec<Value> = parameters
        .iter()
        .filter(|(name, _)| !["response", "extension"].contains(&name.as_str()))
        .map(|(name, value)| serde_json::json!([name, plainly(value)]))
        .collect();
    if failed && failures_alike {
        kept.clear();
    }
    kept.sort_by_key(Value::to_string);
    serde_json::json!([message["command_code"], message["direction"], failed, kept])
}

/// A list is written in many ways, in Appendix II as one string.
fn plainly(value: &Value) -> Value {
    let text = |item: &Value| match item {
        Value::Object(object) => object.values().filter_map(Value::as_str).collect(),
        item => item.as_str().unwrap_or_default().to_owned(),
    };
    match value {
        Value::Array(items) => items.iter().map(text).collect::<Vec<String>>().join(",").into(),
        value => value.clone(),
    }
}

fn meanings(printed: &Printed, failures_alike: bool) -> Vec<String> {
    let mut all: Vec<String> =
        printed.messages().iter().map(|message| meaning(message, failures_alike).to_string()).collect();
    all.sort();
    all
}

/// The procedures: kind, state, the codes of the messages, how many are related.
fn procedures(printed: &Printed) -> Vec<String> {
    let messages = printed.messages();
    let code = |number: &Value| messages[number.as_u64().unwrap() as usize - 1]["command_code"].clone();
    let procedure = |flow: &Value| {
        let codes: Vec<Value> = flow["messages"].as_array().unwrap().iter().map(code).collect();
        let related = flow["related"].as_array().unwrap().len();
        serde_json::json!([flow["procedure"], flow["state"], codes, related]).to_string()
    };
    let mut all: Vec<String> = printed.procedures().iter().map(procedure).collect();
    all.sort();
    all
}

#[test]
fn every_twin_says_what_the_capture_in_plain_tcp_says() {
    let twins: Vec<&Scenario> = scenario::all().filter(|scenario| scenario.twin.is_some()).collect();
    assert!(twins.len() > 10);
    for scenario in twins {
        let (carried, plain) = (printed(scenario), printed(scenario::find(scenario.twin.unwrap()).unwrap()));
        let alike = scenario.name.ends_with("status");
        assert_eq!(meanings(&carried, alike), meanings(&plain, alike), "{}", scenario.name);
        assert_eq!(procedures(&carried), procedures(&plain), "{}", scenario.name);
        let bindings: BTreeSet<String> =
            carried.messages().iter().map(|message| message["binding"].as_str().unwrap().to_owned()).collect();
        assert_eq!(bindings.len(), 1, "{}: {bindings:?}", scenario.name);
    }
}

#[test]
fn a_vendors_messages_without_its_schema_are_told() {
    let Some(shared) = shared_captures() else { return };
    let capture = shared.join("ck/grpc-vendor-h2c/capture.pcapng");
    let ckscope = |command: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_ckscope")).arg(command).arg(&capture).output().unwrap();
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap())
    };
    let [_, errors] = ckscope("read");
    assert!(errors.contains("no schema has the method /") && errors.contains("--proto FILE adds one"), "{errors}");
    let [connections, _] = ckscope("connections");
    assert!(connections.contains("no schema has the method /"), "{connections}");
}

/// All packets of a sample capture.
fn packets(name: &str) -> Batch {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(name);
    let (mut reader, errors) = Reader::open(&[path]);
    assert!(errors.is_empty(), "{errors:?}");
    let mut batch = Batch::default();
    assert!(reader.read_batch(&mut batch, 100_000));
    batch
}

fn only(all: &Batch, wanted: impl Fn(usize) -> bool) -> Printed {
    let packets = all.packets.iter().enumerate().filter(|(at, _)| wanted(*at)).map(|(_, packet)| *packet).collect();
    analyze_packets(&Batch { blocks: all.blocks.clone(), packets, ..Batch::default() }, PLAIN)
}

fn is_whole(message: &Value) -> bool {
    !diagnostics(message).contains(&"truncated-message")
}

/// Asserts that everything in `found` is in `whole`, and that anything missing is explained; gives how many are.
fn says_nothing_else(found: &Printed, whole: &Printed, context: &str) -> usize {
    let mut left = meanings(whole, false);
    for message in found.messages().iter().filter(|message| is_whole(message)) {
        let meant = meaning(message, false).to_string();
        let at = left.iter().position(|known| *known == meant);
        left.remove(at.unwrap_or_else(|| panic!("{context}: nobody said {message}")));
    }
    left.len()
}

#[test]
fn a_lost_packet_costs_what_was_in_it_and_what_its_headers_named() {
    let all = packets("appendix-ii-grpc.pcapng");
    let whole = only(&all, |_| true);
    let lost: Vec<usize> = (0..all.packets.len())
        .map(|at| says_nothing_else(&only(&all, |other| other != at), &whole, &format!("without packet {}", at + 1)))
        .collect();
    // Most packets carry one message or none; with headers go the paths of the calls that follow.
    assert!(lost.iter().filter(|&&lost| lost <= 1).count() > lost.len() / 2, "{lost:?}");
}

#[test]
fn joined_at_any_packet_nothing_wrong_is_said() {
    let all = packets("appendix-ii-grpc.pcapng");
    let whole = only(&all, |_| true);
    for start in 0..all.packets.len() {
        let found = only(&all, |at| at >= start);
        let missing = says_nothing_else(&found, &whole, &format!("from packet {}", start + 1));
        assert!(start > 10 || missing <= start, "{start}: {missing}");
    }
}

/// The packets of a connection on which these pieces are sent, one after the other.
fn captured(pieces: &[(Side, Vec<u8>)], most: usize) -> Batch {
    let connection = Connection::new(1, [7000, 9000]);
    let mut captured = Captured::default();
    captured.open(&connection);
    let mut sent = [0, 0];
    for (side, bytes) in pieces {
        for bytes in bytes.chunks(most) {
            let side = *side as usize;
            let (from, acknowledged) = (sent[side], sent[1 - side]);
            captured.push(&connection.segment(&Segment { side, from, bytes, acknowledged }));
            sent[side] += bytes.len();
        }
    }
    captured.push(&connection.fin(0, sent[0], sent[1]));
    captured.push(&connection.fin(1, sent[1], sent[0]));
    captured.batch()
}

const RELAY: &str = "/qkdn.ck.v1.CkInterface/KeyRelay";

fn relay_request(id: &str) -> Vec<u8> {
    [b"\x0a\x02K1\x12\x02K4\x1a\x02K2\x22", &[id.len() as u8][..], id.as_bytes()].concat()
}

fn relay_response(id: &str) -> Vec<u8> {
    [b"\x12", &[id.len() as u8][..], id.as_bytes()].concat()
}

fn analyzed(pieces: Vec<(Side, Vec<u8>)>) -> Printed {
    analyze_packets(&captured(&[opening(), pieces].concat(), 1400), PLAIN)
}

fn codes(printed: &Printed) -> Vec<String> {
    let code = |message: &Value| {
        let found = diagnostics(message).join(",");
        format!("{} {found}", message["command_code"].as_str().unwrap()).trim_end().to_owned()
    };
    printed.messages().iter().map(code).collect()
}

fn troubles(printed: &Printed) -> String {
    printed.connections()[0]["troubles"].to_string()
}

#[test]
fn several_requests_on_one_stream_are_answered_there() {
    let asked = [
        request_headers(1, RELAY),
        data(0, 1, &message(false, &relay_request("A"))),
        data(1, 1, &message(false, &relay_request("B"))),
    ];
    let answered = [
        response_headers(1),
        data(0, 1, &message(false, &relay_response("B"))),
        data(0, 1, &message(false, &relay_response("A"))),
        trailers(1, "0"),
    ];
    let printed = analyzed(vec![(CLIENT, asked.concat()), (SERVER, answered.concat())]);
    let procedures: Vec<Value> = printed.procedures().iter().map(|flow| flow["messages"].clone()).collect();
    assert_eq!(procedures, [serde_json::json!([1, 4]), serde_json::json!([2, 3])], "{}", printed.messages);
    assert_eq!(codes(&printed), ["0x4104", "0x4104", "0x1405", "0x1405"]);
}

#[test]
fn a_response_whose_request_is_lost_answers_no_other_call() {
    let mut pieces = call(1, RELAY, &relay_request("A"), &relay_response("A"));
    let answer = pieces.pop().unwrap();
    let other = call(3, RELAY, &relay_request("B"), &relay_response("B"));
    // Stream 3 is answered, and nothing else: what stream 1 asked waits on.
    pieces.push((CLIENT, request_headers(3, RELAY)));
    pieces.push(other[1].clone());
    pieces.push(answer);
    let printed = analyzed(pieces);
    assert_eq!(codes(&printed), ["0x4104", "0x1405 unexpected-response", "0x1405"], "{}", printed.messages);
}

#[test]
fn a_call_that_a_server_resets_is_not_answered() {
    let mut pieces = call(1, RELAY, &relay_request("A"), b"");
    pieces[1].1 = frame(3, 0, 1, &8u32.to_be_bytes());
    let printed = analyzed(pieces);
    assert_eq!(codes(&printed), ["0x4104 unanswered"]);
    assert!(troubles(&printed).contains("stream reset with CANCEL"), "{}", troubles(&printed));
}

#[test]
fn a_proxys_page_fails_the_call_and_answers_nothing() {
    let mut pieces = call(1, RELAY, &relay_request("A"), b"");
    let page = headers(0, 1, &[(":status", "503"), ("content-type", "text/html")]);
    pieces[1].1 = [page, data(END_STREAM, 1, b"\0\0\0\0\x04html")].concat();
    let printed = analyzed(pieces);
    assert_eq!(codes(&printed), ["0x4104 unanswered"]);
    assert!(troubles(&printed).contains("failed: HTTP status 503"), "{}", troubles(&printed));
}

#[test]
fn a_call_that_ends_with_nothing_is_told() {
    let mut pieces = call(1, RELAY, &relay_request("A"), b"");
    pieces[1].1 = [response_headers(1), data(END_STREAM, 1, b"")].concat();
    let printed = analyzed(pieces);
    assert_eq!(codes(&printed), ["0x4104 unanswered"]);
    assert!(troubles(&printed).contains("without a grpc-status"), "{}", troubles(&printed));
}

#[test]
fn a_status_that_is_not_ok_is_the_failure_response() {
    let mut pieces = call(1, RELAY, &relay_request("A"), b"");
    let fields =
        [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "8"), ("grpc-message", "no%20keys")];
    pieces[1].1 = headers(END_STREAM, 1, &fields);
    let printed = analyzed(pieces);
    assert_eq!(codes(&printed), ["0x4104", "0x1405 failure-response"]);
    let answer = &printed.messages()[1];
    assert_eq!(answer["parameters"]["response"], 8);
    assert_eq!(answer["parameters"]["extension"], "no keys");
    assert_eq!(printed.procedures()[0]["state"], "failed");
}

#[test]
fn a_status_after_the_response_fails_it() {
    let mut pieces = call(1, RELAY, &relay_request("A"), &relay_response("A"));
    let body = data(0, 1, &message(false, &relay_response("A")));
    pieces[1].1 = [response_headers(1), body, trailers(1, "13")].concat();
    pieces.extend(call(3, RELAY, &relay_request("B"), &relay_response("B")));
    let printed = analyzed(pieces);
    assert_eq!(codes(&printed), ["0x4104", "0x1405 failure-response", "0x4104", "0x1405"]);
    let states: Vec<Value> = printed.procedures().iter().map(|flow| flow["state"].clone()).collect();
    assert_eq!(states, ["failed", "complete"]);
    assert!(printed.messages()[1]["diagnostics"].to_string().contains("grpc-status 13 (INTERNAL)"));
}

#[test]
fn a_status_answers_what_is_open_in_its_call() {
    let asked = [request_headers(1, RELAY), data(0, 1, &message(false, &relay_request("A")))];
    let more = data(END_STREAM, 1, &message(false, &relay_request("B")));
    let answered = [response_headers(1), data(0, 1, &message(false, &relay_response("A"))), trailers(1, "5")].concat();
    let printed = analyzed(vec![(CLIENT, [asked.concat(), more].concat()), (SERVER, answered)]);
    let states: Vec<Value> = printed.procedures().iter().map(|flow| flow["state"].clone()).collect();
    assert_eq!(states, ["complete", "failed"], "{}", printed.messages);
    assert_eq!(codes(&printed), ["0x4104", "0x4104", "0x1405", "0x1405 failure-response"]);
}

#[test]
fn a_notification_whose_call_fails_has_failed() {
    let mut pieces = call(1, "/qkdn.ck.v1.CkInterface/NotifyKeyRelay", b"\x0a\x02K1\x12\x02K4", b"");
    pieces[1].1 = [response_headers(1), trailers(1, "14")].concat();
    let printed = analyzed(pieces);
    assert_eq!(codes(&printed), ["0x1403 failure-response"]);
    assert_eq!(printed.procedures()[0]["state"], "failed");
}

#[test]
fn a_call_that_is_reset_is_unanswered_while_its_connection_goes_on() {
    let mut pieces = [opening(), call(1, RELAY, &relay_request("A"), b"")].concat();
    pieces.last_mut().unwrap().1 = frame(3, 0, 1, &8u32.to_be_bytes());
    let packets = captured(&pieces, 1400);
    let open = Batch { packets: packets.packets[..packets.packets.len() - 2].to_vec(), ..packets };
    let printed = analyze_packets(&open, PLAIN);
    assert_eq!(codes(&printed), ["0x4104 unanswered"]);
    assert_eq!(printed.procedures()[0]["state"], "unanswered");
}

#[test]
fn what_compression_grows_to_is_bounded_in_all() {
    let bomb = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let text = [&b"\x0a\xff\xff\x37"[..], &[b'K'; (1 << 20) - 20]].concat();
        std::io::Write::write_all(&mut encoder, &text).unwrap();
        encoder.finish().unwrap()
    };
    let gzip = [(":method", "POST"), (":path", RELAY), ("content-type", "application/grpc"), ("grpc-encoding", "gzip")];
    let mut pieces = opening();
    pieces.push((CLIENT, headers(0, 1, &gzip)));
    pieces.extend((0..64).map(|_| (CLIENT, data(0, 1, &message(true, &bomb)))));
    let packets = captured(&pieces, 1400);
    let mut analyzer = Analyzer::new(options());
    analyzer.batch(&packets);
    let journal = analyzer.finish();
    assert_eq!(journal.records.len(), 64);
    let kept: usize = journal.records.iter().map(|record| record.captured as usize).sum();
    assert!(kept < 40 << 20, "{kept}");
    assert!(journal.troubles(0).iter().any(|trouble| trouble.kind == "expansion"));
}

#[test]
fn a_message_of_very_many_fields_is_read_in_one_pass() {
    let fields: Vec<u8> = (0..200_000u32)
        .flat_map(|n| {
            let tag = (n + 100) << 3;
            [tag as u8 | 0x80, (tag >> 7) as u8 | 0x80, (tag >> 14) as u8, 1]
        })
        .collect();
    let printed = analyzed(call(1, RELAY, &fields, &relay_response("A")));
    assert_eq!(printed.messages().len(), 2);
}

#[test]
fn streams_reused_by_another_connection_are_no_duplicates() {
    let calls: Vec<_> = [1, 3, 5, 7]
        .into_iter()
        .flat_map(|stream| {
            let id = format!("R{stream}");
            call(stream, RELAY, &relay_request(&id), &relay_response(&id))
        })
        .collect();
    let printed = analyzed(calls.clone());
    assert_eq!(codes(&printed), ["0x4104", "0x1405"].repeat(4));
    for most in [1, 7, 33] {
        let cut = analyze_packets(&captured(&[opening(), calls.clone()].concat(), most), PLAIN);
        assert_eq!(meanings(&cut, false), meanings(&printed, false), "segments of {most}");
    }
}

#[test]
fn http_that_is_no_grpc_has_no_troubles() {
    let mut pieces = opening();
    pieces.push((CLIENT, headers(END_STREAM, 1, &[(":method", "GET"), (":path", "/")])));
    let page = headers(0, 1, &[(":status", "200"), ("content-type", "text/html")]);
    pieces.push((SERVER, [page, data(END_STREAM, 1, b"<html></html>")].concat()));
    let printed = analyze_packets(&captured(&pieces, 1400), PLAIN);
    assert_eq!(printed.messages, "");
    assert_eq!(troubles(&printed), "[]");
}

/// grpcio's client and server talk through a forwarder, which tells what it forwards: the side and the bytes in hex.
const GRPCIO: &str = r#"
import socket, sys, threading, grpc
from concurrent import futures
def string(number, text): return bytes([number << 3 | 2, len(text)]) + text.encode()
def read(data):
    fields, at = {}, 0
    while at < len(data):
        fields[data[at] >> 3] = data[at + 2:at + 2 + data[at + 1]].decode()
        at += 2 + data[at + 1]
    return fields
def relay(request, context):
    if read(request)[4] == 'none': context.abort(grpc.StatusCode.NOT_FOUND, 'no such route: \u00e9')
    return string(2, read(request)[4])
def stream(requests, context):
    for request in requests: yield relay(request, context)
server = grpc.server(futures.ThreadPoolExecutor(), compression=grpc.Compression.Gzip)
both = {'KeyRelay': grpc.stream_stream_rpc_method_handler(stream)}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler('qkdn.ck.v1.CkInterface', both),))
target = server.add_insecure_port('127.0.0.1:0')
server.start()
lock = threading.Lock()
def forward(side, source, sink):
    while data := source.recv(65536):
        with lock: print(side, data.hex(), flush=True)
        sink.sendall(data)
listener = socket.create_server(('127.0.0.1', 0))
def accept():
    client, _ = listener.accept()
    upstream = socket.create_connection(('127.0.0.1', target))
    for work in [(0, client, upstream), (1, upstream, client)]: threading.Thread(target=forward, args=work, daemon=True).start()
threading.Thread(target=accept, daemon=True).start()
address = '127.0.0.1:%d' % listener.getsockname()[1]
channel = grpc.insecure_channel(address, compression=grpc.Compression.Gzip)
def request(id): return string(1, 'KMA-1') + string(2, 'KMA-4') + string(3, 'KMA-2,' * 15) + string(4, id)
method = '/qkdn.ck.v1.CkInterface/KeyRelay'
for nth in range(5): channel.unary_unary(method)(request('unary-%d' % nth))
list(channel.stream_stream(method)(iter([request('stream-%d' % nth) for nth in range(5)])))
try: channel.unary_unary(method)(request('none'))
except grpc.RpcError: pass
"#;

#[test]
fn what_grpcio_says_is_read() {
    let output = Command::new("python3").args(["-c", GRPCIO]).output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        eprintln!("skipped: python3 with grpcio is not installed");
        return;
    };
    let forwarded = String::from_utf8(output.stdout).unwrap();
    let octets =
        |hex: &str| (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    let piece = |line: &str| {
        let (side, hex) = line.split_once(' ').unwrap();
        (if side == "0" { CLIENT } else { SERVER }, octets(hex))
    };
    let pieces: Vec<(Side, Vec<u8>)> = forwarded.lines().map(piece).collect();
    let printed = analyze_packets(&captured(&pieces, 1400), PLAIN);
    let ids = |code: &str| -> Vec<String> {
        let messages = printed.messages();
        let of = messages.iter().filter(|message| message["command_code"] == code);
        let mut ids: Vec<String> = of
            .filter_map(|message| message["parameters"]["key_relay_request_id"].as_str().map(str::to_owned))
            .collect();
        ids.sort();
        ids
    };
    let good: Vec<String> =
        ["stream", "unary"].iter().flat_map(|kind| (0..5).map(move |nth| format!("{kind}-{nth}"))).collect();
    assert_eq!(ids("0x1405"), good, "{}", printed.messages);
    let mut asked = good;
    asked.insert(0, "none".to_owned());
    assert_eq!(ids("0x4104"), asked);
    let states: Vec<Value> = printed.procedures().iter().map(|flow| flow["state"].clone()).collect();
    assert_eq!(states.iter().filter(|state| **state == "failed").count(), 1);
    let last = printed.messages().pop().unwrap();
    assert_eq!(
        (&last["parameters"]["response"], &last["parameters"]["extension"]),
        (&5.into(), &"no such route: é".into())
    );
}
