//! Marks, comments and what is saved.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use ckscope::capture::Batch;
use ckscope::capture::file::{Reader, Replay};
use ckscope::tui::save;
use ckscope::tui::{Feed, Phase, Setup, State, Status};

use crate::screen::{InFile, Screen, order, save_to};

#[test]
fn marks_follow_their_messages_when_numbers_become_final() {
    let mut screen = Screen::of("all-procedures.pcapng", (80, 24));
    let growing = Status { generation: 2, ..Status::default() };
    screen.state = State::new(Setup::default(), (80, 24)).unwrap();
    screen.look(|state, view| state.refresh(view, growing.clone()));
    screen = screen.keys("3 G space");
    let last = screen.state.messages.count as u32 - 1;
    assert!(screen.state.is_marked(last));
    let done = Status { generation: 3, phase: Phase::Done, ..Status::default() };
    screen.look(|state, view| state.refresh(view, done.clone()));
    assert!(screen.state.is_marked(last));
    assert_eq!(screen.state.messages.cursor.at as u32, last);
}

#[test]
fn what_is_marked_is_saved_with_its_comments() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let screen = Screen::of("all-procedures.pcapng", (80, 24)).keys("3 j j ; 'look~here enter space");
    let Screen { feed, state } = screen;
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("captures/all-procedures.pcapng");
    let feed = InFile(feed, path);
    let save = |name: &str, messages: &[u32]| {
        let path = folder.path().join(name);
        save_to(&feed, &state, &path, messages).map(|()| path).map_err(|error| error.to_string())
    };
    let marked: Vec<u32> = state.marks.iter().filter(|(_, mark)| mark.marked).map(|(&index, _)| index).collect();
    assert_eq!(marked, [2]);
    let packets = save("some.pcapng", &marked).expect("it is written");
    let again = Screen::of(packets.to_str().expect("UTF-8"), (80, 24));
    assert_eq!(again.state.extent.messages, 1);
    let comments = written_comments(&packets);
    assert!(comments.contains(&"look here".to_owned()), "{comments:?}");
    for name in ["one.svg", "one.md", "one.txt", "one.csv", "one.jsonl"] {
        let path = save(name, &marked).expect("it is written");
        assert!(std::fs::metadata(path).expect("it is there").len() > 100, "{name}");
    }
    assert!(save("one.csv", &marked).is_err(), "nothing is overwritten");
    let all: Vec<u32> = (0..state.extent.messages).collect();
    assert!(save("all.svg", &all).expect_err("too much for one drawing").contains("exchanges"));
    assert!(save("all.docx", &all).expect_err("no such kind").contains(".pcapng"));
    let given_up = order(&feed, &state, &folder.path().join("half.csv"), &all, false);
    assert!(save::save(&feed, &given_up, &AtomicBool::new(true)).is_err());
    assert!(!folder.path().join("half.csv").exists(), "half a file is none");
    assert!(!folder.path().join("all.svg").exists() && !folder.path().join("all.docx").exists());
}

/// The comments of a file's packets.
fn written_comments(path: &std::path::Path) -> Vec<String> {
    let (mut reader, mut batch, mut comments) = (Reader::open(&[path.to_owned()]).0, Batch::default(), Vec::new());
    while reader.read_batch(&mut batch, 100) {
        comments.extend(batch.comments.iter().map(|comment| comment.text(&batch.blocks).into_owned()));
    }
    comments
}

/// A capture as the interface shows it once it is read.
fn settled(path: &std::path::Path) -> (InFile, State) {
    let Screen { feed, state } = Screen::of(path.to_str().expect("UTF-8"), (80, 24));
    (InFile(feed, path.to_owned()), state)
}

