//! How many messages and procedures of each kind there are, how they ended, how long answers took, and how busy it was.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::draw::put_all;
use super::state::State;
use crate::journal::{State as Outcome, View};
use crate::output::clock::duration;
use crate::output::escape::escaped;
use crate::time::Span;

/// Bars of messages over time.
const BARS: usize = 120;
/// Bars of response times: each holds ten times longer ones than the one before it, from below 0.1 ms on.
const DECADES: usize = 7;
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One kind of procedure.
#[derive(Clone, Debug, Default)]
struct Kind {
    name: String,
    /// By state: complete, failed, pending, unanswered.
    states: [u32; 4],
    /// From first to last message, ascending.
    times: Vec<i64>,
}

/// What was counted, and of which journal.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Of which lists.
    pub made: Option<u64>,
    kinds: Vec<Kind>,
    /// Messages by name, the most frequent first.
    messages: Vec<(String, u32)>,
    over_time: Vec<u32>,
    span: Span,
}

impl Statistics {
    /// Counts messages 0 to `count`, or those `shown`, and procedures.
    pub fn new(view: View<'_>, count: u32, shown: Option<&[u32]>, procedures: &[u32]) -> Self {
        let mut counted = Self::default();
        match shown {
            Some(shown) => counted.count_messages(view, || shown.iter().copied()),
            None => counted.count_messages(view, || 0..count),
        }
        counted.count_procedures(view, procedures);
        counted
    }

    fn count_messages<I: Iterator<Item = u32>>(&mut self, view: View<'_>, messages: impl Fn() -> I) {
        let times = || messages().map(|index| view.record(index).time);
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return };
        self.span = last - first;
        self.over_time = vec![0; BARS];
        let mut codes: std::collections::HashMap<_, u32> = std::collections::HashMap::new();
        for index in messages() {
            let record = view.record(index);
            let at = i128::from((record.time - first).0) * BARS as i128 / (i128::from(self.span.0) + 1);
            self.over_time[(at as usize).min(BARS - 1)] += 1;
            *codes.entry(record.code).or_default() += 1;
        }
        let name = |code| view.journal.definitions.message(code).map_or("Unknown", |(_, message)| &message.name);
        let told = codes.into_iter().map(|(code, count)| (format!("{code} {}", escaped(name(code))), count));
        self.messages = told.collect();
        self.messages.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    }

    fn count_procedures(&mut self, view: View<'_>, procedures: &[u32]) {
        let definitions = &view.journal.definitions.procedures;
        let mut kinds = vec![Kind::default(); definitions.len()];
        for &index in procedures {
            let procedure = &view.journal.procedures[index as usize];
            let kind = &mut kinds[usize::from(procedure.definition)];
            kind.states[procedure.state as usize] += 1;
            if matches!(procedure.state, Outcome::Complete | Outcome::Failed) {
                let (first, last) = view.journal.first_and_last(index);
                kind.times.push((view.record(last).time - view.record(first).time).0);
            }
        }
        for (kind, definition) in kinds.iter_mut().zip(definitions) {
            kind.name = escaped(&definition.name).into_owned();
            kind.times.sort_unstable();
        }
        self.kinds = kinds.into_iter().filter(|kind| kind.states.iter().any(|&count| count > 0)).collect();
    }

    /// Everything as lines of at most `width` columns.
    pub fn lines(&self, state: &State, width: usize) -> Vec<Vec<(String, Style)>> {
        let theme = &state.setup.theme;
        let heading = |text: &str| vec![(text.to_owned(), theme.strong)];
        let mut lines = vec![heading(&format!("Messages over {}", duration(self.span)))];
        let bars = resampled(&self.over_time, width.saturating_sub(4).min(BARS));
        lines.push(vec![(format!("  {}", sparkline(&bars)), theme.accent)]);
        lines.push(vec![(format!("  at most {} per bar", bars.iter().max().copied().unwrap_or(0)), theme.dim)]);
        lines.push(Vec::new());
        lines.push(heading(&format!(
            "{:<31} {:>8} {:>7} {:>7} {:>10}",
            "Procedures", "complete", "failed", "pending", "unanswered"
        )));
        for kind in &self.kinds {
            let [complete, failed, pending, unanswered] = kind.states;
            let look = |count: u32, style| if count > 0 { style } else { theme.dim };
            lines.push(vec![
                (format!("  {:<29} {complete:>8}", kind.name), Style::new()),
                (format!(" {failed:>7}"), look(failed, theme.error)),
                (format!(" {pending:>7}"), look(pending, Style::new())),
                (format!(" {unanswered:>10}"), look(unanswered, theme.warning)),
            ]);
        }
        lines.push(Vec::new());
        lines.push(heading(&format!(
            "{:<31} {:>9} {:>9} {:>9} {:>9}  {}",
            "From first to last message", "median", "90 %", "99 %", "longest", "0.1ms…10s"
        )));
        for kind in self.kinds.iter().filter(|kind| !kind.times.is_empty()) {
            let at = |per_cent: usize| duration(Span(kind.times[percentile(kind.times.len(), per_cent)]));
            let (a, b, c, d) = (at(50), at(90), at(99), at(100));
            lines.push(vec![
                (format!("  {:<29} {a:>9} {b:>9} {c:>9} {d:>9}  ", kind.name), Style::new()),
                (sparkline(&histogram(&kind.times)), theme.accent),
            ]);
        }
        lines.push(Vec::new());
        lines.push(heading("Messages"));
        lines.extend(self.messages.iter().map(|(name, count)| vec![(format!("{count:>9}  {name}"), Style::new())]));
        lines
    }
}

