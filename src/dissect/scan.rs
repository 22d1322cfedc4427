//! A fast look at ordinary JSON (RFC 8259): an object whose strings have no escapes and whose numbers are integers,
//! which is what senders of Ck write. Accepts nothing that serde_json would not; gives up on anything else, so that
//! serde_json reads it and finds the words for what is wrong. On such payloads it takes a third of the time.

use std::ops::Range;

/// Members remembered; Q.4164's longest table has six rows, and serde_json reads what has more.
const MAX_MEMBERS: usize = 16;
/// Values inside each other before giving up.
const MAX_DEPTH: u32 = 8;

/// Where the names (without quotes) and values of an object lie.
#[derive(Debug, Default)]
pub struct Members {
    members: [(Range<u16>, Range<u16>); MAX_MEMBERS],
    count: usize,
}

impl Members {
    /// The members of the object that `text` is; `None` if it is not an ordinary one.
    pub fn of(text: &str) -> Option<Self> {
        if text.len() > usize::from(u16::MAX) {
            return None;
        }
        let mut cursor = Cursor { bytes: text.as_bytes(), at: 0 };
        let mut found = Self::default();
        cursor.expect(b'{')?;
        if !cursor.closes(b'}') {
            loop {
                let name = cursor.string()?;
                cursor.expect(b':')?;
                let value = cursor.value(0)?;
                *found.members.get_mut(found.count)? = (name, value);
                found.count += 1;
                if cursor.closes(b'}') {
                    break;
                }
                cursor.expect(b',')?;
            }
        }
        cursor.skip_space();
        (cursor.at == cursor.bytes.len()).then_some(found)
    }

    /// Names and values, as they stand in `text`, the one they were found in.
    pub fn iter<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let slice = |range: &Range<u16>| &text[usize::from(range.start)..usize::from(range.end)];
        self.members[..self.count].iter().map(move |(name, value)| (slice(name), slice(value)))
    }
}

/// Calls `found` with every element of the array that `text`, which must be JSON, is; false if it is not an ordinary
/// one, before or after some elements.
pub fn each_element<'a>(text: &'a str, found: &mut impl FnMut(&'a str)) -> bool {
    if text.len() > usize::from(u16::MAX) {
        return false;
    }
    let mut cursor = Cursor { bytes: text.as_bytes(), at: 0 };
    let mut elements = || {
        cursor.expect(b'[')?;
        if cursor.closes(b']') {
            return Some(());
        }
        loop {
            let range = cursor.value(0)?;
            found(&text[usize::from(range.start)..usize::from(range.end)]);
            if cursor.closes(b']') {
                return Some(());
            }
            cursor.expect(b',')?;
        }
    };
    elements().is_some()
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes `byte`, after white space.
    fn expect(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Takes `byte` if it is next.
    fn closes(&mut self, byte: u8) -> bool {
        self.expect(byte).is_some()
    }

    /// A string without escapes and control characters; what stands between its quotes.
    fn string(&mut self) -> Option<Range<u16>> {
        self.expect(b'"')?;
        let start = self.at;
        let length = plain_length(&self.bytes[start..]);
        self.at = start + length;
        (self.peek()? == b'"').then(|| self.at += 1)?;
        Some(start as u16..(start + length) as u16)
    }

    fn value(&mut self, depth: u32) -> Option<Range<u16>> {
        self.skip_space();
        let start = self.at as u16;
        match self.peek()? {
            b'"' => {
                self.string()?;
            }
            b'{' if depth < MAX_DEPTH => self.object(depth)?,
            b'[' if depth < MAX_DEPTH => self.array(depth)?,
            b'-' | b'0'..=b'9' => self.integer()?,
            b't' => self.literal(b"true")?,
            b'f' => self.literal(b"false")?,
            b'n' => self.literal(b"null")?,
            _ => return None,
        }
        Some(start..self.at as u16)
    }

    fn object(&mut self, depth: u32) -> Option<()> {
        self.expect(b'{')?;
        if self.closes(b'}') {
            return Some(());
        }
        loop {
            self.string()?;
            self.expect(b':')?;
            self.value(depth + 1)?;
            if self.closes(b'}') {
                return Some(());
            }
            self.expect(b',')?;
        }
    }

    fn array(&mut self, depth: u32) -> Option<()> {
        self.expect(b'[')?;
        if self.closes(b']') {
            return Some(());
        }
        loop {
            self.value(depth + 1)?;
            if self.closes(b']') {
                return Some(());
            }
            self.expect(b',')?;
        }
    }

    fn integer(&mut self) -> Option<()> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        let digits = &self.bytes[start..self.at];
        let leads_with_zero = digits.len() > 1 && digits[0] == b'0';
        let goes_on = matches!(self.peek(), Some(b'.' | b'e' | b'E'));
        (!digits.is_empty() && !leads_with_zero && !goes_on).then_some(())
    }

    fn literal(&mut self, word: &[u8]) -> Option<()> {
        self.bytes[self.at..].starts_with(word).then(|| self.at += word.len())
    }
}

