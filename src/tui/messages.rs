//! Messages: a list, and of the selected one the fields and the bytes, linked with each other.

use std::collections::BTreeSet;
use std::sync::Arc;

use ratatui::style::Style;

use super::fields::Fields;
use super::list::Cursor;
use super::names::{Names, brief};
use super::order;
use super::procedures::Look;
use super::table::{Cell, Column, column};
use super::times::fitted;
use crate::journal::{NONE, View};
use crate::output::clock::Clock;
use crate::output::escape::escaped;
use crate::output::style::mark;
use crate::output::summary::facts;

/// The columns of the list.
pub const COLUMNS: &[Column] = &[
    column("number", "#", 2, 2, 0).right(),
    column("time", "TIME", 12, 15, 4),
    column("finding", "!", 1, 1, 0),
    column("source", "FROM", 7, 18, 3),
    column("destination", "TO", 7, 18, 3),
    column("message", "MESSAGE", 20, WHOLE_NAME, 1).good(35),
    column("id", "ID", 11, 17, 2).good(12),
    column("summary", "SUMMARY", 24, 200, 6).good(60).unsorted(),
    column("code", "CODE", 6, 6, 7),
    column("length", "LENGTH", 6, 6, 8).right(),
    column("packet", "PACKET", 6, 9, 9).right(),
    column("connection", "CONN", 4, 6, 9).right(),
    column("procedure", "PROC", 4, 7, 9).right(),
];

/// Screen columns for all names of Table I.1, and a sign before them.
const WHOLE_NAME: u16 = 43;

/// Those shown unless others are chosen.
pub const SHOWN: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

/// The panes.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Selection in the list.
    pub cursor: Cursor,
    /// Messages in the list.
    pub count: usize,
    /// Those in the list, as it shows them; `None` for all, in their order.
    pub listed: Option<Arc<Vec<u32>>>,
    /// Columns shown, as indexes of [`COLUMNS`].
    pub shown: Vec<usize>,
    /// Sorted by which column, and whether the other way round.
    pub sort: (usize, bool),
    /// Fields of the selected message.
    pub fields: Fields,
    /// Those to be seen, as indexes of its lines.
    pub visible: Vec<usize>,
    /// Paths of fields that are folded or unfolded against habit.
    pub toggled: BTreeSet<String>,
    /// Selection among the visible fields.
    pub field: Cursor,
    /// The selected byte.
    pub byte: usize,
    /// First line of bytes on screen.
    pub byte_top: usize,
    /// The JSON text instead of the fields.
    pub as_text: bool,
    /// First line of the text on screen.
    pub text_top: usize,
    /// What the fields were made from: message and generation.
    pub made: Option<(u32, u64)>,
}

impl Default for Panel {
    fn default() -> Self {
        Self {
            cursor: Cursor::default(),
            count: 0,
            listed: None,
            shown: SHOWN.to_vec(),
            sort: (0, false),
            fields: Fields::default(),
            visible: Vec::new(),
            toggled: BTreeSet::new(),
            field: Cursor::default(),
            byte: 0,
            byte_top: 0,
            as_text: false,
            text_top: 0,
            made: None,
        }
    }
}

impl Panel {
    /// Makes the list anew from messages 0 to `count`, or from those in `only`, which ascends.
    pub fn rebuild(&mut self, view: View<'_>, names: &Names, count: u32, only: Option<Vec<u32>>) {
        let listed = if self.is_in_order() {
            only
        } else {
            let mut all = only.unwrap_or_else(|| (0..count).collect());
            order::sort(view, names, COLUMNS[self.sort.0].key, &mut all);
            if self.sort.1 {
                all.reverse();
            }
            Some(all)
        };
        self.count = listed.as_ref().map_or(count as usize, Vec::len);
        self.listed = listed.map(Arc::new);
    }

    /// Whether the list is in the order of the capture.
    fn is_in_order(&self) -> bool {
        COLUMNS[self.sort.0].key == "number" && !self.sort.1
    }

    /// The message at a position of the list.
    pub fn at(&self, at: usize) -> Option<u32> {
        match &self.listed {
            Some(listed) => listed.get(at).copied(),
            None => (at < self.count).then_some(at as u32),
        }
    }

    /// Puts the cursor on `message`; where it is not in the list, to where it would be, if there is such a place.
    pub fn select(&mut self, message: u32) {
        self.cursor.at = match &self.listed {
            None => message as usize,
            Some(listed) if self.is_in_order() => listed.partition_point(|&index| index < message),
            Some(listed) => listed.iter().position(|&index| index == message).unwrap_or(self.cursor.at),
        };
    }

