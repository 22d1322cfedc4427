//! What kind of JSON value something is, as far as the tables of the Recommendation tell kinds apart.

use super::definition::Type;

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

    /// The shape of an array of this one when `element` follows.
    pub const fn with_element(self, element: Self) -> Self {
        match (self, element) {
            (Self::EmptyArray | Self::ArrayOfStrings, Self::String) => Self::ArrayOfStrings,
            (Self::EmptyArray | Self::ArrayOfObjects, Self::Object) => Self::ArrayOfObjects,
            _ => Self::MixedArray,
        }
    }
}
