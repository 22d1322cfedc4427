//! Values that fields have in what was seen, for whoever types a filter. Looks at a bounded number of messages, so that
//! it can be asked with every key that is typed.

use std::collections::HashSet;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use super::field::{Cost, Field, Kind, Named, named};
use super::names::Names;
use super::subject::{Sink, Subject};
use super::token::{TokenKind, tokens};
use crate::dissect::CommandCode;
use crate::identities::Learned;
use crate::journal::View;

/// Values that are offered at once.
const MOST_VALUES: usize = 200;
/// Bytes of a value that is worth offering.
const LONGEST: usize = 200;
/// Connections that are looked at.
const CONNECTIONS: usize = 512;

/// What was seen, with the names of KMs learned from it, and the message that the user looks at.
#[derive(Debug)]
pub struct Seen<'a> {
    view: View<'a>,
    names: Names,
    near: u32,
}

impl<'a> Seen<'a> {
    /// What `view` shows, of which `learned` was learned; values near message `near` are looked at first.
    pub fn new(view: View<'a>, learned: Arc<Learned>, near: Option<u32>) -> Self {
        Self { view, names: Names::known(view, learned), near: near.unwrap_or(0) }
    }

    /// The values of `field` that begin with `prefix`, which is in lower case, as they are written in a filter. Of a
    /// capture with many messages only those near the one that is looked at, the newest and the first are asked.
    pub(super) fn values(&self, field: &Field, prefix: &str) -> Vec<String> {
        let Some(named) = named(&self.view.journal.definitions, &field.name) else { return Vec::new() };
        let mut found = HashSet::new();
        let mut take = |subject: &Subject<'_>| {
            read(&named, subject, &mut |value| {
                let text = value.text();
                if text.len() <= LONGEST && begins(&text, prefix) && !text.chars().any(char::is_control) {
                    found.insert(text.into_owned());
                }
                found.len() >= MOST_VALUES
            })
        };
        let connections = 0..self.view.journal.connections.len().min(CONNECTIONS) as u32;
        let mut bare = connections.map(|index| Subject::bare_connection(self.view, index, &self.names));
        let messages = self.messages(field.cost).into_iter().flatten();
        let mut of_messages = messages.map(|index| Subject::message(self.view, index, &self.names));
        let _ = of_messages.any(|subject| take(&subject)) || bare.any(|subject| take(&subject));
        let mut values: Vec<String> = found.into_iter().collect();
        values.sort_by_cached_key(|text| (text.parse::<i128>().ok(), text.parse::<IpAddr>().ok(), text.clone()));
        values.iter().map(|text| written(field, text)).collect()
    }

    /// The messages to ask: fewer where an answer costs more.
    fn messages(&self, cost: Cost) -> [Range<u32>; 3] {
        let each = match cost {
            Cost::Record | Cost::Tied => 1024,
            Cost::Listed | Cost::Doubtful => 512,
            Cost::Payload => 128,
        };
        let count = self.view.journal.records.len() as u32;
        let around = |from: u32| from.min(count)..from.saturating_add(each).min(count);
        [around(self.near.saturating_sub(each / 2)), around(count.saturating_sub(each)), around(0)]
    }
}

fn read(named: &Named, subject: &Subject<'_>, out: Sink<'_>) -> bool {
    match named {
        Named::Builtin(field) => (field.read)(subject, out),
        Named::Parameter(parameter) => parameter.read(subject, out),
        Named::Unknown(_) => false,
    }
}

/// Whether `text` begins with `prefix`, which is in lower case.
fn begins(text: &str, prefix: &str) -> bool {
    let mut letters = text.chars().flat_map(char::to_lowercase);
    prefix.chars().all(|c| letters.next() == Some(c))
}

/// A value as it is written in a filter: in quotes where it could be read as something else.
fn written(field: &Field, text: &str) -> String {
    match field.kind {
        Kind::Number if field.name == "ck.command_code" => {
            text.parse().map_or_else(|_| text.to_owned(), |code| CommandCode(code).to_string())
        }
        Kind::Text | Kind::Scalar if !is_plain(text) => {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
        _ => text.to_owned(),
    }
}

/// Whether a text is one word that is neither a field nor anything but a text, or the usual way to write a number.
fn is_plain(text: &str) -> bool {
    let is_word = || matches!(tokens(text)[..], [ref only] if only.kind == TokenKind::Word);
    let is_name = text.starts_with(char::is_alphabetic) && !text.contains('.') && is_word();
    is_name || text.parse::<u64>().is_ok_and(|number| number.to_string() == text)
}
