//! What must hold for every capture: of messages in any segments, with any holes, in any batches, and of everything
//! else.

mod support;

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::Command;

use ckscope::capture::Batch;
use ckscope::lab::dialect::{Message, Value as Meaning};
use ckscope::time::Span;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;
use support::analysis::{Cut, PLAIN, Printed, analyze_file, analyze_packets, diagnostics};
use support::messages::{Written, any_message, message_from, one_of_each};
use support::sample_captures;
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
        let segment = |(side, range): (usize, Range<usize>)| Segment {
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

fn pieces(length: usize, cuts: &[Index], most: usize) -> Vec<Range<usize>> {
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

/// What is found of a stream of which the bytes in `gap` are in no packet, and are acknowledged.
fn with_gap(stream: &[u8], gap: Range<usize>, most: usize, initial: [u32; 2]) -> Vec<Value> {
    let connection = Connection::new(1, initial);
    let mut captured = Captured::default();
    captured.open(&connection);
    for range in [0..gap.start, gap.end..stream.len()] {
        for (nth, bytes) in stream[range.clone()].chunks(most).enumerate() {
            let from = range.start + nth * most;
            captured.push(&connection.segment(&Segment { side: 0, from, bytes, acknowledged: 0 }));
        }
    }
    captured.push(&connection.segment(&Segment { side: 1, from: 0, bytes: &[], acknowledged: stream.len() }));
    analyze_packets(&captured.batch(), PLAIN).messages()
}

/// 123, the Length of the last message, is a brace in ASCII, and the bytes before it, one off, a little-endian header.
#[test]
fn a_length_that_looks_like_a_brace_begins_no_payload() {
    let messages = one_of_each();
    let [first, cut, last] = [0, 5, 11].map(|at: usize| messages[at].encode());
    let gap = first.len()..first.len() + 32;
    assert_eq!(last[9], b'{');
    let found = with_gap(&[first, cut, last].concat(), gap, 1, [0, 0]);
    let ids: Vec<u64> = found.iter().map(|message| message["message_id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [1, 12]);
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
        let found = with_gap(&stream, gap.clone(), most, initial);

        let mut end = 0;
        let places: Vec<Range<usize>> = encoded.iter().map(|bytes| {
            end += bytes.len();
            end - bytes.len()..end
        }).collect();
        let next = places.iter().position(|place| place.start >= gap.end).unwrap_or(order.len());
        let undamaged = |message: &&Value| !diagnostics(message).contains(&"truncated-message");
        let ids: Vec<u64> =
            found.iter().filter(undamaged).map(|message| message["message_id"].as_u64().unwrap()).collect();
        for at in (0..order.len()).filter(|&at| places[at].end <= gap.start || at > next) {
            let id = u64::from(order[at].message_id);
            prop_assert_eq!(ids.iter().filter(|&&found| found == id).count(), 1, "message {} of {:?}", id, found);
        }
        prop_assert!(found.len() <= order.len(), "{:?}", found);
    }
}

/// A body as other JSON protocols have it, even one that speaks of QKD.
fn json_body() -> impl Strategy<Value = String> {
    let name = prop_oneof!["[a-zA-Z_ ]{1,12}", Just("source_kma_id".to_owned()), Just("Key IDs".to_owned())];
    let value = prop_oneof!["[ -!#-\\[\\]-~]{0,30}".prop_map(Value::String), any::<u32>().prop_map(Value::from)];
    prop::collection::btree_map(name, value, 0..6)
        .prop_map(|members| Value::Object(members.into_iter().collect()).to_string())
}

fn http() -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![Just("POST /api/v1/keys HTTP/1.1"), Just("HTTP/1.1 200 OK")];
    (start, json_body()).prop_map(|(start, body)| {
        format!("{start}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            .into_bytes()
    })
}

fn dns_over_tcp() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 12..200).prop_map(|message| behind_length(2, &message))
}

fn tls_record() -> impl Strategy<Value = Vec<u8>> {
    (20..24u8, prop::collection::vec(any::<u8>(), 1..200))
        .prop_map(|(kind, body)| [&[kind, 3, 3], &behind_length(2, &body)[..]].concat())
}

/// A header of any size but Ck's, its last bytes the length of the JSON behind it.
fn length_prefixed_json() -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec(any::<u8>(), 0..12), 1..5usize, json_body()).prop_filter_map(
        "Ck's",
        |(header, width, body)| {
            (header.len() + width != 10).then(|| [header, behind_length(width, body.as_bytes())].concat())
        },
    )
}

/// Ck's header, but for a code that stands for neither direction.
fn almost_ck() -> impl Strategy<Value = Vec<u8>> {
    (any::<[u8; 6]>(), any::<[u8; 2]>(), json_body()).prop_filter_map("Ck", |(start, code, body)| {
        let of_ck = code.iter().any(|half| [0x14, 0x41].contains(half));
        (!of_ck).then(|| [&start[..], &code, &behind_length(2, body.as_bytes())].concat())
    })
}

fn json_line() -> impl Strategy<Value = Vec<u8>> {
    json_body().prop_map(|body| format!("{body}\n").into_bytes())
}

