//! What could be typed next.

use std::ops::Range;

use super::field::{Choices, Field, Kind, fields};
use super::seen::Seen;
use super::syntax::Function;
use super::token::{Token, TokenKind, tokens};
use crate::dissect::Definitions;

/// Something that could stand at the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// What to write.
    pub text: String,
    /// The bytes of the filter that it replaces.
    pub span: Range<usize>,
    /// What it means.
    pub about: String,
}

/// What could be written at `cursor` (in bytes) of `text`: names of fields, operators, values: those that a field can
/// have, or has in what was seen.
pub fn complete(text: &str, cursor: usize, definitions: &Definitions, seen: Option<&Seen<'_>>) -> Vec<Completion> {
    let cursor = (0..=cursor.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let mut before = tokens(&text[..cursor]);
    let typed = before.pop_if(|last| last.span.end == cursor && is_unfinished(last.kind)).map(|last| last.span);
    let span = typed.unwrap_or(cursor..cursor);
    let prefix = text[span.clone()].trim_start_matches('"').to_lowercase();
    let place = Place { text, before: &before, prefix: &prefix, all: fields(definitions), definitions, seen };
    let mut found = place.candidates();
    found.retain(|(candidate, _)| candidate.trim_start_matches('"').to_lowercase().starts_with(&prefix));
    found.into_iter().map(|(text, about)| Completion { text, span: span.clone(), about }).collect()
}

/// Whether more of it may follow: a word operator may be the beginning of a name.
fn is_unfinished(kind: TokenKind) -> bool {
    use TokenKind::{All, And, Any, Contains, In, Matches, Or, UnfinishedText, Word, Xor};
    matches!(kind, Word | UnfinishedText | All | And | Any | Contains | In | Matches | Or | Xor)
}

struct Place<'a> {
    text: &'a str,
    before: &'a [Token],
    /// What is typed of the word at the cursor, in lower case.
    prefix: &'a str,
    all: Vec<Field>,
    definitions: &'a Definitions,
    seen: Option<&'a Seen<'a>>,
}

impl Place<'_> {
    fn candidates(&self) -> Vec<(String, String)> {
        use TokenKind::{
            All, And, Any, Close, CloseSet, CloseSlice, Comma, Contains, Matches, Not, Open, OpenSet, Or, Range,
            Relation, Text, Word, Xor,
        };
        match self.before.last().map(|last| last.kind) {
            None | Some(And | Or | Xor | Not | Open | Any | All) => self.operands(),
            Some(Relation(_) | OpenSet | Comma | Range) => self.values(),
            Some(Word) if self.field_at(self.before.len() - 1).is_some() && !self.is_after_relation() => {
                self.operators(self.field_at(self.before.len() - 1).map(|field| field.kind))
            }
            Some(Close | CloseSlice) => [self.operators(None), connectives()].concat(),
            Some(Word | Text | CloseSet) => connectives(),
            Some(Contains | Matches) | Some(_) => Vec::new(),
        }
    }

    fn operands(&self) -> Vec<(String, String)> {
        let fields =
            self.all.iter().map(|field| (field.name.clone(), format!("{}: {}", field.kind.name(), field.about)));
        let functions = Function::ALL.iter().map(|it| (format!("{}(", it.name()), it.about().to_owned()));
        let others = [("!", "the test after it does not hold"), ("(", "a group")];
        let others = others.map(|(text, about)| (text.to_owned(), about.to_owned()));
        fields.chain(functions).chain(others).collect()
    }

    /// The field whose name is token `index`.
    fn field_at(&self, index: usize) -> Option<&Field> {
        let token = self.before.get(index).filter(|token| token.kind == TokenKind::Word)?;
        self.all.iter().find(|field| field.name == self.text[token.span.clone()])
    }

    fn is_after_relation(&self) -> bool {
        let before = self.before.iter().rev().nth(1).map(|token| token.kind);
        matches!(before, Some(TokenKind::Relation(_) | TokenKind::OpenSet | TokenKind::Comma | TokenKind::Range))
    }

    /// The values of the field before the last comparison or `in`.
    fn values(&self) -> Vec<(String, String)> {
        let is_operator = |token: &Token| matches!(token.kind, TokenKind::Relation(_) | TokenKind::In);
        let Some(at) = self.before.iter().rposition(is_operator).and_then(|at| at.checked_sub(1)) else {
            return Vec::new();
        };
        let Some(field) = self.field_at(at) else { return Vec::new() };
        let names: Vec<&str> = match field.kind {
            Kind::Boolean => vec!["true", "false"],
            Kind::Choice(choices) => choices.names(self.definitions),
            // Nobody knows the moment that he looks for to the nanosecond.
            Kind::Time | Kind::Duration => return Vec::new(),
            _ => return self.seen_values(field),
        };
        let is_word = |name: &str| tokens(name).len() == 1 && tokens(name)[0].kind == TokenKind::Word;
        let written = |name: &str| if is_word(name) { name.to_owned() } else { format!("\"{name}\"") };
        names.into_iter().map(|name| (written(name), String::new())).collect()
    }

    /// The values that a field has in what was seen, and command codes by their names.
    fn seen_values(&self, field: &Field) -> Vec<(String, String)> {
        let mut values: Vec<(String, String)> = Vec::new();
        if field.name == "ck.command_code" {
            let messages = self.definitions.messages.iter();
            values.extend(messages.map(|message| (message.code.to_string(), message.name.clone())));
        }
        let seen = self.seen.map(|seen| seen.values(field, self.prefix)).unwrap_or_default();
        let others: Vec<String> =
            seen.into_iter().filter(|text| values.iter().all(|(known, _)| known != text)).collect();
        values.extend(others.into_iter().map(|text| (text, String::new())));
        values
    }

    /// The operators that a field of this type takes; all if it is not known.
    fn operators(&self, kind: Option<Kind>) -> Vec<(String, String)> {
        let is_ordered = !matches!(
            kind,
            Some(Kind::Boolean | Kind::Choice(Choices::Of(_) | Choices::Messages | Choices::Procedures))
        );
        let is_textual = kind.is_none_or(Kind::is_textual);
        let operators = [
            ("==", "one value is equal", true),
            ("!=", "all values are different", true),
            ("===", "all values are equal", true),
            ("~=", "one value is different", true),
            ("<", "less", is_ordered),
            ("<=", "less or equal", is_ordered),
            (">", "greater", is_ordered),
            (">=", "greater or equal", is_ordered),
            ("in {", "one of a set of values and ranges", true),
            ("contains", "a part of the text is equal", is_textual),
            ("matches", "a regular expression matches, in whatever case", is_textual),
        ];
        let operators = operators.into_iter().filter(|(.., fits)| *fits);
        let operators = operators.map(|(text, about, _)| (text.to_owned(), about.to_owned()));
        operators.chain(connectives()).collect()
    }
}

fn connectives() -> Vec<(String, String)> {
    let words = [("&&", "both hold"), ("||", "one holds"), ("^^", "one holds, and not the other")];
    words.map(|(text, about)| (text.to_owned(), about.to_owned())).to_vec()
}
