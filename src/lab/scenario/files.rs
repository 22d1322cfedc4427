//! What is below TCP and around the packets: link layers, IP, file formats; and what else is on the wire.

use std::net::SocketAddr;

use super::super::file::{Capture, Compression, Format};
use super::super::link::Link;
use super::super::network::{Network, Side};
use super::super::random::Random;
use super::super::setup::{PORT, START, Setup};
use super::super::tcp::{Ip, Segment};
use super::{Scenario, conversation, ethernet, two_kms};
use crate::capture::spool::PcapFormat;
use crate::time::{Span, Timestamp};

pub(super) const TABLE: &[Scenario] = &[
    Scenario::new("vlan", "Ethernet with an 802.1Q tag", |setup| on(setup, Link::Vlan)),
    Scenario::new("qinq", "Ethernet with 802.1ad and 802.1Q tags", |setup| on(setup, Link::QinQ)),
    Scenario::new("linux-sll", "link layer LINUX_SLL (tcpdump -i any)", |setup| on(setup, Link::Sll)),
    Scenario::new("linux-sll2", "link layer LINUX_SLL2 (tcpdump -i any)", |setup| on(setup, Link::Sll2)),
    Scenario::new("raw-ip", "link layer RAW", |setup| on(setup, Link::Raw)),
    Scenario::new("bsd-null", "link layer NULL", |setup| on(setup, Link::Null)),
    Scenario::new("bsd-loop", "link layer LOOP", |setup| on(setup, Link::Loop)),
    Scenario::new("ipv4-fragments", "IPv4 packets in fragments of 96 bytes", |setup| {
        Capture::of(&conversation(setup), Link::Ethernet, Ip { fragment: Some(96), extensions: false })
    }),
    Scenario::new("ipv6", "IPv6", |setup| on_ipv6(setup, Ip::default())),
    Scenario::new("ipv6-extension-headers", "IPv6 with hop-by-hop and destination options", |setup| {
        on_ipv6(setup, Ip { fragment: None, extensions: true })
    }),
    Scenario::new("ipv6-fragments", "IPv6 packets in fragments of 96 bytes, after hop-by-hop options", |setup| {
        on_ipv6(setup, Ip { fragment: Some(96), extensions: true })
    }),
    Scenario::new("snaplen", "packets cut at 128 bytes", |setup| {
        let mut capture = ethernet(&conversation(setup));
        capture.cut(128);
        capture
    }),
    pcap("pcap-us-little", "pcap, microseconds, little-endian", |setup| classic(setup, false, false)),
    pcap("pcap-us-big", "pcap, microseconds, big-endian", |setup| classic(setup, false, true)),
    pcap("pcap-ns-little", "pcap, nanoseconds, little-endian", |setup| classic(setup, true, false)),
    pcap("pcap-ns-big", "pcap, nanoseconds, big-endian", |setup| classic(setup, true, true)),
    Scenario {
        extension: "pcapng.gz",
        ..Scenario::new("gzip", "pcapng in gzip", |setup| Capture {
            compression: Compression::Gzip,
            ..ethernet(&conversation(setup))
        })
    },
    Scenario {
        extension: "pcapng.zst",
        ..Scenario::new("zstd", "pcapng in Zstandard", |setup| Capture {
            compression: Compression::Zstd,
            ..ethernet(&conversation(setup))
        })
    },
    Scenario::new("interfaces", "one direction on Ethernet, the other on LINUX_SLL2; names of the hosts", interfaces),
    Scenario::new("decoys", "HTTP, DNS, TLS and length-prefixed JSON beside one Ck conversation", decoys),
];

const fn pcap(name: &'static str, about: &'static str, make: fn(&Setup) -> Capture) -> Scenario {
    Scenario { extension: "pcap", ..Scenario::new(name, about, make) }
}

fn on(setup: &Setup, link: Link) -> Capture {
    Capture::of(&conversation(setup), link, Ip::default())
}

