//! The binary: what `connections` and `follow` say about TLS, and what about key logs.

use std::path::Path;
use std::process::{Command, Output};

use ckscope::analyzer::{Analyzer, Options};
use ckscope::capture::Batch;
use ckscope::capture::file::Reader;
use ckscope::stream::Side;
use serde_json::Value;

use crate::support::analysis::{objects, options};
use crate::support::peers::{Pki, Say, Server, is_there};
use crate::support::tls::{Chunk, Recorded};
use crate::support::traffic::{Connection, Segment};
use crate::support::{Files, Order, Pcapng};

pub fn command(arguments: &[&str], capture: &Path, key_log: Option<&Path>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckscope"));
    command.args(arguments).arg(capture);
    if let Some(key_log) = key_log {
        command.arg("--keylog").arg(key_log);
    }
    command
}

pub fn run(arguments: &[&str], capture: &Path, key_log: Option<&Path>) -> Output {
    command(arguments, capture, key_log).output().expect("the binary runs")
}

/// What `connections` prints as JSON Lines.
pub fn connections(capture: &Path, key_log: Option<&Path>) -> Vec<Value> {
    objects(&text(&run(&["connections", "--format", "jsonl"], capture, key_log).stdout))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

/// A pcapng file of one connection; `handshake`: with its SYNs.
fn capture_of(recorded: &Recorded, handshake: bool) -> Pcapng {
    let mut file = Pcapng { bytes: Vec::new(), order: Order::Little };
    file.section(Order::Little).interface(101, 0, &[]);
    append(&mut file, recorded, 1, handshake);
    file
}

/// Adds a connection, the `nth` of the file.
fn append(file: &mut Pcapng, recorded: &Recorded, nth: u16, handshake: bool) {
    let (connection, mut sent, mut ticks) = (Connection::new(nth, [100, 200]), [0, 0], u64::from(nth) * 1_000_000);
    let mut push = |file: &mut Pcapng, packet: &[u8]| {
        ticks += 100;
        file.packet(0, ticks, packet);
    };
    if handshake {
        push(file, &connection.syn());
        push(file, &connection.syn_ack());
    }
    for (side, chunk) in &recorded.chunks {
        let (side, Chunk::Bytes(bytes, _)) = (*side as usize, chunk) else { panic!("a gap") };
        let segment = Segment { side, from: sent[side], bytes, acknowledged: sent[1 - side] };
        push(file, &connection.segment(&segment));
        sent[side] += bytes.len();
    }
    for side in [0, 1] {
        push(file, &connection.fin(side, sent[side], sent[1 - side]));
    }
}

/// A decryption secrets block with a TLS key log.
fn with_secrets(mut file: Pcapng, key_log: &str) -> Vec<u8> {
    const TLS_KEY_LOG: u32 = 0x544c_534b;
    let body = [&TLS_KEY_LOG.to_le_bytes()[..], &(key_log.len() as u32).to_le_bytes(), key_log.as_bytes()].concat();
    file.block(10, &body);
    file.bytes
}

fn without_secret(facts: &Value) -> bool {
    facts["reason"].as_str().is_some_and(|reason| reason.starts_with("no secret for client random "))
}

#[test]
fn secrets_at_the_end_of_a_capture_open_what_stands_before_them() {
    for sample in crate::damage::samples() {
        let desk = Files::new();
        let closed = desk.write("closed.pcapng", &capture_of(&sample.recorded, true).bytes);
        let open = desk.write("open.pcapng", &with_secrets(capture_of(&sample.recorded, true), &sample.key_log));
        assert!(without_secret(&connections(&closed, None)[0]["tls"]), "{}", sample.name);
        let tls = &connections(&open, None)[0]["tls"];
        assert_eq!((&tls["decrypted"], &tls["reason"]), (&Value::Bool(true), &Value::Null), "{}", sample.name);
        let whole = sample.recorded.decrypt(&sample.secrets());
        for side in [Side::Initiator, Side::Responder] {
            let found = run(&["follow", "--connection", "1", "--side", side.name()], &open, None).stdout;
            assert!(found == whole.bytes[side as usize], "{}: {}", sample.name, side.name());
        }
    }
}

#[test]
fn a_connection_joined_midway_says_so_with_or_without_secrets() {
    let sample = crate::damage::samples().first().expect("the sample captures are there");
    let mut recorded = sample.recorded.by_record();
    let is_data = |chunk: &Chunk| matches!(chunk, Chunk::Bytes(bytes, _) if bytes[0] == 23);
    recorded.chunks.retain(|(_, chunk)| is_data(chunk));
    let desk = Files::new();
    let log = desk.write("keys.log", sample.key_log.as_bytes());
    let capture = desk.write("midway.pcapng", &capture_of(&recorded, false).bytes);
    for key_log in [None, Some(&*log)] {
        let connection = &connections(&capture, key_log)[0];
        assert_eq!(connection["protocol"], "tls");
        let reason = connection["tls"]["reason"].as_str().unwrap();
        assert_eq!(reason, "capture starts after the handshake; start it before the peers connect");
    }
}

#[test]
fn a_key_log_that_is_not_there_or_useless_is_said_and_changes_the_exit_status() {
    let sample = crate::damage::samples().first().expect("the sample captures are there");
    let desk = Files::new();
    let capture = desk.write("capture.pcapng", &capture_of(&sample.recorded, true).bytes);
    let missing = run(&["connections"], &capture, Some(&desk.path().join("missing.log")));
    let said = text(&missing.stderr);
    assert_eq!(missing.status.code(), Some(2), "{said}");
    assert!(said.contains("missing.log: key log cannot be opened"), "{said}");

    let half = format!("no secret\n{}", sample.key_log);
    let cases = [
        ("empty.log", "", 1, "empty.log: holds no TLS secret; expected lines of an NSS key log"),
        ("other.log", "-----BEGIN PRIVATE KEY-----\n", 1, "other.log: holds no TLS secret"),
        ("half.log", &half, 1, "half.log: 1 lines are no secrets, the first is line 1; the others are used"),
    ];
    for (name, log, status, expected) in cases {
        let log = desk.write(name, log.as_bytes());
        let output = run(&["connections"], &capture, Some(&log));
        let said = text(&output.stderr);
        assert!(said.contains(expected), "{said}");
        assert_eq!(output.status.code(), Some(status), "{name}: {said}");
    }
}

#[test]
fn a_key_log_may_be_given_twice() {
    let sample = crate::damage::samples().first().expect("the sample captures are there");
    let desk = Files::new();
    let capture = desk.write("capture.pcapng", &capture_of(&sample.recorded, true).bytes);
    let log = desk.write("keys.log", sample.key_log.as_bytes());
    let mut twice = command(&["connections", "--format", "jsonl"], &capture, Some(&log));
    let output = twice.arg("--keylog").arg(&log).output().unwrap();
    assert_eq!(text(&output.stderr), "");
    assert_eq!(objects(&text(&output.stdout))[0]["tls"]["decrypted"], true);
}

#[test]
fn the_list_of_connections_tells_what_tls_said_of_itself() {
    for (name, version) in [("all-procedures-tls12", "TLS 1.2"), ("all-procedures-tls13", "TLS 1.3")] {
        let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("captures/{name}.pcapng"));
        let connections = connections(&capture, None);
        assert!(!connections.is_empty());
        for connection in connections {
            let tls = &connection["tls"];
            assert_eq!((tls["version"].as_str(), tls["decrypted"].as_bool()), (Some(version), Some(true)), "{tls}");
            for certificate in ["initiator_certificate", "responder_certificate"] {
                assert!(tls[certificate]["subject"].as_str().is_some_and(|it| !it.is_empty()), "{name}: {tls}");
                assert!(!tls[certificate]["sans"].as_array().unwrap().is_empty(), "{name}: {tls}");
            }
        }
        let list = text(&run(&["connections"], &capture, None).stdout);
        assert!(list.contains(version) && list.contains("TLS_"), "{list}");
    }
}

