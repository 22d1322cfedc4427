//! The terminal interface: keys go in through the public update function, the screen comes out of a test backend.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ckscope::analyzer::{Analyzer, Options};
use ckscope::capture::Batch;
use ckscope::capture::file::{Reader, Replay};
use ckscope::dissect::Definitions;
use ckscope::tui::config::{self, Config};
use ckscope::tui::key::Key;
use ckscope::tui::keymap::{self, Keymap};
use ckscope::tui::memory::Memory;
use ckscope::tui::save::{self, Order};
use ckscope::tui::scout::Scout;
use ckscope::tui::theme::{Depth, Theme};
use ckscope::tui::{Effect, Feed, Phase, Setup, State, Status, Still, draw};
use crossterm::event::{Event, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

/// A capture that was read, with the interface in front of it.
struct Screen {
    feed: Still,
    state: State,
}

impl Screen {
    fn of(capture: &str, size: (u16, u16)) -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("captures").join(capture);
        let (mut reader, errors) = Reader::open(&[path]);
        assert!(errors.is_empty(), "{errors:?}");
        let mut analyzer = Analyzer::new(Options::new(Arc::new(Definitions::q4164())));
        let mut batch = Batch::default();
        while reader.read_batch(&mut batch, 1024) {
            analyzer.batch(&batch);
        }
        analyzer.finish();
        let feed = Still { journal: analyzer.into_journal(), blocks: reader.blocks().to_vec() };
        let setup = Setup { name: capture.to_owned(), ..Setup::default() };
        let state = State::new(setup, size).expect("the default columns exist");
        let mut screen = Self { feed, state };
        let status = screen.feed.status();
        screen.look(|state, view| state.refresh(view, status.clone()));
        screen
    }

    fn look<T>(&mut self, mut act: impl FnMut(&mut State, ckscope::journal::View<'_>) -> T) -> T {
        let Self { feed, state } = self;
        let mut result = None;
        feed.with(&mut |view| result = Some(act(state, view)));
        result.expect("the feed shows what it has")
    }

    fn event(&mut self, event: &Event) -> Effect {
        self.look(|state, view| {
            let effect = state.event(event.clone(), view);
            while state.work(view) {}
            effect
        })
    }

    /// Keys by name with spaces between them; `'text'` is typed letter by letter, `~` for a space.
    fn keys(mut self, keys: &str) -> Self {
        for word in keys.split_whitespace() {
            if let Some(text) = word.strip_prefix('\'') {
                text.trim_end_matches('\'')
                    .chars()
                    .for_each(|c| self.press(if c == '~' { ' ' } else { c }.to_string()));
            } else {
                self.press(word.to_owned());
            }
        }
        self
    }

    fn press(&mut self, key: String) {
        let key: Key = if key == " " { "space".parse() } else { key.parse() }.expect("a key");
        self.event(&Event::Key(key.into()));
    }

    fn buffer(&mut self) -> Buffer {
        let (width, height) = self.state.size;
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test backend");
        self.look(|state, view| {
            terminal.draw(|frame| draw::draw(state, view, frame.buffer_mut())).expect("a test backend");
        });
        terminal.backend().buffer().clone()
    }

    fn text(&mut self) -> String {
        let buffer = self.buffer();
        let line = |y| {
            let cells = (0..buffer.area.width).map(|x| buffer[(x, y)].symbol());
            cells.collect::<String>().trim_end().to_owned()
        };
        (0..buffer.area.height).map(line).collect::<Vec<_>>().join("\n")
    }
}

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

#[test]
fn every_view_at_three_sizes() {
    let walks = [
        ("procedures", "*"),
        ("flow", "enter"),
        ("messages", "3 j j tab j"),
        ("connections", "4 j"),
        ("findings", "5 *"),
        ("statistics", "6"),
        ("help", "?"),
    ];
    for (name, keys) in walks {
        for (width, height) in SIZES {
            let text = Screen::of("failures.pcapng", (width, height)).keys(keys).text();
            insta::assert_snapshot!(format!("tui_{name}_{width}x{height}"), text);
        }
    }
}

#[test]
fn a_display_filter_restricts_every_list_and_a_wrong_one_says_where() {
    let mut screen = Screen::of("failures.pcapng", (120, 40)).keys("3 / 'ck.command_code~==~0x1406 enter");
    assert_eq!(screen.state.messages.count, 2);
    assert!(screen.text().contains("2 of 13 messages"));
    assert_eq!(screen.state.procedures.rows.len(), 2);
    screen = screen.keys("/ ctrl-u 'ck.nothing~== enter");
    assert!(screen.state.prompt.is_some(), "what is wrong stays to be mended");
    assert!(screen.text().contains('✗'));
    screen = screen.keys("esc / ctrl-u enter");
    assert_eq!(screen.state.messages.count, 13);
    // The selected value, from the fields.
    screen = screen.keys("g tab j f");
    assert_eq!(
        screen.state.shown.filter.as_ref().map(|(text, _)| text.as_str()),
        Some("ck.source_kma_id == \"KMA-1\"")
    );
}

#[test]
fn the_readme_shows_the_screen_as_it_is() {
    let readme = std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("README");
    let screen = Screen::of("failures.pcapng", (80, 24)).keys("enter").text();
    assert!(readme.contains(screen.trim_end()), "{screen}");
}

#[test]
fn a_walk_with_a_look_after_each_step() {
    let mut screen = Screen::of("all-procedures.pcapng", (80, 24));
    let mut seen = String::new();
    let steps = [
        "right",
        "j",
        "space",
        "enter",
        "tab",
        "esc",
        "j",
        "T",
        "2",
        "esc",
        "1",
        "s",
        "S",
        "u",
        "3",
        "G",
        "tab",
        "j",
        "j",
        "tab",
        "right",
        "v",
        "\\",
        "esc",
        "esc",
        "ctrl-f '4104 enter",
        "n",
        "i",
        "i",
        "a 'Alice enter",
        "; 'odd~one enter",
        "k space space d",
        "esc",
        ": 'goto~3 enter",
        ": 'columns~number,packet,message enter",
        "z",
    ];
    for step in steps {
        screen = screen.keys(step);
        seen += &format!("──────── {step}\n{}\n", screen.text());
    }
    insta::assert_snapshot!("tui_walk", seen);
}

#[test]
fn a_field_and_its_bytes_are_selected_together() {
    let mut screen = Screen::of("all-procedures.pcapng", (120, 40)).keys("3 tab j");
    let line = screen.state.messages.line().expect("a field").clone();
    assert_eq!(line.name, "Source KMA ID");
    let bytes = line.bytes.clone().expect("it has bytes");
    let text = String::from_utf8_lossy(&screen.state.messages.fields.bytes[bytes.clone()]).into_owned();
    assert_eq!(text, "\"Source KMA ID\":\"KMA-1\"");
    let on =
        |buffer: &Buffer| buffer.content.iter().filter(|cell| cell.bg == Theme::default().field.bg.unwrap()).count();
    // Two digits and a character each.
    assert_eq!(on(&screen.buffer()), 3 * text.len());
    // And the other way round: the first byte of the next member.
    screen.state.messages.byte = bytes.end + 1;
    screen = screen.keys("tab right left");
    assert_eq!(screen.state.messages.line().expect("a field").name, "Destination KMA ID");
}

#[test]
fn a_tiny_screen_says_so_and_works_again_when_it_grows() {
    let mut screen = Screen::of("all-procedures.pcapng", (39, 9));
    assert!(screen.text().starts_with("terminal too small"));
    for size in [(0, 0), (1, 1), (40, 10), (500, 3), (20, 200), (80, 24)] {
        screen.event(&Event::Resize(size.0, size.1));
        for keys in ["1", "2", "3", "4", "5", "6", "?", "esc", "/ 'x esc"] {
            screen = screen.keys(keys);
            screen.buffer();
        }
    }
    assert!(screen.keys("1").text().contains("key-relay-distributed"));
}

#[test]
fn without_colours_nothing_is_lost() {
    for keys in ["", "2", "3 tab j", "5 *", "space", "/ 'x"] {
        let mut coloured = Screen::of("failures.pcapng", (120, 40)).keys(keys);
        let mut plain = Screen::of("failures.pcapng", (120, 40)).keys(keys);
        plain.state.setup.theme = Theme::default().for_depth(Depth::None);
        assert_eq!(coloured.text(), plain.text());
        let buffer = plain.buffer();
        assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
        assert!(buffer.content.iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)));
    }
}

