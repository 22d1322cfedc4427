//! The bars around a view: tabs, filter, tour, status and hints.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::draw::wrapped;
use super::feed::Phase;
use super::keymap::{self, Command};
use super::state::State;
use super::tab::Tab;
use super::table::put;
use super::{procedures, typing};
use crate::journal::View;
use crate::output::escape::{escaped, width};

/// Tabs with the columns where they begin and end.
fn tab_places(state: &State) -> Vec<(Tab, String, u16)> {
    let long = state.size.0 >= 96;
    let mut x = 0;
    let place = |(number, tab): (usize, Tab)| {
        let title = if long || tab == state.tab { tab.title() } else { tab.short() };
        let text = format!(" {} {title} ", number + 1);
        let start = x;
        x += width(&text) as u16;
        (tab, text, start)
    };
    state.tabs().enumerate().map(place).collect()
}

/// The tab at a column of the tab bar.
pub fn tab_at(state: &State, x: u16) -> Option<Tab> {
    tab_places(state)
        .into_iter()
        .rfind(|(_, _, start)| *start <= x)
        .filter(|(_, text, start)| x < start + width(text) as u16)
        .map(|(tab, ..)| tab)
}

pub(super) fn tabs(state: &State, buffer: &mut Buffer, area: Rect) {
    let theme = &state.setup.theme;
    let mut end = 0;
    for (tab, text, x) in tab_places(state) {
        let style = if tab == state.tab { theme.accent.add_modifier(Modifier::REVERSED) } else { theme.dim };
        put(buffer, (x, area.y), area.width.saturating_sub(x), &text, style, false);
        end = x + width(&text) as u16;
    }
    let room = area.width.saturating_sub(end + 2);
    put(buffer, (area.width - room, area.y), room, &escaped(&state.setup.name), theme.dim, true);
}

pub(super) fn filter_line(state: &State, buffer: &mut Buffer, area: Rect) {
    let theme = &state.setup.theme;
    let shown = &state.shown;
    let mut told = Vec::new();
    if let Some((text, _)) = &shown.filter {
        told.push(format!("filter {}", escaped(text)));
    }
    if let Some(carried) = &shown.carried {
        let keys = [Command::Follow, Command::Back].map(|command| state.setup.keymap.keys(command).first());
        let keys: Vec<String> = keys.into_iter().flatten().map(ToString::to_string).collect();
        told.push(format!("follows {} ({} ends it)", escaped(&carried.text), keys.join(" or ")));
    }
    let (done, all) = (shown.scan.next.min(state.extent.messages), state.extent.messages);
    let count = if done < all {
        format!("{} of {done} looked at, {all} in all", state.shown.scan.messages.len())
    } else {
        format!("{} of {all} messages", state.messages.count)
    };
    let room = area.width.saturating_sub(width(&count) as u16 + 2);
    put(buffer, (area.x, area.y), room, &told.join("  "), theme.valid, false);
    put(buffer, (room + 1, area.y), area.width - room - 1, &count, theme.dim, true);
}

/// A hint of the tour, in as many lines as it has room for.
pub(super) fn tour(state: &State, buffer: &mut Buffer, area: Rect) {
    let Some(hint) = state.setup.tour.get(state.hint) else { return };
    let theme = &state.setup.theme;
    let key = |command| state.setup.keymap.keys(command).first().map(ToString::to_string).unwrap_or_default();
    let (next, end) = (key(Command::Tour), key(Command::EndTour));
    let text = format!("Tour {}/{}: {hint}   ({next} next, {end} no more)", state.hint + 1, state.setup.tour.len());
    for (line, text) in wrapped(&text, usize::from(area.width)).iter().take(usize::from(area.height)).enumerate() {
        put(buffer, (area.x, area.y + line as u16), area.width, text, theme.accent, false);
    }
}

