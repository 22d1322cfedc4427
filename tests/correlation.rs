//! Requests, responses and procedures: claims about pairing, through the real binary.

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::ck::Conversation;
use support::ck::From::{Controller, Km};

fn run(conversation: &Conversation, arguments: &[&str]) -> Vec<Value> {
    told(conversation, arguments).0
}

/// What it prints, and what it says on stderr.
fn told(conversation: &Conversation, arguments: &[&str]) -> (Vec<Value>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckscope"));
    command.args(arguments).args(["--format", "jsonl", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    child.stdin.take().expect("a pipe").write_all(conversation.bytes()).expect("the binary reads");
    let output = child.wait_with_output().expect("the binary ends");
    let [lines, said] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("UTF-8"));
    assert!(output.status.success(), "{said}");
    (lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(), said)
}

/// State and messages of each procedure.
fn procedures(conversation: &Conversation, arguments: &[&str]) -> Vec<(String, Vec<u64>)> {
    let numbers = |value: &Value| value.as_array().expect("a list").iter().filter_map(Value::as_u64).collect();
    let all = run(conversation, &[&["flows"], arguments].concat());
    all.iter().map(|line| (line["state"].as_str().expect("a state").to_owned(), numbers(&line["messages"]))).collect()
}

fn expected(all: &[(&str, &[u64])]) -> Vec<(String, Vec<u64>)> {
    all.iter().map(|(state, messages)| ((*state).to_owned(), messages.to_vec())).collect()
}

fn codes(conversation: &Conversation) -> Vec<BTreeSet<String>> {
    let of = |message: &Value| {
        let diagnostics = message["diagnostics"].as_array().expect("a list");
        diagnostics.iter().map(|diagnostic| diagnostic["code"].as_str().expect("a code").to_owned()).collect()
    };
    run(conversation, &["read"]).iter().map(of).collect()
}

fn set(codes: &[&str]) -> BTreeSet<String> {
    codes.iter().map(|&code| code.to_owned()).collect()
}

const ASK: &str = r#"{"Source KMA ID":"K1","Destination KMA ID":"K4"}"#;
const ASK_OTHER: &str = r#"{"Source KMA ID":"K1","Destination KMA ID":"K5"}"#;
const HOP: &str = r#"{"Source KMA ID":"K1","Destination KMA ID":"K4","Next KMA IDs":["K2"]}"#;
const HOP_OTHER: &str = r#"{"Source KMA ID":"K1","Destination KMA ID":"K5","Next KMA IDs":["K3"]}"#;

#[test]
fn identifiers_outweigh_message_ids_that_are_equal_by_chance() {
    // The controller counts its own MessageIDs, so its answer to request 2 bears request 1's.
    let mut talk = Conversation::new();
    talk.open(0, 1);
    talk.say(10, 1, Km, (0x1401, 1), ASK).say(20, 1, Km, (0x1401, 2), ASK_OTHER);
    talk.say(30, 1, Controller, (0x4102, 1), HOP_OTHER).say(40, 1, Controller, (0x4102, 2), HOP);
    assert_eq!(procedures(&talk, &[]), expected(&[("complete", &[1, 4]), ("complete", &[2, 3])]));
}

#[test]
fn the_session_tells_which_request_a_response_without_applications_answers() {
    let session = |id: &str| format!(r#"{{"Session ID":"{id}","Response":"Success","Destination KM ID":"KM-2"}}"#);
    let ask = |from: &str| format!(r#"{{"Application source ID":"{from}","Application destination ID":"b"}}"#);
    let tell = |from: &str, id: &str| {
        format!(
            r#"{{"Application source ID":"{from}","Application destination ID":"b","Session ID":"{id}","Source KM ID":"KM-1"}}"#
        )
    };
    let mut talk = Conversation::new();
    talk.open(0, 1).open(1, 2);
    talk.say(10, 1, Km, (0x1406, 11), &ask("a1")).say(20, 1, Km, (0x1406, 12), &ask("a2"));
    talk.say(30, 2, Controller, (0x4108, 91), &tell("a2", "S-2")).say(
        40,
        2,
        Controller,
        (0x4108, 92),
        &tell("a1", "S-1"),
    );
    talk.say(50, 2, Km, (0x1409, 21), r#"{"Session ID":"S-1","Response":"OK"}"#);
    talk.say(60, 2, Km, (0x1409, 22), r#"{"Session ID":"S-2","Response":"OK"}"#);
    talk.say(70, 1, Controller, (0x4107, 93), &session("S-2")).say(80, 1, Controller, (0x4107, 94), &session("S-1"));
    let complete: &[(&str, &[u64])] =
        &[("complete", &[1, 8]), ("complete", &[2, 7]), ("complete", &[3, 6]), ("complete", &[4, 5])];
    assert_eq!(procedures(&talk, &[]), expected(complete));
    let related: Vec<Value> = run(&talk, &["flows"]).iter().map(|line| line["related"].clone()).collect();
    assert_eq!(related, [[4], [3], [2], [1]].map(|ids| Value::from(ids.to_vec())));
}

#[test]
fn the_session_outweighs_message_ids_that_are_equal_by_chance() {
    // One counter for all that the controller sends: its answers bear the MessageIDs of other requests.
    let ask = |n: u32| format!(r#"{{"Application source ID":"a{n}","Application destination ID":"b{n}"}}"#);
    let tell = |n: u32| {
        format!(
            r#"{{"Application source ID":"a{n}","Application destination ID":"b{n}","Session ID":"S-{n}","Source KM ID":"KM-1"}}"#
        )
    };
    let done = |n: u32| format!(r#"{{"Session ID":"S-{n}","Response":"OK","Destination KM ID":"KM-2"}}"#);
    let mut talk = Conversation::new();
    talk.open(0, 1).open(1, 2);
    for n in 1..=4 {
        talk.say(10 * n, 1, Km, (0x1406, n), &ask(n));
    }
    talk.say(51, 2, Controller, (0x4108, 1), &tell(1)).say(52, 2, Controller, (0x4108, 2), &tell(2));
    talk.say(53, 1, Controller, (0x4107, 3), &done(1)).say(54, 1, Controller, (0x4107, 4), &done(2));
    let expected_states: &[(&str, &[u64])] = &[
        ("complete", &[1, 7]),
        ("complete", &[2, 8]),
        ("pending", &[3]),
        ("pending", &[4]),
        ("pending", &[5]),
        ("pending", &[6]),
    ];
    assert_eq!(procedures(&talk, &[]), expected(expected_states));
}

#[test]
fn a_first_message_that_is_no_json_loses_nothing_behind_it() {
    for odd in ["hello world", "", "<x/>"] {
        let mut talk = Conversation::new();
        talk.open(0, 1).say(10, 1, Km, (0x1406, 1), odd);
        talk.say(20, 1, Km, (0x1401, 2), ASK).say(30, 1, Controller, (0x4102, 2), HOP);
        assert_eq!(codes(&talk).len(), 3, "{odd:?}");
        assert!(codes(&talk)[0].contains("malformed-json"), "{odd:?}");
    }
}

#[test]
fn an_answer_after_the_time_out_is_late() {
    let mut talk = Conversation::new();
    talk.open(0, 1);
    talk.say(10, 1, Km, (0x1401, 1), ASK).say(12_000_010, 1, Controller, (0x4102, 1), HOP);
    assert_eq!(procedures(&talk, &[]), expected(&[("unanswered", &[1, 2])]));
    assert_eq!(codes(&talk), [set(&["unanswered"]), set(&["unexpected-response"])]);
    assert_eq!(procedures(&talk, &["--timeout", "20"]), expected(&[("complete", &[1, 2])]));
}

#[test]
fn a_request_within_its_time_out_is_pending_and_one_whose_connection_closed_is_unanswered() {
    let mut talk = Conversation::new();
    talk.open(0, 1).open(1, 2);
    talk.say(10, 1, Km, (0x1401, 1), ASK).say(20, 2, Km, (0x1401, 1), ASK_OTHER).close(30, 1);
    assert_eq!(procedures(&talk, &[]), expected(&[("unanswered", &[1]), ("pending", &[2])]));
    assert_eq!(codes(&talk), [set(&["unanswered"]), set(&[])]);
}

#[test]
fn a_request_sent_after_the_other_side_closed_is_unanswered() {
    let mut talk = Conversation::new();
    talk.open(0, 1).segment(10, 1, Controller, 0x11, &[]).say(20, 1, Km, (0x1401, 1), ASK);
    assert_eq!(procedures(&talk, &[]), expected(&[("unanswered", &[1])]));
    assert_eq!(codes(&talk), [set(&["unanswered"])]);
}

#[test]
fn a_failure_without_a_session_answers_the_request_whose_notification_failed() {
    let ask = |n: u32| format!(r#"{{"Application source ID":"a{n}","Application destination ID":"b{n}"}}"#);
    let tell = |n: u32| {
        format!(
            r#"{{"Application source ID":"a{n}","Application destination ID":"b{n}","Session ID":"S-{n}","Source KM ID":"KM-1"}}"#
        )
    };
    let mut talk = Conversation::new();
    talk.open(0, 1).open(1, 2);
    talk.say(10, 1, Km, (0x1406, 11), &ask(1)).say(20, 1, Km, (0x1406, 12), &ask(2));
    talk.say(30, 2, Controller, (0x4108, 91), &tell(1)).say(40, 2, Controller, (0x4108, 92), &tell(2));
    talk.say(50, 2, Km, (0x1409, 21), r#"{"Session ID":"S-1","Response":"OK"}"#);
    talk.say(60, 2, Km, (0x1409, 22), r#"{"Session ID":"S-2","Response":"no such application"}"#);
    talk.say(70, 1, Controller, (0x4107, 93), r#"{"Response":"refused"}"#);
    talk.say(80, 1, Controller, (0x4107, 94), r#"{"Response":"OK","Destination KM ID":"KM-2"}"#);
    let states: &[(&str, &[u64])] =
        &[("complete", &[1, 8]), ("failed", &[2, 7]), ("complete", &[3, 5]), ("failed", &[4, 6])];
    assert_eq!(procedures(&talk, &[]), expected(states));
}

#[test]
fn a_half_closed_connection_is_still_answered() {
    let mut talk = Conversation::new();
    talk.open(0, 1).say(10, 1, Km, (0x1401, 1), ASK).segment(20, 1, Km, 0x11, &[]);
    talk.say(30, 1, Controller, (0x4102, 1), HOP);
    assert_eq!(procedures(&talk, &[]), expected(&[("complete", &[1, 2])]));
}

#[test]
fn a_first_request_that_is_odd_by_itself_is_told_before_its_response() {
    let mut talk = Conversation::new();
    talk.open(0, 1).say(10, 1, Km, (0x1401, 1), r#"{"Source KMA ID":"K1","Destination KMA ID":"K4",}"#);
    talk.say(20, 1, Controller, (0x4102, 1), HOP);
    assert_eq!(procedures(&talk, &[]), expected(&[("complete", &[1, 2])]));
    assert_eq!(codes(&talk), [set(&["malformed-json"]), set(&[])]);
}

#[test]
fn an_unknown_message_and_a_lost_one_derail_nothing() {
    let mut talk = Conversation::new();
    talk.open(0, 1).say(10, 1, Km, (0x1401, 1), ASK).say(20, 1, Km, (0x9999, 2), r#"{"a":1}"#);
    talk.say(30, 1, Controller, (0x4102, 1), HOP).lose(1, Km, 58).say(40, 1, Km, (0x1401, 4), ASK_OTHER);
    // The controller acknowledges what the capture lost; a second later it answers.
    talk.segment(45, 1, Controller, 0x10, &[]).say(1_000_050, 1, Controller, (0x4102, 4), HOP_OTHER);
    assert_eq!(procedures(&talk, &[]), expected(&[("complete", &[1, 3]), ("complete", &[4, 5])]));
    assert_eq!(codes(&talk), [set(&[]), set(&["unknown-command"]), set(&[]), set(&["tcp-gap"]), set(&[])]);
}

#[test]
fn one_relay_is_its_hops_and_the_next_relay_of_the_route_is_another() {
    let arrived = r#"{"Source KMA ID":"K1","Destination KMA ID":"K4","Next KMA IDs":["K4"]}"#;
    let mut talk = Conversation::new();
    talk.open(0, 1).open(1, 2);
    for round in 0..2 {
        let at = 100 * (round + 1);
        talk.say(at, 1, Km, (0x1401, at), ASK).say(at + 1, 1, Controller, (0x4102, at), HOP);
        talk.say(at + 2, 2, Km, (0x1401, at), ASK).say(at + 3, 2, Controller, (0x4102, at), arrived);
    }
    let related: Vec<Value> = run(&talk, &["flows"]).iter().map(|line| line["related"].clone()).collect();
    assert_eq!(related, [[2], [1], [4], [3]].map(|ids| Value::from(ids.to_vec())));
}

#[test]
fn a_parameter_that_the_request_makes_mandatory_is_missed() {
    let mut talk = Conversation::new();
    talk.open(0, 1).say(10, 1, Km, (0x1401, 1), r#"{"Source KMA ID":"K1","Application destination ID":"a"}"#);
    talk.say(20, 1, Controller, (0x4102, 1), r#"{"Next KMA IDs":["K2"]}"#);
    talk.say(30, 1, Controller, (0x4102, 7), r#"{"Next KMA IDs":["K2"]}"#);
    // Nothing is claimed of the last one: its request was not seen.
    assert_eq!(codes(&talk), [set(&[]), set(&["missing-parameter"]), set(&["unexpected-response"])]);
}

#[test]
fn keys_tie_an_allocation_to_the_reservations_it_uses() {
    let route = r#""Source KMA ID":"K1","Destination KMA ID":"K4""#;
    let mut talk = Conversation::new();
    talk.open(0, 1);
    for (id, key) in [(1, "k-a"), (2, "k-b")] {
        talk.say(10 * id, 1, Controller, (0x410A, id), &format!("{{{route}}}"));
        talk.say(10 * id + 1, 1, Km, (0x140B, id), &format!(r#"{{{route},"Key IDs":"{key}","Response":0}}"#));
    }
    let objects = r#"[{"Key ID":"k-a"},{"Key ID":"k-b"}]"#;
    talk.say(50, 1, Controller, (0x410C, 3), &format!(r#"{{{route},"Key IDs":{objects}}}"#));
    talk.say(60, 1, Km, (0x140D, 3), r#"{"Response":0}"#);
    let related: Vec<Value> = run(&talk, &["flows"]).iter().map(|line| line["related"].clone()).collect();
    assert_eq!(related, [[2, 3], [1, 3], [1, 2]].map(|ids| Value::from(ids.to_vec())));
}

#[test]
fn a_vendors_command_is_named_and_paired() {
    let mut talk = Conversation::new();
    talk.open(0, 1).say(10, 1, Km, (0x14F1, 1), r#"{"qkd_src":"K1","Link state":"up"}"#);
    talk.say(20, 1, Controller, (0x41F2, 1), r#"{"Response":"OK"}"#);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vendor.toml");
    let messages = run(&talk, &["read", "--dissector", path]);
    assert_eq!(messages[0]["message"], "Vendor status report");
    assert_eq!(messages[0]["parameters"]["source_kma_id"], "K1");
    assert_eq!(messages[0]["diagnostics"], Value::Array(Vec::new()));
    assert_eq!(procedures(&talk, &["--dissector", path]), expected(&[("complete", &[1, 2])]));
    assert_eq!(codes(&talk), [set(&["unknown-command"]), set(&["unknown-command"])]);
}

const SUCCESS: &str = r#"{"Response":"Success","Session ID":"S-1","Destination KM ID":"KM-2"}"#;
const OTHER_SUCCESS: &str = r#"{"Response":"Success","Session ID":"S-2","Destination KM ID":"KM-2"}"#;

fn session_request(from: &str) -> String {
    format!(r#"{{"Application source ID":"{from}","Application destination ID":"b"}}"#)
}

#[test]
fn a_late_response_answers_the_request_whose_message_id_it_has() {
    let mut talk = Conversation::new();
    talk.open(0, 1).say(10, 1, Km, (0x1406, 1), &session_request("a1"));
    talk.say(8_000_000, 1, Km, (0x1406, 2), &session_request("a2"));
    talk.say(11_000_000, 1, Controller, (0x4107, 1), SUCCESS);
    talk.say(12_000_000, 1, Controller, (0x4107, 2), OTHER_SUCCESS);
    assert_eq!(procedures(&talk, &[]), expected(&[("unanswered", &[1, 3]), ("complete", &[2, 4])]));
}

#[test]
fn a_repeated_response_takes_no_other_request() {
    let mut talk = Conversation::new();
    talk.open(0, 1);
    talk.say(10, 1, Km, (0x1406, 1), &session_request("a1")).say(20, 1, Km, (0x1406, 2), &session_request("a2"));
    talk.say(30, 1, Controller, (0x4107, 1), SUCCESS).say(40, 1, Controller, (0x4107, 1), SUCCESS);
    talk.say(50, 1, Controller, (0x4107, 2), OTHER_SUCCESS);
    assert_eq!(procedures(&talk, &[]), expected(&[("complete", &[1, 3]), ("complete", &[2, 5])]));
    assert_eq!(codes(&talk)[3], set(&["unexpected-response"]));
}

#[test]
fn a_peer_that_gives_all_responses_one_message_id_is_understood() {
    let mut talk = Conversation::new();
    talk.open(0, 1);
    for id in 0..5 {
        let at = 100 * (id + 1);
        talk.say(at, 1, Controller, (0x410C, id), ASK).say(at + 10, 1, Km, (0x140D, 0), r#"{"Response":0}"#);
    }
    // The second one looks like the first one again.
    let states: Vec<String> = procedures(&talk, &[]).into_iter().map(|(state, _)| state).collect();
    assert_eq!(states.iter().filter(|state| *state == "complete").count(), 4, "{states:?}");
}

#[test]
fn key_ids_tell_which_allocation_a_response_is_about() {
    let route = r#""Source KMA ID":"K1","Destination KMA ID":"K4""#;
    let ask = |key: &str| format!(r#"{{{route},"Key IDs":[{{"Key ID":"{key}"}}]}}"#);
    let mut talk = Conversation::new();
    talk.open(0, 1);
    talk.say(10, 1, Controller, (0x410C, 1), &ask("k-1")).say(20, 1, Controller, (0x410C, 2), &ask("k-2"));
    talk.say(30, 1, Km, (0x140D, 12), r#"{"Key IDs":"k-2","Response":1}"#);
    talk.say(40, 1, Km, (0x140D, 11), r#"{"Key IDs":["k-1"],"Response":0}"#);
    assert_eq!(procedures(&talk, &[]), expected(&[("complete", &[1, 4]), ("failed", &[2, 3])]));
}

#[test]
fn what_was_guessed_of_two_sessions_between_the_same_applications_gives_way_to_what_is_said() {
    let tell = |id: &str| {
        format!(
            r#"{{"Application source ID":"a","Application destination ID":"b","Session ID":"{id}","Source KM ID":"KM-1"}}"#
        )
    };
    let mut talk = Conversation::new();
    talk.open(0, 1).open(1, 2).open(2, 3);
    talk.say(10, 1, Km, (0x1406, 1), &session_request("a")).say(20, 2, Km, (0x1406, 2), &session_request("a"));
    for (id, session) in [(5, "S-1"), (6, "S-2")] {
        let answer = format!(r#"{{"Response":"Success","Session ID":"{session}"}}"#);
        talk.say(10 * id, 3, Controller, (0x4108, id), &tell(session)).say(10 * id + 1, 3, Km, (0x1409, id), &answer);
    }
    talk.say(70, 2, Controller, (0x4107, 41), SUCCESS);
    let half = run(&talk, &["flows"]);
    assert_eq!([&half[0]["session_id"], &half[1]["session_id"]], [&Value::Null, &Value::from("S-1")]);
    talk.say(80, 1, Controller, (0x4107, 40), OTHER_SUCCESS);
    let all = run(&talk, &["flows"]);
    let sessions: Vec<&Value> = all.iter().map(|line| &line["session_id"]).collect();
    assert_eq!(sessions, ["S-2", "S-1", "S-1", "S-2"]);
    assert!(all.iter().all(|line| line["state"] == "complete"), "{all:?}");
}

#[test]
fn what_is_tied_to_more_than_an_exchange_holds_is_said() {
    let session =
        r#"{"Application source ID":"a","Application destination ID":"b","Session ID":"S","Source KM ID":"K"}"#;
    let mut talk = Conversation::new();
    talk.open(0, 1);
    for id in 0..300 {
        talk.say(10 * id, 1, Controller, (0x4108, id), session);
    }
    let (procedures, said) = told(&talk, &["flows"]);
    let related = |of: usize| procedures[of]["related"].as_array().map(Vec::len);
    assert_eq!((procedures.len(), related(0), related(255), related(256)), (300, Some(255), Some(255), Some(0)));
    assert_eq!(
        said,
        "ckscope: 44 ties between procedures are not shown: at most 256 procedures are shown as related\n"
    );
}
