//! Captures that other hands made: Ck traffic with the logs of its peers, and traffic that is not Ck at all.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use ckscope::analyzer::Options;
use serde_json::{Map, Value};
use support::analysis::{
    PLAIN, Printed, analyze_file, analyze_file_with, diagnostics, objects, options, options_with_schema,
};
use support::shared_captures;

fn folders(of: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(of).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

fn name(folder: &Path) -> &str {
    folder.file_name().unwrap().to_str().unwrap()
}

fn capture_in(folder: &Path) -> Option<PathBuf> {
    ["pcap", "pcapng"].map(|end| folder.join("capture").with_extension(end)).into_iter().find(|path| path.exists())
}

/// The third-party captures, none of which holds Ck.
fn foreign_captures() -> Vec<PathBuf> {
    let shared = shared_captures().map(|shared| folders(&shared)).unwrap_or_default();
    shared.into_iter().filter(|folder| folder.is_dir() && name(folder) != "ck").collect()
}

/// Ck between another controller and other KMs, of whatever binding: what is printed, and what the peers logged.
fn ck_captures() -> Vec<(PathBuf, Printed)> {
    let Some(shared) = shared_captures() else { return Vec::new() };
    let logged = folders(&shared.join("ck")).into_iter().filter(|folder| folder.join("messages.jsonl").exists());
    logged
        .map(|folder| {
            let printed = analyze_file_with(&capture_in(&folder).unwrap(), PLAIN, options_for(&folder));
            (folder, printed)
        })
        .collect()
}

/// With the schema and the secrets that lie beside a capture.
fn options_for(folder: &Path) -> Options {
    let schema = folder.join("ck_vendor.proto");
    let mut options = if schema.exists() { options_with_schema(&schema) } else { options() };
    if let Ok(keys) = std::fs::read(folder.join("keys.log")) {
        options.secrets.add(&keys);
    }
    options
}

fn truth(folder: &Path, file: &str) -> Vec<Value> {
    objects(&std::fs::read_to_string(folder.join(file)).unwrap())
}

/// Whether `found` has everything that `known` says; a null is unknown, and `except` is not compared.
fn agrees(known: &Map<String, Value>, found: &Value, except: &[&str]) -> bool {
    let codes = |message: &Value| diagnostics(message).into_iter().map(str::to_owned).collect::<Vec<_>>();
    known.iter().all(|(key, value)| match key.as_str() {
        key if except.contains(&key) || value.is_null() => true,
        // The peers know what they did wrong, not in which words we say so.
        "diagnostics" => codes(&Value::Object(known.clone())) == codes(found),
        key => found[key] == *value,
    })
}

#[test]
fn messages_are_those_that_the_peers_logged() {
    for (folder, printed) in ck_captures() {
        let (mut known, found) = (truth(&folder, "messages.jsonl"), printed.messages());
        assert_eq!(found.len(), known.len(), "{}", name(&folder));
        // The peers logged in the order of sending, we print in the order of capture.
        known.sort_by_key(|message| message["packet"].as_u64());
        for (known, found) in known.iter().zip(&found) {
            let same = agrees(known.as_object().unwrap(), found, &["id", "t"]);
            assert!(same, "{}:\nlogged {known}\nfound  {found}", name(&folder));
        }
    }
}

/// The numbers that we gave to what the peers logged under an id.
fn numbers(folder: &Path) -> BTreeMap<u64, u64> {
    let mut logged = truth(folder, "messages.jsonl");
    logged.sort_by_key(|message| message["packet"].as_u64());
    (1..).zip(logged).map(|(number, message)| (message["id"].as_u64().unwrap(), number)).collect()
}

#[test]
fn procedures_are_those_that_the_peers_logged() {
    for (folder, printed) in ck_captures() {
        let numbers = numbers(&folder);
        let (known, found) = (truth(&folder, "flows.jsonl"), printed.procedures());
        assert_eq!(found.len(), known.len(), "{}", name(&folder));
        let mut ids = BTreeMap::new();
        for known in &known {
            let messages: Value = integers(&known["messages"]).iter().map(|id| numbers[id]).collect();
            let same = found.iter().find(|found| {
                found["messages"] == messages
                    && agrees(known.as_object().unwrap(), found, &["id", "messages", "related", "optional"])
            });
            let found = same.unwrap_or_else(|| panic!("{}: no {known} in\n{}", name(&folder), printed.procedures));
            ids.insert(known["id"].as_u64().unwrap(), found["id"].as_u64().unwrap());
        }
        let expected: BTreeSet<BTreeSet<u64>> =
            exchanges(&known).iter().map(|exchange| exchange.iter().map(|id| ids[id]).collect()).collect();
        assert_eq!(exchanges(&found), expected, "{}", name(&folder));
    }
}

fn integers(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect()
}

/// The procedures of each exchange. The peers list a relay's later hops with the first one only, we list all with
/// all, so what is compared is who can be reached from whom.
fn exchanges(flows: &[Value]) -> BTreeSet<BTreeSet<u64>> {
    let mut exchanges: Vec<BTreeSet<u64>> = Vec::new();
    for flow in flows {
        let mut joined: BTreeSet<u64> = integers(&flow["related"]).into_iter().collect();
        joined.insert(flow["id"].as_u64().unwrap());
        exchanges.retain(|exchange| {
            let apart = exchange.is_disjoint(&joined);
            if !apart {
                joined.extend(exchange);
            }
            apart
        });
        exchanges.push(joined);
    }
    exchanges.into_iter().collect()
}

#[test]
fn no_message_is_found_where_there_is_no_ck() {
    for folder in foreign_captures() {
        let path = capture_in(&folder).unwrap();
        let (_, errors) = ckscope::capture::file::Reader::open(std::slice::from_ref(&path));
        if errors.is_empty() {
            assert_eq!(analyze_file(&path, PLAIN).messages, "", "{}", name(&folder));
        }
    }
}

/// Streams of which tshark gives other bytes, and why ours are right.
const EXPLAINED: [(&str, &str); 2] = [
    ("suricata-rst-with-data", "what a RST carries is a text about the error, no part of the stream (RFC 9293 3.5.3)"),
    ("zeek-rst-inject", "the last segment was sent after the other side's RST; the connection was over"),
];

/// Bytes of a stream by side, as tshark's `follow` has them: ends, and how many bytes each sent.
type Followed = BTreeMap<String, u64>;

#[test]
fn streams_have_the_bytes_that_tshark_reassembles() {
    let mut wrong = BTreeMap::new();
    for folder in foreign_captures() {
        let Ok(truth) = std::fs::read_to_string(folder.join("truth.json")) else { continue };
        let truth: Value = serde_json::from_str(&truth).unwrap();
        let streams = truth["tcp_streams"].as_u64().unwrap() as usize;
        if streams == 0 || EXPLAINED.iter().any(|(explained, _)| *explained == name(&folder)) {
            continue;
        }
        let path = capture_in(&folder).unwrap();
        let Some(expected) = follow(&path, streams) else {
            eprintln!("skipped: tshark is not installed");
            return;
        };
        let found = reassembled(&analyze_file(&path, PLAIN));
        if found != expected {
            wrong.insert(name(&folder).to_owned(), (found, expected));
        }
    }
    assert!(wrong.is_empty(), "ours and tshark's: {wrong:#?}");
}

/// The streams that carry anything, as `connections` has them.
fn reassembled(printed: &Printed) -> BTreeSet<Followed> {
    let sides = |connection: &Value| {
        ["initiator", "responder"]
            .map(|side| (connection[side].as_str().unwrap().to_owned(), connection["bytes"][side].as_u64().unwrap()))
            .into()
    };
    printed.connections().iter().map(sides).filter(carries_anything).collect()
}

/// What tshark reassembles of the first `streams` streams; `None` without tshark.
fn follow(capture: &Path, streams: usize) -> Option<BTreeSet<Followed>> {
    let taps = (0..streams).flat_map(|stream| ["-z".to_owned(), format!("follow,tcp,raw,{stream}")]);
    let output = Command::new("tshark").arg("-r").arg(capture).arg("-q").args(taps).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.split("Follow: tcp,raw").skip(1).map(followed).filter(carries_anything).collect())
}

fn carries_anything(stream: &Followed) -> bool {
    stream.values().any(|&bytes| bytes > 0)
}

/// One stream: `Node 0: ip:port`, `Node 1: ip:port`, then bytes in hex, those of node 1 behind a tab.
fn followed(text: &str) -> Followed {
    let node = |number| {
        let prefix = format!("Node {number}: ");
        text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default().to_owned()
    };
    let mut bytes = [0; 2];
    for line in text.lines() {
        let digits = line.trim();
        let is_hex = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if is_hex && !tells_a_gap(digits) {
            bytes[usize::from(line.starts_with('\t'))] += digits.len() as u64 / 2;
        }
    }
    [(node(0), bytes[0]), (node(1), bytes[1])].into()
}

/// Where bytes are missing, tshark puts `[34 bytes missing in capture file]` and a zero byte.
fn tells_a_gap(digits: &str) -> bool {
    let missing = " bytes missing in capture file]\0".bytes().map(|byte| format!("{byte:02x}"));
    digits.starts_with("5b") && digits.ends_with(&missing.collect::<String>())
}
