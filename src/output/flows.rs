//! Procedures as a table, for people.

use std::io::{self, Write};

use anstyle::Style;

use super::clock::{Clock, duration};
use super::escape::{escaped, token, width};
use super::ladder::{Identities, Kms};
use super::lines::{Piece, flow, pad, paint, push_aligned, push_number, push_spaces};
use super::style::{Styles, mark};
use crate::diagnostic::{Code, CodeSet, Severity};
use crate::journal::{Journal, Procedure, View};
use crate::time::Timestamp;

/// Columns of a session ID or key relay request ID; a UUID has 36.
const MOST_ID: usize = 64;
/// Columns of a KM's name.
const MOST_NAME: usize = 47;
/// Columns that the flowing rest needs beside the fixed columns.
const LEAST_ROOM: usize = 52;
/// Related procedures that are told one by one.
const MOST_RELATED: usize = 8;
/// `unanswered`.
const STATE: usize = 10;
/// `-12345.67 ms`, mostly.
const DURATION: usize = 9;

/// What the messages of a procedure say together.
struct Sum {
    start: Timestamp,
    end: Timestamp,
    worst: Option<Severity>,
    /// Codes of their diagnostics.
    codes: CodeSet,
    /// Index of the connection of the first one.
    connection: u32,
}

impl Sum {
    fn of(journal: &Journal, messages: &[u32]) -> Self {
        let first = &journal.records[messages[0] as usize];
        let (start, end, connection) = (first.time, first.time, first.connection);
        let mut sum = Self { start, end, worst: None, codes: CodeSet::default(), connection };
        for &message in messages {
            let record = &journal.records[message as usize];
            sum.start = sum.start.min(record.time);
            sum.end = sum.end.max(record.time);
            sum.worst = sum.worst.max(record.worst);
            sum.codes.0 |= record.codes.0;
        }
        sum
    }
}

/// How procedures are listed.
#[derive(Clone, Debug)]
pub struct Listing<'a> {
    view: View<'a>,
    identities: &'a Identities<'a>,
    kms: &'a Kms,
    /// What tells the times.
    pub clock: Clock,
    styles: Styles,
    columns: usize,
    id: usize,
    name: usize,
    km: usize,
}

impl<'a> Listing<'a> {
    /// A listing for lines of at most `columns`.
    pub fn new(
        view: View<'a>,
        (identities, kms): (&'a Identities<'a>, &'a Kms),
        clock: Clock,
        styles: Styles,
        columns: usize,
    ) -> Self {
        let journal = view.journal;
        let mut used = vec![false; journal.definitions.procedures.len()];
        journal.procedures.iter().for_each(|procedure| used[procedure.definition as usize] = true);
        let talking = (0..).zip(&journal.connections).filter(|(_, connection)| connection.messages > 0);
        let km = talking.map(|(index, _)| kms.of(index).1).max().unwrap_or(0);
        let names = journal.definitions.procedures.iter().zip(used).filter(|(_, used)| *used);
        let name = names.map(|(definition, _)| width(&definition.name)).max().unwrap_or(0).max("PROCEDURE".len());
        let id = journal.procedures.len().to_string().len().max("ID".len());
        Self { view, identities, kms, clock, styles, columns, id, name, km: km.clamp("KM".len(), MOST_NAME) }
    }

    /// Whether everything stands in columns; else each procedure takes two lines or more.
    fn is_wide(&self) -> bool {
        self.fixed_width() + LEAST_ROOM <= self.columns
    }

    fn fixed_width(&self) -> usize {
        self.id + 1 + self.clock.width() + 3 + self.name + 2 + STATE + 2 + DURATION + 2 + self.km + 2
    }

    /// Writes the titles of the columns.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn header(&self, out: &mut impl Write) -> io::Result<()> {
        let (id, time, name) = (self.id, self.clock.width(), self.name);
        let mut line = format!(
            "{:>id$} {:<time$}   {:<name$}  {:<STATE$}  {:>DURATION$}",
            "ID", "START", "PROCEDURE", "STATE", "DURATION"
        );
        if self.is_wide() {
            line += &format!("  {:<1$}  DETAILS", "KM", self.km);
        }
        let mut painted = String::new();
        paint(&mut painted, &line, self.styles.strong);
        writeln!(out, "{painted}")
    }

