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
fn links_are_followed_rights_are_kept_and_secrets_are_private() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    let folder = hostile();
    let path = |name: &str| folder.path().join(name);
    let mode = |name: &str| std::fs::metadata(path(name)).expect("it is there").mode() & 0o777;
    std::fs::write(path("real.csv"), "before").unwrap();
    std::fs::set_permissions(path("real.csv"), std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real.csv", path("link.csv")).unwrap();
    assert!(run(folder.path(), &["export", "in.pcap", "-o", "link.csv"]).status.success());
    assert!(std::fs::symlink_metadata(path("link.csv")).unwrap().is_symlink());
    assert!(std::fs::read_to_string(path("real.csv")).unwrap().starts_with("number,"));
    assert_eq!(mode("real.csv"), 0o640);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/all-procedures-tls13.pcapng");
    let source = source.to_str().expect("UTF-8");
    assert!(run(folder.path(), &["export", source, "--secrets", "-o", "secrets.pcapng"]).status.success());
    assert_eq!(mode("secrets.pcapng"), 0o600);
    std::fs::set_permissions(path("real.csv"), std::fs::Permissions::from_mode(0o444)).unwrap();
    let refused = run(folder.path(), &["export", "in.pcap", "-o", "real.csv"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("read-only"));
    assert_eq!(run(folder.path(), &["export", "in.pcap", "-o", "no-folder/a.csv"]).status.code(), Some(2));
    symlink("/dev/full", path("full.csv")).unwrap();
    assert_ne!(run(folder.path(), &["export", "in.pcap", "-o", "full.csv"]).status.code(), Some(0));
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
    assert!(page.contains("<dd>failures.pcapng</dd>") && !page.contains("captures/"), "names files, not folders");
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
    assert!(page.contains("CKSCOPE_TIMEOUT=20") && page.contains("ckscope.toml"), "{page}");
}

/// `read` and `export` are of the same messages; that the interface's are, too, stands with its tests.
#[test]
fn a_filter_selects_the_same_messages_everywhere() {
    for (capture, filter) in [
        ("all-procedures.pcapng", "ck.response"),
        ("all-procedures-tls13.pcapng", "ck.procedure in {\"key-reservation\", \"key-allocation\"}"),
        ("failures.pcapng", "ck.procedure.state == failed && ck.is_response"),
        ("appendix-ii-grpc-tls12.pcapng", "ck.session_id || http2.streamid > 1"),
    ] {
        let (folder, capture) = (tempfile::tempdir().unwrap(), sample(capture));
        let read = |words: &[&str]| {
            let output = run(folder.path(), &[&["read", "--fields"], words].concat());
            String::from_utf8(output.stdout).unwrap()
        };
        let wanted = read(&["message,time,length", "-Y", filter, &capture]);
        assert!(!wanted.is_empty());
        let numbers = read(&["number", "-Y", filter, &capture]);
        for out in ["out.jsonl", "out.pcapng"] {
            let output = run(folder.path(), &["export", "-Y", filter, &capture, "--secrets", "-o", out]);
            let is_packets = out == "out.pcapng";
            assert_eq!(output.status.success(), is_packets, "--secrets is for packets");
        }
        run(folder.path(), &["export", "-Y", filter, &capture, "-o", "out.jsonl"]);
        let exported = std::fs::read_to_string(folder.path().join("out.jsonl")).unwrap();
        let number = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["number"].to_string();
        assert_eq!(exported.lines().map(number).collect::<Vec<_>>(), numbers.lines().collect::<Vec<_>>());
        // Packets may carry others besides, and all of a connection that starts encrypted.
        let packets = read(&["message,time,length", "out.pcapng"]);
        assert!(wanted.lines().all(|line| packets.lines().any(|other| other == line)), "{filter}");
    }
}

fn sample(name: &str) -> String {
    format!("{}/captures/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_export_and_the_statistics_look_as_before() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    for name in ["all-procedures", "failures", "unanswered"] {
        let capture = sample(&format!("{name}.pcapng"));
        for width in ["80", "160"] {
            let words = ["stats", "--time", "utc", "--table", "all", "--width", width, &capture];
            let printed = String::from_utf8(run(folder.path(), &words).stdout).unwrap();
            insta::assert_snapshot!(format!("stats@{name}-{width}"), printed);
        }
        for extension in ["html", "svg", "md", "csv"] {
            let out = format!("out.{extension}");
            let some = if extension == "svg" { &["--procedure", "2"][..] } else { &[] };
            let output = run(folder.path(), &[&["export", &capture, "-o", &out], some].concat());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let written = std::fs::read_to_string(folder.path().join(&out)).unwrap();
            insta::assert_snapshot!(format!("export@{name}.{extension}"), written);
        }
    }
}

#[test]
fn a_browser_shows_a_page_without_a_complaint() {
    if !support::peers::is_there("chromium") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let capture = sample("failures.pcapng");
    assert!(run(folder.path(), &["export", &capture, "-o", "out.html"]).status.success());
    let path = |name: &str| folder.path().join(name).display().to_string();
    // The last two keep the browser from asking its maker things of its own.
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr"])
        .args(["--disable-background-networking", "--disable-component-update"])
        .arg(format!("--user-data-dir={}", path("profile")))
        .arg(format!("--screenshot={}", path("page.png")))
        .arg(format!("file://{}", path("out.html")))
        .output()
        .expect("the browser runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("CONSOLE"), "{said}");
    let picture = std::fs::read(path("page.png")).unwrap_or_else(|_| panic!("no picture: {said}"));
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 20_000, "{} bytes", picture.len());
}
