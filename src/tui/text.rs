//! The payload of a message as text.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::fields::Fields;
use super::state::State;
use super::table::put;
use crate::output::escape::escaped_json;

/// Bytes of the text that are shown; more than a payload of Appendix I has.
const MOST: usize = 256 << 10;

/// Draws the payload as indented JSON; what is none as it is. Of protobuf, what it says as JSON.
pub fn draw(state: &State, buffer: &mut Buffer, area: Rect) {
    let fields = &state.messages.fields;
    let mut lines: Vec<(String, Style)> = Vec::new();
    lines.extend(fields.origin.map(|origin| (format!("{origin}:"), state.setup.theme.dim)));
    let problem = fields.from_protobuf.as_ref().and_then(|(_, problem)| problem.as_ref());
    lines.extend(problem.map(|problem| (escaped_json(problem).into_owned(), state.setup.theme.warning)));
    let (text, more) = told(fields);
    lines.extend(json_lines(&text).into_iter().map(|line| (line, Style::new())));
    if more > 0 {
        lines.push((format!("… {more} bytes more"), state.setup.theme.dim));
    }
    for (line, (text, style)) in lines.iter().skip(state.messages.text_top).take(usize::from(area.height)).enumerate() {
        put(buffer, (area.x + 1, area.y + line as u16), area.width - 1, text, *style, false);
    }
}

/// The text, or its beginning; bytes of it behind that.
fn told(fields: &Fields) -> (Cow<'_, str>, usize) {
    let bytes = match &fields.from_protobuf {
        Some((json, _)) => json.as_bytes(),
        None => &fields.bytes[fields.header..],
    };
    let shown = &bytes[..bytes.len().min(MOST)];
    (String::from_utf8_lossy(shown), bytes.len() - shown.len())
}

/// JSON, indented; what is none as it is.
fn json_lines(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let (mut depth, mut in_string, mut escape) = (0_usize, false, false);
    let open = |lines: &mut Vec<String>, depth: usize| lines.push(" ".repeat(2 * depth.min(32)));
    for c in text.chars() {
        let line = lines.last_mut().expect("there is always a last line");
        if in_string {
            line.push(c);
            in_string = escape || c != '"';
            escape = !escape && c == '\\';
            continue;
        }
        match c {
            ' ' | '\n' | '\r' | '\t' => {}
            '{' | '[' => {
                line.push(c);
                depth += 1;
                open(&mut lines, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                open(&mut lines, depth);
                lines.last_mut().expect("one was just pushed").push(c);
            }
            ',' => {
                line.push(c);
                open(&mut lines, depth);
            }
            ':' => line.push_str(": "),
            _ => {
                in_string = c == '"';
                line.push(c);
            }
        }
    }
    lines.iter().map(|line| escaped_json(line).into_owned()).collect()
}
