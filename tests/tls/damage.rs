//! What is lost when something of a connection is missing, damaged or late: what cryptography makes it lose, no more.

use std::sync::OnceLock;

use ckscope::stream::Side;
use ckscope::tls::{Reason, Secrets, Session};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::peers::{Pki, Say, Server, is_there};
use crate::support::sample_captures;
use crate::support::tls::{self, Chunk, Decrypted, Recorded, SIDES};

/// A connection with its secrets.
pub struct Sample {
    pub name: String,
    pub recorded: Recorded,
    pub key_log: String,
}

impl Sample {
    pub fn secrets(&self) -> Secrets {
        tls::secrets(&self.key_log)
    }
}

/// One of each kind: from our captures, and where OpenSSL is installed, every way in which records are protected.
pub fn samples() -> &'static [Sample] {
    static SAMPLES: OnceLock<Vec<Sample>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let own = ["all-procedures-tls12", "all-procedures-tls13"].into_iter().map(captured);
        let other = if is_there("openssl") { spoken() } else { Vec::new() };
        own.chain(other).collect()
    })
}

fn captured(name: &str) -> Sample {
    let captures = sample_captures();
    let path = captures.iter().find(|path| path.file_stem().is_some_and(|stem| stem == name)).unwrap();
    let (recorded, _) = tls::connections(path);
    let key_log = tls::key_log(path);
    Sample { name: name.to_owned(), recorded: recorded.into_iter().next().unwrap(), key_log }
}

fn spoken() -> Vec<Sample> {
    let pki = Pki::new();
    let kinds: [&[&str]; 7] = [
        &["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"],
        &["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
        &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"],
        &["-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"],
        &["-tls1_2", "-cipher", "ECDHE-RSA-AES256-SHA384"],
        &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA", "-no_etm"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-CCM8"],
    ];
    let said: Vec<Vec<u8>> =
        (0..12).map(|turn| format!("{turn}:{}\n", "what is said ".repeat(turn * 7)).into()).collect();
    let script: Vec<Say<'_>> = said
        .iter()
        .enumerate()
        .map(|(turn, text)| if turn % 3 == 0 { Say::Server(text) } else { Say::Client(text) })
        .collect();
    let sample = |options: &&[&str]| {
        let mut server = Server::openssl(&pki, options[2], options);
        let found = server.openssl_client(&pki, &[&["-quiet"], *options].concat(), &script);
        Sample { name: options.join(" "), recorded: found.recorded, key_log: found.key_log }
    };
    kinds.iter().map(sample).collect()
}

fn missing(recorded: &Recorded, at: usize) -> Recorded {
    let mut holed = recorded.clone();
    let (_, chunk) = &mut holed.chunks[at];
    let Chunk::Bytes(bytes, _) = chunk else { panic!("a gap already") };
    *chunk = Chunk::Gap(bytes.len() as u64);
    holed
}

fn bytes_of(recorded: &Recorded, at: usize) -> &[u8] {
    let Chunk::Bytes(bytes, _) = &recorded.chunks[at].1 else { panic!("a gap") };
    bytes
}

/// Without a hello there is no key.
fn is_hello(record: &[u8]) -> bool {
    record[0] == 22 && matches!(record[5], 1 | 2)
}

/// What is expected when the records `lost` of `whole` are not there.
fn assert_lost_only(what: &str, found: &Decrypted, whole: &Decrypted, records: &Recorded, lost: &[usize]) {
    let mut expected = whole.by_packet.clone();
    lost.iter().for_each(|at| drop(expected.remove(&(*at as u32 + 1))));
    let differ: Vec<u32> =
        (1..=records.chunks.len() as u32).filter(|at| expected.get(at) != found.by_packet.get(at)).collect();
    assert!(differ.is_empty(), "{what}: records {differ:?} of {}: {:?}", records.chunks.len(), found.facts);
}