    /// Makes the fields of `message`, unless they are made.
    pub fn look_at(&mut self, view: View<'_>, message: Option<u32>, generation: u64) {
        let wanted = message.map(|message| (message, generation));
        if wanted == self.made {
            return;
        }
        let other = wanted.map(|it| it.0) != self.made.map(|it| it.0);
        let path = self.line().map(|line| line.path.clone());
        self.made = wanted;
        self.fields = message.map_or_else(Fields::default, |message| Fields::new(view, message));
        self.refold();
        if other {
            self.text_top = 0;
            // The same parameter of the next message, so that walking along a list compares them.
            let same = |line: &usize| Some(&self.fields.lines[*line].path) == path.as_ref();
            self.field.at = self.visible.iter().position(same).unwrap_or(0);
            self.select_bytes();
        }
    }

    /// Makes the list of visible fields anew.
    pub fn refold(&mut self) {
        self.visible = self.fields.visible(&self.toggled);
        self.field.at = self.field.at.min(self.visible.len().saturating_sub(1));
    }

    /// The selected field.
    pub fn line(&self) -> Option<&super::fields::Line> {
        self.fields.lines.get(*self.visible.get(self.field.at)?)
    }

    /// Selects the bytes of the selected field.
    pub fn select_bytes(&mut self) {
        if let Some(bytes) = self.line().and_then(|line| line.bytes.clone()) {
            self.byte = bytes.start;
        }
    }

    /// Selects the field of the selected byte, or the one that it is folded into.
    pub fn select_field(&mut self) {
        self.byte = self.byte.min(self.fields.bytes.len().saturating_sub(1));
        if let Some(line) = self.fields.line_at(self.byte) {
            self.field.at = self.visible.partition_point(|&visible| visible <= line).saturating_sub(1);
        }
    }

    /// Folds or unfolds the selected field.
    pub fn fold(&mut self, open: bool) {
        let Some(line) = self.line() else { return };
        if line.children > 0 && line.is_folded(&self.toggled) == open {
            let path = line.path.clone();
            if !self.toggled.remove(&path) {
                self.toggled.insert(path);
            }
            self.refold();
        } else if !open {
            // To what it is in.
            let depth = line.depth;
            let above = &self.visible[..self.field.at];
            if let Some(at) = above.iter().rposition(|&above| self.fields.lines[above].depth < depth) {
                self.field.at = at;
            }
        }
        self.select_bytes();
    }
}

/// The text of a cell of the list.
pub fn cell(view: View<'_>, look: &Look<'_>, clock: &mut Clock, message: u32, column: usize) -> Cell {
    let record = view.record(message);
    let plain = |text: String| (text, Style::new());
    let lane = |side| look.names.lane(view, record.connection, side).name;
    match COLUMNS[column].key {
        "number" => plain(format!("{}{}", look.mark, message + 1)),
        "time" => (fitted(&clock.next(record.time), look.room).to_owned(), look.theme.dim),
        "finding" => (mark(record.worst).to_owned(), look.theme.severity(record.worst)),
        "source" => plain(brief(&lane(record.side), look.room).into_owned()),
        "destination" => plain(brief(&lane(record.side.other()), look.room).into_owned()),
        "message" => title(view, look, message),
        "id" => plain(record.reference()),
        "code" => (record.code.to_string(), look.theme.dim),
        "length" => plain(record.length.to_string()),
        "packet" => plain(record.packet.to_string()),
        "connection" => plain((record.connection + 1).to_string()),
        "procedure" if record.procedure == NONE => plain("-".to_owned()),
        "procedure" => plain((record.procedure + 1).to_string()),
        _ => summary(view, look, message),
    }
}

/// The name of a message, shortened where it has no room; with a sign if it says that something failed.
fn title(view: View<'_>, look: &Look<'_>, message: u32) -> Cell {
    let record = view.record(message);
    let name = escaped(view.name(record));
    let failed = facts(view, &view.decoded(record)).iter().any(|fact| fact.failed);
    let (sign, style) = if failed { ("✗ ", look.theme.error) } else { ("", Style::new()) };
    let name = match name.strip_prefix("Response to ") {
        Some(what) if look.room < WHOLE_NAME.into() => format!("Re: {what}"),
        _ => name.into_owned(),
    };
    (format!("{sign}{name}"), look.theme.strong.patch(style))
}

/// What matters of a message on one line; red if it says that something failed.
fn summary(view: View<'_>, look: &Look<'_>, message: u32) -> Cell {
    let facts = facts(view, &view.decoded(view.record(message)));
    let failed = facts.iter().any(|fact| fact.failed);
    let tell = |fact: &crate::output::summary::Fact| {
        let sign = if fact.failed { "✗ " } else { "" };
        format!("{} {sign}{}", fact.label, fact.value)
    };
    let (bad, good): (Vec<_>, Vec<_>) = facts.iter().partition(|fact| fact.failed);
    let text = bad.into_iter().chain(good).map(tell).collect::<Vec<_>>().join("  ");
    (text, if failed { look.theme.error } else { Style::new() })
}
