//! How text output looks: what the options and the terminal say about width, colours and times.

use std::io::{IsTerminal, stdout};

use anstream::{AutoStream, ColorChoice};
use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;

use super::input::Analysis;
use crate::output::clock::{Clock, TimeStyle};
use crate::output::style::Styles;
use crate::time::Timestamp;

/// When to colour.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Into files and pipes, too
    Always,
    /// Not at all
    Never,
}

impl Color {
    /// What is typed for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }

    /// Makes it so for the whole process.
    pub fn apply(self) {
        let choice = match self {
            Self::Auto => ColorChoice::Auto,
            Self::Always => ColorChoice::Always,
            Self::Never => ColorChoice::Never,
        };
        choice.write_global();
    }
}

/// How wide text may be.
#[derive(Args, Debug, Clone, Copy)]
pub struct LookArgs {
    /// Wrap text after this many columns [default: the terminal's; never into files and pipes]
    #[arg(long, value_name = "COLUMNS", help_heading = "Output")]
    width: Option<u16>,
}

impl LookArgs {
    /// Columns of a line: as asked for, or the terminal's; without one, as many as it takes.
    pub fn width(self) -> usize {
        let terminal = || {
            let (width, _) = terminal_size::terminal_size_of(stdout())?;
            Some(width.0)
        };
        let asked = self.width.or_else(|| if stdout().is_terminal() { terminal() } else { None });
        asked.filter(|&width| width > 0).map_or(usize::MAX, usize::from)
    }

    /// Columns of a drawing, which has to end somewhere.
    pub fn drawing_width(self) -> usize {
        self.width().min(160)
    }
}

/// The colours that stdout can show.
pub fn styles() -> Styles {
    match AutoStream::choice(&stdout()) {
        ColorChoice::Never => Styles::plain(),
        _ => Styles::coloured(),
    }
}

/// What times are told against.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Time {
    /// The clock of the local time zone (TZ), as Wireshark shows it
    Absolute,
    /// The clock of UTC, as in jsonl
    Utc,
    /// Seconds since the first packet
    Relative,
    /// Seconds since the line before
    Delta,
}

/// Lines at least this wide show dates.
const DATED: usize = 240;

impl Time {
    /// The zone of times that name none.
    pub fn zone(self) -> TimeZone {
        match self {
            Self::Utc => TimeZone::UTC,
            Self::Absolute | Self::Relative | Self::Delta => TimeZone::system(),
        }
    }

    /// A clock for packets that are still to come, the first at `origin`.
    pub fn clock_from(self, origin: Timestamp) -> Clock {
        Clock::new(self.style(), origin, origin, false)
    }

    fn style(self) -> TimeStyle {
        match self {
            Self::Absolute | Self::Utc => TimeStyle::Absolute(self.zone()),
            Self::Relative => TimeStyle::Relative,
            Self::Delta => TimeStyle::Delta,
        }
    }

    /// A clock for the packets of `analysis`, shown in lines of `columns`.
    pub fn clock(self, analysis: &Analysis, columns: usize) -> Clock {
        let files = analysis.files();
        let first = files.iter().filter_map(|file| file.first).min();
        let last = files.iter().filter_map(|file| file.last).max();
        let (first, last) = (first.unwrap_or(Timestamp(0)), last.unwrap_or(Timestamp(0)));
        Clock::new(self.style(), first, last, columns >= DATED)
    }
}
