//! Tokens → tree. `or` binds loosest, then `xor`, `and`, `not`, and comparisons tightest (wireshark-filter(4)).

use super::error::Error;
use super::syntax::{Element, Expression, Function, Operand, OperandKind, Search, Slice};
use super::token::{Order, Quantifier, Relation, Token, TokenKind, content, tokens};

/// Bytes of a filter: a screen full is a fortieth of it.
const MOST_BYTES: usize = 1 << 16;
/// Parentheses, `not`s and functions inside each other.
const MOST_NESTED: usize = 64;

/// Reads a filter.
///
/// # Errors
/// The text is none.
pub fn parse(text: &str) -> Result<Expression, Error> {
    if text.len() > MOST_BYTES {
        return Err(Error::new(0..0, format!("{} bytes; a filter has at most {MOST_BYTES}", text.len())));
    }
    let mut parser = Parser { text, tokens: tokens(text), at: 0, nested: 0 };
    if parser.tokens.is_empty() {
        return Err(Error::new(0..text.len(), "an empty filter; expected a field, like ck.message"));
    }
    let expression = parser.expression()?;
    match parser.peek() {
        None => Ok(expression),
        Some(TokenKind::Close) => Err(parser.error("found \")\" without \"(\"")),
        Some(_) => Err(parser.unexpected("an operator like ==, && or in, or the end")),
    }
}

/// Makes a tree of two or more parts.
type Joined = fn(Vec<Expression>) -> Expression;

/// The operators between expressions, loosest first, and the trees they make.
const LEVELS: [(TokenKind, Joined); 3] =
    [(TokenKind::Or, Expression::Or), (TokenKind::Xor, Expression::Xor), (TokenKind::And, Expression::And)];

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    nested: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<TokenKind> {
        self.tokens.get(self.at).map(|token| token.kind)
    }

    fn eat(&mut self, kind: TokenKind) -> bool {
        let eaten = self.peek() == Some(kind);
        self.at += usize::from(eaten);
        eaten
    }

    fn span(&self) -> std::ops::Range<usize> {
        self.tokens.get(self.at).map_or(self.text.len()..self.text.len(), |token| token.span.clone())
    }

    /// Where the token before began.
    fn start_of_last(&self) -> usize {
        self.tokens[self.at - 1].span.start
    }

    fn end_of_last(&self) -> usize {
        self.tokens[self.at - 1].span.end
    }

    fn error(&self, text: impl Into<String>) -> Error {
        Error::new(self.span(), text)
    }

    fn unexpected(&self, expected: &str) -> Error {
        let span = self.span();
        let found = &self.text[span.clone()];
        if span.is_empty() {
            return Error::new(span, format!("the filter ends; expected {expected}"));
        }
        let meant = match found {
            "=" => Some("=="),
            "&" => Some("&&"),
            "|" => Some("||"),
            _ => None,
        };
        if self.peek() == Some(TokenKind::UnfinishedText) {
            return Error::new(span, "a text without its closing quote");
        }
        Error::new(span, format!("found {found:?}; expected {expected}")).suggesting(meant)
    }

    fn expect(&mut self, kind: TokenKind, what: &str) -> Result<(), Error> {
        if self.eat(kind) { Ok(()) } else { Err(self.unexpected(what)) }
    }

    /// Runs `inner` one level deeper; the text before the current place opened it.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.nested == MOST_NESTED {
            return Err(self.error(format!("more than {MOST_NESTED} levels inside each other")));
        }
        self.nested += 1;
        let result = inner(self);
        self.nested -= 1;
        result
    }

    fn expression(&mut self) -> Result<Expression, Error> {
        self.level(0)
    }

    fn level(&mut self, level: usize) -> Result<Expression, Error> {
        let Some(&(operator, make)) = LEVELS.get(level) else { return self.unary() };
        let first = self.level(level + 1)?;
        if self.peek() != Some(operator) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.eat(operator) {
            parts.push(self.level(level + 1)?);
        }
        Ok(make(parts))
    }

    fn unary(&mut self) -> Result<Expression, Error> {
        if self.eat(TokenKind::Not) {
            return Ok(Expression::Not(Box::new(self.deeper(Self::unary)?)));
        }
        if self.eat(TokenKind::Open) {
            let inner = self.deeper(Self::expression)?;
            self.expect(TokenKind::Close, "\")\" or an operator")?;
            return Ok(inner);
        }
        self.test()
    }

    fn test(&mut self) -> Result<Expression, Error> {
        let quantifier = match self.peek() {
            Some(TokenKind::Any) => Some(Quantifier::Any),
            Some(TokenKind::All) => Some(Quantifier::All),
            _ => None,
        };
        self.at += usize::from(quantifier.is_some());
        let left = self.operand("a field, like ck.message")?;
        let found = self.peek();
        let chosen = quantifier.unwrap_or(Quantifier::Any);
        match found {
            Some(TokenKind::Relation(relation)) => {
                self.at += 1;
                let relation = Relation { quantifier: quantifier.unwrap_or(relation.quantifier), ..relation };
                Ok(Expression::Compare { left, relation, right: self.operand("a value")? })
            }
            Some(kind @ (TokenKind::Contains | TokenKind::Matches)) => {
                self.at += 1;
                let search = if kind == TokenKind::Matches { Search::Matches } else { Search::Contains };
                Ok(Expression::Search { left, search, quantifier: chosen, right: self.operand("a text")? })
            }
            Some(TokenKind::In) => Ok(Expression::In { left, quantifier: chosen, set: self.set()? }),
            Some(TokenKind::Not) if self.tokens.get(self.at + 1).map(|next| next.kind) == Some(TokenKind::In) => {
                self.at += 1;
                let within = Expression::In { left, quantifier: chosen, set: self.set()? };
                Ok(Expression::Not(Box::new(within)))
            }
            _ if quantifier.is_some() => Err(self.unexpected("a comparison after any or all")),
            _ => Ok(Expression::Exists(left)),
        }
    }

    fn set(&mut self) -> Result<Vec<Element>, Error> {
        self.at += 1;
        self.expect(TokenKind::OpenSet, "a set, like {0x1401, 0x1403..0x1405}")?;
        let mut set = Vec::new();
        loop {
            let from = self.operand("a value")?;
            let to = if self.eat(TokenKind::Range) { Some(self.operand("the end of the range")?) } else { None };
            set.push(Element { from, to });
            if !self.eat(TokenKind::Comma) {
                self.expect(TokenKind::CloseSet, "\",\" or \"}\"")?;
                return Ok(set);
            }
        }
    }

    fn operand(&mut self, expected: &str) -> Result<Operand, Error> {
        let mut operand = match self.peek() {
            Some(TokenKind::Word) => self.word()?,
            Some(TokenKind::Text) => self.quoted()?,
            _ => return Err(self.unexpected(expected)),
        };
        let before = self.nested;
        while self.eat(TokenKind::OpenSlice) {
            self.nested += 1;
            if self.nested > MOST_NESTED {
                return Err(self.error(format!("more than {MOST_NESTED} levels inside each other")));
            }
            let slice = self.slice()?;
            let span = operand.span.start..self.end_of_last();
            operand = Operand { kind: OperandKind::Slice(Box::new(operand), slice), span };
        }
        self.nested = before;
        Ok(operand)
    }

    fn word(&mut self) -> Result<Operand, Error> {
        let span = self.span();
        let word = &self.text[span.clone()];
        self.at += 1;
        if !self.eat(TokenKind::Open) {
            return Ok(Operand { kind: OperandKind::Word(word.to_owned()), span });
        }
        let function = Function::ALL.into_iter().find(|function| function.name().eq_ignore_ascii_case(word));
        let Some(function) = function else {
            let names = Function::ALL.map(Function::name);
            let nearest = nearest(word, names.into_iter());
            let text = format!("no function {word:?}; there are {}", names.join(", "));
            return Err(Error::new(span, text).suggesting(nearest));
        };
        let argument = self.deeper(|parser| parser.operand("a field"))?;
        self.expect(TokenKind::Close, "\")\"")?;
        let span = span.start..self.end_of_last();
        Ok(Operand { kind: OperandKind::Call(function, Box::new(argument)), span })
    }

    fn quoted(&mut self) -> Result<Operand, Error> {
        let span = self.span();
        let text = content(&self.text[span.clone()]).map_err(|wrong| {
            let place = span.start + wrong.start..span.start + wrong.end;
            let found = &self.text[place.clone()];
            Error::new(place, format!("{found:?} is no escape; there are \\\\ \\\" \\n \\r \\t \\xHH \\uHHHH \\u{{H}}, and r\"...\" takes none"))
        })?;
        self.at += 1;
        Ok(Operand { kind: OperandKind::Text(text.into_owned()), span })
    }

    fn slice(&mut self) -> Result<Slice, Error> {
        let expected = "a slice like [0:3] (offset and length), [2-5], [4] or [-3:]";
        if self.peek() != Some(TokenKind::Word) {
            return Err(self.unexpected(expected));
        }
        self.at += 1;
        let text = &self.text[self.start_of_last()..self.end_of_last()];
        let slice = slice(text).ok_or_else(|| {
            Error::new(self.start_of_last()..self.end_of_last(), format!("{text:?} is no slice; expected {expected}"))
        })?;
        self.expect(TokenKind::CloseSlice, "\"]\"")?;
        Ok(slice)
    }
}

