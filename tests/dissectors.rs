//! Definition files: what loads, what is refused, and that the embedded one is Q.4164.

use ckscope::dissect::{CommandCode, Definitions, Direction, Presence};

fn refused(text: &str) -> String {
    Definitions::q4164().add(text, "vendor.toml").unwrap_err().to_string()
}

#[test]
fn the_embedded_definition_has_the_thirteen_messages_of_table_i_1() {
    let definitions = Definitions::q4164();
    let codes: Vec<u16> = definitions.messages.iter().map(|message| message.code.0).collect();
    let expected =
        [0x1401, 0x1403, 0x1405, 0x1406, 0x1409, 0x140B, 0x140D, 0x4102, 0x4104, 0x4107, 0x4108, 0x410A, 0x410C];
    assert_eq!(codes, expected);
    for message in &definitions.messages {
        let from_km = message.code.0 >> 8 == 0x14;
        assert_eq!(message.direction == Direction::KmToController, from_km, "{}", message.name);
        assert_eq!(format!("8.{}", message.code.0 & 0xff), message.clause);
        assert_eq!(format!("Table {}", message.code.0 & 0xff), message.table);
        assert!(message.step.is_some(), "{} belongs to a procedure", message.name);
    }
    let clauses: Vec<&str> = definitions.procedures.iter().map(|procedure| procedure.clause.as_str()).collect();
    assert_eq!(clauses, ["7.1", "7.2", "7.3", "7.4", "7.5", "7.6"]);
}

#[test]
fn names_match_whatever_their_spelling() {
    let definitions = Definitions::q4164();
    let expected = definitions.parameter_named("source_kma_id");
    assert!(expected.is_some());
    for spelling in ["Source KMA ID", "sourceKmaId", "SOURCE-KMA-ID", "SourceKMAID", "start_km", "startKm"] {
        assert_eq!(definitions.parameter_named(spelling), expected, "{spelling}");
    }
    assert_eq!(definitions.parameter_named("source"), None);
}

#[test]
fn success_is_told_from_failure() {
    let definitions = Definitions::q4164();
    for success in
        ["0", "00", "0.0", "OK", "ok.", "Success", " SUCCESS ", "Success: 4 keys", "completed", "Ok (cached)"]
    {
        assert!(definitions.means_success(success), "{success}");
    }
    for failure in
        ["", "1", "-1", "NG", "Unsuccessful", "Not successful", "Successor missing", "okay?no", "failed", "é"]
    {
        assert!(!definitions.means_success(failure), "{failure}");
    }
}

#[test]
fn a_vendor_file_adds_a_command_and_an_alias() {
    let mut definitions = Definitions::q4164();
    let vendor = include_str!("vendor.toml");
    definitions.add(vendor, "vendor.toml").unwrap();
    let (_, heartbeat) = definitions.message(CommandCode(0x14F1)).unwrap();
    assert_eq!(heartbeat.name, "Vendor status report");
    assert!(heartbeat.is_answered);
    assert_eq!(definitions.parameter_named("qkd-src"), definitions.parameter_named("source_kma_id"));
    let (_, overridden) = definitions.message(CommandCode(0x1406)).unwrap();
    assert_eq!(overridden.table, "Vendor table 2");
    assert!(overridden.rows.iter().all(|row| row.presence == Presence::Optional));
}

#[test]
fn an_unknown_key_is_refused_with_file_line_and_key() {
    let error = refused(
        "name = \"v\"\n\n[[message]]\ncode = 0x1401\nname = \"x\"\nclause = \"1\"\ntable = \"1\"\ncolour = 1\n",
    );
    assert!(error.starts_with("vendor.toml:8:1: unknown field `colour`"), "{error}");
    let error = refused("name = \"v\"\nnmae = 2\n");
    assert!(error.starts_with("vendor.toml:2:1: unknown field `nmae`"), "{error}");
}

#[test]
fn what_does_not_fit_together_is_refused_where_it_stands() {
    let head = "name = \"v\"\n";
    let cases = [
        (
            "[[message]]\ncode = 0x9901\nname=\"x\"\nclause=\"1\"\ntable=\"1\"\n",
            "vendor.toml:3:8: 0x9901: no [[direction]]",
        ),
        (
            "[[message]]\ncode = 0x14F1\nname=\"x\"\nclause=\"1\"\ntable=\"1\"\nparameters = [{ name = \"nope\", type = \"string\", presence = \"mandatory\" }]\n",
            "vendor.toml:7:24: no [[parameter]] is named \"nope\"",
        ),
        (
            "[[parameter]]\nname = \"p\"\naliases = [\"Session ID\"]\n",
            "vendor.toml:4:12: \"Session ID\" already stands for session_id",
        ),
        (
            "[[parameter]]\nname = \"p\"\nrole = \"king\"\n",
            "vendor.toml:4:8: unknown role \"king\"; expected one of source",
        ),
        (
            "[[procedure]]\nname = \"p\"\nclause = \"1\"\nmessages = [0x14EE]\n",
            "vendor.toml:5:13: no [[message]] has the code 0x14EE",
        ),
        ("[[parameter]]\nname = 5\n", "vendor.toml:3:8: invalid type: integer `5`, expected a string"),
    ];
    for (text, expected) in cases {
        let error = refused(&format!("{head}{text}"));
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
}
