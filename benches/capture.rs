//! How fast a mapped file is walked and its packets are parsed: 1 million packets of 20 to 940 bytes of payload, as
//! pcapng and as pcap, from the page cache. `opening` includes mapping the file anew, with its page faults.

use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use ckscope::capture::file::Reader;
use ckscope::capture::{Batch, LinkType};
use ckscope::packet::{PacketParser, Parsed};
use ckscope::time::Timestamp;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const PACKETS: u32 = 1_000_000;
const BATCH: usize = 4096;

/// An Ethernet, IPv4 and TCP header with `payload` bytes behind them.
fn packet(number: u32, payload: usize) -> Vec<u8> {
    let mut bytes = vec![2; 12];
    let [high, low] = (payload as u16 + 40).to_be_bytes();
    bytes.extend([8, 0, 0x45, 0, high, low, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    bytes.extend([15, 160, 19, 136]);
    bytes.extend(number.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.resize(bytes.len() + payload, b'x');
    bytes
}

/// Payload lengths that no processor can foresee, from 20 to 940.
fn payload_length(number: u32) -> usize {
    20 + (number.wrapping_mul(2_654_435_761) >> 16) as usize % 921
}

fn write(file: impl Write, classic: bool) {
    let mut out = BufWriter::new(file);
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let head: &[u32] = if classic {
        &[0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, 1]
    } else {
        &[0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, !0, !0, 28, 1, 20, 1, 0, 20]
    };
    out.write_all(&words(head)).expect("a writable file");
    for number in 0..PACKETS {
        let mut data = packet(number, payload_length(number));
        let length = data.len() as u32;
        let (head, tail) = if classic {
            (words(&[number / 1000, number % 1000, length, length]), vec![])
        } else {
            data.resize(data.len().next_multiple_of(4), 0);
            let block = data.len() as u32 + 32;
            (words(&[6, block, 0, 0, number, length, length]), words(&[block]))
        };
        out.write_all(&[head, data, tail].concat()).expect("a writable file");
    }
}

fn open(path: &PathBuf) -> Reader {
    let (reader, errors) = Reader::open(std::slice::from_ref(path));
    assert!(errors.is_empty());
    reader
}

fn walk(reader: &mut Reader) -> usize {
    let (mut batch, mut packets) = (Batch::default(), 0);
    while reader.read_batch(&mut batch, BATCH) {
        packets += black_box(&batch.packets).len();
    }
    packets
}

fn walk_and_parse(reader: &mut Reader) -> usize {
    let (mut batch, mut parser, mut segments) = (Batch::default(), PacketParser::new(), 0);
    while reader.read_batch(&mut batch, BATCH) {
        let bytes = batch.blocks[0].bytes();
        for packet in &batch.packets {
            let captured = &bytes[packet.offset as usize..][..packet.captured as usize];
            let parsed = parser.parse(packet.link, captured, packet.original, packet.time);
            segments += usize::from(matches!(black_box(parsed), Parsed::Segment(_)));
        }
    }
    segments
}

fn files(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut group = criterion.benchmark_group("file");
    group.sample_size(10).throughput(Throughput::Elements(PACKETS.into()));
    for (name, classic) in [("pcapng", false), ("pcap", true)] {
        let path = folder.path().join(name);
        write(std::fs::File::create(&path).expect("a writable file"), classic);
        group.bench_function(format!("{name} opening and walking"), |bencher| {
            bencher.iter(|| assert_eq!(walk(&mut open(&path)), PACKETS as usize));
        });
        group.bench_function(format!("{name} walking and parsing"), |bencher| {
            bencher.iter(|| assert_eq!(walk_and_parse(&mut open(&path)), PACKETS as usize));
        });
    }
    group.finish();
}

/// One packet that stays in the first-level cache: the cost of the instructions alone.
fn packets(criterion: &mut Criterion) {
    let packet = packet(1, 200);
    let mut parser = PacketParser::new();
    criterion.bench_function("packet Ethernet IPv4 TCP", |bencher| {
        bencher.iter(|| parser.parse(LinkType(1), black_box(&packet), packet.len() as u32, Timestamp(0)));
    });
}

criterion_group!(benches, files, packets);
criterion_main!(benches);
