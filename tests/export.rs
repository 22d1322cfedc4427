//! Exports through the binary: the same messages, well-formed pages, hostile names, and files that are left alone.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::ck::{Conversation, From};

fn run(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ckscope")).args(words).current_dir(folder).output().expect("the binary runs")
}

fn hostile() -> tempfile::TempDir {
    let mut talk = Conversation::new();
    talk.open(0, 1);
    let name = r#""Source KMA ID":"<script>alert(1)</script>","Destination KMA ID":"a\u0001]]>&\u202e\"'""#;
    talk.say(1000, 1, From::Controller, (0x410A, 1), &format!("{{{name}}}"));
    talk.say(2000, 1, From::Km, (0x140B, 1), &format!(r#"{{{name},"Key IDs":["<b>"],"Response":"<i>no"}}"#));
    let folder = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(folder.path().join("in.pcap"), talk.bytes()).expect("a temporary file");
    folder
}

#[test]
fn jsonl_and_csv_are_what_read_prints() {
    let folder = hostile();
    for format in ["jsonl", "csv"] {
        let out = format!("out.{format}");
        assert!(run(folder.path(), &["export", "in.pcap", "-o", &out]).status.success());
        let read = run(folder.path(), &["read", "--format", format, "in.pcap"]);
        assert_eq!(std::fs::read(folder.path().join(&out)).unwrap(), read.stdout, "{format}");
    }
}

#[test]
fn markup_of_a_peer_is_no_markup() {
    let folder = hostile();
    for out in ["out.html", "out.svg", "out.md"] {
        let output = run(folder.path(), &["export", "in.pcap", "-o", out]);
        assert!(output.status.success(), "{out}: {}", String::from_utf8_lossy(&output.stderr));
        let page = std::fs::read_to_string(folder.path().join(out)).expect("UTF-8");
        for forbidden in ["<script", "<b>", "<i>", "\u{1}", "\u{202e}", "]]>", "href=", "src=", "url("] {
            assert!(!page.contains(forbidden), "{out} has {forbidden:?}");
        }
        assert!(page.contains("script"), "{out} still tells the name");
        if out != "out.md" {
            balanced(&page, out);
        }
    }
}

/// Every element is closed, in the order in which they were opened: pages are XHTML, too.
fn balanced(page: &str, name: &str) {
    let mut open = Vec::new();
    for tag in page.split('<').skip(1).map(|rest| rest.split_once('>').expect("a tag ends").0) {
        let word = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(word), "{name}");
        } else if !tag.ends_with('/') && !tag.starts_with('!') {
            open.push(word);
        }
    }
    assert!(open.is_empty(), "{name}: {open:?}");
}

#[test]
fn an_unknown_extension_names_the_known_ones() {
    let folder = hostile();
    let output = run(folder.path(), &["export", "in.pcap", "-o", "out.xlsx"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(".jsonl, .csv, .html, .svg, .md"), "{said}");
    assert!(!folder.path().join("out.xlsx").exists());
}

#[cfg(unix)]
#[test]
fn an_input_is_never_overwritten_whatever_it_is_called() {
    let folder = hostile();
    std::os::unix::fs::symlink("in.pcap", folder.path().join("link.csv")).unwrap();
    let before = std::fs::read(folder.path().join("in.pcap")).unwrap();
    let output = run(folder.path(), &["export", "in.pcap", "-o", "link.csv"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(std::fs::read(folder.path().join("in.pcap")).unwrap(), before);
}

#[test]
fn a_page_says_what_it_leaves_out() {
    let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/captures/failures.pcapng");
    let folder = tempfile::tempdir().expect("a temporary directory");
    assert!(run(folder.path(), &["export", capture, "-o", "out.html", "--most", "1"]).status.success());
    let page = std::fs::read_to_string(folder.path().join("out.html")).unwrap();
    assert!(page.contains("The other 5 are left out; --most N draws more."), "{page}");
}

#[test]
fn shells_and_manuals_know_every_command() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    for shell in ["bash", "zsh", "fish"] {
        let script = String::from_utf8(run(folder.path(), &["completions", shell]).stdout).unwrap();
        assert!(script.contains("stats") && script.contains("export"), "{shell}");
    }
    assert!(run(folder.path(), &["man", "."]).status.success());
    let page = std::fs::read_to_string(folder.path().join("ckscope-stats.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("interval"), "{page}");
}
