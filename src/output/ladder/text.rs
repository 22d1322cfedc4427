//! A ladder drawn with characters.
//!
//! ```text
//! #1 session-creation-request (clause 7.3): complete in 1.10 ms  session 7d4e…
//!
//!                              KMA-1  controller
//! 11:20:56.456285                ├──────▶│        8 Session creation request  0x1406 #1048577
//! 11:20:56.457347    +1.061 ms   │◀──────┤       11 Response to session creation request  …
//! ```
//! Where the text has no room beside the lanes, it stands above the arrows.

use std::io::{self, Write};

use anstyle::Style;

use super::rows::{Event, Ladder, Row};
use crate::journal::View;
use crate::output::clock::{Clock, duration};
use crate::output::escape::{escaped, token, width};
use crate::output::lines::{Piece, flow, paint};
use crate::output::style::Styles;
use crate::time::{Span, Timestamp};

/// Columns that text beside the lanes needs.
const LEAST_BESIDE: usize = 52;
/// Columns between two lanes at least.
const LEAST_GAP: usize = 9;
/// Columns before what goes on under a heading.
const HEADING_INDENT: usize = 4;
/// Columns of a session ID or key relay request ID; a UUID has 36.
const MOST_ID: usize = 64;
/// Columns of the time since the row before.
const DELTA: usize = 12;

/// The characters to draw with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyphs {
    /// Box drawing.
    Unicode,
    /// For terminals and files that have nothing else.
    Ascii,
}

impl Glyphs {
    /// Lane, arrow body, dashed body, crossing, heads to the left and right, begin to the left and right, failure.
    const fn set(self) -> [char; 9] {
        match self {
            Self::Unicode => ['│', '─', '╌', '┼', '◀', '▶', '┤', '├', '✗'],
            Self::Ascii => ['|', '-', '.', '+', '<', '>', '|', '|', 'x'],
        }
    }

    fn text(self, text: &str) -> String {
        if self == Self::Unicode || text.is_ascii() {
            return text.to_owned();
        }
        let mut ascii = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '→' => ascii.push_str("->"),
                '…' => ascii.push_str("..."),
                '✗' => ascii.push('x'),
                _ if c.is_ascii() => ascii.push(c),
                _ => ascii.extend(c.escape_unicode()),
            }
        }
        ascii
    }
}

/// How ladders are drawn.
#[derive(Clone, Debug)]
pub struct Drawing {
    /// Columns at most.
    pub columns: usize,
    /// With what.
    pub glyphs: Glyphs,
    /// In which colours.
    pub styles: Styles,
    /// What times are told against.
    pub clock: Clock,
}

impl Drawing {
    /// Writes a ladder, with a line about each of its procedures before it and an empty line after it.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&mut self, out: &mut impl Write, view: View<'_>, ladder: &Ladder) -> io::Result<()> {
        let mut text = String::new();
        for &procedure in &ladder.procedures {
            self.heading(&mut text, view, procedure);
        }
        let mut sheet = Sheet::new(self, ladder);
        sheet.names(&mut text, ladder);
        let mut previous = None;
        for row in &ladder.rows {
            sheet.row(&mut text, row, previous);
            previous = row.time.or(previous);
        }
        text.push('\n');
        out.write_all(text.as_bytes())
    }

    fn heading(&self, text: &mut String, view: View<'_>, index: u32) {
        let journal = view.journal;
        let procedure = &journal.procedures[index as usize];
        let definition = &journal.definitions.procedures[procedure.definition as usize];
        let title = format!("#{} {} (clause {}):", index + 1, escaped(&definition.name), escaped(&definition.clause));
        let title = self.glyphs.text(&title);
        paint(text, &title, self.styles.strong);
        text.push(' ');
        let (first, last) = journal.first_and_last(index);
        let (start, end) = journal.span(index);
        let took = duration(end - start);
        let took = if first == last { String::new() } else { format!(" in {took}") };
        let state = format!("{}{took}", procedure.state.name());
        let mut pieces = vec![Piece::new(state, self.styles.state(procedure.state))];
        for (label, id) in [("session", procedure.session), ("relay", procedure.key_relay_request)] {
            let id = journal.texts.get(id).map(|id| self.glyphs.text(&token(id, MOST_ID)));
            pieces.extend(id.map(|id| Piece::labelled(label, self.styles.dim, id, Style::new())));
        }
        flow(text, &pieces, width(&title) + 1, HEADING_INDENT, self.columns);
        text.push('\n');
    }
}