#[test]
fn red_is_for_failure_only() {
    for keys in ["1", "2", "3", "4", "5", "6", "?"] {
        let buffer = Screen::of("session.pcapng", (120, 40)).keys(keys).buffer();
        assert!(buffer.content.iter().all(|cell| cell.fg != Color::Red && cell.bg != Color::Red), "view {keys}");
    }
    let buffer = Screen::of("failures.pcapng", (120, 40)).buffer();
    assert!(buffer.content.iter().any(|cell| cell.fg == Color::Red));
}

#[test]
fn text_of_the_capture_cannot_move_the_cursor() {
    for capture in ["unknown-parameter.pcapng", "malformed-json.pcapng", "decoys.pcapng"] {
        for keys in ["1", "2", "3 tab j j", "3 tab v", "4", "5 *"] {
            let text = Screen::of(capture, (120, 40)).keys(keys).text();
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{capture} {keys}");
        }
    }
}

#[test]
fn every_command_is_in_the_table_once_and_reached_by_its_name() {
    let mut names = HashMap::new();
    for entry in keymap::entries() {
        assert!(names.insert(entry.name, entry.command).is_none(), "{} twice", entry.name);
        assert_eq!(keymap::named(entry.name).expect("its own name").command, entry.command);
        assert_eq!(keymap::entry_of(entry.command).name, entry.name);
    }
    let keymap = Keymap::new(&HashMap::new()).expect("no key twice");
    let help = Screen::of("session.pcapng", (200, 100)).keys("?").text();
    for entry in keymap::entries() {
        assert!(help.contains(entry.help), "help lacks {}", entry.name);
        for key in keymap.keys(entry.command) {
            assert_eq!(keymap.command(*key), Some(entry.command));
            assert_eq!(key.to_string().parse::<Key>().as_ref(), Ok(key));
        }
    }
}

#[test]
fn the_shipped_configuration_is_what_there_is_without_one() {
    let sample = Config::read(config::SAMPLE).expect("it is understood");
    let setup = |config: &Config| config.setup(String::new(), TimeZone::UTC, Depth::True).expect("all of it exists");
    let (sample, none) = (setup(&sample), setup(&Config::default()));
    assert_eq!((sample.theme, sample.time), (none.theme, none.time));
    for entry in keymap::entries() {
        assert_eq!(sample.keymap.keys(entry.command), none.keymap.keys(entry.command), "{}", entry.name);
        assert!(config::SAMPLE.contains(&format!("\n{} = ", entry.name)), "{} is not in it", entry.name);
    }
    let (sample, none) = (State::new(sample, (80, 24)).unwrap(), State::new(none, (80, 24)).unwrap());
    assert_eq!(sample.procedures.shown, none.procedures.shown);
    assert_eq!(sample.messages.shown, none.messages.shown);
    assert_eq!(sample.connections.shown, none.connections.shown);
}

