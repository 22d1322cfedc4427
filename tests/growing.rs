//! Files that are still being written are read as they grow, and what is recorded is read back.

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ckscope::analyzer::{Analyzer, Options};
use ckscope::capture::file::{News, Reader, Replay, Tail};
use ckscope::capture::growing::Growing;
use ckscope::capture::recording::{self, Recording};
use ckscope::capture::spool::{Interface, TLS_KEY_LOG};
use ckscope::capture::watch::Watch;
use ckscope::capture::{Batch, LinkType};
use ckscope::journal::View;
use ckscope::time::Span;
use proptest::prelude::*;
use support::analysis::{PLAIN, Printed, analyze_file, options};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(name)
}

/// Sample captures that a growing file may be: not compressed.
fn samples() -> Vec<PathBuf> {
    let all = std::fs::read_dir(sample("")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> =
        all.filter(|path| path.extension().is_some_and(|kind| kind == "pcapng" || kind == "pcap")).collect();
    all.sort();
    assert!(all.len() > 50, "the samples are there");
    all
}

/// Reads a growing file to where it is written, and shows what there is in the end.
struct Follower {
    tail: Tail,
    analyzer: Analyzer,
    batch: Batch,
}

impl Follower {
    fn new(growing: &Arc<Growing>) -> Self {
        let analyzer = Analyzer::new(Options { threads: 1, waits_for_secrets: true, ..options() });
        Self { tail: Tail::new(Arc::clone(growing)), analyzer, batch: Batch::default() }
    }

    fn catch_up(&mut self) -> News {
        loop {
            let news = self.tail.read_batch(&mut self.batch);
            for log in self.tail.take_key_logs() {
                self.analyzer.add_secrets(&log);
            }
            if news != News::Some {
                return news;
            }
            self.analyzer.batch(&self.batch);
            self.analyzer.expire();
        }
    }

    fn finish(mut self) -> (Printed, Vec<String>) {
        assert_eq!(self.catch_up(), News::Over);
        self.analyzer.finish();
        let mut blocks = Vec::new();
        self.tail.show(&mut blocks);
        (Printed::of(View { journal: self.analyzer.journal(), blocks: &blocks }), self.tail.problems())
    }
}

/// What a follower of a file sees that is written in `pieces` bytes at a time.
fn followed(bytes: &[u8], pieces: &[usize]) -> (Printed, Vec<String>) {
    let mut file = tempfile::tempfile().unwrap();
    let growing = Growing::new();
    growing.begin("grown".to_owned(), Arc::new(file.try_clone().unwrap()), None);
    let mut follower = Follower::new(&growing);
    let (mut written, mut pieces) = (0, pieces.iter().cycle());
    while written < bytes.len() {
        let piece = (*pieces.next().unwrap()).min(bytes.len() - written);
        file.write_all(&bytes[written..written + piece]).unwrap();
        written += piece;
        growing.grow(written as u64);
        assert_eq!(follower.catch_up(), News::None);
    }
    growing.end();
    follower.finish()
}

#[test]
fn a_growing_file_shows_what_the_finished_one_does() {
    for path in samples() {
        let bytes = std::fs::read(&path).unwrap();
        let (seen, problems) = followed(&bytes, &[977]);
        let (reader, _) = Reader::open(std::slice::from_ref(&path));
        let damaged = { drain(reader).files()[0].damage.is_some() };
        assert_eq!(!problems.is_empty(), damaged, "{}: {problems:?}", path.display());
        assert_eq!(seen, analyze_file(&path, PLAIN), "{}", path.display());
    }
}

fn drain(mut reader: Reader) -> Reader {
    let mut batch = Batch::default();
    while reader.read_batch(&mut batch, 1000) {}
    reader
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn it_does_not_matter_in_which_pieces_a_file_grows(pieces in prop::collection::vec(1_usize..3000, 1..40)) {
        let path = sample("failures.pcapng");
        let (seen, problems) = followed(&std::fs::read(&path).unwrap(), &pieces);
        prop_assert!(problems.is_empty());
        prop_assert_eq!(seen, analyze_file(&path, PLAIN));
    }
}

#[test]
fn a_pipe_is_followed_through_a_spool() {
    let path = sample("failures.pcapng");
    let growing = Growing::new();
    let mut follower = Follower::new(&growing);
    let watch = Watch::pipe(std::fs::File::open(&path).unwrap(), "pipe", None, &growing).unwrap();
    while follower.catch_up() != News::Over {
        follower.tail.wait(Duration::from_secs(1));
    }
    assert_eq!(watch.problem(), None);
    assert_eq!(follower.finish(), (analyze_file(&path, PLAIN), Vec::new()));
}

#[test]
fn a_followed_file_that_gives_its_name_away_is_said_to_have_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("followed.pcapng");
    for replaced in [true, false] {
        std::fs::copy(sample("failures.pcapng"), &path).unwrap();
        let growing = Growing::new();
        let mut follower = Follower::new(&growing);
        let watch = Watch::file(&path, &growing).unwrap();
        if replaced {
            std::fs::copy(sample("session.pcapng"), folder.path().join("new")).unwrap();
            std::fs::rename(folder.path().join("new"), &path).unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
        while follower.catch_up() != News::Over {
            follower.tail.wait(Duration::from_secs(1));
        }
        assert!(watch.problem().is_some_and(|problem| problem.contains("has its name now")), "{replaced}");
        assert_eq!(follower.finish(), (analyze_file(&sample("failures.pcapng"), PLAIN), Vec::new()));
    }
}

#[test]
fn what_is_no_capture_is_refused_and_named() {
    for (bytes, expected) in
        [(&b"GET / HTTP/1.1\r\n"[..], "starts like no capture file"), (b"ab", "2 bytes remain"), (b"", "is empty")]
    {
        let (_, problems) = followed(bytes, &[7]);
        assert!(
            problems.len() == 1 && problems[0].starts_with("grown: ") && problems[0].contains(expected),
            "{problems:?}"
        );
    }
}

/// Copies the packets of a sample into a recording, and gives it back.
fn record(name: &str, recording: &mut Recording) {
    let (mut reader, _) = Reader::open(&[sample(name)]);
    let interface = Interface { link: LinkType(1), snaplen: 0, name: "copy".to_owned() };
    let interface = recording.interface(&interface);
    let mut batch = Batch::default();
    while reader.read_batch(&mut batch, 10) {
        for (index, packet) in batch.packets.iter().enumerate() {
            let comments: Vec<_> = batch.comments_of(index).collect();
            let comments: Vec<&str> = comments.iter().map(|comment| &**comment).collect();
            recording.packet(interface, packet.time, packet.original, batch.bytes(packet), &comments);
        }
    }
}

#[test]
fn a_recording_is_read_back_while_it_grows() {
    let growing = Growing::new();
    let mut recording = Recording::create(recording::Options::default(), Arc::clone(&growing)).unwrap();
    let mut follower = Follower::new(&growing);
    assert_eq!(follower.catch_up(), News::None);
    record("failures.pcapng", &mut recording);
    recording.flush();
    assert_eq!(follower.catch_up(), News::None);
    drop(recording);
    assert_eq!(follower.finish(), (analyze_file(&sample("failures.pcapng"), PLAIN), Vec::new()));
}

#[test]
fn a_ring_keeps_the_newest_files_and_the_follower_sees_all() {
    let directory = tempfile::tempdir().unwrap();
    let options = recording::Options {
        path: Some(directory.path().join("ring.pcapng")),
        file_packets: Some(16),
        file_duration: Some(Span::from_secs(3600)),
        files: Some(2),
        ..recording::Options::default()
    };
    let growing = Growing::new();
    let mut recording = Recording::create(options, Arc::clone(&growing)).unwrap();
    recording.secrets(TLS_KEY_LOG, b"# kept in every file\n");
    record("failures.pcapng", &mut recording);
    assert!(recording.status().files > 2, "{:?}", recording.status());
    assert_eq!(recording.status().problem, None, "nobody removed a file but the ring itself");
    drop(recording);
    assert_eq!(Follower::new(&growing).finish(), (analyze_file(&sample("failures.pcapng"), PLAIN), Vec::new()));

    let mut left: Vec<PathBuf> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    left.sort();
    let (reader, errors) = Reader::open(&left);
    assert!(errors.is_empty() && left.len() == 2, "{left:?} {errors:?}");
    let reader = drain(reader);
    assert_eq!(reader.files()[0].packets, 16);
    assert_eq!(reader.tls_key_logs(1).count(), 1);
    assert!(left[0].file_name().unwrap().to_string_lossy().starts_with("ring_0"));
}

/// Descriptors of this process that lead into `directory`.
fn open_in(directory: &Path) -> usize {
    let all = std::fs::read_dir("/proc/self/fd").unwrap();
    all.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter(|to| to.starts_with(directory))
        .count()
}

#[test]
fn a_ring_gives_back_what_it_removed_once_that_was_read() {
    let directory = tempfile::tempdir().unwrap();
    let options = recording::Options {
        path: Some(directory.path().join("ring.pcapng")),
        file_packets: Some(1),
        files: Some(2),
        ..recording::Options::default()
    };
    let growing = Growing::new();
    let mut recording = Recording::create(options, Arc::clone(&growing)).unwrap();
    let mut follower = Follower::new(&growing);
    (0..4).for_each(|_| record("failures.pcapng", &mut recording));
    let (begun, open) = (recording.status().files, open_in(directory.path()));
    assert!(begun > 80 && open == 2 + 32, "{open} of {begun} files are open: unread ones are bounded, too");
    assert_eq!(follower.catch_up(), News::None);
    assert_eq!(open_in(directory.path()), 2);
    drop(recording);
    assert_eq!(follower.catch_up(), News::Over);
    let problems = follower.tail.problems();
    let told = format!("{} files, the last ", begun - open);
    assert!(problems.len() == 1 && problems[0].starts_with(&told), "{told}: {problems:?}");
}

#[test]
fn however_many_files_there_are_few_are_open_and_all_can_be_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = Some(directory.path().join("many.pcapng"));
    let options = recording::Options { path, file_packets: Some(1), ..recording::Options::default() };
    let growing = Growing::new();
    let mut recording = Recording::create(options, Arc::clone(&growing)).unwrap();
    record("failures.pcapng", &mut recording);
    assert!(recording.status().files > 20 && open_in(directory.path()) < 10, "{}", open_in(directory.path()));
    drop(recording);
    assert_eq!(Follower::new(&growing).finish(), (analyze_file(&sample("failures.pcapng"), PLAIN), Vec::new()));
    assert!(Replay::of_growing(&growing).read_batch(&mut Batch::default(), 1));
    let first = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    std::fs::rename(&first, first.with_extension("moved")).unwrap();
    std::fs::write(&first, "another").unwrap();
    let mut replay = Replay::of_growing(&growing);
    assert!(!replay.read_batch(&mut Batch::default(), 1) && !replay.is_whole(), "another file of its name is not it");
}

