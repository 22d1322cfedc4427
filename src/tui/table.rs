//! Tables of which only the visible rows are ever made.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::list::Cursor;
use super::theme::Theme;
use crate::output::escape::{shorten, width};

/// A column that a table can have.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name in the configuration and for `sort`.
    pub key: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Screen columns that it needs to be of use.
    pub least: u16,
    /// Screen columns that it gets before any column gets more than it needs so.
    pub good: u16,
    /// Screen columns in which all of it is seen.
    pub most: u16,
    /// Whether its values stand at the right.
    pub right: bool,
    /// Where room is short, those with the highest go first.
    pub rank: u8,
    /// Whether the table can be sorted by it.
    pub sorts: bool,
}

/// A column that tells with its heading at the left.
pub const fn column(key: &'static str, title: &'static str, least: u16, most: u16, rank: u8) -> Column {
    Column { key, title, least, good: most, most, right: false, rank, sorts: true }
}

impl Column {
    /// With values at the right.
    pub const fn right(self) -> Self {
        Self { right: true, ..self }
    }

    /// With values of which most are seen in so many screen columns.
    pub const fn good(self, good: u16) -> Self {
        Self { good, ..self }
    }

    /// With values that are made only for those who look at them.
    pub const fn unsorted(self) -> Self {
        Self { sorts: false, ..self }
    }
}

/// The text of a cell, escaped, and its look.
pub type Cell = (String, Style);

/// The columns that `keys` names, as indexes of `columns`.
///
/// # Errors
/// There is none with that name, or no name at all.
pub fn chosen(columns: &[Column], keys: &[&str]) -> Result<Vec<usize>, String> {
    let find = |key: &&str| {
        columns.iter().position(|column| column.key == *key).ok_or_else(|| {
            let known: Vec<&str> = columns.iter().map(|column| column.key).collect();
            format!("no column {key:?}; there are {}", known.join(", "))
        })
    };
    let found: Vec<usize> = keys.iter().map(find).collect::<Result<_, _>>()?;
    if found.is_empty() { Err("expected the names of columns, with commas between them".to_owned()) } else { Ok(found) }
}

/// Which of `shown` fit into `room` when rows are numbered up to `count`, and how wide each is.
pub fn fit(columns: &[Column], shown: &[usize], count: usize, room: u16) -> Vec<(usize, u16)> {
    let mut fitting: Vec<usize> = shown.to_vec();
    // Numbers take their digits, and a sign before them.
    let digits = |column: &Column| if column.key == "number" { count.to_string().len() as u16 } else { 0 };
    let least = |index: usize| columns[index].least.max(digits(&columns[index]) + 1);
    let need = |of: &[usize]| of.iter().map(|&index| least(index) + 1).sum::<u16>().saturating_sub(1);
    while fitting.len() > 1 && need(&fitting) > room {
        let Some(worst) = (0..fitting.len()).max_by_key(|&at| columns[fitting[at]].rank) else { break };
        fitting.remove(worst);
    }
    let mut spare = room.saturating_sub(need(&fitting));
    let mut widths: Vec<(usize, u16)> = fitting.iter().map(|&index| (index, least(index))).collect();
    spread(columns, &mut widths, &mut spare, |column| column.good);
    spread(columns, &mut widths, &mut spare, |column| column.most);
    widths
}

/// Widens columns to what they are to have, those of the lowest rank first, those of one rank alike.
fn spread(columns: &[Column], widths: &mut [(usize, u16)], spare: &mut u16, wanted: impl Fn(&Column) -> u16) {
    let mut ranks: Vec<u8> = widths.iter().map(|&(index, _)| columns[index].rank).collect();
    ranks.sort_unstable();
    ranks.dedup();
    for rank in ranks {
        let mut grew = true;
        while grew {
            grew = false;
            for (index, width) in widths.iter_mut().filter(|(index, _)| columns[*index].rank == rank) {
                if *spare > 0 && *width < wanted(&columns[*index]) {
                    (*width, *spare, grew) = (*width + 1, *spare - 1, true);
                }
            }
        }
    }
}

/// The column drawn at screen column `x`.
pub fn column_at(columns: &[Column], shown: &[usize], count: usize, (room, x): (u16, u16)) -> Option<usize> {
    let mut end = 0;
    fit(columns, shown, count, room).into_iter().find_map(|(index, width)| {
        end += width + 1;
        (x < end).then_some(index)
    })
}

/// What a table shows.
pub struct Table<'a> {
    /// All columns there are.
    pub columns: &'a [Column],
    /// Those shown.
    pub shown: &'a [usize],
    /// The column sorted by, and whether the other way round.
    pub sorted: Option<(usize, bool)>,
    /// Rows in all.
    pub count: usize,
    /// The largest number of a row.
    pub numbers: usize,
    /// Selection.
    pub cursor: Cursor,
    /// Whether the cursor is in this pane.
    pub active: bool,
}

/// Rows of the heading.
pub const HEADING: u16 = 1;

impl Table<'_> {
    /// Draws the heading and the visible rows; `cell` makes the text of a row (counted among all) and column, for so
    /// many screen columns.
    pub fn draw(
        &self,
        buffer: &mut Buffer,
        area: Rect,
        theme: &Theme,
        cell: &mut dyn FnMut(usize, usize, u16) -> Cell,
    ) {
        if area.height == 0 || area.width == 0 {
            return;
        }
        let widths = fit(self.columns, self.shown, self.numbers, area.width);
        let mut x = area.x;
        for &(index, width) in &widths {
            let column = &self.columns[index];
            let sign = match self.sorted {
                Some((by, reverse)) if by == index => {
                    if reverse {
                        "▾"
                    } else {
                        "▴"
                    }
                }
                _ => "",
            };
            // A title that has no room is its first word.
            let title = Some(column.title).filter(|title| title.len() <= usize::from(width));
            let title = title.or(column.title.split(' ').next()).unwrap_or_default();
            let title = format!("{title}{sign}");
            put(buffer, (x, area.y), width, &title, theme.strong, column.right);
            x += width + 1;
        }
        let height = usize::from(area.height - HEADING);
        for line in 0..height.min(self.count.saturating_sub(self.cursor.top)) {
            let row = self.cursor.top + line;
            let y = area.y + HEADING + line as u16;
            let mut x = area.x;
            for &(index, width) in &widths {
                let (text, style) = cell(row, index, width);
                put(buffer, (x, y), width, &text, style, self.columns[index].right);
                x += width + 1;
            }
            if row == self.cursor.at {
                let look = if self.active { theme.selected } else { theme.passive };
                buffer.set_style(Rect::new(area.x, y, area.width, 1), look);
            }
        }
    }
}

/// Writes `text` into `room` columns at `place`, cut with an ellipsis.
pub fn put(buffer: &mut Buffer, place: (u16, u16), room: u16, text: &str, style: Style, right: bool) {
    let text = shorten(text, usize::from(room));
    let free = usize::from(room).saturating_sub(width(&text)) as u16;
    let x = if right { place.0 + free } else { place.0 };
    if place.1 < buffer.area.bottom() && x < buffer.area.right() && room > 0 {
        // Nothing of what was there before shines through.
        buffer.set_stringn(x, place.1, text, usize::from(room), Style::reset().patch(style));
    }
}