/// Where things go.
struct Sheet<'a> {
    drawing: &'a mut Drawing,
    /// Columns of the lanes.
    lanes: Vec<usize>,
    /// Column of text beside the lanes, if it has room there.
    beside: Option<usize>,
    /// Digits of message numbers.
    digits: usize,
}

impl<'a> Sheet<'a> {
    fn new(drawing: &'a mut Drawing, ladder: &Ladder) -> Self {
        let gutter = drawing.clock.width() + DELTA + 2;
        let mut lanes = Vec::new();
        let (mut column, mut half) = (gutter, 0);
        for lane in &ladder.lanes {
            let own = width(&drawing.glyphs.text(&lane.name));
            let gap = if lanes.is_empty() { own / 2 } else { (half + 2 + own / 2).max(LEAST_GAP) };
            column += gap;
            half = own.div_ceil(2);
            lanes.push(column);
        }
        let beside = column + half.max(2) + 1;
        let beside = (beside + LEAST_BESIDE <= drawing.columns).then_some(beside);
        let digits = ladder.rows.iter().filter_map(Row::number).max().unwrap_or(0).to_string().len();
        Self { drawing, lanes, beside, digits }
    }

    fn names(&self, text: &mut String, ladder: &Ladder) {
        let mut column = 0;
        text.push('\n');
        for (lane, &at) in ladder.lanes.iter().zip(&self.lanes) {
            let name = self.drawing.glyphs.text(&lane.name);
            let start = at - width(&name) / 2;
            text.extend(std::iter::repeat_n(' ', start.saturating_sub(column)));
            paint(text, &name, self.drawing.styles.strong);
            column = start + width(&name);
        }
        text.push('\n');
    }

    fn row(&mut self, text: &mut String, row: &Row, previous: Option<Timestamp>) {
        let gutter = self.gutter(row, previous);
        let pieces = self.pieces(row);
        let left = self.lanes[row.from.min(row.to)] + 2;
        let column = self.beside.unwrap_or(left);
        let indent = column + self.digits + 1;
        let mut lines = wrap(pieces, column, indent, self.drawing.columns).into_iter();
        let empty = " ".repeat(width(&gutter));
        let style = row.style(&self.drawing.styles);
        if self.beside.is_some() {
            let first = lines.next().unwrap_or_default();
            self.line(text, &gutter, &self.arrow(row), style, column, &first);
            lines.for_each(|line| self.line(text, &empty, &self.bars(), Style::new(), indent, &line));
        } else {
            for (number, line) in lines.enumerate() {
                let (gutter, at) = if number == 0 { (&gutter, column) } else { (&empty, indent) };
                let at = self.shifted(at, &line, width(gutter));
                self.line(text, gutter, &self.bars(), Style::new(), at, &line);
            }
            self.line(text, &empty, &self.arrow(row), style, usize::MAX, &[]);
        }
    }

    /// Where `text` begins that would begin at `column`: further left, over a lane, if it is too long for there.
    fn shifted(&self, column: usize, text: &[Piece], least: usize) -> usize {
        let long: usize = text.iter().map(|piece| piece.width() + 2).sum();
        column.min((self.drawing.columns + 2).saturating_sub(long).max(least))
    }

    /// One line: gutter, lanes, and text that begins at `column`, over what the lanes have there.
    fn line(&self, out: &mut String, gutter: &str, lanes: &[char], style: Style, column: usize, text: &[Piece]) {
        paint(out, gutter, self.drawing.styles.dim);
        let start = width(gutter);
        let part = |from: usize, to: usize| lanes.iter().take(to).skip(from).collect::<String>();
        if text.is_empty() {
            paint(out, part(start, lanes.len()).trim_end(), style);
            out.push('\n');
            return;
        }
        paint(out, &part(start, column), style);
        out.extend(std::iter::repeat_n(' ', column.saturating_sub(lanes.len().max(start))));
        let mut end = column;
        for (index, piece) in text.iter().enumerate() {
            let gap = if index == 0 { "" } else { "  " };
            out.push_str(gap);
            if let Some((label, look)) = &piece.label {
                paint(out, label, *look);
                out.push(' ');
            }
            paint(out, &piece.text, piece.style);
            end += gap.len() + piece.width();
        }
        // A lane right after the text would look like a part of it.
        let rest = if lanes.get(end) == Some(&' ') { part(end, lanes.len()) } else { String::new() };
        paint(out, rest.trim_end(), style);
        out.push('\n');
    }

