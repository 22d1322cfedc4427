//! Connections as a table, for people.

use std::io::{self, Write};

use anstyle::Style;

use super::clock::{Clock, duration};
use super::escape::{escaped, escaped_line};
use super::lines::{Piece, flow, paint, paragraph};
use super::style::Styles;
use crate::journal::{Closed, Connection, Side, Trouble, View};

/// How connections are listed.
#[derive(Debug)]
pub struct Listing<'a> {
    view: View<'a>,
    clock: Clock,
    styles: Styles,
    columns: usize,
    id: usize,
    end: usize,
}

impl<'a> Listing<'a> {
    /// A listing for lines of at most `columns`.
    pub fn new(view: View<'a>, clock: Clock, styles: Styles, columns: usize) -> Self {
        let connections = &view.journal.connections;
        let id = connections.len().to_string().len().max("NO".len());
        let ends = connections.iter().flat_map(|connection| connection.ends);
        let end = ends.map(|end| end.to_string().len()).max().unwrap_or(0).max("INITIATOR".len());
        Self { view, clock, styles, columns, id, end }
    }

    /// Columns of number, time, ends, protocol and messages.
    fn fixed_width(&self) -> usize {
        self.id + 2 + self.clock.width() + 2 + self.end + 3 + self.end + 2 + 9 + 2 + 8 + 2
    }

    fn is_wide(&self) -> bool {
        self.fixed_width() + 60 <= self.columns
    }

    /// Writes the titles of the columns.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn header(&self, out: &mut impl Write) -> io::Result<()> {
        let (id, time, end) = (self.id, self.clock.width(), self.end);
        let mut line = format!("{:>id$}  {:<time$}  {:<end$}   {:<end$}", "NO", "START", "INITIATOR", "RESPONDER");
        if self.is_wide() {
            line += "  PROTOCOL   MESSAGES   PACKETS  DURATION  DETAILS";
        }
        let mut painted = String::new();
        paint(&mut painted, line.trim_end(), self.styles.strong);
        writeln!(out, "{painted}")
    }

    /// Writes connection `index`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&mut self, out: &mut impl Write, index: u32) -> io::Result<()> {
        let connection = &self.view.journal.connections[index as usize];
        let (id, end) = (self.id, self.end);
        let ends = [Side::Initiator, Side::Responder].map(|side| connection.end(side).to_string());
        let mut line = format!("{:>id$}  ", index + 1);
        paint(&mut line, &self.clock.next(connection.start), self.styles.dim);
        line += &format!("  {:<end$} → {:<end$}", ends[0], ends[1]);
        let protocol = connection.traffic.protocol.name();
        let (messages, packets) = (connection.messages, connection.packets);
        let took = duration(connection.end - connection.start);
        let mut facts = details(connection);
        let indent = if self.is_wide() {
            line += &format!("  {protocol:<9}  {messages:>8}  {packets:>8}  {took:>8}  ");
            self.fixed_width() + 20
        } else {
            line.truncate(line.trim_end().len());
            line += &format!("\n{:1$}", "", id + 2);
            let counts = [format!("{messages} messages"), format!("{packets} packets"), took];
            facts.splice(0..0, [protocol.to_owned()].into_iter().chain(counts));
            id + 2
        };
        let pieces: Vec<Piece> = facts.into_iter().map(|fact| Piece::new(fact, Style::new())).collect();
        flow(&mut line, &pieces, indent, indent, self.columns);
        for more in below(self.view, index) {
            paragraph(&mut line, &more, self.styles.dim, self.id + 4, self.columns);
        }
        writeln!(out, "{line}")
    }
}

/// What is known of a connection's TLS, what could not be decoded, and what the capture says of it, in lines.
pub fn below(view: View<'_>, index: u32) -> Vec<String> {
    let journal = view.journal;
    let mut lines = journal.tls.get(&index).map_or_else(Vec::new, super::tls::lines);
    let told = |trouble: &Trouble| match trouble.count {
        1 => format!("packet {}: {}", trouble.packet, escaped(&trouble.text)),
        count => format!("{count} times, first at packet {}: {}", trouble.packet, escaped(&trouble.text)),
    };
    lines.extend(journal.troubles(index).iter().map(told));
    let comments = journal.comments.of_connection(index).iter();
    lines.extend(comments.map(|comment| format!("packet {} says: {}", comment.packet, escaped_line(&comment.text))));
    lines
}

/// Bytes, how it was closed, and what was odd.
fn details(connection: &Connection) -> Vec<String> {
    let traffic = &connection.traffic;
    let closed = match connection.closed {
        None => "open",
        Some(Closed::Fin) => "closed by FIN",
        Some(Closed::Rst) => "closed by RST",
    };
    let odd = [
        (u64::from(traffic.retransmitted), "retransmitted"),
        (u64::from(traffic.out_of_order), "out of order"),
        (u64::from(traffic.gaps), if traffic.gaps == 1 { "gap" } else { "gaps" }),
        (traffic.undecoded.iter().sum(), "bytes in no message"),
    ];
    let odd = odd.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    [format!("{} + {} bytes", traffic.bytes[0], traffic.bytes[1]), closed.to_owned()].into_iter().chain(odd).collect()
}
