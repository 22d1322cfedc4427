//! HPACK: the stories of http2jp/hpack-test-case, and what no encoder may send.

use std::path::{Path, PathBuf};

use ckscope::framing::http2::hpack::{Certainty, Decoder, Headers, HpackError};
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