#[test]
fn of_a_message_whose_file_the_ring_removed_it_is_said_that_it_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let growing = Growing::new();
    let file = Arc::new(std::fs::File::open(sample("failures.pcapng")).unwrap());
    let length = file.metadata().unwrap().len();
    let number = growing.begin("ring".to_owned(), file, None);
    growing.grow(length);
    growing.begin("next".to_owned(), Arc::new(tempfile::tempfile_in(directory.path()).unwrap()), None);
    let mut follower = Follower::new(&growing);
    follower.catch_up();
    growing.remove(number);
    follower.analyzer.finish();
    let mut blocks = Vec::new();
    follower.tail.show(&mut blocks);
    let view = View { journal: follower.analyzer.journal(), blocks: &blocks };
    assert!(!view.is_gone(view.record(0)), "what is in memory is there");
    let nothing = View { blocks: &[], ..view };
    assert!(nothing.is_gone(view.record(0)));
    let found = nothing.diagnostics(0, &nothing.decoded(view.record(0)));
    assert!(found[0].text.contains("removed from the ring"), "{found:?}");
    assert!(!Replay::of_growing(&growing).read_batch(&mut Batch::default(), 1));
}

#[test]
fn a_device_is_no_file_to_record_into() {
    let options = recording::Options { path: Some("/dev/null".into()), ..recording::Options::default() };
    let error = Recording::create(options, Growing::new()).err().unwrap();
    assert!(error.to_string().contains("no regular file"), "{error}");
}

