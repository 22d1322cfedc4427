//! Packets to TCP segments through the public face: link layers, IP, fragments, tunnels, cut packets.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv6Addr, SocketAddr};

use ckscope::capture::LinkType;
use ckscope::capture::file::Reader;
use ckscope::packet::{Endpoint, Flags, Layer, PacketParser, Parsed, Payload, Reason, Segment};
use ckscope::time::{Span, Timestamp};
use proptest::prelude::*;
use support::{packets::*, read_all, shared_captures};

const PAYLOAD: &[u8] = b"0123456789abcdefghij";

fn parse(link: u16, bytes: &[u8]) -> Parsed {
    PacketParser::new().parse(LinkType(link), bytes, bytes.len() as u32, Timestamp(0))
}

/// The payload of `parsed`, which must be a segment of the test's connection.
fn payload(parsed: &Parsed, packet: &[u8]) -> Vec<u8> {
    let Parsed::Segment(segment) = parsed else { panic!("{parsed:?}") };
    assert_eq!((segment.source.port, segment.destination.port), (PORTS[0], PORTS[1]));
    assert_eq!((segment.sequence, segment.acknowledgment, segment.flags), (0x01020304, 0x05060708, Flags(0x18)));
    segment.payload.bytes(packet).to_vec()
}

#[track_caller]
fn assert_reads(link: u16, packet: &[u8]) {
    let parsed = parse(link, packet);
    assert_eq!(payload(&parsed, packet), PAYLOAD);
    let Parsed::Segment(segment) = parsed else { unreachable!() };
    assert_eq!(segment.missing, 0);
}

fn v4() -> Vec<u8> {
    ipv4(6, &tcp(PAYLOAD))
}

fn v6() -> Vec<u8> {
    ipv6(6, &tcp(PAYLOAD))
}

#[test]
fn reads_addresses_of_both_families() {
    let Parsed::Segment(segment) = parse(101, &v4()) else { panic!() };
    assert_eq!(segment.source.address[..5], [10, 0, 0, 1, 0]);
    assert!(!segment.source.v6);
    let Parsed::Segment(segment) = parse(101, &v6()) else { panic!() };
    assert_eq!((segment.destination.address[15], segment.destination.v6), (2, true));
}

#[test]
fn reads_every_link_layer() {
    for ip in [v4(), v6()] {
        let number: u16 = if ip[0] >> 4 == 4 { 0x0800 } else { 0x86dd };
        let number = number.to_be_bytes();
        let ppp = if number == [8, 0] { [0, 0x21] } else { [0, 0x57] };
        let length = (ip.len() as u16 + 2).to_be_bytes();
        assert_reads(1, &ethernet(number, &ip));
        assert_reads(1, &ethernet([0x81, 0], &[&[0, 5], &number, &ip[..]].concat()));
        assert_reads(1, &ethernet([0x88, 0xa8], &[&[0, 5, 0x81, 0, 0, 6][..], &number, &ip[..]].concat()));
        assert_reads(1, &ethernet([0x91, 0], &[&[0, 5, 0x91, 0, 0, 6, 0x81, 0, 0, 7][..], &number, &ip[..]].concat()));
        assert_reads(1, &ethernet([0x88, 0x64], &[&[0x11, 0, 0, 9][..], &length, &ppp, &ip[..]].concat()));
        assert_reads(1, &ethernet([0x88, 0x47], &[&[0, 1, 0, 64, 0, 2, 1, 64], &ip[..]].concat()));
        let snap = [&[0xaa, 0xaa, 3, 0, 0, 0][..], &number, &ip[..]].concat();
        assert_reads(1, &ethernet((snap.len() as u16).to_be_bytes(), &snap));
        assert_reads(113, &[&[0; 14][..], &number, &ip[..]].concat());
        assert_reads(276, &[&number[..], &[0; 18], &ip].concat());
        for raw in [101, 12, 14, if ip[0] >> 4 == 4 { 228 } else { 229 }] {
            assert_reads(raw, &ip);
        }
        let families: &[u32] = if ip[0] >> 4 == 4 { &[2] } else { &[10, 24, 28, 30] };
        for family in families {
            assert_reads(0, &[&family.to_le_bytes(), &ip[..]].concat());
            assert_reads(0, &[&family.to_be_bytes(), &ip[..]].concat());
            assert_reads(108, &[&family.to_be_bytes(), &ip[..]].concat());
        }
    }
}