/// `0:3`, `:3`, `-3:`, `2-5` (both included), `4`.
fn slice(text: &str) -> Option<Slice> {
    if let Some((offset, length)) = text.split_once(':') {
        let offset = if offset.is_empty() { 0 } else { offset.parse().ok()? };
        let length = if length.is_empty() { None } else { Some(length.parse().ok()?) };
        return Some(Slice { offset, length });
    }
    if let Some((first, last)) = text.split_once('-').filter(|(first, _)| !first.is_empty()) {
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        return Some(Slice { offset: first.try_into().ok()?, length: Some(last.checked_sub(first)?.checked_add(1)?) });
    }
    Some(Slice { offset: text.parse().ok()?, length: Some(1) })
}

/// The name that `word` is most like, if any is near.
pub(super) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let most = (word.chars().count() / 3).max(1);
    let distance = |name: &'a str| (strsim::damerau_levenshtein(&word, &name.to_ascii_lowercase()), name);
    // A name is compared only with those of about its length: what a hostile filter may ask is bounded.
    let near = names.filter(|name| name.len().abs_diff(word.len()) <= most && word.len() < 100).map(distance);
    near.filter(|(distance, _)| *distance <= most).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// A comparison of a field with a value, as made by a program.
pub(super) fn equals(field: &str, value: &str) -> Expression {
    let operand = |kind| Operand { kind, span: 0..0 };
    Expression::Compare {
        left: operand(OperandKind::Word(field.to_owned())),
        relation: Relation { order: Order::Equal, quantifier: Quantifier::Any },
        right: operand(OperandKind::Text(value.to_owned())),
    }
}
