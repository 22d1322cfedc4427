//! Tree → program: names become fields, values take the type of the field that they are compared with.

use jiff::tz::TimeZone;
use memchr::memmem::Finder;
use regex::RegexBuilder;

use super::error::Error;
use super::field::{Choices, Kind, Named, is_like_a_field, named, nearest_field};
use super::literal::{self, Network, Number};
use super::parse::nearest;
use super::program::{Node, Source};
use super::syntax::{Element, Expression, Function, Operand, OperandKind, Search};
use super::token::{Order, Quantifier, Relation};
use super::value::{Set, Test};
use crate::dissect::Definitions;

/// Bytes that a compiled regular expression may take.
const MOST_REGEX: usize = 1 << 20;
/// Groups inside each other in a regular expression.
const MOST_GROUPS: u32 = 50;

/// What the words of a filter stand for.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Messages and parameters.
    pub definitions: &'a Definitions,
    /// The zone of times that name none.
    pub zone: &'a TimeZone,
}

/// What an operand turned out to be.
enum Resolved<'t> {
    Field(Source, Kind),
    Literal(Literal<'t>),
}

/// A value as written.
#[derive(Clone, Copy)]
struct Literal<'t> {
    text: &'t str,
    is_quoted: bool,
    operand: &'t Operand,
}

impl Literal<'_> {
    fn error(&self, expected: &str) -> Error {
        let found = if self.is_quoted { format!("the text {:?}", self.text) } else { self.text.to_owned() };
        Error::new(self.operand.span.clone(), format!("found {found}; expected {expected}"))
    }
}