/// What happened last, or how the source and the view stand; whether that takes the line of the hints, too.
pub(super) fn status(state: &State, view: View<'_>, buffer: &mut Buffer, area: Rect, hints: Rect) -> bool {
    let theme = &state.setup.theme;
    if let Some((text, wrong)) = state.said.as_ref().filter(|(text, _)| width(text) > usize::from(area.width / 2)) {
        let style = if *wrong { theme.warning } else { Style::new() };
        let lines = wrapped(&escaped(text), area.width.into());
        for (line, area) in lines.iter().zip([area, hints]) {
            put(buffer, (area.x, area.y), area.width, line, style, false);
        }
        return lines.len() > 1;
    }
    let right = standing(state);
    let room = area.width.saturating_sub(width(&right) as u16 + 1);
    put(buffer, (area.x + room, area.y), area.width - room, &right, theme.dim, true);
    let (text, style) = match (&state.said, state.status.problems.first()) {
        (Some((text, wrong)), _) => (escaped(text).into_owned(), if *wrong { theme.warning } else { Style::new() }),
        (None, Some(problem)) => {
            let more = state.status.problems.len() - 1;
            let more = if more > 0 { format!(" (+{more})") } else { String::new() };
            (format!("! {}{more}", escaped(problem)), theme.warning)
        }
        (None, None) => finding(state, view).unwrap_or_default(),
    };
    put(buffer, (area.x, area.y), room, &text, style, false);
    false
}

/// The worst finding of the selected procedure, for which its table may have no room.
fn finding(state: &State, view: View<'_>) -> Option<(String, Style)> {
    let is_shown = state.tab == Tab::Procedures && state.overlay.is_none();
    let procedure = state.procedures.selected().filter(|_| is_shown)?;
    let (message, code) = procedures::worst_finding(view, procedure)?;
    let worst = view.record(message).worst?;
    let text = format!("{worst} {} in message {}", code.name(), message + 1);
    Some((text, state.setup.theme.severity(Some(worst))))
}

/// Counts, progress, and what is behind.
fn standing(state: &State) -> String {
    let mut told = Vec::new();
    if state.search.1.is_some() {
        told.push("searching…".to_owned());
    }
    if state.saving > 0 {
        told.push("saving…".to_owned());
    }
    let behind = state.there.saturating_sub(state.extent.messages);
    match state.paused {
        true if behind > 0 => told.push(format!("paused, {behind} messages behind")),
        true => told.push("paused".to_owned()),
        false => {}
    }
    if state.status.behind > BEHIND {
        told.push(format!("{} behind", kilobytes(state.status.behind)));
    }
    if state.status.lost > 0 {
        told.push(format!("{} packets lost", state.status.lost));
    }
    match (state.status.phase, state.status.read) {
        (Phase::Growing, Some((done, all))) if all > 0 => told.push(format!("reading {}%", done.min(all) * 100 / all)),
        (Phase::Growing, _) if state.paused => {}
        (Phase::Growing, _) if state.tail => told.push("following".to_owned()),
        (Phase::Growing, _) => told.push("growing".to_owned()),
        (Phase::Cancelled, _) => told.push("stopped early".to_owned()),
        (Phase::Done, _) => {}
    }
    let marked = state.marks.values().filter(|mark| mark.marked).count();
    if marked > 0 {
        told.push(format!("{marked} marked"));
    }
    told.push(format!("{} procedures, {} messages", state.extent.procedures, state.extent.messages));
    told.join(" · ")
}

/// Bytes not analysed yet that are worth telling: less is only what came this moment.
const BEHIND: u64 = 1 << 20;

fn kilobytes(bytes: u64) -> String {
    if bytes < 10_000_000 { format!("{} kB", bytes / 1000) } else { format!("{} MB", bytes / 1_000_000) }
}

pub(super) fn hints(state: &State, buffer: &mut Buffer, area: Rect) {
    let theme = &state.setup.theme;
    let mut x = area.x;
    if let Some(asked) = typing::asked_beside(state) {
        put(buffer, (x, area.y), area.width, &asked, Style::new(), false);
        x += width(&asked) as u16 + 3;
    }
    let typed = [("enter", "do it"), ("esc", "leave it"), ("tab", "complete"), ("up", "what was typed before")];
    let from_table = || {
        keymap::entries().filter_map(|entry| {
            let (word, tabs) = entry.hint?;
            let key = state.setup.keymap.keys(entry.command).first()?.to_string();
            let fits =
                tabs.contains(&state.tab) || (entry.command == Command::Pause && state.status.phase == Phase::Growing);
            fits.then_some((key, word))
        })
    };
    let hints: Vec<(String, &str)> = if state.prompt.is_some() {
        typed.map(|(key, word)| (key.to_owned(), word)).to_vec()
    } else {
        from_table().collect()
    };
    for (key, word) in hints {
        let wide = (width(&key) + width(word) + 3) as u16;
        if x + wide > area.right() + 2 {
            break;
        }
        put(buffer, (x, area.y), wide, &key, theme.accent, false);
        put(buffer, (x + width(&key) as u16 + 1, area.y), width(word) as u16, word, theme.dim, false);
        x += wide;
    }
}