#[test]
fn comments_of_a_capture_are_shown_changed_and_saved_once() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let original = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("captures/all-procedures.pcapng");
    let mut count = 0;
    // Opens a capture, types, saves all of it, and says what is commented then.
    let mut round = |before: &std::path::Path, keys: &str| {
        let (InFile(feed, before), state) = settled(before);
        let Screen { feed, state } = Screen { feed, state }.keys(keys);
        count += 1;
        let after = folder.path().join(format!("{count}.pcapng"));
        let (feed, all) = (InFile(feed, before), (0..state.extent.messages).collect::<Vec<u32>>());
        save_to(&feed, &state, &after, &all).expect("it is written");
        let texts = written_comments(&after);
        (after, texts.into_iter().filter(|text| text.contains("odd")).collect::<Vec<String>>())
    };
    let (first, written) = round(&original, "3 j j ; 'odd enter");
    assert_eq!(written, ["odd"]);
    let (second, kept) = round(&first, "3 j");
    assert_eq!(kept, ["odd"], "what was not changed stands once");
    let (InFile(feed, _), state) = settled(&second);
    let mut screen = Screen { feed, state }.keys("3 j j");
    assert!(screen.text().contains(" ; odd") && screen.text().contains(";3"), "{}", screen.text());
    let (third, changed) = round(&second, "3 j j ; '~indeed enter");
    assert_eq!(changed, ["odd indeed"]);
    let (_, gone) = round(&third, "3 j j ; ctrl-u enter");
    assert_eq!(gone, Vec::<String>::new());
}

/// A capture whose journal is behind a lock, and a file that must never be written to while the lock is held.
struct Locked {
    inner: InFile,
    lock: std::sync::Mutex<()>,
}

impl Feed for Locked {
    fn with(&self, look: &mut dyn FnMut(ckscope::journal::View<'_>)) {
        let _held = self.lock.try_lock().expect("nobody holds it");
        self.inner.with(look);
    }

    fn status(&self) -> Status {
        self.inner.status()
    }

    fn cancel(&self) {}

    fn packets(&self) -> Option<Replay> {
        self.inner.packets()
    }
}

struct Disk<'a>(&'a Locked, Vec<u8>);

impl std::io::Write for Disk<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _free = self.0.lock.try_lock().expect("the journal is held while a disk is waited for");
        self.1.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_journal_is_not_held_while_a_file_is_written() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("captures/all-procedures.pcapng");
    let Screen { feed, mut state } = Screen::of("all-procedures.pcapng", (80, 24));
    let feed = Locked { inner: InFile(feed, path), lock: std::sync::Mutex::new(()) };
    let all: Vec<u32> = (0..state.extent.messages).collect();
    for kind in ["pcapng", "jsonl", "csv", "txt", "md"] {
        let name = PathBuf::from(format!("out.{kind}"));
        let mut disk = Disk(&feed, Vec::new());
        save::write(&feed, &order(&feed, &state, &name, &all, false), &mut disk).expect("it is written");
        assert!(disk.1.len() > 100, "{kind}");
        // What is ordered while a source grows is looked up by its place, and is the same.
        let whole = std::mem::take(&mut disk.1);
        state.status.phase = Phase::Growing;
        let growing = order(&feed, &state, &name, &all, false);
        state.status.phase = Phase::Done;
        save::write(&feed, &growing, &mut disk).expect("it is written");
        assert!(disk.1 == whole, "{kind}");
    }
}

#[test]
fn a_comment_on_one_of_several_messages_of_a_packet_stays_with_it() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let original = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("captures/messages-per-segment.pcapng");
    let (InFile(feed, before), state) = settled(&original);
    let shared = |view: ckscope::journal::View<'_>| {
        let packet = |index: u32| view.record(index).packet;
        (1..view.journal.records.len() as u32).find(|&index| packet(index) == packet(index - 1))
    };
    let mut second = None;
    feed.with(&mut |view| second = shared(view));
    let second = second.expect("a packet of that capture completes several messages");
    let Screen { feed, state } =
        Screen { feed, state }.keys(&format!("3 : 'goto~{} enter ; 'the~second enter", second + 1));
    let (feed, all) = (InFile(feed, before), (0..state.extent.messages).collect::<Vec<u32>>());
    let after = folder.path().join("after.pcapng");
    save_to(&feed, &state, &after, &all).expect("it is written");
    let (_, again) = settled(&after);
    let comment = |index: u32| again.marks.get(&index).and_then(|mark| mark.comment.as_deref());
    assert_eq!((comment(second - 1), comment(second)), (None, Some("the second")));
}
