//! What the views show.

use std::path::PathBuf;
use std::sync::Arc;

use ckscope::analyzer::{Analyzer, Options};
use ckscope::capture::Batch;
use ckscope::capture::file::Reader;
use ckscope::dissect::Definitions;
use ckscope::tui::theme::{Depth, Theme};
use ckscope::tui::{Setup, State, Status};
use crossterm::event::{Event, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use crate::screen::{SIZES, Screen};

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
fn in_a_ladder_of_deltas_each_stands_once() {
    let deltas = |keys: &str| {
        let text = Screen::of("all-procedures.pcapng", (120, 40)).keys(keys).text();
        text.lines().filter(|line| line.contains(" ms ") && line.contains('+')).count()
    };
    assert!(deltas("enter") > 2);
    assert_eq!(deltas("enter : 'time~delta enter"), 0);
}

#[test]
fn what_came_while_another_view_was_open_is_followed_when_the_list_is() {
    let mut screen = Screen::of("all-procedures.pcapng", (80, 24));
    screen.state = State::new(Setup { tail: true, ..Setup::default() }, (80, 24)).unwrap();
    let mut screen = screen.keys("6");
    screen.look(|state, view| state.refresh(view, Status { generation: 2, ..Status::default() }));
    let mut screen = screen.keys("3");
    let mut messages = 0;
    screen.look(|_, view| messages = view.journal.records.len());
    assert_eq!(screen.state.messages.cursor.at, messages - 1);
    let screen = screen.keys("1");
    let last = screen.state.procedures.rows.len() - 1;
    assert_eq!(screen.state.procedures.cursor.at, last);
    let moved = screen.keys("k k 6 1");
    assert_eq!(moved.state.procedures.cursor.at, last - 2, "whoever moves is not moved");
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

#[test]
fn a_default_that_protobuf_leaves_out_is_not_shown_as_missing() {
    let mut screen = Screen::of("appendix-ii-grpc.pcapng", (120, 40)).keys("3 j j");
    let text = screen.text();
    let response = text.lines().find(|line| line.trim_start().starts_with("Response")).expect("its table has it");
    assert!(!response.contains('✗') && response.contains("the default"), "{text}");
}
