//! Counts and durations of what a journal holds. In: a [`View`] and which of its messages to count. Out: [`Table`]s
//! of plain values, the same for text, jsonl, csv, pages and screens. Payloads are decoded only to learn key IDs.
//! Refuses to know how tables are shown.
//!
//! Percentiles are exact, by nearest rank: the p-th of n sorted values is the one at ⌈p/100 · n⌉.

mod group;
mod keys;
mod tally;

use std::cell::OnceCell;
use std::collections::BTreeMap;

use crate::identities::Identities;
use crate::journal::{State, View};
use crate::time::{Span, Timestamp};

use group::Groups;
pub use tally::{DECADES, percentile};

/// A value in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Words, as received: not escaped.
    Text(String),
    /// A number of things.
    Count(u64),
    /// A length of capture time.
    Span(Span),
    /// A point in time.
    Time(Timestamp),
    /// Nothing to tell.
    None,
}

/// Rows of one shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name in options and output, e.g. `response-times-by-km`.
    pub name: &'static str,
    /// Names of its columns, in snake_case; those of spans end in `_ms`.
    pub columns: Vec<&'static str>,
    /// The rows, each as long as `columns`.
    pub rows: Vec<Vec<Cell>>,
    /// The column that a bar chart shows.
    pub bar: Option<usize>,
    /// The first column is a group of rows.
    pub grouped: bool,
    /// What was left out, and why; nothing is left out silently.
    pub note: Option<String>,
}

/// By what messages and procedures are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// All in one.
    All,
    /// The KM at the connection.
    Km,
    /// The two KMs that a procedure is about, in either direction.
    Pair,
    /// The connection.
    Connection,
}

/// What a table tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Messages by kind and direction.
    Messages,
    /// Procedures by kind and state.
    Procedures,
    /// From request to response, by kind of request.
    ResponseTimes,
    /// From first to last message of procedures that ended with a response, by kind.
    ProcedureTimes,
    /// Messages and procedures in intervals of time.
    OverTime,
    /// Keys by KM pair.
    Keys,
    /// The same in intervals of time.
    KeysOverTime,
    /// Keys reserved but not allocated, or allocated but not reserved.
    KeyMismatches,
}

/// One table that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub name: &'static str,
    /// What it tells.
    pub topic: Topic,
    /// By what.
    pub by: By,
}

/// Every table, in the order in which they are shown.
pub const SECTIONS: [Section; 20] = {
    const fn section(name: &'static str, topic: Topic, by: By) -> Section {
        Section { name, topic, by }
    }
    [
        section("messages", Topic::Messages, By::All),
        section("procedures", Topic::Procedures, By::All),
        section("response-times", Topic::ResponseTimes, By::All),
        section("procedure-times", Topic::ProcedureTimes, By::All),
        section("messages-by-km", Topic::Messages, By::Km),
        section("procedures-by-km", Topic::Procedures, By::Km),
        section("response-times-by-km", Topic::ResponseTimes, By::Km),
        section("procedure-times-by-km", Topic::ProcedureTimes, By::Km),
        section("messages-by-pair", Topic::Messages, By::Pair),
        section("procedures-by-pair", Topic::Procedures, By::Pair),
        section("response-times-by-pair", Topic::ResponseTimes, By::Pair),
        section("procedure-times-by-pair", Topic::ProcedureTimes, By::Pair),
        section("messages-by-connection", Topic::Messages, By::Connection),
        section("procedures-by-connection", Topic::Procedures, By::Connection),
        section("response-times-by-connection", Topic::ResponseTimes, By::Connection),
        section("procedure-times-by-connection", Topic::ProcedureTimes, By::Connection),
        section("over-time", Topic::OverTime, By::All),
        section("keys", Topic::Keys, By::Pair),
        section("keys-over-time", Topic::KeysOverTime, By::Pair),
        section("key-mismatches", Topic::KeyMismatches, By::Pair),
    ]
};

/// More intervals than this are no table any more.
pub const MOST_INTERVALS: i64 = 100_000;

/// The capture has too many intervals of this length.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{intervals} intervals, at most {MOST_INTERVALS} are counted; choose a longer one")]
pub struct TooFine {
    /// How many it has.
    pub intervals: i64,
}

/// What is counted.
#[derive(Debug)]
pub struct Statistics<'a> {
    view: View<'a>,
    identities: &'a Identities<'a>,
    /// Of each message, whether it is counted.
    selected: Vec<bool>,
    /// Indexes of the procedures that are counted.
    procedures: Vec<u32>,
    interval: Span,
    keys: OnceCell<keys::Keys>,
}