    /// Writes procedure `index`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&mut self, out: &mut impl Write, index: u32) -> io::Result<()> {
        let journal = self.view.journal;
        let procedure = &journal.procedures[index as usize];
        let mut line = String::with_capacity(256);
        let sum = Sum::of(journal, journal.messages(index));
        self.head(&mut line, index, procedure, &sum);
        let (km, columns) = self.kms.of(sum.connection);
        let mut pieces = self.pieces(index, procedure, &sum);
        if self.is_wide() {
            line.push_str("  ");
            line.push_str(km);
            push_spaces(&mut line, (self.km + 2).saturating_sub(columns));
            flow(&mut line, &pieces, self.fixed_width(), self.fixed_width(), self.columns);
        } else {
            let indent = self.id + 1;
            line.push('\n');
            push_spaces(&mut line, indent);
            pieces.insert(0, Piece::labelled("km", self.styles.dim, km, Style::new()));
            flow(&mut line, &pieces, indent, indent, self.columns);
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        out.write_all(line.as_bytes())
    }

    fn head(&mut self, line: &mut String, index: u32, procedure: &Procedure, sum: &Sum) {
        let journal = self.view.journal;
        let &Sum { start, end, worst, .. } = sum;
        push_aligned(line, u64::from(index) + 1, self.id);
        line.push(' ');
        paint(line, &self.clock.next(start), self.styles.dim);
        line.push(' ');
        paint(line, mark(worst), self.styles.severity(worst));
        line.push(' ');
        let name = escaped(&journal.definitions.procedures[procedure.definition as usize].name);
        paint(line, &name, self.styles.strong);
        pad(line, &name, self.name + 2);
        paint(line, procedure.state.name(), self.styles.state(procedure.state));
        pad(line, procedure.state.name(), STATE + 2);
        let took = if journal.messages(index).len() == 1 { "-".to_owned() } else { duration(end - start) };
        push_spaces(line, DURATION.saturating_sub(took.len()));
        line.push_str(&took);
    }

    fn pieces(&self, index: u32, procedure: &Procedure, sum: &Sum) -> Vec<Piece> {
        let (journal, styles) = (self.view.journal, &self.styles);
        let piece = |label, text: String| Piece::labelled(label, styles.dim, text, Style::new());
        let mut pieces = Vec::new();
        for (label, id) in [("session", procedure.session), ("relay", procedure.key_relay_request)] {
            pieces.extend(journal.texts.get(id).map(|id| piece(label, token(id, MOST_ID))));
        }
        if self.identities.has_several_controllers() {
            pieces.push(piece("controller", self.identities.controller_address(sum.connection)));
        }
        pieces.push(piece("messages", numbers(journal.messages(index), usize::MAX)));
        let related = journal.related(index);
        if !related.is_empty() {
            pieces.push(piece("related", numbers(&related, MOST_RELATED)));
        }
        let codes: Vec<&str> = sum.codes.iter().map(Code::name).collect();
        if !codes.is_empty() {
            pieces.push(Piece::new(format!("[{}]", codes.join(", ")), styles.severity(sum.worst)));
        }
        pieces
    }
}

/// `1,2,3`, as they are numbered for people.
fn numbers(indexes: &[u32], most: usize) -> String {
    let (mut text, count) = (String::with_capacity(32), indexes.len());
    for (position, &index) in indexes.iter().take(most).enumerate() {
        if position > 0 {
            text.push(',');
        }
        push_number(&mut text, u64::from(index) + 1);
    }
    if count > most {
        text += &format!(",… {count} in all");
    }
    text
}
