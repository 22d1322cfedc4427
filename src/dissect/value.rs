//! JSON values as received: their text, and what can be told from it without building anything.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::definition::Type;
use super::scan::{self, Members};

/// A JSON value by its text.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    text: &'a str,
}

/// What kind of JSON value it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `null`
    Null,
    /// `true`, `false`
    Bool,
    /// A number without fraction and exponent.
    Integer,
    /// Any other number.
    Number,
    /// A string.
    String,
    /// An array of strings, or an empty one.
    ArrayOfStrings,
    /// An array of objects.
    ArrayOfObjects,
    /// An empty array: any type of array.
    EmptyArray,
    /// Any other array.
    MixedArray,
    /// An object.
    Object,
}

impl Shape {
    /// For diagnostics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Integer => "an integer",
            Self::Number => "a number with a fraction or exponent",
            Self::String => "a string",
            Self::ArrayOfStrings => "an array of strings",
            Self::ArrayOfObjects => "an array of objects",
            Self::EmptyArray => "an empty array",
            Self::MixedArray => "an array of neither only strings nor only objects",
            Self::Object => "an object",
        }
    }

    /// Whether a table that asks for `kind` is content.
    pub const fn is(self, kind: Type) -> bool {
        matches!(
            (self, kind),
            (Self::String, Type::String)
                | (Self::Integer, Type::Integer)
                | (Self::ArrayOfStrings | Self::EmptyArray, Type::ArrayOfString)
                | (Self::ArrayOfObjects | Self::EmptyArray, Type::ArrayOfObjects)
        )
    }
}

impl<'a> Value<'a> {
    /// The value that `raw` is.
    pub fn new(raw: &'a RawValue) -> Self {
        Self { text: raw.get() }
    }

    /// The value that `text` is, which must be JSON.
    pub(super) fn of(text: &'a str) -> Self {
        Self { text }
    }

    /// Its text as received.
    pub fn text(self) -> &'a str {
        self.text
    }

    /// What kind of value it is.
    pub fn shape(self) -> Shape {
        match self.text.as_bytes().first() {
            Some(b'"') => Shape::String,
            Some(b'{') => Shape::Object,
            Some(b'[') => self.array_shape(),
            Some(b't' | b'f') => Shape::Bool,
            Some(b'n') | None => Shape::Null,
            Some(_) if self.text.contains(['.', 'e', 'E']) => Shape::Number,
            Some(_) => Shape::Integer,
        }
    }

    fn array_shape(self) -> Shape {
        let (mut strings, mut objects, mut others) = (0, 0, 0);
        self.each_element(&mut |element| match element.text.as_bytes().first() {
            Some(b'"') => strings += 1,
            Some(b'{') => objects += 1,
            _ => others += 1,
        });
        match (strings, objects, others) {
            (0, 0, 0) => Shape::EmptyArray,
            (_, 0, 0) => Shape::ArrayOfStrings,
            (0, _, 0) => Shape::ArrayOfObjects,
            _ => Shape::MixedArray,
        }
    }

    /// The elements of an array.
    fn each_element(self, found: &mut impl FnMut(Value<'a>)) {
        // An array with escapes or fractions is read by serde_json, which reads all of JSON.
        if !scan::each_element(self.text, &mut |_| {}) {
            let elements: Vec<&RawValue> = serde_json::from_str(self.text).unwrap_or_default();
            return elements.into_iter().for_each(|element| found(Value::new(element)));
        }
        scan::each_element(self.text, &mut |text| found(Value { text }));
    }

    /// The content of a string, or the text of a number; `None` for anything else.
    pub fn scalar(self) -> Option<Cow<'a, str>> {
        match self.shape() {
            Shape::String => Some(self.string()),
            Shape::Integer | Shape::Number => Some(Cow::Borrowed(self.text)),
            _ => None,
        }
    }

    fn string(self) -> Cow<'a, str> {
        let inner = &self.text[1..self.text.len() - 1];
        if !inner.contains('\\') {
            return Cow::Borrowed(inner);
        }
        // A lone surrogate is JSON but no text: the escapes are kept as they stand.
        serde_json::from_str(self.text).map_or(Cow::Borrowed(inner), Cow::Owned)
    }

    /// Every identifier in a list, whichever way it is written: comma-separated, or an array of strings, numbers or
    /// objects with an ID (DESIGN: the tables contradict each other).
    pub fn each_identifier(self, found: &mut impl FnMut(&str)) {
        match self.shape() {
            Shape::Null | Shape::Bool | Shape::EmptyArray => {}
            Shape::Integer | Shape::Number => found(self.text),
            Shape::String => self.string().split(',').map(str::trim).filter(|id| !id.is_empty()).for_each(found),
            Shape::Object => self.identifier_of_object(found),
            Shape::ArrayOfStrings | Shape::ArrayOfObjects | Shape::MixedArray => {
                self.each_element(&mut |element| {
                    if element.shape() == Shape::Object {
                        element.identifier_of_object(found);
                    } else if let Some(text) = element.scalar() {
                        found(text.trim());
                    }
                });
            }
        }
    }

    /// `{"Key ID": "…"}`: the member whose name ends in ID, else the first scalar.
    fn identifier_of_object(self, found: &mut impl FnMut(&str)) {
        if let Some(members) = Members::of(self.text) {
            let members = || members.iter(self.text).map(|(name, value)| (name, Value::of(value)));
            return identifier_among(members, found);
        }
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(self.text).unwrap_or_default();
        identifier_among(|| members.iter().map(|(name, raw)| (name.as_str(), Value::new(raw))), found);
    }

    /// Its text on one line: without white space outside strings.
    pub fn compact(self) -> Cow<'a, str> {
        if !self.text.contains([' ', '\n', '\r', '\t']) {
            return Cow::Borrowed(self.text);
        }
        let (mut in_string, mut escaped) = (false, false);
        let kept = self.text.chars().filter(|&c| {
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

/// The scalar whose name ends in ID, else the first one.
fn identifier_among<'a, M>(members: impl Fn() -> M, found: &mut impl FnMut(&str))
where
    M: Iterator<Item = (&'a str, Value<'a>)>,
{
    let ends_in_id = |name: &str| {
        name.len() >= 2 && name.is_char_boundary(name.len() - 2) && name[name.len() - 2..].eq_ignore_ascii_case("id")
    };
    let named = members().filter(|(name, _)| ends_in_id(name)).find_map(|(_, value)| value.scalar());
    if let Some(text) = named.or_else(|| members().find_map(|(_, value)| value.scalar())) {
        found(text.trim());
    }
}