/// Nearest rank: the smallest value that so many per cent do not exceed.
fn percentile(count: usize, per_cent: usize) -> usize {
    (count * per_cent).div_ceil(100).saturating_sub(1)
}

fn histogram(times: &[i64]) -> Vec<u32> {
    let mut bars = vec![0; DECADES];
    for &time in times {
        let mut limit = 100_000;
        let mut at = 0;
        while time >= limit && at + 1 < DECADES {
            limit *= 10;
            at += 1;
        }
        bars[at] += 1;
    }
    bars
}

/// Sums of neighbours, so that there are `count` of them at most.
fn resampled(values: &[u32], count: usize) -> Vec<u32> {
    let each = values.len().div_ceil(count.max(1)).max(1);
    values.chunks(each).map(|chunk| chunk.iter().sum()).collect()
}

fn sparkline(values: &[u32]) -> String {
    let most = u64::from(values.iter().max().copied().unwrap_or(0).max(1));
    // What is there is seen, however little it is.
    values.iter().map(|&value| EIGHTHS[(u64::from(value) * 8).div_ceil(most) as usize]).collect()
}

/// Draws the view.
pub fn draw(state: &State, buffer: &mut Buffer, area: Rect) {
    let lines = state.statistics.lines(state, usize::from(area.width));
    let top = state.statistics_top.min(lines.len().saturating_sub(1));
    for (line, pieces) in lines.iter().skip(top).take(usize::from(area.height)).enumerate() {
        put_all(buffer, Rect { y: area.y + line as u16, height: 1, ..area }, pieces);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        assert_eq!([50, 90, 99, 100].map(|per_cent| percentile(10, per_cent)), [4, 8, 9, 9]);
        assert_eq!(percentile(1, 50), 0);
    }

    #[test]
    fn bars_show_the_least_and_the_most() {
        assert_eq!(sparkline(&[0, 1, 50, 100]), " ▁▄█");
        assert_eq!(histogram(&[0, 99_999, 100_000, 5_000_000_000, i64::MAX]), [2, 1, 0, 0, 0, 1, 1]);
        assert_eq!(resampled(&[1, 2, 3, 4, 5], 3), [3, 7, 5]);
    }
}
