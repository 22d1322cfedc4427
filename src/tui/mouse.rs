//! What the mouse does: the wheel scrolls, a click selects or sorts.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;

use super::bytes;
use super::keymap::Command;
use super::layout::{LEAST, Layout, Pane};
use super::list::Step;
use super::state::{Effect, State};
use super::tab::Tab;
use crate::journal::View;

/// Lines that a turn of the wheel scrolls.
const WHEEL: isize = 3;

impl State {
    pub(super) fn mouse(&mut self, mouse: MouseEvent, view: View<'_>) -> Effect {
        if self.size.0 < LEAST.0 || self.size.1 < LEAST.1 || self.prompt.is_some() {
            return Effect::None;
        }
        let by = match mouse.kind {
            MouseEventKind::ScrollDown => WHEEL,
            MouseEventKind::ScrollUp => -WHEEL,
            MouseEventKind::Down(MouseButton::Left) => {
                self.click(mouse.column, mouse.row, view);
                return Effect::None;
            }
            _ => return Effect::None,
        };
        let command = if by > 0 { Command::Down } else { Command::Up };
        if self.overlay.is_some() {
            (0..WHEEL).for_each(|_| _ = self.in_overlay(command));
            return Effect::None;
        }
        self.enter(mouse.column, mouse.row, view);
        self.step(Step::Lines(by), view);
        Effect::None
    }

    /// Puts the cursor into the pane at a place.
    fn enter(&mut self, x: u16, y: u16, view: View<'_>) -> Option<Rect> {
        let (pane, area) = Layout::of(self, view).at(x, y)?;
        if Pane::of(self.tab).contains(&pane) {
            self.panes.insert(self.tab, pane);
        }
        Some(area)
    }

    fn click(&mut self, x: u16, y: u16, view: View<'_>) {
        let layout = Layout::of(self, view);
        if y == layout.tabs.y {
            if let Some(tab) = super::bars::tab_at(self, x) {
                self.overlay = None;
                self.run(Command::View(tab), None, view);
            }
            return;
        }
        let Some(area) = self.overlay.is_none().then(|| self.enter(x, y, view)).flatten() else { return };
        let line = usize::from(y - area.y);
        let row = line.checked_sub(1);
        match (self.tab, self.pane()) {
            (Tab::Findings, _) => self.findings.cursor.at = self.findings.cursor.top + line,
            (_, Pane::Fields) if !self.messages.as_text => {
                self.messages.field.at =
                    (self.messages.field.top + line).min(self.messages.visible.len().saturating_sub(1));
                self.messages.select_bytes();
            }
            (_, Pane::Bytes) => {
                let start = (self.messages.byte_top + line) * bytes::per_line(area.width);
                if let Some(at) = bytes::byte_at(x - area.x, start, area.width) {
                    self.messages.byte = at;
                    self.messages.select_field();
                }
            }
            (_, Pane::Ladder) => {
                if let Some(at) = self.flow.row_at(area, layout.gutter, line as u16) {
                    self.flow.cursor.at = at;
                }
            }
            (tab, Pane::List) => self.click_row(tab, row, (x - area.x, area.width), view),
            _ => {}
        }
    }

    /// A click on a line of a table selects it, one on its heading sorts by the column.
    fn click_row(&mut self, tab: Tab, row: Option<usize>, (x, width): (u16, u16), view: View<'_>) {
        let numbers = self.numbers(tab);
        let Some(mut table) = self.table(tab) else { return };
        let column = super::table::column_at(table.columns, table.shown, numbers, (width, x));
        match (row, column) {
            (Some(row), _) => table.cursor.at = table.cursor.top + row,
            (None, Some(column)) => {
                let reverse = table.sort.0 == column && !table.sort.1;
                match table.sort_by(column, reverse) {
                    Ok(()) => self.rebuild_list(tab, view),
                    Err(fault) => self.say_wrong(fault),
                }
            }
            (None, None) => {}
        }
    }
}
