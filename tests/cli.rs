//! The real binary: help, exit statuses, what is said on stderr, and what text output looks like.

mod support;

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use support::ck::{Conversation, From};

const SESSION: &str = "cd613e30-d8f1-4adf-91b7-584a2265b1f5";

/// A directory to work in.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn with(name: &str, bytes: &[u8]) -> Self {
        let desk = Self::new();
        desk.write(name, bytes);
        desk
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("a temporary file");
        path
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckscope"));
        command.args(line.split_whitespace()).current_dir(self.0.path());
        command.env("TZ", "UTC").env_remove("NO_COLOR").env_remove("COLUMNS").env_remove("CLICOLOR_FORCE");
        command
    }

    fn run(&self, line: &str) -> Output {
        self.command(line).output().expect("the binary runs")
    }

    /// What a command prints that succeeds and has nothing to say.
    fn stdout(&self, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(text(&output.stderr), "", "{line}");
        assert_eq!(output.status.code(), Some(0), "{line}");
        text(&output.stdout)
    }

    /// Exit status and stderr of a command.
    fn failure(&self, line: &str) -> (Option<i32>, String) {
        let output = self.run(line);
        (output.status.code(), text(&output.stderr))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

/// A session creation with its notification, one that fails, a reservation, and a request that is never answered.
fn sample() -> Conversation {
    let mut talk = Conversation::new();
    let applications = r#""Application source ID":"app-1","Application destination ID":"app-4""#;
    talk.open(0, 1).open(100, 4);
    talk.say(1000, 1, From::Km, (0x1406, 1), &format!(r#"{{{applications},"Number of keys":10}}"#));
    let notification = format!(r#"{{{applications},"Session ID":"{SESSION}","Source KM ID":"KM-1"}}"#);
    talk.say(1500, 4, From::Controller, (0x4108, 2_147_483_649), &notification);
    let success = format!(r#"{{"Session ID":"{SESSION}","Response":"Success"}}"#);
    talk.say(2250, 4, From::Km, (0x1409, 2_147_483_649), &success);
    let response = format!(r#"{{"Session ID":"{SESSION}","Response":"Success","Destination KM ID":"KM-4"}}"#);
    talk.say(3000, 1, From::Controller, (0x4107, 1), &response);
    talk.say(4000, 1, From::Km, (0x1406, 2), r#"{"Application source ID":"app-1"}"#);
    talk.say(5000, 1, From::Controller, (0x4107, 2), r#"{"Response":"No such application","reason":7}"#);
    let route = r#""Source KMA ID":"KMA-4","Destination KMA ID":"KMA-1""#;
    talk.say(6000, 4, From::Controller, (0x410A, 2_147_483_650), &format!("{{{route}}}"));
    let keys = format!(r#"{{{route},"Key IDs":["k1","k2","k3"],"Response":0}}"#);
    talk.say(6500, 4, From::Km, (0x140B, 2_147_483_650), &keys);
    talk.say(7000, 1, From::Km, (0x1401, 3), r#"{"Destination KMA ID":"KMA-9"}"#);
    talk.close(8000, 1);
    talk
}

fn sample_desk() -> Desk {
    Desk::with("sample.pcap", sample().bytes())
}

macro_rules! snapshot {
    ($name:expr, $text:expr) => {
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("cli-{}", $name), $text)
        })
    };
}

#[test]
fn help_is_as_it_was() {
    let desk = Desk::new();
    snapshot!("help", desk.stdout("--help"));
    snapshot!("help-short", desk.stdout("-h"));
    for command in ["read", "flows", "info", "connections", "follow", "dissectors"] {
        snapshot!(format!("help-{command}"), desk.stdout(&format!("{command} --help")));
    }
    snapshot!("help-read-short", desk.stdout("read -h"));
}

#[test]
fn text_output_is_as_it_was() {
    let desk = sample_desk();
    for line in [
        "read --width 80 sample.pcap",
        "read --width 200 sample.pcap",
        "read --time relative sample.pcap",
        "read -V --width 120 sample.pcap",
        "flows --width 80 sample.pcap",
        "flows --width 200 sample.pcap",
        "flows --ladder --width 80 sample.pcap",
        "flows --ladder --width 160 sample.pcap",
        "flows --ladder 3 --ascii --time relative --width 160 sample.pcap",
        "flows --format mermaid sample.pcap",
        "connections --width 80 sample.pcap",
        "connections --width 200 sample.pcap",
        "info sample.pcap",
        "follow sample.pcap --connection 2 --side responder --hex",
        "dissectors show 0x4102",
    ] {
        snapshot!(line.replace(['-', '.', ' '], "_"), desk.stdout(line));
    }
}

#[test]
fn fields_are_columns() {
    let desk = sample_desk();
    let tabs = desk.stdout("read --fields number,message_id,session_id,key_ids,state,diagnostics sample.pcap");
    assert_eq!(tabs.lines().next(), Some("1\t1\t\t\tcomplete\t"));
    let csv = desk.stdout("read --format csv --fields number,key_ids,response sample.pcap");
    assert!(csv.starts_with("number,key_ids,response\r\n1,,\r\n"), "{csv}");
    assert!(csv.contains("8,\"[\"\"k1\"\",\"\"k2\"\",\"\"k3\"\"]\",0\r\n"), "{csv}");
    let jsonl = desk.stdout("read --format jsonl --fields number,session_id,procedure_name sample.pcap");
    let first: serde_json::Value = serde_json::from_str(jsonl.lines().next().unwrap()).unwrap();
    assert_eq!(first["session_id"], serde_json::Value::Null);
    assert_eq!(first["procedure_name"], "session-creation-request");
    assert_eq!(first.as_object().unwrap().len(), 3);
}

#[test]
fn an_unknown_field_names_the_nearest_one() {
    let (status, stderr) = sample_desk().failure("read --fields number,sesion_id sample.pcap");
    assert_eq!(status, Some(2));
    let expected = "ckscope: --fields: no field \"sesion_id\" (did you mean \"session_id\"?); ckscope read --help lists \
                    the fields, ckscope dissectors show q4164-ck the parameters\n";
    assert_eq!(stderr, expected);
}

#[test]
fn exit_statuses_tell_whole_from_damaged_from_unreadable() {
    let desk = sample_desk();
    let whole = sample();
    desk.write("cut.pcap", &whole.bytes()[..whole.bytes().len() - 10]);
    desk.write("no-capture", b"no capture at all");
    assert_eq!(desk.run("read sample.pcap").status.code(), Some(0));
    let (status, stderr) = desk.failure("read cut.pcap");
    assert_eq!(status, Some(1));
    assert!(stderr.starts_with("ckscope: cut.pcap: packet "), "{stderr}");
    let (status, stderr) = desk.failure("read no-capture");
    assert_eq!(status, Some(2));
    assert!(stderr.starts_with("ckscope: no-capture: "), "{stderr}");
    assert_eq!(desk.run("read").status.code(), Some(2));
    assert_eq!(desk.run("read --format yaml sample.pcap").status.code(), Some(2));
    assert_eq!(desk.run("").status.code(), Some(2));
    let (status, stderr) = desk.failure("raed sample.pcap");
    assert_eq!((status, stderr.lines().count()), (Some(2), 1), "{stderr}");
}

#[test]
fn an_unreadable_file_does_not_hide_the_next() {
    let desk = sample_desk();
    let output = desk.run("info --format jsonl missing.pcap sample.pcap");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("ckscope: missing.pcap: "));
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&line["file"], &line["messages"], &line["type"]), (&"sample.pcap".into(), &9.into(), &"pcap".into()));
    assert_eq!(desk.run("info missing.pcap").status.code(), Some(2));
}

#[test]
fn a_file_alone_is_read() {
    let desk = sample_desk();
    assert_eq!(desk.stdout("sample.pcap"), desk.stdout("read sample.pcap"));
    assert_eq!(desk.stdout("sample.pcap --format csv"), desk.stdout("read --format csv sample.pcap"));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let desk = Desk::new();
    let mut talk = Conversation::new();
    for number in 0..3000 {
        talk.say(number, 1, From::Km, (0x1401, number), r#"{"Destination KMA ID":"KMA-9"}"#);
    }
    desk.write("long.pcap", talk.bytes());
    for line in ["read long.pcap", "read --format jsonl long.pcap", "flows long.pcap", "flows --ladder long.pcap"] {
        let mut child = desk.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert!(!first.is_empty());
        assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""), "{line}");
    }
}

#[test]
fn a_closed_stderr_stops_nothing() {
    let desk = sample_desk();
    let whole = sample();
    desk.write("cut.pcap", &whole.bytes()[..whole.bytes().len() - 10]);
    let mut child = desk.command("read cut.pcap").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    assert_eq!((child.wait().unwrap().code(), stdout.lines().count()), (Some(1), 9));
}

#[test]
fn colours_come_only_when_wanted() {
    let desk = sample_desk();
    let plain = desk.stdout("flows sample.pcap");
    assert!(!plain.contains('\u{1b}'));
    let coloured = desk.stdout("flows --color always sample.pcap");
    assert!(coloured.contains("\u{1b}["));
    assert_eq!(anstream_strip(&coloured), plain, "colours say nothing that the text does not");
    let no_color = desk.command("read sample.pcap").env("NO_COLOR", "1").env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(!text(&no_color.stdout).contains('\u{1b}'));
}

fn anstream_strip(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn what_a_peer_chose_cannot_move_the_cursor() {
    let hostile = r#"\u001b[2J\u202eKMA\r\n\u0007\u009b1m\u2066"#;
    let mut talk = Conversation::new();
    let payload = format!(
        "{{\"Source KMA ID\":\"{hostile}\",\"Destination KMA ID\":\"a,\\\"b\u{202e}\",\"x\u{9b}\":\"\u{7f}\"}}"
    );
    talk.say(0, 1, From::Controller, (0x410A, 1), &payload);
    talk.say(10, 1, From::Km, (0x140B, 1), &format!(r#"{{"Key IDs":["{hostile}"],"Response":"{hostile}"}}"#));
    talk.say(
        20,
        1,
        From::Km,
        (0x1406, 2),
        &format!(r#"{{"Application source ID":"{hostile}","Application destination ID":"#),
    );
    let desk = Desk::with("hostile.pcap", talk.bytes());
    for line in [
        "read hostile.pcap",
        "read --width 80 hostile.pcap",
        "read -V hostile.pcap",
        "read --format csv hostile.pcap",
        "read --fields source_kma_id,unknown_parameters,parameters hostile.pcap",
        "flows hostile.pcap",
        "flows --ladder hostile.pcap",
        "flows --ladder --ascii hostile.pcap",
        "flows --format mermaid hostile.pcap",
        "connections hostile.pcap",
    ] {
        let output = text(&desk.run(line).stdout).replace("\r\n", "\n");
        assert!(!output.is_empty());
        let bad = output
            .chars()
            .find(|&c| (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202e}' | '\u{2066}'));
        assert_eq!(bad, None, "{line}: {output}");
        if line.ends_with("--ascii hostile.pcap") {
            assert!(output.is_ascii(), "{output}");
        }
    }
}

#[test]
fn follow_tells_of_gaps_and_of_connections_that_are_not_there() {
    let mut talk = Conversation::new();
    talk.open(0, 1).say(10, 1, From::Km, (0x1401, 1), "{}").lose(1, From::Km, 700);
    talk.say(20, 1, From::Km, (0x1401, 2), "{}").segment(30, 1, From::Controller, 0x10, b"");
    let desk = Desk::with("gap.pcap", talk.bytes());
    let output = desk.run("follow gap.pcap --connection 1 --side initiator");
    assert_eq!(
        text(&output.stderr),
        "ckscope: 700 bytes at offset 12 of the stream are missing: not captured, cut off, or captured too late\n"
    );
    assert_eq!((output.stdout.len(), output.status.code()), (24, Some(1)));
    let (status, stderr) = desk.failure("follow gap.pcap --connection 7 --side responder");
    assert_eq!(status, Some(2));
    assert_eq!(stderr, "ckscope: --connection 7: the capture has 1; ckscope connections lists them\n");
}

#[test]
fn bytes_that_belong_to_no_message_are_told() {
    let mut talk = sample();
    talk.segment(9000, 4, From::Km, 0x18, b"this is not Ck at all, nor anything else").close(9500, 4);
    let desk = Desk::with("rest.pcap", talk.bytes());
    let output = desk.run("flows rest.pcap");
    assert_eq!(output.status.code(), Some(1));
    let expected = "ckscope: 40 bytes of 1 Ck connection belong to no message (ckscope connections lists it)\n";
    assert_eq!(text(&output.stderr), expected);
}

#[test]
fn definition_files_are_listed_and_checked() {
    let desk = Desk::with("vendor.toml", include_bytes!("vendor.toml"));
    assert_eq!(desk.stdout("dissectors check vendor.toml"), "vendor.toml: ok: 3 messages, 1 procedure\n");
    assert!(desk.stdout("dissectors list").starts_with("q4164-ck: Ck interface"));
    assert!(desk.stdout("dissectors show 0x14F1 --dissector vendor.toml").starts_with("0x14F1 Vendor status report"));
    assert_eq!(desk.stdout("dissectors show 1401"), desk.stdout("dissectors show 0x1401"));
    desk.write("wrong.toml", b"name = \"w\"\ncolour = 1\n");
    let (status, stderr) = desk.failure("dissectors check wrong.toml");
    assert_eq!(status, Some(2));
    assert!(stderr.starts_with("ckscope: wrong.toml:2:1: unknown field `colour`"), "{stderr}");
    assert_eq!(desk.failure("dissectors show nothing").0, Some(2));
}

#[test]
fn packets_that_cannot_be_decoded_are_a_problem() {
    let mut bytes = sample().bytes().to_vec();
    bytes[20] = 147; // a link type of nobody's
    let output = Desk::with("other.pcap", &bytes).run("read other.pcap");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("of link type 147 were not decoded"), "{}", text(&output.stderr));
}

#[test]
fn a_file_name_cannot_move_the_cursor() {
    let desk = Desk::new();
    let (status, stderr) = desk.failure("read \u{1b}[2J\u{202e}x.pcap");
    assert_eq!(status, Some(2));
    assert!(stderr.contains("\\u{1b}[2J\\u{202e}x.pcap") && !stderr.contains('\u{1b}'), "{stderr:?}");
}

#[test]
fn what_answers_no_message_is_refused_where_it_stands() {
    let definition = b"name = \"w\"\n\n[[message]]\ncode = 0x14F1\nname = \"x\"\nclause = \"1\"\ntable = \"1\"\nanswers = [0x4199]\n";
    let (status, stderr) = Desk::with("w.toml", definition).failure("dissectors check w.toml");
    assert_eq!(status, Some(2));
    assert_eq!(stderr, "ckscope: w.toml:8:12: no [[message]] has the code 0x4199\n");
}

#[test]
fn there_is_no_port_zero() {
    assert_eq!(sample_desk().failure("read --port 0 sample.pcap").0, Some(2));
}

#[test]
fn a_procedure_whose_packets_go_back_in_time_lasts_no_less_than_nothing() {
    let mut talk = Conversation::new();
    talk.open(100, 1).say(5000, 1, From::Km, (0x1401, 1), r#"{"Destination KMA ID":"KMA-9"}"#);
    talk.say(2000, 1, From::Controller, (0x4102, 1), r#"{"Next KMA IDs":["KMA-9"]}"#);
    let desk = Desk::with("back.pcap", talk.bytes());
    let line: serde_json::Value = serde_json::from_str(&desk.stdout("flows --format jsonl back.pcap")).unwrap();
    assert_eq!((&line["duration_ms"], &line["messages"]), (&3.0.into(), &vec![1, 2].into()));
    assert!(line["start"].as_str() < line["end"].as_str());
}

#[test]
fn a_ladder_of_a_procedure_that_is_not_there() {
    let (status, stderr) = sample_desk().failure("flows --ladder 99 sample.pcap");
    assert_eq!(status, Some(2));
    assert_eq!(stderr, "ckscope: --ladder=99: no such procedure; the capture has 5 (ckscope flows lists them)\n");
}
