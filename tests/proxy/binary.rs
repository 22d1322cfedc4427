//! `ckscope proxy`, `ckscope ca` and `ckscope lab` together, as typed.

use std::io::{BufRead, BufReader, Lines, Read};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use ckscope::capture::proxy::authority;
use serde_json::Value;

use crate::harness::{read_exactly, until, write};
use crate::support::Files;
use crate::support::messages::{Written, one_of_each};
use crate::support::peers::free_port;

fn ckscope(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckscope"));
    command.args(arguments);
    command
}

/// A program that is ended with the value.
struct Running {
    child: Child,
    out: Option<Lines<BufReader<ChildStdout>>>,
    err: Lines<BufReader<ChildStderr>>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = Some(BufReader::new(child.stdout.take().unwrap()).lines());
        let err = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, out, err }
    }

    /// Where it says that it listens.
    fn address(&mut self, on_stdout: bool) -> String {
        let line = if on_stdout { self.out.as_mut().unwrap().next() } else { self.err.next() };
        let line = line.expect("it says where it listens").unwrap();
        line.rsplit("listening on ").next().unwrap().to_owned()
    }

    /// Ends it in good order, and gives what it printed.
    fn interrupted(mut self) -> Vec<String> {
        let out = self.out.take().unwrap();
        let reader = std::thread::spawn(|| out.map(Result::unwrap).collect());
        assert!(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        let said: Vec<String> = self.err.by_ref().map(Result::unwrap).collect();
        assert!(status.success(), "{said:?}");
        reader.join().unwrap()
    }
}

