//! Capture files through the public face: formats, damage, compression, merging.

mod support;

use std::io::Write;
use std::path::PathBuf;

use ckscope::capture::LinkType;
use ckscope::capture::file::{Compression, FileType, OpenProblem, Reader};
use ckscope::time::Timestamp;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use support::{Files, MICROSECONDS, MODIFIED, NANOSECONDS, Order, Pcap, Pcapng, read_all, shared_captures};

const ORDERS: [Order; 2] = [Order::Little, Order::Big];
/// The bodies of the packets of small test files; lengths that need each padding.
const BODIES: [&[u8]; 4] = [b"one", b"", b"three", b"fourfour"];

fn open_one(path: PathBuf) -> Reader {
    let (reader, errors) = Reader::open(&[path]);
    assert!(errors.is_empty(), "{errors:?}");
    reader
}

/// Opens `bytes` as a file, or gives the error's text.
fn open_bytes(bytes: &[u8]) -> Result<Reader, String> {
    let files = Files::new();
    let (reader, errors) = Reader::open(&[files.write("x", bytes)]);
    match errors.into_iter().next() {
        Some(error) => Err(error.problem.to_string()),
        None => Ok(reader),
    }
}

/// A small file, and for each packet the offset after it.
fn small_pcap(order: Order, magic: u32) -> (Vec<u8>, Vec<usize>) {
    let mut file = Pcap::new(order, magic, 1);
    let ends = BODIES.iter().map(|body| file.packet(7, 8, body).bytes.len()).collect();
    (file.bytes, ends)
}

fn small_pcapng(order: Order) -> (Vec<u8>, Vec<usize>) {
    let mut file = Pcapng::new(order);
    let ends = BODIES.iter().map(|body| file.packet(0, 7_000_008, body).block(0xbad, b"custom").bytes.len()).collect();
    (file.bytes, ends)
}

fn assert_bodies(packets: &[(ckscope::capture::Packet, Vec<u8>)], count: usize) {
    let bodies: Vec<&[u8]> = packets.iter().map(|(_, bytes)| &bytes[..]).collect();
    assert_eq!(bodies, BODIES[..count]);
}

#[test]
fn reads_both_byte_orders_and_both_precisions() {
    for (order, magic, time) in ORDERS.iter().flat_map(|order| {
        [(order, MICROSECONDS, 7_000_008_000), (order, NANOSECONDS, 7_000_000_008), (order, MODIFIED, 7_000_008_000)]
    }) {
        let mut reader = open_bytes(&small_pcap(*order, magic).0).unwrap();
        let packets = read_all(&mut reader);
        assert_bodies(&packets, BODIES.len());
        for (packet, bytes) in &packets {
            assert_eq!(packet.time, Timestamp(time), "{order:?} {magic:x}");
            assert_eq!((packet.link, packet.original), (LinkType(1), bytes.len() as u32 + 5));
        }
        let file = &reader.files()[0];
        assert_eq!((file.file_type, file.packets, file.bytes), (FileType::Pcap, 4, 16));
        assert_eq!((file.first, file.last), (Some(Timestamp(time)), Some(Timestamp(time))));
        assert!(file.damage.is_none());
    }
}

#[test]
fn masks_what_stands_beside_the_link_type() {
    let file = Pcap::new(Order::Big, MICROSECONDS, 0x5403_0071).bytes;
    assert_eq!(open_bytes(&file).unwrap().files()[0].interfaces[0].link, LinkType(113));
}

#[test]
fn reads_the_lengths_of_old_versions_in_their_order() {
    for (version, swapped) in [((2, 2), true), ((543, 0), true), ((2, 3), true), ((2, 4), false)] {
        let (mut file, _) = small_pcap(Order::Little, MICROSECONDS);
        file[4..6].copy_from_slice(&u16::to_le_bytes(version.0));
        file[6..8].copy_from_slice(&u16::to_le_bytes(version.1));
        if swapped {
            let mut at = 24;
            for body in BODIES {
                let (captured, original) = file[at + 8..at + 16].split_at_mut(4);
                captured.swap_with_slice(original);
                at += 16 + body.len();
            }
        }
        assert_bodies(&read_all(&mut open_bytes(&file).unwrap()), BODIES.len());
    }
}

