//! What matters of a message in a few words: who, which session, how many keys, what came of it.

use crate::dissect::{Decoded, Identifier, Outcome, ParameterId, Role};
use crate::journal::View;

use super::escape::token;

/// Columns of one value: a UUID and more, but not a hostile novel.
const MOST: usize = 72;
/// Identifiers of a list that are told one by one.
const MOST_LISTED: usize = 6;

/// One thing worth knowing, e.g. `session` `cd613e30-…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is.
    pub label: &'static str,
    /// Its value, escaped.
    pub value: String,
    /// Whether it says that something failed.
    pub failed: bool,
}

/// Where a value stands in its message.
#[derive(Clone, Copy)]
enum Key {
    Role(Role),
    Named(&'static str),
}

const SOURCE: Key = Key::Role(Role::Identifier(Identifier::Source));
const DESTINATION: Key = Key::Role(Role::Identifier(Identifier::Destination));
const APPLICATION_SOURCE: Key = Key::Role(Role::Identifier(Identifier::ApplicationSource));
const APPLICATION_DESTINATION: Key = Key::Role(Role::Identifier(Identifier::ApplicationDestination));
const SESSION: Key = Key::Role(Role::Identifier(Identifier::Session));
const KEY_RELAY_REQUEST: Key = Key::Role(Role::Identifier(Identifier::KeyRelayRequest));

/// The facts of a decoded message, the most telling first.
pub fn facts(view: View<'_>, decoded: &Decoded) -> Vec<Fact> {
    let teller = Teller { view, decoded };
    let told = [
        teller.pair("kma", SOURCE, DESTINATION),
        teller.pair("app", APPLICATION_SOURCE, APPLICATION_DESTINATION),
        teller.pair("km", Key::Named("source_km_id"), Key::Named("destination_km_id")),
        teller.one("relay", KEY_RELAY_REQUEST),
        teller.one("session", SESSION),
        teller.list("next", Key::Role(Role::NextHops)),
        teller.list("via", Key::Named("transit_kma_ids")),
        teller.one("number of keys", Key::Named("number_of_keys")),
        teller.count("keys", Key::Role(Role::Keys)),
        teller.response(),
    ];
    told.into_iter().flatten().collect()
}

struct Teller<'a> {
    view: View<'a>,
    decoded: &'a Decoded,
}

impl Teller<'_> {
    /// `a → b`, `a →` or `→ b`.
    fn pair(&self, label: &'static str, from: Key, to: Key) -> Option<Fact> {
        let value = match (self.shown(from), self.shown(to)) {
            (Some(from), Some(to)) => format!("{from} → {to}"),
            (Some(from), None) => format!("{from} →"),
            (None, Some(to)) => format!("→ {to}"),
            (None, None) => return None,
        };
        Some(Fact { label, value, failed: false })
    }

    fn one(&self, label: &'static str, key: Key) -> Option<Fact> {
        self.shown(key).map(|value| Fact { label, value, failed: false })
    }

    fn list(&self, label: &'static str, key: Key) -> Option<Fact> {
        let all = self.entry(key)?.identifiers();
        let mut value = all.iter().take(MOST_LISTED).map(|id| token(id, MOST)).collect::<Vec<_>>().join(",");
        if all.is_empty() {
            "none".clone_into(&mut value);
        } else if all.len() > MOST_LISTED {
            value += &format!(",… {} in all", all.len());
        }
        // A next hop response says no by naming none (Table 2 has no Response).
        let failed = all.is_empty() && self.decoded.summary.outcome == Outcome::Failure;
        Some(Fact { label, value, failed })
    }

    fn count(&self, label: &'static str, key: Key) -> Option<Fact> {
        let count = self.entry(key)?.identifiers().len();
        Some(Fact { label, value: count.to_string(), failed: false })
    }

    fn response(&self) -> Option<Fact> {
        let failed = self.decoded.summary.outcome == Outcome::Failure;
        let value = self.shown(Key::Role(Role::Response))?;
        Some(Fact { label: "response", value, failed })
    }

    fn shown(&self, key: Key) -> Option<String> {
        self.entry(key).map(|entry| token(&entry.shown, MOST))
    }

    /// The last entry wins, as JSON parsers choose.
    fn entry(&self, key: Key) -> Option<&crate::dissect::Entry> {
        let is_meant = |id: ParameterId| {
            let parameter = self.view.journal.definitions.parameter(id);
            match key {
                Key::Role(role) => parameter.role == Some(role),
                Key::Named(name) => parameter.name == name,
            }
        };
        self.decoded.entries.iter().rev().find(|entry| entry.parameter.is_some_and(is_meant))
    }
}
