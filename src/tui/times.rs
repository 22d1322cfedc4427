//! Times in the interface: of day, since the first packet, or since the line before.

use jiff::tz::TimeZone;

use crate::journal::View;
use crate::output::clock::{Clock, TimeStyle};
use crate::time::Timestamp;

/// What times are told against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeMode {
    /// The clock.
    #[default]
    Absolute,
    /// Seconds since the first packet.
    Relative,
    /// Seconds since the line before.
    Delta,
}

impl TimeMode {
    /// All, with their names in the configuration.
    pub const NAMED: [(&'static str, TimeMode); 3] =
        [("absolute", Self::Absolute), ("relative", Self::Relative), ("delta", Self::Delta)];

    /// The one after it.
    pub const fn next(self) -> Self {
        match self {
            Self::Absolute => Self::Relative,
            Self::Relative => Self::Delta,
            Self::Delta => Self::Absolute,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absolute => "absolute",
            Self::Relative => "relative",
            Self::Delta => "delta",
        }
    }

    /// A clock for the times of `view`.
    pub fn clock(self, view: View<'_>, zone: &TimeZone) -> Clock {
        let style = match self {
            Self::Absolute => TimeStyle::Absolute(zone.clone()),
            Self::Relative => TimeStyle::Relative,
            Self::Delta => TimeStyle::Delta,
        };
        let (first, last) = ends(view);
        Clock::new(style, first, last, false)
    }
}

/// Times of the first packet and of the last message.
pub fn ends(view: View<'_>) -> (Timestamp, Timestamp) {
    let journal = view.journal;
    let first = journal.connections.get(0).map(|connection| connection.start);
    let first_message = journal.records.get(0).map(|record| record.time);
    let first = first.into_iter().chain(first_message).min().unwrap_or_default();
    let count = journal.records.len();
    let last = count.checked_sub(1).map_or(first, |last| journal.records[last].time);
    (first, last.max(journal.end).max(first))
}

/// `text`, a time of [`Clock`], in at most `room` columns: without the date, then without the last decimals.
pub fn fitted(text: &str, room: usize) -> &str {
    let day = if text.len() > room && text.len() == 26 { &text[11..] } else { text };
    day.get(..room).unwrap_or(day).trim_end_matches('.')
}
