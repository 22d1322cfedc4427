//! As much of JSON (RFC 8259) as the framing needs: where an object ends.

/// A byte order mark, which RFC 8259 8.1 forbids and some senders add.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// White space looked past before an object: a sender that indents needs none before its first brace.
const MAX_LEADING_SPACE: usize = 64;

/// What `payload` holds after a byte order mark and white space.
pub fn trimmed_start(payload: &[u8]) -> &[u8] {
    let payload = payload.strip_prefix(BOM).unwrap_or(payload);
    let space = payload.iter().take(MAX_LEADING_SPACE).take_while(|byte| byte.is_ascii_whitespace()).count();
    &payload[space..]
}

/// Whether `payload` begins as an object does, or may, as far as it is there.
pub fn may_begin_object(payload: &[u8]) -> bool {
    if payload.len() < BOM.len() && BOM.starts_with(payload) {
        return true;
    }
    match trimmed_start(payload) {
        [] => true,
        [b'{'] => true,
        [b'{', next, ..] => matches!(next, b'"' | b'}' | b' ' | b'\t' | b'\r' | b'\n'),
        _ => false,
    }
}

/// Whether `payload` certainly begins as an object does.
pub fn begins_object(payload: &[u8]) -> bool {
    matches!(trimmed_start(payload), [b'{', b'"' | b'}' | b' ' | b'\t' | b'\r' | b'\n', ..])
}

/// Whether `payload` begins as any JSON value does.
pub fn begins_value(payload: &[u8]) -> bool {
    matches!(trimmed_start(payload).first(), Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'))
}

/// One past the closing brace of the object that `payload` begins with, if it closes. Looks at braces and
/// strings only.
pub fn object_end(payload: &[u8]) -> Option<usize> {
    let start = payload.len() - trimmed_start(payload).len();
    if payload.get(start) != Some(&b'{') {
        return None;
    }
    let (mut depth, mut at) = (0usize, start);
    while let Some(byte) = payload.get(at) {
        at += 1;
        match byte {
            b'"' => at += string_end(&payload[at..])?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// One past the quote that ends the string whose first character `bytes` begins with.
fn string_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)? + 1;
        if bytes[at - 1] == b'"' {
            return Some(at);
        }
        at += 1;
    }
}

/// Whether `payload` is one object that closes at its end, white space aside.
pub fn is_whole_object(payload: &[u8]) -> bool {
    object_end(payload).is_some_and(|end| payload[end..].trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_of_an_object_past_strings_and_nesting() {
        assert_eq!(object_end(br#"{"a":"}\"}","b":[{}]} x"#), Some(21));
        assert_eq!(object_end(b"\xef\xbb\xbf {}"), Some(6));
        assert_eq!(object_end(b"{]"), Some(2));
        for open in [&b"{"[..], b"{\"a", b"[1]", b"", b"{\"a\":\"\\\""] {
            assert_eq!(object_end(open), None);
        }
    }
}