#[test]
fn reads_through_tunnels() {
    for inner in [v4(), v6()] {
        let (number, ether): (u8, [u8; 2]) = if inner[0] >> 4 == 4 { (4, [8, 0]) } else { (41, [0x86, 0xdd]) };
        for outer in [ipv4, ipv6] {
            assert_reads(101, &outer(number, &inner));
            assert_reads(101, &outer(47, &[&[0, 0], &ether, &inner[..]].concat()));
            assert_reads(101, &outer(47, &[&[0xb0, 0][..], &ether, &[0; 12], &inner[..]].concat()));
            let frame = ethernet(ether, &inner);
            assert_reads(101, &outer(47, &[&[0, 0, 0x65, 0x58], &frame[..]].concat()));
            assert_reads(101, &outer(47, &[&[0x10, 0, 0x88, 0xbe], &[0; 12][..], &frame].concat()));
            assert_reads(101, &outer(97, &[&[0x30, 0], &frame[..]].concat()));
            let vxlan = [0x12, 0x34, 0x12, 0xb5, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 7, 0];
            assert_reads(101, &outer(17, &[&vxlan[..], &frame].concat()));
        }
    }
}

#[test]
fn skips_ip_options_and_extension_headers() {
    let mut packet = v4();
    packet.splice(20..20, [1; 8]);
    packet[0] = 0x47;
    packet[3] += 8;
    assert_reads(101, &packet);
    let extensions = [
        &[43, 0, 1, 4, 0, 0, 0, 0][..],
        &[60, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[51, 0, 1, 4, 0, 0, 0, 0],
        &[44, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[6, 0, 0, 0, 1, 2, 3, 4], // an atomic fragment
        &tcp(PAYLOAD),
    ];
    assert_reads(101, &ipv6(0, &extensions.concat()));
}

#[test]
fn padding_is_no_payload() {
    let packet = [ethernet([8, 0], &ipv4(6, &tcp(b""))), vec![0; 6]].concat();
    assert_eq!(payload(&parse(1, &packet), &packet), b"");
}

#[test]
fn counts_what_the_snapshot_length_cut() {
    let packet = ethernet([8, 0], &v4());
    for cut in 0..packet.len() {
        let parsed = PacketParser::new().parse(LinkType(1), &packet[..cut], packet.len() as u32, Timestamp(0));
        match parsed {
            Parsed::Segment(segment) => {
                assert!(cut >= 54);
                assert_eq!(segment.missing as usize, packet.len() - cut);
                assert_eq!(payload(&Parsed::Segment(segment), &packet[..cut]), &PAYLOAD[..cut - 54]);
            }
            Parsed::Undecodable(Reason::Cut(layer)) => {
                let expected = [(14, Layer::Link), (34, Layer::Ip), (54, Layer::Tcp)];
                assert_eq!(layer, expected.iter().find(|(end, _)| cut < *end).unwrap().1, "cut at {cut}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_length_of_zero_means_the_rest_of_the_packet() {
    let mut packet = v4();
    packet[2..4].fill(0);
    assert_reads(101, &packet);
    let mut packet = v6();
    packet[4..6].fill(0);
    assert_reads(101, &packet);
    let jumbo = [&[6, 0, 0xc2, 4][..], &(8 + tcp(PAYLOAD).len() as u32).to_be_bytes(), &tcp(PAYLOAD)].concat();
    let mut packet = ipv6(0, &jumbo);
    packet[4..6].fill(0);
    assert_reads(101, &packet);
    packet.extend([0; 9]);
    assert_reads(101, &packet);
}

#[test]
fn a_length_beyond_the_wire_is_not_believed() {
    let mut packet = v4();
    packet[2] = 0xff;
    assert_reads(101, &packet);
}

#[test]
fn contradictions_are_undecodable() {
    let broken = |index: usize, value: u8| {
        let mut packet = v4();
        packet[index] = value;
        parse(228, &packet)
    };
    let ip = Parsed::Undecodable(Reason::Malformed(Layer::Ip));
    assert_eq!(broken(0, 0x65), ip, "version");
    assert_eq!(broken(0, 0x44), ip, "header length");
    assert_eq!(broken(3, 19), ip, "total length");
    let tcp = Parsed::Undecodable(Reason::Malformed(Layer::Tcp));
    assert_eq!(broken(32, 0x40), tcp, "data offset too small");
    assert_eq!(broken(32, 0xf0), tcp, "data offset beyond the packet");
}

#[test]
fn other_protocols_are_no_loss() {
    let mut parser = PacketParser::new();
    for packet in
        [ethernet([8, 6], &[0; 28]), ethernet([8, 0], &ipv4(17, &[0; 8])), ethernet([8, 0], &ipv4(50, &[0; 8]))]
    {
        assert_eq!(parser.parse(LinkType(1), &packet, 99, Timestamp(0)), Parsed::Other);
    }
    assert!(parser.undecoded().is_empty());
}

#[test]
fn unknown_link_types_are_counted_by_type() {
    let mut parser = PacketParser::new();
    for link in [147, 147, 200] {
        parser.parse(LinkType(link), &v4(), 60, Timestamp(0));
    }
    let expected = "2 packets of link type 147 were not decoded\n1 packet of link type 200 was not decoded";
    assert_eq!(parser.undecoded().to_string(), expected);
}

/// A TCP segment in fragments of 8, 16 and the remaining bytes.
fn fragments(v6: bool) -> Vec<Vec<u8>> {
    let tcp = tcp(PAYLOAD);
    [(0, 8), (8, 24), (24, tcp.len())]
        .map(|(from, to)| {
            let more = to != tcp.len();
            if v6 { ipv6_fragment(from, more, &tcp[from..to]) } else { ipv4_fragment(from, more, &tcp[from..to]) }
        })
        .to_vec()
}

#[test]
fn puts_fragments_together_in_any_order() {
    for v6 in [false, true] {
        let pieces = fragments(v6);
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut parser = PacketParser::new();
            let mut feed = |index: usize| parser.parse(LinkType(101), &pieces[index], 0, Timestamp(0));
            assert_eq!((feed(order[0]), feed(order[1])), (Parsed::Fragment, Parsed::Fragment));
            assert_eq!(payload(&feed(order[2]), &[]), PAYLOAD);
            assert!(parser.undecoded().is_empty());
        }
    }
}

#[test]
fn fragments_do_not_mix_across_datagrams_or_time() {
    let mut parser = PacketParser::new();
    let pieces = fragments(false);
    let mut other = pieces[1].clone();
    other[5] ^= 1;
    let minute = Timestamp(0) + Span::from_secs(61);
    parser.parse(LinkType(101), &pieces[0], 0, Timestamp(0));
    parser.parse(LinkType(101), &other, 0, Timestamp(0));
    parser.parse(LinkType(101), &pieces[1], 0, minute);
    assert_eq!(parser.parse(LinkType(101), &pieces[2], 0, minute), Parsed::Fragment);
    assert_eq!(parser.undecoded().iter().collect::<Vec<_>>(), [(Reason::FragmentAlone, 4)]);
}

#[test]
fn the_fragment_pool_is_bounded_and_counts_what_it_gives_up() {
    let mut parser = PacketParser::new();
    for id in 0..100_000u32 {
        let mut piece = ipv4_fragment(65_000 / 8 * 8, true, &[0; 8]);
        piece[4..6].copy_from_slice(&(id as u16).to_be_bytes());
        piece[12] = (id >> 16) as u8;
        assert_eq!(parser.parse(LinkType(101), &piece, 0, Timestamp(0)), Parsed::Fragment);
    }
    assert_eq!(parser.undecoded().iter().collect::<Vec<_>>(), [(Reason::FragmentAlone, 100_000)]);
}

/// Found by flipping bits of captures/ipv4-fragments.pcapng.
#[test]
fn a_last_fragment_may_end_before_others() {
    let mut parser = PacketParser::new();
    for piece in [ipv4_fragment(24, true, &[0; 16]), ipv4_fragment(8, false, &[0; 8])] {
        assert_eq!(parser.parse(LinkType(101), &piece, 0, Timestamp(0)), Parsed::Fragment);
    }
    assert_eq!(parser.undecoded().iter().collect::<Vec<_>>(), [(Reason::FragmentAlone, 2)]);
}

#[test]
fn a_cut_fragment_is_counted() {
    let piece = &fragments(false)[0];
    let parsed = PacketParser::new().parse(LinkType(101), &piece[..24], piece.len() as u32, Timestamp(0));
    assert_eq!(parsed, Parsed::Undecodable(Reason::FragmentCut));
}

#[test]
fn headers_inside_each_other_end_somewhere() {
    let tags = [[0x81, 0, 0, 1]; 1000].concat();
    assert_eq!(parse(1, &ethernet([0x81, 0], &tags[2..])), Parsed::Undecodable(Reason::TooDeep));
}

fn address(end: &Endpoint) -> SocketAddr {
    let [a, b, c, d, ..] = end.address;
    if end.v6 { (Ipv6Addr::from(end.address), end.port).into() } else { ([a, b, c, d], end.port).into() }
}

fn conversation(segment: &Segment) -> BTreeSet<SocketAddr> {
    [address(&segment.source), address(&segment.destination)].into()
}

/// Where the number of conversations is rightly not Wireshark's number of streams.
const EXPLAINED: [(&str, usize, &str); 2] = [
    (
        "ndpi-frag-garbage",
        2,
        "two TCP headers give an impossible length of their own; tshark numbers a stream before it sees that",
    ),
    ("tcpdump-bigtcp-v6", 1, "the payload length 0 of BIG TCP, which tshark 4.0 calls malformed"),
];

#[test]
fn finds_as_many_conversations_as_wireshark_in_captures_of_other_hands() {
    let Some(captures) = shared_captures() else { return };
    let mut wrong = BTreeMap::new();
    for folder in std::fs::read_dir(captures).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(truth) = std::fs::read_to_string(folder.join("truth.json")) else { continue };
        let truth: serde_json::Value = serde_json::from_str(&truth).unwrap();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let explained = EXPLAINED.iter().find(|(folder, ..)| *folder == name).map(|(_, found, _)| *found);
        let expected = explained.unwrap_or_else(|| truth["tcp_streams"].as_u64().unwrap() as usize);
        let capture = ["pcap", "pcapng"].map(|end| folder.join("capture").with_extension(end));
        let (mut reader, _) = Reader::open(&[capture.into_iter().find(|path| path.exists()).unwrap()]);
        let (mut parser, mut found) = (PacketParser::new(), BTreeSet::new());
        for (packet, bytes) in read_all(&mut reader) {
            if let Parsed::Segment(segment) = parser.parse(packet.link, &bytes, packet.original, packet.time) {
                found.insert(conversation(&segment));
            }
        }
        if found.len() != expected {
            let undecoded = parser.undecoded().to_string();
            wrong.insert(name, (found, expected, undecoded));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Whatever the bytes say, a payload lies inside the packet.
    #[test]
    fn no_bytes_make_the_parser_panic(
        link in prop::sample::select(vec![0u16, 1, 101, 108, 113, 228, 229, 276]),
        mut packet in prop::sample::select(vec![
            ethernet([8, 0], &v4()), ethernet([0x86, 0xdd], &v6()), v4(), v6(),
            fragments(false)[0].clone(), fragments(true)[2].clone(), ipv6(0, &[0; 60]),
        ]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        original in any::<u32>(),
    ) {
        for (index, value) in &changes {
            let index = index.index(packet.len());
            packet[index] = *value;
        }
        let parsed = PacketParser::new().parse(LinkType(link), &packet, original, Timestamp(0));
        if let Parsed::Segment(Segment { payload: Payload::InPacket { offset, length }, .. }) = parsed {
            prop_assert!((offset + length) as usize <= packet.len());
        }
    }
}