#[test]
fn a_wrong_configuration_is_refused_with_what_there_is() {
    let fault = |text: &str| {
        let set_up = |config: Config| config.setup(String::new(), TimeZone::UTC, Depth::True).map(|_| ());
        Config::read(text).and_then(set_up).expect_err("it is wrong")
    };
    assert!(fault("tyme = \"delta\"").contains("tyme"));
    assert!(fault("time = \"soon\"").contains("absolute, relative, delta"));
    assert!(fault("[keys]\nfly = [\"f\"]").starts_with("2:7: [keys] fly: no such command"));
    assert!(fault("[keys]\nhelp = [\"hyper-x\"]").contains("is no key"));
    assert!(fault("[keys]\nhelp = [\"q\"]").contains("both"));
    assert!(fault("[colors]\nsky = { foreground = \"blue\" }").contains("no such part"));
    assert!(fault("[colors]\nerror = { foreground = \"reddish\" }").contains("is no colour"));
}

#[test]
fn a_filter_shows_what_read_shows() {
    for filter in ["ck.response", "ck.km.name == KMA-1 && ck.is_request", "ck.message contains relay"] {
        let mut screen = Screen::of("all-procedures.pcapng", (80, 24)).keys("/");
        filter.chars().for_each(|c| screen.press(c.to_string()));
        let screen = screen.keys("enter");
        let shown: Vec<u32> = (0..).map_while(|at| screen.state.message_at(at)).map(|index| index + 1).collect();
        let read = std::process::Command::new(env!("CARGO_BIN_EXE_ckscope"))
            .args(["read", "--fields", "number", "-Y", filter, "captures/all-procedures.pcapng"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("the binary runs");
        let read = String::from_utf8(read.stdout).expect("UTF-8");
        assert_eq!(shown, read.lines().map(|line| line.parse().unwrap()).collect::<Vec<u32>>(), "{filter}");
        assert!(!shown.is_empty() && shown.len() < 17, "{filter}");
    }
}

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
fn a_pause_says_how_far_behind_it_is_and_loses_nothing() {
    let mut screen = Screen::of("all-procedures.pcapng", (80, 24));
    let all = screen.state.extent;
    screen.state = State::new(Setup::default(), (80, 24)).unwrap();
    screen = screen.keys("p");
    screen.look(|state, view| state.refresh(view, Status { generation: 2, ..Status::default() }));
    assert!(screen.text().contains(&format!("paused, {} messages behind", all.messages)), "{}", screen.text());
    screen = screen.keys("p");
    assert_eq!(screen.state.extent, all);
}

#[test]
fn effects_are_told_not_done() {
    let key = |key: &str| Event::Key(KeyEvent::from(key.parse::<Key>().unwrap()));
    let mut screen = Screen::of("session.pcapng", (80, 24));
    assert_eq!(screen.event(&key("q")), Effect::Quit);
    assert!(
        matches!(screen.event(&key("y")), Effect::Copy(text) if text.starts_with("{\"id\":1,") && text.contains("\"state\""))
    );
    let of_message = screen.keys("3");
    screen = of_message;
    assert!(matches!(screen.event(&key("y")), Effect::Copy(text) if text.contains("\"message_id\"")));
    screen = screen.keys("w 'out.jsonl");
    let all = (0..screen.state.extent.messages).collect();
    let saved = Effect::Save { path: "out.jsonl".to_owned(), messages: all, secrets: false };
    assert_eq!(screen.event(&key("enter")), saved);
}

#[test]
fn a_click_selects_and_sorts() {
    let mut screen = Screen::of("all-procedures.pcapng", (80, 24));
    let click = |column, row| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    };
    screen.event(&click(5, 4));
    assert_eq!(screen.state.procedures.cursor.at, 2);
    screen.event(&click(25, 1));
    assert_eq!(screen.state.procedures.sort, (3, false));
    screen.event(&click(25, 1));
    assert_eq!(screen.state.procedures.sort, (3, true));
    screen.event(&click(17, 0));
    assert_eq!(screen.state.tab, ckscope::tui::tab::Tab::Flow);
}

/// Keys that the table has, letters to type, and sizes.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let keys: Vec<Key> = keymap::entries().flat_map(|entry| entry.keys).map(|key| key.parse().unwrap()).collect();
    let typed: Vec<Key> = "abe0 /\"(="
        .chars()
        .map(|c| if c == ' ' { "space".to_owned() } else { c.to_string() })
        .chain(["enter", "esc", "tab", "backspace", "left"].map(str::to_owned))
        .map(|key| key.parse().unwrap())
        .collect();
    let key = |keys: Vec<Key>| prop::sample::select(keys).prop_map(|key| Event::Key(key.into()));
    let mouse = (0..130_u16, 0..45_u16, 0..3_usize).prop_map(|(column, row, kind)| {
        let kind =
            [MouseEventKind::Down(MouseButton::Left), MouseEventKind::ScrollDown, MouseEventKind::ScrollUp][kind];
        Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    });
    let size = (0..130_u16, 0..45_u16).prop_map(|(columns, rows)| Event::Resize(columns, rows));
    prop::collection::vec(prop_oneof![8 => key(keys), 4 => key(typed), 3 => mouse, 1 => size], 1..60)
}

