//! What must hold for every capture: of messages in any segments, with any holes, in any batches, and of everything
//! else.

mod support;

use std::collections::BTreeMap;

use ckscope::capture::Batch;
use ckscope::lab::dialect::{Message, Value as Meaning};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;
use support::analysis::{Cut, PLAIN, Printed, analyze_packets, diagnostics};
use support::messages::{Written, any_message, message_from, one_of_each};
use support::traffic::{Captured, Connection, Segment};

/// What a message says, apart from where and when it was captured.
fn said(message: &Value) -> Value {
    let keys = ["version", "message_id", "command_code", "message", "length", "parameters", "unknown_parameters"];
    keys.iter().map(|&key| (key.to_owned(), message[key].clone())).collect::<serde_json::Map<_, _>>().into()
}

/// What is said: by whom, and completed by which packet.
fn all_said(printed: &Printed) -> Vec<(u64, String, Value)> {
    let place = |message: &Value| (message["packet"].as_u64().unwrap(), message["source"].as_str().unwrap().to_owned());
    let messages = printed.messages();
    messages
        .iter()
        .map(|message| (place(message), said(message)))
        .map(|((packet, by), said)| (packet, by, said))
        .collect()
}

/// The messages of both sides of a connection; which side is the KM is not said.
fn conversation() -> impl Strategy<Value = [Vec<Written>; 2]> {
    let side = |km: bool| prop::collection::vec(message_from(km), 1..5);
    any::<bool>().prop_flat_map(move |dials| [side(dials), side(!dials)])
}

fn streams(conversation: &[Vec<Written>; 2]) -> [Vec<u8>; 2] {
    conversation.each_ref().map(|side| side.iter().flat_map(Written::encode).collect())
}

/// Initial sequence numbers, often so that they pass 2^32 soon.
fn initial() -> impl Strategy<Value = [u32; 2]> {
    let number = || prop_oneof![any::<u32>(), (0..600u32).prop_map(|before| u32::MAX - before)];
    [number(), number()]
}

/// How streams travel: where they are cut, what travels twice, and in which order it is captured.
#[derive(Clone, Debug)]
struct Delivery {
    cuts: [Vec<Index>; 2],
    most: usize,
    again: Vec<(usize, Index, Index)>,
    keys: Vec<u16>,
    initial: [u32; 2],
}

fn delivery() -> impl Strategy<Value = Delivery> {
    let cuts = || prop::collection::vec(any::<Index>(), 0..12);
    let again = prop::collection::vec((0..2usize, any::<Index>(), any::<Index>()), 0..6);
    let most = prop_oneof![Just(1), 2..60usize, Just(usize::MAX)];
    let keys = prop::collection::vec(any::<u16>(), 1..64);
    ([cuts(), cuts()], most, again, keys, initial()).prop_map(|(cuts, most, again, keys, initial)| Delivery {
        cuts,
        most,
        again,
        keys,
        initial,
    })
}

impl Delivery {
    /// Every segment, side by side in turn, in the order sent.
    fn segments<'a>(&self, streams: &'a [Vec<u8>; 2]) -> Vec<Segment<'a>> {
        let pieces = [0, 1].map(|side| pieces(streams[side].len(), &self.cuts[side], self.most));
        let mut ranges = Vec::new();
        for turn in 0..pieces[0].len().max(pieces[1].len()) {
            ranges.extend((0..2).filter_map(|side| Some((side, pieces[side].get(turn)?.clone()))));
        }
        for &(side, from, to) in &self.again {
            let (from, to) = (from.index(streams[side].len()), to.index(streams[side].len()));
            ranges.push((side, from.min(to)..from.max(to) + 1));
        }
        let segment = |(side, range): (usize, std::ops::Range<usize>)| Segment {
            side,
            from: range.start,
            bytes: &streams[side][range],
            acknowledged: 0,
        };
        ranges.into_iter().map(segment).collect()
    }

    /// Segments moved back by less than `window` places.
    fn disorder<T>(&self, segments: &mut Vec<T>, window: usize) {
        let keys = (0..).zip(self.keys.iter().cycle()).map(|(at, &key): (usize, _)| at + usize::from(key) % window);
        let mut keyed: Vec<(usize, T)> = keys.zip(segments.drain(..)).collect();
        keyed.sort_by_key(|(key, _)| *key);
        segments.extend(keyed.into_iter().map(|(_, segment)| segment));
    }
}

fn pieces(length: usize, cuts: &[Index], most: usize) -> Vec<std::ops::Range<usize>> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(length)).chain([length]).collect();
    ends.extend((1..length / most.min(length) + 1).map(|nth| nth * most.min(length)));
    ends.sort_unstable();
    ends.dedup();
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends.iter().copied()).map(|(from, to)| from..to).filter(|piece| !piece.is_empty()).collect()
}

