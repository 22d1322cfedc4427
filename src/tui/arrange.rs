//! How the tables are arranged: which columns they show, and by which of them they are sorted.

use super::keymap::Command;
use super::layout::Layout;
use super::list::Cursor;
use super::state::State;
use super::tab::Tab;
use super::table::{Column, chosen, fit};
use super::{connections, messages, procedures};
use crate::journal::View;

/// The table of a view, to be arranged.
pub(super) struct Arranged<'a> {
    /// All columns there are.
    pub columns: &'static [Column],
    /// Those shown, as indexes of `columns`.
    pub shown: &'a mut Vec<usize>,
    /// Sorted by which column, and whether the other way round.
    pub sort: &'a mut (usize, bool),
    /// Selection.
    pub cursor: &'a mut Cursor,
}

impl Arranged<'_> {
    /// Sorts by `column`.
    ///
    /// # Errors
    /// Its values have no order that could be found in time.
    pub fn sort_by(&mut self, column: usize, reverse: bool) -> Result<(), String> {
        let Column { key, sorts, .. } = self.columns[column];
        if !sorts {
            return Err(format!("{key} is not sorted by; it would have to be made for every message"));
        }
        *self.sort = (column, reverse);
        Ok(())
    }

    /// Sorts by the column called `key`.
    fn sort_by_key(&mut self, key: &str) -> Result<(), String> {
        let column = chosen(self.columns, &[key])?[0];
        self.sort_by(column, false)
    }

    /// Sorts by the next of the columns that are on screen.
    fn sort_by_next(&mut self, on_screen: &[usize]) -> Result<(), String> {
        let at = on_screen.iter().position(|&index| index == self.sort.0).map_or(0, |at| at + 1);
        let following = (0..on_screen.len()).map(|ahead| on_screen[(at + ahead) % on_screen.len()]);
        match following.into_iter().find(|&index| self.columns[index].sorts) {
            Some(column) => self.sort_by(column, false),
            None => Err("no column on screen is sorted by".to_owned()),
        }
    }
}

impl State {
    /// The table of a view, if it has one.
    pub(super) fn table(&mut self, tab: Tab) -> Option<Arranged<'_>> {
        let (columns, shown, sort, cursor) = match tab {
            Tab::Procedures => {
                let panel = &mut self.procedures;
                (procedures::COLUMNS, &mut panel.shown, &mut panel.sort, &mut panel.cursor)
            }
            Tab::Messages => {
                let panel = &mut self.messages;
                (messages::COLUMNS, &mut panel.shown, &mut panel.sort, &mut panel.cursor)
            }
            Tab::Connections => {
                let panel = &mut self.connections;
                (connections::COLUMNS, &mut panel.shown, &mut panel.sort, &mut panel.cursor)
            }
            Tab::Flow | Tab::Findings | Tab::Statistics | Tab::Source => return None,
        };
        Some(Arranged { columns, shown, sort, cursor })
    }

    /// Shows the columns of a table that `names` lists, with commas between them.
    ///
    /// # Errors
    /// There is no such column, or the view has none to choose.
    pub fn show_columns(&mut self, tab: Tab, names: &str) -> Result<(), String> {
        let keys: Vec<&str> = names.split(',').map(str::trim).filter(|key| !key.is_empty()).collect();
        let table = self.table(tab).ok_or("this view has no columns to choose")?;
        *table.shown = chosen(table.columns, &keys)?;
        Ok(())
    }

    /// The names of the columns that a view shows, with commas between them.
    pub fn columns(&self, tab: Tab) -> String {
        let (columns, shown) = match tab {
            Tab::Procedures => (procedures::COLUMNS, &self.procedures.shown),
            Tab::Messages => (messages::COLUMNS, &self.messages.shown),
            Tab::Connections => (connections::COLUMNS, &self.connections.shown),
            Tab::Flow | Tab::Findings | Tab::Statistics | Tab::Source => return String::new(),
        };
        shown.iter().map(|&index| columns[index].key).collect::<Vec<_>>().join(",")
    }

    /// Chooses columns, or what the table in front is sorted by.
    pub(super) fn arrange_table(&mut self, command: Command, told: &str, view: View<'_>) {
        let tab = self.tab;
        let on_screen = self.on_screen(view);
        let Some(mut table) = self.table(tab) else { return self.say_wrong("this view has its order") };
        let arranged = match command {
            Command::Columns => self.show_columns(tab, told),
            Command::Reverse => {
                table.sort.1 = !table.sort.1;
                Ok(())
            }
            _ if told.is_empty() => table.sort_by_next(&on_screen),
            _ => table.sort_by_key(told),
        };
        match arranged {
            Ok(()) => {
                self.rebuild_list(tab, view);
                if command != Command::Columns {
                    self.say_sorted(tab);
                }
            }
            Err(fault) => self.say_wrong(fault),
        }
    }

    /// The columns of the table in front for which there is room.
    fn on_screen(&mut self, view: View<'_>) -> Vec<usize> {
        let room = Layout::of(self, view).body.width;
        let numbers = self.numbers(self.tab);
        let Some(table) = self.table(self.tab) else { return Vec::new() };
        fit(table.columns, table.shown, numbers, room).into_iter().map(|(index, _)| index).collect()
    }

    /// The largest number of a row of a view.
    pub(super) fn numbers(&self, tab: Tab) -> usize {
        let count = match tab {
            Tab::Procedures => self.extent.procedures,
            Tab::Connections => self.extent.connections,
            _ => self.extent.messages,
        };
        count as usize
    }

    fn say_sorted(&mut self, tab: Tab) {
        let Some(table) = self.table(tab) else { return };
        let (Column { key, .. }, reverse) = (table.columns[table.sort.0], table.sort.1);
        self.say(format!("sorted by {key}{}", if reverse { ", the other way round" } else { "" }));
    }
}