const CAPTURES: [&str; 6] = [
    "all-procedures.pcapng",
    "failures.pcapng",
    "malformed-json.pcapng",
    "decoys.pcapng",
    "unanswered.pcapng",
    "appendix-ii-failures-grpc-status.pcapng",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn no_keys_make_it_panic(events in events(), capture in prop::sample::select(CAPTURES.to_vec())) {
        let mut screen = Screen::of(capture, (120, 40));
        for event in events {
            screen.event(&event);
            screen.buffer();
        }
    }
}

/// A capture in a file, as the command shows it.
struct InFile(Still, PathBuf);

impl Feed for InFile {
    fn with(&self, look: &mut dyn FnMut(ckscope::journal::View<'_>)) {
        self.0.with(look);
    }

    fn status(&self) -> Status {
        self.0.status()
    }

    fn cancel(&self) {}

    fn packets(&self) -> Option<Replay> {
        Some(Replay::of_files(&Reader::open(std::slice::from_ref(&self.1)).0))
    }
}

fn order(feed: &dyn Feed, state: &State, path: &std::path::Path, messages: &[u32], secrets: bool) -> Order {
    let mut order = None;
    feed.with(&mut |view| order = Some(state.order(view, path.to_owned(), messages.to_vec(), secrets)));
    order.expect("the feed shows what it has")
}

fn save_to(feed: &dyn Feed, state: &State, path: &std::path::Path, messages: &[u32]) -> std::io::Result<()> {
    save::save(feed, &order(feed, state, path, messages, false), &AtomicBool::new(false)).map(|_| ())
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
    let mut reader = Reader::open(&[packets]).0.again();
    while reader.read_batch(&mut Batch::default(), 100) {}
    let comments: Vec<&str> = reader.files()[0].comments.iter().map(|(_, text)| text.as_str()).collect();
    assert!(comments.contains(&"look here"), "{comments:?}");
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

#[test]
fn a_look_on_another_thread_finds_the_same_and_can_be_given_up() {
    let Screen { feed, mut state } = Screen::of("all-procedures.pcapng", (80, 24)).keys("/ 'ck.response enter");
    let listed = |state: &State| (0..).map_while(|at| state.message_at(at)).collect::<Vec<u32>>();
    let (expected, old) = (listed(&state), state.job());
    assert!(old.is_none() && !expected.is_empty());
    state.shown.restart();
    let stale = state.job().expect("everything is to be looked at");
    state.shown.restart();
    std::thread::scope(|scope| {
        let mut scout = Scout::start(scope, &feed);
        scout.give(stale.shown.number, Some(stale), None);
        while state.is_looking() {
            scout.give(state.shown.number, state.job(), None);
            feed.with(&mut |view| scout.parts().for_each(|part| state.take(view, part)));
            std::thread::yield_now();
        }
    });
    assert_eq!(listed(&state), expected);
}

#[test]
fn a_search_on_another_thread_leads_where_one_on_this_leads() {
    let Screen { feed, mut state } = Screen::of("all-procedures.pcapng", (80, 24));
    let mut ways = Vec::new();
    for text in ["KEY RELAY", "0x4b4d41", "no such text"] {
        state.search.0 = text.to_owned();
        state.search_from(0, false);
        std::thread::scope(|scope| {
            let mut scout = Scout::start(scope, &feed);
            while state.search.1.is_some() {
                scout.give(state.shown.number, None, state.search.1.as_ref());
                feed.with(&mut |view| scout.parts().for_each(|part| state.take(view, part)));
                std::thread::yield_now();
            }
        });
        let found = state.said.take().is_none().then_some(state.messages.cursor.at);
        assert_eq!(found.is_some(), text != "no such text", "{text}");
        ways.push((text, found));
        state.messages.cursor.at = 0;
    }
    for (text, found) in ways {
        let screen =
            Screen::of("all-procedures.pcapng", (80, 24)).keys(&format!("3 ctrl-f '{} enter", text.replace(' ', "~")));
        let here = screen.state.said.is_none().then_some(screen.state.messages.cursor.at);
        assert_eq!(here, found, "{text}");
    }
}

#[test]
fn messages_are_sorted_by_what_a_column_says() {
    let listed = |state: &State| (0..).map_while(|at| state.message_at(at)).collect::<Vec<u32>>();
    let sorted =
        |column: &str| Screen::of("all-procedures.pcapng", (120, 40)).keys(&format!("3 : 'sort~{column} enter"));
    for column in
        ["time", "finding", "source", "destination", "message", "id", "code", "length", "packet", "connection"]
    {
        let Screen { feed, state } = sorted(column);
        let order = listed(&state);
        let mut all = order.clone();
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..state.extent.messages), "{column}: every message once");
        feed.with(&mut |view| {
            let key = |index: &u32| {
                let record = view.record(*index);
                let lane = |side| (state.names.lane(view, record.connection, side).name, 0);
                match column {
                    "source" => lane(record.side),
                    "destination" => lane(record.side.other()),
                    "message" => (view.name(record).to_owned(), 0),
                    "time" => (String::new(), record.time.0),
                    "finding" => (String::new(), record.worst.map_or(0, |worst| worst as i64 + 1)),
                    "id" => (String::new(), record.message_id.into()),
                    "code" => (String::new(), record.code.0.into()),
                    "length" => (String::new(), record.length.into()),
                    "packet" => (String::new(), record.packet.into()),
                    _ => (String::new(), record.connection.into()),
                }
            };
            assert!(order.is_sorted_by_key(|index| (key(index), *index)), "{column}");
        });
        let turned = Screen { feed, state }.keys(": 'reverse enter");
        assert!(listed(&turned.state).iter().rev().eq(&order), "{column} the other way round");
    }
    let refused = sorted("summary");
    assert!(refused.state.said.as_ref().is_some_and(|(text, wrong)| *wrong && text.contains("summary")));
    assert!(listed(&refused.state).is_sorted());
}

