//! The ladder: who said what to whom, with an arrow for each message and the answers that never came.

use std::collections::BTreeSet;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::layout::Gutter;
use super::list::Cursor;
use super::names::{Names, brief};
use super::table::put;
use super::theme::Theme;
use super::times::fitted;
use crate::journal::View;
use crate::output::clock::{Clock, duration};
use crate::output::escape::{shorten, width};
use crate::output::ladder::{Event, Ladder, Lane, Row};
use crate::output::style::mark;
use crate::time::Timestamp;

/// Procedures drawn at once; more are for the table.
pub const MOST: usize = 512;
/// Columns between two lanes.
const LEAST_GAP: u16 = 10;
const MOST_GAP: u16 = 18;
/// Columns of text beside the lanes.
const LEAST_BESIDE: u16 = 34;
/// Columns of a lane's name.
const MOST_NAME: usize = 24;

/// The view.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    /// Selection among the arrows.
    pub cursor: Cursor,
    /// What is drawn.
    pub ladder: Ladder,
    /// Lanes that are folded into one, by name.
    folded: BTreeSet<String>,
    /// Names of lanes in the order wished for.
    order: Vec<String>,
    /// Columns scrolled to the right.
    pub scroll: u16,
    made: Option<(Vec<u32>, u64)>,
}

/// The lane of those that are folded.
const FOLDED: &str = "(folded)";

impl Panel {
    /// The message of the selected arrow; of a missing answer the request.
    pub fn selected(&self) -> Option<u32> {
        Some(match self.ladder.rows.get(self.cursor.at)?.event {
            Event::Message { index, .. } | Event::Missing { index, .. } => index,
        })
    }

    /// Puts the cursor on the arrow of `message`.
    pub fn select(&mut self, message: u32) {
        let is_it = |row: &Row| matches!(row.event, Event::Message { index, .. } if index == message);
        self.cursor.at = self.ladder.rows.iter().position(is_it).unwrap_or(self.cursor.at);
    }

    /// Makes the ladder of `procedures`, unless it is made.
    pub fn look_at(&mut self, view: View<'_>, names: &Names, procedures: Vec<u32>, generation: u64) {
        let wanted = Some((procedures, generation));
        if wanted != self.made {
            let procedures = wanted.as_ref().map_or_else(Vec::new, |(procedures, _)| procedures.clone());
            self.made = wanted;
            self.build(view, names, procedures);
        }
    }

    /// The ladder has to be made anew.
    pub fn forget(&mut self) {
        self.made = None;
    }

    fn build(&mut self, view: View<'_>, names: &Names, procedures: Vec<u32>) {
        let mut ladder = Ladder::new(view, &names.identities(view), procedures);
        for lane in &mut ladder.lanes {
            lane.name = names.shown(&lane.name).to_owned();
        }
        let mut lanes: Vec<Lane> = Vec::new();
        let mut place: Vec<usize> = Vec::new();
        for lane in &ladder.lanes {
            let hidden = self.folded.contains(&lane.name);
            let lane = if hidden { Lane { name: FOLDED.to_owned(), is_controller: false } } else { lane.clone() };
            place.push(lanes.iter().position(|known| *known == lane).unwrap_or(lanes.len()));
            if place.last() == Some(&lanes.len()) {
                lanes.push(lane);
            }
        }
        let mut order: Vec<usize> = (0..lanes.len()).collect();
        let wish = |lane: &Lane| self.order.iter().position(|name| *name == lane.name).unwrap_or(usize::MAX);
        order.sort_by_key(|&lane| wish(&lanes[lane]));
        let at = |lane: usize| order.iter().position(|&other| other == place[lane]).unwrap_or(0);
        for row in &mut ladder.rows {
            (row.from, row.to) = (at(row.from), at(row.to));
        }
        ladder.lanes = order.iter().map(|&lane| lanes[lane].clone()).collect();
        self.ladder = ladder;
    }

