//! What TCP, IP and the capture do to a conversation. Most take the segments of a good one and change a few.

use super::super::dialect::{Dialect, Message, Outcome, Parameter as P, Spelling};
use super::super::file::Capture;
use super::super::network::Side;
use super::super::peer::{Target, Task};
use super::super::random::Random;
use super::super::setup::{PORT, Setup};
use super::super::simulation::Simulation;
use super::super::tcp::Segment;
use super::super::wire::{Code, Pdu};
use super::{Scenario, close, conversation, converse, ethernet, next_hop, session, two_kms};
use crate::time::Span;

pub(super) const TABLE: &[Scenario] = &[
    Scenario::new("out-of-order", "segments of one message captured in the wrong order", out_of_order),
    Scenario::new(
        "retransmission",
        "a segment lost after the capture point and sent again after 210 ms",
        retransmission,
    ),
    Scenario::new("duplicated", "every packet captured twice, as on a mirrored port", duplicated),
    Scenario::new("overlapping", "segments that begin with the last bytes of the one before", overlapping),
    Scenario::new("one-byte-segments", "one byte in each segment", one_byte),
    Scenario::new("sequence-wrap", "the sequence number passes 2^32 within a message", sequence_wrap),
    Scenario::new("mid-connection", "the capture begins after the SYNs and the first request", mid_connection),
    Scenario::new("mid-message", "the capture begins in the middle of a message", mid_message),
    Scenario::new(
        "gap-acknowledged",
        "a segment is not in the capture, but was received: its ACK is",
        gap_acknowledged,
    ),
    Scenario::new("gap-open", "the capture ends while a segment is missing and not acknowledged", gap_open),
    Scenario::new("same-ports-again", "a second connection between the same addresses and ports", same_ports),
    Scenario::new("same-ports-unseen", "the same, with neither SYN nor FIN in the capture", same_ports_unseen),
    Scenario::new("half-close", "the KM closes its direction before the answer comes", half_close),
    Scenario::new("keep-alive", "45 s of silence and a TCP keep-alive between two requests", keep_alive),
    Scenario::new("messages-per-segment", "three requests in one segment, three answers in another", several),
    Scenario::new("message-over-segments", "every message is spread over segments of 40 bytes", small_segments),
    Scenario::new("longest-payload", "a payload of 65,535 bytes, the most that Length can say", longest),
];

/// Whether the controller sent it.
fn from_controller(segment: &Segment) -> bool {
    segment.source.port() == PORT
}

/// Positions of the segments that carry something and satisfy `which`.
fn carrying(segments: &[Segment], which: impl Fn(&Segment) -> bool) -> Vec<usize> {
    (0..segments.len()).filter(|&at| !segments[at].payload.is_empty() && which(&segments[at])).collect()
}

/// The conversation in segments of at most `most` bytes.
fn in_segments_of(setup: &Setup, most: usize) -> Vec<Segment> {
    let mut simulation = two_kms(setup);
    simulation.network.most_per_segment = most;
    converse(&mut simulation);
    simulation.hang_up_all();
    simulation.finish()
}

fn small_segments(setup: &Setup) -> Capture {
    ethernet(&in_segments_of(setup, 40))
}

/// Swaps the first two segments of every message.
fn out_of_order(setup: &Setup) -> Capture {
    let mut segments = in_segments_of(setup, 60);
    let data = carrying(&segments, |_| true);
    let mut swapped = 0;
    for pair in data.windows(2) {
        let [first, second] = [pair[0], pair[1]];
        let times = [segments[first].time, segments[second].time];
        let one_burst = segments[first].source == segments[second].source && times[1] - times[0] < Span(20_000);
        if one_burst && first >= swapped {
            segments.swap(first, second);
            (segments[first].time, segments[second].time) = (times[0], times[1]);
            swapped = second + 2;
        }
    }
    ethernet(&segments)
}

