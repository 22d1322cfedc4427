//! JSON values as received: their text, and what can be told from it without building anything.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::scan::{Found, Inside, Outline};
use super::shape::Shape;

/// A JSON value by its text.
#[derive(Debug)]
pub struct Value<'a> {
    /// UTF-8.
    text: &'a [u8],
    shape: Shape,
    /// What lies in it, where it was found by an [`Outline`]; a string then has no escapes.
    inside: Option<Inside<'a>>,
}

impl<'a> From<Found<'a>> for Value<'a> {
    fn from(found: Found<'a>) -> Self {
        Self { text: found.text, shape: found.shape, inside: Some(found.inside) }
    }
}

impl<'a> Value<'a> {
    /// The value that `raw` is.
    pub fn new(raw: &'a RawValue) -> Self {
        Self { text: raw.get().as_bytes(), shape: shape_of(raw.get()), inside: None }
    }

    /// Its text as received.
    pub fn text(&self) -> &'a str {
        utf8(self.text)
    }

    /// What kind of value it is.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The elements of an array.
    fn each_element(&self, found: &mut impl FnMut(Value<'_>)) {
        match self.inside {
            Some(inside) => inside.iter().for_each(|element| found(element.into())),
            None => each_element_of(self.text(), found),
        }
    }

    /// The content of a string, or the text of a number; `None` for anything else.
    pub fn scalar(&self) -> Option<Cow<'a, str>> {
        self.scalar_bytes().map(|bytes| match bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(utf8(bytes)),
            Cow::Owned(bytes) => Cow::Owned(utf8(&bytes).to_owned()),
        })
    }

    /// The same, without being told that it is UTF-8.
    #[inline(always)]
    pub fn scalar_bytes(&self) -> Option<Cow<'a, [u8]>> {
        match self.shape {
            Shape::String => Some(self.string()),
            Shape::Integer | Shape::Number => Some(Cow::Borrowed(self.text)),
            _ => None,
        }
    }

    #[inline(always)]
    fn string(&self) -> Cow<'a, [u8]> {
        let inner = &self.text[1..self.text.len() - 1];
        if self.inside.is_some() { Cow::Borrowed(inner) } else { self.unescaped(inner) }
    }

    /// The content of a string that may have escapes, of which `inner` stands between its quotes.
    #[cold]
    fn unescaped(&self, inner: &'a [u8]) -> Cow<'a, [u8]> {
        if !inner.contains(&b'\\') {
            return Cow::Borrowed(inner);
        }
        // A lone surrogate is JSON but no text: the escapes are kept as they stand.
        serde_json::from_slice(self.text).map_or(Cow::Borrowed(inner), |text: String| Cow::Owned(text.into_bytes()))
    }

    /// Every identifier in a list, whichever way it is written: comma-separated, or an array of strings, numbers or
    /// objects with an ID (DESIGN: the tables contradict each other).
    pub fn each_identifier(&self, found: &mut impl FnMut(&[u8])) {
        match self.shape {
            Shape::Null | Shape::Bool | Shape::EmptyArray => {}
            Shape::Integer | Shape::Number => found(self.text),
            Shape::String => each_of_list(&self.string(), found),
            Shape::Object => self.identifier_of_object(found),
            Shape::ArrayOfStrings | Shape::ArrayOfObjects | Shape::MixedArray => {
                self.each_element(&mut |element| {
                    if element.shape == Shape::Object {
                        element.identifier_of_object(found);
                    } else if let Some(text) = element.scalar_bytes() {
                        found(trimmed(&text));
                    }
                });
            }
        }
    }

    /// `{"Key ID": "…"}`: the member whose name ends in ID, else the first scalar.
    fn identifier_of_object(&self, found: &mut impl FnMut(&[u8])) {
        let mut outline = Outline::default();
        if let Some(inside) = self.inside.or_else(|| outline.object(self.text)) {
            return identifier_among(|| inside.iter().map(|member| (member.name, member.into())), found);
        }
        let members: BTreeMap<String, &RawValue> = serde_json::from_slice(self.text).unwrap_or_default();
        identifier_among(|| members.iter().map(|(name, raw)| (name.as_bytes(), Value::new(raw))), found);
    }

    /// Its text on one line: without white space outside strings.
    pub fn compact(&self) -> Cow<'a, str> {
        let text = self.text();
        if !text.contains([' ', '\n', '\r', '\t']) {
            return Cow::Borrowed(text);
        }
        let (mut in_string, mut escaped) = (false, false);
        let kept = text.chars().filter(|&c| {
            let keep = in_string || !matches!(c, ' ' | '\n' | '\r' | '\t');
            if escaped {
                escaped = false;
            } else if in_string && c == '\\' {
                escaped = true;
            } else if c == '"' {
                in_string = !in_string;
            }
            keep
        });
        Cow::Owned(kept.collect())
    }
}

