//! The simulated QKDN and the sample captures it makes.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use ckscope::lab::generate::Bulk;
use ckscope::lab::scenario;
use ckscope::lab::setup::Setup;
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, PcapBlockOwned, PcapNGReader};

fn captures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("captures")
}

#[test]
fn writes_the_same_bytes_every_time() {
    // Randomness goes into TLS and the time into gRPC: tests/lab_secured.rs compares what those say.
    for scenario in scenario::all().filter(|scenario| scenario.twin.is_none()) {
        let committed = std::fs::read(captures().join(scenario.file())).unwrap_or_default();
        let made = scenario.capture(&Setup::default()).to_bytes();
        assert!(made == committed, "{} is not what is committed; `ckscope lab --all captures`", scenario.file());
    }
}

#[test]
fn the_readme_lists_every_file_and_no_other() {
    let readme = std::fs::read_to_string(captures().join("README.md")).unwrap();
    assert!(readme == scenario::readme(), "captures/README.md is stale; `ckscope lab --all captures`");
    let listed: BTreeSet<String> = scenario::all().map(|scenario| scenario.file()).collect();
    let names = std::fs::read_dir(captures()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let present: BTreeSet<String> = names.filter(|name| name != "README.md").collect();
    assert_eq!(listed, present);
}

#[test]
fn sample_captures_are_small() {
    for scenario in scenario::all().filter(|scenario| scenario.name != "longest-payload") {
        let size = scenario.capture(&Setup::default()).to_bytes().len();
        // Each connection in TLS has two certificates, and their verification.
        let most = if scenario.twin.is_some() { 40_000 } else { 20_000 };
        assert!(size < most, "{} has {size} bytes", scenario.file());
    }
}

/// Expert messages that tshark is meant to have, by scenario; the rest it must not have.
const INTENDED: [(&str, &[&str]); 10] = [
    ("decoys", &["GET ", "HTTP/1.1 200"]),
    ("duplicated", &["Duplicate ACK", "suspected"]),
    ("gap-acknowledged", &["wasn't captured", "not captured"]),
    ("gap-open", &["not captured"]),
    ("keep-alive", &["keep-alive"]),
    ("out-of-order", &["not captured", "suspected"]),
    ("overlapping", &["wasn't captured", "suspected"]),
    ("retransmission", &["suspected"]),
    ("same-ports-again", &["same ports"]),
    ("same-ports-unseen", &["wasn't captured", "not captured", "suspected"]),
];

/// What every connection has.
const USUAL: [&str; 4] = ["Connection establish", "connection closing", "Connection finish", "Connection reset"];

#[test]
fn tshark_finds_no_fault() {
    for scenario in scenario::all() {
        let Some(found) = experts(&captures().join(scenario.file())) else {
            eprintln!("skipped: tshark is not installed");
            return;
        };
        let intended = INTENDED.iter().find(|(name, _)| *name == scenario.name).map_or(&[][..], |(_, texts)| texts);
        let fault = |message: &&String| {
            // The first packet's comment is shown as a message too.
            !scenario.about.starts_with(message.as_str())
                && !intended.iter().any(|text| message.contains(text))
                && !USUAL.iter().any(|text| message.contains(text))
        };
        let faults: Vec<&String> = found.iter().filter(fault).collect();
        assert!(faults.is_empty(), "{}: {faults:?}", scenario.file());
        for text in intended {
            assert!(found.iter().any(|message| message.contains(text)), "{}: no {text:?}", scenario.file());
        }
    }
}

/// tshark's expert messages, with checksums checked. Its guess at STUN takes some MessageIDs for its own.
fn experts(file: &std::path::Path) -> Option<Vec<String>> {
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(file).args(["--disable-protocol", "classicstun", "-T", "fields", "-E", "aggregator=|"]);
    tshark.args(["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-e", "_ws.expert.message"]);
    let output = tshark.output().ok()?;
    assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().flat_map(|line| line.split('|')).map(str::to_owned).collect())
}

#[test]
fn a_generated_capture_has_as_many_messages_and_connections_as_asked() {
    for (messages, connections) in [(2, 1), (3, 1), (5, 2), (1000, 1), (1001, 500), (5000, 100)] {
        let mut bytes = Vec::new();
        Bulk { messages, connections, seed: 3 }.write(&mut bytes).unwrap();
        // One filling holds it all, so that no block is ever incomplete.
        let mut reader = PcapNGReader::new(bytes.len(), &bytes[..]).unwrap();
        let (mut carrying, mut dialled) = (0_u64, 0_u32);
        while let Ok((used, block)) = reader.next() {
            if let PcapBlockOwned::NG(Block::EnhancedPacket(packet)) = block {
                // Ethernet and IPv4 take 34 bytes; the TCP flags are its 14th byte.
                let [flags, header] = [packet.data[47], (packet.data[46] >> 4) * 4];
                dialled += u32::from(flags == 0x02);
                carrying += u64::from(packet.caplen > 34 + u32::from(header));
            }
            reader.consume(used);
        }
        assert_eq!((carrying, dialled), (messages, connections));
    }
}

#[test]
fn tshark_finds_no_fault_in_a_generated_capture() {
    let file = tempfile::NamedTempFile::new().unwrap();
    Bulk { messages: 2000, connections: 50, seed: 3 }.write(file.as_file()).unwrap();
    let Some(found) = experts(file.path()) else {
        eprintln!("skipped: tshark is not installed");
        return;
    };
    let faults: Vec<_> =
        found.iter().filter(|text| !text.is_empty() && !text.starts_with("Connection estab")).collect();
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn peers_run_every_procedure_over_tcp() {
    let lab = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckscope"));
        command.arg("lab").args(arguments).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut controller = lab(&["controller", "--listen", "127.0.0.1:0", "--seconds", "60"]);
    let mut lines = BufReader::new(controller.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let address = first.strip_prefix("listening on ").unwrap();
    let km =
        lab(&["km", "--connect", address, "--id", "KMA-1", "--id", "KMA-4", "--spelling", "kebab", "--ids", "fresh"]);
    let said = String::from_utf8(km.wait_with_output().unwrap().stdout).unwrap();
    controller.kill().unwrap();
    controller.wait().unwrap();
    for code in EVERY_CODE {
        assert!(said.contains(code), "no {code} in:\n{said}");
    }
}

const EVERY_CODE: [&str; 13] = [
    "0x1401", "0x4102", "0x1403", "0x4104", "0x1405", "0x1406", "0x4107", "0x4108", "0x1409", "0x410A", "0x140B",
    "0x410C", "0x140D",
];

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckscope"));
    command.args(["lab", "--write", "-", "--messages", "100000"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut lab = command.spawn().unwrap();
    drop(lab.stdout.take());
    let output = lab.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
