//! What the fuzz targets call, without a fuzzer: the sample captures cut short and with bits flipped, and bytes of no
//! meaning at all.

mod support;

use ckscope::fuzz;
use proptest::prelude::*;
use proptest::sample::Index;
use support::messages::TABLES;
use support::sample_captures;

/// A few cuts of each capture, all of a small one's beginning.
const CUTS: usize = 40;
const BEGINNING: usize = 200;
/// Versions of each capture with flipped bits, and flips in each.
const VERSIONS: u64 = 12;
const FLIPS: u64 = 6;
/// What is larger says nothing new and takes long.
const LARGEST: usize = 20_000;

/// The captures of up to [`LARGEST`] bytes.
fn corpus() -> impl Iterator<Item = Vec<u8>> {
    let captures = sample_captures().into_iter().map(|path| std::fs::read(path).unwrap());
    captures.filter(|capture| capture.len() <= LARGEST)
}

#[test]
fn no_cut_of_a_capture_makes_the_analyzer_panic() {
    let smallest = corpus().min_by_key(Vec::len).unwrap();
    (0..smallest.len().min(BEGINNING)).for_each(|end| fuzz::analyzer(&smallest[..end]));
    for capture in corpus() {
        capture.chunks(capture.len() / CUTS).fold(0, |end, chunk| {
            fuzz::analyzer(&capture[..end]);
            end + chunk.len()
        });
    }
}

#[test]
fn no_flipped_bits_of_a_capture_make_the_analyzer_panic() {
    for capture in corpus() {
        for version in 0..VERSIONS {
            let mut flipped = capture.clone();
            for flip in 0..FLIPS {
                let chance = scatter(version * FLIPS + flip);
                flipped[(chance >> 8) as usize % capture.len()] ^= 1 << (chance & 7);
            }
            fuzz::analyzer(&flipped);
        }
    }
}

/// A number that looks like chance, and is the same every time (SplitMix64).
fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)) >> 16
}

/// Bytes that look like JSON, far more often than chance would have it.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        "\"",
        ",",
        ":",
        "\\",
        "\\ud800",
        "null",
        "true",
        "-1",
        "1e999",
        "0",
        " ",
        "\u{feff}",
        "é",
        "\"Key IDs\":",
        "\"Response\":",
        "\"Next KMA IDs\":",
        "\"Session ID\":",
        "\"KMA-1\"",
        "\u{0}",
    ]);
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_payload_makes_the_decoder_panic(code in prop::sample::select(TABLES.to_vec()), json in nearly_json()) {
        fuzz::payload(&[&code.0.0.to_be_bytes(), &json[..]].concat());
    }

    #[test]
    fn no_segments_make_reassembly_and_framing_panic(
        segments in prop::collection::vec((any::<[u8; 4]>(), nearly_json()), 0..30),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 0..10),
    ) {
        let header = |json: &[u8]| [&[0, 1, 0, 0, 0, 1, 0x14, 6, 0][..], &[json.len() as u8], json].concat();
        let script = |(numbers, json): &([u8; 4], Vec<u8>)| {
            let pdu = header(json);
            [&numbers[..], &[pdu.len() as u8], &pdu].concat()
        };
        let mut bytes: Vec<u8> = segments.iter().flat_map(script).collect();
        for (at, value) in changes.iter().filter(|_| !segments.is_empty()) {
            let at = at.index(bytes.len());
            bytes[at] = *value;
        }
        fuzz::stream(&bytes);
    }

    #[test]
    fn no_frames_make_http2_panic(
        frames in prop::collection::vec((0..10u8, any::<[u8; 2]>(), 0..4u8, prop::collection::vec(any::<u8>(), 0..40)), 0..20),
        kinds in prop::collection::vec(0..8u8, 1..20),
        size in 1..80usize,
    ) {
        let frame = |(kind, [flags, _], stream, payload): &(u8, [u8; 2], u8, Vec<u8>)| {
            [&[0, 0, payload.len() as u8, *kind, *flags, 0, 0, 0, *stream][..], payload].concat()
        };
        let frames: Vec<u8> = frames.iter().flat_map(frame).collect();
        let stream = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frames[..]].concat();
        let pieces = stream.chunks(size).zip(kinds.iter().cycle());
        fuzz::http2(&pieces.flat_map(|(piece, kind)| [&[*kind, piece.len() as u8][..], piece].concat()).collect::<Vec<u8>>());
    }

    #[test]
    fn no_bytes_make_any_stage_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz::capture_file(&bytes);
        fuzz::packet(&bytes);
        fuzz::stream(&bytes);
        fuzz::payload(&bytes);
        fuzz::http2(&bytes);
        fuzz::protobuf(&bytes);
        fuzz::analyzer(&bytes);
    }
}
