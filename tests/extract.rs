//! What is written to pcapng reads again as the same messages and procedures.

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use ckscope::analyzer::{Analyzer, Options};
use ckscope::capture::Batch;
use ckscope::capture::file::{Reader, Replay};
use ckscope::capture::growing::Growing;
use ckscope::capture::spool::Spool;
use ckscope::journal::{Journal, View};
use ckscope::output::packets::{Choice, Comments, Extract, Plaintext};
use ckscope::tls::Secrets;
use serde_json::Value;
use support::analysis::{Printed, options};
use support::peers::{is_there, quiet};
use support::{Files, sample_captures};

/// A capture, read whole.
struct Capture {
    reader: Reader,
    journal: Journal,
    secrets: Arc<Secrets>,
}

impl Capture {
    fn of(name: &str, bytes: &[u8]) -> Self {
        let mut reader = Reader::of_bytes(name, bytes).unwrap_or_else(|error| panic!("{error}"));
        let secrets = Secrets::of(reader.key_logs_ahead());
        let mut analyzer = Analyzer::new(Options { secrets, ..options() });
        let mut batch = Batch::default();
        while reader.read_batch(&mut batch, 4096) {
            analyzer.batch(&batch);
        }
        analyzer.finish();
        let secrets = Arc::new(analyzer.secrets().clone());
        Self { reader, journal: analyzer.into_journal(), secrets }
    }

    fn file(path: &Path) -> Self {
        Self::of(&path.display().to_string(), &std::fs::read(path).unwrap())
    }

    fn printed(&self) -> Printed {
        Printed::of(View { journal: &self.journal, blocks: self.reader.blocks() })
    }

    fn messages(&self) -> Vec<Value> {
        self.printed().messages()
    }

    fn plaintext(&self, choice: &Choice) -> Plaintext {
        let mut plaintext = Plaintext::of(&self.journal, choice);
        let secrets = Secrets::clone(&self.secrets);
        let mut analyzer = Analyzer::new(Options { secrets, tap: plaintext.tap(), ..options() });
        let (mut reader, mut batch) = (self.reader.again(), Batch::default());
        while reader.read_batch(&mut batch, 100) {
            analyzer.batch(&batch);
            plaintext.take(analyzer.take_tapped()).unwrap();
        }
        analyzer.finish();
        plaintext.take(analyzer.take_tapped()).unwrap();
        plaintext
    }

    /// What is written of it, read again.
    fn extract(&self, choice: Choice, decrypted: bool) -> Self {
        Self::of("extract", &self.bytes(choice, decrypted))
    }

    fn bytes(&self, choice: Choice, decrypted: bool) -> Vec<u8> {
        let (plaintext, secrets) = match decrypted {
            true => (self.plaintext(&choice), String::new()),
            false => {
                let randoms = self.journal.tls.values().filter_map(|facts| facts.random).collect();
                (Plaintext::default(), self.secrets.key_log(&randoms).0)
            }
        };
        let mut out = Vec::new();
        let replay = Replay::of_files(&self.reader);
        let extract = Extract { replay: &replay, choice, plaintext, secrets, comments: Comments::default() };
        extract.write(&mut out).unwrap();
        out
    }
}

/// What a message is, wherever it stands: without what numbers it, and what is found by looking around it.
fn alone(mut message: Value, decrypted: bool) -> Value {
    let object = message.as_object_mut().unwrap();
    for key in ["number", "packet", "connection", "procedure", "diagnostics"] {
        object.remove(key);
    }
    if decrypted {
        object.remove("tls");
    }
    message
}

