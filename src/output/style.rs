//! Colours, which never say anything that the text does not.

use anstyle::{AnsiColor, Style};

use crate::diagnostic::Severity;
use crate::journal::State;

/// How the parts of text output look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Styles {
    /// Failures and errors: the only red.
    pub bad: Style,
    /// Warnings, and what stays unanswered.
    pub doubtful: Style,
    /// Labels and what is seldom read.
    pub dim: Style,
    /// Headings.
    pub strong: Style,
}

impl Styles {
    /// Without colours: text only.
    pub const fn plain() -> Self {
        Self { bad: Style::new(), doubtful: Style::new(), dim: Style::new(), strong: Style::new() }
    }

    /// For a terminal.
    pub const fn coloured() -> Self {
        Self {
            bad: AnsiColor::Red.on_default().bold(),
            doubtful: AnsiColor::Yellow.on_default(),
            dim: Style::new().dimmed(),
            strong: Style::new().bold(),
        }
    }

    /// For a diagnostic of this severity, or none.
    pub const fn severity(&self, severity: Option<Severity>) -> Style {
        match severity {
            Some(Severity::Error) => self.bad,
            Some(Severity::Warning) => self.doubtful,
            Some(Severity::Note) | None => Style::new(),
        }
    }

    /// For a procedure's state.
    pub const fn state(&self, state: State) -> Style {
        match state {
            State::Failed => self.bad,
            State::Unanswered => self.doubtful,
            State::Complete | State::Pending => Style::new(),
        }
    }
}

/// A letter for the worst diagnostic: `E`rror, `W`arning, `N`ote, or `·` for none.
pub const fn mark(severity: Option<Severity>) -> &'static str {
    match severity {
        Some(Severity::Error) => "E",
        Some(Severity::Warning) => "W",
        Some(Severity::Note) => "N",
        None => "·",
    }
}
