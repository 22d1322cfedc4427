//! Connections as a table, for people.

use std::io::{self, Write};

use super::clock::{Clock, duration};
use super::lines::paint;
use super::style::Styles;
use crate::journal::{Connection, Side, View};

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
        if self.is_wide() {
            line += &format!("  {protocol:<9}  {messages:>8}  {packets:>8}  {took:>8}  {}", details(connection));
        } else {
            line.truncate(line.trim_end().len());
            line += &format!(
                "\n{:2$}{protocol}, {messages} messages, {packets} packets, {took}, {}",
                "",
                details(connection),
                id + 2
            );
        }
        writeln!(out, "{}", line.trim_end())
    }
}

/// Bytes, how it was closed, and what was odd.
fn details(connection: &Connection) -> String {
    let traffic = &connection.traffic;
    let mut text = format!("{} + {} bytes", traffic.bytes[0], traffic.bytes[1]);
    text += connection.closed.map_or(", open", |closed| match closed.name() {
        "rst" => ", closed by RST",
        _ => ", closed by FIN",
    });
    let odd = [
        (u64::from(traffic.retransmitted), "retransmitted"),
        (u64::from(traffic.out_of_order), "out of order"),
        (u64::from(traffic.gaps), if traffic.gaps == 1 { "gap" } else { "gaps" }),
        (traffic.undecoded.iter().sum(), "bytes in no message"),
    ];
    for (count, what) in odd.into_iter().filter(|(count, _)| *count > 0) {
        text += &format!(", {count} {what}");
    }
    text
}
