//! How times read in text output.

use std::fmt::Write;

use jiff::tz::TimeZone;

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
        let civil = self.civil(time);
        let mut text = String::with_capacity(32);
        if self.dated {
            let _ = write!(text, "{:04}-{:02}-{:02} ", civil.year, civil.month, civil.day);
        }
        let micros = civil.nanosecond / 1000;
        let _ = write!(text, "{:02}:{:02}:{:02}.{micros:06}", civil.hour, civil.minute, civil.second);
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
    let (sign, nanos) = (if span.0 < 0 { "-" } else { "" }, span.0.unsigned_abs());
    format!("{sign}{}.{:0DECIMALS$}", nanos / 1_000_000_000, nanos % 1_000_000_000 / 1000)
}

/// A duration for people: `0.744 ms`, `21.9 ms`, `1.20 s`.
pub fn duration(span: Span) -> String {
    let nanos = span.0 as f64;
    match span.0.unsigned_abs() {
        0 => "0".to_owned(),
        1..10_000_000 => format!("{:.3} ms", nanos / 1e6),
        10_000_000..1_000_000_000 => format!("{:.1} ms", nanos / 1e6),
        _ => format!("{:.2} s", nanos / 1e9),
    }
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
    }
}