#[test]
fn reads_exactly_the_whole_packets_before_any_cut() {
    let pcaps = ORDERS.iter().flat_map(|order| [MICROSECONDS, NANOSECONDS].map(|magic| small_pcap(*order, magic)));
    for (bytes, ends) in pcaps {
        for cut in 0..=bytes.len() {
            let Ok(mut reader) = open_bytes(&bytes[..cut]) else {
                assert!(cut < 24, "a whole header is enough");
                continue;
            };
            let whole = ends.iter().filter(|end| **end <= cut).count();
            assert_bodies(&read_all(&mut reader), whole);
            let clean = cut == 24 || ends.contains(&cut);
            assert_eq!(reader.files()[0].damage.is_none(), clean, "cut at {cut}");
        }
    }
}

#[test]
fn reads_exactly_the_whole_blocks_before_any_cut() {
    for order in ORDERS {
        let (bytes, ends) = small_pcapng(order);
        for cut in 0..=bytes.len() {
            let Ok(mut reader) = open_bytes(&bytes[..cut]) else {
                assert!(cut < 28, "a whole section header is enough");
                continue;
            };
            // A packet is followed by a custom block of 20 bytes, which it does not need.
            let whole = ends.iter().filter(|end| **end - 20 <= cut).count();
            assert_bodies(&read_all(&mut reader), whole);
            let damage = reader.files()[0].damage.clone();
            assert!(damage.is_none_or(|damage| damage.packet == whole as u64 + 1), "cut at {cut}");
        }
    }
}

#[test]
fn names_packet_offset_finding_and_expectation() {
    let (bytes, ends) = small_pcap(Order::Little, MICROSECONDS);
    let mut reader = open_bytes(&bytes[..bytes.len() - 6]).unwrap();
    read_all(&mut reader);
    let expected = format!(
        "packet 4, byte offset {}: record claims 8 bytes, 2 remain; the 3 packets before it were read",
        ends[2]
    );
    assert_eq!(reader.files()[0].damage.as_ref().unwrap().to_string(), expected);
}

#[test]
fn never_trusts_a_length() {
    let (mut bytes, ends) = small_pcap(Order::Little, MICROSECONDS);
    bytes[ends[0] + 8..ends[0] + 12].copy_from_slice(&[0xff; 4]);
    let mut reader = open_bytes(&bytes).unwrap();
    assert_bodies(&read_all(&mut reader), 1);
    assert!(reader.files()[0].damage.as_ref().unwrap().text.contains("4294967295 bytes, more than the 262144"));
}

#[test]
fn refuses_what_is_not_a_capture_and_reads_the_rest() {
    let files = Files::new();
    let inputs = [
        files.write("text", b"hello, world"),
        files.write("empty", b""),
        files.write("good", &small_pcapng(Order::Big).0),
        PathBuf::from("/nonexistent/file"),
        files.write("old", &{
            let mut old = small_pcap(Order::Little, MICROSECONDS).0;
            old[4] = 1;
            old
        }),
        files.write("xz", b"\xfd7zXZ\0"),
    ];
    let (mut reader, errors) = Reader::open(&inputs);
    assert_eq!(read_all(&mut reader).len(), BODIES.len());
    let texts: Vec<String> = errors.iter().map(|error| error.problem.to_string()).collect();
    let expected = "a pcap or pcapng file, plain or compressed with gzip or zstd";
    assert_eq!(texts[0], format!("starts with 68 65 6c 6c 6f 2c 20 77, expected {expected}"));
    assert!(matches!(errors[1].problem, OpenProblem::Empty));
    assert!(matches!(errors[2].problem, OpenProblem::Io(_)));
    assert_eq!(texts[3], "byte offset 4: pcap version 1.4, expected 2.0 to 2.4");
    assert!(texts[4].ends_with("this is xz, decompress it first"));
}

#[test]
fn an_empty_pcap_is_no_error() {
    let mut reader = open_bytes(&Pcap::new(Order::Big, NANOSECONDS, 101).bytes).unwrap();
    assert!(read_all(&mut reader).is_empty());
    assert!(reader.files()[0].damage.is_none());
}

#[test]
fn reads_sections_of_differing_byte_order_and_their_interfaces() {
    let mut file = Pcapng::new(Order::Little);
    file.packet(0, 1, b"a").section(Order::Big).interface(101, 96, &[(2, b"eth1"), (9, &[9]), (1, b"comment")]);
    file.interface(113, 0, &[(9, &[0x80 | 10]), (14, &Order::Big.u64(1_000))]);
    file.packet(0, 5, b"b").packet(1, 512, b"c");
    let mut reader = open_bytes(&file.bytes).unwrap();
    let packets = read_all(&mut reader);
    let seen: Vec<_> = packets.iter().map(|(packet, bytes)| (packet.time.0, packet.link.0, &bytes[..])).collect();
    assert_eq!(seen, [(1_000, 1, &b"a"[..]), (5, 101, b"b"), (1_000_500_000_000, 113, b"c")]);
    let interfaces = &reader.files()[0].interfaces;
    assert_eq!(interfaces.len(), 3);
    assert_eq!((interfaces[1].name.as_deref(), interfaces[1].snaplen), (Some("eth1"), 96));
}

