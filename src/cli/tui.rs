//! `ckscope tui`: the terminal interface over captures that are read in the background.

use std::io::{IsTerminal, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use jiff::tz::TimeZone;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::input::{InputArgs, Started, each_batch};
use super::report::{problems, report_leftovers, report_undecoded};
use super::say;
use super::secrets::KeyLogs;
use crate::analyzer::{Analyzer, Tap};
use crate::capture::Block;
use crate::capture::file::Reader;
use crate::journal::View;
use crate::tls::Added;
use crate::tui::config::{self, Config};
use crate::tui::theme::Depth;
use crate::tui::{Feed, Phase, Status, terminal};

/// Examples for the help text.
pub const EXAMPLES: &str = "\
Examples:
  ckscope tui capture.pcapng
      Procedures, their flows and messages; ? lists the keys
  ckscope tui ring-*.pcapng --keylog secrets.log
      Several captures merged by time, with TLS decrypted
  ckscope tui capture.pcapng --config my-keys.toml
      With keys and colours of one's own";

/// What `tui` was asked for.
#[derive(Args, Debug)]
pub struct TuiArgs {
    #[command(flatten)]
    input: InputArgs,
    /// Keys, colours and columns [default: ckscope/ckscope.toml in XDG_CONFIG_HOME or ~/.config]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    config: Option<PathBuf>,
}

/// Whether there is a terminal to show something on.
pub fn is_possible() -> bool {
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    stdin().is_terminal() && stdout().is_terminal() && !dumb
}

impl TuiArgs {
    /// Shows the captures until the user leaves.
    ///
    /// # Errors
    /// There is no terminal, no capture could be read, or the configuration is wrong.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        if !is_possible() {
            bail!("tui needs a terminal; ckscope read and ckscope flows print into files and pipes");
        }
        let config = self.config()?;
        let definitions = Arc::new(self.input.definitions.load()?);
        let Some(started) = self.input.start(&self.input.files, definitions, Tap::Nothing)? else {
            bail!("no capture could be opened");
        };
        let setup = config.setup(name(&self.input.files), TimeZone::system(), depth()).map_err(anyhow::Error::msg)?;
        let Started { reader, key_logs, analyzer, errors } = started;
        let shared = Arc::new(Shared::new(analyzer, &reader));
        let reading = thread::spawn({
            let (shared, args) = (Arc::clone(&shared), self.input.clone());
            move || shared.read(&args, reader, key_logs)
        });
        let stop = Arc::new(AtomicBool::new(false));
        stop_on_signals(&stop)?;
        let left = terminal::run(&*shared, setup, &stop);
        shared.cancel();
        let Ok(read) = reading.join() else { bail!("the analysis failed; please report what is said above") };
        left?;
        let bad_key_logs = read?.finish(|_| Added::default())?;
        let inner = shared.lock();
        inner.status.problems.iter().for_each(say);
        let journal = inner.analyzer.journal();
        let problems = !inner.status.problems.is_empty() | report_leftovers(journal) | report_undecoded(journal);
        Ok(super::status(errors || bad_key_logs || problems))
    }

    fn config(&self) -> anyhow::Result<Config> {
        let usual = || config::usual_path(|name| std::env::var_os(name)).filter(|path| path.exists());
        let Some(path) = self.config.clone().or_else(usual) else { return Ok(Config::default()) };
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Config::read(&text).map_err(|fault| anyhow::anyhow!("{}: {fault}", path.display()))
    }
}

fn name(files: &[PathBuf]) -> String {
    let first = files.first().and_then(|path| path.file_name()).unwrap_or_default().to_string_lossy().into_owned();
    if files.len() > 1 { format!("{first} and {} more", files.len() - 1) } else { first }
}

fn depth() -> Depth {
    let variable = |name: &str| std::env::var(name).ok();
    let (no_color, color_term, term) = (variable("NO_COLOR"), variable("COLORTERM"), variable("TERM"));
    Depth::of(no_color.as_deref(), color_term.as_deref(), term.as_deref())
}

