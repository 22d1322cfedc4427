//! Ladders as SVG, alone or within a page. Everything that came from a peer is escaped, and nothing outside is referred
//! to.

use std::fmt::Write as _;

use super::rows::{Event, Ladder, Row};
use crate::journal::View;
use crate::output::clock::Clock;
use crate::output::escape::{escaped, shorten};

/// Pixels between lanes, and of a row.
const LANE: usize = 460;
const ROW: usize = 46;
/// Left of the first lane: times. Above the first row: names.
const LEFT: usize = 190;
const TOP: usize = 56;
/// Characters that fit between two lanes.
const ROOM: usize = 68;

/// How it looks, on screen and on paper; `ladder` so that it stays with ladders in a page.
pub const STYLE: &str = ".ladder{font:12px system-ui,sans-serif;background:#fff}.ladder line{stroke:#456;stroke-width:1.3}\
.ladder .lane{stroke:#bbb;stroke-width:1}.ladder text{fill:#123}.ladder .dim{fill:#667;font-size:10.5px}\
.ladder .name{font-weight:600;text-anchor:middle}.ladder .mid{text-anchor:middle}\
.ladder .bad line{stroke:#b00020}.ladder .bad text{fill:#b00020}\
.ladder .missing line{stroke:#9a6700;stroke-dasharray:5 4}.ladder .missing line~line{stroke-dasharray:none}.ladder .missing text{fill:#9a6700}";

/// `text` as the content of an element or an attribute: no control character, no markup.
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in escaped(text).chars() {
        match c {
            '&' => clean.push_str("&amp;"),
            '<' => clean.push_str("&lt;"),
            '>' => clean.push_str("&gt;"),
            '"' => clean.push_str("&quot;"),
            '\'' => clean.push_str("&#39;"),
            // Noncharacters, which XML forbids (XML 1.0 2.2).
            '\u{fffe}' | '\u{ffff}' => clean.push('\u{fffd}'),
            _ => clean.push(c),
        }
    }
    clean
}

/// One ladder as an `svg` element; `style`: with its own style sheet, for a file of its own.
pub fn draw(view: View<'_>, ladder: &Ladder, clock: &mut Clock, style: bool) -> String {
    let width = LEFT + LANE * ladder.lanes.len().saturating_sub(1).max(1) + 150;
    let height = TOP + ROW * ladder.rows.len() + 30;
    let mut svg = format!(
        "<svg class=\"ladder\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\">\n<title>{}</title>\n",
        clean(&title(view, ladder))
    );
    if style {
        let _ = writeln!(svg, "<style>{STYLE}</style>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>");
    }
    for (at, lane) in ladder.lanes.iter().enumerate() {
        let (x, end) = (LEFT + LANE * at, height - 12);
        let _ = writeln!(svg, "<line class=\"lane\" x1=\"{x}\" y1=\"30\" x2=\"{x}\" y2=\"{end}\"/>");
        let _ = writeln!(svg, "<text class=\"name\" x=\"{x}\" y=\"20\">{}</text>", clean(&shorten(&lane.name, 40)));
    }
    for (at, row) in ladder.rows.iter().enumerate() {
        draw_row(&mut svg, row, TOP + ROW * at + 16, clock);
    }
    svg.push_str("</svg>\n");
    svg
}

/// What the procedures of a ladder are.
pub fn title(view: View<'_>, ladder: &Ladder) -> String {
    let journal = view.journal;
    let name = |&index: &u32| {
        let procedure = &journal.procedures[index as usize];
        let definition = &journal.definitions.procedures[procedure.definition as usize];
        format!("{} {} (clause {}): {}", index + 1, definition.name, definition.clause, procedure.state.name())
    };
    ladder.procedures.iter().map(name).collect::<Vec<_>>().join("; ")
}

fn draw_row(svg: &mut String, row: &Row, y: usize, clock: &mut Clock) {
    let (from, to) = (LEFT + LANE * row.from, LEFT + LANE * row.to);
    let sign: i64 = if to >= from { 1 } else { -1 };
    let (class, head, under) = match &row.event {
        Event::Missing { why, .. } => ("missing", why.clone(), String::new()),
        Event::Message { index, name, ids, facts, codes, failed, .. } => {
            // What failed comes first, so that it is never what is cut.
            let (failures, others): (Vec<_>, Vec<_>) = facts.iter().partition(|fact| fact.failed);
            let facts: Vec<String> =
                failures.into_iter().chain(others).map(|fact| format!("{} {}", fact.label, fact.value)).collect();
            let codes = if codes.is_empty() { String::new() } else { format!("  [{}]", codes.join(", ")) };
            let class = if *failed { "bad" } else { "message" };
            (class, format!("{} {name} {ids}", index + 1), facts.join("  ") + &codes)
        }
    };
    let _ = writeln!(svg, "<g class=\"{class}\"><title>{}</title>", clean(&format!("{head}  {under}")));
    if let Some(time) = row.time {
        let _ = writeln!(svg, "<text class=\"dim\" x=\"8\" y=\"{}\">{}</text>", y + 4, clean(&clock.next(time)));
    }
    let room = ROOM * row.from.abs_diff(row.to).max(1);
    let middle = from.midpoint(to);
    let _ = writeln!(svg, "<text class=\"mid\" x=\"{middle}\" y=\"{}\">{}</text>", y - 6, clean(&shorten(&head, room)));
    let tip = to as i64 - sign * 9;
    let _ = writeln!(svg, "<line x1=\"{from}\" y1=\"{y}\" x2=\"{to}\" y2=\"{y}\"/>");
    for dy in [-5_i64, 5] {
        let _ = writeln!(svg, "<line x1=\"{tip}\" y1=\"{}\" x2=\"{to}\" y2=\"{y}\"/>", y as i64 + dy);
    }
    if !under.is_empty() {
        let text = clean(&shorten(&under, room));
        let _ = writeln!(svg, "<text class=\"mid dim\" x=\"{middle}\" y=\"{}\">{text}</text>", y + 14);
    }
    svg.push_str("</g>\n");
}
