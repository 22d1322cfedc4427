//! Key logs that do not fit, and bytes that were made to do harm: reasons that are right, bounded memory, no panic.

use ckscope::stream::Side;
use ckscope::tls::{Facts, Reason, Secrets, Session};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::damage::{Sample, samples};
use crate::support::tls::{Chunk, Decrypted, Recorded, SIDES, secrets};

/// More than a session may ever buffer: what waits, a record and a handshake message of each direction, a transcript.
const MOST_HELD: usize = 1 << 20;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn client_random(sample: &Sample) -> [u8; 32] {
    match sample.recorded.decrypt(&Secrets::default()).facts.reason {
        Some(Reason::NoSecret { random }) => random,
        other => panic!("{}: {other:?}", sample.name),
    }
}

/// The lines of the key log that `keep` wants.
fn only(sample: &Sample, keep: impl Fn(&str) -> bool) -> Secrets {
    let lines = sample.key_log.lines().filter(|line| keep(line)).map(|line| format!("{line}\n"));
    secrets(&lines.collect::<String>())
}

fn is_tls13(facts: &Facts) -> bool {
    facts.version == Some(0x0304)
}

#[test]
fn the_key_log_of_another_connection_leaves_no_secret() {
    for (sample, other) in samples().iter().zip(samples().iter().skip(1)) {
        let random = client_random(sample);
        let found = sample.recorded.decrypt(&only(other, |line| !line.contains(&hex(&random))));
        assert_eq!(found.facts.reason, Some(Reason::NoSecret { random }), "{}", sample.name);
        let said = found.facts.reason.unwrap().to_string();
        assert_eq!(
            said,
            format!("no secret for client random {}; --keylog FILE adds the peers' key log", hex(&random))
        );
    }
}

#[test]
fn traffic_secrets_of_another_connection_are_called_wrong() {
    for sample in samples() {
        let other = |line: &str| match line.rsplit_once(' ') {
            Some((start, secret)) if start.contains("TRAFFIC_SECRET_0") => {
                format!("{start} {}\n", "5a".repeat(secret.len() / 2))
            }
            _ => format!("{line}\n"),
        };
        let log: String = sample.key_log.lines().map(other).collect();
        let found = sample.recorded.decrypt(&secrets(&log));
        let wrong = is_tls13(&found.facts).then_some(Reason::WrongSecret);
        assert_eq!(found.facts.reason, wrong, "{}", sample.name);
    }
}

#[test]
fn a_key_log_of_other_secrets_is_called_wrong() {
    for sample in samples() {
        let wrong = |line: &str| -> String {
            let words: Vec<&str> = line.split(' ').collect();
            let [label, random, secret] = words[..] else { return String::new() };
            format!("{label} {random} {}\n", "5a".repeat(secret.len() / 2))
        };
        let log: String = sample.key_log.lines().filter(|line| !line.starts_with("RSA")).map(wrong).collect();
        let found = sample.recorded.decrypt(&secrets(&log));
        assert_eq!(found.facts.reason, Some(Reason::WrongSecret), "{}", sample.name);
        assert!(found.bytes.iter().all(Vec::is_empty) && !found.facts.decrypted, "{}", sample.name);
    }
}

#[test]
fn one_sides_secrets_open_that_side() {
    for sample in samples() {
        let whole = sample.recorded.decrypt(&sample.secrets());
        if !is_tls13(&whole.facts) {
            continue;
        }
        for (side, label) in [(Side::Initiator, "CLIENT_"), (Side::Responder, "SERVER_")] {
            let found = sample.recorded.decrypt(&only(sample, |line| line.starts_with(label)));
            assert!(found.bytes[side as usize] == whole.bytes[side as usize], "{}: {label}", sample.name);
            assert!(found.bytes[side.other() as usize].is_empty());
            assert!(matches!(found.facts.reason, Some(Reason::NoSecret { .. })), "{label}: {:?}", found.facts);
        }
    }
}

#[test]
fn traffic_secrets_alone_open_all_content_and_handshake_secrets_none() {
    for sample in samples() {
        let whole = sample.recorded.decrypt(&sample.secrets());
        if !is_tls13(&whole.facts) {
            continue;
        }
        let traffic = sample.recorded.decrypt(&only(sample, |line| line.contains("_TRAFFIC_SECRET_0")));
        assert!(traffic.bytes == whole.bytes, "{}: {:?}", sample.name, traffic.facts);
        assert!(matches!(traffic.facts.reason, Some(Reason::NoSecret { .. })), "{:?}", traffic.facts.reason);
        let handshake = sample.recorded.decrypt(&only(sample, |line| line.contains("_HANDSHAKE_")));
        assert!(handshake.bytes.iter().all(Vec::is_empty));
        assert!(matches!(handshake.facts.reason, Some(Reason::NoSecret { .. })), "{:?}", handshake.facts.reason);
        assert_eq!(handshake.facts.certificates, whole.facts.certificates, "{}", sample.name);
    }
}

