//! Where things stand on the screen: one answer for drawing, paging and the mouse.

use ratatui::layout::Rect;

use super::state::State;
use super::tab::Tab;
use super::times::{TimeMode, ends};
use crate::journal::View;

/// A part of a view that the cursor can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pane {
    /// The table.
    List,
    /// The arrows.
    Ladder,
    /// Fields of a message.
    Fields,
    /// Bytes of a message.
    Bytes,
    /// All about one line of a table; never has the cursor.
    Detail,
}

impl Pane {
    /// The panes of a view that can have the cursor.
    pub const fn of(tab: Tab) -> &'static [Pane] {
        match tab {
            Tab::Flow => &[Self::Ladder, Self::Fields],
            Tab::Messages => &[Self::List, Self::Fields, Self::Bytes],
            Tab::Connections => &[Self::List, Self::Detail],
            _ => &[Self::List],
        }
    }

    /// Its title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::List => "List",
            Self::Ladder => "Ladder",
            Self::Fields => "Message",
            Self::Bytes => "Bytes",
            Self::Detail => "Connection",
        }
    }
}

/// The smallest screen that shows anything.
pub const LEAST: (u16, u16) = (40, 10);
/// Screens at least this wide have panes beside each other.
const WIDE: u16 = 132;

/// Lines of a hint of the tour.
const TOUR: u16 = 2;

/// Where things stand.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The tab bar.
    pub tabs: Rect,
    /// The filter, while there is one.
    pub filter: Option<Rect>,
    /// Panes with their titles, where they have one.
    pub panes: Vec<(Pane, Option<Rect>, Rect)>,
    /// The hint of the tour, while there is one.
    pub tour: Option<Rect>,
    /// The status line, or what is being typed.
    pub status: Rect,
    /// The hint bar.
    pub hint: Rect,
    /// Everything between the bars.
    pub body: Rect,
    /// Columns before the lanes of a ladder.
    pub gutter: Gutter,
}

/// Columns before the lanes of a ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gutter {
    /// Of times.
    pub time: u16,
    /// Of the times since the arrow before; 0 where that is what times are.
    pub delta: u16,
}

impl Layout {
    /// The layout of `state`.
    pub fn of(state: &State, view: View<'_>) -> Self {
        let (width, height) = state.size;
        let line = |y| Rect::new(0, y, width, 1);
        let filter = state.shown.is_restricted().then(|| line(1));
        let top = if filter.is_some() { 2 } else { 1 };
        let tours = u16::from(state.hint < state.setup.tour.len()) * TOUR;
        let body = Rect::new(0, top, width, height.saturating_sub(top + 2 + tours));
        let tour = (tours > 0).then(|| Rect::new(0, body.bottom(), width, tours));
        let panes = panes(state, body);
        let status = line(height.saturating_sub(2));
        let hint = line(height.saturating_sub(1));
        Self { tabs: line(0), filter, panes, tour, status, hint, body, gutter: gutter(state, view) }
    }

    /// The area of a pane; empty if it is not shown.
    pub fn area(&self, pane: Pane) -> Rect {
        self.panes.iter().find(|(other, ..)| *other == pane).map_or(Rect::ZERO, |(.., area)| *area)
    }

    /// Lines of a pane.
    pub fn lines(&self, pane: Pane) -> usize {
        usize::from(self.area(pane).height)
    }

    /// The pane at a place.
    pub fn at(&self, x: u16, y: u16) -> Option<(Pane, Rect)> {
        let holds = |area: &Rect| area.contains((x, y).into());
        self.panes.iter().find(|(.., area)| holds(area)).map(|&(pane, _, area)| (pane, area))
    }
}

impl Gutter {
    /// All of them, with the space between and after them.
    pub fn columns(self) -> u16 {
        self.time + self.delta + if self.delta > 0 { 3 } else { 2 }
    }
}

fn gutter(state: &State, view: View<'_>) -> Gutter {
    let time = match state.setup.time {
        TimeMode::Absolute if state.size.0 >= 100 => 15,
        TimeMode::Absolute => 12,
        TimeMode::Relative | TimeMode::Delta => {
            let (first, last) = ends(view);
            crate::output::clock::seconds(last - first).len().max(9) as u16
        }
    };
    Gutter { time, delta: if state.setup.time == TimeMode::Delta { 0 } else { 9 } }
}

fn panes(state: &State, body: Rect) -> Vec<(Pane, Option<Rect>, Rect)> {
    let zoomed = if state.zoomed { Some(state.pane()) } else { None };
    let wide = body.width >= WIDE;
    match (state.tab, zoomed) {
        (_, Some(pane)) => vec![titled(pane, body)],
        (Tab::Flow, _) => {
            // The ladder is what it is about.
            let split = (state.split + 15).min(85);
            let (ladder, fields) = if wide { beside(body, split) } else { above(body, split) };
            vec![(Pane::Ladder, None, ladder), titled(Pane::Fields, fields)]
        }
        (Tab::Messages, _) => {
            let (list, rest) = above(body, if wide { state.split } else { state.split.saturating_sub(5) });
            let (fields, bytes) = if wide {
                // 16 bytes on a line take 73 columns.
                let (fields, bytes) = beside_fixed(rest, 74);
                (fields, bytes)
            } else {
                above(rest, 65)
            };
            vec![(Pane::List, None, list), titled(Pane::Fields, fields), titled(Pane::Bytes, bytes)]
        }
        (Tab::Connections, _) if body.height >= 16 => {
            let (list, detail) = above_fixed(body, (body.height * 2 / 5).max(9));
            vec![(Pane::List, None, list), titled(Pane::Detail, detail)]
        }
        (Tab::Connections, _) if state.pane() == Pane::Detail => vec![titled(Pane::Detail, body)],
        _ => vec![(Pane::List, None, body)],
    }
}

/// A pane whose first line is its title.
fn titled(pane: Pane, area: Rect) -> (Pane, Option<Rect>, Rect) {
    let title = Rect { height: area.height.min(1), ..area };
    let rest = Rect { y: area.y + title.height, height: area.height - title.height, ..area };
    (pane, Some(title), rest)
}

fn above(area: Rect, per_cent: u16) -> (Rect, Rect) {
    let lower = area.height - (u32::from(area.height) * u32::from(per_cent) / 100) as u16;
    above_fixed(area, lower)
}

fn above_fixed(area: Rect, lower: u16) -> (Rect, Rect) {
    let upper = area.height.saturating_sub(lower);
    (Rect { height: upper, ..area }, Rect { y: area.y + upper, height: area.height - upper, ..area })
}

/// With an empty column between them.
fn beside(area: Rect, per_cent: u16) -> (Rect, Rect) {
    beside_fixed(area, area.width - (u32::from(area.width) * u32::from(per_cent) / 100) as u16)
}

fn beside_fixed(area: Rect, right: u16) -> (Rect, Rect) {
    let left = area.width.saturating_sub(right);
    let gap = left.min(1);
    (Rect { width: left - gap, ..area }, Rect { x: area.x + left, width: area.width - left, ..area })
}
