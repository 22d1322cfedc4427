//! Messages as lines of text, for people.

use std::io::{self, Write};

use anstyle::Style;

use super::clock::Clock;
use super::detail;
use super::escape::width;
use super::lines::{Piece, flow, pad, paint, push_aligned, push_spaces};
use super::style::{Styles, mark};
use super::summary::facts;
use crate::dissect::{Decoded, Definitions};
use crate::journal::{Binding, Record, View};

/// Columns that a line's identifiers need to be read at a glance; with less they go on lines of their own.
const LEAST_ROOM: usize = 40;

/// Digits of a number, before it is known how many messages there will be.
const USUAL_NUMBER: usize = 4;
/// Columns of an end, `192.0.2.100:41234`.
const USUAL_END: usize = 17;
/// Columns of a MessageID.
const USUAL_MESSAGE_ID: usize = 4;

/// How messages are listed.
#[derive(Clone, Debug)]
pub struct Listing {
    /// What tells the times.
    pub clock: Clock,
    styles: Styles,
    verbose: bool,
    columns: usize,
    number: usize,
    ends: [usize; 2],
    name: usize,
    message_id: usize,
}

impl Listing {
    /// A listing of what `view` has, in lines of at most `columns`; `verbose`: with every parameter and diagnostic.
    pub fn new(view: View<'_>, clock: Clock, styles: Styles, columns: usize, verbose: bool) -> Self {
        let records = &view.journal.records;
        let mut listing = Self { clock, styles, verbose, columns, number: 0, ends: [0; 2], name: 0, message_id: 0 };
        listing.number = records.len().to_string().len();
        let longest = |binding| {
            let records = records.iter().filter(move |record| record.binding == binding);
            records.max_by_key(|record| record.message_id).map_or(0, |record| record.reference().len())
        };
        listing.message_id = longest(Binding::Tcp).max(longest(Binding::Grpc));
        listing.name = records.iter().map(|record| width(view.name(record))).max().unwrap_or(0);
        for connection in view.journal.connections.iter().filter(|connection| connection.messages > 0) {
            let widest = connection.ends.iter().map(|end| end.to_string().len()).max().unwrap_or(0);
            listing.ends = listing.ends.map(|known| known.max(widest));
        }
        listing
    }

    /// A listing of messages that are still to come: room for what is usual, and more for what comes after the first
    /// that needs it.
    pub fn growing(definitions: &Definitions, clock: Clock, styles: Styles, columns: usize, verbose: bool) -> Self {
        let (number, ends, message_id) = (USUAL_NUMBER, [USUAL_END; 2], USUAL_MESSAGE_ID);
        let name = definitions.messages.iter().map(|message| width(&message.name)).max().unwrap_or(0);
        Self { clock, styles, verbose, columns, number, ends, name, message_id }
    }

    /// Writes message `index` of `view`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&mut self, out: &mut impl Write, view: View<'_>, index: u32) -> io::Result<()> {
        let record = view.record(index);
        let decoded = view.decoded(record);
        let mut line = String::with_capacity(256);
        self.make_room(view, index, record);
        let taken = self.head(&mut line, view, index, record);
        self.body(&mut line, view, record, &decoded, taken);
        line.push('\n');
        if self.verbose {
            detail::write(&mut line, view, index, &decoded, self.styles, self.columns);
        }
        out.write_all(line.as_bytes())
    }

    /// Widens what a message that was not known of is too wide for.
    fn make_room(&mut self, view: View<'_>, index: u32, record: &Record) {
        let connection = &view.journal.connections[record.connection as usize];
        let widest = connection.ends.iter().map(|end| end.to_string().len()).max().unwrap_or(0);
        self.ends = self.ends.map(|known| known.max(widest));
        self.number = self.number.max((index + 1).to_string().len());
        self.name = self.name.max(width(view.name(record)));
        self.message_id = self.message_id.max(record.reference().len());
    }

    /// Number, time, mark and ends; the columns taken.
    fn head(&mut self, line: &mut String, view: View<'_>, index: u32, record: &Record) -> usize {
        let connection = &view.journal.connections[record.connection as usize];
        push_aligned(line, u64::from(index) + 1, self.number);
        line.push(' ');
        let time = self.clock.next(record.time);
        paint(line, &time, self.styles.dim);
        line.push(' ');
        paint(line, mark(record.worst), self.styles.severity(record.worst));
        line.push(' ');
        let ends = [record.side, record.side.other()].map(|side| connection.end(side).to_string());
        line.push_str(&ends[0]);
        pad(line, &ends[0], self.ends[0]);
        line.push_str(" → ");
        line.push_str(&ends[1]);
        self.number + 1 + self.clock.width() + 3 + self.ends[0] + 3 + width(&ends[1])
    }

    /// Name and what matters: beside the head where there is room, else under it.
    fn body(&self, line: &mut String, view: View<'_>, record: &Record, decoded: &Decoded, taken: usize) {
        let beside = self.head_width() + self.name_width() + LEAST_ROOM <= self.columns;
        let indent = if beside {
            push_spaces(line, self.head_width() - taken);
            self.head_width()
        } else {
            line.push('\n');
            push_spaces(line, self.number + 1);
            self.number + 1
        };
        let name = view.name(record);
        paint(line, &record.code.to_string(), self.styles.dim);
        line.push(' ');
        paint(line, name, self.styles.strong);
        let message_id = record.reference();
        let rest = self.pieces(view, record, decoded);
        if beside {
            pad(line, name, self.name + 2);
            line.push_str(&message_id);
            if !rest.is_empty() {
                pad(line, &message_id, self.message_id + 2);
            }
            let column = indent + self.name_width();
            flow(line, &rest, column, column, self.columns);
        } else {
            let all: Vec<Piece> = [Piece::new(message_id, Style::new())].into_iter().chain(rest).collect();
            line.push_str("  ");
            flow(line, &all, indent + 9 + width(name), indent + 7, self.columns);
        }
    }

    /// Columns of number, time, mark and ends, with the space after them.
    fn head_width(&self) -> usize {
        self.number + 1 + self.clock.width() + 3 + self.ends[0] + 3 + self.ends[1] + 2
    }

    /// Columns of code, name and MessageID, with the space after them.
    fn name_width(&self) -> usize {
        7 + self.name + 2 + self.message_id + 2
    }

    fn pieces(&self, view: View<'_>, record: &Record, decoded: &Decoded) -> Vec<Piece> {
        let styles = &self.styles;
        let facts = facts(view, decoded).into_iter().map(|fact| {
            let style = if fact.failed { styles.bad } else { Style::new() };
            Piece::labelled(fact.label, styles.dim, fact.value, style)
        });
        let codes: Vec<&str> = record.codes.iter().map(|code| code.name()).collect();
        let look = styles.severity(record.worst);
        let found = (!codes.is_empty()).then(|| Piece::new(format!("[{}]", codes.join(", ")), look));
        facts.chain(found).collect()
    }
}
