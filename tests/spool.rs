//! What the capture writers write, others can read.

use std::net::IpAddr;
use std::process::Command;

use ckscope::capture::LinkType;
use ckscope::capture::spool::{Interface, PcapFormat, PcapWriter, Spool, TLS_KEY_LOG};
use ckscope::time::Timestamp;
use pcap_parser::traits::{PcapNGPacketBlock, PcapReaderIterator};
use pcap_parser::{Block, LegacyPcapReader, PcapBlockOwned, PcapNGReader};

const TIME: Timestamp = Timestamp(1_767_603_600_123_456_789);
const FRAME: [u8; 61] = [0x55; 61];

fn spool() -> Vec<u8> {
    let mut spool = Spool::new(Vec::new(), "spool test").unwrap();
    let interface = Interface { link: LinkType(1), snaplen: 1500, name: "eth7".into() };
    assert_eq!(spool.interface(&interface).unwrap(), 0);
    assert_eq!(spool.interface(&Interface { link: LinkType(276), snaplen: 0, name: String::new() }).unwrap(), 1);
    spool
        .names(&[("192.0.2.1".parse::<IpAddr>().unwrap(), "controller"), ("2001:db8::b".parse().unwrap(), "km")])
        .unwrap();
    spool.secrets(TLS_KEY_LOG, b"CLIENT_RANDOM 00 11\n").unwrap();
    spool.packet(0, TIME, 99, &FRAME, &["first", "second"]).unwrap();
    spool.packet(1, TIME, 61, &FRAME, &[]).unwrap();
    spool.into_inner()
}

#[test]
fn pcap_parser_reads_the_spool() {
    let bytes = spool();
    let mut reader = PcapNGReader::new(65_536, &bytes[..]).unwrap();
    let mut found = Vec::new();
    while let Ok((used, block)) = reader.next() {
        match block {
            PcapBlockOwned::NG(Block::SectionHeader(_)) => found.push("section".into()),
            PcapBlockOwned::NG(Block::InterfaceDescription(block)) => {
                found.push(format!("interface {} {} {}", block.linktype.0, block.snaplen, block.if_tsresol));
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(block)) => {
                let time = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
                assert_eq!(time as i64, TIME.0);
                assert_eq!(block.packet_data(), FRAME);
                found.push(format!("packet {} {} {}", block.if_id, block.origlen, block.options.len()));
            }
            PcapBlockOwned::NG(Block::NameResolution(block)) => {
                found.push(format!("names {}", block.nr.len()) /* with the end record */)
            }
            PcapBlockOwned::NG(Block::DecryptionSecrets(block)) => found.push(format!("secrets {}", block.secrets_len)),
            _ => panic!("unexpected block"),
        }
        reader.consume(used);
    }
    let expected = [
        "section",
        "interface 1 1500 9",
        "interface 276 0 9",
        "names 3",
        "secrets 20",
        "packet 0 99 3",
        "packet 1 61 0",
    ];
    assert_eq!(found, expected);
}

#[test]
fn pcap_parser_reads_every_kind_of_pcap() {
    for nanoseconds in [false, true] {
        for big_endian in [false, true] {
            let format = PcapFormat { nanoseconds, big_endian };
            let mut writer = PcapWriter::new(Vec::new(), format, LinkType(113), 0).unwrap();
            writer.packet(TIME, 99, &FRAME).unwrap();
            let bytes = writer.into_inner();
            let mut reader = LegacyPcapReader::new(65_536, &bytes[..]).unwrap();
            let (used, block) = reader.next().unwrap();
            let PcapBlockOwned::LegacyHeader(header) = block else { panic!("unexpected block") };
            assert_eq!((header.network.0, header.snaplen, header.version_major), (113, 262_144, 2));
            assert_eq!((header.is_nanosecond_precision(), header.is_bigendian()), (nanoseconds, big_endian));
            reader.consume(used);
            let (_, block) = reader.next().unwrap();
            let PcapBlockOwned::Legacy(packet) = block else { panic!("unexpected block") };
            let fraction = if nanoseconds { 123_456_789 } else { 123_456 };
            assert_eq!((packet.ts_sec, packet.ts_usec, packet.origlen), (1_767_603_600, fraction, 99));
            assert_eq!(packet.data, FRAME);
        }
    }
}

#[test]
fn tshark_reads_the_spool() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), spool()).unwrap();
    let fields = ["frame.time_epoch", "frame.len", "frame.cap_len", "frame.comment", "frame.interface_name"];
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(file.path()).args(["-T", "fields", "-E", "separator=|"]);
    fields.iter().for_each(|field| _ = tshark.args(["-e", field]));
    let Ok(output) = tshark.output() else {
        eprintln!("skipped: tshark is not installed");
        return;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "1767603600.123456789|99|61|first,second|eth7");
    assert!(lines[1].starts_with("1767603600.123456789|61|61||"), "{}", lines[1]);
}