#[test]
fn reads_simple_and_obsolete_packet_blocks() {
    for order in ORDERS {
        let mut file = Pcapng { bytes: Vec::new(), order };
        file.section(order).interface(1, 4, &[]);
        let mut obsolete = order.u16(0).to_vec();
        obsolete.extend(order.u16(3));
        obsolete.extend([0, 9, 2, 77].iter().flat_map(|field| order.u32(*field)));
        obsolete.extend(support::padded(b"ab"));
        file.block(2, &obsolete);
        let mut simple = order.u32(60).to_vec();
        simple.extend(b"cdef");
        file.block(3, &simple);
        let packets = read_all(&mut open_bytes(&file.bytes).unwrap());
        let seen: Vec<_> = packets.iter().map(|(packet, bytes)| (packet.time.0, packet.original, &bytes[..])).collect();
        // A simple packet has no time of its own: it keeps that of the packet before.
        assert_eq!(seen, [(9_000, 77, &b"ab"[..]), (9_000, 60, b"cdef")]);
    }
}

#[test]
fn stops_at_a_packet_of_an_interface_never_described() {
    let mut file = Pcapng::new(Order::Little);
    file.packet(0, 1, b"a").packet(7, 2, b"b").packet(0, 3, b"c");
    let mut reader = open_bytes(&file.bytes).unwrap();
    assert_eq!(read_all(&mut reader).len(), 1);
    let damage = reader.files()[0].damage.as_ref().unwrap();
    assert_eq!((damage.packet, damage.text.as_str()), (2, "packet names interface 7, 1 were described in its section"));
}

#[test]
fn hands_out_the_tls_key_logs_of_a_file() {
    for order in ORDERS {
        let mut secrets = order.u32(0x544c_534b).to_vec();
        secrets.extend(order.u32(13));
        secrets.extend(b"CLIENT_RANDOM");
        let mut file = Pcapng::new(order);
        file.block(10, &secrets).packet(0, 1, b"a");
        let mut reader = open_bytes(&file.bytes).unwrap();
        read_all(&mut reader);
        assert_eq!(reader.tls_key_logs(0).collect::<Vec<_>>(), [b"CLIENT_RANDOM"]);
        assert_eq!(reader.files()[0].secrets.len(), 1);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn reads_compressed_files_of_several_members() {
    let (bytes, _) = small_pcapng(Order::Little);
    let (front, back) = bytes.split_at(77);
    let mut skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00xyz".to_vec();
    skippable.extend([zstd(front), skippable.clone(), zstd(back)].concat());
    let gzip = [gzip(front), gzip(back)].concat();
    for (compressed, kind) in [(gzip, Compression::Gzip), (skippable, Compression::Zstd)] {
        let mut reader = open_bytes(&compressed).unwrap();
        assert_bodies(&read_all(&mut reader), BODIES.len());
        assert_eq!(reader.files()[0].compression, Some(kind));
        assert!(reader.files()[0].damage.is_none(), "{:?}", reader.files()[0].damage);
    }
}

/// Packets of noise, so that a compressed stream is about as long as the file.
fn noisy_pcap() -> Vec<u8> {
    let mut file = Pcap::new(Order::Little, MICROSECONDS, 1);
    let mut state = 1u32;
    for number in 0..3000 {
        let body: Vec<u8> = (0..NOISE - 16).map(|_| noise(&mut state)).collect();
        file.packet(number, 0, &body);
    }
    file.bytes
}

/// Bytes of a record in [`noisy_pcap`].
const NOISE: usize = 216;

/// Reads a damaged stream; how many packets came before the damage, which is told.
fn packets_before_damage(compressed: &[u8], told: &str) -> usize {
    let mut reader = open_bytes(compressed).unwrap();
    let read = read_all(&mut reader).len();
    let damage = reader.files()[0].damage.as_ref().unwrap();
    assert_eq!(damage.packet, read as u64 + 1);
    assert!(damage.text.contains(told), "{damage}");
    read
}

#[test]
fn reads_what_came_out_of_a_cut_stream() {
    let file = noisy_pcap();
    for (compressed, name) in [(gzip(&file), "gzip"), (zstd(&file), "zstd")] {
        // The block of a Zstandard stream that is cut is lost, 128 KiB at most (RFC 8878 3.1.1.2.4).
        let cut = compressed.len() / 2;
        let read = packets_before_damage(&compressed[..cut], &format!("the {name} stream breaks off"));
        assert!(read * NOISE + (128 << 10) >= cut && read < 3000, "{name}: {read}");
    }
}

#[test]
fn reads_what_stands_before_a_damaged_block() {
    let mut compressed = zstd(&noisy_pcap());
    let (headers, late) = (block_headers(&compressed), 3 * compressed.len() / 4);
    let damaged = *headers.iter().find(|&&at| at > late).expect("several blocks");
    compressed[damaged] |= 0b110; // the reserved type
    let read = packets_before_damage(&compressed, "the zstd stream breaks off");
    assert!(read * NOISE + NOISE + 100 >= damaged, "{read} packets before the damage at {damaged}");
}

/// Where the blocks of a Zstandard frame begin (RFC 8878 3.1.1.2).
fn block_headers(frame: &[u8]) -> Vec<usize> {
    let descriptor = frame[4];
    let single_segment = descriptor & 0x20 != 0;
    let size_field = [usize::from(single_segment), 2, 4, 8][usize::from(descriptor >> 6)];
    let mut at = 5 + usize::from(!single_segment) + size_field;
    let mut found = Vec::new();
    loop {
        found.push(at);
        let header = u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], 0]);
        if header & 1 != 0 {
            return found;
        }
        let is_rle = header >> 1 & 3 == 1;
        at += 3 + if is_rle { 1 } else { (header >> 3) as usize };
    }
}

