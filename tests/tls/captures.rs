//! Captures from other hands: the bytes that others decrypt, and what they say about their connections.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use ckscope::analyzer::Analyzer;
use ckscope::capture::Batch;
use ckscope::capture::file::Reader;
use ckscope::tls::{Detected, Reason, Secrets, detect, suite_name, version_name};
use serde_json::Value;

use crate::commands::{connections, run};
use crate::support::analysis::options;
use crate::support::sample_captures;
use crate::support::tls::{self, Decrypted, shared_capture};

/// Captures whose truth says what each stream decrypts to.
const TRUTHS: [&str; 6] = [
    "tls12-suites-all",
    "tls12-suites-works",
    "zeek-tls12-decryption",
    "illustrated-tls12",
    "illustrated-tls13",
    "illustrated-tls13-old",
];

/// Ciphers that no library of ours has: RFC 7465 forbids RC4, RFC 9325 4.1 the others or their key lengths.
const UNREAD: [&str; 6] = ["RC4", "RC2", "DES", "IDEA", "CAMELLIA", "SEED"];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn follow_gives_what_others_decrypt_or_says_that_the_suite_is_not_read() {
    let mut decrypted = 0;
    for name in TRUTHS {
        let Some(capture) = shared_capture(name) else { return };
        let truth = std::fs::read(capture.with_file_name("truth.json")).unwrap();
        let truth: Value = serde_json::from_slice(&truth).unwrap();
        let log = capture.with_file_name("keys.log");
        let key_log = log.is_file().then_some(&*log);
        let connections = connections(&capture, key_log);
        for expected in truth["decrypted"].as_array().unwrap() {
            let number = expected["stream"].as_u64().unwrap() as usize + 1;
            let tls = &connections[number - 1]["tls"];
            let suite = tls["suite"].as_str().unwrap();
            if UNREAD.iter().any(|cipher| suite.contains(cipher)) {
                assert_eq!(tls["reason"].as_str(), Some(&*format!("cipher suite {suite} is not supported")), "{name}");
                continue;
            }
            decrypted += 1;
            assert_eq!((&tls["reason"], &tls["decrypted"]), (&Value::Null, &Value::Bool(true)), "{name}: {suite}");
            // The truth's client is who sent application data first.
            let mut found = ["initiator", "responder"].map(|side| {
                let mut command = vec!["follow", "--connection"];
                let number = number.to_string();
                command.extend([&number, "--side", side]);
                hex(digest(&SHA256, &run(&command, &capture, key_log).stdout).as_ref())
            });
            let mut expected = ["client_sha256", "server_sha256"].map(|key| expected[key].as_str().unwrap());
            found.sort();
            expected.sort_unstable();
            assert_eq!(found, expected, "{name}: {suite}");
        }
    }
    assert_eq!(decrypted, 16);
}

#[test]
fn decrypts_as_tshark_does() {
    let own = sample_captures().into_iter().filter(|path| path.to_string_lossy().contains("-tls"));
    let other = ["tls-null", "zeek-tls12-decryption", "illustrated-tls13"].into_iter().filter_map(shared_capture);
    for path in own.chain(other) {
        let (recorded, mut secrets) = tls::connections(&path);
        secrets.add(&std::fs::read(path.with_file_name("keys.log")).unwrap_or_default());
        let Some(expected) = tshark_follows(&path, recorded.len()) else {
            return eprintln!("skipped: tshark is not installed");
        };
        for (stream, (recorded, mut expected)) in recorded.iter().zip(expected).enumerate() {
            let found = recorded.decrypt(&secrets);
            let mut bytes = found.bytes.each_ref().map(|bytes| hex(bytes));
            // Its node 0 is who sent application data first.
            bytes.sort();
            expected.sort();
            assert!(bytes == expected, "{}: stream {stream}: {:?}", path.display(), found.facts);
        }
    }
}