    /// Moves the sender's lane of the selected arrow; by its name in the new order.
    pub fn move_lane(&mut self, right: bool) {
        let Some(row) = self.ladder.rows.get(self.cursor.at) else { return };
        let mut names: Vec<String> = self.ladder.lanes.iter().map(|lane| lane.name.clone()).collect();
        let other = if right { row.from + 1 } else { row.from.wrapping_sub(1) };
        if other < names.len() {
            names.swap(row.from, other);
            self.order = names;
            self.forget();
        }
    }

    /// Folds the sender's lane of the selected arrow; unfolds all where it is the folded one.
    pub fn fold_lane(&mut self) {
        let Some(row) = self.ladder.rows.get(self.cursor.at) else { return };
        let name = &self.ladder.lanes[row.from].name;
        if name == FOLDED {
            self.folded.clear();
        } else {
            self.folded.insert(name.clone());
        }
        self.forget();
    }

    /// The name of the sender's lane of the selected arrow.
    pub fn lane(&self) -> Option<&str> {
        let row = self.ladder.rows.get(self.cursor.at)?;
        self.ladder.lanes.get(row.from).map(|lane| lane.name.as_str())
    }

    /// Where things go in `area`.
    fn sheet(&self, area: Rect, gutter: Gutter) -> Sheet {
        let lanes = self.ladder.lanes.len() as u16;
        let name = |lane: &Lane| width(&lane.name).min(MOST_NAME) as u16;
        let widest = self.ladder.lanes.iter().map(name).max().unwrap_or(0);
        let fixed = gutter.columns();
        let half = widest.div_ceil(2);
        let gap = (widest + 2).clamp(LEAST_GAP, MOST_GAP.max(widest + 2));
        let span = |gap: u16| gap.saturating_mul(lanes.saturating_sub(1)).saturating_add(2 * half);
        let beside = fixed.saturating_add(span(gap)).saturating_add(LEAST_BESIDE + 1) <= area.width;
        if beside || lanes < 2 {
            let at = (0..lanes).map(|lane| fixed + half + lane * gap).collect();
            return Sheet { at, beside: beside.then_some(fixed + span(gap) + 2), gutter, name: gap - 1 };
        }
        // As many lanes as there is room for, with what their names can do without; the others are scrolled to.
        let half = half.min(LEAST_GAP / 2);
        let gap = (area.width.saturating_sub(fixed + 2 * half + 1) / (lanes - 1)).max(LEAST_GAP);
        let at = (0..lanes).map(|lane| fixed + half + lane * gap).collect();
        Sheet { at, beside: None, gutter, name: gap - 1 }
    }

    /// Scrolls no further than the last lane.
    pub fn limit_scroll(&mut self, area: Rect, gutter: Gutter) {
        let sheet = self.sheet(area, gutter);
        if let (None, Some(last)) = (sheet.beside, sheet.at.last()) {
            self.scroll = self.scroll.min((last + LEAST_GAP / 2 + 1).saturating_sub(area.width));
        }
    }

    /// Arrows on screen at once.
    pub fn height(&self, area: Rect, gutter: Gutter) -> usize {
        let lines = usize::from(area.height.saturating_sub(1));
        if self.sheet(area, gutter).beside.is_some() { lines } else { lines / 2 }
    }

    /// The arrow drawn on line `line` of the area, the heading being line 0.
    pub fn row_at(&self, area: Rect, gutter: Gutter, line: u16) -> Option<usize> {
        let lines = if self.sheet(area, gutter).beside.is_some() { 1 } else { 2 };
        Some(self.cursor.top + usize::from(line.checked_sub(1)? / lines))
    }
}

/// Columns of things, from the left of the area.
struct Sheet {
    at: Vec<u16>,
    beside: Option<u16>,
    gutter: Gutter,
    /// Columns of a lane's name.
    name: u16,
}

/// Draws the ladder.
pub struct Drawing<'a> {
    /// What is drawn.
    pub panel: &'a Panel,
    /// Colours.
    pub theme: &'a Theme,
    /// Times, and where they stand.
    pub clock: (Clock, Gutter),
    /// Whether the cursor is in this pane.
    pub active: bool,
    /// Whether a message is marked.
    pub is_marked: &'a dyn Fn(u32) -> bool,
}

