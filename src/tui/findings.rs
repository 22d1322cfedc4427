//! Diagnostics grouped by severity and code, each with the messages that have it.

use std::collections::BTreeSet;

use super::list::Cursor;
use crate::diagnostic::{Code, Severity};
use crate::journal::View;

/// A line of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// A code of a severity, with the number of its messages.
    Group(Severity, Code, u32),
    /// A message under its group.
    Message(u32, Severity, Code),
}

/// The list.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    /// Selection.
    pub cursor: Cursor,
    /// Its lines.
    pub rows: Vec<Row>,
    open: BTreeSet<(Severity, Code)>,
    all: bool,
}

impl Panel {
    /// The selected message; of a group the first.
    pub fn selected(&self, view: View<'_>) -> Option<u32> {
        match *self.rows.get(self.cursor.at)? {
            Row::Message(index, ..) => Some(index),
            Row::Group(severity, code, _) => {
                (0..view.journal.records.len() as u32).find(|&index| has(view, index, code) == Some(severity))
            }
        }
    }

    /// Folds or unfolds the selected group; whether there was something to do.
    pub fn fold(&mut self, open: bool) -> bool {
        let group = match self.rows.get(self.cursor.at) {
            Some(&Row::Group(severity, code, _)) => (severity, code),
            Some(&Row::Message(_, severity, code)) if !open => {
                self.cursor.at =
                    self.rows[..self.cursor.at].iter().rposition(|row| matches!(row, Row::Group(..))).unwrap_or(0);
                (severity, code)
            }
            _ => return false,
        };
        if self.is_open(group) == open {
            return false;
        }
        if open == self.all { self.open.remove(&group) } else { self.open.insert(group) }
    }

    /// Unfolds everything, or folds it.
    pub fn fold_all(&mut self) {
        self.all = !self.all;
        self.open.clear();
    }

    /// Whether a group's messages are shown.
    pub fn is_open(&self, group: (Severity, Code)) -> bool {
        self.all != self.open.contains(&group)
    }

    /// Makes the lines anew from messages 0 to `count`, or from those in `only`.
    pub fn rebuild(&mut self, view: View<'_>, count: u32, only: Option<&[u32]>) {
        let mut groups: Vec<((Severity, Code), Vec<u32>)> = Vec::new();
        let mut look = |index: u32| {
            let record = view.record(index);
            for code in record.codes.iter() {
                let Some(severity) = has(view, index, code) else { continue };
                match groups.iter_mut().find(|(group, _)| *group == (severity, code)) {
                    Some((_, messages)) => messages.push(index),
                    None => groups.push(((severity, code), vec![index])),
                }
            }
        };
        match only {
            Some(only) => only.iter().for_each(|&index| look(index)),
            None => (0..count).for_each(look),
        }
        groups.sort_by_key(|((severity, code), messages)| {
            (std::cmp::Reverse(*severity), std::cmp::Reverse(messages.len()), *code)
        });
        self.rows.clear();
        for ((severity, code), messages) in groups {
            self.rows.push(Row::Group(severity, code, messages.len() as u32));
            if self.is_open((severity, code)) {
                self.rows.extend(messages.into_iter().map(|index| Row::Message(index, severity, code)));
            }
        }
    }
}

/// How bad `code` is about message `index`, if it has it. A record keeps its codes and the worst severity of all; which
/// severity belongs to which code is looked up only where there are several.
pub(super) fn has(view: View<'_>, index: u32, code: Code) -> Option<Severity> {
    let record = view.record(index);
    if !record.codes.contains(code) {
        return None;
    }
    if record.codes.iter().count() == 1 {
        return record.worst;
    }
    let decoded = view.decoded(record);
    let all = view.diagnostics(index, &decoded);
    all.iter().filter(|found| found.code == code).map(|found| found.severity).max().or(record.worst)
}