/// How many bytes stand for themselves in a string: neither quote nor escape nor control character. Eight at a time.
fn plain_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    while let Some(word) = bytes[length..].first_chunk() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return length + special.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    let rest = &bytes[length..];
    let is_plain = |&byte: &u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    length + rest.iter().position(|byte| !is_plain(byte)).unwrap_or(rest.len())
}

/// The highest bit of each byte that is a quote, an escape or a control character, as far as the lowest such byte:
/// above it a borrow may set a bit too many.
const fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x80 * ONES;
    let quote = word ^ (b'"' as u64 * ONES);
    let escape = word ^ (b'\\' as u64 * ONES);
    let below_space = word.wrapping_sub(0x20 * ONES) & !word;
    let is_quote = quote.wrapping_sub(ONES) & !quote;
    let is_escape = escape.wrapping_sub(ONES) & !escape;
    (below_space | is_quote | is_escape) & HIGHS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;
    use std::collections::BTreeMap;

    fn members(text: &str) -> Option<Vec<(String, String)>> {
        let found = Members::of(text)?;
        Some(found.iter(text).map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn reads_what_senders_of_ck_write() {
        let text = r#" { "a b" : "c", "n":-12,"l":["x" , {"k":null}],"t":true,"e":{} } "#;
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = vec![
            pair("a b", "\"c\""),
            pair("n", "-12"),
            pair("l", r#"["x" , {"k":null}]"#),
            pair("t", "true"),
            pair("e", "{}"),
        ];
        assert_eq!(members(text), Some(expected));
        assert_eq!(members("{}"), Some(vec![]));
    }

    #[test]
    fn gives_up_on_everything_else() {
        for text in
            [r#"{"a":"\n"}"#, r#"{"a":1.5}"#, r#"{"a":01}"#, r#"{"a":1,}"#, r#"{"a":1} x"#, "{\"a\":\"\n\"}", "[]", ""]
        {
            assert_eq!(members(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn finds_the_first_special_byte(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let expected = bytes.iter().position(|&b| b < 0x20 || b == b'"' || b == b'\\').unwrap_or(bytes.len());
            prop_assert_eq!(plain_length(&bytes), expected);
        }

        #[test]
        fn agrees_with_serde_json(text in r#"[{}\[\]",:a0-9 \\.e\-\n]{0,24}|\{("[ab]":(1|-0|"x"|null|\[1,"y"\]|\{\}),?){0,4}\}"#) {
            if let Some(found) = members(&text) {
                let parsed: BTreeMap<String, &RawValue> = serde_json::from_str(&text).unwrap();
                for (name, raw) in parsed {
                    let last = found.iter().rev().find(|(known, _)| *known == name);
                    prop_assert_eq!(last.map(|(_, value)| value.as_str()), Some(raw.get()));
                }
            }
        }
    }
}