/// How long the analysis waits for a look that was asked for, at most.
const PATIENCE: Duration = Duration::from_millis(20);
/// How often it looks whether it is over.
const GLANCE: Duration = Duration::from_micros(200);

/// The analysis, shared by the thread that does it and the one that draws.
struct Shared {
    inner: Mutex<Inner>,
    /// Somebody wants to look. A lock alone would not let them: the analysis takes it again at once.
    wanted: AtomicBool,
    cancelled: AtomicBool,
}

struct Inner {
    analyzer: Analyzer,
    blocks: Vec<Block>,
    status: Status,
}

impl Shared {
    fn new(analyzer: Analyzer, reader: &Reader) -> Self {
        let status = Status { read: Some(reader.progress()), ..Status::default() };
        let inner = Inner { analyzer, blocks: reader.blocks().to_vec(), status };
        Self { inner: Mutex::new(inner), wanted: AtomicBool::new(false), cancelled: AtomicBool::new(false) }
    }

    /// Reads to the end, or until cancelled.
    fn read(&self, args: &InputArgs, mut reader: Reader, mut key_logs: KeyLogs) -> anyhow::Result<KeyLogs> {
        let read = each_batch(&mut reader, args.batch as usize, args.threads(), |batch, read| {
            if self.cancelled.load(Ordering::Relaxed) {
                bail!("cancelled");
            }
            self.give_way();
            let mut inner = self.lock();
            key_logs.poll(|bytes| inner.analyzer.add_secrets(bytes))?;
            inner.analyzer.batch(batch);
            inner.status.generation += 1;
            inner.status.read = Some(read);
            Ok(())
        });
        let cancelled = self.cancelled.load(Ordering::Relaxed);
        let mut inner = self.lock();
        inner.analyzer.finish();
        inner.status.generation += 1;
        inner.status.problems = problems(&reader, &inner.analyzer.undecoded());
        inner.status.phase = if cancelled { Phase::Cancelled } else { Phase::Done };
        if let (Err(error), false) = (read, cancelled) {
            inner.status.problems.push(format!("{error:#}"));
        }
        drop(inner);
        Ok(key_logs)
    }

    /// Lets whoever wants to look go first, for a while.
    fn give_way(&self) {
        let mut waited = Duration::ZERO;
        while self.wanted.load(Ordering::Relaxed) && waited < PATIENCE {
            thread::sleep(GLANCE);
            waited += GLANCE;
        }
    }

    /// A panic while it was held was told; what was found until then can still be looked at.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) -> MutexGuard<'_, Inner> {
        self.wanted.store(true, Ordering::Relaxed);
        let inner = self.lock();
        self.wanted.store(false, Ordering::Relaxed);
        inner
    }
}

impl Feed for Shared {
    fn with(&self, look: &mut dyn FnMut(View<'_>)) {
        let inner = self.wait();
        look(View { journal: inner.analyzer.journal(), blocks: &inner.blocks });
    }

    fn status(&self) -> Status {
        self.wait().status.clone()
    }

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// How long the interface has to end after a signal.
const GRACE: Duration = Duration::from_secs(2);

/// Sets `stop` when the process is asked to end, so that the terminal is given back first.
fn stop_on_signals(stop: &Arc<AtomicBool>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let stop = Arc::clone(stop);
    let wanted = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()];
    let signals = {
        let _inside = runtime.enter();
        wanted.map(signal)
    };
    let [mut terminate, mut hangup, mut interrupt] = signals.map(Result::ok);
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                Some(()) = received(&mut terminate) => {}
                Some(()) = received(&mut hangup) => {}
                Some(()) = received(&mut interrupt) => {}
                else => return,
            }
            stop.store(true, Ordering::Relaxed);
            tokio::time::sleep(GRACE).await;
            // Reading from a terminal that hung up does not come back, so nobody looks at `stop`.
            terminal::leave();
            std::process::exit(1);
        });
    });
    Ok(())
}

async fn received(signal: &mut Option<Signal>) -> Option<()> {
    signal.as_mut()?.recv().await
}
