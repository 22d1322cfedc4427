//! Tests of single values, made ready once: what a comparison, a search or a set asks of each value of a field.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use memchr::memmem::Finder;
use regex::Regex;

use super::literal::{Network, Number};
use super::subject::Value;
use super::token::Order;
use crate::time::{Span, Timestamp};

/// What a value is asked.
#[derive(Debug)]
pub(super) enum Test {
    Boolean(Order, bool),
    Number(Order, Number),
    /// Times and durations.
    Nanoseconds(Order, i64),
    Address(Order, Network),
    Text(Order, String),
    /// A name by its place in a list, from the least.
    Rank(Order, usize, &'static [&'static str]),
    /// What may be a number or a text: equal as either.
    Loose(Order, String, Number),
    Contains(Finder<'static>),
    Matches(Regex),
    Range(Box<(Test, Test)>),
    In(Set),
}

/// A set, fast where it is large.
#[derive(Debug, Default)]
pub(super) struct Set {
    texts: HashSet<String, RandomState>,
    integers: HashSet<i128, RandomState>,
    others: Vec<Test>,
}

impl Set {
    /// Adds what `test` holds for.
    pub(super) fn add(&mut self, test: Test) {
        match test {
            Test::Text(Order::Equal, text) => {
                self.texts.insert(text);
            }
            Test::Number(Order::Equal, Number::Integer(number)) => {
                self.integers.insert(number);
            }
            Test::Loose(Order::Equal, text, Number::Integer(number)) => {
                self.texts.insert(text);
                self.integers.insert(number);
            }
            other => self.others.push(other),
        }
    }

    fn holds(&self, value: Value<'_>) -> bool {
        let as_text = || matches!(value, Value::Text(text) if self.texts.contains(text));
        let as_integer = || matches!(value.number(), Some(Number::Integer(number)) if self.integers.contains(&number));
        (!self.texts.is_empty() && as_text())
            || (!self.integers.is_empty() && as_integer())
            || self.others.iter().any(|test| test.holds(value))
    }
}

impl Test {
    /// What it is called by those who compare.
    pub(super) fn holds(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Boolean(order, expected), Value::Boolean(found)) => order.holds(found.cmp(expected)),
            (Self::Number(order, expected), found) => {
                found.number().is_some_and(|found| order.holds(found.compare(*expected)))
            }
            (Self::Nanoseconds(order, expected), Value::Time(Timestamp(found)) | Value::Duration(Span(found))) => {
                order.holds(found.cmp(expected))
            }
            (Self::Address(order, expected), Value::Address(found)) => match expected.compare(found) {
                Some(ordering) => order.holds(ordering),
                // An IPv6 address is none of IPv4's, neither more nor less.
                None => *order == Order::NotEqual,
            },
            (Self::Text(order, expected), Value::Text(found)) => order.holds(found.cmp(expected.as_str())),
            (Self::Rank(order, expected, names), Value::Text(found)) => {
                names.iter().position(|name| *name == found).is_some_and(|found| order.holds(found.cmp(expected)))
            }
            (Self::Loose(order, text, number), Value::Text(found)) => loosely(*order, found, text, *number),
            (Self::Contains(finder), Value::Text(found)) => finder.find(found.as_bytes()).is_some(),
            (Self::Matches(regex), Value::Text(found)) => regex.is_match(found),
            (Self::Range(ends), found) => ends.0.holds(found) && ends.1.holds(found),
            (Self::In(set), found) => set.holds(found),
            _ => false,
        }
    }
}

/// Equal as text or as number; ordered as numbers.
fn loosely(order: Order, found: &str, text: &str, number: Number) -> bool {
    let ordering = Number::parse(found.trim()).map(|found| found.compare(number));
    match order {
        Order::Equal => found == text || ordering.is_some_and(std::cmp::Ordering::is_eq),
        Order::NotEqual => found != text && ordering.is_none_or(std::cmp::Ordering::is_ne),
        _ => ordering.is_some_and(|ordering| order.holds(ordering)),
    }
}

/// Whether two values of fields compare so; values that cannot be compared do not.
pub(super) fn compare(left: Value<'_>, order: Order, right: Value<'_>) -> bool {
    let ordering = match (left, right) {
        (Value::Boolean(left), Value::Boolean(right)) => left.cmp(&right),
        (Value::Time(left), Value::Time(right)) => left.cmp(&right),
        (Value::Duration(left), Value::Duration(right)) => left.cmp(&right),
        (Value::Address(left), Value::Address(right)) => left.cmp(&right),
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        (left, right) => match (left.number(), right.number()) {
            (Some(left), Some(right)) => left.compare(right),
            _ => return false,
        },
    };
    order.holds(ordering)
}
