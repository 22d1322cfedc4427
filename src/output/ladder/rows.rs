//! The rows of a ladder: messages in time order, and the responses that never came.

use std::collections::BTreeMap;

use crate::diagnostic::{Code, Severity};
use crate::identities::{Identities, Lane};
use crate::journal::{Finding, Side, State, View};
use crate::output::clock::duration;
use crate::output::summary::{Fact, facts};
use crate::time::Timestamp;

/// What happens in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message.
    Message {
        /// Index of the message.
        index: u32,
        /// Its name.
        name: String,
        /// Command code and reference: `0x1401 #7`.
        ids: String,
        /// What matters of it.
        facts: Vec<Fact>,
        /// Codes of its diagnostics, but for what the rows show themselves.
        codes: Vec<&'static str>,
        /// The worst of them.
        worst: Option<Severity>,
        /// It says that the request failed.
        failed: bool,
    },
    /// A response that did not come.
    Missing {
        /// Index of the request.
        index: u32,
        /// Why.
        why: String,
    },
}

/// One arrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// When; `None` for what did not happen.
    pub time: Option<Timestamp>,
    /// Index of the lane where it begins.
    pub from: usize,
    /// Index of the lane where it ends.
    pub to: usize,
    /// What it is.
    pub event: Event,
}

/// Lanes and rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ladder {
    /// Indexes of the procedures that are drawn, ascending.
    pub procedures: Vec<u32>,
    /// From left to right.
    pub lanes: Vec<Lane>,
    /// From top to bottom.
    pub rows: Vec<Row>,
}

impl Ladder {
    /// The ladder of `procedures`.
    pub fn new(view: View<'_>, identities: &Identities<'_>, mut procedures: Vec<u32>) -> Self {
        procedures.sort_unstable();
        let mut messages: Vec<u32> =
            procedures.iter().flat_map(|&procedure| view.journal.messages(procedure)).copied().collect();
        messages.sort_unstable();
        let mut ladder = Self { procedures, lanes: Vec::new(), rows: Vec::new() };
        // Missing answers by when they were given up, so that they stand where the waiting ended.
        let mut missing: BTreeMap<(Timestamp, u32), Row> = BTreeMap::new();
        for message in messages {
            let row = ladder.message(view, identities, message);
            let now = row.time.expect("a message has a time");
            let later = missing.split_off(&(now, 0));
            ladder.rows.extend(std::mem::replace(&mut missing, later).into_values());
            if let Some((when, row)) = missing_answer(view, message, &row) {
                missing.insert((when, message), row);
            }
            ladder.rows.push(row);
        }
        ladder.rows.extend(missing.into_values());
        ladder.order_lanes();
        ladder
    }

    fn message(&mut self, view: View<'_>, identities: &Identities<'_>, index: u32) -> Row {
        let record = view.record(index);
        let mut end = |side: Side| self.lane(identities.lane(record.connection, side));
        let (from, to) = (end(record.side), end(record.side.other()));
        let facts = facts(view, &view.decoded(record));
        let shown = [Code::Unanswered, Code::FailureResponse];
        let codes = record.codes.iter().filter(|code| !shown.contains(code)).map(Code::name).collect();
        let failed = facts.iter().any(|fact| fact.failed);
        let (name, ids) = (view.name(record).to_owned(), format!("{} {}", record.code, record.reference()));
        let event = Event::Message { index, name, ids, facts, codes, worst: record.worst, failed };
        Row { time: Some(record.time), from, to, event }
    }

    fn lane(&mut self, lane: Lane) -> usize {
        self.lanes.iter().position(|known| *known == lane).unwrap_or_else(|| {
            self.lanes.push(lane);
            self.lanes.len() - 1
        })
    }

    /// The controllers between the KMs, as in the figures of Q.4164 clause 7: every arrow then crosses few lanes.
    fn order_lanes(&mut self) {
        let (controllers, kms): (Vec<usize>, Vec<usize>) =
            (0..self.lanes.len()).partition(|&lane| self.lanes[lane].is_controller);
        let (left, right) = kms.split_at(kms.len().div_ceil(2));
        let order: Vec<usize> = [left, &controllers, right].concat();
        let mut new = vec![0; order.len()];
        order.iter().enumerate().for_each(|(position, &lane)| new[lane] = position);
        self.lanes = order.iter().map(|&lane| self.lanes[lane].clone()).collect();
        for row in &mut self.rows {
            (row.from, row.to) = (new[row.from], new[row.to]);
        }
    }
}

/// The row that tells of an answer to message `index` that never came, and when waiting for it ended.
fn missing_answer(view: View<'_>, index: u32, row: &Row) -> Option<(Timestamp, Row)> {
    let journal = view.journal;
    let record = view.record(index);
    let end = journal.connections[record.connection as usize].end;
    let given_up = journal.findings(index).find_map(|finding| match finding {
        Finding::TimedOut { limit } => Some((record.time + limit, format!("no response ({} s)", limit.0 as f64 / 1e9))),
        Finding::ClosedUnanswered => Some((end, format!("connection closed, after {}", duration(end - record.time)))),
        Finding::CallEnded { after } => Some((record.time + after, "call failed".to_owned())),
        Finding::Abandoned => Some((record.time, "no longer waited for".to_owned())),
        _ => None,
    });
    let (when, why) = given_up.or_else(|| {
        let procedure = journal.procedures.get(record.procedure as usize)?;
        let (_, last) = journal.first_and_last(record.procedure);
        let open = procedure.state == State::Pending && last == index;
        // Of a journal that grows, the end is not known yet; what came last says how late it is.
        let last = journal.records.len().checked_sub(1).map_or(record.time, |last| journal.records[last].time);
        let age = duration(journal.end.max(last).max(record.time) - record.time);
        let why = if journal.end > last { "the capture ends here" } else { "no response yet" };
        open.then(|| (Timestamp(i64::MAX), format!("{why}, after {age}")))
    })?;
    Some((when, Row { time: None, from: row.to, to: row.from, event: Event::Missing { index, why } }))
}

/// The procedures of `view` in groups that belong together, each group at its first procedure.
pub fn exchanges(view: View<'_>) -> impl Iterator<Item = Vec<u32>> + '_ {
    (0..view.journal.procedures.len() as u32).filter_map(move |procedure| {
        let mut group = view.journal.related(procedure).into_vec();
        let is_first = group.first().is_none_or(|&first| procedure < first);
        is_first.then(|| {
            group.insert(0, procedure);
            group
        })
    })
}