#[test]
fn a_wrong_checksum_is_told() {
    let mut compressed = zstd(&noisy_pcap());
    *compressed.last_mut().unwrap() ^= 1;
    assert_eq!(packets_before_damage(&compressed, "the content checksum of a frame differs"), 3000);
    let mut compressed = gzip(&noisy_pcap());
    let sum = compressed.len() - 8;
    compressed[sum] ^= 1;
    assert_eq!(packets_before_damage(&compressed, "corrupt gzip stream"), 3000);
}

#[test]
fn zeros_behind_a_compressed_file_are_padding_and_anything_else_is_told() {
    let (bytes, _) = small_pcap(Order::Little, MICROSECONDS);
    for compressed in [gzip(&bytes), zstd(&bytes)] {
        let mut reader = open_bytes(&[&compressed[..], &[0; 10_240]].concat()).unwrap();
        assert_bodies(&read_all(&mut reader), BODIES.len());
        assert_eq!(reader.files()[0].damage, None);
        assert_eq!(packets_before_damage(&[&compressed[..], &[0, 0, 7, 7]].concat(), "breaks off"), BODIES.len());
    }
}

fn noise(state: &mut u32) -> u8 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (*state >> 24) as u8
}

#[test]
fn no_cut_of_a_compressed_file_panics() {
    let (bytes, _) = small_pcapng(Order::Little);
    for compressed in [gzip(&bytes), zstd(&bytes)] {
        for cut in 0..compressed.len() {
            if let Ok(mut reader) = open_bytes(&compressed[..cut]) {
                let read = read_all(&mut reader).len();
                assert_bodies(&read_all(&mut reader), 0);
                assert!(read <= BODIES.len());
                assert!(reader.files()[0].damage.is_some(), "a cut at {cut} went unnoticed");
            }
        }
    }
}

#[test]
fn merges_files_by_time_and_keeps_the_order_of_each() {
    let files = Files::new();
    let mut first = Pcap::new(Order::Little, MICROSECONDS, 1);
    first.packet(1, 0, b"a1").packet(5, 0, b"a5").packet(2, 0, b"a2").packet(9, 0, b"a9");
    let mut second = Pcapng::new(Order::Big);
    second.packet(0, 1_000_000, b"b1").packet(0, 3_000_000, b"b3").packet(0, 9_000_000, b"b9");
    let inputs = [files.write("a", &first.bytes), files.write("b", &second.bytes)];
    let (mut reader, errors) = Reader::open(&inputs);
    assert!(errors.is_empty());
    let packets = read_all(&mut reader);
    let order: Vec<&[u8]> = packets.iter().map(|(_, bytes)| &bytes[..]).collect();
    assert_eq!(order, [&b"a1"[..], b"b1", b"b3", b"a5", b"a2", b"a9", b"b9"]);
    assert_eq!(packets.iter().map(|(packet, _)| packet.block).collect::<Vec<_>>(), [0, 1, 1, 0, 0, 0, 1]);
    let length = first.bytes.len() as u64;
    assert_eq!(reader.blocks()[1].place(), ckscope::place::Place::in_capture(length));
    assert_eq!(reader.progress(), (length + second.bytes.len() as u64, length + second.bytes.len() as u64));
}

