//! What a filter does: a tree of tests, in which what costs least is asked first.

use super::field::{Builtin, Cost, Parameter, read_unknown};
use super::subject::{Sink, Subject, Value};
use super::syntax::{Function, Slice};
use super::token::{Order, Quantifier};
use super::value::{Test, compare};

/// A part of a program.
#[derive(Debug)]
pub(super) enum Node {
    /// All hold; the cheapest first.
    And(Vec<Node>),
    /// One holds; the cheapest first.
    Or(Vec<Node>),
    /// An odd number holds.
    Xor(Vec<Node>),
    Not(Box<Node>),
    Exists(Source),
    /// A boolean that is true.
    IsTrue(Source),
    Value {
        source: Source,
        quantifier: Quantifier,
        test: Box<Test>,
    },
    Pair {
        left: Source,
        order: Order,
        quantifier: Quantifier,
        right: Source,
    },
}

/// Where values come from.
#[derive(Debug)]
pub(super) enum Source {
    Builtin(&'static Builtin),
    Parameter(Parameter),
    Unknown(String),
    Call(Function, Box<Source>),
    Slice(Box<Source>, Slice),
}

impl Node {
    /// All of `parts`, the cheapest first: a test has no effect but its result, so their order is free.
    pub(super) fn all(parts: Vec<Node>) -> Self {
        Self::And(cheapest_first(parts))
    }

    /// One of `parts`, the cheapest first.
    pub(super) fn any(parts: Vec<Node>) -> Self {
        Self::Or(cheapest_first(parts))
    }

    /// The most that it may cost.
    pub(super) fn cost(&self) -> Cost {
        match self {
            Self::And(parts) | Self::Or(parts) | Self::Xor(parts) => {
                parts.iter().map(Self::cost).max().unwrap_or(Cost::Record)
            }
            Self::Not(inner) => inner.cost(),
            Self::Exists(source) | Self::IsTrue(source) | Self::Value { source, .. } => source.cost(),
            Self::Pair { left, right, .. } => left.cost().max(right.cost()),
        }
    }

    pub(super) fn holds(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.holds(subject)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(subject)),
            Self::Xor(parts) => parts.iter().filter(|part| part.holds(subject)).count() % 2 == 1,
            Self::Not(inner) => !inner.holds(subject),
            Self::Exists(source) => source.exists(subject),
            Self::IsTrue(source) => source.read(subject, &mut |value| matches!(value, Value::Boolean(true))),
            Self::Value { source, quantifier, test } => {
                quantified(*quantifier, |out| source.read(subject, out), |value| test.holds(value))
            }
            Self::Pair { left, order, quantifier, right } => quantified(
                *quantifier,
                |out| left.read(subject, out),
                |left| {
                    let with_right = |right: Value<'_>| compare(left, *order, right);
                    quantified(*quantifier, |out| right.read(subject, out), with_right)
                },
            ),
        }
    }
}

fn cheapest_first(mut parts: Vec<Node>) -> Vec<Node> {
    parts.sort_by_key(Node::cost);
    parts
}

/// Whether `holds` for any, or for all, of the values that `read` gives; never if it gives none.
fn quantified(quantifier: Quantifier, read: impl FnOnce(Sink<'_>) -> bool, holds: impl Fn(Value<'_>) -> bool) -> bool {
    match quantifier {
        Quantifier::Any => read(&mut |value| holds(value)),
        Quantifier::All => {
            let mut is_there = false;
            let refuted = read(&mut |value| {
                is_there = true;
                !holds(value)
            });
            is_there && !refuted
        }
    }
}

impl Source {
    fn cost(&self) -> Cost {
        match self {
            Self::Builtin(field) => field.cost,
            Self::Parameter(parameter) => parameter.cost(),
            Self::Unknown(_) => Cost::Payload,
            Self::Call(_, of) | Self::Slice(of, _) => of.cost(),
        }
    }

    fn exists(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Parameter(parameter) => parameter.exists(subject),
            other => other.read(subject, &mut |_| true),
        }
    }

    /// Gives the values; whether `out` ended it.
    fn read(&self, subject: &Subject<'_>, out: Sink<'_>) -> bool {
        match self {
            Self::Builtin(field) => (field.read)(subject, out),
            Self::Parameter(parameter) => parameter.read(subject, out),
            Self::Unknown(name) => read_unknown(subject, name, out),
            Self::Call(Function::Count, of) => {
                let mut count = 0;
                of.read(subject, &mut |_| {
                    count += 1;
                    false
                });
                out(Value::Number(count))
            }
            Self::Call(function, of) => of.read(subject, &mut |value| called(*function, value, out)),
            Self::Slice(of, slice) => of.read(subject, &mut |value| out(Value::Text(&sliced(&value.text(), *slice)))),
        }
    }
}

fn called(function: Function, value: Value<'_>, out: Sink<'_>) -> bool {
    let text = value.text();
    match function {
        Function::Len => out(Value::Number(text.chars().count() as i128)),
        Function::Lower => out(Value::Text(&text.to_lowercase())),
        Function::Upper => out(Value::Text(&text.to_uppercase())),
        Function::String => out(Value::Text(&text)),
        Function::Count => unreachable!("values are counted, not called one by one"),
    }
}

/// The characters of `text` that `slice` means; fewer where it ends before.
fn sliced(text: &str, slice: Slice) -> String {
    let skip = match usize::try_from(slice.offset) {
        Ok(offset) => offset,
        Err(_) => text.chars().count().saturating_sub(slice.offset.unsigned_abs() as usize),
    };
    let most = slice.length.map_or(usize::MAX, |length| length as usize);
    text.chars().skip(skip).take(most).collect()
}
