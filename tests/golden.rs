//! Every sample capture through the real binary, as programs see it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn captures() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let entries = std::fs::read_dir(directory).expect("captures/ is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a directory entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension != "md"));
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

fn printed(command: &str, path: &Path, more: &[&str]) -> String {
    let mut run = Command::new(env!("CARGO_BIN_EXE_ckscope"));
    let output = run.args([command, "--format", "jsonl"]).args(more).arg(path).output().expect("the binary runs");
    assert!(output.status.success(), "{command} {}: {}", name(path), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn every_capture_gives_its_messages_and_procedures() {
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| {
        for path in captures() {
            insta::assert_snapshot!(format!("{}.read", name(&path)), printed("read", &path, &[]));
            insta::assert_snapshot!(format!("{}.flows", name(&path)), printed("flows", &path, &[]));
        }
    });
}

#[test]
fn every_snapshot_is_of_a_capture() {
    let known: BTreeSet<String> = captures().iter().map(|path| name(path)).collect();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    for entry in std::fs::read_dir(directory).expect("snapshots are there") {
        let snapshot = name(&entry.expect("a directory entry").path());
        let of_capture = snapshot.strip_suffix(".read.snap").or_else(|| snapshot.strip_suffix(".flows.snap"));
        if let Some(capture) = of_capture {
            assert!(known.contains(capture), "{snapshot} is of no capture");
        }
    }
}

#[test]
fn batches_and_threads_change_nothing() {
    for path in captures() {
        for command in ["read", "flows", "connections"] {
            let expected = printed(command, &path, &["--threads", "1"]);
            for (threads, batch) in [("1", "1"), ("1", "7"), ("2", "3"), ("3", "1"), ("4", "1000")] {
                let got = printed(command, &path, &["--threads", threads, "--batch", batch]);
                assert_eq!(got, expected, "{command} {} with {threads} threads, batches of {batch}", name(&path));
            }
        }
    }
}
