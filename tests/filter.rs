//! Display filters: what they hold for, how they are printed, where they are wrong.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use ckscope::analyzer::{Analyzer, Options};
use ckscope::capture::Batch;
use ckscope::capture::file::Reader;
use ckscope::dissect::Definitions;
use ckscope::filter::syntax::{Element, Expression, Function, Operand, OperandKind, Search, Slice};
use ckscope::filter::{
    Context, Cost, Error, Filter, Follow, Kind, Order, Quantifier, Relation, Seen, complete, fields, parse, tokens,
};
use ckscope::identities::Learned;
use ckscope::journal::{Journal, View};
use jiff::tz::TimeZone;
use proptest::prelude::*;

struct Capture {
    journal: Journal,
    reader: Reader,
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("captures").join(name)
}

impl Capture {
    fn read(name: &str) -> Self {
        let (mut reader, errors) = Reader::open(&[path(name)]);
        assert!(errors.is_empty());
        let mut analyzer = Analyzer::new(Options::new(Arc::new(Definitions::q4164())));
        let mut batch = Batch::default();
        while reader.read_batch(&mut batch, 100) {
            analyzer.batch(&batch);
        }
        analyzer.finish();
        Self { journal: analyzer.into_journal(), reader }
    }

    fn view(&self) -> View<'_> {
        View { journal: &self.journal, blocks: self.reader.blocks() }
    }

    /// Numbers of the messages that `filter` holds for.
    fn messages(&self, filter: &str) -> Vec<u32> {
        let filter = compile(filter).unwrap_or_else(|error| panic!("{}", error.explain(filter)));
        (0..self.journal.records.len() as u32)
            .filter(|&index| filter.matches(self.view(), index))
            .map(|it| it + 1)
            .collect()
    }

    fn procedures(&self, filter: &str) -> Vec<u32> {
        let filter = compile(filter).unwrap_or_else(|error| panic!("{}", error.explain(filter)));
        let all = 0..self.journal.procedures.len() as u32;
        all.filter(|&index| filter.matches_procedure(self.view(), index)).map(|it| it + 1).collect()
    }
}

fn compile(text: &str) -> Result<Filter, Error> {
    Filter::compile(text, &Context { definitions: &Definitions::q4164(), zone: &TimeZone::UTC })
}

const ALL: &[u32] = &[1, 2, 3, 4, 5, 6, 7];