#[cfg(unix)]
#[test]
fn reads_a_pipe_that_trickles() {
    use std::process::{Command, Stdio};
    let files = Files::new();
    let pipe = files.write("pipe", b"");
    std::fs::remove_file(&pipe).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let source = files.write("source", &gzip(&small_pcap(Order::Little, MICROSECONDS).0));
    let mut writer = Command::new("dd")
        .args([format!("if={}", source.display()), format!("of={}", pipe.display()), "bs=1".into()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut reader = open_one(pipe);
    assert_bodies(&read_all(&mut reader), BODIES.len());
    assert_eq!(reader.files()[0].compression, Some(Compression::Gzip));
    writer.wait().unwrap();
}

/// Runs itself with another standard input, because a process has only one.
#[test]
fn reads_compressed_standard_input() {
    const INSIDE: &str = "CKSCOPE_TEST_STDIN";
    if std::env::var_os(INSIDE).is_some() {
        let mut reader = open_one(PathBuf::from("-"));
        assert_bodies(&read_all(&mut reader), BODIES.len());
        assert_eq!(reader.files()[0].name, "-");
        return;
    }
    let files = Files::new();
    let input = files.write("input", &zstd(&small_pcapng(Order::Big).0));
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "reads_compressed_standard_input"])
        .env(INSIDE, "1")
        .stdin(std::fs::File::open(input).unwrap())
        .status()
        .unwrap();
    assert!(status.success());
}

/// What other readers say of a capture.
struct Truth {
    packets: u64,
}

/// Captures of which tshark lists more frames than there are packets: it lists custom blocks too. `capinfos` does not.
const CUSTOM_BLOCKS: [(&str, u64); 4] =
    [("pcapng-test017", 0), ("pcapng-test018", 4), ("pcapng-test102", 5), ("pcapng-test202", 8)];

fn truth(folder: &std::path::Path) -> Truth {
    let text = std::fs::read_to_string(folder.join("truth.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let name = folder.file_name().unwrap().to_str().unwrap();
    let listed = CUSTOM_BLOCKS.iter().find(|(prefix, _)| name.starts_with(prefix));
    Truth { packets: listed.map_or_else(|| json["packets"].as_u64().unwrap(), |(_, packets)| *packets) }
}

#[test]
fn reads_as_many_packets_as_wireshark_from_captures_of_other_hands() {
    let Some(captures) = shared_captures() else { return };
    let mut wrong = Vec::new();
    for folder in std::fs::read_dir(captures).unwrap().map(|entry| entry.unwrap().path()) {
        if !folder.join("truth.json").exists() {
            continue;
        }
        let capture = ["pcap", "pcapng"].map(|end| folder.join("capture").with_extension(end));
        let capture = capture.into_iter().find(|path| path.exists()).unwrap();
        let (mut reader, _) = Reader::open(&[capture]);
        let (read, expected) = (read_all(&mut reader).len() as u64, truth(&folder).packets);
        if read != expected {
            wrong.push(format!("{}: {read}, not {expected}", folder.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever a mutated file says, every packet lies inside it; so nothing is read twice or made up.
    #[test]
    fn a_mutated_file_never_panics_and_yields_no_more_than_it_holds(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        big in any::<bool>(),
        classic in any::<bool>(),
    ) {
        let order = if big { Order::Big } else { Order::Little };
        let mut bytes = if classic { small_pcap(order, MICROSECONDS).0 } else { small_pcapng(order).0 };
        for (index, value) in &changes {
            let index = index.index(bytes.len());
            bytes[index] = *value;
        }
        if let Ok(mut reader) = open_bytes(&bytes) {
            let packets = read_all(&mut reader);
            let captured: usize = packets.iter().map(|(_, bytes)| bytes.len()).sum();
            prop_assert!(captured <= bytes.len());
            prop_assert!(reader.progress().0 <= bytes.len() as u64);
            for (packet, body) in &packets {
                let start = packet.offset as usize;
                prop_assert_eq!(&bytes[start..start + packet.captured as usize], &body[..]);
            }
        }
    }
}
