//! HPACK: the stories of http2jp/hpack-test-case, and what no encoder may send.

use std::path::{Path, PathBuf};

use ckscope::framing::http2::hpack::{Certainty, Decoder, Headers, HpackError};
use proptest::prelude::*;
use serde_json::Value;

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn stories() -> Vec<PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/hpack");
    let Ok(folders) = std::fs::read_dir(&shared) else {
        eprintln!("skipped: no {}", shared.display());
        return Vec::new();
    };
    let folders = folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    folders.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())).collect()
}

fn decoded(headers: &Headers) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    headers.iter().map(|field| (text(field.name), text(field.value))).collect()
}

#[test]
fn every_story_decodes_to_its_headers() {
    for path in stories() {
        let story: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let (mut decoder, mut headers) = (Decoder::new(true), Headers::default());
        for case in story["cases"].as_array().unwrap() {
            if let Some(size) = case["header_table_size"].as_u64() {
                decoder.allow(size as u32);
            }
            let block = octets(case["wire"].as_str().unwrap());
            decoder.decode(&block, &mut headers).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let field = |object: &Value| {
                let (name, value) = object.as_object().unwrap().iter().next().unwrap();
                (name.clone(), value.as_str().unwrap().to_owned())
            };
            let expected: Vec<_> = case["headers"].as_array().unwrap().iter().map(field).collect();
            assert_eq!(decoded(&headers), expected, "{} {}", path.display(), case["seqno"]);
        }
    }
}

#[test]
fn an_index_from_before_the_capture_is_a_placeholder() {
    let mut headers = Headers::default();
    Decoder::new(false).decode(&[0xbe, 0x82], &mut headers).unwrap();
    assert_eq!(headers.iter().next().unwrap().certainty, (Certainty::Unknown, Certainty::Unknown));
    assert_eq!((headers.iter().count(), headers.unknown()), (2, 1));
    assert_eq!(Decoder::new(true).decode(&[0xbe], &mut headers), Err(HpackError::Index(62)));
}

#[test]
fn what_is_no_hpack_is_refused() {
    let fault = |block: &[u8]| Decoder::new(true).decode(block, &mut Headers::default()).unwrap_err();
    assert_eq!(fault(&[0x80]), HpackError::IndexZero);
    assert_eq!(fault(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), HpackError::Integer);
    assert_eq!(fault(&[0x40, 0x05, b'a']), HpackError::Truncated);
    // Padding of zeros, and of a whole octet.
    assert_eq!(fault(&[0x41, 0x81, 0x00]), HpackError::Huffman);
    assert_eq!(fault(&[0x41, 0x81, 0xff]), HpackError::Huffman);
    assert_eq!(fault(&[0x82, 0x20]), HpackError::LateSizeUpdate);
    assert_eq!(fault(&[0x3f, 0xe2, 0x1f]), HpackError::SizeUpdate(4097));
}

/// RFC 7541 C.3 to C.6: the requests and responses, each with what its blocks say. Table size by default, or 256.
const VECTORS: [(Option<u32>, [&str; 3], [&[(&str, &str)]; 3]); 4] = [
    // C.3
    (
        None,
        [
            "828684410f7777772e6578616d706c652e636f6d",
            "828684be58086e6f2d6361636865",
            "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
        ],
        REQUESTS,
    ),
    // C.4
    (
        None,
        [
            "828684418cf1e3c2e5f23a6ba0ab90f4ff",
            "828684be5886a8eb10649cbf",
            "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        ],
        REQUESTS,
    ),
    // C.5
    (
        Some(256),
        [
            "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
            "4803333037c1c0bf",
            "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
        ],
        RESPONSES,
    ),
    // C.6
    (
        Some(256),
        [
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
            "4883640effc1c0bf",
            "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        ],
        RESPONSES,
    ),
];

const REQUESTS: [&[(&str, &str)]; 3] = [
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "www.example.com"),
        ("cache-control", "no-cache"),
    ],
    &[
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/index.html"),
        (":authority", "www.example.com"),
        ("custom-key", "custom-value"),
    ],
];

