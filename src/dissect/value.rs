//! JSON values as received: their text, and what can be told from it without building anything.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::definition::{Type, normalised};

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
        let elements = self.elements();
        let all = |wanted: u8| elements.iter().all(|element| element.get().as_bytes().first() == Some(&wanted));
        if elements.is_empty() {
            Shape::EmptyArray
        } else if all(b'"') {
            Shape::ArrayOfStrings
        } else if all(b'{') {
            Shape::ArrayOfObjects
        } else {
            Shape::MixedArray
        }
    }

    fn elements(self) -> Vec<&'a RawValue> {
        serde_json::from_str(self.text).unwrap_or_default()
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
                for element in self.elements() {
                    match Value::new(element) {
                        nested if nested.shape() == Shape::Object => nested.identifier_of_object(found),
                        nested => {
                            if let Some(text) = nested.scalar() {
                                found(text.trim());
                            }
                        }
                    }
                }
            }
        }
    }

    /// `{"Key ID": "…"}`: the member whose name ends in ID, else the first scalar.
    fn identifier_of_object(self, found: &mut impl FnMut(&str)) {
        let members: std::collections::BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_str(self.text).unwrap_or_default();
        let mut scalars = members.iter().filter_map(|(name, raw)| Some((name, Value::new(raw).scalar()?)));
        let named = scalars.clone().find(|(name, _)| normalised(name).ends_with("id"));
        if let Some((_, text)) = named.or_else(|| scalars.next()) {
            found(text.trim());
        }
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
