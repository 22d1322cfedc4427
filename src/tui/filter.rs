//! What is shown: the display filter and the identifier that is followed.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::scan::{Carried, Scan};
use crate::dissect::Definitions;
use crate::filter::{self, Context, Filter, Seen};
use crate::journal::View;

/// Reads a filter.
///
/// # Errors
/// It is none: where and why.
pub fn compile(text: &str, definitions: &Definitions, zone: &TimeZone) -> Result<Arc<Filter>, filter::Error> {
    Filter::compile(text, &Context { definitions, zone }).map(Arc::new)
}

/// The filter for messages in which the field called `path` has this value, where the language has that field.
pub fn on_value(definitions: &Definitions, path: &str, raw: &str) -> Option<String> {
    let name = match path {
        "MessageID" => "ck.message_id".to_owned(),
        "Command code" => "ck.command_code".to_owned(),
        "Version" => "ck.version".to_owned(),
        parameter => format!("ck.{parameter}"),
    };
    let quoted = format!("\"{}\"", raw.replace('\\', "\\\\").replace('"', "\\\""));
    let zone = TimeZone::UTC;
    let ways = [format!("{name} == {quoted}"), format!("{name} == {raw}")];
    ways.into_iter().find(|text| compile(text, definitions, &zone).is_ok())
}

/// The filter for messages like this one.
pub fn on_message(view: View<'_>, message: u32) -> String {
    format!("ck.command_code == {}", view.record(message).code)
}

/// Bytes before `at` that a completion takes the place of, and the completions: values are those in what `view` shows.
pub fn complete(text: &str, at: usize, view: View<'_>, seen: &Seen<'_>) -> (usize, Vec<String>) {
    let all = filter::complete(text, at, &view.journal.definitions, Some(seen));
    let taken = all.first().map_or(0, |first| at.saturating_sub(first.span.start));
    (taken, all.into_iter().map(|completion| completion.text).collect())
}

/// What restricts the view, and what it lets through so far.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The display filter as typed, and what it means.
    pub filter: Option<(String, Arc<Filter>)>,
    /// The identifier that is followed.
    pub carried: Option<Carried>,
    /// Changes whenever it begins to look anew.
    pub number: u64,
    /// What was looked at.
    pub scan: Scan,
}

impl Shown {
    /// Whether anything restricts the view.
    pub fn is_restricted(&self) -> bool {
        self.filter.is_some() || self.carried.is_some()
    }

    /// Begins to look anew.
    pub fn restart(&mut self) {
        self.scan = Scan::default();
        self.number += 1;
    }

    /// The same, with nothing looked at.
    #[must_use]
    pub fn unseen(&self) -> Self {
        let Self { filter, carried, number, .. } = self;
        Self { filter: filter.clone(), carried: carried.clone(), number: *number, scan: Scan::default() }
    }

    /// Whether message `index` is shown.
    pub fn lets_through(&self, view: View<'_>, index: u32) -> bool {
        self.filter.as_ref().is_none_or(|(_, filter)| filter.matches(view, index))
            && self.carried.as_ref().is_none_or(|carried| carried.is_in(view, index))
    }

    /// Looks at some more, up to message `count`; whether it got there.
    pub fn step(&mut self, view: View<'_>, count: u32) -> bool {
        let mut scan = std::mem::take(&mut self.scan);
        let done = scan.step(view, count, &|view, index| self.lets_through(view, index));
        self.scan = scan;
        done
    }
}