impl<'a> Statistics<'a> {
    /// Counts the messages and the procedures that are wanted. Without an `interval` the series has at most some 40.
    ///
    /// # Errors
    /// There are too many intervals.
    pub fn new(
        view: View<'a>,
        identities: &'a Identities<'a>,
        interval: Option<Span>,
        message: impl Fn(u32) -> bool,
        procedure: impl Fn(u32) -> bool,
    ) -> Result<Self, TooFine> {
        let journal = view.journal;
        let selected: Vec<bool> = (0..journal.records.len() as u32).map(message).collect();
        let procedures = (0..journal.procedures.len() as u32).filter(|&index| procedure(index)).collect();
        let mut statistics = Self { view, identities, selected, procedures, interval: Span(1), keys: OnceCell::new() };
        statistics.interval = statistics.fitting(interval)?;
        Ok(statistics)
    }

    /// The length of an interval.
    pub fn interval(&self) -> Span {
        self.interval
    }

    /// One table.
    pub fn table(&self, section: Section) -> Table {
        match section.topic {
            Topic::Messages => self.messages(section),
            Topic::Procedures => self.procedures(section),
            Topic::ResponseTimes => self.response_times(section),
            Topic::ProcedureTimes => self.procedure_times(section),
            Topic::OverTime => self.over_time(section),
            Topic::Keys => self.keys(section),
            Topic::KeysOverTime => self.keys_over_time(section),
            Topic::KeyMismatches => self.key_mismatches(section),
        }
    }

    /// The messages that are counted.
    fn chosen(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.selected.len() as u32).filter(|&index| self.selected[index as usize])
    }

    fn groups(&self, by: By) -> Groups<'_> {
        Groups::new(self.view, self.identities, by)
    }

    fn fitting(&self, asked: Option<Span>) -> Result<Span, TooFine> {
        const STEPS: [i64; 11] =
            [1, 10, 100, 1000, 10_000, 60_000, 600_000, 3_600_000, 36_000_000, 86_400_000, 864_000_000];
        const PLEASANT: i64 = 40;
        let times = || self.chosen().map(|index| self.view.record(index).time.0);
        let (first, last) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
        let intervals =
            |span: Span| (last.div_euclid(span.0)).saturating_sub(first.div_euclid(span.0)).saturating_add(1);
        if let Some(span) = asked {
            let count = intervals(span);
            return if count > MOST_INTERVALS { Err(TooFine { intervals: count }) } else { Ok(span) };
        }
        let steps = STEPS.map(Span::from_millis);
        Ok(steps.into_iter().find(|&step| intervals(step) <= PLEASANT).unwrap_or(Span::from_secs(31_557_600)))
    }

    /// Where the interval of `time` begins: at a multiple of its length, so that one second is the clock's.
    fn interval_of(&self, time: Timestamp) -> Timestamp {
        Timestamp(time.0.div_euclid(self.interval.0).saturating_mul(self.interval.0))
    }

    fn over_time(&self, section: Section) -> Table {
        let mut counts: BTreeMap<Timestamp, [u64; 6]> = BTreeMap::new();
        for index in self.chosen() {
            let record = self.view.record(index);
            let count = counts.entry(self.interval_of(record.time)).or_default();
            count[0] += 1;
            count[1 + record.direction as usize] += 1;
        }
        for &procedure in &self.procedures {
            let (first, _) = self.view.journal.first_and_last(procedure);
            let count = counts.entry(self.interval_of(self.view.record(first).time)).or_default();
            count[3] += 1;
            match self.view.journal.procedures[procedure as usize].state {
                State::Failed => count[4] += 1,
                State::Unanswered => count[5] += 1,
                State::Complete | State::Pending => {}
            }
        }
        let (Some((&first, _)), Some((&last, _))) = (counts.first_key_value(), counts.last_key_value()) else {
            return self.empty(section, &OVER_TIME, Some(1));
        };
        // A procedure may have begun long before the messages chosen; then the quiet intervals are left out.
        let steps = (last - first).0 / self.interval.0;
        if steps < MOST_INTERVALS {
            (0..=steps).for_each(|step| _ = counts.entry(first + Span(step * self.interval.0)).or_default());
        }
        let rows = counts
            .into_iter()
            .map(|(start, count)| [Cell::Time(start)].into_iter().chain(count.map(Cell::Count)).collect());
        Table { rows: rows.collect(), ..self.empty(section, &OVER_TIME, Some(1)) }
    }

    fn empty(&self, section: Section, columns: &[&'static str], bar: Option<usize>) -> Table {
        let group = match section.by {
            By::All => None,
            By::Km => Some("km"),
            By::Pair => Some("km_pair"),
            By::Connection => Some("connection"),
        };
        let bar = bar.map(|bar| bar + usize::from(group.is_some()));
        let columns: Vec<&'static str> = group.into_iter().chain(columns.iter().copied()).collect();
        let grouped = group.is_some();
        Table { name: section.name, columns, rows: Vec::new(), bar, grouped, note: None }
    }
}

const OVER_TIME: [&str; 7] =
    ["start", "messages", "km_to_controller", "controller_to_km", "procedures", "failed", "unanswered"];
