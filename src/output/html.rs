//! One self-contained page: statistics, procedures as ladders, their messages and findings. No script, no resource from
//! elsewhere; everything a peer chose is escaped.

use std::io::{self, Write};

use super::clock::{Clock, duration};
use super::ladder::Ladder;
use super::ladder::svg::{self, clean};
use crate::journal::View;
use crate::stats::{Cell, Table};

const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;color:#123;max-width:76em;margin:2em auto;padding:0 1em}\
h1{font-size:1.6em}h2{font-size:1.25em;border-bottom:1px solid #ccd;margin-top:2em}h3{font-size:1.02em;margin-top:1.6em}\
table{border-collapse:collapse;margin:.6em 0}th,td{padding:.15em .7em;text-align:left;border-bottom:1px solid #e4e8ee;\
overflow-wrap:break-word;vertical-align:top}th{color:#567;font-weight:600}td.n{font-variant-numeric:tabular-nums}\
td.n{white-space:nowrap}td.n,th.n{text-align:right}.bar{display:inline-block;height:.7em;background:#8ab}dt{color:#567;float:left;clear:left;\
width:6.5em}dd{margin:0 0 .2em 6.5em}dd:empty::after{content:'-'}figure{margin:.5em 0;overflow-x:auto}\
.messages{table-layout:fixed;width:100%;overflow-wrap:anywhere}.messages .number{width:3em}\
.messages .name{width:23%}.messages .values{width:36%}.error{color:#b00020}.warning{color:#9a6700}.note{color:#567}\
@media print{svg{max-width:100%;height:auto}body{max-width:none;margin:0;font-size:9pt}h2,h3{break-after:avoid}th,td{padding:.1em .45em}tr,figure{break-inside:avoid}\
.bar{print-color-adjust:exact}}@page{size:A4 landscape;margin:12mm}";

/// Width of the longest bar, in em.
const LONGEST_BAR: f64 = 8.0;

fn count(cell: &Cell) -> u64 {
    if let Cell::Count(count) = cell { *count } else { 0 }
}

/// What goes into a page.
pub struct Page<'a> {
    /// The messages.
    pub view: View<'a>,
    /// The names of the captures.
    pub captures: Vec<String>,
    /// What messages were selected by, if not all were.
    pub selection: Vec<String>,
    /// Statistics, in order; empty ones are left out.
    pub tables: Vec<Table>,
    /// Procedures that there are, of which `shown` are drawn.
    pub procedures: usize,
    /// Those that are drawn.
    pub shown: usize,
    /// For times.
    pub clock: Clock,
}

impl Page<'_> {
    /// Writes the page with `ladders`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(mut self, out: &mut impl Write, ladders: impl Iterator<Item = Ladder>) -> io::Result<()> {
        let title = clean(&format!("ckscope: {}", self.captures.join(", ")));
        write!(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n<title>{title}</title>\n")?;
        write!(out, "<style>{STYLE}{}</style></head><body>\n<h1>{title}</h1>\n", svg::STYLE)?;
        self.summary(out)?;
        writeln!(out, "<h2>Statistics</h2>")?;
        for table in std::mem::take(&mut self.tables) {
            self.table(out, &table)?;
        }
        writeln!(out, "<h2>Procedures</h2>")?;
        for ladder in ladders {
            self.ladder(out, &ladder)?;
        }
        writeln!(out, "</body></html>")
    }

    fn summary(&self, out: &mut impl Write) -> io::Result<()> {
        let (journal, shown) = (self.view.journal, self.shown);
        let mut procedures = format!("{} selected, {shown} of them drawn.", self.procedures);
        if shown < self.procedures {
            procedures += &format!(" The other {} are left out; --most N draws more.", self.procedures - shown);
        }
        let all = self.selection.is_empty().then(|| "all messages".to_owned());
        let facts = [
            ("Captures", self.captures.join(", ")),
            ("Time", format!("{} to {}", journal.start, journal.end)),
            ("Messages", format!("{} in the captures", journal.records.len())),
            ("Selected", all.unwrap_or_else(|| self.selection.join(", "))),
            ("Procedures", procedures),
        ];
        writeln!(out, "<dl>")?;
        facts.iter().try_for_each(|(name, fact)| writeln!(out, "<dt>{name}</dt><dd>{}</dd>", clean(fact)))?;
        writeln!(out, "</dl>")
    }

    fn table(&mut self, out: &mut impl Write, table: &Table) -> io::Result<()> {
        const MOST_ROWS: usize = 200;
        if table.rows.is_empty() {
            return Ok(());
        }
        let words = |name: &str| clean(&name.trim_end_matches("_ms").replace(['_', '-'], " "));
        write!(out, "<h3>{}</h3>\n<table><thead><tr>", words(table.name))?;
        for (name, cell) in table.columns.iter().zip(&table.rows[0]) {
            let class = if matches!(cell, Cell::Count(_) | Cell::Span(_)) { " class=\"n\"" } else { "" };
            write!(out, "<th{class}>{}</th>", words(name))?;
        }
        let most = table.bar.and_then(|bar| table.rows.iter().map(|row| count(&row[bar])).max()).unwrap_or(0);
        writeln!(out, "{}</tr></thead><tbody>", if most > 0 { "<th></th>" } else { "" })?;
        for row in table.rows.iter().take(MOST_ROWS) {
            write!(out, "<tr>")?;
            for cell in row {
                match cell {
                    Cell::Text(text) => write!(out, "<td>{}</td>", clean(text))?,
                    Cell::Count(count) => write!(out, "<td class=\"n\">{count}</td>")?,
                    Cell::Span(span) => write!(out, "<td class=\"n\">{}</td>", duration(*span))?,
                    Cell::Time(time) => write!(out, "<td>{}</td>", self.clock.next(*time))?,
                    Cell::None => write!(out, "<td></td>")?,
                }
            }
            if let Some(bar) = table.bar.filter(|_| most > 0) {
                let width = count(&row[bar]) as f64 * LONGEST_BAR / most as f64;
                write!(out, "<td><span class=\"bar\" style=\"width:{width:.2}em\"></span></td>")?;
            }
            writeln!(out, "</tr>")?;
        }
        writeln!(out, "</tbody></table>")?;
        if table.rows.len() > MOST_ROWS {
            writeln!(out, "<p class=\"note\">{} more rows (ckscope stats)</p>", table.rows.len() - MOST_ROWS)?;
        }
        table.note.iter().try_for_each(|note| writeln!(out, "<p class=\"note\">{}</p>", clean(note)))
    }

    fn ladder(&mut self, out: &mut impl Write, ladder: &Ladder) -> io::Result<()> {
        writeln!(out, "<section class=\"exchange\">\n<h3>{}</h3>", clean(&svg::title(self.view, ladder)))?;
        let drawing = svg::draw(self.view, ladder, &mut self.clock, false);
        write!(out, "<figure>{drawing}</figure>\n<table class=\"messages\">\n")?;
        let mut messages: Vec<u32> =
            ladder.procedures.iter().flat_map(|&procedure| self.view.journal.messages(procedure)).copied().collect();
        messages.sort_unstable();
        for index in messages {
            self.message(out, index)?;
        }
        writeln!(out, "</table></section>")
    }

    /// A row: number, name, parameters, findings.
    fn message(&mut self, out: &mut impl Write, index: u32) -> io::Result<()> {
        let record = self.view.record(index);
        let decoded = self.view.decoded(record);
        let name = clean(self.view.name(record));
        write!(
            out,
            "<tr><td class=\"n number\">{}</td><td class=\"name\">{} {name}</td><td class=\"values\">",
            index + 1,
            record.code
        )?;
        for entry in &decoded.entries {
            write!(out, "{}: {}<br/>", clean(&entry.name), clean(&entry.shown))?;
        }
        write!(out, "</td><td>")?;
        for finding in self.view.diagnostics(index, &decoded) {
            let (severity, code, text) = (finding.severity, finding.code.name(), clean(&finding.text));
            write!(out, "<span class=\"{severity}\">{severity} {code}</span>: {text}<br/>")?;
        }
        writeln!(out, "</td></tr>")
    }
}
