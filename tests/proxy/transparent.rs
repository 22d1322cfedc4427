//! Transparent mode between three hosts, which are network namespaces. Takes root, ip and nft.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::Files;
use crate::support::tls::connections;

const PORT: &str = "4164";

/// KM, proxy and controller, each on a host of its own.
struct Network {
    hosts: [String; 3],
}

const KM: usize = 0;
const PROXY: usize = 1;
const CONTROLLER: usize = 2;

fn run(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

impl Network {
    /// None where such a network cannot be made.
    fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let hosts = ["km", "px", "ct"].map(|name| format!("ckt{}-{number}-{name}", std::process::id()));
        let network = Self { hosts };
        for host in &network.hosts {
            if !run(&format!("ip netns add {host}")) || !run(&format!("ip -n {host} link set lo up")) {
                eprintln!("skipped: no network namespaces can be made here, which takes root and ip");
                return None;
            }
        }
        if !run(&format!("ip netns exec {} nft list ruleset", network.hosts[PROXY])) {
            eprintln!("skipped: nft is not installed, or may not be used");
            return None;
        }
        network.connect(KM, 1);
        network.connect(CONTROLLER, 2);
        let forward = "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1";
        assert!(run(&format!("ip netns exec {} {forward}", network.hosts[PROXY])));
        Some(network)
    }

    /// Links `host` to the proxy's, over which it reaches everyone.
    fn connect(&self, host: usize, net: u8) {
        let (host, proxy) = (&self.hosts[host], &self.hosts[PROXY]);
        let all = [
            format!("ip link add far netns {host} type veth peer name near{net} netns {proxy}"),
            format!("ip -n {host} addr add 10.41.{net}.2/24 dev far"),
            format!("ip -n {proxy} addr add 10.41.{net}.1/24 dev near{net}"),
            format!("ip -n {host} addr add fd41:{net}::2/64 dev far nodad"),
            format!("ip -n {proxy} addr add fd41:{net}::1/64 dev near{net} nodad"),
            format!("ip -n {host} link set far up"),
            format!("ip -n {proxy} link set near{net} up"),
            format!("ip -n {host} route add default via 10.41.{net}.1"),
            format!("ip -n {host} -6 route add default via fd41:{net}::1"),
        ];
        all.iter().for_each(|line| assert!(run(line), "{line}"));
    }

    fn on(&self, host: usize, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.hosts[host], program]);
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.hosts.iter().for_each(|host| _ = run(&format!("ip netns del {host}")));
    }
}

/// A program that is ended with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended by itself
        let _ = self.0.wait();
    }
}

const CKSCOPE: &str = env!("CARGO_BIN_EXE_ckscope");
/// At every address of the proxy, and at those that do not face the KM.
const ANYWHERE: [&str; 2] = ["0.0.0.0:4165", "[::]:4165"];
const BEHIND: [&str; 2] = ["10.41.2.1:4165", "[fd41:2::1]:4165"];

fn rules(network: &Network, options: &[&str], remove: bool) {
    let mut command = Command::new(CKSCOPE);
    command.args(["proxy", "rules", "--port", PORT]).args(options);
    if remove {
        command.arg("--remove");
    }
    let script = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let status = network.on(PROXY, "sh").args(["-e", "-c", &script]).status().unwrap();
    assert!(status.success(), "{script}");
}

