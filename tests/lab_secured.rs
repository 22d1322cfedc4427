//! The lab over TLS and gRPC: its captures against their twins in plain TCP, and its peers against OpenSSL and
//! grpcio.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use ckscope::lab::appendix_ii::Q4164;
use ckscope::lab::dialect::{Message, Value};
use ckscope::lab::scenario::{self, Scenario};
use ckscope::lab::setup::{Binding, Setup};
use ckscope::lab::wire::{Code, Deframer, Pdu};

fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures")
}

/// What tshark says, or `None` where there is no tshark.
fn tshark(capture: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("tshark").arg("-r").arg(capture).args(arguments).output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", capture.display());
    Some(String::from_utf8(output.stdout).unwrap())
}

fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// What a message means, whatever it was carried in: without MessageID, version and order of parameters. Appendix II
/// has one word for an outcome, so a reason counts as failure alone.
fn meaning(code: Code, message: &Message) -> String {
    let mut parameters: Vec<String> = message
        .parameters
        .iter()
        .filter(|(parameter, _)| parameter.table_name() != "Extension")
        .map(|(parameter, value)| match value {
            Value::Outcome(outcome) => format!("Response {}", *outcome == ckscope::lab::dialect::Outcome::Success),
            value => format!("{} {value:?}", parameter.table_name()),
        })
        .collect();
    parameters.sort();
    format!("{code} {parameters:?}")
}

/// The Ck messages in what `-z follow,…,raw` printed: each side's bytes, cut into PDUs.
fn followed(text: &str) -> Vec<String> {
    let mut sides = [Deframer::default(), Deframer::default()];
    for line in text.lines() {
        let (side, digits) = line.strip_prefix('\t').map_or((0, line), |digits| (1, digits));
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            sides[side].push(&unhex(digits));
        }
    }
    let pdus = sides.into_iter().flat_map(|mut side| std::iter::from_fn(move || side.next_pdu()).collect::<Vec<Pdu>>());
    let meanings = pdus.map(|pdu| meaning(pdu.code, &Message::read(pdu.code, &pdu.payload)));
    meanings.collect()
}

/// Every Ck message of a capture over TCP, plain or in TLS, sorted: streams are followed one by one.
fn over_tcp(capture: &Path, connections: usize, layer: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    for stream in 0..connections {
        found.extend(followed(&tshark(capture, &["-q", "-z", &format!("follow,{layer},raw,{stream}")])?));
    }
    found.sort();
    Some(found)
}

/// The fields of one packet, and each value of a field.
const FIELDS: [&str; 18] = [
    "-Y",
    "grpc || http2.type == 1",
    "-T",
    "fields",
    "-E",
    "occurrence=a",
    "-e",
    "tcp.stream",
    "-e",
    "http2.streamid",
    "-e",
    "http2.headers.path",
    "-e",
    "grpc.message_data",
    "-e",
    "tcp.dstport",
    "-e",
    "http2.header.value",
];

/// Every Ck message of a capture over gRPC, sorted. A failure told by status counts as the response.
fn over_grpc(capture: &Path) -> Option<Vec<String>> {
    let mut paths = std::collections::BTreeMap::new();
    let mut found = Vec::new();
    // In TLS it is ALPN that says what the port carries.
    let secured = capture.to_string_lossy().contains("tls");
    let port: &[&str] = if secured { &[] } else { &["-d", "tcp.port==4164,http2"] };
    for line in tshark(capture, &[port, &FIELDS].concat())?.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let stream = fields[1].split(',').find(|id| *id != "0").unwrap_or_default();
        let call = (fields[0].to_owned(), stream.to_owned());
        if !fields[2].is_empty() {
            paths.insert(call.clone(), fields[2].to_owned());
        }
        let asked = Q4164.request(&paths[&call]).expect("a method of Appendix II");
        let code = if fields[4] == "4164" { Some(asked) } else { Q4164.response(asked) };
        let Some(code) = code else { continue };
        let refused = fields[4] != "4164" && fields[5].split(',').any(|value| value == "9");
        let pdu = Q4164.decode(code, 0, &unhex(fields[3])).expect("protobuf of Appendix II");
        let said = if refused { refusal(code) } else { Message::read(code, &pdu.payload) };
        found.push(meaning(code, &said));
    }
    found.sort();
    Some(found)
}

fn refusal(code: Code) -> Message {
    Message::new(code).outcome(&ckscope::lab::dialect::Outcome::Failure(String::new()))
}

fn twins() -> impl Iterator<Item = (&'static Scenario, &'static Scenario)> {
    scenario::all().filter_map(|scenario| Some((scenario, scenario::find(scenario.twin?).unwrap())))
}