#[test]
fn sorting_and_filtering_messages_keep_the_selected_one() {
    let mut screen = Screen::of("all-procedures.pcapng", (120, 40)).keys("3 j");
    for keys in
        ["", ": 'sort~length enter", "/ 'ck.message~contains~\"Response\" enter", ": 'reverse enter", "/ ctrl-u enter"]
    {
        screen = screen.keys(keys);
        assert_eq!(screen.state.message_at(screen.state.messages.cursor.at), Some(1), "after {keys}");
    }
}

#[test]
fn all_about_a_connection_can_be_reached_on_a_small_screen() {
    let mut screen = Screen::of("all-procedures-tls12.pcapng", (80, 24)).keys("4");
    assert!(!screen.text().contains("responder: CN=controller"), "it is long");
    let mut below = screen.keys("tab G");
    assert!(below.text().contains("responder: CN=controller"), "{}", below.text());
    let mut alone = below.keys("g \\");
    assert!(
        alone.text().contains("responder: CN=controller") && alone.text().contains("Initiator"),
        "{}",
        alone.text()
    );
}

#[test]
fn a_filter_narrows_connections_and_an_exchange_without_messages_has_no_clean_bill() {
    let screen = Screen::of("failures.pcapng", (80, 24)).keys("4");
    let all = screen.state.connections.rows.len();
    let screen = screen.keys("/ 'ck.message_id~==~1048577 enter");
    assert!(screen.state.connections.rows.len() < all && !screen.state.connections.rows.is_empty());
    assert!(Screen::of("gap-open.pcapng", (80, 24)).keys("5").text().contains("gaps"));
}

#[test]
fn the_ladder_of_what_was_opened_stays_while_a_source_is_followed() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("captures/all-procedures.pcapng");
    let mut reader = Reader::open(&[path]).0;
    let mut analyzer = Analyzer::new(Options { is_watched: true, ..Options::new(Arc::new(Definitions::q4164())) });
    let mut state = State::new(Setup { tail: true, ..Setup::default() }, (80, 24)).expect("the default columns exist");
    let (mut batch, mut generation, mut is_open) = (Batch::default(), 0, false);
    while reader.read_batch(&mut batch, 12) {
        analyzer.batch(&batch);
        generation += 1;
        let view = ckscope::journal::View { journal: analyzer.journal(), blocks: reader.blocks() };
        state.refresh(view, Status { generation, ..Status::default() });
        if !is_open && !view.journal.procedures.is_empty() {
            state.event(Event::Key(KeyEvent::new(crossterm::event::KeyCode::Enter, KeyModifiers::NONE)), view);
            is_open = true;
        }
        assert!(!is_open || !state.flow.ladder.rows.is_empty(), "after {generation} batches");
        for connection in view.journal.connections.iter().filter(|connection| connection.messages > 0) {
            assert!(connection.traffic.bytes != [0, 0], "an open connection has its bytes");
        }
    }
    assert!(is_open && generation > 3 && state.tail);
}

#[test]
fn columns_aliases_and_what_was_typed_are_remembered() {
    let screen =
        Screen::of("all-procedures.pcapng", (120, 40)).keys("/ 'ck.response enter c ctrl-u 'number,state enter");
    let mut screen = screen.keys("G a 'Tokyo enter");
    let memory = Memory::of(&screen.state);
    assert_eq!(Memory::read(&memory.text()), Ok(memory.clone()));
    let setup = Setup { remembered: memory.clone(), ..Setup::default() };
    let state = State::new(setup, (120, 40)).expect("the columns exist");
    assert_eq!(state.columns(ckscope::tui::tab::Tab::Procedures), "number,state");
    assert_eq!(state.names.aliases, screen.state.names.aliases);
    assert!(!state.names.aliases.is_empty());
    assert_eq!(Memory::of(&state), memory, "nothing is lost when nothing changes");
    screen.state = state;
    let screen = screen.keys("/ up");
    assert_eq!(screen.state.prompt.as_ref().expect("it asks").line.text, "ck.response");
    assert_eq!(Memory::of(&State::new(Setup::default(), (80, 24)).expect("the columns exist")), Memory::default());
}

#[test]
fn an_identifier_of_the_message_is_picked_to_follow() {
    let screen = Screen::of("session.pcapng", (120, 40)).keys("3 j I");
    let prompt = screen.state.prompt.clone().expect("it asks");
    let Screen { feed, state } = screen;
    let mut offered = Vec::new();
    feed.with(&mut |view| offered = state.completions(&prompt, view).1);
    assert!(offered.len() > 3 && offered.contains(&"app-1".to_owned()), "{offered:?}");
    assert!(!offered.contains(&"Success".to_owned()), "a result identifies nothing: {offered:?}");
    let screen = Screen { feed, state }.keys("tab tab enter");
    let followed = screen.state.shown.carried.as_ref().expect("it is followed");
    assert!(offered.contains(&followed.text));
}