/// All that comes after the lost segment comes 210 ms later, and first the segment once more.
fn retransmission(setup: &Setup) -> Capture {
    let mut segments = conversation(setup);
    let pause = Span::from_millis(210);
    for nth in [3, 1] {
        let lost = carrying(&segments, |_| true)[nth];
        let mut again = segments[lost].clone();
        again.time = again.time + pause;
        segments[lost + 1..].iter_mut().for_each(|segment| segment.time = segment.time + pause);
        segments.insert(lost + 1, again);
    }
    ethernet(&segments)
}

fn duplicated(setup: &Setup) -> Capture {
    let twice = conversation(setup).into_iter().flat_map(|segment| {
        let again = Segment { time: segment.time + Span(2_000), ..segment.clone() };
        [segment, again]
    });
    ethernet(&twice.collect::<Vec<_>>())
}

fn overlapping(setup: &Setup) -> Capture {
    const OVERLAP: usize = 16;
    let mut segments = in_segments_of(setup, 64);
    let data = carrying(&segments, |_| true);
    for pair in data.windows(2) {
        let [before, after] = [pair[0], pair[1]];
        let tail = segments[before].payload[segments[before].payload.len().saturating_sub(OVERLAP)..].to_vec();
        let next = segments[before].sequence.wrapping_add(segments[before].payload.len() as u32);
        if segments[after].source == segments[before].source && segments[after].sequence == next {
            segments[after].sequence = next.wrapping_sub(tail.len() as u32);
            segments[after].payload.splice(..0, tail);
        }
    }
    ethernet(&segments)
}

fn one_byte(setup: &Setup) -> Capture {
    let short = Dialect { spelling: Spelling::AppendixIi, ..setup.km };
    let mut simulation = Simulation::new(&Setup { km: short, controller: short, ..setup.clone() });
    simulation.connect(&["KMA-1"]);
    simulation.network.most_per_segment = 1;
    simulation.start("KMA-1", next_hop("KMA-1", Target::kma("KMA-4")));
    simulation.run();
    close(simulation)
}

fn sequence_wrap(setup: &Setup) -> Capture {
    let mut simulation = Simulation::new(setup);
    simulation.network.first_sequence = Some(u32::MAX - 100);
    simulation.connect(&["KMA-1", "KMA-4"]);
    simulation.network.most_per_segment = 60;
    converse(&mut simulation);
    close(simulation)
}

fn mid_connection(setup: &Setup) -> Capture {
    let segments = conversation(setup);
    let first_answer = carrying(&segments, from_controller)[0];
    ethernet(&segments[first_answer..])
}

fn mid_message(setup: &Setup) -> Capture {
    let segments = in_segments_of(setup, 40);
    let second = carrying(&segments, |_| true)[1];
    ethernet(&segments[second..])
}

fn gap_acknowledged(setup: &Setup) -> Capture {
    let mut segments = in_segments_of(setup, 60);
    let lost = carrying(&segments, from_controller)[1];
    segments.remove(lost);
    ethernet(&segments)
}

fn gap_open(setup: &Setup) -> Capture {
    let mut segments = in_segments_of(setup, 60);
    let last_message = carrying(&segments, from_controller);
    let [lost, end] = [last_message[last_message.len() - 2], last_message[last_message.len() - 1]];
    segments.truncate(end + 1);
    segments.remove(lost);
    ethernet(&segments)
}

fn same_ports(setup: &Setup) -> Capture {
    ethernet(&twice_from_the_same_port(setup))
}

fn same_ports_unseen(setup: &Setup) -> Capture {
    let segments = twice_from_the_same_port(setup);
    let data = carrying(&segments, |_| true);
    ethernet(&data.into_iter().map(|at| segments[at].clone()).collect::<Vec<_>>())
}

fn twice_from_the_same_port(setup: &Setup) -> Vec<Segment> {
    let mut simulation = Simulation::new(setup);
    for _ in 0..2 {
        simulation.connect_from(0, 40_000);
        simulation.run();
        simulation.start("KMA-1", Task::Relay { target: Target::kma("KMA-4") });
        simulation.run();
        simulation.hang_up("KMA-1");
        simulation.pause(Span::from_secs(2));
    }
    simulation.finish()
}

