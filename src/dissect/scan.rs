//! A fast look at ordinary JSON (RFC 8259): an object whose strings have no escapes and whose numbers are integers,
//! which is what senders of Ck write. Accepts nothing that serde_json would not; gives up on anything else, so that
//! serde_json reads it and finds the words for what is wrong. On such payloads it takes a tenth of the time, and what
//! it saw of each value is kept, so that no byte is looked at twice.

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
type Span = (u16, u16);

/// What lies in an object or array.
#[derive(Clone, Copy, Debug)]
pub struct Inside<'a> {
    text: &'a str,
    items: &'a [Item],
}

/// One value of those.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Its name in an object.
    pub name: &'a str,
    /// The value as it stands there.
    pub text: &'a str,
    /// What kind of value it is.
    pub shape: Shape,
    /// What lies in it.
    pub inside: Inside<'a>,
}

impl Outline {
    /// What lies in the object that `text` is; `None` if it is not an ordinary one.
    pub fn object<'a>(&'a mut self, text: &'a str) -> Option<Inside<'a>> {
        self.read(text, b'{', |cursor| cursor.members(0))
    }

    /// What lies in the array that `text` is; `None` if it is not an ordinary one.
    pub fn array<'a>(&'a mut self, text: &'a str) -> Option<Inside<'a>> {
        self.read(text, b'[', |cursor| cursor.elements(0).map(drop))
    }

    fn read<'a>(
        &'a mut self,
        text: &'a str,
        first: u8,
        read: impl FnOnce(&mut Cursor<'_>) -> Option<()>,
    ) -> Option<Inside<'a>> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        self.items.clear();
        let mut cursor = Cursor { bytes: text.as_bytes(), at: 0, items: &mut self.items };
        (cursor.token()? == first).then(|| read(&mut cursor))??;
        // Nothing but white space may follow.
        cursor.token().is_none().then_some(Inside { text, items: &self.items })
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
            Some(Found { name: slice(item.name), text: slice(item.value), shape: item.shape, inside })
        })
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    items: &'a mut Vec<Item>,
}

impl Cursor<'_> {
    /// Takes the next byte that is no white space.
    #[inline]
    fn token(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
        }
    }

    /// The members of an object whose brace is taken.
    fn members(&mut self, depth: u32) -> Option<()> {
        let mut token = self.token()?;
        if token == b'}' {
            return Some(());
        }
        loop {
            let name = (token == b'"').then(|| self.string())??;
            (self.token()? == b':').then_some(())?;
            let first = self.token()?;
            self.value(first, name, depth)?;
            token = match self.token()? {
                b',' => self.token()?,
                b'}' => return Some(()),
                _ => return None,
            };
        }
    }

    /// The elements of an array whose bracket is taken, and what it thereby is.
    fn elements(&mut self, depth: u32) -> Option<Shape> {
        let mut token = self.token()?;
        if token == b']' {
            return Some(Shape::EmptyArray);
        }
        let mut array = Shape::EmptyArray;
        loop {
            let element = self.value(token, (0, 0), depth)?;
            array = array.with_element(element);
            token = match self.token()? {
                b',' => self.token()?,
                b']' => return Some(array),
                _ => return None,
            };
        }
    }

    /// A value whose first byte is taken.
    #[inline]
    fn value(&mut self, first: u8, name: Span, depth: u32) -> Option<Shape> {
        let start = self.at - 1;
        let shape = match first {
            b'"' => self.string().map(|_| Shape::String)?,
            b'-' | b'0'..=b'9' => self.integer(start)?,
            b't' => self.literal(b"rue", Shape::Bool)?,
            b'f' => self.literal(b"alse", Shape::Bool)?,
            b'n' => self.literal(b"ull", Shape::Null)?,
            b'{' | b'[' if depth < MAX_DEPTH => return self.container(first, name, depth + 1),
            _ => return None,
        };
        self.items.push(Item { name, value: (start as u16, self.at as u16), inside: 0, shape });
        Some(shape)
    }

    /// An object or array whose brace or bracket is taken.
    fn container(&mut self, first: u8, name: Span, depth: u32) -> Option<Shape> {
        let (start, index) = (self.at as u16 - 1, self.items.len());
        self.items.push(Item { name, value: (start, start), inside: 0, shape: Shape::Null });
        let shape = if first == b'{' { self.members(depth).map(|()| Shape::Object)? } else { self.elements(depth)? };
        let inside = (self.items.len() - index - 1) as u16;
        self.items[index] = Item { name, value: (start, self.at as u16), inside, shape };
        Some(shape)
    }

    /// A string without escapes and control characters, whose quote is taken; what stands between its quotes.
    #[inline]
    fn string(&mut self) -> Option<Span> {
        let start = self.at;
        let end = start + plain_length(&self.bytes[start..]);
        (*self.bytes.get(end)? == b'"').then(|| self.at = end + 1)?;
        Some((start as u16, end as u16))
    }

    /// An integer that begins at `start`, with a sign or digit.
    fn integer(&mut self, start: usize) -> Option<Shape> {
        let digits = start + usize::from(self.bytes[start] == b'-');
        let count = self.bytes[digits..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at = digits + count;
        let leads_with_zero = count > 1 && self.bytes[digits] == b'0';
        let goes_on = matches!(self.bytes.get(self.at), Some(b'.' | b'e' | b'E'));
        (count > 0 && !leads_with_zero && !goes_on).then_some(Shape::Integer)
    }

    /// The rest of a word.
    fn literal(&mut self, rest: &[u8], shape: Shape) -> Option<Shape> {
        self.bytes[self.at..].starts_with(rest).then(|| self.at += rest.len())?;
        Some(shape)
    }
}

/// How many bytes stand for themselves in a string: neither quote nor escape nor control character. Sixteen at a time.
#[inline]
fn plain_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    while let Some(&block) = bytes[length..].first_chunk() {
        let block = u8x16::new(block);
        let is_control = block.min(u8x16::splat(0x1f)).cmp_eq(block);
        let special = block.cmp_eq(u8x16::splat(b'"')) | block.cmp_eq(u8x16::splat(b'\\')) | is_control;
        let mask = special.move_mask();
        if mask != 0 {
            return length + mask.trailing_zeros() as usize;
        }
        length += 16;
    }
    let is_special = |&byte: &u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    bytes[length..].iter().position(is_special).map_or(bytes.len(), |rest| length + rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;
    use std::collections::BTreeMap;

    fn members(text: &str) -> Option<Vec<(String, String)>> {
        let mut outline = Outline::default();
        let found = outline.object(text)?;
        Some(found.iter().map(|member| (member.name.to_owned(), member.text.to_owned())).collect())
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