/// Has a KM speak to the controller, over IPv4 and IPv6, and gives what the controller said.
fn conversation(network: &Network, listen: [&str; 2], options: &[&str], capture: &Path) -> String {
    let options = &[&["--listen", listen[0], "--listen", listen[1]], options].concat();
    // Whoever does it twice has it once.
    rules(network, options, false);
    rules(network, options, false);
    let mut proxy = network.on(PROXY, CKSCOPE);
    proxy.args(["proxy", "--headless", "--write"]).arg(capture).args(options);
    let mut proxy = Running(proxy.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    wait_for_line(proxy.0.stderr.take().unwrap(), &format!("listening on {}", listen[1]));
    let mut said = String::new();
    for address in ["10.41.2.2:4164", "[fd41:2::2]:4164"] {
        let mut controller = network.on(CONTROLLER, CKSCOPE);
        controller.args(["lab", "controller", "--passive", "--seconds", "20", "--listen", address]);
        let log = capture.with_extension("log");
        controller.stdout(std::fs::File::create(&log).unwrap());
        let _controller = Running(controller.spawn().unwrap());
        crate::harness::until("the controller listens", || {
            std::fs::read_to_string(&log).unwrap().contains("listening")
        });
        let km = network.on(KM, CKSCOPE).args(["lab", "km", "--id", "KMA-1", "--connect", address]).output().unwrap();
        assert!(km.status.success(), "{}", String::from_utf8_lossy(&km.stderr));
        crate::harness::until("it is closed", || std::fs::read_to_string(&log).unwrap().contains("closed"));
        said.push_str(&std::fs::read_to_string(&log).unwrap());
    }
    assert!(run(&format!("kill -INT {}", proxy.0.id())));
    assert!(proxy.0.wait().unwrap().success());
    rules(network, options, true);
    let left = network.on(PROXY, "nft").args(["list", "ruleset"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&left.stdout).contains("ckscope"), "the rules are gone");
    for version in ["-4", "-6"] {
        let left = network.on(PROXY, "ip").args([version, "rule", "list"]).output().unwrap();
        assert!(!String::from_utf8_lossy(&left.stdout).contains("4164"), "so are those for routing");
    }
    said
}

/// Reads until the line comes, and then no more; the pipe stays open for what follows.
fn wait_for_line(pipe: impl std::io::Read + Send + 'static, wanted: &str) {
    use std::io::BufRead;
    let mut lines = std::io::BufReader::new(pipe).lines();
    let mut found = lines.by_ref().map(Result::unwrap);
    assert!(found.any(|line| line.contains(wanted)), "it never said {wanted:?}");
    std::thread::spawn(move || lines.for_each(drop));
}

fn check(how: &str, listen: [&str; 2], spoof: bool) {
    let Some(network) = Network::new() else { return };
    let files = Files::new();
    let capture = files.path().join("out.pcapng");
    let options = [&["--transparent", how][..], if spoof { &["--spoof-source"] } else { &[] }].concat();
    let said = conversation(&network, listen, &options, &capture);
    // Whom the controller saw: the KM's own address, or the proxy's.
    let (seen, hidden) = ([" 10.41.1.2:", " [fd41:1::2]:"], [" 10.41.2.1:", " [fd41:2::1]:"]);
    let (expected, never) = if spoof { (seen, hidden) } else { (hidden, seen) };
    assert!(expected.iter().all(|address| said.contains(address)), "{said}");
    assert!(never.iter().all(|address| !said.contains(address)), "{said}");
    // What was recorded is between the KM's own address and the controller's.
    let output = Command::new(CKSCOPE).args(["connections", "--format", "jsonl"]).arg(&capture).output().unwrap();
    let recorded = String::from_utf8(output.stdout).unwrap();
    for (from, to) in [("10.41.1.2:", "10.41.2.2:4164"), ("[fd41:1::2]:", "[fd41:2::2]:4164")] {
        let line = recorded.lines().find(|line| line.contains(&format!("\"responder\":\"{to}\"")));
        assert!(line.is_some_and(|line| line.contains(&format!("\"initiator\":\"{from}"))), "{recorded}");
    }
    assert_eq!(connections(&capture).0.len(), 2);
}

#[test]
fn redirected_connections_go_on_to_where_they_were_going() {
    check("redirect", ANYWHERE, false);
}

#[test]
fn redirected_connections_come_to_an_address_that_does_not_face_the_kms() {
    check("redirect", BEHIND, false);
}

#[test]
fn intercepted_connections_come_to_an_address_that_does_not_face_the_kms() {
    check("tproxy", BEHIND, false);
}

#[test]
fn intercepted_connections_go_on_to_where_they_were_going() {
    check("tproxy", ANYWHERE, false);
}

#[test]
fn the_controller_of_redirected_connections_can_see_the_kms_address() {
    check("redirect", ANYWHERE, true);
}

#[test]
fn the_controller_of_intercepted_connections_can_see_the_kms_address() {
    check("tproxy", ANYWHERE, true);
}

/// Over gRPC the KM dials the controller, and the controller the KM.
#[test]
fn both_directions_go_through_listeners_of_their_own() {
    let Some(network) = Network::new() else { return };
    let files = Files::new();
    let (capture, log) = (files.path().join("out.pcapng"), files.path().join("km.log"));
    let dialled = ["--listen", "0.0.0.0:4165", "--dial", "km", "--listen", "0.0.0.0:4166", "--dial", "controller"];
    let options = [&["--transparent", "tproxy"][..], &dialled].concat();
    rules(&network, &[&options[..], &["--to", "10.41.2.2"]].concat(), false);
    let mut proxy = network.on(PROXY, CKSCOPE);
    proxy.args(["proxy", "--headless", "--write"]).arg(&capture).args(&options);
    let mut proxy = Running(proxy.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    wait_for_line(proxy.0.stderr.take().unwrap(), "listening on 0.0.0.0:4166");
    let lab = |host: usize, arguments: &str, log: &Path| {
        let mut peer = network.on(host, CKSCOPE);
        peer.args(["lab"]).args(arguments.split(' ')).args(["--binding", "grpc", "--seconds", "20"]);
        Running(peer.stdout(std::fs::File::create(log).unwrap()).spawn().unwrap())
    };
    let said = || std::fs::read_to_string(&log).unwrap();
    let _km = lab(KM, "km --id KMA-1 --listen 10.41.1.2:4164 --connect 10.41.2.2:4164", &log);
    crate::harness::until("the KM listens", || said().contains("listening"));
    let dials = "controller --listen 10.41.2.2:4164 --dial KMA-1=10.41.1.2:4164";
    let _controller = lab(CONTROLLER, dials, &log.with_extension("controller"));
    crate::harness::until("keys were allocated", || said().contains("Response to key allocation request"));
    assert!(run(&format!("kill -INT {}", proxy.0.id())));
    proxy.0.wait().unwrap();
    let output = Command::new(CKSCOPE).args(["connections", "--format", "jsonl"]).arg(&capture).output().unwrap();
    let recorded = String::from_utf8(output.stdout).unwrap();
    for (from, to) in [("10.41.1.2:", "10.41.2.2:4164"), ("10.41.2.2:", "10.41.1.2:4164")] {
        let line = recorded.lines().find(|line| line.contains(&format!("\"responder\":\"{to}\"")));
        assert!(line.is_some_and(|line| line.contains(&format!("\"initiator\":\"{from}"))), "{recorded}");
    }
}