#[test]
fn a_capture_that_ends_in_the_handshake_says_so() {
    for sample in samples() {
        let records = sample.recorded.by_record();
        let mut cut = records.clone();
        cut.chunks.truncate(1);
        assert_eq!(cut.decrypt(&sample.secrets()).facts.reason, Some(Reason::Unfinished), "{}", sample.name);
        let Chunk::Bytes(hello, _) = &mut cut.chunks[0].1 else { panic!("a gap") };
        for length in 0..hello.len() {
            let mut part = Recorded::default();
            part.say(Side::Initiator, &hello[..length]);
            part.say(Side::Responder, &[22, 3, 3, 0x40, 0, 2]);
            part.decrypt(&sample.secrets());
        }
    }
}

/// What a session makes of bytes, watching what it holds.
fn survive(recorded: &Recorded, secrets: &Secrets, waits: bool) -> Decrypted {
    let (mut session, mut found) = (Session::new(waits), Decrypted::default());
    for (side, chunk) in &recorded.chunks {
        let one = Recorded { chunks: vec![(*side, chunk.clone())], from_the_start: recorded.from_the_start };
        one.feed(&mut session, secrets, &mut found);
        assert!(session.held_bytes() < MOST_HELD, "{} bytes held", session.held_bytes());
    }
    found.finish(session, secrets)
}

/// The handshake of a sample, and then what `records` says.
fn after_the_handshake(sample: &Sample, side: Side, bytes: &[u8]) -> Recorded {
    let mut recorded = sample.recorded.by_record();
    let first = recorded.chunks.iter().position(|(_, chunk)| matches!(chunk, Chunk::Bytes(it, _) if it[0] == 20));
    recorded.chunks.truncate(first.unwrap() + 1);
    recorded.say(side, bytes);
    recorded
}

#[test]
fn floods_of_records_that_fail_are_bounded() {
    for sample in samples() {
        for side in SIDES {
            for (body, count) in [(0, 5000), (22, 2000), (64, 1000), (16_384, 20)] {
                let [high, low] = (body as u16).to_be_bytes();
                let record = [&[23, 3, 3, high, low][..], &vec![0x41; body]].concat();
                let mut flood = after_the_handshake(sample, side, &record.repeat(count));
                let at = flood.chunks.len() - 1;
                flood.chunks.insert(at, (side, Chunk::Gap(1 << 30)));
                let found = survive(&flood, &sample.secrets(), false);
                assert!(found.facts.reason.is_some(), "{}", sample.name);
                survive(&flood, &Secrets::default(), true);
            }
        }
    }
}

#[test]
fn endless_handshake_messages_are_not_kept() {
    let sample = &samples()[0];
    // Each says that its message goes on for 16 MB.
    let record = [&[22, 3, 3, 0x40, 0][..], &[11, 0xff, 0xff, 0xff], &[0; 16_380]].concat();
    for side in SIDES {
        let mut recorded = Recorded::default();
        (0..200).for_each(|_| recorded.say(side, &record));
        survive(&recorded, &sample.secrets(), true);
        let mut recorded = sample.recorded.clone();
        recorded.chunks.truncate(2);
        (0..200).for_each(|_| recorded.say(side, &record));
        survive(&recorded, &sample.secrets(), true);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_damage_makes_a_session_panic_or_hold_much(
        sample in any::<Index>(),
        changes in prop::collection::vec((any::<Index>(), any::<Index>(), any::<u8>(), 0u8..5), 1..12),
        waits: bool,
        from_the_start: bool,
    ) {
        let sample = sample.get(samples());
        let mut damaged = sample.recorded.by_record();
        damaged.from_the_start = from_the_start;
        for (at, byte, value, how) in changes {
            let (at, other) = (at.index(damaged.chunks.len()), byte.index(damaged.chunks.len()));
            let Chunk::Bytes(bytes, _) = &mut damaged.chunks[at].1 else { continue };
            match how {
                0 if !bytes.is_empty() => { let byte = byte.index(bytes.len()); bytes[byte] = value; }
                1 => bytes.truncate(1.max(byte.index(bytes.len().max(1)))),
                2 => bytes.extend(vec![value; usize::from(value)]),
                3 => damaged.chunks.swap(at, other),
                _ => damaged.chunks[at].1 = Chunk::Gap(u64::from(value) << (value % 40)),
            }
        }
        survive(&damaged, &sample.secrets(), waits);
    }
}
