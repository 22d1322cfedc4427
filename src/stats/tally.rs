//! Counting by group and kind.

use std::collections::HashMap;
use std::hash::Hash;

use super::{Cell, Section, Statistics, Table};
use crate::diagnostic::Severity;
use crate::dissect::{CommandCode, Direction};
use crate::journal::{NONE, State};
use crate::time::Span;

/// The `percent`-th percentile of ascending `sorted` values, by nearest rank; `None` of none.
pub fn percentile(sorted: &[Span], percent: usize) -> Option<Span> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// Decades of a histogram: below 0.1 ms, below 1 ms, and so on; all that is longer than 10 s is in the last.
pub const DECADES: usize = 7;

/// The decade of a span.
fn decade(took: Span) -> usize {
    let limits = (0..DECADES as u32 - 1).map(|at| 100_000 * 10_i64.pow(at));
    limits.take_while(|&limit| took.0 >= limit).count()
}

/// Groups with the most first, then in the order in which they were met; kinds in their own order.
fn ordered<K: Copy + Ord + Hash, V>(counted: HashMap<(u32, K), V>, size: impl Fn(&V) -> usize) -> Vec<((u32, K), V)> {
    let mut sizes: HashMap<u32, usize> = HashMap::new();
    for ((group, _), value) in &counted {
        *sizes.entry(*group).or_default() += size(value);
    }
    let mut all: Vec<_> = counted.into_iter().collect();
    all.sort_by_key(|((group, kind), _)| (std::cmp::Reverse(sizes[group]), *group, *kind));
    all
}

