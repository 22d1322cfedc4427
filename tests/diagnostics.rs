//! What is said of payloads that depart from their tables.

use ckscope::diagnostic::Diagnostic;
use ckscope::dissect::{CommandCode, Decoded, Definitions, Encoding, Payload};

fn decoded(code: u16, payload: &str) -> Decoded {
    let payload = Payload { bytes: payload.as_bytes(), encoding: Encoding::Json, truncated: false };
    Decoded::new(&Definitions::q4164(), CommandCode(code), payload)
}

/// What is said of a session creation request (0x1406, Table 6) with this payload.
fn said(payload: &str) -> Vec<Diagnostic> {
    decoded(0x1406, payload).diagnostics
}

fn with(member: &str) -> String {
    format!(r#"{{"Application source ID":"a","Application destination ID":"b",{member}}}"#)
}

fn codes(payload: &str) -> Vec<(&'static str, Option<String>)> {
    said(payload).into_iter().map(|diagnostic| (diagnostic.code.name(), diagnostic.parameter)).collect()
}

#[test]
fn what_is_wrong_with_a_name_is_told_once_however_often_it_stands_there() {
    let times = |member: &str| with(&vec![member; 1000].join(","));
    let code = |name, parameter: &str| (name, Some(parameter.to_owned()));
    let unknown = [code("unknown-parameter", "Priority"), code("malformed-json", "Priority")];
    assert_eq!(codes(&times(r#""Priority":1"#)), unknown);
    let known = [code("wrong-type", "number_of_keys"), code("malformed-json", "number_of_keys")];
    assert_eq!(codes(&times(r#""Number of keys":{}"#)), known);
}

#[test]
fn a_name_that_no_table_has_is_named_once() {
    let unknown = ("unknown-parameter", Some("Priority".to_owned()));
    assert_eq!(codes(&with(r#""Priority":1"#)), std::slice::from_ref(&unknown));
    let twice = ("malformed-json", Some("Priority".to_owned()));
    assert_eq!(codes(&with(r#""Priority":1,"Priority":2"#)), [unknown, twice]);
}

#[test]
fn what_a_payload_is_instead_is_told_by_all_of_it() {
    for (payload, found) in [
        ("trash", "no JSON"),
        ("nonsense", "no JSON"),
        ("[1,", "no JSON"),
        ("-", "no JSON"),
        ("true", "a boolean"),
        ("null", "null"),
        ("-1.5", "a number"),
        ("[1]", "an array"),
        ("\"a\"", "a string"),
    ] {
        let expected = format!("payload is {found}; expected a JSON object (Q.4164 Appendix I)");
        assert!(said(payload).iter().any(|diagnostic| diagnostic.text == expected), "{payload}: {:?}", said(payload));
    }
}

#[test]
fn half_of_a_surrogate_pair_is_told() {
    for half in [r"\ud800", r"x\uDFFFy", r"\ud800\ud800", r"\ud83dx"] {
        assert_eq!(codes(&with(&format!(r#""Extension":"{half}""#)))[0], ("malformed-json", None), "{half}");
    }
    for whole in [r"\ud83d\ude00", r"\\ud800", r"\u0041", "é"] {
        let codes = codes(&with(&format!(r#""Extension":"{whole}""#)));
        assert!(codes.iter().all(|(code, _)| *code != "malformed-json"), "{whole}: {codes:?}");
    }
}

#[test]
fn null_is_of_a_wrong_type_and_not_missing_in_every_kind_of_row() {
    let codes = |code, payload: &str| -> Vec<&str> {
        decoded(code, payload).diagnostics.iter().map(|diagnostic| diagnostic.code.name()).collect()
    };
    let mandatory = r#"{"Application source ID":null,"Application destination ID":"b"}"#;
    let either = r#"{"Source KMA ID":"K1","Destination KMA ID":null}"#;
    assert_eq!(codes(0x1406, mandatory), ["wrong-type"]);
    assert_eq!(codes(0x1401, either), ["wrong-type"]);
}