/// What kind of value `text`, which is JSON, is.
fn shape_of(text: &str) -> Shape {
    match text.as_bytes().first() {
        Some(b'[') => array_shape(text),
        Some(b't' | b'f') => Shape::Bool,
        Some(b'-' | b'0'..=b'9') if text.contains(['.', 'e', 'E']) => Shape::Number,
        Some(b'-' | b'0'..=b'9') => Shape::Integer,
        _ => shape_in_array(text),
    }
}

/// What kind of value an element of an array is, as far as it makes a difference to the array: so arrays in arrays are
/// not looked into, however deep they are.
fn shape_in_array(text: &str) -> Shape {
    match text.as_bytes().first() {
        Some(b'"') => Shape::String,
        Some(b'{') => Shape::Object,
        _ => Shape::Null,
    }
}

fn array_shape(text: &str) -> Shape {
    match Outline::default().array(text.as_bytes()) {
        Some(inside) => inside.iter().fold(Shape::EmptyArray, |array, element| array.with_element(element.shape)),
        None => raw_elements(text)
            .iter()
            .fold(Shape::EmptyArray, |array, element| array.with_element(shape_in_array(element.get()))),
    }
}

/// The elements of the array that `text` is.
fn each_element_of(text: &str, found: &mut impl FnMut(Value<'_>)) {
    match Outline::default().array(text.as_bytes()) {
        Some(inside) => inside.iter().for_each(|element| found(element.into())),
        None => raw_elements(text).into_iter().for_each(|element| found(Value::new(element))),
    }
}

/// The elements of an array with escapes or fractions: read by serde_json, which reads all of JSON.
fn raw_elements(text: &str) -> Vec<&RawValue> {
    serde_json::from_str(text).unwrap_or_default()
}

/// What is known to be UTF-8: an [`Outline`] has none but that, and cuts it at quotes and signs only.
pub(super) fn utf8(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("outlines are of UTF-8")
}

/// The identifiers in a list whose elements are separated by commas.
pub(super) fn each_of_list(text: &[u8], found: &mut impl FnMut(&[u8])) {
    text.split(|&byte| byte == b',').map(trimmed).filter(|id| !id.is_empty()).for_each(found);
}

/// `text`, which is UTF-8, without white space around it, which identifiers hardly ever have.
#[inline]
pub(super) fn trimmed(text: &[u8]) -> &[u8] {
    match text {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => text,
        _ => utf8(text).trim().as_bytes(),
    }
}

/// The scalar whose name ends in ID, else the first one.
fn identifier_among<'a, M>(members: impl Fn() -> M, found: &mut impl FnMut(&[u8]))
where
    M: Iterator<Item = (&'a [u8], Value<'a>)>,
{
    let chosen = chosen_by_id(members, |value| value.scalar_bytes().is_some());
    if let Some(text) = chosen.and_then(|value| value.scalar_bytes()) {
        found(trimmed(&text));
    }
}

/// Which of the members of an object identifies it: the scalar whose name ends in ID, else the first one.
pub(super) fn chosen_by_id<'a, V, M>(members: impl Fn() -> M, is_scalar: impl Fn(&V) -> bool) -> Option<V>
where
    M: Iterator<Item = (&'a [u8], V)>,
{
    let ends_in_id = |name: &[u8]| name.last_chunk::<2>().is_some_and(|end| end.eq_ignore_ascii_case(b"id"));
    let scalars = || members().filter(|(_, value)| is_scalar(value));
    let named = scalars().find(|(name, _)| ends_in_id(name));
    named.or_else(|| scalars().next()).map(|(_, value)| value)
}
