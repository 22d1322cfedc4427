//! How the parts of the screen look. Colour never says anything that the text does not, and red means failure.

use ratatui::style::{Color, Modifier, Style};

use crate::diagnostic::Severity;
use crate::journal::State;

/// How many colours a terminal has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// None: NO_COLOR, or a dumb terminal.
    None,
    /// The eight of ANSI.
    #[default]
    Eight,
    /// Those and their bright versions.
    Sixteen,
    /// xterm's palette.
    Palette,
    /// 24 bits.
    True,
}

impl Depth {
    /// What the environment says: <https://no-color.org>, `COLORTERM`, `TERM`.
    pub fn of(no_color: Option<&str>, color_term: Option<&str>, term: Option<&str>) -> Self {
        let term = term.unwrap_or("");
        match (no_color, color_term) {
            (Some(no), _) if !no.is_empty() => Self::None,
            (_, Some("truecolor" | "24bit")) => Self::True,
            _ if term.contains("256color") => Self::Palette,
            _ if term.is_empty() || term == "dumb" || term.starts_with("vt") => Self::None,
            _ if term.contains("16color") => Self::Sixteen,
            _ => Self::Eight,
        }
    }
}

/// How the parts look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Failures and errors: the only red.
    pub error: Style,
    /// Warnings, and what stays unanswered.
    pub warning: Style,
    /// What is seldom read.
    pub dim: Style,
    /// Headings and names.
    pub strong: Style,
    /// The selected line in the pane with the cursor.
    pub selected: Style,
    /// The selected line elsewhere.
    pub passive: Style,
    /// The tab in front, and the frame of the pane with the cursor.
    pub accent: Style,
    /// Bytes or text that belong to what is selected, and what a search found.
    pub field: Style,
    /// Marks and comments.
    pub mark: Style,
    /// A filter that can be applied.
    pub valid: Style,
}

impl Default for Theme {
    fn default() -> Self {
        let style = Style::new();
        Self {
            error: style.fg(Color::Red).add_modifier(Modifier::BOLD),
            warning: style.fg(Color::Yellow),
            dim: style.add_modifier(Modifier::DIM),
            strong: style.add_modifier(Modifier::BOLD),
            selected: style.add_modifier(Modifier::REVERSED),
            passive: style.add_modifier(Modifier::UNDERLINED),
            accent: style.fg(Color::Cyan).add_modifier(Modifier::BOLD),
            field: style.fg(Color::Black).bg(Color::Cyan),
            mark: style.fg(Color::Magenta).add_modifier(Modifier::BOLD),
            valid: style.fg(Color::Green),
        }
    }
}

impl Theme {
    /// The names of the parts in the configuration.
    pub const NAMES: [&'static str; 10] =
        ["error", "warning", "dim", "strong", "selected", "passive", "accent", "field", "mark", "valid"];

    /// The part called `name`.
    pub fn part(&mut self, name: &str) -> Option<&mut Style> {
        Some(match name {
            "error" => &mut self.error,
            "warning" => &mut self.warning,
            "dim" => &mut self.dim,
            "strong" => &mut self.strong,
            "selected" => &mut self.selected,
            "passive" => &mut self.passive,
            "accent" => &mut self.accent,
            "field" => &mut self.field,
            "mark" => &mut self.mark,
            "valid" => &mut self.valid,
            _ => return None,
        })
    }

    /// The same with the colours that a terminal has.
    pub fn for_depth(mut self, depth: Depth) -> Self {
        for name in Self::NAMES {
            let part = self.part(name).expect("its own names are names");
            let had_background = part.bg.is_some();
            part.fg = part.fg.and_then(|color| nearest(color, depth));
            part.bg = part.bg.and_then(|color| nearest(color, depth));
            if had_background && part.bg.is_none() {
                *part = part.add_modifier(Modifier::REVERSED);
            }
        }
        self
    }

    /// For a diagnostic of this severity, or none.
    pub const fn severity(&self, severity: Option<Severity>) -> Style {
        match severity {
            Some(Severity::Error) => self.error,
            Some(Severity::Warning) => self.warning,
            Some(Severity::Note) | None => Style::new(),
        }
    }

    /// For a procedure's state.
    pub const fn state(&self, state: State) -> Style {
        match state {
            State::Failed => self.error,
            State::Unanswered => self.warning,
            State::Pending => self.dim,
            State::Complete => Style::new(),
        }
    }
}

/// The ANSI colours as red, green and blue, as xterm shows them.
const ANSI: [(Color, [u8; 3]); 16] = [
    (Color::Black, [0, 0, 0]),
    (Color::Red, [205, 0, 0]),
    (Color::Green, [0, 205, 0]),
    (Color::Yellow, [205, 205, 0]),
    (Color::Blue, [0, 0, 238]),
    (Color::Magenta, [205, 0, 205]),
    (Color::Cyan, [0, 205, 205]),
    (Color::Gray, [229, 229, 229]),
    (Color::DarkGray, [127, 127, 127]),
    (Color::LightRed, [255, 0, 0]),
    (Color::LightGreen, [0, 255, 0]),
    (Color::LightYellow, [255, 255, 0]),
    (Color::LightBlue, [92, 92, 255]),
    (Color::LightMagenta, [255, 0, 255]),
    (Color::LightCyan, [0, 255, 255]),
    (Color::White, [255, 255, 255]),
];

/// The colour most like `color` that a terminal has; none if it has none.
fn nearest(color: Color, depth: Depth) -> Option<Color> {
    let ansi = ANSI.iter().position(|(known, _)| *known == color);
    let rgb = match (color, ansi) {
        (Color::Reset, _) => return Some(color),
        (_, Some(index)) => ANSI[index].1,
        (Color::Rgb(red, green, blue), _) => [red, green, blue],
        (Color::Indexed(index), _) => palette(index),
        _ => return Some(color),
    };
    let fits = match color {
        Color::Rgb(..) => depth == Depth::True,
        Color::Indexed(_) => depth >= Depth::Palette,
        _ => ansi.is_none_or(|index| index < 8 || depth >= Depth::Sixteen),
    };
    match depth {
        Depth::None => None,
        _ if fits => Some(color),
        Depth::Palette | Depth::True => Some(Color::Indexed(cube(rgb))),
        Depth::Eight => closest(&ANSI[..8], rgb),
        Depth::Sixteen => closest(&ANSI, rgb),
    }
}

fn closest(among: &[(Color, [u8; 3])], to: [u8; 3]) -> Option<Color> {
    let distance = |rgb: [u8; 3]| (0..3).map(|at| i32::from(rgb[at].abs_diff(to[at])).pow(2)).sum::<i32>();
    among.iter().min_by_key(|(_, rgb)| distance(*rgb)).map(|(color, _)| *color)
}

/// Levels of xterm's colour cube.
const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];

fn cube(rgb: [u8; 3]) -> u8 {
    let level = |value: u8| (0..6).min_by_key(|&at| LEVELS[at as usize].abs_diff(value)).unwrap_or(0);
    16 + 36 * level(rgb[0]) + 6 * level(rgb[1]) + level(rgb[2])
}

fn palette(index: u8) -> [u8; 3] {
    match index {
        0..16 => ANSI[usize::from(index)].1,
        16..232 => [(index - 16) / 36, (index - 16) / 6 % 6, (index - 16) % 6].map(|level| LEVELS[usize::from(level)]),
        232.. => [8 + 10 * (index - 232); 3],
    }
}
