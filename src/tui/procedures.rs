//! Procedures as a table: related ones folded under the first of them.

use std::collections::BTreeSet;

use ratatui::style::Style;

use super::findings;
use super::list::Cursor;
use super::names::{Names, brief};
use super::table::{Cell, Column, column};
use super::theme::Theme;
use super::times::fitted;
use crate::diagnostic::{Code, Severity};
use crate::journal::{NONE, View};
use crate::output::clock::{Clock, duration};
use crate::output::escape::escaped;
use crate::output::style::mark;
use crate::time::Span;

/// The columns of the table.
pub const COLUMNS: &[Column] = &[
    column("number", "#", 2, 2, 0).right(),
    column("start", "START", 12, 15, 4).good(12),
    column("finding", "! FINDING", 1, 24, 0).good(1),
    column("procedure", "PROCEDURE", 26, 35, 1),
    column("km", "KM", 8, 24, 3).good(12),
    column("controller", "CONTROLLER", 10, 24, 8).good(12),
    column("session", "SESSION", 9, 36, 6).good(12),
    column("relay", "RELAY", 9, 36, 7).good(12),
    column("messages", "MSGS", 4, 6, 9).right(),
    column("duration", "DURATION", 9, 11, 5).right(),
    column("state", "STATE", 10, 10, 2),
];

/// Those shown unless others are chosen.
pub const SHOWN: [usize; 11] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Index of the procedure.
    pub procedure: u32,
    /// Related procedures folded under it.
    pub folded: u32,
    /// Related procedures that stand under it.
    pub unfolded: u32,
    /// Whether it stands under another.
    pub is_child: bool,
}

/// The table.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Selection.
    pub cursor: Cursor,
    /// Its lines.
    pub rows: Vec<Row>,
    /// Columns shown, as indexes of [`COLUMNS`].
    pub shown: Vec<usize>,
    /// Sorted by which column, and whether the other way round.
    pub sort: (usize, bool),
    /// Indexes of exchanges that are unfolded; with `all`, of those that are not.
    toggled: BTreeSet<u32>,
    all: bool,
}

impl Default for Panel {
    fn default() -> Self {
        let (cursor, rows, toggled) = (Cursor::default(), Vec::new(), BTreeSet::new());
        Self { cursor, rows, shown: SHOWN.to_vec(), sort: (0, false), toggled, all: false }
    }
}

impl Panel {
    /// The selected procedure.
    pub fn selected(&self) -> Option<u32> {
        self.rows.get(self.cursor.at).map(|row| row.procedure)
    }

    /// Folds or unfolds what is related to the selected procedure; whether there was something to do.
    pub fn fold(&mut self, view: View<'_>, open: bool) -> bool {
        let Some(row) = self.rows.get(self.cursor.at) else { return false };
        let exchange = view.journal.procedures[row.procedure as usize].exchange;
        if exchange == NONE || open == (row.folded == 0) {
            return false;
        }
        if row.is_child {
            self.cursor.at = self.rows[..self.cursor.at].iter().rposition(|row| !row.is_child).unwrap_or(0);
        }
        if open == self.all { self.toggled.remove(&exchange) } else { self.toggled.insert(exchange) }
    }

    /// Unfolds everything, or folds it.
    pub fn fold_all(&mut self) {
        self.all = !self.all;
        self.toggled.clear();
    }

    /// Unfolds what is related to `procedure`, so that it has a line.
    pub fn reveal(&mut self, view: View<'_>, procedure: u32) {
        let exchange = view.journal.procedures[procedure as usize].exchange;
        if self.all {
            self.toggled.remove(&exchange)
        } else {
            self.toggled.insert(exchange)
        };
    }

    /// Puts the cursor on `procedure`, if it has a line.
    pub fn select(&mut self, procedure: u32) -> bool {
        let found = self.rows.iter().position(|row| row.procedure == procedure);
        if let Some(at) = found {
            self.cursor.at = at;
        }
        found.is_some()
    }

    /// Makes the lines anew from procedures 0 to `count`, or from those in `only`, which ascends.
    pub fn rebuild(&mut self, view: View<'_>, names: &Names, count: u32, only: Option<&[u32]>) {
        let all: Vec<u32> = only.map_or_else(|| (0..count).collect(), <[u32]>::to_vec);
        let mut groups: Vec<(u32, Vec<u32>)> = Vec::with_capacity(all.len());
        let mut place: Vec<Option<u32>> = vec![None; view.journal.exchanges.len()];
        for procedure in all {
            let exchange = view.journal.procedures[procedure as usize].exchange;
            match place.get_mut(exchange as usize) {
                Some(&mut Some(at)) => groups[at as usize].1.push(procedure),
                Some(place) => {
                    *place = Some(groups.len() as u32);
                    groups.push((procedure, Vec::new()));
                }
                None => groups.push((procedure, Vec::new())),
            }
        }
        let mut order: Vec<u32> = (0..groups.len() as u32).collect();
        let firsts: Vec<u32> = groups.iter().map(|(first, _)| *first).collect();
        sort(view, names, self.sort, &mut order, &firsts);
        self.rows.clear();
        for at in order {
            let (first, others) = &groups[at as usize];
            let exchange = view.journal.procedures[*first as usize].exchange;
            let open = self.all != self.toggled.contains(&exchange);
            let (folded, unfolded) = if open { (0, others.len()) } else { (others.len(), 0) };
            let (folded, unfolded) = (folded as u32, unfolded as u32);
            self.rows.push(Row { procedure: *first, folded, unfolded, is_child: false });
            if open {
                let child = |&procedure| Row { procedure, folded: 0, unfolded: 0, is_child: true };
                self.rows.extend(others.iter().map(child));
            }
        }
    }

