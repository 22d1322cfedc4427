//! What stands in front of a view: help, and two messages compared.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::fields::{Fields, Kind, Line};
use super::keymap::{Keymap, TABLE};
use super::state::{Overlay, State};
use super::table::put;
use crate::journal::View;
use crate::output::escape::escaped;

/// A line of help: a heading, or keys, name and sentence.
pub enum HelpLine {
    /// A heading.
    Heading(&'static str),
    /// Nothing.
    Empty,
    /// A command.
    Command(String, &'static str, &'static str),
}

/// The help, made from the table of commands.
pub fn help(keymap: &Keymap) -> Vec<HelpLine> {
    let mut lines = Vec::new();
    for (heading, entries) in TABLE {
        if !lines.is_empty() {
            lines.push(HelpLine::Empty);
        }
        lines.push(HelpLine::Heading(heading));
        for entry in *entries {
            let keys: Vec<String> = keymap.keys(entry.command).iter().map(ToString::to_string).collect();
            lines.push(HelpLine::Command(keys.join(" "), entry.name, entry.help));
        }
    }
    lines
}

/// Lines of what is in front.
pub fn lines(state: &State) -> usize {
    match state.overlay {
        Some(Overlay::Help(_)) => help(&state.setup.keymap).len(),
        // Two messages have at most the fields of both; a payload has a bounded number of them.
        Some(Overlay::Diff(..)) => 2 * 4096,
        None => 0,
    }
}

/// A line of a comparison: the fields' name, and the value in each; whether they differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// What is compared.
    pub name: String,
    /// Values, where there are any.
    pub values: [Option<String>; 2],
}

impl Pair {
    /// Whether the two are not the same.
    pub fn differs(&self) -> bool {
        self.values[0] != self.values[1]
    }
}

/// The fields of two messages beside each other: those of the first in its order, then what only the second has.
pub fn compare(one: &[Line], other: &[Line]) -> Vec<Pair> {
    let told = |line: &&Line| matches!(line.kind, Kind::Field | Kind::Absent(_)) && line.children == 0;
    let value = |lines: &[Line], path: &str| {
        let found = lines.iter().filter(told).find(|line| line.path == path && line.kind == Kind::Field);
        found.map(|line| line.value.clone())
    };
    let mut pairs: Vec<(String, Pair)> = Vec::new();
    for line in one.iter().chain(other).filter(told) {
        if pairs.iter().any(|(path, _)| *path == line.path) {
            continue;
        }
        let values = [value(one, &line.path), value(other, &line.path)];
        if values.iter().any(Option::is_some) {
            let inner = line.depth > 1;
            let name = if inner { line.path.clone() } else { line.name.clone() };
            let name = crate::output::escape::escaped(&name).into_owned();
            pairs.push((line.path.clone(), Pair { name, values }));
        }
    }
    pairs.into_iter().map(|(_, pair)| pair).collect()
}

/// Draws the help from line `top` on.
pub fn draw_help(state: &State, buffer: &mut Buffer, area: Rect, top: usize) {
    let theme = &state.setup.theme;
    put(
        buffer,
        (area.x, area.y),
        area.width,
        "─▶ Help: keys, names for the : line, what they do ",
        theme.accent,
        false,
    );
    let names = 16;
    for (line, help) in help(&state.setup.keymap).iter().skip(top).take(usize::from(area.height) - 1).enumerate() {
        let y = area.y + 1 + line as u16;
        match help {
            HelpLine::Empty => {}
            HelpLine::Heading(heading) => put(buffer, (area.x + 1, y), area.width - 1, heading, theme.strong, false),
            HelpLine::Command(keys, name, sentence) => {
                put(buffer, (area.x + 2, y), 13, keys, theme.accent, false);
                put(buffer, (area.x + 16, y), names, name, theme.dim, false);
                let x = 17 + names;
                put(buffer, (area.x + x, y), area.width.saturating_sub(x), sentence, Style::new(), false);
            }
        }
    }
}

/// Draws two messages beside each other, from line `top` on.
pub fn draw_diff(state: &State, view: View<'_>, buffer: &mut Buffer, area: Rect, (pair, top): ([u32; 2], usize)) {
    let theme = &state.setup.theme;
    let [one, other] = pair.map(|index| Fields::new(view, index));
    let pairs = compare(&one.lines, &other.lines);
    let names = (area.width / 4).clamp(10, 30);
    let value = (area.width - names - 6) / 2;
    let title = |index: u32| format!("{} {}", index + 1, escaped(view.name(view.record(index))));
    put(buffer, (area.x, area.y), area.width, "  Compared", theme.accent, false);
    for (at, index) in pair.into_iter().enumerate() {
        let x = area.x + names + 4 + at as u16 * (value + 1);
        put(buffer, (x, area.y), value, &title(index), theme.strong, false);
    }
    for (line, pair) in pairs.iter().skip(top).take(usize::from(area.height) - 1).enumerate() {
        let y = area.y + 1 + line as u16;
        let (sign, style) = if pair.differs() { ("≠", theme.warning) } else { ("=", theme.dim) };
        put(buffer, (area.x + 1, y), 1, sign, style, false);
        put(buffer, (area.x + 3, y), names, &pair.name, theme.dim, false);
        for (at, text) in pair.values.iter().enumerate() {
            let x = area.x + names + 4 + at as u16 * (value + 1);
            put(buffer, (x, y), value, text.as_deref().unwrap_or("-"), style, false);
        }
    }
}
