//! `ckscope capture` on real interfaces, in a network namespace of its own, and from pipes and files that grow.

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use ckscope::capture::file::Reader;
use serde_json::Value;
use support::analysis::objects;

const CKSCOPE: &str = env!("CARGO_BIN_EXE_ckscope");

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(name)
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    output.is_ok_and(|status| status.success())
}

/// A host with a pair of interfaces that are each other's far end. It is gone when this is dropped.
struct Host(String);

impl Host {
    /// None, with the reason told, where hosts cannot be made.
    fn new(name: &str) -> Option<Self> {
        let host = Self(format!("ckscope-{name}-{}", std::process::id()));
        if !succeeds("tcpreplay", &["--version"]) {
            eprintln!("skipped: tcpreplay is not installed");
            return None;
        }
        if !succeeds("ip", &["netns", "add", &host.0]) {
            eprintln!("skipped: no right to make network namespaces (this needs root and iproute2)");
            return None;
        }
        for line in [
            "link set lo up",
            "link add near type veth peer name far",
            "link set near mtu 65535 up",
            "link set far mtu 65535 up",
        ] {
            let words: Vec<&str> = ["-n", &host.0].into_iter().chain(line.split(' ')).collect();
            assert!(succeeds("ip", &words), "ip {words:?}");
        }
        Some(host)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]);
        command
    }

    /// A capture that has begun.
    fn capture(&self, arguments: &[&str]) -> Capture {
        let mut command = self.command(CKSCOPE);
        command.args(["capture", "--headless", "--format", "jsonl"]).args(arguments);
        Capture::begin(command)
    }

    fn replay(&self, interface: &str, file: &Path) {
        let mut command = self.command("tcpreplay");
        let output = command.args(["-t", "-i", interface]).arg(file).output().expect("tcpreplay runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        succeeds("ip", &["netns", "delete", &self.0]);
    }
}

/// `ckscope capture`, running.
struct Capture {
    child: Child,
    told: BufReader<std::process::ChildStderr>,
}

/// How a capture ended.
struct Ended {
    status: Option<i32>,
    messages: Vec<Value>,
    told: String,
}

impl Capture {
    fn begin(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        told.read_line(&mut line).unwrap();
        assert!(line.starts_with("ckscope: capturing on "), "{line}");
        Self { child, told }
    }

    fn signal(&self, signal: &str) {
        assert!(succeeds("kill", &[signal, &self.child.id().to_string()]));
    }

    /// Waits until it ends by itself.
    fn end(self) -> Ended {
        let Self { mut child, mut told } = self;
        let (mut out, mut rest) = (String::new(), String::new());
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        told.read_to_string(&mut rest).unwrap();
        Ended { status: child.wait().unwrap().code(), messages: objects(&out), told: rest }
    }

    /// Ends it as ctrl-c does, once what was sent has had time to arrive.
    fn stop(self) -> Ended {
        thread::sleep(Duration::from_millis(300));
        self.signal("-INT");
        self.end()
    }
}

fn read(file: &Path, more: &[&str]) -> Vec<Value> {
    let output = Command::new(CKSCOPE).args(["read", "--format", "jsonl"]).args(more).arg(file).output().unwrap();
    objects(&String::from_utf8(output.stdout).unwrap())
}

/// What does not depend on when packets passed, or on what came later.
fn told(message: &Value) -> Value {
    let keys =
        ["source", "destination", "binding", "tls", "message", "message_id", "command_code", "length", "parameters"];
    keys.iter().map(|&key| (key.to_owned(), message[key].clone())).collect::<serde_json::Map<_, _>>().into()
}

fn all_told(messages: &[Value]) -> Vec<Value> {
    messages.iter().map(told).collect()
}

/// The secrets that a sample carries, as a key log.
fn key_log(sample: &Path, directory: &Path) -> PathBuf {
    let path = directory.join("secrets.log");
    let (reader, _) = Reader::open(&[sample.to_owned()]);
    let mut file = File::create(&path).unwrap();
    for log in reader.key_logs_ahead() {
        file.write_all(log).unwrap();
    }
    path
}

