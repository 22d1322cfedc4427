//! Header lists of HTTP/2 as tshark reads them, in the clear and in TLS.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use ckscope::framing::http2::{Event, Http2};
use ckscope::stream::{Piece, Side, Stamp};
use ckscope::time::Timestamp;
use serde_json::Value;
use support::analysis::objects;
use support::http2::PREFACE;
use support::{sample_captures, shared_captures};

/// By the ports that they are sent from and to: fields in the order sent.
type Lists = BTreeMap<(String, String), Vec<(String, String)>>;

fn ckscope(arguments: &[&str], capture: &Path) -> Vec<u8> {
    Command::new(env!("CARGO_BIN_EXE_ckscope")).args(arguments).arg(capture).output().unwrap().stdout
}

fn captures() -> Vec<PathBuf> {
    let ours = sample_captures().into_iter().filter(|path| path.to_string_lossy().contains("grpc"));
    let names = [
        "ndpi-http2",
        "suricata-http2-bugfixes",
        "suricata-http2-compression",
        "suricata-http2-continuation",
        "suricata-http2-errorcode",
        "suricata-http2-long-frame",
        "ck/grpc-std-h2c",
        "ck/grpc-vendor-h2c",
    ];
    let shared = shared_captures().into_iter().flat_map(|shared| names.map(|name| shared.join(name)));
    let ends = ["capture.pcapng", "capture.pcap"];
    let shared = shared.filter_map(|folder| ends.map(|end| folder.join(end)).into_iter().find(|path| path.exists()));
    ours.chain(shared).collect()
}

/// Our lists of a connection, whose sides' bytes are given one after the other.
fn lists(bytes: [&[u8]; 2], ports: &[String; 2], into: &mut Lists) {
    let mut http2 = Http2::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut take = |event: Event<'_>| {
        let Event::Headers(list) = event else { return };
        let from = list.side as usize;
        let fields = list.headers.iter().map(|field| (text(field.name), text(field.value)));
        into.entry((ports[from].clone(), ports[1 - from].clone())).or_default().extend(fields);
    };
    let stamp = Stamp { packet: 1, time: Timestamp(0) };
    for (side, bytes) in
        [Side::Initiator, Side::Responder].into_iter().zip(bytes).filter(|(_, bytes)| !bytes.is_empty())
    {
        http2.piece(side, true, Piece::Bytes { bytes, place: None, stamp }, &mut take);
    }
}

fn port(connection: &Value, side: &str) -> String {
    connection[side].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned()
}

/// Our lists, and the ports on which HTTP/2 is spoken in the clear.
fn ours(capture: &Path) -> (Lists, Vec<String>) {
    let (mut all, mut clear) = (Lists::new(), Vec::new());
    let connections = String::from_utf8(ckscope(&["connections", "--format", "jsonl"], capture)).unwrap();
    for connection in objects(&connections) {
        let number = connection["connection"].to_string();
        let follow = |side| ckscope(&["follow", "--connection", &number, "--side", side], capture);
        let [client, server] = ["initiator", "responder"].map(follow);
        let ports = ["initiator", "responder"].map(|side| port(&connection, side));
        if client.starts_with(PREFACE) {
            lists([&client, &server], &ports, &mut all);
            if connection["tls"].is_null() {
                clear.push(ports[1].clone());
            }
        }
    }
    (all, clear)
}

/// tshark's lists; `None` without tshark.
fn theirs(capture: &Path, clear: &[String]) -> Option<Lists> {
    let decode = clear.iter().flat_map(|port| ["-d".to_owned(), format!("tcp.port=={port},http2")]);
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(capture).args(decode).args(["-Y", "http2.header", "-T", "json"]);
    for field in ["tcp.srcport", "tcp.dstport", "http2.header.name", "http2.header.value"] {
        tshark.args(["-e", field]);
    }
    let output = tshark.output().ok()?;
    let packets: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let mut all = Lists::new();
    for packet in packets {
        let layers = &packet["_source"]["layers"];
        let texts = |field: &str| -> Vec<String> {
            let list = layers[field].as_array();
            list.into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        let ports = (texts("tcp.srcport").remove(0), texts("tcp.dstport").remove(0));
        let fields = texts("http2.header.name").into_iter().zip(texts("http2.header.value"));
        all.entry(ports).or_default().extend(fields);
    }
    Some(all)
}

#[test]
fn header_lists_are_those_that_tshark_reads() {
    let mut compared = 0;
    for capture in captures() {
        let (ours, clear) = ours(&capture);
        let Some(mut theirs) = theirs(&capture, &clear) else {
            eprintln!("skipped: tshark is not installed");
            return;
        };
        theirs.retain(|ports, _| ours.contains_key(ports));
        compared += ours.values().map(Vec::len).sum::<usize>();
        assert_eq!(ours, theirs, "{}", capture.display());
    }
    assert!(compared > 300, "{compared} fields");
}
