//! Defaults of options: those of the configuration file, those of the environment. What is typed goes before the
//! environment, the environment before `[options.COMMAND]` of the file, that before its `[options]`, and last comes
//! what ckscope has itself.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::say;
use crate::dissect::load;
use crate::tui::config;

/// What names of variables begin with.
const PREFIX: &str = "CKSCOPE_";
/// The variable that names the configuration file; empty for none.
const FILE: &str = "CKSCOPE_CONFIG";
/// Options that nothing but the command line decides.
const TYPED: [&str; 3] = ["help", "version", "config"];

/// What an option is by default, and where that was said.
#[derive(Clone)]
struct Setting {
    values: Vec<String>,
    origin: String,
}

/// Defaults of options by their long names.
#[derive(Default)]
pub struct Settings {
    /// Of every command that has the option.
    common: BTreeMap<String, Setting>,
    /// Of one command.
    by_command: BTreeMap<String, BTreeMap<String, Setting>>,
    environment: BTreeMap<String, Setting>,
}

/// What became of settings while they were applied, by their origins.
#[derive(Default)]
struct Fate {
    /// Those of which some command has the option.
    used: HashSet<String>,
    /// Those that some command took.
    taken: HashSet<String>,
    /// Why the first command that did not take one refused it.
    refused: BTreeMap<String, anyhow::Error>,
}

/// The configuration file that `words` name.
pub fn typed_file(words: &[OsString]) -> Option<PathBuf> {
    let mut words = words.iter().take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        if word == "--config" {
            return words.next().map(PathBuf::from);
        }
        if let Some(path) = word.to_str().and_then(|word| word.strip_prefix("--config=")) {
            return Some(PathBuf::from(path));
        }
    }
    None
}

/// The configuration file that the environment names, or that is in its usual place.
pub fn usual_file() -> Option<PathBuf> {
    match std::env::var_os(FILE) {
        Some(path) => (!path.is_empty()).then(|| PathBuf::from(path)),
        None => config::usual_path(|name| std::env::var_os(name)).filter(|path| path.exists()),
    }
}

impl Settings {
    /// Those of the environment and of `file`.
    ///
    /// # Errors
    /// The file cannot be read, or is wrong: file, line, column and key.
    pub fn read(file: Option<&Path>) -> anyhow::Result<Self> {
        let mut settings = Self::default();
        if let Some(path) = file {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path).with_context(|| name.clone())?;
            settings.take(&text, &name)?;
        }
        let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        for (name, value) in variables.filter(|(name, value)| name != FILE && !value.is_empty()) {
            let Some(option) = name.strip_prefix(PREFIX).map(|name| name.to_lowercase().replace('_', "-")) else {
                continue;
            };
            let value = value.into_string().map_err(|value| anyhow!("{name}: {} is not UTF-8", value.display()))?;
            settings.environment.insert(option, Setting { values: vec![value], origin: name });
        }
        Ok(settings)
    }

    fn take(&mut self, text: &str, file: &str) -> anyhow::Result<()> {
        let fault = |offset, text_of: String| anyhow!("{}", load::located(text, file, offset, text_of));
        let table = DeTable::parse(text)
            .map_err(|error| fault(error.span().map_or(0, |span| span.start), error.message().replace('\n', ", ")))?;
        if let Some(key) = table.get_ref().keys().find(|key| !config::PARTS.contains(&key.get_ref().as_ref())) {
            let what = format!("{}: expected one of {}", key.get_ref(), config::PARTS.join(", "));
            return Err(fault(key.span().start, what));
        }
        let Some(options) = table.get_ref().get("options") else { return Ok(()) };
        let DeValue::Table(options) = options.get_ref() else {
            return Err(fault(options.span().start, "options: expected a table, [options]".to_owned()));
        };
        let origin = |key: &Spanned<_>, path: &str| load::located(text, file, key.span().start, path.to_owned());
        for (key, value) in options {
            let name = key.get_ref().to_string();
            let DeValue::Table(of_command) = value.get_ref() else {
                let values = values(value.get_ref())
                    .ok_or_else(|| fault(value.span().start, format!("[options] {name}: {EXPECTED}")))?;
                let origin = origin(key, &format!("[options] {name}")).to_string();
                self.common.insert(name, Setting { values, origin });
                continue;
            };
            for (key, value) in of_command {
                let path = format!("[options.{name}] {}", key.get_ref());
                let values =
                    values(value.get_ref()).ok_or_else(|| fault(value.span().start, format!("{path}: {EXPECTED}")))?;
                let setting = Setting { values, origin: origin(key, &path).to_string() };
                self.by_command.entry(name.clone()).or_default().insert(key.get_ref().to_string(), setting);
            }
        }
        Ok(())
    }

    /// `command` with these defaults.
    ///
    /// # Errors
    /// There is no such command or option, or it does not take the value.
    pub fn apply(&self, mut command: Command) -> anyhow::Result<Command> {
        let names: Vec<String> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
        if let Some((name, settings)) = self.by_command.iter().find(|(name, _)| !names.contains(name)) {
            let origin = settings.values().next().map_or("", |setting| &setting.origin);
            return Err(anyhow!("{origin}: there is no command {name:?}; there are {}", names.join(", ")));
        }
        let mut fate = Fate::default();
        command = self.set(command, None, &mut fate)?;
        for name in names {
            let mut failed = Ok(());
            command = command.mut_subcommand(&name, |inner| match self.set(inner.clone(), Some(&name), &mut fate) {
                Ok(inner) => inner,
                Err(error) => {
                    failed = Err(error);
                    inner
                }
            });
            failed?;
        }
        self.refuse_unused(&fate.used)?;
        match fate.refused.into_iter().find(|(origin, _)| !fate.taken.contains(origin)) {
            Some((_, error)) => Err(error),
            None => Ok(command),
        }
    }

    /// `command` and what is below it, which are of the command called `of`, with these defaults. What is meant for all
    /// commands changes those that take it.
    fn set(&self, mut command: Command, of: Option<&str>, fate: &mut Fate) -> anyhow::Result<Command> {
        let options: Vec<String> = command.get_arguments().filter_map(Arg::get_long).map(str::to_owned).collect();
        for option in options.into_iter().filter(|option| !TYPED.contains(&option.as_str())) {
            let own = of.and_then(|of| self.by_command.get(of)).and_then(|settings| settings.get(&option));
            fate.used.extend(
                [&self.environment, &self.common].iter().filter_map(|all| Some(all.get(&option)?.origin.clone())),
            );
            fate.used.extend(own.map(|setting| setting.origin.clone()));
            let typed = self.environment.get(&option);
            for (setting, is_own) in [(self.common.get(&option), false), (own, true), (typed, false)] {
                let Some(setting) = setting else { continue };
                match set_default(command.clone(), &option, setting) {
                    Ok(set) => {
                        command = set;
                        fate.taken.insert(setting.origin.clone());
                    }
                    Err(error) if is_own => return Err(error),
                    Err(error) => _ = fate.refused.entry(setting.origin.clone()).or_insert(error),
                }
            }
        }
        let inner: Vec<String> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
        for name in inner.into_iter().filter(|_| of.is_some()) {
            let below = command.find_subcommand(&name).cloned().map(|below| self.set(below, of, fate)).transpose()?;
            if let Some(below) = below {
                command = command.mut_subcommand(&name, |_| below);
            }
        }
        Ok(command)
    }

    /// What no command has is an error in the file; in the environment, which others use as well, it is only said.
    fn refuse_unused(&self, used: &HashSet<String>) -> anyhow::Result<()> {
        let unused = |setting: &&Setting| !used.contains(&setting.origin);
        let in_file = self.common.values().chain(self.by_command.values().flat_map(BTreeMap::values)).find(unused);
        if let Some(setting) = in_file {
            return Err(anyhow!("{}: there is no such option; ckscope COMMAND --help lists them", setting.origin));
        }
        for setting in self.environment.values().filter(unused) {
            say(format_args!("{}: no command has this option; it changes nothing", setting.origin));
        }
        Ok(())
    }
}