/// Samples whose packets tcpreplay can send on an Ethernet: whole, not compressed, of an Ethernet, and no longer than it
/// takes.
fn replayable() -> Vec<PathBuf> {
    let all = std::fs::read_dir(sample("")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> = all.filter(|path| can_be_replayed(path)).collect();
    all.sort();
    assert!(all.len() > 40, "most samples can be replayed: {}", all.len());
    all
}

fn can_be_replayed(path: &Path) -> bool {
    let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or("");
    if !matches!(kind, "pcap" | "pcapng") {
        return false;
    }
    let (mut reader, _) = Reader::open(&[path.to_owned()]);
    let mut batch = ckscope::capture::Batch::default();
    let mut fits = true;
    while reader.read_batch(&mut batch, 1000) {
        fits &= batch.packets.iter().all(|packet| packet.captured == packet.original && packet.captured < 65_000);
    }
    let file = &reader.files()[0];
    fits && file.damage.is_none() && file.interfaces.len() == 1 && file.interfaces[0].link.0 == 1
}

#[test]
fn what_is_replayed_on_a_wire_is_what_the_file_says() {
    let Some(host) = Host::new("wire") else { return };
    let desk = tempfile::tempdir().unwrap();
    for path in replayable() {
        let (secrets, recorded) = (key_log(&path, desk.path()), desk.path().join("recorded.pcapng"));
        let (secrets, recorded) = (secrets.to_str().unwrap(), recorded.to_str().unwrap());
        let capture = host.capture(&["-i", "far", "-w", recorded, "--keylog", secrets]);
        host.replay("near", &path);
        let ended = capture.stop();
        let name = path.display();
        assert_eq!(all_told(&ended.messages), all_told(&read(&path, &[])), "{name}: {}", ended.told);
        let again = read(Path::new(recorded), &["--keylog", secrets]);
        assert_eq!(all_told(&ended.messages), all_told(&again), "{name}");
        let times = |messages: &[Value]| messages.iter().map(|message| message["time"].clone()).collect::<Vec<_>>();
        assert_eq!(times(&ended.messages), times(&again), "{name}");
    }
}

#[test]
fn loopback_any_and_several_interfaces_are_captured() {
    let Some(host) = Host::new("several") else { return };
    let path = sample("failures.pcapng");
    let messages = read(&path, &[]).len();
    for (interfaces, replayed) in [(&["lo"][..], "lo"), (&["any"], "near"), (&["lo", "far"], "near")] {
        let arguments: Vec<&str> = interfaces.iter().flat_map(|interface| ["-i", interface]).collect();
        let capture = host.capture(&arguments);
        host.replay(replayed, &path);
        assert_eq!(capture.stop().messages.len(), messages, "{interfaces:?}");
    }
}

#[test]
fn a_capture_filter_keeps_the_rest_away() {
    let Some(host) = Host::new("filter") else { return };
    let path = sample("failures.pcapng");
    let capture = host.capture(&["-i", "far", "-f", "tcp port 9"]);
    host.replay("near", &path);
    let ended = capture.stop();
    assert_eq!((ended.messages.len(), ended.status), (0, Some(0)), "{}", ended.told);
}

#[test]
fn a_capture_stops_after_as_many_messages_as_were_asked_for() {
    let Some(host) = Host::new("stop") else { return };
    let capture = host.capture(&["-i", "far", "--messages", "5"]);
    host.replay("near", &sample("failures.pcapng"));
    assert_eq!(capture.end().messages.len(), 5);
}

#[test]
fn a_killed_capture_leaves_a_readable_file() {
    let Some(host) = Host::new("killed") else { return };
    let desk = tempfile::tempdir().unwrap();
    let (path, recorded) = (sample("failures.pcapng"), desk.path().join("recorded.pcapng"));
    let capture = host.capture(&["-i", "far", "-w", recorded.to_str().unwrap()]);
    host.replay("near", &path);
    thread::sleep(Duration::from_millis(500));
    capture.signal("-KILL");
    capture.end();
    assert_eq!(all_told(&read(&recorded, &[])), all_told(&read(&path, &[])));
}

#[test]
fn what_the_system_drops_is_counted_and_said() {
    let Some(host) = Host::new("drops") else { return };
    let desk = tempfile::tempdir().unwrap();
    let flood = desk.path().join("flood.pcapng");
    let mut lab = Command::new(CKSCOPE);
    lab.args(["lab", "--messages", "40000", "--connections", "4", "--write"]).arg(&flood);
    assert!(lab.output().unwrap().status.success());
    let capture = host.capture(&["-i", "far", "-B", "1"]);
    capture.signal("-STOP");
    host.replay("near", &flood);
    capture.signal("-CONT");
    let ended = capture.stop();
    assert!(ended.told.contains("packets were dropped"), "{}", ended.told);
    assert_eq!(ended.status, Some(1));
}

#[test]
fn an_interface_that_goes_away_and_comes_back_is_captured_on() {
    let Some(host) = Host::new("comes") else { return };
    let path = sample("failures.pcapng");
    let capture = host.capture(&["-i", "far"]);
    let ip = |line: &str| {
        let words: Vec<&str> = ["-n", &host.0].into_iter().chain(line.split(' ')).collect();
        assert!(succeeds("ip", &words), "ip {words:?}");
    };
    ip("link delete far");
    thread::sleep(Duration::from_millis(700));
    ip("link add near type veth peer name far");
    ip("link set near up");
    ip("link set far up");
    thread::sleep(Duration::from_millis(1500));
    host.replay("near", &path);
    assert_eq!(capture.stop().messages.len(), read(&path, &[]).len());
}

#[test]
fn a_pipe_is_read_as_it_is_written() {
    let bytes = std::fs::read(sample("failures.pcapng")).unwrap();
    let mut command = Command::new(CKSCOPE);
    command.args(["capture", "-i", "-", "--headless", "--format", "jsonl"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    input.write_all(first).unwrap();
    let mut lines = BufReader::new(out).lines();
    // This comes while the pipe is open: otherwise the test would wait for ever.
    let mut seen = vec![lines.next().unwrap().unwrap()];
    input.write_all(rest).unwrap();
    drop(input);
    seen.extend(lines.map(|line| line.unwrap()));
    assert!(child.wait().unwrap().success());
    assert_eq!(all_told(&objects(&seen.join("\n"))), all_told(&read(&sample("failures.pcapng"), &[])));
}

/// A sample without the secrets that it carries, and those.
fn closed(name: &str) -> (Vec<u8>, Vec<u8>) {
    const SECRETS: u32 = 10;
    let all = std::fs::read(sample(name)).unwrap();
    let number = |at: usize| u32::from_le_bytes(all[at..at + 4].try_into().unwrap());
    let (mut rest, mut log, mut at) = (Vec::new(), Vec::new(), 0);
    while at < all.len() {
        let end = at + number(at + 4) as usize;
        match number(at) {
            SECRETS => log.extend(&all[at + 16..at + 16 + number(at + 12) as usize]),
            _ => rest.extend(&all[at..end]),
        }
        at = end;
    }
    (rest, log)
}

#[test]
fn secrets_that_come_later_open_what_waits_while_nothing_else_comes() {
    let (packets, log) = closed("all-procedures-tls13.pcapng");
    let mut secrets = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(CKSCOPE);
    command.args(["capture", "-i", "-", "--headless", "--format", "jsonl", "--keylog"]).arg(secrets.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&packets).unwrap();
    thread::sleep(Duration::from_millis(500));
    secrets.write_all(&log).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let expected = read(&sample("all-procedures-tls13.pcapng"), &[]);
    // They come while the pipe is open: otherwise the test would wait for ever.
    let seen: Vec<String> = lines.by_ref().take(expected.len()).map(|line| line.unwrap()).collect();
    drop(input);
    assert_eq!(lines.count(), 0);
    assert!(child.wait().unwrap().success());
    let sorted = |messages: &[Value]| {
        let mut told: Vec<String> = messages.iter().map(|message| told(message).to_string()).collect();
        told.sort();
        told
    };
    assert_eq!(sorted(&objects(&seen.join("\n"))), sorted(&expected));
}

#[test]
fn a_file_that_grows_is_followed() {
    let desk = tempfile::tempdir().unwrap();
    let path = desk.path().join("growing.pcapng");
    let bytes = std::fs::read(sample("failures.pcapng")).unwrap();
    let expected = read(&sample("failures.pcapng"), &[]);
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    std::fs::write(&path, first).unwrap();
    let mut command = Command::new(CKSCOPE);
    command.arg("--follow-file").arg(&path);
    command.args(["--headless", "--format", "jsonl", "--messages", &expected.len().to_string()]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = vec![lines.next().unwrap().unwrap()];
    File::options().append(true).open(&path).unwrap().write_all(rest).unwrap();
    seen.extend(lines.map(|line| line.unwrap()));
    assert!(child.wait().unwrap().success());
    assert_eq!(all_told(&objects(&seen.join("\n"))), all_told(&expected));
}

#[test]
fn a_full_disk_is_said_and_the_file_stays_whole() {
    let desk = tempfile::tempdir().unwrap();
    let copy = desk.path().join("copy.pcapng");
    // The shell's limit is in blocks of 512 bytes or of 1024; the sample has more than four of either.
    let script = format!("trap '' XFSZ; ulimit -f 4; exec {CKSCOPE} capture -i - --headless -w {}", copy.display());
    let sample = File::open(sample("failures.pcapng")).unwrap();
    let output = Command::new("sh").args(["-c", &script]).stdin(sample).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("cannot be written") && told.contains("is lost"), "{told}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_interface_that_is_not_there_is_told_with_those_that_are() {
    let output = Command::new(CKSCOPE).args(["capture", "-i", "nowhere0", "--headless"]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    let explained =
        told.contains("no such interface; there are ") || told.contains("libpcap") || told.contains("no permission");
    assert!(explained, "{told}");
    assert_eq!(output.status.code(), Some(2));
}
