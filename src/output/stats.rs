//! Statistics for people and for programs. In: [`Table`]s. Out: text with bars, jsonl, csv.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::clock::{Clock, duration};
use super::escape::{escaped, escaped_json, shorten, width};
use super::fields::quoted;
use super::lines::{pad, paint};
use super::style::Styles;
use crate::stats::{Cell, Table};

/// Columns of the longest bar.
const MOST_BAR: usize = 24;
/// A shorter bar says nothing.
const LEAST_BAR: usize = 6;
/// Columns that a text is never cut below.
const LEAST_TEXT: usize = 12;

/// How tables are shown.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// Columns of a line; `usize::MAX` where there is no terminal, and then no bars.
    pub columns: usize,
    /// Colours.
    pub styles: Styles,
    /// For times.
    pub clock: Clock,
    /// Rows of one table that are shown.
    pub most: usize,
}

impl Sheet {
    /// Writes a table with its title; nothing if it is empty.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&mut self, out: &mut impl Write, table: &Table) -> io::Result<()> {
        if table.rows.is_empty() {
            return Ok(());
        }
        let shown = &table.rows[..table.rows.len().min(self.most)];
        let skip = usize::from(table.grouped);
        let mut texts: Vec<Vec<String>> =
            shown.iter().map(|row| row[skip..].iter().map(|cell| self.text(cell)).collect()).collect();
        let titles: Vec<String> = table.columns[skip..].iter().map(|name| title(name)).collect();
        let kinds = shown.first().map_or(&[][..], |row| &row[skip..]);
        for at in (0..kinds.len()).filter(|&at| matches!(kinds[at], Cell::Time(_))) {
            round(&mut texts, at);
        }
        let widths = self.widths(&titles, &texts, kinds, skip * 2);
        let mut text = String::new();
        paint(&mut text, &title(table.name), self.styles.strong);
        text.push('\n');
        self.line(&mut text, &titles, &widths, kinds, skip * 2, true);
        let bar = table.bar.map(|column| (column, self.bar_width(&widths, skip * 2)));
        let most = bar.map_or(0, |(column, _)| shown.iter().map(|row| count(&row[column])).max().unwrap_or(0));
        for (at, (row, cells)) in shown.iter().zip(&texts).enumerate() {
            if table.grouped && (at == 0 || shown[at - 1][0] != row[0]) {
                let name = if table.columns[0] == "connection" { "connection " } else { "" };
                paint(&mut text, &format!("{name}{}", self.text(&row[0])), self.styles.dim);
                text.push('\n');
            }
            let start = text.len();
            self.line(&mut text, cells, &widths, &row[skip..], skip * 2, false);
            let drawn = bar.filter(|(column, columns)| *columns >= LEAST_BAR && count(&row[*column]) > 0);
            if let Some((column, columns)) = drawn {
                let first = text[start..].find('\n').map_or(text.len(), |at| start + at);
                text.insert_str(first, &format!("  {}", chart(count(&row[column]), most, columns)));
            }
        }
        let left = table.rows.len() - shown.len();
        if left > 0 {
            let _ = writeln!(text, "… {left} more rows (--rows N shows more, --format jsonl or csv all)");
        }
        table.note.iter().for_each(|note| _ = writeln!(text, "{note}"));
        text.push('\n');
        out.write_all(text.as_bytes())
    }

    fn text(&mut self, cell: &Cell) -> String {
        match cell {
            Cell::Text(text) => escaped(text).into_owned(),
            Cell::Count(count) => count.to_string(),
            Cell::Span(span) => duration(*span),
            Cell::Time(time) => self.clock.next(*time),
            Cell::None => "-".to_owned(),
        }
    }

    /// The columns' widths: titles broken where they can be, numbers whole, and texts in what is left of the line, where
    /// they are broken, too.
    fn widths(&self, titles: &[String], rows: &[Vec<String>], kinds: &[Cell], indent: usize) -> Vec<usize> {
        let widest = |at: usize| rows.iter().map(|row| width(&row[at])).max().unwrap_or(0);
        let mut widths: Vec<usize> = (0..titles.len()).map(|at| widest(at).max(width(&titles[at]))).collect();
        let total = |widths: &[usize]| indent + widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        if total(&widths) <= self.columns {
            return widths;
        }
        let parts = |text: &str| words(text).map(width).max().unwrap_or(0);
        (0..titles.len()).for_each(|at| widths[at] = widest(at).max(parts(&titles[at])));
        // The widest text gives way to the next, until the line fits or breaking them more would cut words.
        while let Some(over) = total(&widths).checked_sub(self.columns).filter(|&over| over > 0) {
            let least = |at: usize| rows.iter().map(|row| parts(&row[at])).max().unwrap_or(0).max(parts(&titles[at]));
            let texts = (0..widths.len()).filter(|&at| matches!(kinds.get(at), Some(Cell::Text(_))));
            let Some(at) = texts.filter(|&at| widths[at] > least(at)).max_by_key(|&at| widths[at]) else { break };
            widths[at] = widths[at].saturating_sub(over).max(least(at));
        }
        if let Some(over) = total(&widths).checked_sub(self.columns)
            && let Some(longest) = widths.iter_mut().max()
        {
            *longest = longest.saturating_sub(over).max(LEAST_TEXT.min(*longest));
        }
        widths
    }

    fn bar_width(&self, widths: &[usize], indent: usize) -> usize {
        if self.columns == usize::MAX {
            return 0;
        }
        let taken = indent + widths.iter().sum::<usize>() + 2 * widths.len();
        self.columns.saturating_sub(taken).min(MOST_BAR)
    }

    /// A row, of as many lines as its longest cell takes.
    fn line(&self, out: &mut String, cells: &[String], widths: &[usize], kinds: &[Cell], indent: usize, head: bool) {
        let broken: Vec<Vec<String>> = cells.iter().zip(widths).map(|(cell, &width)| broken(cell, width)).collect();
        let height = broken.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..height {
            // Titles stand on the line below.
            let of = |lines: &[String]| if head { (line + lines.len()).checked_sub(height) } else { Some(line) };
            let cells: Vec<&str> =
                broken.iter().map(|lines| of(lines).and_then(|at| lines.get(at)).map_or("", String::as_str)).collect();
            let start = out.len();
            let _ = write!(out, "{:indent$}", "");
            self.cells(out, &cells, widths, kinds, head);
            let blank = out[start..].trim_end_matches(' ').len();
            out.truncate(start + blank);
            out.push('\n');
        }
    }

    fn cells(&self, out: &mut String, cells: &[&str], widths: &[usize], kinds: &[Cell], head: bool) {
        for (at, cell) in cells.iter().enumerate() {
            let text = shorten(cell, widths[at]);
            let to_the_left = matches!(kinds.get(at), Some(Cell::Text(_) | Cell::Time(_)));
            if !to_the_left {
                pad(out, &text, widths[at]);
            }
            paint(out, &text, if head { self.styles.dim } else { anstyle::Style::new() });
            if to_the_left && at + 1 < cells.len() {
                pad(out, &text, widths[at]);
            }
            if at + 1 < cells.len() {
                out.push_str("  ");
            }
        }
    }
}

