//! How a live source stands: what went wrong, the recording, interfaces or connections.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::draw::{put_all, wrapped};
use super::feed::{SourcePanel, SourceTable};
use super::state::State;
use super::theme::Theme;
use crate::output::escape::{escaped, width};

type Line = Vec<(String, Style)>;

/// Draws the view.
pub fn draw(state: &State, buffer: &mut Buffer, area: Rect) {
    let Some(panel) = &state.status.panel else { return };
    let lines = lines(panel, &state.setup.theme, usize::from(area.width));
    let top = state.source_top.min(lines.len().saturating_sub(usize::from(area.height)));
    for (line, pieces) in lines.iter().skip(top).take(usize::from(area.height)).enumerate() {
        put_all(buffer, Rect { y: area.y + line as u16, height: 1, ..area }, pieces);
    }
}

fn lines(panel: &SourcePanel, theme: &Theme, columns: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = vec![vec![(escaped(&panel.title).into_owned(), theme.strong)]];
    for warning in &panel.warnings {
        lines.extend(wrapped(&escaped(warning), columns.saturating_sub(4)).into_iter().enumerate().map(
            |(at, text)| {
                let sign = if at == 0 { "! " } else { "  " };
                vec![(format!("  {sign}{text}"), theme.warning)]
            },
        ));
    }
    let widest = panel.facts.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    for (name, value) in &panel.facts {
        let name = format!("  {name:<widest$}  ");
        lines.push(vec![(name, theme.dim), (escaped(value).into_owned(), Style::new())]);
    }
    for table in &panel.tables {
        lines.push(Vec::new());
        add_table(&mut lines, table, theme, columns);
    }
    lines
}

fn add_table(lines: &mut Vec<Line>, table: &SourceTable, theme: &Theme, columns: usize) {
    lines.push(vec![(format!("{} ({})", table.title, table.rows.len()), theme.strong)]);
    let widths: Vec<usize> = (0..table.columns.len())
        .map(|at| {
            let cells = table.rows.iter().filter_map(|row| row.get(at));
            cells.chain([&table.columns[at]]).map(|cell| width(&escaped(cell))).max().unwrap_or(0)
        })
        .collect();
    let row = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, &wide)| {
            let cell = escaped(cell);
            format!("{cell}{}", " ".repeat(wide.saturating_sub(width(&cell))))
        });
        format!("  {}", padded.collect::<Vec<_>>().join("  "))
    };
    lines.push(vec![(row(&table.columns), theme.dim)]);
    for (at, cells) in table.rows.iter().enumerate() {
        lines.push(vec![(row(cells), Style::new())]);
        for detail in table.details.get(at).into_iter().flatten() {
            let wrapped = wrapped(&escaped(detail), columns.saturating_sub(6));
            lines.extend(wrapped.into_iter().map(|text| vec![(format!("      {text}"), theme.dim)]));
        }
    }
}
