//! Lines with fixed columns in front and a flowing rest, which goes on under itself where the terminal ends.

use std::borrow::Cow;
use std::fmt::Write;

use anstyle::Style;

use super::escape::width;

/// A piece of text that is not broken unless it is longer than a line.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Escaped text.
    pub text: String,
    /// Its look.
    pub style: Style,
    /// Text before it in another look, kept on the same line.
    pub label: Option<(Cow<'static, str>, Style)>,
}

impl Piece {
    /// Text.
    pub fn new(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style, label: None }
    }

    /// Text with a label before it.
    pub fn labelled(label: impl Into<Cow<'static, str>>, look: Style, text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style, label: Some((label.into(), look)) }
    }

    /// Columns it takes.
    pub fn width(&self) -> usize {
        width(&self.text) + self.label.as_ref().map_or(0, |(label, _)| width(label) + 1)
    }
}

/// `text` in `style`.
pub fn paint(out: &mut String, text: &str, style: Style) {
    if style.is_plain() {
        out.push_str(text);
    } else {
        let _ = write!(out, "{style}{text}{style:#}");
    }
}

/// Appends `pieces`, two spaces apart, to a line of which `column` columns are taken; beyond `most` columns it goes on
/// in a new line, indented by `indent`.
pub fn flow(out: &mut String, pieces: &[Piece], mut column: usize, indent: usize, most: usize) {
    let mut is_first = true;
    for piece in pieces {
        let gap = if is_first { 0 } else { 2 };
        if !is_first && column + gap + piece.width() > most {
            out.push('\n');
            push_spaces(out, indent);
            column = indent;
        } else {
            push_spaces(out, gap);
            column += gap;
        }
        if let Some((label, look)) = &piece.label {
            paint(out, label, *look);
            out.push(' ');
        }
        paint(out, &piece.text, piece.style);
        column += piece.width();
        is_first = false;
    }
}

/// Appends `text` in lines of at most `most` columns, broken between words; each begins in a new line with `indent`
/// spaces.
pub fn paragraph(out: &mut String, text: &str, style: Style, indent: usize, most: usize) {
    let mut line = String::new();
    let finish = |line: &mut String, out: &mut String| {
        out.push('\n');
        push_spaces(out, indent);
        paint(out, line, style);
        line.clear();
    };
    for word in text.split(' ') {
        if !line.is_empty() && indent + width(&line) + 1 + width(word) > most {
            finish(&mut line, out);
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    finish(&mut line, out);
}

/// Pads what was written as `text` to `columns`.
pub fn pad(out: &mut String, text: &str, columns: usize) {
    push_spaces(out, columns.saturating_sub(width(text)));
}

/// Appends `columns` spaces.
pub fn push_spaces(out: &mut String, mut columns: usize) {
    const SPACES: &str = "                                                                ";
    while columns > SPACES.len() {
        out.push_str(SPACES);
        columns -= SPACES.len();
    }
    out.push_str(&SPACES[..columns]);
}

/// Appends `value` in decimal digits.
pub fn push_number(out: &mut String, value: u64) {
    out.push_str(itoa::Buffer::new().format(value));
}

/// Appends `value` in decimal digits, the last of them in column `columns`.
pub fn push_aligned(out: &mut String, value: u64, columns: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value);
    push_spaces(out, columns.saturating_sub(digits.len()));
    out.push_str(digits);
}
