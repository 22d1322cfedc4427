//! A fast look at ordinary JSON (RFC 8259): an object whose strings have no escapes and whose numbers are integers,
//! which is what senders of Ck write. Accepts nothing that serde_json would not; gives up on anything else, so that
//! serde_json reads it and finds the words for what is wrong. On such payloads it takes a tenth of the time, and what
//! it saw of each value is kept, so that no byte is looked at twice. So it works on bytes; what it finds is UTF-8.

use wide::u8x16;

use super::shape::Shape;

/// Values inside each other before giving up.
const MAX_DEPTH: u32 = 8;
/// Bytes of a payload; places in it take two bytes.
const MAX_LENGTH: usize = u16::MAX as usize;

/// Memory for what an object holds, to be used again for the next one.
#[derive(Debug, Default)]
pub struct Outline {
    /// Flat: each value before those in it.
    items: Vec<Item>,
}

/// A value, and its name if it is a member of an object: where they lie.
#[derive(Clone, Copy, Debug)]
struct Item {
    /// Without its quotes; empty for an element of an array.
    name: Span,
    value: Span,
    /// How many of the items that follow lie in it.
    inside: u16,
    shape: Shape,
}

/// From the first byte to behind the last one.
pub type Span = (u16, u16);

/// What lies in an object or array.
#[derive(Clone, Copy, Debug)]
pub struct Inside<'a> {
    text: &'a [u8],
    items: &'a [Item],
}

/// One value of those.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Its name in an object.
    pub name: &'a [u8],
    /// The value as it stands there.
    pub text: &'a [u8],
    /// Where that is.
    pub span: Span,
    /// What kind of value it is.
    pub shape: Shape,
    /// What lies in it.
    pub inside: Inside<'a>,
}

impl Outline {
    /// What lies in the object that `text` is; `None` if it is not an ordinary one.
    pub fn object<'a>(&'a mut self, text: &'a [u8]) -> Option<Inside<'a>> {
        self.read(text, b'{', |cursor, at| cursor.members(at, 0))
    }

    /// What lies in the array that `text` is; `None` if it is not an ordinary one.
    pub fn array<'a>(&'a mut self, text: &'a [u8]) -> Option<Inside<'a>> {
        self.read(text, b'[', |cursor, at| cursor.elements(at, 0).map(|(_, at)| at))
    }

    fn read<'a>(
        &'a mut self,
        text: &'a [u8],
        first: u8,
        read: impl FnOnce(&mut Cursor<'_>, usize) -> Option<usize>,
    ) -> Option<Inside<'a>> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        self.items.clear();
        let mut cursor = Cursor { bytes: text, items: &mut self.items, beyond_ascii: 0 };
        let (token, at) = cursor.token(0)?;
        let end = (token == first).then(|| read(&mut cursor, at))??;
        // Nothing but white space may follow.
        let is_whole = cursor.token(end).is_none();
        let is_utf8 = cursor.beyond_ascii == 0 || std::str::from_utf8(text).is_ok();
        (is_whole && is_utf8).then_some(Inside { text, items: &self.items })
    }
}

impl<'a> Inside<'a> {
    /// The values directly in it, as they follow each other.
    pub fn iter(self) -> impl Iterator<Item = Found<'a>> {
        let Self { text, mut items } = self;
        let slice = |(start, end): Span| &text[usize::from(start)..usize::from(end)];
        std::iter::from_fn(move || {
            let (item, rest) = items.split_first()?;
            let (inside, behind) = rest.split_at(usize::from(item.inside));
            items = behind;
            let inside = Inside { text, items: inside };
            let (name, text) = (slice(item.name), slice(item.value));
            Some(Found { name, text, span: item.value, shape: item.shape, inside })
        })
    }
}

/// Reads JSON. Where it stands is told and returned, not kept: so it stays in a register.
struct Cursor<'a> {
    bytes: &'a [u8],
    items: &'a mut Vec<Item>,
    /// Not 0 if there may be a byte that is no ASCII in a string, or soon behind it.
    beyond_ascii: u32,
}

