//! Every sample capture through the real binary, as snapshots.
//!
//! A new or changed capture fails until its snapshot is reviewed (`INSTA_UPDATE=always cargo test --test golden`, then
//! read the difference against captures/README.md and the Recommendation); a snapshot without a capture fails too.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Where something is said that is no problem of the capture: TLS that stays closed without secrets.
const NOTED: [&str; 1] = ["decoys.pcapng"];

/// What `ckscope COMMAND --format jsonl CAPTURE` prints, and says on stderr: something if and only if the status is 1.
fn printed(command: &str, capture: &Path) -> String {
    let mut ckscope = Command::new(env!("CARGO_BIN_EXE_ckscope"));
    let output = ckscope.args([command, "--format", "jsonl"]).arg(capture).output().unwrap();
    let is_noted = NOTED.iter().any(|name| capture.ends_with(name));
    let expected = i32::from(!output.stderr.is_empty() && !is_noted);
    assert_eq!(output.status.code(), Some(expected), "{}", capture.display());
    let said = String::from_utf8(output.stderr).unwrap();
    String::from_utf8(output.stdout).unwrap() + &said
}

/// For every capture a snapshot of its own, named after it.
fn assert_snapshots(command: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        insta::glob!("../captures", "*.pcap*", |capture| {
            insta::assert_snapshot!(command, printed(command, capture));
        });
    });
}

#[test]
fn read_prints_every_message_of_every_capture() {
    assert_snapshots("read");
}

#[test]
fn flows_prints_every_procedure_of_every_capture() {
    assert_snapshots("flows");
}

/// The names in `folder` that end in `end`, without it.
fn names(folder: &str, end: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(end).map(str::to_owned)).collect()
}

#[test]
fn every_snapshot_has_a_capture() {
    let mut captures = names("captures", "");
    captures.remove("README.md");
    for command in ["read", "flows"] {
        let snapshots = names("tests/snapshots", ".snap");
        let prefix = format!("{command}@");
        let of_command = snapshots.iter().filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect();
        assert_eq!(captures, of_command, "{command}");
    }
}
