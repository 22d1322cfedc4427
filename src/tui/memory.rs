//! What is remembered from one time to the next: columns that were chosen, aliases, and what was typed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::keymap::{self, Command};
use super::state::{Setup, State};
use super::tab::Tab;

/// Commands whose arguments are of use another time.
const TYPED: [Command; 4] = [Command::Filter, Command::Search, Command::Follow, Command::CommandLine];
/// Views with columns, by name.
const TABLES: [(&str, Tab); 3] =
    [("procedures", Tab::Procedures), ("messages", Tab::Messages), ("connections", Tab::Connections)];
/// A larger file was not written by us.
pub const MOST: u64 = 4 << 20;

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Columns by view, where they are not those of the configuration.
    columns: BTreeMap<String, String>,
    /// Aliases by the name they stand for.
    aliases: BTreeMap<String, String>,
    /// What was typed, by command, oldest first.
    typed: BTreeMap<String, Vec<String>>,
}

impl Memory {
    /// What there is to remember of `state`.
    pub fn of(state: &State) -> Self {
        let setup = Setup { remembered: Self::default(), ..state.setup.clone() };
        let fresh = State::new(setup, state.size).ok();
        let chosen = |(name, tab): (&str, Tab)| {
            let columns = state.columns(tab);
            let is_other = fresh.as_ref().is_none_or(|fresh| fresh.columns(tab) != columns);
            is_other.then(|| (name.to_owned(), columns))
        };
        let typed = |command: Command| {
            let lines = state.history.get(&command).filter(|lines| !lines.is_empty())?;
            Some((keymap::entry_of(command).name.to_owned(), lines.clone()))
        };
        Self {
            columns: TABLES.into_iter().filter_map(chosen).collect(),
            aliases: state.names.aliases.clone(),
            typed: TYPED.into_iter().filter_map(typed).collect(),
        }
    }

    /// Puts it into `state`. Columns that there are no more stay as they are.
    pub fn recall(&self, state: &mut State) {
        for (name, tab) in TABLES {
            if let Some(columns) = self.columns.get(name) {
                let _ = state.show_columns(tab, columns);
            }
        }
        self.aliases.iter().for_each(|(name, alias)| state.names.call(name, alias));
        for command in TYPED {
            if let Some(lines) = self.typed.get(keymap::entry_of(command).name) {
                state.history.insert(command, lines.clone());
            }
        }
    }

    /// What `text` says.
    ///
    /// # Errors
    /// It is no such text.
    pub fn read(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|fault| fault.message().replace('\n', ", "))
    }

    /// As text.
    pub fn text(&self) -> String {
        toml::to_string(self).expect("maps of texts can be written")
    }
}

/// Where it is kept: `ckscope/interface.toml` under XDG_STATE_HOME, else under `.local/state` at home.
pub fn usual_path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local").join("state")))?;
    Some(folder.join("ckscope").join("interface.toml"))
}