impl Running {
    /// Tells it to end, and gives its exit status, whether or not anyone reads what it prints.
    fn status(&mut self) -> Option<i32> {
        assert!(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

fn messages(lines: impl Iterator<Item = String>) -> Vec<Value> {
    let mut messages: Vec<Value> = lines.map(|line| serde_json::from_str(&line).unwrap()).collect();
    for message in &mut messages {
        // What is known of a message grows while later ones come.
        let message = message.as_object_mut().unwrap();
        message.remove("procedure");
        message.remove("diagnostics");
    }
    messages
}

/// Asserts that what was shown live is what the recording says.
fn assert_same(live: Vec<String>, capture: &Path, least: usize) {
    let again = ckscope(&["read", "--format", "jsonl"]).arg(capture).output().unwrap();
    let again = messages(String::from_utf8(again.stdout).unwrap().lines().map(str::to_owned));
    assert_eq!(messages(live.into_iter()), again);
    assert!(again.len() >= least, "{} messages", again.len());
    let wrong = "_ws.malformed || (tcp.analysis.flags && !tcp.analysis.window_update)";
    if let Ok(tshark) = Command::new("tshark").arg("-r").arg(capture).args(["-Y", wrong]).output() {
        let said = String::from_utf8_lossy(&tshark.stderr).into_owned();
        assert!(tshark.status.success(), "{said}");
        assert!(tshark.stdout.is_empty(), "{}", String::from_utf8_lossy(&tshark.stdout));
    }
}

/// Options of the lab's peers, who believe the proxy, and of the proxy.
fn secured(files: &Files) -> (String, Vec<String>) {
    let path = |name: &str| files.path().join(name).display().to_string();
    // A controller that stops at once makes the PKI.
    let mut first = ckscope(&["lab", "controller", "--listen", "127.0.0.1:0", "--tls", "1.3", "--seconds", "0"]);
    assert!(first.args(["--pki", &path("pki")]).output().unwrap().status.success());
    assert!(ckscope(&["ca", "init", &path("lab-ca")]).output().unwrap().status.success());
    std::fs::copy(path("pki/ca.pem"), path("ca.pem")).unwrap();
    let both = ["pki/ca.pem", "lab-ca/ca.pem"].map(|file| std::fs::read_to_string(path(file)).unwrap()).concat();
    std::fs::write(path("pki/ca.pem"), both).unwrap();
    let options = ["--ca", &path("lab-ca"), "--km-ca", &path("ca.pem"), "--controller-ca", &path("ca.pem")];
    (path("pki"), options.map(str::to_owned).to_vec())
}

fn over_tcp(tls: Option<&str>) {
    let files = Files::new();
    let (pki, options) = if tls.is_some() { secured(&files) } else { Default::default() };
    let how = tls.map(|version| vec!["--tls", version, "--pki", &pki]).unwrap_or_default();
    let mut controller =
        Running::start(ckscope(&["lab", "controller", "--listen", "127.0.0.1:0", "--seconds", "60"]).args(&how));
    let capture = files.path().join("out.pcapng");
    let upstream = controller.address(true);
    let mut proxy = ckscope(&["proxy", "--headless", "--format", "jsonl", "--listen", "127.0.0.1:0", "--upstream"]);
    let mut proxy = Running::start(proxy.arg(upstream).args(&options).arg("-w").arg(&capture));
    let through = proxy.address(false);
    let km = ckscope(&["lab", "km", "--connect", &through]).args(&how).output().unwrap();
    assert!(km.status.success(), "{}", String::from_utf8_lossy(&km.stderr));
    assert_same(proxy.interrupted(), &capture, 80);
}

#[test]
fn the_lab_speaks_through_it_in_plain_tcp() {
    over_tcp(None);
}

#[test]
fn the_lab_speaks_through_it_in_tls_1_2() {
    over_tcp(Some("1.2"));
}

#[test]
fn the_lab_speaks_through_it_in_tls_1_3() {
    over_tcp(Some("1.3"));
}

/// Over gRPC either side dials, so there are two routes.
fn over_grpc(tls: Option<&str>) {
    let files = Files::new();
    let (pki, options) = if tls.is_some() { secured(&files) } else { Default::default() };
    let how = tls.map(|version| vec!["--tls", version, "--pki", &pki]).unwrap_or_default();
    let [km_at, controller_at] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let capture = files.path().join("out.pcapng");
    let mut proxy = ckscope(&["proxy", "--headless", "--format", "jsonl", "--dial", "km", "--dial", "controller"]);
    proxy.args(["--listen", "127.0.0.1:0", "--upstream", &controller_at]);
    proxy.args(["--listen", "127.0.0.1:0", "--upstream", &km_at]).args(&options).arg("-w").arg(&capture);
    let mut proxy = Running::start(&mut proxy);
    let [to_controller, to_km] = [(); 2].map(|()| proxy.address(false));
    let grpc = ["--binding", "grpc", "--seconds", "5", "--listen"];
    let mut km = ckscope(&["lab", "km", "--id", "KMA-1", "--connect", &to_controller]);
    let mut km = Running::start(km.args(grpc).arg(&km_at).args(&how));
    km.address(true);
    let mut controller = ckscope(&["lab", "controller", "--dial", &format!("KMA-1={to_km}")]);
    let mut controller = Running::start(controller.args(grpc).arg(&controller_at).args(&how));
    controller.address(true);
    assert!(km.child.wait().unwrap().success());
    assert!(controller.child.wait().unwrap().success());
    let live = proxy.interrupted();
    assert!(live.iter().all(|line| line.contains("\"binding\":\"grpc\"")), "{live:?}");
    assert_same(live, &capture, 2);
}

#[test]
fn the_lab_speaks_through_it_in_clear_grpc() {
    over_grpc(None);
}

#[test]
fn the_lab_speaks_through_it_in_grpc_over_tls() {
    over_grpc(Some("1.3"));
}

#[test]
fn an_authority_is_made_once_and_its_key_is_its_owners() {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::new();
    let directory = files.path().join("lab-ca");
    let init = || ckscope(&["ca", "init"]).arg(&directory).output().unwrap();
    let first = init();
    assert!(first.status.success());
    let said = String::from_utf8(first.stdout).unwrap();
    assert!(["SHA-256", "update-ca-certificates", "--km-ca"].iter().all(|part| said.contains(part)), "{said}");
    assert_eq!(std::fs::metadata(directory.join("ca.key")).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(directory.join("ca.key")).unwrap();
    let second = init();
    assert_eq!(second.status.code(), Some(2));
    assert!(String::from_utf8(second.stderr).unwrap().contains("is there already"));
    assert_eq!(std::fs::read(directory.join("ca.key")).unwrap(), before);
}

#[test]
fn rules_come_with_their_removal() {
    let rules = |options: &[&str]| {
        let output = ckscope(&["proxy", "rules", "--port", "4164", "--listen", "0.0.0.0:4165"]).args(options).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let redirect = rules(&["--transparent", "redirect", "--to", "192.0.2.10"]);
    assert!(redirect.contains("meta nfproto ipv4 ip daddr { 192.0.2.10 } tcp dport { 4164 } redirect to :4165"));
    assert!(redirect.contains("#   nft delete table inet ckscope"));
    let at = |listen: &str| {
        let output = ckscope(&["proxy", "rules", "--port", "4164", "--transparent", "redirect", "--listen", listen]);
        let output = { output }.output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    assert!(at("192.0.2.9:4165").1.contains("tcp dport { 4164 } dnat ip to 192.0.2.9:4165"));
    assert!(at("[2001:db8::9]:4165").1.contains("tcp dport { 4164 } dnat ip6 to [2001:db8::9]:4165"));
    let (status, nowhere) = at("127.0.0.1:4165");
    assert!(status == Some(2) && nowhere.contains("listen on 0.0.0.0:4165"), "{nowhere}");
    let nowhere = |more: &[&str]| {
        let arguments = ["proxy", "rules", "--transparent", "tproxy", "--listen", "192.0.2.9:4165"];
        let output = ckscope(&arguments).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(
        nowhere(&["--port", "4164", "--to", "2001:db8::1"]).contains("no --listen takes connections of its IP version")
    );
    assert!(nowhere(&["--port", "4165"]).contains("that is where the proxy itself listens"));
    assert!(nowhere(&["--port", "4164", "--listen", "192.0.2.9:5000"]).contains("nothing would come there"));
    let both = ["--dial", "km", "--listen", "0.0.0.0:4166", "--dial", "controller", "--port", "4164"];
    assert!(nowhere(&both).contains("told apart by --to, the controller's address"));
    let both = rules(&[&both[..6], &["--transparent", "redirect", "--to", "192.0.2.10"]].concat());
    assert!(both.contains("ip daddr { 192.0.2.10 } tcp dport { 4164 } redirect to :4165"), "{both}");
    assert!(both.contains("ip saddr { 192.0.2.10 } tcp dport { 4164 } redirect to :4166"), "{both}");
    let tproxy = rules(&["--transparent", "tproxy"]);
    assert!(tproxy.contains("tproxy ip to :4165 meta mark set 0x4164 accept"));
    assert!(tproxy.contains("ip -4 route replace local 0.0.0.0/0 dev lo table 4164"));
    let removal = rules(&["--transparent", "tproxy", "--remove"]);
    let lines: Vec<&str> = removal.lines().collect();
    assert_eq!(
        lines,
        [
            "nft delete table inet ckscope",
            "while ip -4 rule del fwmark 0x4164 lookup 4164 2>/dev/null; do :; done",
            "ip -4 route flush table 4164"
        ]
    );
}

/// A proxy before `upstream`, which prints messages to `out`.
fn printing_to(upstream: &str, out: Stdio) -> Running {
    let arguments = ["proxy", "--headless", "--listen", "127.0.0.1:0", "--upstream", upstream, "--format", "jsonl"];
    let mut child = ckscope(&arguments).stdout(out).stderr(Stdio::piped()).spawn().unwrap();
    let err = BufReader::new(child.stderr.take().unwrap()).lines();
    Running { child, out: None, err }
}

/// Has the KMs of a lab talk to the controller behind `address`; whether all went well.
fn lab_passes(address: &str) -> bool {
    let lab = ckscope(&["lab", "km", "--connect", address]).output().unwrap();
    if !lab.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&lab.stderr));
    }
    lab.status.success()
}

#[test]
fn whoever_does_not_read_stderr_holds_nobody_up() {
    let upstream = free_port().to_string();
    let mut proxy = printing_to(&format!("127.0.0.1:{upstream}"), Stdio::null());
    let address = proxy.address(false);
    // More is said of them than a pipe and the queue hold.
    for _ in 0..2500 {
        let mut refused = TcpStream::connect(&address).unwrap();
        assert!(refused.read(&mut [0]).is_err());
    }
    let _controller =
        Running::start(&mut ckscope(&["lab", "controller", "--listen", &format!("127.0.0.1:{upstream}")]));
    until("the controller listens", || TcpStream::connect(("127.0.0.1", upstream.parse().unwrap())).is_ok());
    assert!(lab_passes(&address));
    assert!(proxy.status().is_some(), "a signal still ends it");
}

#[test]
fn a_full_disk_under_stdout_stops_nothing() {
    let mut controller = Running::start(&mut ckscope(&["lab", "controller", "--listen", "127.0.0.1:0"]));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut proxy = printing_to(&controller.address(true), full.into());
    let address = proxy.address(false);
    assert!(lab_passes(&address) && lab_passes(&address));
    assert_eq!(proxy.status(), Some(1));
    let said: Vec<String> = proxy.err.by_ref().map(Result::unwrap).collect();
    let told = "standard output: No space left on device (os error 28); messages from #1 on are passed on and recorded";
    assert!(said.iter().any(|line| line.contains(told)), "{said:?}");
}

#[test]
fn a_message_that_was_cut_is_printed_late_and_every_other_once() {
    let (listener, files) = (TcpListener::bind("127.0.0.1:0").unwrap(), Files::new());
    let (upstream, capture) = (listener.local_addr().unwrap().to_string(), files.path().join("out.pcapng"));
    let options = ["--listen", "127.0.0.1:0", "--upstream", &upstream, "--format", "jsonl", "--drain", "0", "-w"];
    let mut proxy = Running::start(ckscope(&["proxy", "--headless"]).args(options).arg(&capture));
    let address = proxy.address(false);
    let pair = || {
        let km = TcpStream::connect(&address).unwrap();
        (km, listener.accept().unwrap().0)
    };
    let (mut cut, mut heard) = pair();
    let (mut whole, mut answering) = pair();
    let sent: Vec<Vec<u8>> = one_of_each().iter().map(Written::encode).collect();
    let first = &sent[0];
    // What is whole shows that it is Ck; the rest of the next one never comes.
    write(&mut cut, &[&first[..], &first[..20]].concat());
    read_exactly(&mut heard, first.len() + 20);
    for message in &sent[1..4] {
        write(&mut whole, message);
        read_exactly(&mut answering, message.len());
    }
    let mut out = proxy.out.take().unwrap().map(Result::unwrap);
    let mut live: Vec<String> = out.by_ref().take(4).collect();
    crate::harness::reset(cut);
    proxy.status();
    live.extend(out);
    // Only numbers tell whether it came when it did, or was put into order.
    let ids = |lines: Vec<Value>| {
        let all = lines.iter().map(|line| format!("{} {}", line["packet"], line["message_id"]));
        all.collect::<std::collections::BTreeSet<String>>()
    };
    let live = messages(live.into_iter());
    let numbers: Vec<u64> = live.iter().map(|line| line["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    let again = ckscope(&["read", "--format", "jsonl"]).arg(capture).output().unwrap();
    let again = messages(String::from_utf8(again.stdout).unwrap().lines().map(str::to_owned));
    assert_eq!((ids(live), 5), (ids(again.clone()), again.len()));
}

#[test]
fn whoever_stops_reading_stdout_stops_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut proxy = printing_to(&listener.local_addr().unwrap().to_string(), Stdio::piped());
    drop(proxy.child.stdout.take());
    let mut km = TcpStream::connect(proxy.address(false)).unwrap();
    let mut controller = listener.accept().unwrap().0;
    let messages: Vec<u8> = one_of_each().iter().flat_map(Written::encode).collect();
    write(&mut km, &messages);
    let told = "standard output: Broken pipe (os error 32); messages from #1 on are passed on and recorded";
    assert!(proxy.err.by_ref().any(|line| line.unwrap().contains(told)));
    write(&mut km, &messages);
    assert_eq!(read_exactly(&mut controller, 2 * messages.len()), messages.repeat(2));
    assert_eq!(proxy.status(), Some(1));
}

#[test]
fn whoever_does_not_read_stdout_holds_up_neither_connections_nor_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (files, upstream) = (Files::new(), listener.local_addr().unwrap().to_string());
    let capture = files.path().join("out.pcapng");
    let options = ["--listen", "127.0.0.1:0", "--upstream", &upstream, "--format", "jsonl", "-w"];
    let mut proxy = Running::start(ckscope(&["proxy", "--headless"]).args(options).arg(&capture));
    let mut km = TcpStream::connect(proxy.address(false)).unwrap();
    let mut later = km.try_clone().unwrap();
    let mut controller = listener.accept().unwrap().0;
    // As lines, many times what a pipe holds.
    let messages = one_of_each().iter().flat_map(Written::encode).collect::<Vec<u8>>().repeat(1000);
    let writer = std::thread::spawn({
        let messages = messages.clone();
        move || write(&mut km, &messages)
    });
    assert!(read_exactly(&mut controller, messages.len()) == messages);
    writer.join().unwrap();
    let said = |proxy: &mut Running, wanted: &str| {
        let found = proxy.err.by_ref().any(|line| line.unwrap().contains(wanted));
        assert!(found, "it never said {wanted:?}");
    };
    // While it stands still, and of the recording, too, that cannot be gone on with: it has lost its name.
    said(&mut proxy, "standard output is not read: messages from #");
    std::fs::remove_file(&capture).unwrap();
    write(&mut later, &messages[..messages.len() / 1000]);
    said(&mut proxy, "removed, moved or replaced");
    assert_eq!(proxy.status(), Some(1));
    said(&mut proxy, "stopped before everything was read and printed");
}

#[test]
fn who_cannot_listen_empties_no_file() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let files = Files::new();
    files.write("there.pcapng", b"what was recorded before");
    let there = files.path().join("there.pcapng");
    let output = ckscope(&["proxy", "--headless", "--listen", &address, "--upstream", "127.0.0.1:1", "-w"])
        .arg(&there)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(std::fs::read(there).unwrap(), b"what was recorded before");
}

#[test]
fn what_does_not_go_together_is_said() {
    let error = |arguments: &[&str]| {
        let output = ckscope(&["proxy", "--headless"]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let listen = ["--listen", "127.0.0.1:0"];
    assert!(error(&[&listen[..], &listen, &["--upstream", "127.0.0.1:1"]].concat()).contains("they go in pairs"));
    assert!(error(&listen).contains("--upstream ADDR, or --transparent HOW"));
    let one = |more: &[&str]| error(&[&listen[..], &["--upstream", "127.0.0.1:1"], more].concat());
    assert!(one(&["--ca", "no-such-directory"]).contains("ckscope ca init no-such-directory"));
    let files = Files::new();
    let directory = files.path().join("ca");
    authority::init(&directory).unwrap();
    let doubtful = one(&["--ca", directory.to_str().unwrap()]);
    assert!(doubtful.contains("which authority of the KM's certificates") && doubtful.contains("--no-verify-km"));
    let nobody = ["--no-verify-km", "--no-verify-controller", "--crl", "km.crl"];
    assert!(one(&[&["--ca", directory.to_str().unwrap()][..], &nobody].concat()).contains("--crl is of no effect"));
    assert!(one(&["--keylog", "keys.log"]).contains("--keylog is about TLS, which is not opened without --ca"));
    let same = ["--ca", directory.to_str().unwrap(), "-w", "x.pcapng", "--keylog", "x.pcapng"];
    assert!(one(&same).contains("--keylog and -w name the same file"));
    assert!(one(&["-w", "-"]).contains("-w: what is recorded is read back from a file"));
    assert!(one(&["--max-connections", "0"]).contains("--max-connections"));
    assert!(error(&["--listen", "[::]:4164", "--upstream", "[::1]:4164"]).contains("pass on to itself"));
    assert!(error(&["--listen", "nowhere", "--upstream", "[::1]:4164"]).contains("like 192.0.2.10:4164"));
}