const EXPECTED: &str = "expected text, a number, true or false, or a list of these";

/// What stands for an option in a file.
fn values(value: &DeValue<'_>) -> Option<Vec<String>> {
    match value {
        DeValue::Array(all) => {
            let each = all.iter().map(|value| values(value.get_ref()).filter(|inner| inner.len() == 1));
            Some(each.collect::<Option<Vec<_>>>()?.concat())
        }
        DeValue::String(text) => Some(vec![text.to_string()]),
        DeValue::Integer(number) => Some(vec![number.to_string()]),
        DeValue::Float(number) => Some(vec![number.to_string()]),
        DeValue::Boolean(is) => Some(vec![is.to_string()]),
        DeValue::Datetime(time) => Some(vec![time.to_string()]),
        DeValue::Table(_) => None,
    }
}

fn set_default(command: Command, option: &str, setting: &Setting) -> anyhow::Result<Command> {
    let refused = |why: String| anyhow!("{} = {:?}: {why}", setting.origin, setting.values.join(","));
    let Some(arg) = command.get_arguments().find(|arg| arg.get_long() == Some(option)) else { return Ok(command) };
    let id = arg.get_id().clone();
    let values: Vec<String> = match (arg.get_action(), arg.get_value_delimiter()) {
        (ArgAction::SetTrue, _) => match setting.values.as_slice() {
            [word] if ["true", "1", "yes", "on"].contains(&word.as_str()) => vec!["true".to_owned()],
            [word] if ["false", "0", "no", "off"].contains(&word.as_str()) => vec!["false".to_owned()],
            _ => return Err(refused("expected true or false".to_owned())),
        },
        (_, Some(delimiter)) => {
            setting.values.iter().flat_map(|value| value.split(delimiter)).map(str::to_owned).collect()
        }
        (ArgAction::Append, None) => setting.values.clone(),
        _ if setting.values.len() == 1 => setting.values.clone(),
        _ => return Err(refused("expected one value".to_owned())),
    };
    if !matches!(arg.get_action(), ArgAction::SetTrue) {
        check(&command, option, &values).map_err(refused)?;
    }
    Ok(command.mut_arg(id, |arg| arg.required(false).default_values(values)))
}

/// Whether an option takes these values; else why not.
fn check(command: &Command, option: &str, values: &[String]) -> Result<(), String> {
    for value in values {
        let words = [OsString::from(command.get_name()), OsString::from(format!("--{option}={value}"))];
        let Err(error) = command.clone().try_get_matches_from(words) else { continue };
        if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
            continue;
        }
        if let Some(source) = std::error::Error::source(&error) {
            return Err(source.to_string());
        }
        return Err(match error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(valid)) => format!("expected one of {}", valid.join(", ")),
            _ => "the option does not take it".to_owned(),
        });
    }
    Ok(())
}