impl Cursor<'_> {
    /// The first byte from `at` on that is no white space, and where it ends.
    #[inline]
    fn token(&self, mut at: usize) -> Option<(u8, usize)> {
        loop {
            let byte = *self.bytes.get(at)?;
            at += 1;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some((byte, at));
            }
        }
    }

    /// The members of an object whose brace stands before `at`; where it ends.
    fn members(&mut self, at: usize, depth: u32) -> Option<usize> {
        let (mut token, mut at) = self.token(at)?;
        if token == b'}' {
            return Some(at);
        }
        loop {
            let name = (token == b'"').then(|| self.string(at))??;
            let (colon, behind) = self.token(usize::from(name.1) + 1)?;
            (colon == b':').then_some(())?;
            let (first, behind) = self.token(behind)?;
            let (_, end) = self.value(first, behind, name, depth)?;
            (token, at) = self.token(end)?;
            match token {
                b',' => (token, at) = self.token(at)?,
                b'}' => return Some(at),
                _ => return None,
            }
        }
    }

    /// The elements of an array whose bracket stands before `at`; what it thereby is, and where it ends.
    fn elements(&mut self, at: usize, depth: u32) -> Option<(Shape, usize)> {
        let (mut token, mut at) = self.token(at)?;
        let mut array = Shape::EmptyArray;
        if token == b']' {
            return Some((array, at));
        }
        loop {
            let (element, end) = self.value(token, at, (0, 0), depth)?;
            array = array.with_element(element);
            (token, at) = self.token(end)?;
            match token {
                b',' => (token, at) = self.token(at)?,
                b']' => return Some((array, at)),
                _ => return None,
            }
        }
    }

    /// A value whose first byte stands before `at`; what it is, and where it ends.
    #[inline]
    fn value(&mut self, first: u8, at: usize, name: Span, depth: u32) -> Option<(Shape, usize)> {
        let (shape, end) = match first {
            b'"' => (Shape::String, usize::from(self.string(at)?.1) + 1),
            b'-' | b'0'..=b'9' => (Shape::Integer, integer_end(self.bytes, at - 1)?),
            b't' => (Shape::Bool, self.literal(at, b"rue")?),
            b'f' => (Shape::Bool, self.literal(at, b"alse")?),
            b'n' => (Shape::Null, self.literal(at, b"ull")?),
            b'{' | b'[' if depth < MAX_DEPTH => return self.container(first, at, name, depth + 1),
            _ => return None,
        };
        self.items.push(Item { name, value: (at as u16 - 1, end as u16), inside: 0, shape });
        Some((shape, end))
    }

    /// An object or array whose brace or bracket stands before `at`.
    fn container(&mut self, first: u8, at: usize, name: Span, depth: u32) -> Option<(Shape, usize)> {
        let (start, index) = (at as u16 - 1, self.items.len());
        self.items.push(Item { name, value: (start, start), inside: 0, shape: Shape::Null });
        let (shape, end) = match first {
            b'{' => (Shape::Object, self.members(at, depth)?),
            _ => self.elements(at, depth)?,
        };
        let inside = (self.items.len() - index - 1) as u16;
        self.items[index] = Item { name, value: (start, end as u16), inside, shape };
        Some((shape, end))
    }

    /// A string without escapes and control characters, whose quote stands before `start`: what stands between its
    /// quotes.
    #[inline]
    fn string(&mut self, start: usize) -> Option<Span> {
        let end = plain_end(self.bytes, start, &mut self.beyond_ascii);
        (self.bytes.get(end) == Some(&b'"')).then_some((start as u16, end as u16))
    }

    /// Where a word ends of which `rest` must stand at `at`.
    fn literal(&self, at: usize, rest: &[u8]) -> Option<usize> {
        self.bytes[at..].starts_with(rest).then_some(at + rest.len())
    }
}

/// Where an integer ends that begins at `start`; `None` if none does.
#[inline]
pub fn integer_end(bytes: &[u8], start: usize) -> Option<usize> {
    let digits = start + usize::from(bytes.get(start) == Some(&b'-'));
    let count = bytes[digits..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let end = digits + count;
    let leads_with_zero = count > 1 && bytes[digits] == b'0';
    let goes_on = matches!(bytes.get(end), Some(b'.' | b'e' | b'E'));
    (count > 0 && !leads_with_zero && !goes_on).then_some(end)
}

/// Where the bytes from `start` on cease to stand for themselves in a string: at a quote, an escape, a control character,
/// or the end. Looks at sixteen at a time; `beyond_ascii` is 0 only if it was and all that it looked at is ASCII.
#[inline]
pub fn plain_end(bytes: &[u8], start: usize, beyond_ascii: &mut u32) -> usize {
    let mut at = start;
    while let Some(block) = bytes[at..].first_chunk() {
        let (special, high) = sorted_out(block);
        *beyond_ascii |= high;
        if special != 0 {
            return at + special.trailing_zeros() as usize;
        }
        at += BLOCK;
    }
    let Some(block) = bytes.last_chunk() else { return short_plain_end(bytes, at, beyond_ascii) };
    // The last block has some bytes that were looked at before.
    let (special, high) = sorted_out(block);
    let known = at + BLOCK - bytes.len();
    let (special, high) = (special >> known, high >> known);
    *beyond_ascii |= high;
    if special == 0 { bytes.len() } else { at + special.trailing_zeros() as usize }
}

/// The same for texts of less than a block.
fn short_plain_end(bytes: &[u8], start: usize, beyond_ascii: &mut u32) -> usize {
    let is_plain = |&&byte: &&u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    let plain = bytes[start..].iter().take_while(is_plain);
    start + plain.inspect(|byte| *beyond_ascii |= u32::from(!byte.is_ascii())).count()
}

/// Bytes looked at together.
const BLOCK: usize = 16;

/// One bit for each byte: whether it is a quote, an escape or a control character, and whether it is no ASCII.
#[inline]
fn sorted_out(block: &[u8; BLOCK]) -> (u32, u32) {
    let block = u8x16::new(*block);
    let is_control = block.min(u8x16::splat(0x1f)).cmp_eq(block);
    let special = block.cmp_eq(u8x16::splat(b'"')) | block.cmp_eq(u8x16::splat(b'\\')) | is_control;
    (special.move_mask() as u32, block.move_mask() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;
    use std::collections::BTreeMap;

    fn members(text: &str) -> Option<Vec<(String, String)>> {
        let text_of = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut outline = Outline::default();
        let found = outline.object(text.as_bytes())?;
        Some(found.iter().map(|member| (text_of(member.name), text_of(member.text))).collect())
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
    fn takes_no_text_that_is_not_utf_8() {
        let object = |name: &[u8]| [b"{\"a\":\"", name, b"\"}"].concat();
        for (content, is_taken) in [(&b"plain"[..], true), ("\u{91cf}".as_bytes(), true), (b"\xff", false)] {
            assert_eq!(Outline::default().object(&object(content)).is_some(), is_taken);
        }
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
            for start in 0..=expected {
                let mut beyond_ascii = 0;
                prop_assert_eq!(plain_end(&bytes, start, &mut beyond_ascii), expected);
                prop_assert!(beyond_ascii != 0 || bytes[start..expected].is_ascii());
            }
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