impl Drawing<'_> {
    /// Draws into `area`.
    pub fn draw(&mut self, buffer: &mut Buffer, area: Rect) {
        let sheet = self.panel.sheet(area, self.clock.1);
        let mut canvas = Canvas { buffer, area, scroll: self.panel.scroll, fixed: sheet.gutter.columns() };
        self.heading(&mut canvas, &sheet);
        let height = self.panel.height(area, self.clock.1);
        let lines = if sheet.beside.is_some() { 1 } else { 2 };
        let rows = &self.panel.ladder.rows;
        let top = self.panel.cursor.top;
        let mut previous = rows[..top.min(rows.len())].iter().rev().find_map(|row| row.time);
        if let Some(time) = previous {
            self.clock.0.next(time);
        }
        for (line, row) in rows.iter().skip(top).take(height).enumerate() {
            let y = 1 + line as u16 * lines;
            self.row(&mut canvas, &sheet, row, y, previous);
            if top + line == self.panel.cursor.at {
                let look = if self.active { self.theme.selected } else { self.theme.passive };
                canvas.line(y, look);
            }
            previous = row.time.or(previous);
        }
    }

    /// The names of the lanes, and how many of them are not on screen.
    fn heading(&self, canvas: &mut Canvas<'_>, sheet: &Sheet) {
        let most = usize::from(sheet.name).min(MOST_NAME);
        let end = canvas.area.width + canvas.scroll;
        let first = canvas.fixed + canvas.scroll;
        let (mut left, mut right, mut free) = (0, 0, first);
        for (lane, &at) in self.panel.ladder.lanes.iter().zip(&sheet.at) {
            if at >= end {
                right += 1;
            } else if at < first {
                left += 1;
            } else {
                let name = brief(&lane.name, most);
                let name = shorten(&name, most);
                let columns = width(&name) as u16;
                // The last one's name ends where the screen does.
                let start = at.saturating_sub(columns / 2).min(end.saturating_sub(columns)).max(free);
                free = canvas.then(start, 0, &name, self.theme.strong) + 1;
            }
        }
        let more = match (left, right) {
            (0, 0) => return,
            (0, 1) => "1 more lane ›".to_owned(),
            (0, right) => format!("{right} more lanes ›"),
            (1, 0) => "‹ 1 more lane".to_owned(),
            (left, 0) => format!("‹ {left} more lanes"),
            (left, right) => format!("‹ {left} more · {right} more ›"),
        };
        let has_room = width(&more) < usize::from(canvas.fixed);
        let more = if has_room { more } else { format!("‹{left} {right}›") };
        canvas.text(0, 0, &more, self.theme.mark);
    }

    fn row(&mut self, canvas: &mut Canvas<'_>, sheet: &Sheet, row: &Row, y: u16, previous: Option<Timestamp>) {
        if let Some(time) = row.time {
            let text = self.clock.0.next(time);
            let Gutter { time: columns, delta: room } = sheet.gutter;
            canvas.text(0, y, fitted(&text, columns.into()), self.theme.dim);
            if let Some(previous) = previous.filter(|_| room > 0) {
                let delta = format!("+{}", duration(time - previous));
                let start = columns + 1 + room.saturating_sub(width(&delta) as u16);
                canvas.text(start, y, &delta, self.theme.dim);
            }
        }
        let style = match &row.event {
            Event::Missing { .. } => self.theme.warning,
            Event::Message { failed: true, .. } => self.theme.error,
            Event::Message { .. } => Style::new(),
        };
        let y_arrow = if sheet.beside.is_some() { y } else { y + 1 };
        for line in y..=y_arrow {
            sheet.at.iter().for_each(|&at| canvas.text(at, line, "│", self.theme.dim));
        }
        let left = sheet.at[row.from.min(row.to)] + 2;
        // A label that is too long for there begins further left, over the lanes.
        let end = (canvas.area.width + self.panel.scroll).saturating_sub(label_width(row) as u16);
        let x = sheet.beside.unwrap_or(left.min(end).max(sheet.gutter.columns() + self.panel.scroll));
        self.label(canvas, row, x, y, style);
        arrow(canvas, sheet, row, y_arrow, style);
    }

    /// What stands beside or above an arrow.
    fn label(&self, canvas: &mut Canvas<'_>, row: &Row, x: u16, y: u16, style: Style) {
        match &row.event {
            Event::Missing { why, .. } => canvas.text(x, y, &format!("✗ {why}"), style),
            Event::Message { index, name, ids, facts, worst, codes, .. } => {
                let marked = if (self.is_marked)(*index) { "*" } else { "" };
                let sign = worst.map_or(String::new(), |worst| format!("{} ", mark(Some(worst))));
                let mut end = canvas.then(x, y, marked, self.theme.mark);
                end = canvas.then(end, y, &sign, self.theme.severity(*worst));
                end = canvas.then(end, y, name, style.add_modifier(Modifier::BOLD));
                // Why something failed stands before what a narrow screen may cut.
                for reason in facts.iter().filter(|fact| fact.failed) {
                    end = canvas.then(end, y, &format!("  ✗ {}", reason.value), self.theme.error);
                }
                end = canvas.then(end, y, &format!(" {ids}"), self.theme.dim);
                for fact in facts.iter().filter(|fact| !fact.failed) {
                    end = canvas.then(end, y, &format!("  {} ", fact.label), self.theme.dim);
                    end = canvas.then(end, y, &fact.value, Style::new());
                }
                if !codes.is_empty() {
                    canvas.then(end, y, &format!("  [{}]", codes.join(", ")), self.theme.severity(*worst));
                }
            }
        }
    }
}