    fn gutter(&mut self, row: &Row, previous: Option<Timestamp>) -> String {
        let Some(time) = row.time else { return " ".repeat(self.drawing.clock.width() + DELTA + 2) };
        // Capture times may go back.
        let sign = |span: Span| if span.0 < 0 { "" } else { "+" };
        let signed = |span| format!("{}{}", sign(span), duration(span));
        let delta = previous.map_or_else(String::new, |previous| signed(time - previous));
        format!("{} {delta:>DELTA$} ", self.drawing.clock.next(time))
    }

    fn pieces(&self, row: &Row) -> Vec<Piece> {
        let styles = self.drawing.styles;
        let text = |text: &str| self.drawing.glyphs.text(text);
        match &row.event {
            Event::Missing { why, .. } => {
                vec![Piece::new(format!("{:1$}{2}", "", self.digits + 1, text(&format!("✗ {why}"))), styles.doubtful)]
            }
            Event::Message { index, name, ids, facts, codes, worst, .. } => {
                let number = format!("{:>1$}", index + 1, self.digits);
                let mut pieces = vec![Piece::labelled(number, styles.dim, text(name), styles.strong)];
                pieces.push(Piece::new(ids.clone(), styles.dim));
                pieces.extend(facts.iter().map(|fact| {
                    let (sign, style) = if fact.failed { ("✗ ", styles.bad) } else { ("", Style::new()) };
                    Piece::labelled(fact.label, styles.dim, text(&format!("{sign}{}", fact.value)), style)
                }));
                if !codes.is_empty() {
                    pieces.push(Piece::new(format!("[{}]", codes.join(", ")), styles.severity(*worst)));
                }
                pieces
            }
        }
    }

    /// A line with nothing but the lanes.
    fn bars(&self) -> Vec<char> {
        let mut line = vec![' '; self.lanes.last().map_or(0, |last| last + 1)];
        self.lanes.iter().for_each(|&lane| line[lane] = self.drawing.glyphs.set()[0]);
        line
    }

    fn arrow(&self, row: &Row) -> Vec<char> {
        let [_, body, dash, crossing, head_left, head_right, begin_left, begin_right, failure] =
            self.drawing.glyphs.set();
        let mut line = self.bars();
        let (from, to) = (self.lanes[row.from], self.lanes[row.to]);
        let missing = matches!(row.event, Event::Missing { .. });
        for cell in line.iter_mut().take(from.max(to)).skip(from.min(to) + 1) {
            *cell = match (missing, *cell == ' ') {
                (true, true) => dash,
                (true, false) => *cell,
                (false, true) => body,
                (false, false) => crossing,
            };
        }
        if from != to {
            line[from] = if to > from { begin_right } else { begin_left };
            let head = if to > from { to - 1 } else { to + 1 };
            line[head] = if to > from { head_right } else { head_left };
        }
        if missing && from.abs_diff(to) > 4 {
            line[from.midpoint(to)] = failure;
        }
        line
    }
}

impl Row {
    fn number(&self) -> Option<u32> {
        match self.event {
            Event::Message { index, .. } => Some(index + 1),
            Event::Missing { .. } => None,
        }
    }

    fn style(&self, styles: &Styles) -> Style {
        match &self.event {
            Event::Missing { .. } => styles.doubtful,
            Event::Message { failed: true, .. } => styles.bad,
            Event::Message { .. } => Style::new(),
        }
    }
}

/// `pieces` in lines: the first begins at `column`, the others at `indent`, none goes beyond `most` if it can be helped.
fn wrap(pieces: Vec<Piece>, column: usize, indent: usize, most: usize) -> Vec<Vec<Piece>> {
    let mut lines: Vec<Vec<Piece>> = vec![Vec::new()];
    let mut end = column;
    for piece in pieces {
        let line = lines.last_mut().expect("there is always a last line");
        let gap = if line.is_empty() { 0 } else { 2 };
        if gap > 0 && end + gap + piece.width() > most {
            end = indent + piece.width();
            lines.push(vec![piece]);
        } else {
            end += gap + piece.width();
            line.push(piece);
        }
    }
    lines
}
