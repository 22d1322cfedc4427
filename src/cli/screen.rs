//! The terminal interface, opened over an analysis that goes on in a thread of its own.

use std::io::{IsTerminal, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use jiff::tz::TimeZone;

use super::report::report_journal;
use super::say;
use super::secrets::KeyLogs;
use super::shared::Shared;
use super::signals::{self, Meaning, stop_on_signals};
use crate::tls::Added;
use crate::tui::config::Config;
use crate::tui::memory::{self, Memory};
use crate::tui::theme::Depth;
use crate::tui::{Feed, Setup, State, terminal};

/// How long the interface has to end after a signal: reading from a terminal that hung up does not come back.
const GRACE: Duration = Duration::from_secs(2);

/// How the interface is set up.
#[derive(Args, Debug, Clone)]
pub struct ScreenArgs {
    #[arg(from_global)]
    config: Option<PathBuf>,
}

/// Whether there is a terminal to show something on. The keys come from it even where standard input is something
/// else, so only the output counts.
pub fn is_possible() -> bool {
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    let keys = stdin().is_terminal() || std::fs::File::open("/dev/tty").is_ok();
    keys && stdout().is_terminal() && !dumb
}

impl ScreenArgs {
    /// The interface over what is called `name`.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub fn setup(&self, name: String) -> anyhow::Result<Setup> {
        let Some(path) = &self.config else {
            return Ok(Config::default().setup(name, TimeZone::system(), depth()).expect("the defaults are all there"));
        };
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| file.clone())?;
        let setup = Config::read(&text).and_then(|config| config.setup(name, TimeZone::system(), depth()));
        setup.map_err(|fault| anyhow::anyhow!("{file}:{fault}"))
    }
}

fn depth() -> Depth {
    let variable = |name: &str| std::env::var(name).ok();
    let (no_color, color_term, term) = (variable("NO_COLOR"), variable("COLORTERM"), variable("TERM"));
    Depth::of(no_color.as_deref(), color_term.as_deref(), term.as_deref())
}

/// What was remembered; nothing if it cannot be read, which is no reason not to begin.
fn recall(path: &Path) -> Memory {
    let Ok(data) = std::fs::metadata(path) else { return Memory::default() };
    let read = || {
        if data.len() > memory::MOST {
            return Err("is too large".to_owned());
        }
        Memory::read(&std::fs::read_to_string(path).map_err(|error| error.to_string())?)
    };
    read().unwrap_or_else(|fault| {
        say(format_args!("{}: {fault}; columns, aliases and history begin anew", path.display()));
        Memory::default()
    })
}

/// Keeps what there is to remember; where it cannot be kept, that is said.
fn remember(state: &State, path: &Path) {
    let memory = Memory::of(state);
    if memory == recall(path) {
        return;
    }
    let Some(folder) = path.parent() else { return };
    let kept = std::fs::create_dir_all(folder).and_then(|()| {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(memory.text().as_bytes())?;
        file.persist(path).map_err(|error| error.error)
    });
    if let Err(error) = kept {
        say(format_args!("{}: columns, aliases and history are not kept: {error}", path.display()));
    }
}

/// Shows `shared` until the user leaves, while `analyse` goes on; whether something could not be read, which is said
/// then.
///
/// # Errors
/// Those of the terminal and of `analyse`.
pub fn show(
    shared: &Arc<Shared>,
    setup: Setup,
    analyse: impl FnOnce(&Shared) -> anyhow::Result<KeyLogs> + Send + 'static,
) -> anyhow::Result<bool> {
    let analysis = thread::spawn({
        let shared = Arc::clone(shared);
        move || analyse(&shared)
    });
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    stop_on_signals(Meaning::End, GRACE, move || asked.store(true, Ordering::Relaxed), terminal::leave)?;
    let memory = memory::usual_path(|name| std::env::var_os(name));
    let setup = Setup { remembered: memory.as_deref().map(recall).unwrap_or_default(), ..setup };
    let left = terminal::run(&**shared, setup, &stop);
    if let (Ok(state), Some(path)) = (&left, &memory) {
        remember(state, path);
    }
    shared.cancel();
    let Ok(analysed) = analysis.join() else { bail!("the analysis failed; please report what is said above") };
    let unsaved = match left {
        // A terminal that hung up is no fault of its own.
        Err(_) if signals::ended().is_some() => Vec::new(),
        left => left?.unsaved,
    };
    unsaved.iter().for_each(say);
    let bad_key_logs = analysed?.finish(|_| Added::default())?;
    let inner = shared.lock();
    inner.status.problems.iter().for_each(say);
    let journal = inner.analyzer.journal();
    Ok(!inner.status.problems.is_empty() | !unsaved.is_empty() | bad_key_logs | report_journal(journal))
}