/// Columns of what stands above an arrow.
fn label_width(row: &Row) -> usize {
    match &row.event {
        Event::Missing { why, .. } => width(why) + 2,
        Event::Message { name, ids, facts, worst, codes, .. } => {
            let facts: usize = facts.iter().map(|fact| 5 + width(fact.label) + width(&fact.value)).sum();
            let codes: usize = codes.iter().map(|code| code.len() + 2).sum();
            let sign = if worst.is_some() { 2 } else { 0 };
            1 + sign + width(name) + 1 + width(ids) + facts + if codes > 0 { codes + 2 } else { 0 }
        }
    }
}

fn arrow(canvas: &mut Canvas<'_>, sheet: &Sheet, row: &Row, y: u16, style: Style) {
    let (from, to) = (sheet.at[row.from], sheet.at[row.to]);
    if from == to {
        canvas.text(from, y, "↺", style);
        return;
    }
    let is_missing = matches!(row.event, Event::Missing { .. });
    let (first, last) = (from.min(to) + 1, from.max(to));
    for x in first..last {
        let crossing = sheet.at.contains(&x);
        match (is_missing, crossing) {
            (true, true) => {}
            (true, false) => canvas.text(x, y, "╌", style),
            (false, true) => canvas.text(x, y, "┼", style),
            (false, false) => canvas.text(x, y, "─", style),
        }
    }
    let (begin, head, x) = if to > from { ("├", "▶", to - 1) } else { ("┤", "◀", to + 1) };
    canvas.text(from, y, begin, style);
    canvas.text(x, y, head, style);
    if is_missing {
        canvas.text(from.midpoint(to), y, "✗", style);
    }
}

/// A part of the screen that is scrolled sideways, but for its first columns.
struct Canvas<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
    scroll: u16,
    fixed: u16,
}

impl Canvas<'_> {
    fn text(&mut self, x: u16, y: u16, text: &str, style: Style) {
        let shown = if x < self.fixed { x } else { x.saturating_sub(self.scroll) };
        let hidden = x >= self.fixed && (x < self.scroll || shown < self.fixed);
        if !hidden && shown < self.area.width && y < self.area.height {
            let place = (self.area.x + shown, self.area.y + y);
            put(self.buffer, place, self.area.width - shown, text, style, false);
        }
    }

    /// Writes, and where the text after it begins.
    fn then(&mut self, x: u16, y: u16, text: &str, style: Style) -> u16 {
        if !text.is_empty() {
            self.text(x, y, text, style);
        }
        x.saturating_add(width(text) as u16)
    }

    fn line(&mut self, y: u16, style: Style) {
        if y < self.area.height {
            self.buffer.set_style(Rect::new(self.area.x, self.area.y + y, self.area.width, 1), style);
        }
    }
}