#[test]
fn messages_wait_for_secrets_that_are_written_after_them() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/all-procedures-tls13.pcapng");
    let found = |waits_for_secrets, batch_size| {
        let (mut reader, errors) = Reader::open(std::slice::from_ref(&sample));
        assert!(errors.is_empty(), "{errors:?}");
        let mut analyzer = Analyzer::new(Options { waits_for_secrets, ..options() });
        let mut batch = Batch::default();
        while reader.read_batch(&mut batch, batch_size) {
            analyzer.batch(&batch);
            for log in reader.tls_key_logs(0) {
                analyzer.add_secrets(log);
            }
        }
        analyzer.finish();
        (analyzer.journal().records.len(), analyzer.journal().procedures.len())
    };
    // After 100 packets messages were sent, and no connection is closed; after all of them, every one is.
    for batch_size in [100, usize::MAX] {
        assert_eq!(found(true, batch_size), (17, 8));
        assert!(found(false, batch_size).0 < 17);
    }
}

#[test]
fn what_resumes_a_session_is_opened_by_the_key_log_of_the_one_that_began_it() {
    if !is_there("openssl") {
        return;
    }
    let pki = Pki::new();
    for options in [&["-tls1_2"][..], &["-tls1_2", "-no_ticket"]] {
        let mut server = Server::openssl(&pki, "", options);
        let session = pki.file("session").display().to_string();
        let [first, second] = ["-sess_out", "-sess_in"].map(|option| {
            let options = [&["-quiet", "-no_ign_eof", option, &session], options].concat();
            server.openssl_client(&pki, &options, &[Say::Client(b"said"), Say::Close])
        });
        // Whichever comes first in the file, and whoever reads it.
        for order in [[&first, &second], [&second, &first]] {
            let mut file = Pcapng { bytes: Vec::new(), order: Order::Little };
            file.section(Order::Little).interface(101, 0, &[]);
            append(&mut file, &order[0].recorded, 1, true);
            append(&mut file, &order[1].recorded, 2, true);
            let capture = pki.0.write("resumed.pcapng", &with_secrets(file, &first.key_log));
            for threads in ["1", "2", "4"] {
                let arguments = ["connections", "--format", "jsonl", "--threads", threads];
                let told = objects(&text(&run(&arguments, &capture, None).stdout));
                let decrypted = told.iter().filter(|connection| connection["tls"]["decrypted"] == true);
                assert_eq!(decrypted.count(), 2, "{options:?}, {threads} threads: {told:#?}");
            }
        }
    }
}