#[test]
fn values_of_the_capture_are_offered_while_a_filter_is_typed() {
    let mut screen = Screen::of("session.pcapng", (80, 24)).keys("3 / 'ck.session_id~==~c4");
    assert!(screen.text().contains("c42c5a1a-a382"), "{}", screen.text());
    let screen = screen.keys("tab enter");
    let typed = screen.state.shown.filter.as_ref().map(|(text, _)| text.as_str());
    assert_eq!(typed, Some("ck.session_id == c42c5a1a-a382-4138-b7ad-5fdd5756bd3d"));
    assert!(screen.state.messages.count > 0);
}

/// A capture with the comments of its packets, as the interface shows it once it has found them.
fn with_notes(path: &std::path::Path) -> (InFile, State) {
    let Screen { feed, mut state } = Screen::of(path.to_str().expect("UTF-8"), (80, 24));
    let feed = InFile(feed, path.to_owned());
    std::thread::scope(|scope| {
        let mut scout = Scout::start(scope, &feed);
        scout.ask_for_notes();
        let mut is_there = false;
        while !is_there {
            feed.with(&mut |view| {
                scout.parts().for_each(|part| {
                    state.take(view, part);
                    is_there = true;
                });
            });
            std::thread::yield_now();
        }
    });
    (feed, state)
}

#[test]
fn comments_of_a_capture_are_shown_changed_and_saved_once() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let original = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("captures/all-procedures.pcapng");
    let mut count = 0;
    // Opens a capture, types, saves all of it, and says what is commented then.
    let mut round = |before: &std::path::Path, keys: &str| {
        let (InFile(feed, before), state) = with_notes(before);
        let Screen { feed, state } = Screen { feed, state }.keys(keys);
        count += 1;
        let after = folder.path().join(format!("{count}.pcapng"));
        let (feed, all) = (InFile(feed, before), (0..state.extent.messages).collect::<Vec<u32>>());
        save_to(&feed, &state, &after, &all).expect("it is written");
        let mut replay = Replay::of_files(&Reader::open(std::slice::from_ref(&after)).0);
        while replay.read_batch(&mut Batch::default(), 100) {}
        let texts = replay.files()[0].comments.iter().map(|(_, text)| text.clone());
        (after, texts.filter(|text| text.contains("odd")).collect::<Vec<String>>())
    };
    let (first, written) = round(&original, "3 j j ; 'odd enter");
    assert_eq!(written, ["odd"]);
    let (second, kept) = round(&first, "3 j");
    assert_eq!(kept, ["odd"], "what was not changed stands once");
    let (InFile(feed, _), state) = with_notes(&second);
    let mut screen = Screen { feed, state }.keys("3 j j");
    assert!(screen.text().contains(" ; odd") && screen.text().contains(";3"), "{}", screen.text());
    let (third, changed) = round(&second, "3 j j ; '~indeed enter");
    assert_eq!(changed, ["odd indeed"]);
    let (_, gone) = round(&third, "3 j j ; ctrl-u enter");
    assert_eq!(gone, Vec::<String>::new());
}

#[test]
fn on_a_narrow_screen_message_ids_are_whole_and_lanes_beyond_it_are_counted() {
    let mut screen = Screen::of("failures.pcapng", (80, 24)).keys("3");
    assert!(screen.text().contains("Re: session creation") && screen.text().contains("#2147483650"));
    assert!(screen.keys("6").text().contains("0.1ms…10s"));
    let mut flow = Screen::of("all-procedures.pcapng", (48, 24)).keys("enter");
    let lanes = flow.state.flow.ladder.lanes.len();
    let heading = |screen: &mut Screen| screen.text().lines().nth(1).unwrap_or_default().to_owned();
    let first = heading(&mut flow);
    assert!(lanes == 4 && first.contains("2 more lanes ›"), "{lanes} {first}");
    let mut names = first.split_whitespace().map(str::to_owned).collect::<std::collections::BTreeSet<String>>();
    let mut scrolled = flow;
    for _ in 0..40 {
        scrolled = scrolled.keys("l");
        names.extend(heading(&mut scrolled).split_whitespace().map(str::to_owned));
    }
    let last = heading(&mut scrolled);
    assert!(last.starts_with('‹') && !last.contains('›'), "it scrolls to the last lane and no further: {last}");
    assert!(names.contains("ctrl") || names.contains("controller"));
    assert_eq!(heading(&mut scrolled.keys("h h h h h h h h h h h h h")), first);
}

#[test]
fn the_worst_finding_of_a_procedure_is_named() {
    let mut narrow = Screen::of("missing-parameter.pcapng", (80, 24)).keys("*");
    let row = narrow.state.procedures.rows.iter().position(|row| row.procedure == 1).expect("procedure 2 is shown");
    assert!(!narrow.text().contains("missing-parameter "), "the first procedure has no finding");
    narrow.state.procedures.cursor.at = row;
    assert!(narrow.text().contains("error missing-parameter in message 4"), "{}", narrow.text());
    let wide = Screen::of("missing-parameter.pcapng", (200, 24)).text();
    assert!(wide.contains("! FINDING") && wide.contains("E missing-parameter"), "{wide}");
}