    /// The text of a cell.
    pub fn cell(&self, view: View<'_>, look: &Look<'_>, clock: &mut Clock, at: usize, column: usize) -> Cell {
        let row = self.rows[at];
        let (journal, theme) = (view.journal, look.theme);
        let procedure = &journal.procedures[row.procedure as usize];
        let text = |id| journal.texts.get(id).map_or_else(String::new, |id| escaped(id).into_owned());
        let plain = |text: String| (text, Style::new());
        match COLUMNS[column].key {
            "number" => plain(format!("{}{}", look.mark, row.procedure + 1)),
            "start" => {
                let time = clock.next(view.record(journal.first_and_last(row.procedure).0).time);
                (fitted(&time, look.room).to_owned(), theme.dim)
            }
            "finding" => {
                let found = worst_finding(view, row.procedure).filter(|_| look.room > 2);
                let worst = worst(view, row.procedure);
                let name = found.map_or(String::new(), |(_, code)| format!(" {}", code.name()));
                (format!("{}{name}", mark(worst)), theme.severity(worst))
            }
            "procedure" => (title(view, row), theme.strong),
            "km" => plain(brief(&look.names.km(view, row.procedure), look.room).into_owned()),
            "controller" => plain(brief(&look.names.controller(view, row.procedure), look.room).into_owned()),
            "session" => plain(text(procedure.session)),
            "relay" => plain(text(procedure.key_relay_request)),
            "messages" => plain(journal.messages(row.procedure).len().to_string()),
            "duration" => {
                let (first, last) = journal.first_and_last(row.procedure);
                plain(if first == last { "-".to_owned() } else { duration(took(view, row.procedure)) })
            }
            _ => (procedure.state.name().to_owned(), theme.state(procedure.state)),
        }
    }
}

/// What cells look like beside what they say.
pub struct Look<'a> {
    /// Colours.
    pub theme: &'a Theme,
    /// Names of lanes.
    pub names: &'a Names,
    /// A sign before the number of what is marked.
    pub mark: &'a str,
    /// Screen columns of the cell.
    pub room: usize,
}

fn title(view: View<'_>, row: Row) -> String {
    let definition = view.journal.procedures[row.procedure as usize].definition;
    let name = escaped(&view.journal.definitions.procedures[usize::from(definition)].name);
    match row {
        Row { is_child: true, .. } => format!("  └ {name}"),
        Row { folded: 0, unfolded: 0, .. } => format!("  {name}"),
        Row { folded: 0, .. } => format!("▾ {name}"),
        Row { folded, .. } => format!("▸ {name} +{folded}"),
    }
}

/// The worst finding about its messages.
pub fn worst(view: View<'_>, procedure: u32) -> Option<Severity> {
    view.journal.messages(procedure).iter().filter_map(|&message| view.record(message).worst).max()
}

/// The first message with the worst finding, and the code of that.
pub fn worst_finding(view: View<'_>, procedure: u32) -> Option<(u32, Code)> {
    let worst = worst(view, procedure)?;
    let &message =
        view.journal.messages(procedure).iter().find(|&&message| view.record(message).worst == Some(worst))?;
    let code = view.record(message).codes.iter().find(|&code| findings::has(view, message, code) == Some(worst))?;
    Some((message, code))
}

fn took(view: View<'_>, procedure: u32) -> Span {
    let (first, last) = view.journal.first_and_last(procedure);
    view.record(last).time - view.record(first).time
}

/// Sorts `order`, positions in `procedures`.
fn sort(view: View<'_>, names: &Names, (column, reverse): (usize, bool), order: &mut [u32], procedures: &[u32]) {
    let journal = view.journal;
    let of = |at: u32| procedures[at as usize];
    let id = |id| journal.texts.get(id).unwrap_or("");
    match COLUMNS[column].key {
        "number" => {}
        "km" => order.sort_by_cached_key(|&at| names.km(view, of(at))),
        "controller" => order.sort_by_cached_key(|&at| names.controller(view, of(at))),
        "session" => order.sort_by_key(|&at| id(journal.procedures[of(at) as usize].session)),
        "relay" => order.sort_by_key(|&at| id(journal.procedures[of(at) as usize].key_relay_request)),
        key => order.sort_by_cached_key(|&at| number(view, key, of(at))),
    }
    if reverse {
        order.reverse();
    }
}

/// What a procedure is sorted by in a column of numbers, or of few values.
fn number(view: View<'_>, key: &str, procedure: u32) -> i64 {
    let journal = view.journal;
    let entry = &journal.procedures[procedure as usize];
    match key {
        "start" => view.record(journal.first_and_last(procedure).0).time.0,
        "finding" => worst(view, procedure).map_or(0, |severity| severity as i64 + 1),
        "procedure" => {
            let names = &journal.definitions.procedures;
            let own = &names[usize::from(entry.definition)].name;
            names.iter().filter(|other| other.name < *own).count() as i64
        }
        "messages" => journal.messages(procedure).len() as i64,
        "duration" => took(view, procedure).0,
        _ => entry.state as i64,
    }
}