#[test]
fn how_the_bytes_were_cut_makes_no_difference() {
    for sample in samples() {
        let secrets = sample.secrets();
        let whole = sample.recorded.decrypt(&secrets);
        assert!(!whole.bytes[0].is_empty() && whole.gaps.is_empty(), "{}: {:?}", sample.name, whole.facts);
        for size in [1, 3, 7, 100] {
            assert_eq!(sample.recorded.cut(size).decrypt(&secrets), whole, "{} in pieces of {size}", sample.name);
        }
    }
}

#[test]
fn a_missing_record_loses_itself_and_says_so_once() {
    for sample in samples() {
        let (secrets, records) = (sample.secrets(), sample.recorded.by_record());
        let whole = records.decrypt(&secrets);
        for at in 0..records.chunks.len() {
            let record = bytes_of(&records, at);
            if is_hello(record) {
                continue;
            }
            let found = missing(&records, at).decrypt(&secrets);
            let what = format!("{}: without record {at} of type {}", sample.name, record[0]);
            assert_lost_only(&what, &found, &whole, &records, &[at]);
            let gaps = usize::from(whole.by_packet.contains_key(&(at as u32 + 1)));
            assert!(gaps == 0 || found.gaps.len() == 1, "{what}: {:?}", found.gaps);
        }
    }
}

#[test]
fn what_is_missing_inside_a_record_loses_that_record() {
    for sample in samples() {
        let (secrets, records) = (sample.secrets(), sample.recorded.by_record());
        let whole = records.decrypt(&secrets);
        let data = (0..records.chunks.len()).filter(|&at| bytes_of(&records, at)[0] == 23);
        for at in data {
            let (side, record) = (records.chunks[at].0, bytes_of(&records, at).to_vec());
            let stamp = tls::stamp(at as u32 + 1);
            for hole in [0..1, 0..5, 2..4, 3..record.len() - 1, 5..6, record.len() - 1..record.len()] {
                let mut holed = records.clone();
                let before = Chunk::Bytes(record[..hole.start].to_vec(), stamp);
                let after = Chunk::Bytes(record[hole.end..].to_vec(), stamp);
                let parts = [before, Chunk::Gap(hole.len() as u64), after].into_iter();
                let parts = parts.filter(|part| !matches!(part, Chunk::Bytes(bytes, _) if bytes.is_empty()));
                holed.chunks.splice(at..=at, parts.map(|part| (side, part)));
                let what = format!("{}: record {at} without {hole:?}", sample.name);
                assert_lost_only(&what, &holed.decrypt(&secrets), &whole, &records, &[at]);
            }
        }
    }
}

#[test]
fn a_damaged_record_loses_itself_only() {
    for sample in samples() {
        let (secrets, records) = (sample.secrets(), sample.recorded.by_record());
        let whole = records.decrypt(&secrets);
        for at in whole.by_packet.keys().map(|packet| *packet as usize - 1) {
            for byte in [5, bytes_of(&records, at).len() - 1] {
                let mut damaged = records.clone();
                let (_, Chunk::Bytes(bytes, _)) = &mut damaged.chunks[at] else { unreachable!() };
                bytes[byte] ^= 0x10;
                let found = damaged.decrypt(&secrets);
                let what = format!("{}: record {at} with byte {byte} flipped", sample.name);
                assert_lost_only(&what, &found, &whole, &records, &[at]);
                assert_eq!((found.facts.reason, found.gaps.len()), (Some(Reason::Damaged), 1), "{what}");
            }
        }
    }
}

#[test]
fn the_other_direction_may_come_first() {
    for sample in samples() {
        let whole = sample.recorded.decrypt(&sample.secrets());
        for first in SIDES {
            let mut sorted = sample.recorded.clone();
            sorted.chunks.sort_by_key(|(side, _)| *side != first);
            let found = sorted.decrypt(&sample.secrets());
            assert!(found.bytes == whole.bytes, "{}: {} first: {:?}", sample.name, first.name(), found.facts);
        }
    }
}