/// Both sides' decrypted bytes of every stream.
fn tshark_follows(path: &Path, streams: usize) -> Option<Vec<[String; 2]>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(path).arg("-q");
    let log = path.with_file_name("keys.log");
    if log.is_file() {
        command.arg("-o").arg(format!("tls.keylog_file:{}", log.display()));
    }
    for stream in 0..streams {
        command.args(["-z", &format!("follow,tls,raw,{stream}")]);
    }
    let output = command.output().ok()?;
    let mut sent = vec![[String::new(), String::new()]; streams];
    let mut stream = 0;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some(filter) = line.strip_prefix("Filter: tcp.stream eq ") {
            stream = filter.parse().unwrap();
        }
        let digits = line.trim();
        if !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            sent[stream][usize::from(line.starts_with('\t'))].push_str(digits);
        }
    }
    Some(sent)
}

fn decrypt(name: &str) -> Option<Vec<Decrypted>> {
    let (recorded, secrets) = tls::connections(&shared_capture(name)?);
    Some(recorded.iter().map(|connection| connection.decrypt(&secrets)).collect())
}

#[test]
fn without_a_secret_the_facts_are_those_of_the_hellos() {
    let expected = [
        ("ssl-imap", "TLS 1.2", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
        ("http2-16-ssl", "TLS 1.2", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        ("zeek-tls13-kyber", "TLS 1.3", "TLS_AES_128_GCM_SHA256"),
    ];
    for (name, version, suite) in expected {
        let Some(found) = decrypt(name) else { return };
        let found = found.into_iter().find(|found| found.facts.suite.is_some()).unwrap();
        let facts = &found.facts;
        let told = (facts.version.map(version_name), facts.suite.and_then(suite_name));
        assert_eq!(told, (Some(version.to_owned()), Some(suite)), "{name}");
        assert!(matches!(facts.reason, Some(Reason::NoSecret { .. })), "{name}: {facts:?}");
        assert!(!facts.decrypted && found.bytes.iter().all(Vec::is_empty));
        if version == "TLS 1.2" {
            let client = facts.client.unwrap();
            assert!(!facts.certificates[client.other() as usize].is_empty(), "{name}");
        }
    }
}

#[test]
fn both_certificates_of_a_mutual_handshake_are_read() {
    let Some(found) = decrypt("zeek-client-certificate") else { return };
    let [client, server] = &found[0].facts.certificates;
    assert!(!client.is_empty() && !server.is_empty(), "{:?}", found[0].facts);
    assert!(server[0].subject.contains("CN=") && server[0].not_before < server[0].not_after);
}

#[test]
fn ssl_2_is_not_taken_for_tls_that_could_be_read() {
    let Some(found) = decrypt("sslv2") else { return };
    assert!(found[0].facts.reason.is_some() && !found[0].facts.decrypted, "{:?}", found[0].facts);
}

#[test]
fn tls_is_told_by_at_most_five_bytes() {
    assert_eq!(detect(&[]), Detected::NeedMore);
    assert_eq!(detect(&[22]), Detected::NeedMore);
    assert_eq!(detect(&[22, 3, 1, 2, 0]), Detected::Yes);
    assert_eq!(detect(&[23, 3, 3, 0, 40, 1]), Detected::Yes);
    assert_eq!(detect(&[23, 3, 3, 0xff, 0xff]), Detected::No);
    assert_eq!(detect(&[0, 1, 0, 0, 1]), Detected::No);
    assert_eq!(detect(b"PRI * HTTP/2"), Detected::No);
}

#[test]
fn secrets_behind_the_packets_are_looked_for_only_if_something_looks_like_tls() {
    for (name, expected) in [("all-procedures.pcapng", false), ("all-procedures-tls13.pcapng", true)] {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(name);
        let (mut reader, _) = Reader::open(&[sample]);
        let mut analyzer = Analyzer::new(options());
        let (again, was_asked) = (reader.again(), Arc::new(AtomicBool::new(false)));
        let asked = Arc::clone(&was_asked);
        analyzer.reserve_secrets(move || {
            asked.store(true, Ordering::Relaxed);
            Secrets::of(again.key_logs_ahead())
        });
        let mut batch = Batch::default();
        while reader.read_batch(&mut batch, 3) {
            analyzer.batch(&batch);
        }
        assert!(!analyzer.finish().records.is_empty(), "{name}");
        assert_eq!(was_asked.load(Ordering::Relaxed), expected, "{name}");
    }
}