/// Takes the zeros away with which the fractions of all times of a column end: intervals begin at round times.
fn round(rows: &mut [Vec<String>], at: usize) {
    let zeros = |text: &String| match text.split_once('.') {
        Some((_, fraction)) => fraction.len() - fraction.trim_end_matches('0').len(),
        None => 0,
    };
    let common = rows.iter().map(|row| zeros(&row[at])).min().unwrap_or(0);
    for row in rows {
        let text = &mut row[at];
        text.truncate(text.len() - common);
        text.truncate(text.trim_end_matches('.').len());
    }
}

/// The parts of a text between which a line may end: after a space or a hyphen.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive([' ', '-']).map(|word| word.trim_end_matches(' ')).filter(|word| !word.is_empty())
}

/// A text in lines of at most `most` columns; a longer word stays whole, for others to cut.
fn broken(text: &str, most: usize) -> Vec<String> {
    if width(text) <= most {
        return vec![text.to_owned()];
    }
    let mut lines: Vec<String> = Vec::new();
    for word in words(text) {
        match lines.last_mut() {
            Some(line) if width(line) + usize::from(!line.ends_with('-')) + width(word) <= most => {
                if !line.ends_with('-') {
                    line.push(' ');
                }
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// `never_allocated` → `never allocated`; the unit stands beside each duration.
fn title(name: &str) -> String {
    name.strip_suffix("_ms").unwrap_or(name).replace(['_', '-'], " ")
}

fn count(cell: &Cell) -> u64 {
    if let Cell::Count(count) = cell { *count } else { 0 }
}

/// A bar of eighths of columns, at least one for anything.
fn chart(count: u64, most: u64, columns: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (u128::from(count) * columns as u128 * 8).div_ceil(u128::from(most)) as usize;
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

/// Writes a table's rows, one JSON object each, with the table's name as `table`.
///
/// # Errors
/// Those of `out`.
pub fn jsonl(out: &mut impl Write, table: &Table) -> io::Result<()> {
    for row in &table.rows {
        serde_json::to_writer(&mut *out, &Line { table, row })?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

struct Line<'a> {
    table: &'a Table,
    row: &'a [Cell],
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.row.len() + 1))?;
        map.serialize_entry("table", self.table.name)?;
        for (name, cell) in self.table.columns.iter().zip(self.row) {
            match cell {
                Cell::Text(text) => map.serialize_entry(name, text)?,
                Cell::Count(count) => map.serialize_entry(name, count)?,
                Cell::Span(span) => map.serialize_entry(name, &span.as_millis_f64())?,
                Cell::Time(time) => map.serialize_entry(name, &time.to_string())?,
                Cell::None => map.serialize_entry(name, &())?,
            }
        }
        map.end()
    }
}

/// Writes a table as csv (RFC 4180) with a header; each row begins with the table's name.
///
/// # Errors
/// Those of `out`.
pub fn csv(out: &mut impl Write, table: &Table) -> io::Result<()> {
    write!(out, "table,{}\r\n", table.columns.join(","))?;
    for row in &table.rows {
        let cells = row.iter().map(|cell| match cell {
            Cell::Text(text) => quoted(&escaped_json(text)),
            Cell::Count(count) => count.to_string(),
            Cell::Span(span) => span.as_millis_f64().to_string(),
            Cell::Time(time) => time.to_string(),
            Cell::None => String::new(),
        });
        let line: Vec<String> = cells.collect();
        write!(out, "{},{}\r\n", table.name, line.join(","))?;
    }
    Ok(())
}
