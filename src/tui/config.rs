//! Keys, colours and columns in one TOML file, which also holds defaults of options: those are the command line's.
//! `ckscope.toml`, which is shipped, explains every key and is the same as
//! no file at all.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

use super::key::Key;
use super::keymap::{self, Command, Keymap};
use super::memory::Memory;
use super::state::Setup;
use super::theme::{Depth, Theme};
use super::times::TimeMode;
use crate::dissect::load::{self, DefinitionError};

/// The file that is shipped: all keys with their defaults.
pub const SAMPLE: &str = include_str!("ckscope.toml");

/// The keys at the top of a file.
pub const PARTS: [&str; 5] = ["time", "columns", "keys", "colors", "options"];

/// What a file says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What times are told against.
    time: Option<Spanned<String>>,
    columns: Columns,
    /// Keys by command.
    keys: BTreeMap<String, Spanned<Vec<String>>>,
    /// Looks by part of the screen.
    colors: BTreeMap<String, Spanned<Look>>,
    /// Defaults of options, which others read.
    #[serde(rename = "options")]
    _options: IgnoredAny,
    /// The text of the file.
    #[serde(skip)]
    text: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Columns {
    procedures: Option<Spanned<Vec<String>>>,
    messages: Option<Spanned<Vec<String>>>,
    connections: Option<Spanned<Vec<String>>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Look {
    foreground: Option<String>,
    background: Option<String>,
    modifiers: Vec<String>,
}

/// Names of modifiers.
const MODIFIERS: [(&str, Modifier); 5] = [
    ("bold", Modifier::BOLD),
    ("dim", Modifier::DIM),
    ("italic", Modifier::ITALIC),
    ("underlined", Modifier::UNDERLINED),
    ("reversed", Modifier::REVERSED),
];

impl Config {
    /// What `text` says.
    ///
    /// # Errors
    /// It is not TOML, or has a key that does not exist: line, column and what is wrong.
    pub fn read(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|fault| {
            let start = fault.span().map_or(0, |span| span.start);
            at(text, start, &fault.message().replace('\n', ", "))
        })?;
        Ok(Self { text: text.to_owned(), ..config })
    }

    /// What is wrong with a value, with its line and column.
    fn fault<T>(&self, value: &Spanned<T>, what: &str) -> String {
        at(&self.text, value.span().start, what)
    }

    /// How the interface is set up by it, on a terminal with so many colours.
    ///
    /// # Errors
    /// A command, key, part, column or colour that does not exist: line, column, and what there is.
    pub fn setup(&self, name: String, zone: TimeZone, depth: Depth) -> Result<Setup, String> {
        Ok(Setup {
            name,
            keymap: self.keymap()?,
            theme: self.theme()?.for_depth(depth),
            zone,
            time: self.time()?,
            tail: false,
            tour: &[],
            columns: self.columns()?,
            remembered: Memory::default(),
        })
    }

    fn time(&self) -> Result<TimeMode, String> {
        let modes = TimeMode::NAMED;
        let Some(time) = &self.time else { return Ok(modes[0].1) };
        let found = modes.into_iter().find(|(name, _)| name == time.get_ref()).map(|(_, mode)| mode);
        let expected = || format!("time = {:?}: expected {}", time.get_ref(), modes.map(|(name, _)| name).join(", "));
        found.ok_or_else(|| self.fault(time, &expected()))
    }

    fn columns(&self) -> Result<[Vec<String>; 3], String> {
        let Columns { procedures, messages, connections } = &self.columns;
        let tables = [
            ("procedures", procedures, super::procedures::COLUMNS),
            ("messages", messages, super::messages::COLUMNS),
            ("connections", connections, super::connections::COLUMNS),
        ];
        let mut all: [Vec<String>; 3] = Default::default();
        for ((name, wanted, columns), place) in tables.into_iter().zip(&mut all) {
            let Some(wanted) = wanted else { continue };
            let keys: Vec<&str> = wanted.get_ref().iter().map(String::as_str).collect();
            super::table::chosen(columns, &keys)
                .map_err(|fault| self.fault(wanted, &format!("[columns] {name}: {fault}")))?;
            place.clone_from(wanted.get_ref());
        }
        Ok(all)
    }

    fn keymap(&self) -> Result<Keymap, String> {
        let mut changed: HashMap<Command, Vec<Key>> = HashMap::new();
        for (name, keys) in &self.keys {
            let entry = keymap::entries().find(|entry| entry.name == name);
            let wrong = |what: String| self.fault(keys, &format!("[keys] {name}: {what}"));
            let entry = entry.ok_or_else(|| wrong("no such command; ? in ckscope lists them".to_owned()))?;
            let parsed: Result<Vec<Key>, String> = keys.get_ref().iter().map(|key| key.parse()).collect();
            changed.insert(entry.command, parsed.map_err(wrong)?);
        }
        // Two commands have part in it, so it is told where the table begins.
        let start = self.text.find("[keys]").unwrap_or(0);
        Keymap::new(&changed).map_err(|fault| at(&self.text, start, &format!("[keys] {fault}")))
    }

    fn theme(&self) -> Result<Theme, String> {
        let mut theme = Theme::default();
        for (name, look) in &self.colors {
            let wrong = |what: String| self.fault(look, &format!("[colors] {name}: {what}"));
            let style = look.get_ref().style().map_err(wrong)?;
            let parts = Theme::NAMES.join(", ");
            *theme.part(name).ok_or_else(|| wrong(format!("no such part; there are {parts}")))? = style;
        }
        Ok(theme)
    }
}

impl Look {
    fn style(&self) -> Result<Style, String> {
        let color = |text: &String| {
            text.parse::<Color>().map_err(|_| {
                format!("{text:?} is no colour; expected a name like \"cyan\" or \"light-red\", a number up to 255, or \"#rrggbb\"")
            })
        };
        let mut style = Style::new();
        style.fg = self.foreground.as_ref().map(color).transpose()?;
        style.bg = self.background.as_ref().map(color).transpose()?;
        for name in &self.modifiers {
            let found = MODIFIERS.iter().find(|(known, _)| known == name);
            let (_, modifier) =
                found.ok_or_else(|| format!("{name:?}: expected {}", MODIFIERS.map(|(name, _)| name).join(", ")))?;
            style = style.add_modifier(*modifier);
        }
        Ok(style)
    }
}

/// `line:column: what`, of what stands at `offset` of `text`.
fn at(text: &str, offset: usize, what: &str) -> String {
    let DefinitionError { line, column, .. } = load::located(text, "", offset, String::new());
    format!("{line}:{column}: {what}")
}

/// Where the file is looked for: `ckscope/ckscope.toml` under XDG_CONFIG_HOME, else under `.config` at home.
pub fn usual_path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(folder.join("ckscope").join("ckscope.toml"))
}
