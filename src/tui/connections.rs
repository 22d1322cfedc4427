//! TCP connections as a table, and of the selected one all that is known.

use ratatui::style::Style;

use super::list::Cursor;
use super::names::Names;
use super::procedures::Look;
use super::table::{Cell, Column, column};
use super::times::fitted;
use crate::journal::{Closed, Connection, Side, View};
use crate::output::clock::{Clock, duration};
use crate::output::escape::escaped_line;
use crate::output::ladder::Identities;

/// The columns of the table.
pub const COLUMNS: &[Column] = &[
    column("number", "#", 2, 2, 0).right(),
    column("start", "START", 12, 15, 6),
    column("initiator", "INITIATOR", 16, 21, 1),
    column("responder", "RESPONDER", 15, 21, 2),
    column("km", "KM", 8, 20, 5),
    column("protocol", "PROTOCOL", 8, 8, 3),
    column("messages", "MSGS", 5, 8, 3).right(),
    column("packets", "PACKETS", 7, 9, 8).right(),
    column("bytes", "BYTES", 7, 12, 7).right(),
    column("closed", "CLOSED", 6, 6, 9),
    column("duration", "DURATION", 9, 11, 10).right(),
    column("odd", "ODD", 3, 40, 4),
];

/// Those shown unless others are chosen.
pub const SHOWN: [usize; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

/// The table.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Selection.
    pub cursor: Cursor,
    /// Indexes of connections.
    pub rows: Vec<u32>,
    /// Columns shown, as indexes of [`COLUMNS`].
    pub shown: Vec<usize>,
    /// Sorted by which column, and whether the other way round.
    pub sort: (usize, bool),
    /// First line on screen of what there is to say about the selected one.
    pub detail_top: usize,
}

impl Default for Panel {
    fn default() -> Self {
        Self { cursor: Cursor::default(), rows: Vec::new(), shown: SHOWN.to_vec(), sort: (0, false), detail_top: 0 }
    }
}

impl Panel {
    /// The selected connection.
    pub fn selected(&self) -> Option<u32> {
        self.rows.get(self.cursor.at).copied()
    }

    /// Puts the cursor on `connection`.
    pub fn select(&mut self, connection: u32) {
        self.cursor.at = self.rows.iter().position(|&row| row == connection).unwrap_or(self.cursor.at);
    }

    /// Makes the lines anew from connections 0 to `count`, or from those in `only`, which ascends.
    pub fn rebuild(&mut self, view: View<'_>, names: &Names, count: u32, only: Option<Vec<u32>>) {
        self.rows = only.unwrap_or_else(|| (0..count).collect());
        let of = |index: u32| &view.journal.connections[index as usize];
        match COLUMNS[self.sort.0].key {
            "number" => {}
            "initiator" => self.rows.sort_by_key(|&row| of(row).ends[0]),
            "responder" => self.rows.sort_by_key(|&row| of(row).ends[1]),
            "km" => self.rows.sort_by_cached_key(|&row| km(view, names, row)),
            key => self.rows.sort_by_key(|&row| number(key, of(row))),
        }
        if self.sort.1 {
            self.rows.reverse();
        }
    }
}

fn km(view: View<'_>, names: &Names, index: u32) -> String {
    let connection = &view.journal.connections[index as usize];
    if connection.messages == 0 {
        return "-".to_owned();
    }
    names.lane(view, index, Identities::km_side(connection)).name
}

fn odd_count(connection: &Connection) -> u64 {
    let traffic = &connection.traffic;
    u64::from(traffic.retransmitted)
        + u64::from(traffic.out_of_order)
        + u64::from(traffic.gaps)
        + traffic.undecoded.iter().sum::<u64>()
}

fn number(key: &str, connection: &Connection) -> i64 {
    match key {
        "start" => connection.start.0,
        "protocol" => connection.traffic.protocol as i64,
        "messages" => i64::from(connection.messages),
        "packets" => i64::from(connection.packets),
        "bytes" => connection.traffic.bytes.iter().sum::<u64>() as i64,
        "closed" => connection.closed.map_or(0, |closed| closed as i64 + 1),
        "duration" => (connection.end - connection.start).0,
        _ => odd_count(connection) as i64,
    }
}

/// The text of a cell.
pub fn cell(view: View<'_>, look: &Look<'_>, clock: &mut Clock, index: u32, column: usize) -> Cell {
    let connection = &view.journal.connections[index as usize];
    let plain = |text: String| (text, Style::new());
    match COLUMNS[column].key {
        "number" => plain((index + 1).to_string()),
        "start" => (fitted(&clock.next(connection.start), look.room).to_owned(), look.theme.dim),
        "initiator" => plain(connection.end(Side::Initiator).to_string()),
        "responder" => plain(connection.end(Side::Responder).to_string()),
        "km" => plain(km(view, look.names, index)),
        "protocol" => plain(connection.traffic.protocol.name().to_owned()),
        "messages" => plain(connection.messages.to_string()),
        "packets" => plain(connection.packets.to_string()),
        "bytes" => plain(connection.traffic.bytes.iter().sum::<u64>().to_string()),
        "closed" => plain(connection.closed.map_or("open", Closed::name).to_owned()),
        "duration" => plain(duration(connection.end - connection.start)),
        _ => (odd(connection).join(", "), look.theme.warning),
    }
}

/// What was odd about a connection.
fn odd(connection: &Connection) -> Vec<String> {
    let traffic = &connection.traffic;
    let odd = [
        (u64::from(traffic.gaps), if traffic.gaps == 1 { "gap" } else { "gaps" }),
        (traffic.undecoded.iter().sum(), "bytes in no message"),
        (u64::from(traffic.retransmitted), "retransmitted"),
        (u64::from(traffic.out_of_order), "out of order"),
    ];
    odd.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
}

/// All that is known of a connection, names and values: its ends and traffic, its TLS, and what could not be decoded.
pub fn detail(view: View<'_>, names: &Names, clock: &mut Clock, index: u32) -> Vec<(&'static str, String)> {
    let mut lines = general(view, names, clock, index);
    let more = crate::output::connections::below(view, index);
    lines.extend(more.into_iter().map(|line| ("", escaped_line(&line).into_owned())));
    lines
}

fn general(view: View<'_>, names: &Names, clock: &mut Clock, index: u32) -> Vec<(&'static str, String)> {
    let connection = &view.journal.connections[index as usize];
    let traffic = &connection.traffic;
    let name = |side| if connection.messages == 0 { String::new() } else { names.lane(view, index, side).name };
    let end = |side| format!("{}  {}", connection.end(side), name(side)).trim_end().to_owned();
    let odd = odd(connection);
    vec![
        ("Initiator", end(Side::Initiator)),
        ("Responder", end(Side::Responder)),
        ("Carries", traffic.protocol.name().to_owned()),
        ("Time", {
            let (start, took) = (clock.next(connection.start), duration(connection.end - connection.start));
            let closed = connection.closed.map_or("open", Closed::name);
            format!(
                "{} for {took}, {}",
                start.trim(),
                if closed == "open" { "open".to_owned() } else { format!("closed by {}", closed.to_uppercase()) }
            )
        }),
        (
            "Traffic",
            format!(
                "{} packets, {} + {} bytes, {} messages",
                connection.packets, traffic.bytes[0], traffic.bytes[1], connection.messages
            ),
        ),
        ("Odd", if odd.is_empty() { "nothing".to_owned() } else { odd.join(", ") }),
    ]
}
