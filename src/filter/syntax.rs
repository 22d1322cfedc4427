//! A filter as written: its tree, and how that is written again. `parse(print(tree))` is `tree`.

use std::fmt::{self, Write};
use std::ops::Range;

use super::token::{Order, Quantifier, Relation, TokenKind};

/// A filter, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// At least one of two or more holds.
    Or(Vec<Expression>),
    /// An odd number of two or more holds.
    Xor(Vec<Expression>),
    /// All of two or more hold.
    And(Vec<Expression>),
    /// It does not hold.
    Not(Box<Expression>),
    /// There is such a value; for a boolean, it is true.
    Exists(Operand),
    /// A comparison.
    Compare {
        /// The left side.
        left: Operand,
        /// How.
        relation: Relation,
        /// The right side.
        right: Operand,
    },
    /// `contains` or `matches`.
    Search {
        /// What is searched.
        left: Operand,
        /// How.
        search: Search,
        /// Of how many values.
        quantifier: Quantifier,
        /// What for.
        right: Operand,
    },
    /// `in`
    In {
        /// What is looked for.
        left: Operand,
        /// Of how many values.
        quantifier: Quantifier,
        /// Where: at least one element.
        set: Vec<Element>,
    },
}

/// How text is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// A part of it is equal.
    Contains,
    /// A regular expression matches a part of it, in whatever case.
    Matches,
}

/// An element of a set: a value, or a range of values with both its ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// The value, or the least one.
    pub from: Operand,
    /// The greatest one.
    pub to: Option<Operand>,
}

/// Something with a value.
#[derive(Clone, Debug)]
pub struct Operand {
    /// What it is.
    pub kind: OperandKind,
    /// Its bytes in the filter's text.
    pub span: Range<usize>,
}

/// Where it stands does not matter.
impl PartialEq for Operand {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// Kinds of [`Operand`].
#[derive(Clone, Debug, PartialEq)]
pub enum OperandKind {
    /// A field, or a value without quotes.
    Word(String),
    /// A value in quotes.
    Text(String),
    /// A function of a value.
    Call(Function, Box<Operand>),
    /// A part of a text.
    Slice(Box<Operand>, Slice),
}

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// Characters of a text.
    Len,
    /// A text in lower case.
    Lower,
    /// A text in upper case.
    Upper,
    /// How many values there are.
    Count,
    /// Anything as text.
    String,
}

impl Function {
    /// All functions.
    pub const ALL: [Function; 5] = [Self::Len, Self::Lower, Self::Upper, Self::Count, Self::String];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Len => "len",
            Self::Lower => "lower",
            Self::Upper => "upper",
            Self::Count => "count",
            Self::String => "string",
        }
    }

    /// What it gives.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Len => "characters of a text",
            Self::Lower => "a text in lower case",
            Self::Upper => "a text in upper case",
            Self::Count => "how many values a field has; 0 where there is none",
            Self::String => "a value of any type as text",
        }
    }
}

/// Characters of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The first one, from 0; negative counts from the end.
    pub offset: i32,
    /// How many; all that follow if not said.
    pub length: Option<u32>,
}

/// How tightly the parts of an expression hold together.
fn rank(expression: &Expression) -> u8 {
    match expression {
        Expression::Or(_) => 0,
        Expression::Xor(_) => 1,
        Expression::And(_) => 2,
        Expression::Compare { .. } | Expression::Search { .. } | Expression::In { .. } => 3,
        Expression::Not(_) | Expression::Exists(_) => 4,
    }
}

/// Writes `expression`, in parentheses if it holds together no more tightly than `least`.
fn within(f: &mut fmt::Formatter<'_>, expression: &Expression, least: u8) -> fmt::Result {
    if rank(expression) < least { write!(f, "({expression})") } else { write!(f, "{expression}") }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Or(parts) => joined(f, parts, TokenKind::Or, 1),
            Self::Xor(parts) => joined(f, parts, TokenKind::Xor, 2),
            Self::And(parts) => joined(f, parts, TokenKind::And, 3),
            Self::Not(inner) => {
                f.write_str("!")?;
                within(f, inner, 4)
            }
            Self::Exists(operand) => write!(f, "{operand}"),
            Self::Compare { left, relation, right } => compare(f, left, *relation, right),
            Self::Search { left, search, quantifier, right } => {
                let word = match search {
                    Search::Contains => "contains",
                    Search::Matches => "matches",
                };
                write!(f, "{}{left} {word} {right}", prefix(*quantifier))
            }
            Self::In { left, quantifier, set } => {
                write!(f, "{}{left} in {{", prefix(*quantifier))?;
                for (index, element) in set.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{}", element.from)?;
                    if let Some(to) = &element.to {
                        write!(f, "..{to}")?;
                    }
                }
                f.write_str("}")
            }
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, parts: &[Expression], operator: TokenKind, least: u8) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            write!(f, " {} ", operator.usual())?;
        }
        within(f, part, least)?;
    }
    Ok(())
}

/// Equality has a sign for every quantifier, an order only for one value.
fn compare(f: &mut fmt::Formatter<'_>, left: &Operand, relation: Relation, right: &Operand) -> fmt::Result {
    match TokenKind::Relation(relation).usual() {
        "" => {
            let any = TokenKind::Relation(Relation { quantifier: Quantifier::Any, ..relation });
            write!(f, "all {left} {} {right}", any.usual())
        }
        sign => write!(f, "{left} {sign} {right}"),
    }
}

fn prefix(quantifier: Quantifier) -> &'static str {
    match quantifier {
        Quantifier::Any => "",
        Quantifier::All => "all ",
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            OperandKind::Word(word) => f.write_str(word),
            OperandKind::Text(text) => quoted(f, text),
            OperandKind::Call(function, argument) => write!(f, "{}({argument})", function.name()),
            OperandKind::Slice(of, Slice { offset, length: None }) => write!(f, "{of}[{offset}:]"),
            OperandKind::Slice(of, Slice { offset, length: Some(length) }) => write!(f, "{of}[{offset}:{length}]"),
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_str("\"")
}

impl Order {
    /// The comparison with its sides exchanged.
    pub(super) fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Equal | Self::NotEqual => self,
        }
    }

    /// Whether it asks which one is greater.
    pub(super) fn is_ordering(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }

    /// Whether it holds between values that compare as `ordering`.
    pub(super) fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}
