//! What stands in front of a view: help, and two messages compared.

use super::fields::{Kind, Line};
use super::keymap::{Keymap, TABLE};
use super::state::{Overlay, State};

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
