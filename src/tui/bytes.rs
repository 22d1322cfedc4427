//! Bytes of a message: offset, hexadecimal, ASCII, with those of the selected field set off.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::messages::Panel;
use super::table::put;
use super::theme::Theme;

/// Columns of the offset with the space after it.
const OFFSET: u16 = 6;

/// Bytes on a line of so many columns: 16, 8 or 4.
pub fn per_line(width: u16) -> usize {
    [16, 8].into_iter().find(|&count| columns(count) <= width).map_or(4, usize::from)
}

/// Columns of a line of `count` bytes.
const fn columns(count: u16) -> u16 {
    OFFSET + 3 * count + count / 8 + 1 + count
}

/// Column of a byte's first digit, and of its character.
fn places(index: usize, count: usize) -> (u16, u16) {
    let (index, count) = (index as u16, count as u16);
    (OFFSET + 3 * index + index / 8, OFFSET + 3 * count + count / 8 + index)
}

/// The byte at column `x`, of the line that begins with byte `start`.
pub fn byte_at(x: u16, start: usize, width: u16) -> Option<usize> {
    let count = per_line(width);
    let hit = |&index: &usize| {
        let (hex, text) = places(index, count);
        x == text || (hex..hex + 2).contains(&x)
    };
    (0..count).find(hit).map(|index| start + index)
}

/// Draws the bytes of the message that `panel` looks at.
pub fn draw(buffer: &mut Buffer, area: Rect, panel: &Panel, theme: &Theme, active: bool) {
    let (bytes, count) = (&panel.fields.bytes, per_line(area.width));
    let field = panel.line().and_then(|line| line.bytes.clone()).unwrap_or(0..0);
    for line in 0..usize::from(area.height) {
        let start = (panel.byte_top + line) * count;
        if start >= bytes.len() {
            break;
        }
        let y = area.y + line as u16;
        put(buffer, (area.x, y), area.width.min(OFFSET), &format!("{start:04x}"), theme.dim, false);
        for (index, &byte) in bytes[start..].iter().take(count).enumerate() {
            let at = start + index;
            let mut style =
                if at < panel.fields.header { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
            if field.contains(&at) {
                style = style.patch(theme.field);
            }
            if at == panel.byte && active {
                style = theme.selected;
            }
            let (hex, text) = places(index, count);
            let shown = if matches!(byte, b' '..=b'~') { char::from(byte) } else { '·' };
            for (x, text) in [(hex, format!("{byte:02x}")), (text, shown.to_string())] {
                if x < area.width {
                    put(buffer, (area.x + x, y), area.width - x, &text, style, false);
                }
            }
        }
    }
}
