//! The fields of display filters, for people and programs.

use std::io::{self, Write};

use anstyle::Style;
use serde::Serialize;

use super::escape::{escaped, escaped_json, width};
use super::fields::quoted;
use super::lines::{Piece, flow, pad, paint};
use super::style::Styles;
use crate::dissect::Definitions;
use crate::filter::{Cost, Field, Kind, fields};

/// A field, as programs read it.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    r#type: &'static str,
    /// Whether a message may have several values.
    list: bool,
    /// Whether the payload has to be decoded for it.
    payload: bool,
    /// What the values can be, if they are of a few.
    values: Vec<&'a str>,
    about: &'a str,
}

impl<'a> Line<'a> {
    fn new(definitions: &'a Definitions, field: &'a Field) -> Self {
        let values = match field.kind {
            Kind::Choice(choices) => choices.names(definitions),
            _ => Vec::new(),
        };
        let (name, about) = (field.name.as_str(), field.about.as_str());
        Self {
            name,
            r#type: field.kind.name(),
            list: field.is_list,
            payload: field.cost == Cost::Payload,
            values,
            about,
        }
    }
}

/// Writes the fields as a table; what they mean goes on under itself where `columns` end.
///
/// # Errors
/// Those of `out`.
pub fn text(out: &mut impl Write, definitions: &Definitions, styles: Styles, columns: usize) -> io::Result<()> {
    let all = fields(definitions);
    let names: Vec<String> = all.iter().map(|field| escaped(&field.name).into_owned()).collect();
    let widest = names.iter().map(|name| width(name)).max().unwrap_or(0);
    let types: Vec<String> = all.iter().map(kind).collect();
    let widest_type = types.iter().map(String::len).max().unwrap_or(0);
    for ((field, name), kind) in all.iter().zip(&names).zip(&types) {
        let mut line = String::new();
        paint(&mut line, name, styles.strong);
        pad(&mut line, name, widest + 2);
        paint(&mut line, kind, styles.dim);
        pad(&mut line, kind, widest_type + 2);
        let column = widest + 2 + widest_type + 2;
        let mut words: Vec<String> = escaped(&field.about).split(' ').map(str::to_owned).collect();
        if let Kind::Choice(choices) = field.kind {
            let names = choices.names(definitions);
            let last = words.pop().unwrap_or_default();
            words.push(last + ":");
            words.extend(names.iter().enumerate().map(|(index, name)| {
                let comma = if index + 1 < names.len() { "," } else { "" };
                format!("{}{comma}", escaped(name))
            }));
        }
        wrapped(&mut line, &words, column, columns);
        line.push('\n');
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}

/// `name, ranked`, `number, list`.
fn kind(field: &Field) -> String {
    let list = if field.is_list { ", list" } else { "" };
    format!("{}{list}", field.kind.name())
}

/// Appends `words`, as many to a line as there is room for from `column` on.
fn wrapped(line: &mut String, words: &[String], column: usize, columns: usize) {
    let room = columns.saturating_sub(column).max(20);
    let mut rows: Vec<String> = Vec::new();
    for word in words {
        match rows.last_mut() {
            Some(row) if width(row) + 1 + width(word) <= room => {
                row.push(' ');
                row.push_str(word);
            }
            _ => rows.push(word.clone()),
        }
    }
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            line.push('\n');
            line.extend(std::iter::repeat_n(' ', column));
        }
        flow(line, &[Piece::new(row.clone(), Style::new())], column, column, usize::MAX);
    }
}

/// Writes the fields as JSON objects: name, type, list, payload, values, about.
///
/// # Errors
/// Those of `out`.
pub fn jsonl(out: &mut impl Write, definitions: &Definitions) -> io::Result<()> {
    for field in &fields(definitions) {
        let json = serde_json::to_string(&Line::new(definitions, field))?;
        writeln!(out, "{}", escaped_json(&json))?;
    }
    Ok(())
}

/// Writes the fields as csv with a header; values have `|` between them.
///
/// # Errors
/// Those of `out`.
pub fn csv(out: &mut impl Write, definitions: &Definitions) -> io::Result<()> {
    out.write_all(b"name,type,list,payload,values,about\r\n")?;
    for field in &fields(definitions) {
        let line = Line::new(definitions, field);
        let [list, payload] = [line.list, line.payload].map(|it| it.to_string());
        let columns = [line.name, line.r#type, &list, &payload, &line.values.join("|"), line.about];
        let columns = columns.map(|column| quoted(&escaped_json(column)));
        write!(out, "{}\r\n", columns.join(","))?;
    }
    Ok(())
}
