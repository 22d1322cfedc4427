//! Keys, colours and columns in one TOML file. `ckscope.toml`, which is shipped, explains every key and is the same as
//! no file at all.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;

use super::key::Key;
use super::keymap::{self, Command, Keymap};
use super::state::Setup;
use super::theme::{Depth, Theme};
use super::times::TimeMode;

/// The file that is shipped: all keys with their defaults.
pub const SAMPLE: &str = include_str!("ckscope.toml");

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What times are told against.
    time: Option<String>,
    columns: Columns,
    /// Keys by command.
    keys: BTreeMap<String, Vec<String>>,
    /// Looks by part of the screen.
    colors: BTreeMap<String, Look>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Columns {
    procedures: Vec<String>,
    messages: Vec<String>,
    connections: Vec<String>,
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
    /// It is not TOML, or has a key that does not exist.
    pub fn read(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|fault| fault.to_string())
    }

    /// How the interface is set up by it, on a terminal with so many colours.
    ///
    /// # Errors
    /// A command, key, part or colour that does not exist, with what there is.
    pub fn setup(&self, name: String, zone: TimeZone, depth: Depth) -> Result<Setup, String> {
        let Columns { procedures, messages, connections } = self.columns.clone();
        let time = self.time.as_deref().unwrap_or("absolute");
        let modes = TimeMode::NAMED;
        let time = modes
            .into_iter()
            .find(|(name, _)| *name == time)
            .map(|(_, mode)| mode)
            .ok_or_else(|| format!("time = {time:?}: expected {}", modes.map(|(name, _)| name).join(", ")))?;
        Ok(Setup {
            name,
            keymap: self.keymap()?,
            theme: self.theme()?.for_depth(depth),
            zone,
            time,
            tail: false,
            columns: [procedures, messages, connections],
        })
    }

    fn keymap(&self) -> Result<Keymap, String> {
        let mut changed: HashMap<Command, Vec<Key>> = HashMap::new();
        for (name, keys) in &self.keys {
            let entry = keymap::entries().find(|entry| entry.name == name);
            let entry = entry.ok_or_else(|| format!("[keys] {name}: no such command; ? in ckscope lists them"))?;
            let keys: Result<Vec<Key>, String> = keys.iter().map(|key| key.parse()).collect();
            changed.insert(entry.command, keys.map_err(|fault| format!("[keys] {name}: {fault}"))?);
        }
        Keymap::new(&changed).map_err(|fault| format!("[keys] {fault}"))
    }

    fn theme(&self) -> Result<Theme, String> {
        let mut theme = Theme::default();
        for (name, look) in &self.colors {
            let style = look.style().map_err(|fault| format!("[colors] {name}: {fault}"))?;
            let parts = Theme::NAMES.join(", ");
            *theme.part(name).ok_or_else(|| format!("[colors] {name}: no such part; there are {parts}"))? = style;
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

/// Where the file is looked for: `ckscope/ckscope.toml` under XDG_CONFIG_HOME, else under `.config` at home.
pub fn usual_path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(folder.join("ckscope").join("ckscope.toml"))
}