impl Context<'_> {
    /// The program of `expression`.
    pub(super) fn compile(&self, expression: &Expression) -> Result<Node, Error> {
        let each = |parts: &[Expression]| parts.iter().map(|part| self.compile(part)).collect::<Result<Vec<_>, _>>();
        Ok(match expression {
            Expression::Or(parts) => Node::any(each(parts)?),
            Expression::Xor(parts) => Node::Xor(each(parts)?),
            Expression::And(parts) => Node::all(each(parts)?),
            Expression::Not(inner) => Node::Not(Box::new(self.compile(inner)?)),
            Expression::Exists(operand) => match self.field(operand)? {
                (source, Kind::Boolean) => Node::IsTrue(source),
                (source, _) => Node::Exists(source),
            },
            Expression::Compare { left, relation, right } => self.compare(left, *relation, right)?,
            Expression::Search { left, search, quantifier, right } => self.search(left, *search, *quantifier, right)?,
            Expression::In { left, quantifier, set } => self.within(left, *quantifier, set)?,
        })
    }

    fn resolve<'t>(&self, operand: &'t Operand) -> Result<Resolved<'t>, Error> {
        match &operand.kind {
            OperandKind::Text(text) => Ok(Resolved::Literal(Literal { text, is_quoted: true, operand })),
            OperandKind::Word(word) => match named(self.definitions, word) {
                Some(Named::Builtin(field)) => Ok(Resolved::Field(Source::Builtin(field), field.kind)),
                Some(Named::Parameter(parameter)) => Ok(Resolved::Field(Source::Parameter(parameter), Kind::Scalar)),
                Some(Named::Unknown(name)) => Ok(Resolved::Field(Source::Unknown(name), Kind::Scalar)),
                None if is_like_a_field(word) => Err(self.no_field(operand, word)),
                None => Ok(Resolved::Literal(Literal { text: word, is_quoted: false, operand })),
            },
            OperandKind::Call(function, argument) => self.call(*function, argument),
            OperandKind::Slice(of, slice) => {
                let (source, kind) = self.field(of)?;
                textual(&of.span, kind, "a slice is of text", "string() makes it one")?;
                Ok(Resolved::Field(Source::Slice(Box::new(source), *slice), Kind::Text))
            }
        }
    }

    fn call<'t>(&self, function: Function, argument: &Operand) -> Result<Resolved<'t>, Error> {
        let (source, kind) = self.field(argument)?;
        if matches!(function, Function::Len | Function::Lower | Function::Upper) {
            let what = format!("{}() is of text", function.name());
            textual(&argument.span, kind, &what, "string() makes it one")?;
        }
        let kind = if matches!(function, Function::Len | Function::Count) { Kind::Number } else { Kind::Text };
        Ok(Resolved::Field(Source::Call(function, Box::new(source)), kind))
    }

    /// What must be a field.
    fn field(&self, operand: &Operand) -> Result<(Source, Kind), Error> {
        match self.resolve(operand)? {
            Resolved::Field(source, kind) => Ok((source, kind)),
            Resolved::Literal(Literal { text, is_quoted: true, .. }) => {
                Err(Error::new(operand.span.clone(), format!("found the text {text:?}; expected a field")))
            }
            Resolved::Literal(Literal { text, .. }) => Err(self.no_field(operand, text)),
        }
    }

    fn no_field(&self, operand: &Operand, word: &str) -> Error {
        let error = Error::new(operand.span.clone(), format!("no field {word:?}; ckscope fields lists them"));
        error.suggesting(nearest_field(self.definitions, word))
    }

    fn compare(&self, left: &Operand, relation: Relation, right: &Operand) -> Result<Node, Error> {
        let Relation { order, quantifier } = relation;
        match (self.resolve(left)?, self.resolve(right)?) {
            (Resolved::Field(source, kind), Resolved::Literal(literal)) => {
                Ok(Node::Value { source, quantifier, test: Box::new(self.test(kind, order, literal)?) })
            }
            (Resolved::Literal(literal), Resolved::Field(source, kind)) => {
                Ok(Node::Value { source, quantifier, test: Box::new(self.test(kind, order.flipped(), literal)?) })
            }
            (Resolved::Field(left, kind), Resolved::Field(other, right_kind)) => {
                if !are_comparable(kind, right_kind) {
                    let text = format!("{} here, {} on the left; expected the same type", a(right_kind), a(kind));
                    return Err(Error::new(right.span.clone(), text));
                }
                Ok(Node::Pair { left, order, quantifier, right: other })
            }
            (Resolved::Literal(literal), Resolved::Literal(_)) => Err(self.no_field(left, literal.text)),
        }
    }

    fn search(&self, left: &Operand, search: Search, quantifier: Quantifier, right: &Operand) -> Result<Node, Error> {
        let (source, kind) = self.field(left)?;
        let word = if search == Search::Matches { "matches" } else { "contains" };
        textual(&left.span, kind, &format!("{word} searches text"), "string() makes it one")?;
        let Resolved::Literal(literal) = self.resolve(right)? else {
            return Err(Error::new(right.span.clone(), format!("found a field; {word} expects a text in quotes")));
        };
        let test = match search {
            Search::Contains => Test::Contains(Finder::new(literal.text.as_bytes()).into_owned()),
            Search::Matches => Test::Matches(regex(&literal)?),
        };
        Ok(Node::Value { source, quantifier, test: Box::new(test) })
    }

    fn within(&self, left: &Operand, quantifier: Quantifier, elements: &[Element]) -> Result<Node, Error> {
        let (source, kind) = self.field(left)?;
        let literal = |operand| match self.resolve(operand)? {
            Resolved::Literal(literal) => Ok(literal),
            Resolved::Field(..) => Err(Error::new(operand.span.clone(), "found a field; a set holds values")),
        };
        let mut set = Set::default();
        for Element { from, to } in elements {
            let Some(to) = to else {
                set.add(self.test(kind, Order::Equal, literal(from)?)?);
                continue;
            };
            let least = self.test(kind, Order::GreaterOrEqual, literal(from)?)?;
            set.add(Test::Range(Box::new((least, self.test(kind, Order::LessOrEqual, literal(to)?)?))));
        }
        Ok(Node::Value { source, quantifier, test: Box::new(Test::In(set)) })
    }

    /// The test of a value of type `kind` against `literal`.
    fn test(&self, kind: Kind, order: Order, literal: Literal<'_>) -> Result<Test, Error> {
        let text = literal.text;
        // Only times have forms that need quotes.
        let word = Some(text).filter(|_| !literal.is_quoted);
        let test = match kind {
            Kind::Boolean if order.is_ordering() => {
                return Err(literal.error("== or != before a boolean, which has no order"));
            }
            Kind::Boolean => word.and_then(literal::boolean).map(|value| Test::Boolean(order, value)),
            Kind::Number => word.and_then(Number::parse).map(|value| Test::Number(order, value)),
            Kind::Duration => word.and_then(literal::duration).map(|value| Test::Nanoseconds(order, value.0)),
            Kind::Time => literal::time(text, self.zone).map(|value| Test::Nanoseconds(order, value.0)),
            Kind::Address => return address(order, literal),
            Kind::Text => Some(Test::Text(order, text.to_owned())),
            Kind::Scalar => Some(match word.and_then(Number::parse) {
                Some(number) => Test::Loose(order, text.to_owned(), number),
                None => Test::Text(order, text.to_owned()),
            }),
            Kind::Choice(choices) => return self.choice(choices, order, literal),
        };
        test.ok_or_else(|| literal.error(expected(kind)))
    }

    /// A name, in whatever case it is written.
    fn choice(&self, choices: Choices, order: Order, literal: Literal<'_>) -> Result<Test, Error> {
        let names = choices.names(self.definitions);
        let Some(position) = names.iter().position(|name| name.eq_ignore_ascii_case(literal.text)) else {
            let most = 16;
            let listed = names.iter().take(most).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
            let more = if names.len() > most { ", …" } else { "" };
            let nearest = nearest(literal.text, names.iter().copied()).map(|name| format!("{name:?}"));
            return Err(literal.error(&format!("one of {listed}{more}")).suggesting(nearest));
        };
        match choices {
            Choices::Ranked(names) => Ok(Test::Rank(order, position, names)),
            _ => Ok(Test::Text(order, names[position].to_owned())),
        }
    }
}