/// A key update in a gap changes the keys of all that follows.
#[test]
fn a_missing_key_update_is_made_up_for() {
    if !is_there("openssl") {
        return;
    }
    let pki = Pki::new();
    let mut server = Server::openssl(&pki, "", &["-tls1_3"]);
    let script = [
        Say::Client(b"first\n"),
        Say::Command(b"K\n"),
        Say::Client(b"second\n"),
        Say::Server(b"answer\n"),
        Say::Client(b"third\n"),
    ];
    let conversation = server.openssl_client(&pki, &["-tls1_3"], &script);
    let (secrets, records) = (conversation.secrets(), conversation.recorded.by_record());
    let whole = records.decrypt(&secrets);
    for at in (0..records.chunks.len()).filter(|&at| !is_hello(bytes_of(&records, at))) {
        let found = missing(&records, at).decrypt(&secrets);
        assert_lost_only(&format!("without record {at}"), &found, &whole, &records, &[at]);
    }
}

#[test]
fn secrets_may_come_after_the_data() {
    for sample in samples() {
        let secrets = sample.secrets();
        let (mut session, mut found) = (Session::new(true), Decrypted::default());
        sample.recorded.feed(&mut session, &Secrets::default(), &mut found);
        assert!(found.bytes.iter().all(Vec::is_empty) && session.held_bytes() > 0, "{}", sample.name);
        session.retry(&secrets, &mut |side, piece| found.add(side, piece));
        let found = found.finish(session, &secrets);
        assert!(found.bytes == sample.recorded.decrypt(&secrets).bytes, "{}: {:?}", sample.name, found.facts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_cuts_make_no_difference(sample in any::<Index>(), cuts in prop::collection::vec(1usize..2000, 1..60)) {
        let sample = sample.get(samples());
        let mut cut = Recorded::default();
        let mut sizes = cuts.iter().cycle();
        for (side, chunk) in &sample.recorded.chunks {
            let Chunk::Bytes(mut bytes, stamp) = chunk.clone() else { panic!("a gap") };
            while !bytes.is_empty() {
                let size = (*sizes.next().unwrap()).min(bytes.len());
                let rest = bytes.split_off(size);
                cut.chunks.push((*side, Chunk::Bytes(std::mem::replace(&mut bytes, rest), stamp)));
            }
        }
        prop_assert_eq!(cut.decrypt(&sample.secrets()), sample.recorded.decrypt(&sample.secrets()));
    }

    #[test]
    fn several_missing_records_lose_themselves_only(sample in any::<Index>(), lost in prop::collection::vec(any::<Index>(), 1..8)) {
        let sample = sample.get(samples());
        let (secrets, records) = (sample.secrets(), sample.recorded.by_record());
        let whole = records.decrypt(&secrets);
        let after: Vec<usize> = whole.by_packet.keys().map(|packet| *packet as usize - 1).collect();
        let mut lost: Vec<usize> = lost.iter().map(|index| *index.get(&after)).collect();
        lost.sort_unstable();
        lost.dedup();
        let holed = lost.iter().fold(records.clone(), |holed, &at| missing(&holed, at));
        assert_lost_only(&format!("{}: without {lost:?}", sample.name), &holed.decrypt(&secrets), &whole, &records, &lost);
    }
}

#[test]
fn what_is_missing_of_one_side_costs_the_other_nothing() {
    for sample in samples() {
        let (secrets, records) = (sample.secrets(), sample.recorded.by_record());
        let whole = records.decrypt(&secrets);
        let is_data = |at: &usize| records.chunks[*at].0 == Side::Initiator && bytes_of(&records, *at)[0] == 23;
        let lost: Vec<usize> = (0..records.chunks.len()).filter(is_data).collect();
        let holed = lost.iter().fold(records.clone(), |holed, &at| missing(&holed, at));
        let found = holed.decrypt(&secrets);
        assert!(found.bytes[Side::Responder as usize] == whole.bytes[Side::Responder as usize], "{}", sample.name);
    }
}
