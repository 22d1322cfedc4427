//! The views.

/// A view, shown alone under the tab bar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tab {
    /// Procedures as a table: home.
    #[default]
    Procedures,
    /// The ladder.
    Flow,
    /// Messages, fields, bytes.
    Messages,
    /// TCP connections.
    Connections,
    /// Diagnostics.
    Findings,
    /// Counts and times.
    Statistics,
    /// How a live source stands; files have none.
    Source,
}

impl Tab {
    /// All, in the order of the tab bar.
    pub const ALL: [Tab; 7] = [
        Self::Procedures,
        Self::Flow,
        Self::Messages,
        Self::Connections,
        Self::Findings,
        Self::Statistics,
        Self::Source,
    ];

    /// Its title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Procedures => "Procedures",
            Self::Flow => "Flow",
            Self::Messages => "Messages",
            Self::Connections => "Connections",
            Self::Findings => "Findings",
            Self::Statistics => "Statistics",
            Self::Source => "Source",
        }
    }

    /// A shorter title, for narrow terminals.
    pub const fn short(self) -> &'static str {
        match self {
            Self::Procedures => "Proc",
            Self::Flow => "Flow",
            Self::Messages => "Msgs",
            Self::Connections => "Conn",
            Self::Findings => "Find",
            Self::Statistics => "Stat",
            Self::Source => "Src",
        }
    }
}