fn on_ipv6(setup: &Setup, ip: Ip) -> Capture {
    Capture::of(&conversation(&Setup { ipv6: true, ..setup.clone() }), Link::Ethernet, ip)
}

fn classic(setup: &Setup, nanoseconds: bool, big_endian: bool) -> Capture {
    let format = Format::Pcap(PcapFormat { nanoseconds, big_endian });
    Capture { format, ..ethernet(&conversation(setup)) }
}

fn interfaces(setup: &Setup) -> Capture {
    let (from_controller, from_kms): (Vec<_>, Vec<_>) =
        conversation(setup).into_iter().partition(|segment: &Segment| segment.source.port() == PORT);
    let mut capture = Capture::of(&from_kms, Link::Ethernet, Ip::default());
    capture.add(&from_controller, Link::Sll2, Ip::default(), "any");
    capture.frames.sort_by_key(|frame| frame.time);
    let kms = setup.topology.kms.iter().map(|km| (setup.address(km.host), km.id.clone()));
    capture.names = kms.chain([(setup.address(1), "controller".to_owned())]).collect();
    capture
}

/// An HTTP exchange whose body is JSON.
const HTTP: [&[u8]; 2] = [
    b"GET /api/v1/keys/KMA-4/status HTTP/1.1\r\nHost: 192.0.2.1\r\nAccept: application/json\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 36\r\n\r\n{\"source_KME_ID\":\"1\",\"key_size\":256}\n",
];

/// DNS over TCP: example.com A? 192.0.2.80.
const DNS: [&[u8]; 2] = [
    b"\0\x1d\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01",
    b"\0\x2d\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x07example\x03com\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\x0e\x10\0\x04\xc0\0\x02\x50",
];

/// JSON behind a four-byte length.
const JSON: [&[u8]; 2] =
    [b"\0\0\0\x24{\"method\":\"session.create\",\"id\":101}", b"\0\0\0\x20{\"result\":\"0x1406 done\",\"id\":101}"];

fn decoys(setup: &Setup) -> Capture {
    let mut simulation = two_kms(setup);
    super::converse(&mut simulation);
    let mut at = START + Span::from_millis(1);
    let mut random = Random::new(setup.seed);
    let (hello, data) = (client_hello(&mut random), application_data(&mut random, 240));
    let tls = [&*hello, &*data];
    for (host, port, [request, response]) in [(21, 80, HTTP), (22, 53, DNS), (23, PORT, tls), (24, 7000, JSON)] {
        let from = SocketAddr::new(setup.address(host), 50_000 + port % 1000);
        at = exchange(&mut simulation.network, from, SocketAddr::new(setup.address(1), port), at, request, response);
    }
    super::close(simulation)
}

/// Connects, asks, is answered, closes; gives the time after it.
fn exchange(
    network: &mut Network,
    from: SocketAddr,
    to: SocketAddr,
    at: Timestamp,
    request: &[u8],
    response: &[u8],
) -> Timestamp {
    let pause = Span(300_000);
    let (connection, at) = network.connect(at, from, to);
    let at = network.send(connection, Side::Initiator, at + pause, request);
    let at = network.send(connection, Side::Responder, at + pause, response);
    network.close(connection, Side::Initiator, at + pause) + pause
}

/// A TLS 1.2 ClientHello without extensions, offering one cipher suite (RFC 5246 7.4.1.2).
fn client_hello(random: &mut Random) -> Vec<u8> {
    let mut hello = vec![22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3];
    hello.extend((0..32).map(|_| random.bits() as u8));
    hello.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]); // no session, one suite, no compression
    hello
}

/// A TLS 1.2 record of `length` bytes of ciphertext.
fn application_data(random: &mut Random, length: u16) -> Vec<u8> {
    let mut record = vec![23, 3, 3];
    record.extend(length.to_be_bytes());
    record.extend((0..length).map(|_| random.bits() as u8));
    record
}