fn address(order: Order, literal: Literal<'_>) -> Result<Test, Error> {
    let network = Some(literal.text).filter(|_| !literal.is_quoted).and_then(Network::parse);
    let network = network.ok_or_else(|| literal.error(expected(Kind::Address)))?;
    if network.is_range() && order.is_ordering() {
        return Err(literal.error("a single address: a network is neither more nor less than another"));
    }
    Ok(Test::Address(order, network))
}

fn regex(literal: &Literal<'_>) -> Result<regex::Regex, Error> {
    let mut builder = RegexBuilder::new(literal.text);
    builder.case_insensitive(true).size_limit(MOST_REGEX).dfa_size_limit(MOST_REGEX).nest_limit(MOST_GROUPS);
    builder.build().map_err(|error| {
        let why = match error {
            regex::Error::CompiledTooBig(most) => format!("it would take more than {most} bytes"),
            // The last line says why; those before show the place, with carets that do not fit here.
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default();
                last.strip_prefix("error: ").unwrap_or(last).to_owned()
            }
        };
        Error::new(literal.operand.span.clone(), format!("no regular expression: {why}"))
    })
}

/// Refuses what is no text.
fn textual(span: &std::ops::Range<usize>, kind: Kind, what: &str, hint: &str) -> Result<(), Error> {
    if kind.is_textual() {
        return Ok(());
    }
    Err(Error::new(span.clone(), format!("{what}, and this is {}; {hint}", a(kind))))
}

fn are_comparable(left: Kind, right: Kind) -> bool {
    let is_loose = |kind| matches!(kind, Kind::Scalar | Kind::Number);
    left == right || (left.is_textual() && right.is_textual()) || (is_loose(left) && is_loose(right))
}

const fn a(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "a boolean",
        Kind::Number => "a number",
        Kind::Text => "a text",
        Kind::Time => "a time",
        Kind::Duration => "a duration",
        Kind::Address => "an address",
        Kind::Scalar => "a text or number",
        Kind::Choice(_) => "a name",
    }
}

/// What a literal compared with a field of this type should be.
const fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "true or false",
        Kind::Number => "a number, like 7 or 0x1401",
        Kind::Time => "a time, like \"2026-11-22 10:00:00.5\", 2026-11-22T10:00:00Z or seconds since 1970",
        Kind::Duration => "a duration, like 2s, 1.5ms (units: ns us ms s min h) or seconds",
        Kind::Address => "an address or a network, without quotes, like 10.0.0.0/8 or 2001:db8::1",
        Kind::Text | Kind::Scalar | Kind::Choice(_) => "a text",
    }
}