#[test]
fn a_message_in_protobuf_is_shown_as_json_and_says_so() {
    let text = Screen::of("appendix-ii-grpc.pcapng", (80, 24)).keys("3 j tab v \\").text();
    assert!(text.contains("protobuf, written as JSON"), "{text}");
    assert!(text.contains("\"start_km\": \"KMA-1\",") && text.contains("\"kma_id\": \"KMA-2,KMA-3\","), "{text}");
    let status = Screen::of("appendix-ii-failures-grpc-status.pcapng", (80, 24)).keys("3 j j tab v \\").text();
    assert!(status.contains("no payload: the status of the call") && status.contains("\"grpc-status\": 9"), "{status}");
    let json = Screen::of("appendix-ii.pcapng", (80, 24)).keys("3 j tab v \\").text();
    assert!(json.contains("\"Source KMA ID\": \"KMA-1\",") && !json.contains("protobuf"), "{json}");
}

#[test]
fn what_is_followed_is_followed_no_longer_when_told_again_or_left() {
    let follows = |screen: &Screen| screen.state.shown.carried.is_some();
    let mut screen = Screen::of("all-procedures.pcapng", (120, 40)).keys("3 i");
    assert!(follows(&screen) && screen.text().contains("(i or esc ends it)"), "{}", screen.text());
    // Another message of the same exchange, which carries other identifiers, too.
    let mut again = screen.keys("j i");
    assert!(!follows(&again) && again.text().contains("no longer followed"), "{}", again.text());
    assert_eq!(again.state.messages.count as u32, again.state.extent.messages);
    let fields = again.keys("i tab esc");
    assert!(follows(&fields), "esc first leaves the pane");
    let left = fields.keys("esc");
    assert!(!follows(&left) && left.state.tab == ckscope::tui::tab::Tab::Messages);
    // What was chosen in one view stays while others are opened from it and left.
    let opened = left.keys("1 i enter esc");
    assert!(follows(&opened) && opened.state.tab == ckscope::tui::tab::Tab::Procedures);
    assert!(!follows(&opened.keys("q")), "and q leaves it before it leaves ckscope");
    let other = Screen::of("session.pcapng", (120, 40)).keys("3 i tab j i");
    assert!(follows(&other), "another value is followed instead");
}

#[test]
fn a_search_is_typed_anew_repeated_by_nothing_and_goes_round() {
    let at = |screen: &Screen| screen.state.messages.cursor.at;
    let prompt = |screen: &Screen| screen.state.prompt.as_ref().expect("it asks").line.text.clone();
    let screen = Screen::of("all-procedures.pcapng", (80, 24)).keys("3 ctrl-f 'session~creation enter");
    let first = at(&screen);
    assert!(first > 0 && screen.state.said.is_none());
    let mut asked = screen.keys("ctrl-f");
    assert_eq!(prompt(&asked), "");
    assert!(asked.text().contains("nothing: \"session creation\" again"), "{}", asked.text());
    asked = asked.keys("up");
    assert_eq!(prompt(&asked), "session creation");
    let second = asked.keys("ctrl-u enter");
    assert!(at(&second) > first && second.state.search.0 == "session creation");
    let mut before = second.keys("g N");
    assert!(before.text().contains("search wrapped"), "{}", before.text());
    let last = at(&before);
    let after = before.keys("n");
    assert_eq!(
        (at(&after), after.state.said.as_ref().map(|said| said.1)),
        (first, Some(false)),
        "from {last} to the first"
    );
    let nowhere = after.keys("ctrl-f 'no~such~text enter");
    assert!(nowhere.state.said.as_ref().is_some_and(|(text, wrong)| *wrong && text.contains("nowhere")));
    let mut only = nowhere.keys("g ctrl-f '1048577 enter");
    assert!(only.state.said.is_some(), "MessageIDs are in headers, which are not searched");
    only = only.keys("ctrl-f '\"app-4\" enter");
    let there = at(&only);
    only = (0..only.state.messages.count).fold(only, |screen, _| {
        let screen = screen.keys("n");
        assert_eq!(screen.state.said.is_some(), at(&screen) <= there, "it is said when it goes round");
        screen
    });
    assert!(at(&only) >= there);
}

#[test]
fn a_prompt_says_what_it_is_about() {
    let mut screen = Screen::of("all-procedures.pcapng", (80, 24)).keys("a");
    assert!(screen.text().contains("alias (name for KMA-1):"), "{}", screen.text());
    screen = screen.keys("'Tokyo enter");
    assert!(screen.text().contains("KMA-1 is shown as Tokyo"));
    screen = screen.keys("a");
    assert!(screen.text().contains("alias (name for KMA-1, now Tokyo):"), "{}", screen.text());
    screen = screen.keys("'Kyoto enter a enter");
    assert!(screen.text().contains("KMA-1 is shown as KMA-1"), "{}", screen.text());
    screen = screen.keys("3 j ;");
    assert!(screen.text().contains("comment (comment on message 2):"), "{}", screen.text());
    let nobody = screen.keys("esc 6 a");
    assert!(nobody.state.prompt.is_none() && nobody.state.said.is_some());
}