/// What `program` prints; it must not complain.
fn uncomplaining(program: &mut Command) -> String {
    let output = program.stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let complaints: Vec<&str> = said.lines().filter(|line| !line.starts_with("Running as user")).collect();
    assert!(output.status.success() && complaints.is_empty(), "{complaints:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// All and some of every capture, with and without TLS: the file, and how many packets are in it.
fn written(files: &Files) -> Vec<(PathBuf, u64)> {
    let mut written = Vec::new();
    for path in sample_captures() {
        let capture = Capture::file(&path);
        for (decrypted, all) in [(true, true), (false, true), (true, false), (false, false)] {
            let first = |message| message == 0;
            let choice = if all { Choice::everything() } else { Choice::of(&capture.journal, decrypted, first) };
            let bytes = capture.bytes(choice, decrypted);
            let packets = Capture::of("extract", &bytes).reader.files()[0].packets;
            written.push((files.write(&format!("{}.pcapng", written.len()), &bytes), packets));
        }
    }
    written
}

#[test]
fn wireshark_opens_what_is_written() {
    if !is_there("capinfos") || !is_there("tshark") {
        return;
    }
    let files = Files::new();
    let written = written(&files);
    let table = uncomplaining(quiet("capinfos").args(["-T", "-r", "-M", "-c"]).args(written.iter().map(|it| &it.0)));
    let counted = table.lines().map(|line| line.rsplit('\t').next().unwrap().trim().parse::<u64>().unwrap());
    assert_eq!(counted.collect::<Vec<_>>(), written.iter().map(|it| it.1).collect::<Vec<_>>());
    // Dissecting takes long, so only a few.
    for (path, packets) in written.iter().step_by(23) {
        let lines = uncomplaining(quiet("tshark").arg("-r").arg(path)).lines().count();
        assert_eq!(lines as u64, *packets, "{}", path.display());
    }
}

#[test]
fn plaintext_of_some_messages_seems_to_lack_nothing() {
    if !is_there("tshark") {
        return;
    }
    let files = Files::new();
    for name in ["all-procedures-tls13.pcapng", "failures-tls13.pcapng", "appendix-ii-grpc-tls13.pcapng"] {
        let capture = Capture::file(&sample(name));
        let choice = Choice::of(&capture.journal, true, |index| index % 3 == 1);
        let path = files.write(name, &capture.bytes(choice, true));
        let lost = "tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment";
        let found = uncomplaining(quiet("tshark").arg("-r").arg(&path).args(["-Y", lost]));
        assert_eq!(found, "", "{name}");
    }
}

/// What is printed that the writing must not change: packets may be fewer.
fn whole(capture: &Capture, decrypted: bool) -> (Vec<Value>, Vec<Value>) {
    let mut messages = capture.messages();
    for message in &mut messages {
        let object = message.as_object_mut().unwrap();
        object.remove("packet");
        if decrypted {
            object.remove("tls");
        }
    }
    (messages, capture.printed().procedures())
}

#[test]
fn a_whole_capture_reads_again_as_the_same_messages_and_procedures() {
    for path in sample_captures() {
        let capture = Capture::file(&path);
        for decrypted in [false, true] {
            let again = capture.extract(Choice::everything(), decrypted);
            assert_eq!(whole(&again, decrypted), whole(&capture, decrypted), "{} {decrypted}", path.display());
        }
    }
}

#[test]
fn each_message_alone_reads_again_as_itself() {
    let mut lost = Vec::new();
    for path in sample_captures() {
        let capture = Capture::file(&path);
        for (index, message) in capture.messages().into_iter().enumerate() {
            for decrypted in [false, true] {
                let choice = Choice::of(&capture.journal, decrypted, |wanted| wanted == index as u32);
                let again = capture.extract(choice, decrypted).messages();
                let wanted = alone(message.clone(), decrypted);
                let found = again.into_iter().map(|message| alone(message, decrypted)).any(|found| found == wanted);
                if !found {
                    lost.push(format!("{}, message {}, decrypted: {decrypted}", path.display(), index + 1));
                }
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

#[test]
fn each_procedure_reads_again_as_itself_with_those_related_to_it() {
    let mut lost = Vec::new();
    for path in sample_captures() {
        let capture = Capture::file(&path);
        let procedures = capture.printed().procedures();
        for (index, procedure) in procedures.iter().enumerate() {
            let group = [&*capture.journal.related(index as u32), &[index as u32]].concat();
            let wanted = |message: u32| group.contains(&capture.journal.records[message as usize].procedure);
            let again = capture.extract(Choice::of(&capture.journal, false, wanted), false).printed().procedures();
            let keys = ["procedure", "session_id", "key_relay_request_id", "state", "start", "end"];
            let same = |other: &Value| keys.iter().all(|key| other[key] == procedure[key]);
            if !again.iter().any(same) {
                lost.push(format!("{}: {procedure} is not in {again:?}", path.display()));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

#[test]
fn a_message_brings_no_other_packets_than_its_own() {
    let capture = Capture::file(&sample("all-procedures.pcapng"));
    let again = capture.extract(Choice::of(&capture.journal, false, |message| message == 0), false);
    assert_eq!(again.messages().len(), 1);
    // SYN, SYN ACK, the message, FIN and FIN.
    assert_eq!(again.reader.files()[0].packets, 5);
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(name)
}

fn export(words: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_ckscope")).arg("export").args(words).output().unwrap();
    assert_ne!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn names_comments_and_interfaces_are_kept() {
    let (files, source) = (Files::new(), sample("interfaces.pcapng"));
    let before = Capture::file(&source);
    let out = files.path().join("out.pcapng");
    export(&[source.to_str().unwrap(), "-Y", "frame.number > 0", "-o", out.to_str().unwrap()]);
    let after = Capture::file(&out);
    let notes = |capture: &Capture| {
        let mut reader = capture.reader.again();
        let comments = support::all_comments(&mut reader);
        let file = &reader.files()[0];
        (file.interfaces.clone(), file.names.clone(), comments)
    };
    let (interfaces, names, comments) = notes(&before);
    assert!(interfaces.len() > 1 && !names.is_empty() && !comments.is_empty(), "{names:?} {comments:?}");
    let (kept_interfaces, kept_names, kept_comments) = notes(&after);
    assert_eq!((kept_interfaces, kept_comments), (interfaces, comments));
    // The file names hosts that none of the packets is of.
    assert!(kept_names.len() == 3 && kept_names.iter().all(|name| names.contains(name)), "{kept_names:?}");
}

#[test]
fn comments_of_sections_are_kept() {
    let (mut bytes, text) = (Vec::new(), "measured in the lab, é");
    let mut spool = Spool::with_comments(&mut bytes, "test", &[text, "second"]).unwrap();
    spool.flush().unwrap();
    let plain = std::fs::read(sample("failures.pcapng")).unwrap();
    bytes.extend(plain);
    let capture = Capture::of("commented", &bytes);
    for choice in [Choice::everything(), Choice::of(&capture.journal, false, |index| index == 0)] {
        let out = Capture::of("extract", &capture.bytes(choice, false));
        assert_eq!(out.reader.files()[0].section_comments, [text, "second"]);
    }
}

#[test]
fn of_a_file_that_grows_the_same_is_written_as_of_one_that_is_whole() {
    for name in ["interfaces.pcapng", "all-procedures.pcapng", "failures.pcapng"] {
        let source = sample(name);
        let (capture, bytes) = (Capture::file(&source), std::fs::read(&source).unwrap());
        let growing = Growing::new();
        growing.begin(name.to_owned(), Arc::new(std::fs::File::open(&source).unwrap()), None);
        growing.grow(bytes.len() as u64);
        let (whole, grown) = (Replay::of_files(&capture.reader), Replay::of_growing(&growing));
        for wanted in [|_| true, |index: u32| index % 3 == 1] {
            let written = |replay| {
                let (mut out, texts) = (Vec::new(), HashMap::from([(2, vec!["seen".to_owned()])]));
                let comments = Comments { texts, known: 0 };
                let choice = Choice::of(&capture.journal, false, wanted);
                let (plaintext, secrets) = (Plaintext::default(), String::new());
                Extract { replay, choice, plaintext, secrets, comments }.write(&mut out).unwrap();
                out
            };
            let expected = written(&whole);
            assert_eq!(written(&grown), expected, "{name}");
            assert!(!Capture::of("extract", &expected).messages().is_empty());
        }
    }
}

#[test]
fn secrets_leave_only_when_asked_and_only_those_selected() {
    let (files, source) = (Files::new(), sample("all-procedures-tls13.pcapng"));
    let source = source.to_str().unwrap();
    let out = files.path().join("out.pcapng");
    let secrets = |words: &[&str]| {
        export(&[&[source, "-o", out.to_str().unwrap()], words].concat());
        Capture::file(&out).secrets.len()
    };
    let all = secrets(&["--secrets"]);
    let one = secrets(&["--secrets", "-Y", "ip.src == 192.0.2.11"]);
    assert_eq!(secrets(&[]), 0);
    assert_eq!(secrets(&["--decrypted"]), 0);
    assert!(0 < one && one < all, "{one} of {all}");
}