fn connections(name: &str) -> usize {
    if name.starts_with("all-procedures") { 6 } else { 2 }
}

/// Asserts that `capture` says what its scenario's twin does; `false` without tshark.
fn says_what_its_twin_says(scenario: &Scenario, twin: &Scenario, capture: &Path) -> bool {
    let plain = over_tcp(&captures().join(twin.file()), connections(twin.name), "tcp");
    let carried = if scenario.name.contains("grpc") {
        over_grpc(capture)
    } else {
        over_tcp(capture, connections(twin.name), "tls")
    };
    let (Some(mut plain), Some(mut carried)) = (plain, carried) else { return false };
    assert!(!plain.is_empty());
    if scenario.name.ends_with("status") {
        // A status has no other parameters.
        for messages in [&mut plain, &mut carried] {
            messages.iter_mut().filter(|text| text.contains("Response false")).for_each(|text| text.truncate(6));
            messages.sort();
        }
    }
    assert_eq!(carried, plain, "{}", scenario.name);
    true
}

#[test]
fn tshark_finds_the_messages_of_the_twin_in_every_capture() {
    for (scenario, twin) in twins() {
        if !says_what_its_twin_says(scenario, twin, &captures().join(scenario.file())) {
            eprintln!("skipped: tshark is not installed");
            return;
        }
    }
}

#[test]
fn what_is_made_again_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for (scenario, twin) in twins() {
        let again = folder.path().join(scenario.file());
        std::fs::write(&again, scenario.capture(&Setup::default()).to_bytes()).unwrap();
        if !says_what_its_twin_says(scenario, twin, &again) {
            eprintln!("skipped: tshark is not installed");
            return;
        }
    }
}

#[test]
fn options_carry_a_scenario_as_its_twin_is_carried() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("made-tls.pcapng");
    let status = ckscope()
        .args(["--scenario", "appendix-ii", "--binding", "grpc", "--tls", "1.2", "--write"])
        .arg(&file)
        .status()
        .unwrap();
    assert!(status.success());
    let [scenario, twin] = ["appendix-ii-grpc-tls12", "appendix-ii"].map(|name| scenario::find(name).unwrap());
    if !says_what_its_twin_says(scenario, twin, &file) {
        eprintln!("skipped: tshark is not installed");
    }
}

#[test]
fn a_scenario_about_segments_does_not_go_over_tls() {
    let output = ckscope().args(["--scenario", "one-byte-segments", "--tls", "1.3", "--write", "-"]).output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().contains("does not go with --tls; these do: all-procedures"));
}

#[test]
fn what_appendix_ii_does_not_map_is_noted() {
    let setup = Setup { binding: Binding::Grpc, ..Setup::default() };
    let mut simulation = ckscope::lab::simulation::Simulation::new(&setup);
    simulation.connect(&["KMA-1"]);
    let (source, destination) = ("app-1".to_owned(), "app-4".to_owned());
    simulation.start("KMA-1", ckscope::lab::peer::Task::Session { source, destination, keys: None });
    simulation.run();
    assert_eq!(*setup.aside.unmapped.lock().unwrap(), [Code::SESSION_REQUEST]);
    assert_eq!(simulation.unanswered, [Code::SESSION_REQUEST]);
}

fn ckscope() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckscope"));
    command.arg("lab");
    command
}

/// A peer of the lab in a process of its own, which ends with the value.
struct Peer {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    address: String,
}

impl Peer {
    /// Starts a peer that listens.
    fn listening(arguments: &[&str]) -> Self {
        let process = ckscope().args(arguments).args(["--seconds", "60"]).stdout(Stdio::piped()).spawn();
        let mut process = process.unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines.next().expect("the peer says where it listens").unwrap();
        let address = first.strip_prefix("listening on ").unwrap().to_owned();
        Self { process, lines, address }
    }

    /// Reads until each of these lines has come, which are given by their parts, in whatever order.
    fn wait_for_all(&mut self, mut wanted: Vec<&[&str]>) {
        while !wanted.is_empty() {
            let line = self.wait_for(&[]);
            wanted.retain(|parts| !parts.iter().all(|part| line.contains(part)));
        }
    }

