//! Keys, commands, prompts and the configuration.

use std::collections::HashMap;

use ckscope::tui::config::{self, Config};
use ckscope::tui::key::Key;
use ckscope::tui::keymap::{self, Keymap};
use ckscope::tui::memory::Memory;
use ckscope::tui::theme::Depth;
use ckscope::tui::{Effect, Setup, State};
use crossterm::event::{Event, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use crate::screen::Screen;

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
fn enter_takes_no_cursor_away_where_nothing_can_be_opened() {
    let statistics = |keys: &str| Screen::of("session.pcapng", (80, 12)).keys(keys).text();
    assert_eq!(statistics("6 enter down"), statistics("6 down"));
    assert_ne!(statistics("6 down"), statistics("6"));
}