/// Every segment acknowledges what came before it without a hole.
fn acknowledge(segments: &mut [Segment<'_>]) {
    let mut arrived: [Vec<(usize, usize)>; 2] = Default::default();
    let mut whole = [0; 2];
    for segment in segments {
        segment.acknowledged = whole[1 - segment.side];
        let side = segment.side;
        arrived[side].push((segment.from, segment.from + segment.bytes.len()));
        arrived[side].sort_unstable();
        whole[side] = arrived[side].iter().fold(0, |end, &(from, to)| if from <= end { end.max(to) } else { end });
    }
}

fn captured(connection: &Connection, segments: &[Segment<'_>]) -> Batch {
    let mut captured = Captured::default();
    captured.open(connection);
    for segment in segments {
        captured.push(&connection.segment(segment));
    }
    captured.batch()
}

/// What must be said when `segments` travel, after the two packets that open the connection: every message once it has
/// come whole.
fn expected(conversation: &[Vec<Written>; 2], segments: &[Segment<'_>]) -> Vec<(u64, String, Value)> {
    let undisturbed = undisturbed(conversation);
    let mut said: [_; 2] = ["10.1.0.1:40000", "10.0.0.1:4164"]
        .map(|source| all_said(&undisturbed).into_iter().filter(move |(_, by, _)| by == source));
    let mut expected = Vec::new();
    for (side, messages) in conversation.iter().enumerate() {
        let mut start = 0;
        for written in messages {
            let end = start + written.encode().len();
            let first_brought = |byte| segments.iter().position(|segment| segment.brings(side, byte)).unwrap();
            let completed = (start..end).map(first_brought).max().unwrap();
            let (_, by, said) = said[side].next().unwrap();
            expected.push((completed as u64 + 3, by, said));
            start = end;
        }
    }
    // Of one packet's, in stream order.
    expected.sort_by_key(|(packet, ..)| *packet);
    expected
}

/// What is printed when every message travels in a segment of its own.
fn undisturbed(conversation: &[Vec<Written>; 2]) -> Printed {
    let connection = Connection::new(1, [7, 7]);
    let mut captured = Captured::default();
    captured.open(&connection);
    for (side, messages) in conversation.iter().enumerate() {
        let mut from = 0;
        for bytes in messages.iter().map(Written::encode) {
            captured.push(&connection.segment(&Segment { side, from, bytes: &bytes, acknowledged: 0 }));
            from += bytes.len();
        }
    }
    analyze_packets(&captured.batch(), PLAIN)
}

fn assert_undamaged(printed: &Printed) -> Result<(), TestCaseError> {
    for message in printed.messages() {
        prop_assert_eq!(&message["connection"], 1);
        for code in ["truncated-message", "tcp-gap", "resynchronised"] {
            prop_assert!(!diagnostics(&message).contains(&code), "{message}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// The receiver acknowledges what it has, so nothing is given up however late it comes.
    #[test]
    fn any_segments_in_any_order_give_the_same_messages(conversation in conversation(), delivery in delivery()) {
        let streams = streams(&conversation);
        let mut segments = delivery.segments(&streams);
        delivery.disorder(&mut segments, usize::from(u16::MAX));
        acknowledge(&mut segments);
        let printed = analyze_packets(&captured(&Connection::new(1, delivery.initial), &segments), PLAIN);
        prop_assert_eq!(all_said(&printed), expected(&conversation, &segments));
        assert_undamaged(&printed)?;
    }

    /// A capture point that puts packets in disorder shows acknowledgments before what they acknowledge.
    #[test]
    fn packets_captured_a_little_late_give_the_same_messages(conversation in conversation(), delivery in delivery()) {
        let streams = streams(&conversation);
        let mut segments = delivery.segments(&streams);
        acknowledge(&mut segments);
        delivery.disorder(&mut segments, 8);
        let printed = analyze_packets(&captured(&Connection::new(1, delivery.initial), &segments), PLAIN);
        prop_assert_eq!(all_said(&printed), expected(&conversation, &segments));
        assert_undamaged(&printed)?;
    }

    /// Header fields and parameters come out as the lab put them in.
    #[test]
    fn what_the_lab_encodes_is_decoded(written in any_message()) {
        let connection = Connection::new(1, [0, 0]);
        let bytes = written.encode();
        let segment = Segment { side: 0, from: 0, bytes: &bytes, acknowledged: 0 };
        let messages = analyze_packets(&captured(&connection, &[segment]), PLAIN).messages();
        prop_assert_eq!(messages.len(), 1);
        let message = &messages[0];
        prop_assert_eq!(&message["version"], written.dialect.version);
        prop_assert_eq!(&message["message_id"], written.message_id);
        prop_assert_eq!(&message["command_code"], &written.message.code.to_string());
        prop_assert_eq!(&message["message"], written.message.code.name());
        prop_assert_eq!(&message["length"], bytes.len() - 10);
        let canonical = |name: &str| name.to_lowercase().replace(' ', "_");
        let sent: BTreeMap<String, Meaning> =
            written.message.parameters.iter().map(|(name, value)| (canonical(name.table_name()), value.clone())).collect();
        let decoded = message["parameters"].as_object().unwrap();
        prop_assert_eq!(decoded.keys().collect::<Vec<_>>(), sent.keys().collect::<Vec<_>>());
        let read = Message::read(written.message.code, message["parameters"].to_string().as_bytes());
        for (name, value) in read.parameters {
            prop_assert_eq!(&value, &sent[&canonical(name.table_name())]);
        }
        prop_assert_eq!(&message["unknown_parameters"], &Value::Object(Default::default()));
    }
}

/// A connection whose side 0 sent `bytes`, and no more.
fn sent(bytes: &[u8]) -> Vec<Value> {
    let segment = Segment { side: 0, from: 0, bytes, acknowledged: 0 };
    analyze_packets(&captured(&Connection::new(1, [0, 0]), &[segment]), PLAIN).messages()
}

#[test]
fn every_prefix_of_every_message_is_incomplete_or_diagnosed() {
    for written in one_of_each() {
        let bytes = written.encode();
        for end in 0..=bytes.len() {
            let messages = sent(&bytes[..end]);
            let truncated: Vec<bool> =
                messages.iter().map(|message| diagnostics(message).contains(&"truncated-message")).collect();
            let expected: &[bool] = match end {
                ..10 => &[],
                _ if end < bytes.len() => &[true],
                _ => &[false],
            };
            assert_eq!(truncated, expected, "{} cut after {end} bytes: {messages:?}", written.message.code);
        }
    }
}

#[test]
fn every_prefix_after_a_whole_message_is_incomplete_or_diagnosed() {
    let first = one_of_each().remove(0).encode();
    for written in one_of_each() {
        let bytes = written.encode();
        for end in 0..bytes.len() {
            let messages = sent(&[&first, &bytes[..end]].concat());
            assert_eq!(messages.len(), 1 + usize::from(end >= 10), "{} cut after {end} bytes", written.message.code);
            assert!(!diagnostics(&messages[0]).contains(&"truncated-message"));
            assert!(end < 10 || diagnostics(&messages[1]).contains(&"truncated-message"), "{}", messages[1]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Bytes that no packet holds and the receiver acknowledges.
    #[test]
    fn a_gap_loses_no_message_outside_it_but_the_one_after(
        order in Just(one_of_each()).prop_shuffle(),
        from in any::<Index>(),
        length in prop_oneof![1..40usize, 1..1500usize],
        most in prop_oneof![1..60usize, Just(1400)],
        initial in initial(),
    ) {
        let encoded: Vec<Vec<u8>> = order.iter().map(Written::encode).collect();
        let stream = encoded.concat();
        let from = from.index(stream.len());
        let gap = from..(from + length).min(stream.len());
        let connection = Connection::new(1, initial);
        let mut captured = Captured::default();
        captured.open(&connection);
        for range in [0..gap.start, gap.end..stream.len()] {
            for (nth, bytes) in stream[range.clone()].chunks(most).enumerate() {
                captured.push(&connection.segment(&Segment { side: 0, from: range.start + nth * most, bytes, acknowledged: 0 }));
            }
        }
        captured.push(&connection.segment(&Segment { side: 1, from: 0, bytes: &[], acknowledged: stream.len() }));
        let found = analyze_packets(&captured.batch(), PLAIN).messages();

        let mut end = 0;
        let (mut whole, mut after) = (Vec::new(), None);
        for (written, bytes) in order.iter().zip(&encoded) {
            let message = end..end + bytes.len();
            end = message.end;
            if message.end <= gap.start {
                whole.push(written.message_id);
            } else if message.start >= gap.end && after.replace(written.message_id).is_some() {
                whole.push(written.message_id);
            }
        }
        let undamaged = |message: &&Value| !diagnostics(message).contains(&"truncated-message");
        let ids: Vec<u64> =
            found.iter().filter(undamaged).map(|message| message["message_id"].as_u64().unwrap()).collect();
        for id in whole {
            prop_assert_eq!(ids.iter().filter(|&&found| found == u64::from(id)).count(), 1, "message {} of {:?}", id, found);
        }
        prop_assert!(found.len() <= order.len(), "{:?}", found);
    }
}