fn half_close(setup: &Setup) -> Capture {
    let mut simulation = Simulation::new(setup);
    simulation.connect(&["KMA-1"]);
    simulation.controller.talk.conduct.delays.push_back(Span::from_millis(20));
    simulation.start("KMA-1", next_hop("KMA-1", Target::kma("KMA-4")));
    simulation.pause(Span::from_millis(5));
    let (connection, km) = (simulation.connection("KMA-1"), simulation.km_side());
    simulation.network.shut(connection, km, simulation.now);
    simulation.run();
    simulation.pause(Span::from_millis(1));
    simulation.network.shut(connection, km.other(), simulation.now);
    ethernet(&simulation.finish())
}

fn keep_alive(setup: &Setup) -> Capture {
    let mut simulation = two_kms(setup);
    let connection = simulation.connection("KMA-1");
    for destination in ["KMA-4", "KMA-6"] {
        simulation.start("KMA-1", next_hop("KMA-1", Target::kma(destination)));
        simulation.run();
        simulation.pause(Span::from_secs(45));
        simulation.network.keep_alive(connection, Side::Responder, simulation.now);
        simulation.pause(Span::from_secs(1));
    }
    simulation.start("KMA-1", session("app-1", "app-4", None));
    simulation.run();
    close(simulation)
}

/// Written by hand: no peer of the lab holds back what it has to say.
fn several(setup: &Setup) -> Capture {
    let mut simulation = Simulation::new(setup);
    simulation.connect(&["KMA-1"]);
    let destinations = [("KMA-3", "KMA-2"), ("KMA-4", "KMA-2"), ("KMA-6", "KMA-2")];
    let toward = |code, destination: &str| {
        Message::new(code).text(P::SourceKmaId, "KMA-1").text(P::DestinationKmaId, destination)
    };
    let [mut requests, mut responses] = [Vec::new(), Vec::new()];
    for (number, (destination, next)) in (1..).zip(destinations) {
        requests.extend(pdu(&setup.km, number, &toward(Code::NEXT_HOP_REQUEST, destination)));
        let response = toward(Code::NEXT_HOP_RESPONSE, destination).list(P::NextKmaIds, &[next.to_owned()]);
        responses.extend(pdu(&setup.controller, number, &response));
    }
    let km = simulation.km_side();
    simulation.inject("KMA-1", km, &requests);
    simulation.pause(Span::from_millis(1));
    simulation.inject("KMA-1", km.other(), &responses);
    simulation.pause(Span::from_millis(1));
    close(simulation)
}

/// Written by hand: key IDs to the last byte that Length can count.
fn longest(setup: &Setup) -> Capture {
    let mut simulation = Simulation::new(setup);
    simulation.connect(&["KMA-1"]);
    let km = simulation.km_side();
    let request =
        Message::new(Code::RESERVATION_REQUEST).text(P::SourceKmaId, "KMA-1").text(P::DestinationKmaId, "KMA-4");
    simulation.inject("KMA-1", km.other(), &pdu(&setup.controller, 1, &request));
    simulation.pause(Span::from_millis(3));
    let mut random = Random::new(setup.seed);
    let keys: Vec<String> = (0..1768).map(|_| random.uuid()).collect();
    let response = |filler: usize| {
        let mut keys = keys.clone();
        keys.push("x".repeat(filler));
        Message::new(Code::RESERVATION_RESPONSE).list(P::KeyIds, &keys).outcome(&Outcome::Success)
    };
    let filler = usize::from(u16::MAX) - setup.km.write(&response(0)).len();
    simulation.inject("KMA-1", km, &pdu(&setup.km, 1, &response(filler)));
    simulation.pause(Span::from_millis(3));
    close(simulation)
}

fn pdu(dialect: &Dialect, message_id: u32, message: &Message) -> Vec<u8> {
    let payload = dialect.write(message).into_bytes();
    Pdu { version: dialect.version, message_id, code: message.code, payload }.encode()
}
