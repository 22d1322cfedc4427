//! How many messages and procedures of each kind there are, how they ended, how long answers took, and how busy it was:
//! what [`stats`](crate::stats) counts, drawn.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::draw::put_all;
use super::names::Names;
use super::state::State;
use crate::journal::View;
use crate::output::clock::duration;
use crate::output::escape::escaped;
use crate::stats::{self, By, Cell, DECADES, Section, Table, Topic};
use crate::time::Span;

const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What was counted, and of which journal.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Of which lists.
    pub made: Option<u64>,
    counted: Option<Counted>,
}

#[derive(Clone, Debug)]
struct Counted {
    messages: Table,
    procedures: Table,
    times: Table,
    over_time: Table,
    interval: Span,
    histograms: Vec<(String, [u64; DECADES])>,
}

impl Statistics {
    /// Counts messages 0 to `count`, or those `shown`, and procedures; both ascending.
    pub fn new(view: View<'_>, names: &Names, count: u32, shown: Option<&[u32]>, procedures: &[u32]) -> Self {
        let identities = names.identities(view);
        let message = |index| shown.map_or(index < count, |shown| shown.binary_search(&index).is_ok());
        let procedure = |index| procedures.binary_search(&index).is_ok();
        let statistics = stats::Statistics::new(view, &identities, None, message, procedure);
        let statistics = statistics.expect("where no interval is asked for, one that fits is found");
        let table = |topic| statistics.table(Section { name: "", topic, by: By::All });
        let counted = Counted {
            messages: table(Topic::Messages),
            procedures: table(Topic::Procedures),
            times: table(Topic::ProcedureTimes),
            over_time: table(Topic::OverTime),
            interval: statistics.interval(),
            histograms: statistics.histograms(),
        };
        Self { made: None, counted: Some(counted) }
    }

    /// Everything as lines of at most `width` columns.
    pub fn lines(&self, state: &State, width: usize) -> Vec<Vec<(String, Style)>> {
        let Some(counted) = &self.counted else { return Vec::new() };
        let theme = &state.setup.theme;
        let heading = |text: &str| vec![(text.to_owned(), theme.strong)];
        let bars: Vec<u64> =
            counted.over_time.rows.iter().map(|row| number(row, "messages", &counted.over_time)).collect();
        let bars = resampled(&bars, width.saturating_sub(4));
        let most = bars.iter().max().copied().unwrap_or(0);
        // Intervals are round numbers: no figure behind the point says anything.
        let interval =
            [".000 ", ".00 ", ".0 "].iter().fold(duration(counted.interval), |text, zeros| text.replace(zeros, " "));
        let mut lines = vec![heading(&format!("Messages in each {interval}"))];
        lines.push(vec![(format!(" {}", sparkline(&bars)), theme.accent)]);
        lines.push(vec![(format!(" at most {most} per bar"), theme.dim)]);
        lines.push(Vec::new());
        lines.push(heading(&format!(
            "{:<30} {:>8} {:>7} {:>7} {:>10}",
            "Procedures", "complete", "failed", "pending", "unanswered"
        )));
        for row in &counted.procedures.rows {
            let count = |column| number(row, column, &counted.procedures);
            let look = |count: u64, style| if count > 0 { style } else { theme.dim };
            let [complete, failed, pending, unanswered] = ["complete", "failed", "pending", "unanswered"].map(count);
            lines.push(vec![
                (format!(" {:<29} {complete:>8}", name(row)), Style::new()),
                (format!(" {failed:>7}"), look(failed, theme.error)),
                (format!(" {pending:>7}"), look(pending, Style::new())),
                (format!(" {unanswered:>10}"), look(unanswered, theme.warning)),
            ]);
        }
        lines.push(Vec::new());
        lines.push(heading(&format!(
            "{:<30} {:>9} {:>9} {:>9} {:>9} {}",
            "From first to last message", "median", "90 %", "99 %", "longest", "0.1ms…10s"
        )));
        for row in &counted.times.rows {
            let at = |column| span(row, column, &counted.times);
            let [a, b, c, d] = ["median_ms", "p90_ms", "p99_ms", "max_ms"].map(at);
            let bars =
                counted.histograms.iter().find(|(kind, _)| Some(kind.as_str()) == text(row)).map(|(_, bars)| bars);
            lines.push(vec![
                (format!(" {:<29} {a:>9} {b:>9} {c:>9} {d:>9} ", name(row)), Style::new()),
                (bars.map_or_else(String::new, |bars| sparkline(bars)), theme.accent),
            ]);
        }
        lines.push(Vec::new());
        lines.push(heading("Messages"));
        for row in &counted.messages.rows {
            let count = number(row, "count", &counted.messages);
            let message = row.get(1).map(shown).unwrap_or_default();
            lines.push(vec![(format!("{count:>9}  {} {message}", name(row)), Style::new())]);
        }
        lines
    }
}

/// The cell of a column; a table has the columns that its topic says.
fn cell<'a>(row: &'a [Cell], column: &str, table: &Table) -> Option<&'a Cell> {
    row.get(table.columns.iter().position(|name| *name == column)?)
}

fn number(row: &[Cell], column: &str, table: &Table) -> u64 {
    match cell(row, column, table) {
        Some(Cell::Count(count)) => *count,
        _ => 0,
    }
}

fn span(row: &[Cell], column: &str, table: &Table) -> String {
    match cell(row, column, table) {
        Some(Cell::Span(span)) => duration(*span),
        _ => "-".to_owned(),
    }
}

fn text(row: &[Cell]) -> Option<&str> {
    match row.first() {
        Some(Cell::Text(text)) => Some(text),
        _ => None,
    }
}

fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => escaped(text).into_owned(),
        _ => String::new(),
    }
}

/// What a row is about.
fn name(row: &[Cell]) -> String {
    row.first().map(shown).unwrap_or_default()
}

/// Sums of neighbours, so that there are `count` of them at most.
fn resampled(values: &[u64], count: usize) -> Vec<u64> {
    let each = values.len().div_ceil(count.max(1)).max(1);
    values.chunks(each).map(|chunk| chunk.iter().sum()).collect()
}

fn sparkline(values: &[u64]) -> String {
    let most = values.iter().max().copied().unwrap_or(0).max(1);
    // What is there is seen, however little it is.
    values.iter().map(|&value| EIGHTHS[(value * 8).div_ceil(most) as usize]).collect()
}

/// Draws the view.
pub fn draw(state: &State, buffer: &mut Buffer, area: Rect) {
    let lines = state.statistics.lines(state, usize::from(area.width));
    let top = state.statistics_top.min(lines.len().saturating_sub(1));
    for (line, pieces) in lines.iter().skip(top).take(usize::from(area.height)).enumerate() {
        put_all(buffer, Rect { y: area.y + line as u16, height: 1, ..area }, pieces);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_the_least_and_the_most() {
        assert_eq!(sparkline(&[0, 1, 50, 100]), " ▁▄█");
        assert_eq!(resampled(&[1, 2, 3, 4, 5], 3), [3, 7, 5]);
    }
}
