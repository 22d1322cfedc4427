//! How times read in text output.

use jiff::tz::TimeZone;

use super::lines::push_number;
use crate::time::{Span, Timestamp};

/// What a time is told against.
#[derive(Clone, Debug)]
pub enum TimeStyle {
    /// The clock of a zone.
    Absolute(TimeZone),
    /// Seconds since the first packet.
    Relative,
    /// Seconds since the line before.
    Delta,
}

/// Writes the times of successive lines, all of one width.
#[derive(Clone, Debug)]
pub struct Clock {
    style: TimeStyle,
    origin: Timestamp,
    previous: Option<Timestamp>,
    width: usize,
    dated: bool,
}

/// Decimals of text output: what a packet's time is good for. jsonl has all nine.
const DECIMALS: usize = 6;

impl Clock {
    /// A clock for times from `origin`, the first packet's, to `end`; `dated`: with the date even if all are of one day.
    pub fn new(style: TimeStyle, origin: Timestamp, end: Timestamp, dated: bool) -> Self {
        let mut clock = Self { style, origin, previous: None, width: 0, dated };
        if let TimeStyle::Absolute(_) = clock.style {
            let (first, last) = (clock.civil(origin), clock.civil(end));
            clock.dated |= (first.year, first.month, first.day) != (last.year, last.month, last.day);
            clock.width = if clock.dated { 26 } else { 15 };
        } else {
            clock.width = seconds(end - origin).len();
        }
        clock
    }

    /// Columns that [`Clock::next`] takes.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Whether times are told against the line before.
    pub fn is_delta(&self) -> bool {
        matches!(self.style, TimeStyle::Delta)
    }

    /// The line before was at `time`.
    pub fn follow(&mut self, time: Timestamp) {
        self.previous = Some(time);
    }

    /// The time of the next line.
    pub fn next(&mut self, time: Timestamp) -> String {
        let previous = self.previous.replace(time).unwrap_or(time);
        match &self.style {
            TimeStyle::Absolute(_) => self.absolute(time),
            TimeStyle::Relative => self.aligned(time - self.origin),
            TimeStyle::Delta => self.aligned(time - previous),
        }
    }

    fn aligned(&self, span: Span) -> String {
        format!("{:>1$}", seconds(span), self.width)
    }

    fn absolute(&self, time: Timestamp) -> String {
        let digits = self.civil(time).digits();
        let digits = str::from_utf8(&digits).expect("digits are ASCII");
        let mut text = String::with_capacity(32);
        if self.dated {
            text.push_str(&digits[..10]);
            text.push(' ');
        }
        text.push_str(&digits[11..20 + DECIMALS]);
        text
    }

    fn civil(&self, time: Timestamp) -> crate::time::Civil {
        let TimeStyle::Absolute(zone) = &self.style else { return time.civil(0) };
        let instant = jiff::Timestamp::from_nanosecond(i128::from(time.0)).expect("an i64 is inside jiff's range");
        time.civil(zone.to_offset(instant).seconds())
    }
}

/// `12.345678`
pub fn seconds(span: Span) -> String {
    decimal(span.0 < 0, span.0.unsigned_abs() / 1000, DECIMALS, "")
}

/// A duration for people: `0.744 ms`, `21.9 ms`, `1.20 s`.
pub fn duration(span: Span) -> String {
    let (is_negative, nanos) = (span.0 < 0, span.0.unsigned_abs());
    let rounded = |unit: u64| (nanos + unit / 2) / unit;
    match nanos {
        0 => "0".to_owned(),
        1..10_000_000 => decimal(is_negative, rounded(1_000), 3, " ms"),
        10_000_000..1_000_000_000 => decimal(is_negative, rounded(100_000), 1, " ms"),
        _ => decimal(is_negative, rounded(10_000_000), 2, " s"),
    }
}

/// `value` with its last `decimals` digits, at most [`DECIMALS`], behind a point, and its unit. Counted in integers
/// because lists have a million of them: the formatting of floats takes ten times as long.
fn decimal(is_negative: bool, value: u64, decimals: usize, unit: &str) -> String {
    let mut text = String::with_capacity(32);
    if is_negative {
        text.push('-');
    }
    let one = 10_u64.pow(decimals as u32);
    push_number(&mut text, value / one);
    // A one in front keeps the zeros.
    let mut fraction = itoa::Buffer::new();
    text.push('.');
    text.push_str(&fraction.format(one + value % one)[1..]);
    text.push_str(unit);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_one_listing_have_one_width() {
        let (start, end) = (Timestamp(1_795_346_456_450_513_048), Timestamp(1_795_346_556_450_513_048));
        let mut relative = Clock::new(TimeStyle::Relative, start, end, false);
        assert_eq!(relative.next(start), "  0.000000");
        assert_eq!(relative.next(end), "100.000000");
        let mut absolute = Clock::new(TimeStyle::Absolute(TimeZone::UTC), start, end, false);
        assert_eq!(absolute.next(start), "11:20:56.450513");
        let mut days = Clock::new(TimeStyle::Absolute(TimeZone::UTC), Timestamp(0), end, false);
        assert_eq!(days.next(start), "2026-11-22 11:20:56.450513");
        let mut delta = Clock::new(TimeStyle::Delta, start, end, false);
        assert_eq!(delta.next(start), "  0.000000");
        assert_eq!(delta.next(Timestamp(start.0 - 1_500_000)), " -0.001500");
    }

    #[test]
    fn durations_keep_three_figures() {
        let shown = [0, 744_147, 21_852_165, 1_201_000_000, -1_000].map(|nanos| duration(Span(nanos)));
        assert_eq!(shown, ["0", "0.744 ms", "21.9 ms", "1.20 s", "-0.001 ms"]);
        let rounded = [9_999_600, 999_960_000, i64::MIN, i64::MAX].map(|nanos| duration(Span(nanos)));
        assert_eq!(rounded, ["10.000 ms", "1000.0 ms", "-9223372036.85 s", "9223372036.85 s"]);
    }
}