const RESPONSES: [&[(&str, &str)]; 3] = [
    &[
        (":status", "302"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ],
    &[
        (":status", "307"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ],
    &[
        (":status", "200"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
        ("location", "https://www.example.com"),
        ("content-encoding", "gzip"),
        ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
    ],
];

#[test]
fn the_vectors_of_the_rfc_decode_to_its_headers() {
    for (size, blocks, lists) in VECTORS {
        let (mut decoder, mut headers) = (Decoder::new(true), Headers::default());
        // Where the table is smaller, the encoder says so (RFC 7541 4.2): 256 is 31 + 225.
        if size == Some(256) {
            decoder.decode(&[0x3f, 0xe1, 0x01], &mut headers).unwrap();
        }
        for (block, list) in blocks.iter().zip(lists) {
            decoder.decode(&octets(block), &mut headers).unwrap();
            let list: Vec<_> = list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(decoded(&headers), list);
        }
    }
}

/// An entry as large as the table, then a byte for each time that it is named.
fn bomb(named: usize) -> Vec<u8> {
    let value = vec![b'v'; 4000];
    let mut block =
        [&[0x40, 1, b'a', 0x7f][..], &[(4000 - 127) as u8 & 0x7f | 0x80, ((4000 - 127) >> 7) as u8], &value].concat();
    block.resize(block.len() + named, 0xbe);
    block
}

#[test]
fn a_small_block_that_expands_is_cut() {
    let (mut decoder, mut headers) = (Decoder::new(true), Headers::default());
    decoder.decode(&bomb(100), &mut headers).unwrap();
    assert_eq!((headers.iter().count(), headers.left_out()), (64, 37));
    assert_eq!(Decoder::new(true).decode(&bomb(100_000), &mut headers), Err(HpackError::Expansion));
    assert!(headers.iter().map(|field| field.name.len() + field.value.len()).sum::<usize>() <= 256 << 10);
}

#[test]
fn a_table_larger_than_is_kept_lacks_its_oldest_entries_only() {
    let (mut decoder, mut headers) = (Decoder::new(true), Headers::default());
    decoder.allow(1 << 20);
    // 1 MiB is 31 + 0xfffe1.
    let update = [0x3f, 0xe1, 0xff, 0x3f];
    let value = vec![b'v'; 4000];
    let entry =
        [&[0x40, 1, b'a', 0x7f][..], &[(4000 - 127) as u8 & 0x7f | 0x80, ((4000 - 127) >> 7) as u8], &value].concat();
    decoder.decode(&[&update[..], &entry.repeat(30)].concat(), &mut headers).unwrap();
    decoder.decode(&[0xbe, 0x80 | (62 + 29)], &mut headers).unwrap();
    let certainties: Vec<_> = headers.iter().map(|field| field.certainty.1).collect();
    assert_eq!(certainties, [Certainty::Certain, Certainty::Unknown]);
}

/// A field of a header block, to be written in any way that there is.
#[derive(Clone, Debug)]
struct Written {
    name: Option<String>,
    value: String,
    index: u32,
    kind: u8,
}

fn written() -> impl Strategy<Value = Written> {
    (prop::option::of("[a-z-]{0,12}"), "[ -~]{0,40}", 1..80u32, 0..4u8).prop_map(|(name, value, index, kind)| Written {
        name,
        value,
        index,
        kind,
    })
}

/// Fields, and the table size update before them.
fn block() -> impl Strategy<Value = (Option<u32>, Vec<Written>)> {
    (prop::option::weighted(0.1, 0..5000u32), prop::collection::vec(written(), 1..12))
}

fn integer(first: u8, bits: u32, value: u32, out: &mut Vec<u8>) {
    let most = (1 << bits) - 1;
    out.push(first | value.min(most) as u8);
    let Some(mut rest) = value.checked_sub(most) else { return };
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn string(text: &str, out: &mut Vec<u8>) {
    integer(0, 7, text.len() as u32, out);
    out.extend_from_slice(text.as_bytes());
}

impl Written {
    fn write(&self, out: &mut Vec<u8>) {
        let (first, bits) = [(0x80, 7), (0x40, 6), (0x10, 4), (0, 4)][usize::from(self.kind)];
        if self.kind == 0 {
            return integer(first, bits, self.index, out);
        }
        match &self.name {
            Some(name) => {
                out.push(first);
                string(name, out);
            }
            None => integer(first, bits, self.index, out),
        }
        string(&self.value, out);
    }
}

/// What the reference decoder makes of a block.
fn by_reference(decoder: &mut loona_hpack::Decoder<'_>, block: &[u8]) -> Option<Vec<(String, String)>> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let fields = decoder.decode(block).ok()?;
    Some(fields.into_iter().map(|(name, value)| (text(name), text(value))).collect())
}

proptest! {
    #[test]
    fn random_blocks_decode_as_the_reference_decodes_them(
        blocks in prop::collection::vec(block(), 1..8),
    ) {
        let (mut decoder, mut headers) = (Decoder::new(true), Headers::default());
        let mut reference = loona_hpack::Decoder::new();
        reference.set_max_allowed_table_size(4096);
        for (update, block) in blocks {
            let mut bytes = Vec::new();
            // The reference takes one anywhere; it must come first (RFC 7541 4.2).
            update.into_iter().for_each(|size| integer(0x20, 5, size, &mut bytes));
            block.iter().for_each(|field| field.write(&mut bytes));
            let ours = decoder.decode(&bytes, &mut headers);
            let expected = by_reference(&mut reference, &bytes);
            prop_assert_eq!(ours.is_ok(), expected.is_some(), "{:?} {:02x?}", ours, bytes);
            let Some(expected) = expected else { break };
            prop_assert_eq!(decoded(&headers), expected);
        }
    }

    #[test]
    fn no_block_makes_the_decoder_panic(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..8), start: bool) {
        let (mut decoder, mut headers) = (Decoder::new(start), Headers::default());
        for block in blocks {
            let _ = decoder.decode(&block, &mut headers);
            prop_assert!(decoder.held_bytes() <= 64 << 10);
        }
    }
}