fn behind_length(width: usize, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u64).to_be_bytes()[8 - width..], body].concat()
}

/// Both sides of a connection that carries something else.
fn foreign() -> impl Strategy<Value = [Vec<u8>; 2]> {
    let protocol = prop_oneof![
        Just(http().boxed()),
        Just(dns_over_tcp().boxed()),
        Just(tls_record().boxed()),
        Just(length_prefixed_json().boxed()),
        Just(almost_ck().boxed()),
        Just(json_line().boxed()),
    ];
    protocol.prop_flat_map(|unit| {
        let side = prop::collection::vec(unit, 1..8).prop_map(|units| units.concat());
        [side.clone(), side]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn nothing_else_is_taken_for_ck(streams in foreign(), mut delivery in delivery()) {
        delivery.most = delivery.most.max(20);
        let mut segments = delivery.segments(&streams);
        acknowledge(&mut segments);
        let printed = analyze_packets(&captured(&Connection::new(1, delivery.initial), &segments), PLAIN);
        prop_assert_eq!(printed.messages, "");
    }
}

/// Several connections at once, each with its own mishaps: captured in disorder, with holes, or from midway on.
fn traffic() -> impl Strategy<Value = Batch> {
    let mishap = (prop::option::of((any::<Index>(), 1..4usize)), any::<bool>(), 1..40usize, any::<bool>());
    let connection = (conversation(), delivery(), mishap);
    let pauses = prop::collection::vec(prop_oneof![4 => Just(0), 1 => 0..400i64, 1 => 0..12_000i64], 1..20);
    (prop::collection::vec(connection, 1..5), pauses).prop_map(|(connections, pauses)| {
        let queues = connections.iter().zip(1..).map(|((conversation, delivery, mishap), number)| {
            packets(conversation, delivery, mishap, &Connection::new(number, delivery.initial))
        });
        interleave(queues.map(Vec::into_iter).collect(), &pauses)
    })
}

type Mishap = (Option<(Index, usize)>, bool, usize, bool);

/// The packets of one connection.
fn packets(
    conversation: &[Vec<Written>; 2],
    delivery: &Delivery,
    (hole, from_midway, window, closed): &Mishap,
    connection: &Connection,
) -> Vec<Vec<u8>> {
    let streams = streams(conversation);
    let mut segments = Delivery { most: delivery.most.max(16), ..delivery.clone() }.segments(&streams);
    acknowledge(&mut segments);
    delivery.disorder(&mut segments, *window);
    let mut packets: Vec<Vec<u8>> = segments.iter().map(|segment| connection.segment(segment)).collect();
    if let Some((at, count)) = hole {
        let at = at.index(packets.len());
        packets.drain(at..(at + count).min(packets.len()));
    }
    if !from_midway {
        packets.splice(..0, [connection.syn(), connection.syn_ack()]);
    }
    if *closed {
        let lengths = streams.each_ref().map(Vec::len);
        packets.extend([0, 1].map(|side| connection.fin(side, lengths[side], lengths[1 - side])));
    }
    packets
}

/// One packet of each connection in turn, with pauses of so many milliseconds.
fn interleave(mut queues: Vec<std::vec::IntoIter<Vec<u8>>>, pauses: &[i64]) -> Batch {
    let mut captured = Captured::default();
    for pause in pauses.iter().cycle() {
        let round: Vec<Vec<u8>> = queues.iter_mut().filter_map(Iterator::next).collect();
        if round.is_empty() {
            break;
        }
        captured.pause(Span::from_millis(*pause));
        round.iter().for_each(|packet| {
            captured.push(packet);
        });
    }
    captured.batch()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn batches_and_threads_make_no_difference_to_traffic(traffic in traffic(), batch in 1..50usize) {
        let expected = analyze_packets(&traffic, PLAIN);
        for cut in [Cut { batch, threads: 1 }, Cut { batch: 1, threads: 1 }, Cut { batch, threads: 2 }, Cut { batch, threads: 4 }] {
            prop_assert_eq!(&analyze_packets(&traffic, cut), &expected, "{:?}", cut);
        }
    }
}

#[test]
fn batches_and_threads_make_no_difference_to_captures() {
    for capture in sample_captures() {
        let expected = analyze_file(&capture, PLAIN);
        for threads in [1, 2, 4] {
            for batch in [1, 2, 7, 4096] {
                let cut = Cut { batch, threads };
                assert!(analyze_file(&capture, cut) == expected, "{}: {cut:?}", capture.display());
            }
        }
    }
}

#[test]
fn batches_and_threads_make_no_difference_to_the_binary() {
    for capture in sample_captures() {
        let printed = |options: &[&str]| {
            let mut ckscope = Command::new(env!("CARGO_BIN_EXE_ckscope"));
            ckscope.args(["read", "--format", "jsonl"]).args(options).arg(&capture).output().unwrap().stdout
        };
        let expected = printed(&[]);
        for options in [["--batch", "1", "--threads", "1"], ["--batch", "3", "--threads", "4"]] {
            assert!(printed(&options) == expected, "{} {options:?}", capture.display());
        }
    }
}