#[test]
fn a_recording_that_is_cut_short_begins_anew_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cut.pcapng");
    let options = recording::Options { path: Some(path.clone()), ..recording::Options::default() };
    let growing = Growing::new();
    let mut recording = Recording::create(options, Arc::clone(&growing)).unwrap();
    let mut follower = Follower::new(&growing);
    record("failures.pcapng", &mut recording);
    recording.flush();
    follower.catch_up();
    std::fs::write(&path, "").unwrap();
    record("failures.pcapng", &mut recording);
    recording.flush();
    let problem = recording.status().problem.clone().unwrap();
    assert!(problem.contains("was cut short by somebody"), "{problem}");
    assert_eq!(analyze_file(&path, PLAIN), analyze_file(&sample("failures.pcapng"), PLAIN));
    let first = follower.analyzer.journal().records.len();
    assert_eq!(follower.catch_up(), News::None);
    assert!(follower.analyzer.journal().records.len() > first && follower.tail.problems().is_empty());
}

#[test]
fn nobody_records_where_somebody_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("taken.pcapng");
    let options = recording::Options { path: Some(path.clone()), ..recording::Options::default() };
    let mut recording = Recording::create(options.clone(), Growing::new()).unwrap();
    record("failures.pcapng", &mut recording);
    recording.flush();
    let error = Recording::create(options.clone(), Growing::new()).err().unwrap();
    assert!(error.to_string().contains("somebody records into it already"), "{error}");
    assert_eq!(analyze_file(&path, PLAIN), analyze_file(&sample("failures.pcapng"), PLAIN));
    drop(recording);
    assert!(Recording::create(options, Growing::new()).is_ok());
}

#[test]
fn a_recording_that_loses_its_name_says_so_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lost.pcapng");
    let options = recording::Options { path: Some(path.clone()), ..recording::Options::default() };
    let growing = Growing::new();
    let mut recording = Recording::create(options, Arc::clone(&growing)).unwrap();
    std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    recording.flush();
    assert_eq!(recording.status().problem, None, "opened by somebody else, it is still the same file");
    std::fs::remove_file(&path).unwrap();
    record("failures.pcapng", &mut recording);
    recording.flush();
    let problem = recording.status().problem.clone().unwrap();
    assert!(problem.contains("lost.pcapng: removed, moved or replaced"), "{problem}");
    assert_eq!(recording.status().lost, 0);
}
