//! Filters, searches and orders of lists, and what is followed.

use ckscope::tui::scout::Scout;
use ckscope::tui::{Feed, State};

use crate::screen::Screen;

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
fn a_filter_narrows_connections_and_an_exchange_without_messages_has_no_clean_bill() {
    let screen = Screen::of("failures.pcapng", (80, 24)).keys("4");
    let all = screen.state.connections.rows.len();
    let screen = screen.keys("/ 'ck.message_id~==~1048577 enter");
    assert!(screen.state.connections.rows.len() < all && !screen.state.connections.rows.is_empty());
    assert!(Screen::of("gap-open.pcapng", (80, 24)).keys("5").text().contains("gaps"));
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