#[test]
fn a_command_refuses_what_it_does_not_understand() {
    let refused = |screen: &Screen| screen.state.said.as_ref().is_some_and(|(_, wrong)| *wrong);
    let typed = |line: &str| Screen::of("all-procedures.pcapng", (80, 24)).keys(&format!("3 : '{line} enter"));
    for entry in keymap::entries().filter(|entry| entry.argument == keymap::Argument::None) {
        let screen = typed(&format!("{}~nonsense", entry.name));
        let said = screen.state.said.clone();
        assert!(refused(&screen) && said.is_some_and(|(text, _)| text.contains("nonsense")), "{}", entry.name);
        assert_eq!(screen.state.tab, ckscope::tui::tab::Tab::Messages, "{}", entry.name);
    }
    for line in ["time~foo", "sort~foo", "columns~foo", "goto~foo", "filter~foo~==", "3~4", "command", "command~x", "t"]
    {
        assert!(refused(&typed(line)), "{line}");
    }
    let mut times = typed("time~foo");
    assert!(times.text().contains("absolute, relative, delta"), "{}", times.text());
    assert_eq!(times.state.setup.time, ckscope::tui::times::TimeMode::Absolute);
    assert_eq!(typed("time~delta").state.setup.time, ckscope::tui::times::TimeMode::Delta);
    let kept = Screen::of("all-procedures.pcapng", (80, 24)).keys("3 / 'ck.response enter : 'filter~foo~== enter");
    assert_eq!(kept.state.shown.filter.as_ref().map(|(text, _)| text.as_str()), Some("ck.response"));
    assert!(refused(&kept));
}

#[test]
fn what_a_command_takes_is_completed_behind_its_name() {
    let typed = |keys: &str| {
        let screen = Screen::of("all-procedures.pcapng", (80, 24)).keys(&format!("3 : {keys}"));
        screen.state.prompt.as_ref().expect("it asks").line.text.clone()
    };
    assert_eq!(typed("'tim tab"), "time");
    assert_eq!(typed("'time~re tab"), "time relative");
    assert_eq!(typed("'sort~le tab"), "sort length");
    assert_eq!(typed("'filter~ck.procedure.state~==~fa tab"), "filter ck.procedure.state == failed");
    assert_eq!(typed("'follow~KMA-1 tab"), "follow KMA-1");
    assert_eq!(typed("'pause~x tab"), "pause x");
}

#[test]
fn sorting_by_the_next_column_passes_over_those_off_screen() {
    let mut screen = Screen::of("all-procedures.pcapng", (80, 24));
    let heading = |screen: &mut Screen| screen.text().lines().nth(1).unwrap_or_default().to_owned();
    for _ in 0..20 {
        screen = screen.keys("s");
        let key = ckscope::tui::procedures::COLUMNS[screen.state.procedures.sort.0].key;
        assert!(heading(&mut screen).contains(['▴', '…']), "sorted by {key}, which nobody sees");
        assert!(screen.text().contains(&format!("sorted by {key}")));
    }
}

#[test]
fn in_a_ladder_of_deltas_each_stands_once() {
    let deltas = |keys: &str| {
        let text = Screen::of("all-procedures.pcapng", (120, 40)).keys(keys).text();
        text.lines().filter(|line| line.contains(" ms ") && line.contains('+')).count()
    };
    assert!(deltas("enter") > 2);
    assert_eq!(deltas("enter : 'time~delta enter"), 0);
}

#[test]
fn what_is_paused_is_not_said_to_follow() {
    let mut screen = Screen::of("all-procedures.pcapng", (80, 24));
    screen.state = State::new(Setup { tail: true, ..Setup::default() }, (80, 24)).unwrap();
    screen.look(|state, view| state.refresh(view, Status { generation: 2, ..Status::default() }));
    assert!(screen.text().contains("following"));
    let paused = screen.keys("p").text();
    assert!(paused.contains("paused") && !paused.contains("following"), "{paused}");
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
fn one_completion_after_the_other_is_had_by_tab() {
    let typed = |keys: &str| {
        let screen = Screen::of("all-procedures.pcapng", (80, 24)).keys(keys);
        screen.state.prompt.as_ref().expect("it asks").line.text.clone()
    };
    let begun = "/ 'ck.source_kma_id~==~";
    assert_eq!(typed(&format!("{begun} tab")), "ck.source_kma_id == KMA-1");
    assert_eq!(typed(&format!("{begun} tab tab")), "ck.source_kma_id == KMA-6");
    assert_eq!(typed(&format!("{begun} tab tab tab")), "ck.source_kma_id == KMA-1");
    assert_eq!(typed(&format!("{begun} shift-tab")), "ck.source_kma_id == KMA-6");
    assert_eq!(typed(&format!("{begun} tab backspace '6")), "ck.source_kma_id == KMA-6", "what is typed ends it");
    let mut shown = Screen::of("all-procedures.pcapng", (80, 24)).keys(&format!("{begun} tab"));
    assert!(shown.text().lines().any(|line| line.trim() == "KMA-6"), "the others stay offered: {}", shown.text());
}

#[test]
fn a_comment_on_one_of_several_messages_of_a_packet_stays_with_it() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let original = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("captures/messages-per-segment.pcapng");
    let (InFile(feed, before), state) = with_notes(&original);
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
    let (_, again) = with_notes(&after);
    let comment = |index: u32| again.marks.get(&index).and_then(|mark| mark.comment.as_deref());
    assert_eq!((comment(second - 1), comment(second)), (None, Some("the second")));
}

#[test]
fn a_default_that_protobuf_leaves_out_is_not_shown_as_missing() {
    let mut screen = Screen::of("appendix-ii-grpc.pcapng", (120, 40)).keys("3 j j");
    let text = screen.text();
    let response = text.lines().find(|line| line.trim_start().starts_with("Response")).expect("its table has it");
    assert!(!response.contains('✗') && response.contains("the default"), "{text}");
}
