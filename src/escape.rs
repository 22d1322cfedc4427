//! Text that a peer chose, made safe to print: no control character, line break or direction override reaches a
//! terminal, and everything that was there can still be told apart.

use std::borrow::Cow;
use std::fmt::Write;

use unicode_width::UnicodeWidthChar;

/// `text` with what could move the cursor, hide or reorder text written as escapes: `\n`, `\u{202e}`, and `\\` for a
/// backslash.
pub fn escaped(text: &str) -> Cow<'_, str> {
    // Printable ASCII without a backslash, which nearly every identifier is. Looked for to the end, whatever is found:
    // that is many bytes at a time.
    let is_odd = text.bytes().fold(false, |odd, byte| odd | !matches!(byte, b' '..=b'~') | (byte == b'\\'));
    if !is_odd || !text.chars().any(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    text.chars().for_each(|c| push_escaped(&mut clean, c));
    Cow::Owned(clean)
}

/// A line about something whose name somebody chose, escaped but for the backslashes that stand in it.
pub fn escaped_line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    text.chars().for_each(|c| if is_unsafe(c) { push_escaped(&mut clean, c) } else { clean.push(c) });
    Cow::Owned(clean)
}

/// The same for JSON, in which a backslash is an escape already; what is escaped here is so as in JSON.
pub fn escaped_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_unsafe) {
        return Cow::Borrowed(json);
    }
    let mut clean = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_unsafe(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(clean, "\\u{unit:04x}");
            });
        } else {
            clean.push(c);
        }
    }
    Cow::Owned(clean)
}

/// `text` escaped, in quotes if it is empty or holds spaces, cut after `most` columns.
pub fn token(text: &str, most: usize) -> String {
    let clean = escaped(text);
    let cut = shorten(&clean, most);
    if cut.is_empty() || cut.contains(' ') { format!("\"{cut}\"") } else { cut.into_owned() }
}

/// At most `most` columns of `text`, the last of them `…` if it was cut.
pub fn shorten(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most || width(text) <= most {
        return Cow::Borrowed(text);
    }
    let mut columns = 1;
    let kept = text.chars().take_while(|&c| {
        columns += c.width().unwrap_or(0);
        columns <= most
    });
    Cow::Owned(kept.chain(['…']).collect())
}

/// Columns that escaped `text` takes on a terminal.
pub fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(|c| c.width().unwrap_or(0)).sum() }
}

fn push_escaped(clean: &mut String, c: char) {
    match c {
        '\\' => clean.push_str("\\\\"),
        '\n' => clean.push_str("\\n"),
        '\r' => clean.push_str("\\r"),
        '\t' => clean.push_str("\\t"),
        _ if is_escaped(c) => {
            let _ = write!(clean, "\\u{{{:x}}}", u32::from(c));
        }
        _ => clean.push(c),
    }
}

fn is_escaped(c: char) -> bool {
    c == '\\' || is_unsafe(c)
}

/// Controls (C0, DEL, C1), direction marks and overrides, line and paragraph separators, and what has no width and so
/// makes two identifiers look alike.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xad | 0x61c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfeff
            | 0xfff9..=0xfffb | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_hides_or_reorders_passes() {
        assert_eq!(escaped("KMA-1"), "KMA-1");
        assert_eq!(escaped("KMA-é量"), "KMA-é量");
        assert_eq!(escaped("a\u{1b}[31mb"), "a\\u{1b}[31mb");
        assert_eq!(escaped("a\r\nb\tc\\n"), "a\\r\\nb\\tc\\\\n");
        assert_eq!(escaped("\u{202e}x\u{9b}y\u{200b}z\u{7f}"), "\\u{202e}x\\u{9b}y\\u{200b}z\\u{7f}");
        assert_eq!(escaped_json("\"a\\n\u{202e}\u{e0041}\""), "\"a\\n\\u202e\\udb40\\udc41\"");
    }

    #[test]
    fn cuts_by_columns_and_says_so() {
        assert_eq!(shorten("abcdef", 6), "abcdef");
        assert_eq!(shorten("abcdefg", 6), "abcde…");
        assert_eq!(shorten("量量量量", 5), "量量…");
        assert_eq!(token("no route", 20), "\"no route\"");
        assert_eq!(token("", 20), "\"\"");
    }
}