impl Statistics<'_> {
    /// Whether there is a warning about a message. A record keeps the worst severity alone, so beside an error it has
    /// to be looked for.
    fn has_warning(&self, index: u32) -> bool {
        let record = self.view.record(index);
        match record.worst {
            Some(Severity::Warning) => true,
            Some(Severity::Error) if record.codes.iter().nth(1).is_some() => {
                let all = self.view.diagnostics(index, &self.view.decoded(record));
                all.iter().any(|found| found.severity == Severity::Warning)
            }
            _ => false,
        }
    }

    /// Messages by kind and direction.
    pub(super) fn messages(&self, section: Section) -> Table {
        let mut groups = self.groups(section.by);
        let mut counts: HashMap<(u32, (CommandCode, bool)), [u64; 4]> = HashMap::new();
        for index in self.chosen() {
            let record = self.view.record(index);
            let kind = (record.code, record.direction == Direction::ControllerToKm);
            let count = counts.entry((groups.of_message(index), kind)).or_default();
            count[0] += 1;
            count[1] += u64::from(record.length);
            count[2] += u64::from(record.worst == Some(Severity::Error));
            count[3] += u64::from(self.has_warning(index));
        }
        let row = |((group, (code, down)), count): ((u32, (CommandCode, bool)), [u64; 4])| {
            let direction = if down { Direction::ControllerToKm } else { Direction::KmToController };
            let kind = [Cell::Text(code.to_string()), Cell::Text(self.kind(code)), Cell::Text(direction.name().into())];
            groups.cell(group).into_iter().chain(kind).chain(count.map(Cell::Count)).collect()
        };
        let rows = ordered(counts, |count| count[0] as usize).into_iter().map(row).collect();
        let columns = ["command_code", "message", "direction", "count", "bytes", "with_errors", "with_warnings"];
        Table { rows, ..self.empty(section, &columns, Some(3)) }
    }

    /// Procedures by kind and state.
    pub(super) fn procedures(&self, section: Section) -> Table {
        let mut groups = self.groups(section.by);
        let mut counts: HashMap<(u32, u16), [u64; 5]> = HashMap::new();
        for &index in &self.procedures {
            let procedure = &self.view.journal.procedures[index as usize];
            let count = counts.entry((groups.of_procedure(index), procedure.definition)).or_default();
            count[0] += 1;
            count[1 + procedure.state as usize] += 1;
        }
        let row = |((group, definition), count): ((u32, u16), [u64; 5])| {
            groups
                .cell(group)
                .into_iter()
                .chain(self.procedure_kind(definition))
                .chain(count.map(Cell::Count))
                .collect()
        };
        let rows = ordered(counts, |count| count[0] as usize).into_iter().map(row).collect();
        let columns = ["procedure", "clause", "count", "complete", "failed", "pending", "unanswered"];
        Table { rows, ..self.empty(section, &columns, Some(2)) }
    }

    /// From request to response, by kind of request: counted where the response is chosen.
    pub(super) fn response_times(&self, section: Section) -> Table {
        let mut groups = self.groups(section.by);
        let mut spans: HashMap<(u32, CommandCode), Vec<Span>> = HashMap::new();
        for index in self.chosen() {
            let record = self.view.record(index);
            if record.answers != NONE {
                let request = self.view.record(record.answers);
                let group = groups.of_message(record.answers);
                spans.entry((group, request.code)).or_default().push(record.time - request.time);
            }
        }
        let row = |((group, code), spans): ((u32, CommandCode), Vec<Span>)| {
            let kind = [Cell::Text(code.to_string()), Cell::Text(self.kind(code))];
            groups.cell(group).into_iter().chain(kind).chain(times(spans)).collect()
        };
        let rows = ordered(spans, Vec::len).into_iter().map(row).collect();
        let columns = ["command_code", "request", "count", "min_ms", "median_ms", "p90_ms", "p99_ms", "max_ms"];
        Table { rows, ..self.empty(section, &columns, None) }
    }

    /// From first to last message of procedures that ended with a response, by kind.
    pub(super) fn procedure_times(&self, section: Section) -> Table {
        let mut groups = self.groups(section.by);
        let mut spans: HashMap<(u32, u16), Vec<Span>> = HashMap::new();
        for &index in &self.procedures {
            if let Some((definition, took)) = self.took(index) {
                spans.entry((groups.of_procedure(index), definition)).or_default().push(took);
            }
        }
        let row = |((group, definition), spans): ((u32, u16), Vec<Span>)| {
            groups.cell(group).into_iter().chain(self.procedure_kind(definition)).chain(times(spans)).collect()
        };
        let rows = ordered(spans, Vec::len).into_iter().map(row).collect();
        let columns = ["procedure", "clause", "count", "min_ms", "median_ms", "p90_ms", "p99_ms", "max_ms"];
        Table { rows, ..self.empty(section, &columns, None) }
    }

    /// How long procedures took, by kind: how many in each decade, see [`DECADES`].
    pub fn histograms(&self) -> Vec<(String, [u64; DECADES])> {
        let definitions = &self.view.journal.definitions.procedures;
        let mut counts = vec![[0; DECADES]; definitions.len()];
        for (definition, took) in self.procedures.iter().filter_map(|&index| self.took(index)) {
            counts[usize::from(definition)][decade(took)] += 1;
        }
        let names = definitions.iter().map(|definition| definition.name.clone());
        names.zip(counts).filter(|(_, counts)| counts.iter().any(|&count| count > 0)).collect()
    }

    /// The kind of a procedure that ended with a response, and the time from its first to its last message.
    fn took(&self, index: u32) -> Option<(u16, Span)> {
        let journal = self.view.journal;
        let procedure = &journal.procedures[index as usize];
        let (first, last) = journal.first_and_last(index);
        let ended = matches!(procedure.state, State::Complete | State::Failed) && first != last;
        ended.then(|| (procedure.definition, self.view.record(last).time - self.view.record(first).time))
    }

    fn kind(&self, code: CommandCode) -> String {
        let message = self.view.journal.definitions.message(code);
        message.map_or_else(|| "Unknown".to_owned(), |(_, message)| message.name.clone())
    }

    fn procedure_kind(&self, definition: u16) -> [Cell; 2] {
        let definition = &self.view.journal.definitions.procedures[definition as usize];
        [Cell::Text(definition.name.clone()), Cell::Text(definition.clause.clone())]
    }
}

/// Count, minimum, median, p90, p99 and maximum.
fn times(mut spans: Vec<Span>) -> Vec<Cell> {
    spans.sort_unstable();
    let ranks = [spans.first().copied(), percentile(&spans, 50), percentile(&spans, 90), percentile(&spans, 99)];
    let spread = ranks.into_iter().chain([spans.last().copied()]).map(|span| span.map_or(Cell::None, Cell::Span));
    [Cell::Count(spans.len() as u64)].into_iter().chain(spread).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_hold_the_shortest_and_the_longest() {
        let times = [0, 99_999, 100_000, 5_000_000_000, i64::MAX];
        assert_eq!(times.map(|time| decade(Span(time))), [0, 0, 1, 5, 6]);
    }
}
