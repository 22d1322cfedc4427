//! `ckscope demo` without a terminal: what it shows, and what it leaves.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::analysis::objects;

fn ckscope(line: &str, directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckscope"));
    command.args(line.split(' ')).current_dir(directory).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("output is UTF-8")
}

#[test]
fn the_demo_shows_every_procedure_and_its_recording_the_same() {
    let desk = tempfile::tempdir().unwrap();
    let shown = ckscope("demo --headless --seconds 10 --format jsonl --write demo.pcapng", desk.path());
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    // The summary is for people, the messages are for programs.
    let (messages, summary) = (text(&shown.stdout), text(&shown.stderr));
    assert!(summary.starts_with("\nkey-relay-distributed") && summary.contains("unanswered"), "{summary}");

    let again = ckscope("read --format jsonl demo.pcapng", desk.path());
    let told = |lines: &str| -> Vec<_> {
        let keys = ["number", "time", "source", "destination", "binding", "message", "message_id", "parameters"];
        objects(lines).iter().map(|message| keys.map(|key| message[key].clone())).collect()
    };
    assert_eq!(told(messages), told(text(&again.stdout)));
    let bindings = |binding: &str| objects(messages).iter().filter(|message| message["binding"] == binding).count();
    assert!(bindings("tcp") > 50 && bindings("grpc") > 10, "{} {}", bindings("tcp"), bindings("grpc"));
}

#[test]
fn the_demo_says_what_it_did_not_see() {
    let desk = tempfile::tempdir().unwrap();
    let shown = ckscope("demo --headless --seconds 0.05", desk.path());
    assert!(text(&shown.stderr).contains("demo: not seen: "), "{}", text(&shown.stderr));
    assert_eq!(shown.status.code(), Some(1));
    let shown = ckscope("demo --headless --messages 1", desk.path());
    assert_eq!(shown.status.code(), Some(1), "one message is not every procedure");
    let nothing = ckscope("demo --headless --seconds 0", desk.path());
    assert_eq!(nothing.status.code(), Some(2));
}