    /// The next line that has all of these in it.
    fn wait_for(&mut self, parts: &[&str]) -> String {
        let mut lines = self.lines.by_ref().map(Result::unwrap);
        lines.find(|line| parts.iter().all(|part| line.contains(part))).unwrap_or_else(|| panic!("no line {parts:?}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The next hop request that KMA-1 sends.
fn next_hop() -> Vec<u8> {
    let payload = br#"{"Source KMA ID":"KMA-1","Destination KMA ID":"KMA-4"}"#.to_vec();
    Pdu { version: 1, message_id: 7, code: Code::NEXT_HOP_REQUEST, payload }.encode()
}

#[test]
fn kms_run_every_procedure_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let pki = folder.path().join("pki");
    let pki = pki.to_str().unwrap();
    for version in ["1.2", "1.3"] {
        let tls = ["--tls", version, "--pki", pki];
        let controller = Peer::listening(&[&["controller", "--listen", "127.0.0.1:0"][..], &tls].concat());
        let km = ["km", "--connect", &controller.address, "--id", "KMA-1", "--id", "KMA-4"];
        let output = ckscope().args(km).args(tls).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        for code in [0x1401, 0x4102, 0x1403, 0x4104, 0x1405, 0x1406, 0x4107, 0x4108, 0x1409, 0x410a, 0x140d] {
            assert!(said.contains(&Code(code).to_string()), "no {} in {version}:\n{said}", Code(code));
        }
    }
}

#[test]
fn openssl_shakes_hands_with_the_controller_and_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let pki = folder.path().join("pki");
    for (version, flag, keys) in [("1.2", "-tls1_2", "ecdsa"), ("1.3", "-tls1_3", "ecdsa"), ("1.3", "-tls1_3", "rsa")] {
        let pki = pki.join(keys);
        let arguments = ["--tls", version, "--pki", pki.to_str().unwrap(), "--keys", keys];
        let mut controller = Peer::listening(&[&["controller", "--listen", "127.0.0.1:0"][..], &arguments].concat());
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-connect", &controller.address, flag, "-verify_return_error", "-verify", "3"]);
        openssl.args(["-servername", "controller.qkdn.example", "-verify_hostname", "controller.qkdn.example"]);
        openssl.arg("-CAfile").arg(pki.join("ca.pem"));
        openssl.arg("-cert").arg(pki.join("kma-1.pem")).arg("-key").arg(pki.join("kma-1.key"));
        openssl.args(["-quiet", "-no_ign_eof"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let Ok(mut openssl) = openssl.spawn() else {
            eprintln!("skipped: openssl is not installed");
            return;
        };
        openssl.stdin.as_mut().unwrap().write_all(&next_hop()).unwrap();
        controller.wait_for(&["controller < ", "0x1401"]);
        let answer = controller.wait_for(&["controller > ", "0x4102"]);
        // The certificate says KM-1, so these are its neighbours.
        assert!(answer.contains(r#""Next KMA IDs":["KMA-2"]"#), "{answer}");
        let _ = openssl.kill();
        openssl.wait().unwrap();
    }
}

#[test]
fn nobody_without_a_certificate_is_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let pki = folder.path().join("pki");
    let arguments = ["controller", "--listen", "127.0.0.1:0", "--tls", "1.3", "--pki", pki.to_str().unwrap()];
    let mut controller = Peer::listening(&arguments);
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-connect", &controller.address, "-tls1_3"]).stdin(Stdio::null());
    if openssl.stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        eprintln!("skipped: openssl is not installed");
        return;
    }
    assert!(controller.wait_for(&["refused"]).contains("certificate"));
}

#[cfg(unix)]
#[test]
fn keys_and_secrets_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (pki, keylog) = (folder.path().join("pki"), folder.path().join("secrets.log"));
    let arguments = ["--tls", "1.3", "--pki", pki.to_str().unwrap(), "--keylog", keylog.to_str().unwrap()];
    let _controller = Peer::listening(&[&["controller", "--listen", "127.0.0.1:0"][..], &arguments].concat());
    for file in ["ca.key", "controller.key", "kma-6.key", "../secrets.log"] {
        let mode = std::fs::metadata(pki.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

/// A peer made with grpcio; `None`, with the reason printed, where there is none.
fn grpcio(script: &str) -> Option<Child> {
    let has = Command::new("python3").args(["-c", "import grpc"]).stderr(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        eprintln!("skipped: python3 with grpcio is not installed");
        return None;
    }
    let mut python = Command::new("python3");
    Some(python.arg("-c").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
}

/// A KM: serves KeyRelay and the reservation, and notifies when told where the controller listens. Messages are
/// bytes, so that nothing of ours makes them.
const KM: &str = r#"
import sys, grpc
from concurrent import futures
def say(*words): sys.stdout.write(' '.join(map(str, words)) + '\n'); sys.stdout.flush()
def string(number, text): return bytes([number << 3 | 2, len(text)]) + text.encode()
def read(data):
    fields, at = {}, 0
    while at < len(data):
        assert data[at] & 7 == 2, data
        fields[data[at] >> 3] = data[at + 2:at + 2 + data[at + 1]].decode()
        at += 2 + data[at + 1]
    return fields
def relay(request, context):
    fields = read(request)
    say('relay', fields)
    return string(2, fields[4])
def refuse(request, context):
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, 'no keys left')
service = 'qkdn.ck.v1.CkInterface'
server = grpc.server(futures.ThreadPoolExecutor())
handlers = {'KeyRelay': relay, 'KeyReservation': refuse}
handlers = {name: grpc.unary_unary_rpc_method_handler(work) for name, work in handlers.items()}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
print(server.add_insecure_port('127.0.0.1:0'), flush=True)
server.start()
channel = grpc.insecure_channel(sys.stdin.readline().strip())
notify = channel.unary_unary(f'/{service}/NotifyKeyRelay')
say('notified', notify(string(1, 'KMA-1') + string(2, 'KMA-4')))
try: channel.unary_unary(f'/{service}/KeyRelay')(b'')
except grpc.RpcError as error: say('refused', error.code().name)
sys.stdin.readline()
"#;

#[test]
fn the_controller_talks_to_grpcio() {
    let Some(mut km) = grpcio(KM) else { return };
    let mut said = BufReader::new(km.stdout.take().unwrap()).lines().map(Result::unwrap);
    let dial = format!("KMA-1=127.0.0.1:{}", said.next().unwrap());
    let mut controller =
        Peer::listening(&["controller", "--binding", "grpc", "--listen", "127.0.0.1:0", "--dial", &dial]);
    writeln!(km.stdin.as_mut().unwrap(), "{}", controller.address).unwrap();
    let said: Vec<String> = said.take(3).collect();
    let relay = "relay {1: 'KMA-1', 2: 'KMA-4', 3: 'KMA-2,KMA-3', 4: 'KRR-000001'}";
    for expected in [relay, "notified b''", "refused UNIMPLEMENTED"] {
        assert!(said.iter().any(|line| line == expected), "no {expected:?} in {said:?}");
    }
    let refused = ["controller < ", "0x140B", r#""error_message":"no keys left""#];
    controller.wait_for_all(vec![&refused, &["controller < ", "0x1405", "KRR-000001"]]);
    drop(km.stdin.take());
    km.wait().unwrap();
}

/// A controller: takes a notification and calls the KM that is where the argument says.
const CONTROLLER: &str = r#"
import sys, grpc
from concurrent import futures
def say(*words): sys.stdout.write(' '.join(map(str, words)) + '\n'); sys.stdout.flush()
def string(number, text): return bytes([number << 3 | 2, len(text)]) + text.encode()
service = 'qkdn.ck.v1.CkInterface'
def notified(request, context):
    say('notified', request)
    return b''
server = grpc.server(futures.ThreadPoolExecutor())
handlers = {'NotifyKeyRelay': grpc.unary_unary_rpc_method_handler(notified)}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
print(server.add_insecure_port('127.0.0.1:0'), flush=True)
server.start()
channel = grpc.insecure_channel(sys.stdin.readline().strip())
request = string(1, 'KMA-1') + string(2, 'KMA-4') + string(3, 'KMA-2') + string(4, 'KRR-7')
say('relayed', channel.unary_unary(f'/{service}/KeyRelay')(request))
request = string(1, 'KMA-1') + string(2, 'KMA-4') + string(3, 'unknown')
say('allocated', channel.unary_unary(f'/{service}/KeyAllocation')(request)[-24:])
sys.stdin.readline()
"#;

#[test]
fn a_km_talks_to_grpcio() {
    let Some(mut controller) = grpcio(CONTROLLER) else { return };
    let mut said = BufReader::new(controller.stdout.take().unwrap()).lines().map(Result::unwrap);
    let connect = format!("127.0.0.1:{}", said.next().unwrap());
    let arguments = ["km", "--binding", "grpc", "--id", "KMA-1", "--listen", "127.0.0.1:0", "--connect", &connect];
    let mut km = Peer::listening(&arguments);
    writeln!(controller.stdin.as_mut().unwrap(), "{}", km.address).unwrap();
    let said: Vec<String> = said.take(3).collect();
    let notified = r"notified b'\n\x05KMA-1\x12\x05KMA-4'";
    for expected in [notified, r"relayed b'\x12\x05KRR-7'", "allocated b'Key IDs are not reserved'"] {
        assert!(said.iter().any(|line| line == expected), "no {expected:?} in {said:?}");
    }
    km.wait_for(&["KMA-1 > ", "0x140D"]);
    drop(controller.stdin.take());
    controller.wait().unwrap();
}
