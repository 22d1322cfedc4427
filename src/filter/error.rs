//! What is wrong with a filter, and where.

use std::ops::Range;

use unicode_width::UnicodeWidthChar;

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}{}", .suggestion.as_ref().map_or_else(String::new, |it| format!(" (did you mean {it}?)")))]
pub struct Error {
    /// Bytes of the filter's text that it is about; empty at the end of the text.
    pub span: Range<usize>,
    /// What was found, and what was expected.
    pub text: String,
    /// What may have been meant by the text at `span`.
    pub suggestion: Option<String>,
}

/// Columns of the filter's text that are shown with an error.
const MOST_COLUMNS: usize = 120;
/// Characters shown before the place of the error, if it lies far behind.
const BEFORE: usize = 40;

impl Error {
    pub(super) fn new(span: Range<usize>, text: impl Into<String>) -> Self {
        Self { span, text: text.into(), suggestion: None }
    }

    pub(super) fn suggesting(self, suggestion: Option<impl Into<String>>) -> Self {
        Self { suggestion: suggestion.map(Into::into), ..self }
    }

    /// The message, the line of `source` where the place is, and carets under it. What would move the cursor is shown
    /// as a space.
    pub fn explain(&self, source: &str) -> String {
        let (start, end) = (floor(source, self.span.start), floor(source, self.span.end));
        let skipped = source[..start].chars().count().saturating_sub(BEFORE);
        let skipped = if source.chars().count() > MOST_COLUMNS { skipped } else { 0 };
        let shown: String = source.chars().skip(skipped).take(MOST_COLUMNS).map(printable).collect();
        let before: usize = source[..start].chars().skip(skipped).map(columns).sum();
        let marked: usize = source[start..end.max(start)].chars().map(columns).sum();
        let marked = marked.clamp(1, MOST_COLUMNS.saturating_sub(before).max(1));
        format!("{self}\n  {shown}\n  {:before$}{:^<marked$}", "", "")
    }
}

/// The last boundary of a character at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

fn printable(c: char) -> char {
    if c.width().is_none_or(|width| width == 0) || matches!(u32::from(c), 0x202a..=0x202e | 0x2066..=0x2069) {
        ' '
    } else {
        c
    }
}

fn columns(c: char) -> usize {
    printable(c).width().unwrap_or(1)
}