/// The messages of `captures/missing-parameter.pcapng`, which the README lists, that filters hold for.
#[rustfmt::skip]
const TABLE: &[(&str, &[u32])] = &[
    // Numbers.
    ("ck.number == 3", &[3]), ("ck.number eq 3", &[3]), ("3 == ck.number", &[3]), ("ck.number != 3", &[1, 2, 4, 5, 6, 7]),
    ("ck.number ne 3", &[1, 2, 4, 5, 6, 7]), ("ck.number < 3", &[1, 2]), ("ck.number lt 3", &[1, 2]), ("3 > ck.number", &[1, 2]),
    ("ck.number <= 3", &[1, 2, 3]), ("ck.number le 3", &[1, 2, 3]), ("ck.number > 5", &[6, 7]), ("ck.number gt 5.5", &[6, 7]),
    ("ck.number >= 6", &[6, 7]), ("ck.number ge 0x6", &[6, 7]), ("ck.number > -1", ALL), ("ck.number in {1, 3..5, 9}", &[1, 3, 4, 5]),
    ("ck.number not in {1, 3..5}", &[2, 6, 7]), ("ck.command_code == 0x1403", &[1]), ("ck.command_code in {0x1403..0x1406}", &[1, 3, 4]),
    ("ck.message_id == 1048577", &[1]), ("ck.version == 1", ALL), ("ck.length > 100000", &[]), ("ck.length == ck.captured", ALL),
    ("ck.answers == 4", &[7]), ("ck.answered_in == 7", &[4]), ("ck.answers", &[2, 3, 6, 7]), ("ck.procedure.messages == 3", &[1, 2, 3]),
    // Names.
    ("ck.message == \"Key relay request\"", &[2]), ("ck.message == \"key RELAY request\"", &[2]), ("ck.message != \"Key relay request\"", &[1, 3, 4, 5, 6, 7]),
    ("ck.message contains \"relay\"", &[1, 2, 3]), ("ck.message matches \"^response\"", &[3, 6, 7]), ("ck.message ~ \"^key.*request$\"", &[2]),
    ("ck.direction == km-to-controller", &[1, 3, 4, 6]), ("ck.binding == tcp", ALL), ("ck.protocol == ck", ALL),
    ("ck.procedure == session-creation-request", &[4, 7]), ("ck.procedure.clause == 7.4", &[5, 6]), ("ck.procedure.state == \"complete\"", ALL),
    ("ck.diagnostic == missing-parameter", &[4]), ("ck.diagnostic", &[4]), ("ck.diagnostic.severity >= warning", &[4]),
    ("ck.diagnostic.severity > error", &[]), ("ck.diagnostic.severity == error", &[4]), ("ck.diagnostic.severity < error", &[]),
    ("ck.diagnostic.severity in {note..error}", &[4]), ("ck.diagnostic.text contains \"mandatory\"", &[4]), ("ck.diagnostic.parameter == application_source_id", &[4]),
    // Booleans.
    ("ck.tls", &[]), ("!ck.tls", ALL), ("ck.tls == false", ALL), ("ck.tls != false", &[]), ("ck.is_response", &[2, 3, 6, 7]), ("ck.is_request == TRUE && ck.is_response == 1", &[2]),
    // Parameters.
    ("ck.source_kma_id == \"KMA-1\"", &[1, 2]), ("ck.source_kma_id == KMA-1", &[1, 2]), ("ck.source_kma_id matches \"^kma-[0-9]\"", &[1, 2]), ("ck.source_kma_id contains \"kma\"", &[]),
    ("ck.source_kma_id", &[1, 2]), ("ck.parameter.source_kma_id", &[1, 2]), ("ck.source_kma_id < \"KMA-2\"", &[1, 2]), ("ck.source_kma_id in {\"KMA-1\", \"KMA-7\"}", &[1, 2]),
    ("ck.response", &[3, 6, 7]), ("!ck.response", &[1, 2, 4, 5]), ("ck.response == \"Success\"", &[3, 6, 7]), ("ck.response != \"Success\"", &[]), ("!(ck.response == \"Success\")", &[1, 2, 4, 5]),
    ("ck.number_of_keys == 5", &[4, 5]), ("ck.number_of_keys >= 5", &[4, 5]), ("ck.number_of_keys < 5", &[]), ("ck.number_of_keys in {1..5}", &[4, 5]), ("ck.number_of_keys == \"5\"", &[4, 5]), ("ck.number_of_keys != 6", &[4, 5]),
    ("ck.key_relay_request_id == \"KRR-000001\" && ck.response", &[3]), ("ck.session_id", &[5, 6, 7]), ("ck.procedure.session_id", &[4, 5, 6, 7]),
    ("ck.unknown", &[]), ("ck.unknown.reason == 7", &[]),
    // Several values.
    ("ck.transit_kma_ids == \"KMA-2\"", &[2]), ("ck.transit_kma_ids == \"KMA-3\"", &[2]), ("ck.transit_kma_ids === \"KMA-2\"", &[]), ("ck.transit_kma_ids != \"KMA-2\"", &[]), ("ck.transit_kma_ids ~= \"KMA-2\"", &[2]), ("ck.transit_kma_ids any_ne \"KMA-2\"", &[2]),
    ("all ck.transit_kma_ids matches \"^KMA-\"", &[2]), ("all ck.transit_kma_ids contains \"3\"", &[]), ("any ck.transit_kma_ids != \"KMA-2\"", &[2]), ("all ck.transit_kma_ids == \"KMA-2\"", &[]), ("count(ck.transit_kma_ids) == 2", &[2]), ("count(ck.transit_kma_ids) == 0", &[1, 3, 4, 5, 6, 7]),
    ("all tcp.port > 4000", ALL), ("all tcp.port > 5000", &[]), ("all ck.transit_kma_ids in {\"KMA-2\", \"KMA-3\"}", &[2]),
    // Addresses and ports.
    ("ip.addr == 192.0.2.14", &[5, 6]), ("ip.src == 192.0.2.14", &[6]), ("ip.dst == 192.0.2.14", &[5]), ("ip.addr == 192.0.2.0/24", ALL), ("ip.addr == 10.0.0.0/8", &[]), ("ip.addr != 192.0.2.14", &[1, 2, 3, 4, 7]), ("ip.src > 192.0.2.11", &[6]), ("ip.src in {192.0.2.12..192.0.2.20}", &[6]),
    ("ip.addr == 2001:db8::/32", &[]), ("ipv6.addr", &[]), ("ip.src == ip.dst", &[]), ("ip.src != ip.dst", ALL), ("tcp.port == 4164", ALL), ("tcp.port == 59956", &[5, 6]), ("tcp.srcport == 59956", &[6]), ("tcp.dstport == 59956", &[5]), ("tcp.stream == 0", &[1, 2, 3, 4, 7]), ("ck.connection == 2", &[5, 6]), ("ck.km.addr == 192.0.2.14", &[5, 6]), ("ck.controller.addr == 192.0.2.1", ALL),
    // Times and durations.
    ("frame.time_relative < 3ms", &[1, 2]), ("frame.time_relative >= 0.004748", &[6, 7]), ("frame.time_relative in {2500us..4ms}", &[2, 3, 4]), ("ck.response_time > 1ms", &[7]), ("ck.response_time <= 1min", &[2, 3, 6, 7]), ("ck.duration > 2s", &[]), ("ck.duration > 1ms", &[1, 2, 3, 4, 7]), ("ck.procedure.duration == ck.duration", ALL),
    ("frame.time > 1970-01-01", ALL), ("frame.time < 2000", &[]), ("frame.time <= \"Jan 1, 2020 00:00:00\"", &[]), ("frame.time == ck.procedure.start", &[1, 4, 5]),
    // Text.
    ("lower(ck.source_kma_id) == \"kma-1\"", &[1, 2]), ("upper(ck.response) == \"SUCCESS\"", &[3, 6, 7]), ("len(ck.source_kma_id) == 5", &[1, 2]), ("ck.source_kma_id[0:3] == \"KMA\"", &[1, 2]), ("ck.source_kma_id[-1:] == \"1\"", &[1, 2]), ("ck.source_kma_id[1-2] == \"MA\"", &[1, 2]), ("ck.source_kma_id[4] == \"1\"", &[1, 2]), ("ck.source_kma_id[:1] == \"K\"", &[1, 2]), ("string(ck.number) matches \"[12]\"", &[1, 2]),
    (r#"ck.source_kma_id matches r"^KMA\-\d$""#, &[1, 2]), (r#"ck.source_kma_id == "\x4bMA\u002d\u{31}""#, &[1, 2]),
    // Precedence: not, and, xor, or.
    ("ck.number == 1 || ck.number == 2 && ck.number == 3", &[1]), ("(ck.number == 1 || ck.number == 2) && ck.number < 2", &[1]), ("ck.number < 3 xor ck.number < 5", &[3, 4]), ("ck.number == 1 or ck.number < 3 ^^ ck.number < 5 and ck.number > 1", &[1, 3, 4]), ("not ck.response and ck.number > 3", &[4, 5]), ("! ck.number == 1 && ck.number < 3", &[2]), ("!!ck.response", &[3, 6, 7]), ("((ck.number==1))", &[1]),
];

#[test]
fn filters_hold_for_the_messages_they_describe() {
    let capture = Capture::read("missing-parameter.pcapng");
    let mut wrong = Vec::new();
    for &(filter, expected) in TABLE {
        match compile(filter) {
            Err(error) => wrong.push(error.explain(filter)),
            Ok(_) if capture.messages(filter) == expected => {}
            Ok(_) => wrong.push(format!("{filter}: {:?}, expected {expected:?}", capture.messages(filter))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_procedure_matches_by_any_of_its_messages() {
    let capture = Capture::read("missing-parameter.pcapng");
    assert_eq!(capture.procedures("ck.procedure.state == complete"), [1, 2, 3]);
    assert_eq!(capture.procedures("ck.response_time > 1ms"), [2]);
    assert_eq!(capture.procedures("ck.procedure.related == 3"), [2]);
    assert_eq!(capture.procedures("ck.message contains \"notification\""), [1, 3]);
}

/// Texts that are no filters: where they are wrong (the text under the carets), and what is said.
#[rustfmt::skip]
const ERRORS: &[(&str, &str, &str)] = &[
    ("", "", "an empty filter"),
    ("ck.sesion_id == \"s\"", "ck.sesion_id", "did you mean ck.session_id?"),
    ("ck.number == 1 && session_id", "session_id", "did you mean ck.session_id?"),
    ("ck.number = 1", "=", "did you mean ==?"),
    ("ck.number == 1 & ck.tls", "&", "did you mean &&?"),
    ("ck.number ==", "", "the filter ends; expected a value"),
    ("(ck.number == 1", "", "expected \")\""),
    ("ck.number == 1)", ")", "without \"(\""),
    ("ck.number == one", "one", "expected a number"),
    ("ck.number == \"1\"", "\"1\"", "expected a number"),
    ("ip.addr == \"10.0.0.1\"", "\"10.0.0.1\"", "expected an address"),
    ("ip.addr == KMA-1", "KMA-1", "expected an address"),
    ("ip.addr == 10.0.0.0/33", "10.0.0.0/33", "expected an address"),
    ("ip.addr > 10.0.0.0/8", "10.0.0.0/8", "a single address"),
    ("ip.addr == ck.number", "ck.number", "expected the same type"),
    ("ip.addr contains \"1\"", "ip.addr", "contains searches text"),
    ("ck.duration > 2 s", "s", "expected an operator"),
    ("ck.duration > 2x", "2x", "expected a duration"),
    ("frame.time > \"yesterday\"", "\"yesterday\"", "expected a time"),
    ("ck.procedure.state == faild", "faild", "did you mean \"failed\"?"),
    ("ck.message == \"Key relay reqest\"", "\"Key relay reqest\"", "did you mean \"Key relay request\"?"),
    ("ck.tls > false", "false", "has no order"),
    ("ck.tls == maybe", "maybe", "expected true or false"),
    ("ck.response matches \"(\"", "\"(\"", "no regular expression: unclosed group"),
    ("ck.response matches \"(a{1000}){1000}\"", "\"(a{1000}){1000}\"", "more than 1048576 bytes"),
    ("ck.response == \"a\\q\"", "\\q", "is no escape"),
    ("ck.response == \"a", "\"a", "without its closing quote"),
    ("lenn(ck.response) == 1", "lenn", "did you mean len?"),
    ("len(ck.number) == 1", "ck.number", "string() makes it one"),
    ("ck.response[x] == \"a\"", "x", "is no slice"),
    ("ck.response[5-2] == \"a\"", "5-2", "is no slice"),
    ("ck.number in 1", "1", "expected a set"),
    ("ck.number in {}", "}", "expected a value"),
    ("ck.number in {1 2}", "2", "expected \",\" or \"}\""),
    ("ck.number in {ck.version}", "ck.version", "a set holds values"),
    ("any ck.number", "", "expected a comparison"),
    ("\"a\" == \"b\"", "\"a\"", "no field"),
    ("ck.number == 1 ck.number == 2", "ck.number", "expected an operator"),
    ("&& ck.tls", "&&", "expected a field"),
];

#[test]
fn errors_point_at_their_place() {
    let mut wrong = Vec::new();
    for &(text, place, said) in ERRORS {
        let error = compile(text).expect_err(text);
        if text.get(error.span.clone()) != Some(place) || !error.to_string().contains(said) {
            wrong.push(format!("{}\nexpected {place:?}: {said}", error.explain(text)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let text = "ck.number == 1 and ck.sesion_id == \"é\"";
    let explained = compile(text).unwrap_err().explain(text);
    let lines: Vec<&str> = explained.lines().collect();
    assert_eq!(lines[1..], [format!("  {text}"), format!("  {}{}", " ".repeat(19), "^".repeat(12))]);
}

#[test]
fn nesting_and_size_are_bounded() {
    let deep = |levels: usize| format!("{}ck.tls{}", "(".repeat(levels), ")".repeat(levels));
    assert!(compile(&deep(60)).is_ok());
    for text in
        [deep(30_000), "!".repeat(30_000), "len(".repeat(15_000), format!("ck.response{}", "[0:1]".repeat(10_000))]
    {
        assert!(compile(&text).unwrap_err().to_string().contains("levels inside each other"), "{}", &text[..20]);
    }
    assert!(compile(&"a".repeat(70_000)).unwrap_err().to_string().contains("at most 65536"));
    let set: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    assert!(compile(&format!("ck.number in {{{}}}", set.join(","))).is_ok());
    let chain = vec!["ck.tls"; 6_000].join(" || ");
    assert!(compile(&chain).is_ok());
}

#[test]
fn a_filter_says_what_it_costs() {
    let cost = |text| compile(text).unwrap().cost();
    assert_eq!(cost("ck.command_code == 0x1401"), Cost::Record);
    assert_eq!(cost("ip.addr == 10.0.0.1 && ck.number < 5"), Cost::Tied);
    assert_eq!(cost("ck.session_id == \"s\""), Cost::Doubtful);
    assert!(compile("ck.number == 1 && ck.number_of_keys == 2").unwrap().needs_payload());
    assert!(!compile("ck.session_id == \"s\" && ck.message == unknown").unwrap().needs_payload());
}

/// What a record says of an identifier is what its payload says, in every sample capture.
#[test]
fn identifiers_from_records_are_those_of_payloads() {
    let definitions = Definitions::q4164();
    for entry in std::fs::read_dir(path("")).unwrap().map(|entry| entry.unwrap().file_name()) {
        let name = entry.to_str().unwrap();
        if !name.contains(".pcap") {
            continue;
        }
        let capture = Capture::read(name);
        for (id, parameter) in (0..).zip(&definitions.parameters) {
            let field = format!("ck.{}", parameter.name);
            let found: BTreeSet<u32> = capture.messages(&field).into_iter().collect();
            let view = capture.view();
            let expected = (0..view.journal.records.len() as u32).filter(|&index| {
                let decoded = view.decoded(view.record(index));
                decoded.get(ckscope::dissect::ParameterId(id)).is_some_and(|entry| entry.value != "null")
            });
            assert_eq!(found, expected.map(|index| index + 1).collect(), "{name}: {field}");
        }
    }
}

#[test]
fn read_shows_what_the_filter_holds_for() {
    let capture = Capture::read("failures.pcapng");
    for filter in ["ck.response", "!ck.response && ck.number > 2", "ck.procedure.state == failed"] {
        for threads in ["1", "3"] {
            assert_eq!(numbers(&["read", "--threads", threads, "-Y", filter], "number"), capture.messages(filter));
        }
        assert_eq!(numbers(&["flows", "-Y", filter], "id"), capture.procedures(filter));
    }
}

/// The numbers in what a command prints about `captures/failures.pcapng`.
fn numbers(arguments: &[&str], key: &str) -> Vec<u32> {
    let output = Command::new(env!("CARGO_BIN_EXE_ckscope"))
        .args(arguments)
        .args(["--format", "jsonl"])
        .arg(path("failures.pcapng"))
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let number = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()[key].as_u64().unwrap() as u32;
    lines.lines().map(number).collect()
}

#[test]
fn a_wrong_filter_ends_with_2_and_shows_the_place() {
    let output = Command::new(env!("CARGO_BIN_EXE_ckscope"))
        .args(["read", "-Y", "ck.sesion_id == 1", "no such file"])
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.ends_with("(did you mean ck.session_id?)\n  ck.sesion_id == 1\n  ^^^^^^^^^^^^\n"), "{said}");
}

#[test]
fn following_a_session_shows_its_exchange() {
    let capture = Capture::read("all-procedures.pcapng");
    let session = capture.journal.procedures.iter().find_map(|it| capture.journal.texts.get(it.session)).unwrap();
    let context = Context { definitions: &Definitions::q4164(), zone: &TimeZone::UTC };
    let follow = |text: &str| {
        let selection = Follow::select(&[Follow::parse(text, &context).unwrap()], capture.view());
        (1..).zip(selection.messages).filter(|(_, shown)| *shown).map(|(number, _)| number).collect::<Vec<u32>>()
    };
    assert_eq!(follow(&format!("session_id={session}")), [10, 11, 12, 13]);
    assert_eq!(follow(&format!("Session ID = {session}")), [10, 11, 12, 13]);
    assert_eq!(follow("key_relay_request_id=KRR-000001"), [7, 8, 9]);
    assert_eq!(follow("session_id=nobody's"), Vec::<u32>::new());
    assert!(Follow::parse("sesion_id=1", &context).unwrap_err().contains("did you mean session_id?"));
    assert!(Follow::parse("session_id", &context).unwrap_err().contains("NAME=VALUE"));
}

fn offered(text: &str, definitions: &Definitions, seen: Option<&Seen<'_>>) -> Vec<String> {
    complete(text, text.len(), definitions, seen).into_iter().map(|it| it.text).collect()
}

#[test]
fn values_that_were_seen_are_offered_and_each_leads_to_something() {
    for name in
        ["all-procedures-tls13.pcapng", "failures.pcapng", "appendix-ii-grpc.pcapng", "unknown-parameter.pcapng"]
    {
        let capture = Capture::read(name);
        let (view, definitions) = (capture.view(), &capture.journal.definitions);
        let seen = Seen::new(view, Arc::new(Learned::new(view)), Some(3));
        let known = |kind| matches!(kind, Kind::Boolean | Kind::Choice(_) | Kind::Time | Kind::Duration);
        for field in fields(definitions).into_iter().filter(|field| !known(field.kind)) {
            let has_any = !capture.messages(&field.name).is_empty();
            let values = offered(&format!("{} == ", field.name), definitions, Some(&seen));
            assert_eq!(
                has_any,
                !values.is_empty() && has_any,
                "{name}: {} has values that are not offered",
                field.name
            );
            for value in values.iter().filter(|_| field.name != "ck.command_code") {
                let text = format!("{} == {value}", field.name);
                let filter = compile(&text).unwrap_or_else(|error| panic!("{}", error.explain(&text)));
                assert!(filter.connections(view).contains(&true), "{name}: nothing is {text}");
            }
        }
    }
}

#[test]
fn values_are_offered_by_how_they_begin_and_as_a_filter_writes_them() {
    let capture = Capture::read("failures.pcapng");
    let (view, definitions) = (capture.view(), &capture.journal.definitions);
    let seen = Seen::new(view, Arc::new(Learned::new(view)), None);
    let texts = |text: &str| offered(text, definitions, Some(&seen));
    assert_eq!(texts("ck.source_kma_id == km"), ["KMA-1"]);
    assert_eq!(texts("ck.source_kma_id == \"km"), ["KMA-1"]);
    assert_eq!(texts("ip.src in {192.0.2.1"), ["192.0.2.1", "192.0.2.11", "192.0.2.14"]);
    assert_eq!(texts("ck.command_code == 0x140"), texts("ck.command_code == 0X140"));
    assert!(texts("ck.command_code == ").contains(&"0x1406".to_owned()));
    let ids = texts("ck.message_id == ");
    assert!(ids.len() > 3 && ids.is_sorted_by_key(|id| id.parse::<u32>().expect("a number")), "{ids:?}");
    assert_eq!(offered("ck.source_kma_id == ", definitions, None), Vec::<String>::new());
}

#[test]
fn every_field_can_be_asked_for_and_is_offered() {
    let definitions = Definitions::q4164();
    for field in fields(&definitions) {
        assert!(compile(&field.name).is_ok(), "{}", field.name);
        let offered = complete(&field.name, field.name.len(), &definitions, None);
        assert!(offered.iter().any(|it| it.text == field.name), "{}", field.name);
    }
    let texts = |text: &str| offered(text, &definitions, None);
    assert_eq!(texts("ck.procedure.state == f"), ["failed"]);
    assert_eq!(
        texts("ck.message == \"key relay request"),
        ["\"Key relay request notification\"", "\"Key relay request\""]
    );
    assert_eq!(texts("ck.diagnostic.severity in {note, w"), ["warning"]);
    assert_eq!(texts("ck.tls == true "), ["&&", "||", "^^"]);
    assert!(texts("ip.addr ").contains(&"==".to_owned()) && !texts("ip.addr ").contains(&"matches".to_owned()));
}

#[test]
fn what_tls_showed_of_a_connection_can_be_asked_for() {
    let over_tls = Capture::read("all-procedures-tls13.pcapng");
    let all: Vec<u32> = (1..=over_tls.journal.records.len() as u32).collect();
    for (filter, holds) in [
        ("tls.version == \"TLS 1.3\" && tls.decrypted && !tls.resumed", true),
        ("tls.suite contains \"AES_256_GCM\" && tls.group == \"x25519\"", true),
        ("tls.sni == \"controller.qkdn.example\"", true),
        ("tls.controller_name == \"controller.qkdn.example\" && tls.km_name matches \"CN=KM-[0-9]\"", true),
        ("tls.version == \"TLS 1.2\" || tls.alpn || tls.reason || http2.streamid", false),
    ] {
        assert_eq!(over_tls.messages(filter), if holds { all.clone() } else { Vec::new() }, "{filter}");
    }
    let grpc = Capture::read("appendix-ii-grpc-tls12.pcapng");
    assert_eq!(grpc.messages("http2.streamid && tls.alpn == \"h2\"").len(), grpc.journal.records.len());
    assert!(Capture::read("all-procedures.pcapng").messages("tls.version").is_empty());
}

#[test]
fn kms_can_be_asked_for_by_name() {
    let capture = Capture::read("all-procedures.pcapng");
    let named = capture.messages("ck.km.name == \"KMA-1\"");
    assert_eq!(named, capture.messages("ck.km.addr == 192.0.2.11"));
    assert!(!named.is_empty());
    assert_eq!(capture.messages("ck.km.name matches \"^(KM|192)\"").len(), capture.journal.records.len());
}

/// Wireshark's packets are those of our messages, where both know the field.
#[test]
fn wireshark_agrees_where_it_knows_the_field() {
    if Command::new("tshark").arg("--version").output().is_err() {
        println!("skipped: no tshark");
        return;
    }
    let filters = |capture: &Capture| {
        let record = &capture.journal.records[3];
        let end = capture.journal.connections[record.connection as usize].end(record.side);
        let (family, address, port) = (if end.v6 { "ipv6" } else { "ip" }, end.ip(), end.port);
        let time = record.time.to_string().replace('T', " ");
        let time = time.trim_end_matches('Z');
        vec![
            format!("tcp.port == {port}"),
            format!("tcp.srcport == {port} && !(tcp.dstport in {{1..80, 4164}})"),
            format!("tcp.dstport != {port}"),
            format!("{family}.addr == {address}"),
            format!("{family}.src == {address} or {family}.dst == {address}"),
            format!("{family}.addr != {address}"),
            format!("{family}.src == {address}/{}", if end.v6 { 64 } else { 28 }),
            format!("frame.number == {}", record.packet),
            format!("frame.number > {} and frame.number <= {}", record.packet, record.packet + 8),
            format!("frame.time == \"{time}\""),
            format!("frame.time >= \"{time}\""),
            "frame.time_relative > 0.005".to_owned(),
            "tcp.stream == 1".to_owned(),
            "tcp.stream in {0, 2} || tcp.port < 1000".to_owned(),
        ]
    };
    for name in ["all-procedures.pcapng", "failures.pcapng", "ipv6.pcapng", "out-of-order.pcapng"] {
        let capture = Capture::read(name);
        let packet = |number: u32| capture.journal.records[number as usize - 1].packet;
        let ours: BTreeSet<u32> = capture.journal.records.iter().map(|record| record.packet).collect();
        for filter in filters(&capture) {
            let found: BTreeSet<u32> = capture.messages(&filter).into_iter().map(packet).collect();
            let output = Command::new("tshark")
                .args(["-Y", &filter, "-T", "fields", "-e", "frame.number", "-r"])
                .arg(path(name))
                .env("TZ", "UTC")
                .output()
                .expect("tshark runs");
            assert!(output.status.success(), "{filter}: {}", String::from_utf8_lossy(&output.stderr));
            let theirs = String::from_utf8(output.stdout).unwrap();
            let theirs: BTreeSet<u32> = theirs.lines().map(|line| line.parse().unwrap()).collect();
            assert_eq!(found, &theirs & &ours, "{name}: {filter}");
        }
    }
}

fn operand() -> impl Strategy<Value = Operand> {
    let word = "[a-z][a-z0-9_]{0,6}(\\.[a-z0-9_]{1,6}){1,2}|[1-9][0-9]{0,3}|10\\.0\\.0\\.0/8|::1";
    let leaf = prop_oneof![word.prop_map(OperandKind::Word), any::<String>().prop_map(OperandKind::Text)];
    let leaf = leaf.prop_map(|kind| Operand { kind, span: 0..0 });
    leaf.prop_recursive(3, 8, 1, |inner| {
        let function = proptest::sample::select(Function::ALL.to_vec());
        let call = (function, inner.clone()).prop_map(|(function, of)| OperandKind::Call(function, Box::new(of)));
        let slice = (any::<i32>(), any::<Option<u32>>()).prop_map(|(offset, length)| Slice { offset, length });
        let slice = (inner, slice).prop_map(|(of, slice)| OperandKind::Slice(Box::new(of), slice));
        prop_oneof![call, slice].prop_map(|kind| Operand { kind, span: 0..0 })
    })
}

fn expression() -> impl Strategy<Value = Expression> {
    use Order::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    let quantifier = || prop_oneof![Just(Quantifier::Any), Just(Quantifier::All)];
    let order = proptest::sample::select(vec![Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual]);
    let relation = (order, quantifier()).prop_map(|(order, quantifier)| Relation { order, quantifier });
    let search = prop_oneof![Just(Search::Contains), Just(Search::Matches)];
    let element = (operand(), proptest::option::of(operand())).prop_map(|(from, to)| Element { from, to });
    let leaf =
        prop_oneof![
            operand().prop_map(Expression::Exists),
            (operand(), relation, operand()).prop_map(|(left, relation, right)| Expression::Compare {
                left,
                relation,
                right
            }),
            (operand(), search, quantifier(), operand())
                .prop_map(|(left, search, quantifier, right)| Expression::Search { left, search, quantifier, right }),
            (operand(), quantifier(), proptest::collection::vec(element, 1..4))
                .prop_map(|(left, quantifier, set)| Expression::In { left, quantifier, set }),
        ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let parts = || proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            parts().prop_map(Expression::And),
            parts().prop_map(Expression::Or),
            parts().prop_map(Expression::Xor),
            inner.clone().prop_map(|inner| Expression::Not(Box::new(inner))),
        ]
    })
}

/// Texts that are nearly filters.
fn nearly() -> impl Strategy<Value = String> {
    let words = [
        "ck.number",
        "ck.session_id",
        "ip.addr",
        "ck.tls",
        "frame.time",
        "ck.duration",
        "==",
        "!=",
        "<",
        "in",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "0:3",
        "-1:",
        "..",
        ",",
        "&&",
        "or",
        "!",
        "matches",
        "contains",
        "any",
        "all",
        "len(",
        "\"",
        "\"a\"",
        "r\"(\"",
        "1",
        "2s",
        "10.0.0.1/8",
        "é",
        "\\",
        "2026-01-01",
        "0x",
        "-",
        "ck.message",
    ];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..12).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_as_it_was(expression in expression()) {
        let printed = expression.to_string();
        prop_assert_eq!(parse(&printed).map_err(|error| error.explain(&printed)), Ok(expression), "{}", printed);
    }

    #[test]
    fn no_text_is_too_odd(text in prop_oneof![any::<String>(), nearly()], cursor in 0_usize..60) {
        let definitions = Definitions::q4164();
        if let Err(error) = Filter::compile(&text, &Context { definitions: &definitions, zone: &TimeZone::UTC }) {
            prop_assert!(error.span.end <= text.len() && text.is_char_boundary(error.span.start));
            prop_assert!(error.explain(&text).lines().count() >= 3);
        }
        for token in tokens(&text) {
            prop_assert!(text.get(token.span).is_some_and(|token| !token.is_empty()));
        }
        complete(&text, cursor, &definitions, None);
    }
}
