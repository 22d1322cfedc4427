//! Everything about one message: `read -V`.

use std::fmt::Write;

use super::escape::{escaped, escaped_json, escaped_line, width};
use super::lines::{Piece, flow, pad, paint};
use super::style::Styles;
use crate::diagnostic::Severity;
use crate::dissect::{Decoded, Definitions, Entry, Message, Presence, Row, Type, definition::normalised};
use crate::journal::{Binding, NONE, View};

/// Columns before each line.
const INDENT: &str = "      ";
/// Titles and values narrower than this are aligned with each other.
const MOST_ALIGNED: usize = 44;

/// Appends every parameter and diagnostic of message `index`, and what the capture says of its packet.
pub fn write(out: &mut String, view: View<'_>, index: u32, decoded: &Decoded, styles: Styles, columns: usize) {
    about(out, view, index, styles, columns);
    let definitions = &view.journal.definitions;
    let message = view.definition(view.record(index));
    let titles: Vec<String> = decoded.entries.iter().map(|entry| title(definitions, entry)).collect();
    let title_width = aligned(titles.iter().map(|title| width(title)));
    let values: Vec<String> = decoded.entries.iter().map(|entry| escaped_json(&entry.value).into_owned()).collect();
    let value_width = aligned(values.iter().map(|value| width(value)));
    for ((entry, title), value) in decoded.entries.iter().zip(&titles).zip(&values) {
        let _ = write!(out, "{INDENT}{title}");
        pad(out, title, title_width);
        let _ = write!(out, "  {value}");
        pad(out, value, value_width);
        out.push_str("  ");
        paint(out, &what_the_table_says(definitions, message, entry), styles.dim);
        out.push('\n');
    }
    for diagnostic in view.diagnostics(index, decoded) {
        out.push_str(INDENT);
        let name = format!("{} {}:", diagnostic.severity, diagnostic.code);
        paint(out, &name, styles.severity(Some(diagnostic.severity).filter(|it| *it > Severity::Note)));
        let _ = writeln!(out, " {}", escaped(&diagnostic.text));
    }
    let record = view.record(index);
    for comment in view.journal.comments.of_packet(record.connection, record.packet) {
        out.push_str(INDENT);
        paint(out, "comment:", styles.dim);
        let _ = writeln!(out, " {}", escaped_line(&comment.text));
    }
}

fn aligned(widths: impl Iterator<Item = usize>) -> usize {
    widths.filter(|&width| width <= MOST_ALIGNED).max().unwrap_or(0)
}

/// Packet, connection, header fields, and the procedure it belongs to.
fn about(out: &mut String, view: View<'_>, index: u32, styles: Styles, columns: usize) {
    let record = view.record(index);
    let tls = if record.tls { " in TLS" } else { "" };
    let mut facts = vec![
        format!("packet {}", record.packet),
        format!("connection {}", record.connection + 1),
        format!("{}{tls}", record.binding.name()),
    ];
    if record.binding == Binding::Tcp {
        facts.push(format!("version {}", record.version));
        facts.push(format!("MessageID {}", record.message_id));
    }
    facts.push(format!("{} bytes", record.length));
    facts.push(record.direction.name().to_owned());
    if record.answers != NONE {
        facts.push(format!("answers message {}", record.answers + 1));
    }
    if let Some(procedure) = view.journal.procedures.get(record.procedure as usize) {
        let definition = &view.journal.definitions.procedures[procedure.definition as usize];
        let (id, name, clause) = (record.procedure + 1, escaped(&definition.name), escaped(&definition.clause));
        facts.push(format!("procedure {id} {name} (clause {clause}, {})", procedure.state.name()));
    }
    let pieces: Vec<Piece> = facts.into_iter().map(|fact| Piece::new(fact, styles.dim)).collect();
    out.push_str(INDENT);
    flow(out, &pieces, INDENT.len(), INDENT.len(), columns);
    out.push('\n');
}

/// The title in the tables, and the name as received where its spelling says something else.
fn title(definitions: &Definitions, entry: &Entry) -> String {
    let Some(id) = entry.parameter else { return escaped(&entry.name).into_owned() };
    let parameter = definitions.parameter(id);
    if normalised(&entry.name) == normalised(&parameter.title) {
        return escaped(&parameter.title).into_owned();
    }
    format!("{} (received as {})", escaped(&parameter.title), escaped(&entry.name))
}

fn what_the_table_says(definitions: &Definitions, message: Option<&Message>, entry: &Entry) -> String {
    match (message, entry.row.and_then(|row| message?.rows.get(row))) {
        (Some(message), Some(row)) => {
            format!("{}, {}, {}", escaped(&message.table), types(row), presence(definitions, row))
        }
        (Some(message), None) => format!("not in {}", escaped(&message.table)),
        (None, _) => "no table".to_owned(),
    }
}

/// `string`, or `string (or integer)`: the table's type and those read without complaint.
pub fn types(row: &Row) -> String {
    let also: Vec<&str> = row.also.iter().copied().map(Type::name).collect();
    if also.is_empty() { row.kind.name().to_owned() } else { format!("{} (or {})", row.kind.name(), also.join(", ")) }
}

/// The M/O column in words.
pub fn presence(definitions: &Definitions, row: &Row) -> String {
    let title = |id| escaped(&definitions.parameter(id).title);
    match row.presence {
        Presence::Mandatory => "mandatory".to_owned(),
        Presence::Optional => "optional".to_owned(),
        Presence::Unless(other) => format!("either this or {} is mandatory", title(other)),
        Presence::IfRequested(other) => format!("mandatory if the request contained {}", title(other)),
    }
}
