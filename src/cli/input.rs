//! What every command that reads captures shares: its options, the loop from packets to journal, and what is said on
//! stderr about what could not be read.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use crossbeam_channel::bounded;
use indicatif::{ProgressBar, ProgressStyle};

use super::report::{report, report_journal};
use super::say;
use super::secrets::{KeyLogs, SecretArgs};
use crate::analyzer::{Analyzer, Front, Options, Segments, Tap, Tapped};
use crate::capture::file::{FileSummary, Reader};
use crate::capture::{Batch, Block};
use crate::dissect::{Definitions, load};
use crate::journal::{Journal, View};
use crate::time::Span;
use crate::tls::Secrets;

/// Packets per batch: enough to keep workers busy, few enough that what comes of them stays in a cache.
const BATCH: usize = 1024;
/// Batches read ahead of the analysis.
const BATCHES_AHEAD: usize = 4;
/// Longer work shows its progress.
const PROGRESS_AFTER: Duration = Duration::from_millis(300);

/// Which captures to read, and how.
#[derive(Args, Debug, Clone)]
pub struct InputArgs {
    /// Capture files (pcap or pcapng; plain, gzip or zstd), merged by time; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub analysis: AnalysisArgs,
    /// Threads to use [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64), help_heading = "Input")]
    pub threads: Option<u8>,
    /// Packets handed on at a time
    #[arg(long, value_name = "N", default_value_t = BATCH as u32, value_parser = clap::value_parser!(u32).range(1..=1_000_000), hide = true)]
    pub batch: u32,
}

/// How packets are analysed, wherever they come from.
#[derive(Args, Debug, Clone)]
pub struct AnalysisArgs {
    #[command(flatten)]
    pub definitions: DefinitionArgs,
    #[command(flatten)]
    pub secrets: SecretArgs,
    /// Take connections on this TCP port for Ck whatever they look like (repeatable)
    #[arg(long = "port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Input")]
    pub ports: Vec<u16>,
    /// Call a request unanswered after this many seconds of capture time
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds, help_heading = "Input")]
    pub timeout: Span,
}

/// Which definition files to use.
#[derive(Args, Debug, Clone, Default)]
pub struct DefinitionArgs {
    /// Add a definition file, or override parts of the built-in one (repeatable)
    #[arg(long = "dissector", value_name = "FILE", help_heading = "Input")]
    pub dissectors: Vec<PathBuf>,
    /// Read gRPC messages by this protobuf schema; messages are matched by name (repeatable)
    #[arg(long = "proto", value_name = "FILE", help_heading = "Input")]
    pub protos: Vec<PathBuf>,
    /// Look for what schemas import in this directory (repeatable)
    #[arg(long = "proto-path", value_name = "DIR", requires = "protos", help_heading = "Input")]
    pub proto_paths: Vec<PathBuf>,
}

/// Captures, read whole.
pub struct Analysis {
    /// What was seen.
    pub journal: Journal,
    /// The bytes, and what the files were.
    pub reader: Reader,
    /// The TLS secrets that were known at its end.
    pub secrets: Secrets,
    /// Something could not be read, and was said.
    pub problems: bool,
}

impl Analysis {
    /// The journal with its bytes.
    pub fn view(&self) -> View<'_> {
        View { journal: &self.journal, blocks: self.reader.blocks() }
    }

    /// The files that were read.
    pub fn files(&self) -> &[FileSummary] {
        self.reader.files()
    }

    /// The exit status, when nothing more is done. The journal is left to the end of the process, at which the system
    /// takes all of it back at once: given back piece by piece, that of a million messages takes longer than to print.
    pub fn end(self) -> ExitCode {
        std::mem::forget(self.journal);
        super::status(self.problems)
    }
}

/// A time to wait in seconds, more than none.
pub(super) fn some_seconds(text: &str) -> Result<Span, String> {
    let span = seconds(text)?;
    if span == Span(0) { Err("expected more than 0 seconds".to_owned()) } else { Ok(span) }
}

pub(super) fn seconds(text: &str) -> Result<Span, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds, like 10 or 0.5".to_owned())?;
    if !(0.0..=1e9).contains(&seconds) {
        return Err("expected between 0 and 1000000000 seconds".to_owned());
    }
    Ok(Span((seconds * 1e9) as i64))
}

impl AnalysisArgs {
    /// How an analyzer is to be made, by these options.
    pub(super) fn options(&self, definitions: Arc<Definitions>) -> Options {
        Options { ports: self.ports.clone(), time_out: self.timeout, ..Options::new(definitions) }
    }
}

impl DefinitionArgs {
    /// The built-in definitions and the files given.
    ///
    /// # Errors
    /// A file that cannot be read, or is no definition file or schema.
    pub fn load(&self) -> anyhow::Result<Definitions> {
        let mut definitions = Definitions::q4164();
        for path in &self.dissectors {
            let name = path.display().to_string();
            definitions.add(&read_definition(path)?, &name)?;
        }
        for file in &self.protos {
            definitions.add_schemas(super::proto::compile(file, &self.proto_paths)?);
        }
        Ok(definitions)
    }
}

/// The text of a definition file.
///
/// # Errors
/// One that cannot be read, is larger than any definition file, or is not UTF-8.
pub fn read_definition(path: &PathBuf) -> anyhow::Result<String> {
    let name = path.display();
    let size = std::fs::metadata(path).with_context(|| name.to_string())?.len();
    if size > load::MAX_FILE as u64 {
        bail!("{name}: {size} bytes; a definition file has at most {}", load::MAX_FILE);
    }
    let bytes = std::fs::read(path).with_context(|| name.to_string())?;
    String::from_utf8(bytes).with_context(|| format!("{name}: not a definition file"))
}

impl InputArgs {
    /// Reads all files; what cannot be read is said on stderr.
    ///
    /// # Errors
    /// No file could be opened.
    pub fn analyze(&self, definitions: &Arc<Definitions>) -> anyhow::Result<Analysis> {
        self.analyze_tapping(definitions, Tap::Nothing, |_| Ok(()))
    }

    /// The same, with the bytes that `tap` wants as they come.
    ///
    /// # Errors
    /// As [`InputArgs::analyze`], and those of `taken`.
    pub fn analyze_tapping(
        &self,
        definitions: &Arc<Definitions>,
        tap: Tap,
        mut taken: impl FnMut(Vec<Tapped>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Analysis> {
        match self.analyze_files(&self.files, Arc::clone(definitions), tap, &mut taken)? {
            Some(analysis) => Ok(analysis),
            None => bail!("no capture could be opened"),
        }
    }

    /// Every file on its own, in the order given; `None` for one that could not be opened, which is said.
    ///
    /// # Errors
    /// A definition file is wrong.
    pub fn analyze_each(&self) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Option<Analysis>>> + '_> {
        let definitions = Arc::new(self.analysis.definitions.load()?);
        Ok(self.files.iter().map(move |file| {
            let one = std::slice::from_ref(file);
            self.analyze_files(one, Arc::clone(&definitions), Tap::Nothing, &mut |_| Ok(()))
        }))
    }

    /// `None` if no file could be opened.
    fn analyze_files(
        &self,
        files: &[PathBuf],
        definitions: Arc<Definitions>,
        tap: Tap,
        taken: &mut impl FnMut(Vec<Tapped>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<Analysis>> {
        let Some(Started { mut reader, mut key_logs, mut analyzer, errors }) =
            self.start(files, Options { tap, ..self.analysis.options(definitions) })?
        else {
            return Ok(None);
        };
        let progress = Progress::new();
        self.each_batch(&mut reader, analyzer.detach(), |segments, blocks, read| {
            key_logs.poll(|bytes| analyzer.add_secrets(bytes))?;
            analyzer.segments(segments, blocks);
            progress.show(read);
            taken(analyzer.take_tapped())
        })?;
        let bad_key_logs = key_logs.finish(|bytes| analyzer.add_secrets(bytes))?;
        analyzer.finish();
        taken(analyzer.take_tapped())?;
        drop(progress);
        let undecoded = analyzer.undecoded();
        let secrets = analyzer.secrets().clone();
        let journal = analyzer.into_journal();
        let problems = errors | bad_key_logs | report(&reader, &undecoded) | report_journal(&journal);
        Ok(Some(Analysis { journal, reader, secrets, problems }))
    }

    /// Opens the captures and makes ready to analyse them; `None` if no file could be opened, which is said.
    ///
    /// # Errors
    /// A key log cannot be read.
    pub(super) fn start(&self, files: &[PathBuf], options: Options) -> anyhow::Result<Option<Started>> {
        let (reader, errors) = Reader::open(files);
        errors.iter().for_each(say);
        if reader.files().is_empty() {
            return Ok(None);
        }
        let (mut key_logs, mut secrets) = (self.analysis.secrets.open()?, Secrets::default());
        key_logs.read(&mut |bytes| secrets.add(bytes))?;
        let waits_for_secrets = !self.analysis.secrets.key_logs.is_empty();
        let mut analyzer = Analyzer::new(Options { secrets, waits_for_secrets, threads: self.threads(), ..options });
        let again = reader.again();
        analyzer.reserve_secrets(move || Secrets::of(again.key_logs_ahead()));
        Ok(Some(Started { reader, key_logs, analyzer, errors: !errors.is_empty() }))
    }

    /// Reads what was read for `analysis` again, without saying again what could not be read, for the bytes that `tap`
    /// wants.
    ///
    /// # Errors
    /// Those of `taken`.
    pub fn tap_again(
        &self,
        analysis: &Analysis,
        tap: Tap,
        mut taken: impl FnMut(Vec<Tapped>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let definitions = Arc::clone(&analysis.journal.definitions);
        let secrets = Secrets::clone(&analysis.secrets);
        let options = self.analysis.options(definitions);
        let mut analyzer = Analyzer::new(Options { secrets, threads: self.threads(), tap, ..options });
        self.each_batch(&mut analysis.reader.again(), analyzer.detach(), |segments, blocks, _| {
            analyzer.segments(segments, blocks);
            taken(analyzer.take_tapped())
        })?;
        analyzer.finish();
        taken(analyzer.take_tapped())
    }

    /// Threads to use.
    pub fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.threads.map_or_else(cores, usize::from)
    }

    /// Calls `act` with the segments of every batch, what they lie in, and how far the reading is; with several threads
    /// the next ones are read meanwhile.
    pub(super) fn each_batch(
        &self,
        reader: &mut Reader,
        mut front: Front,
        mut act: impl FnMut(&mut Segments, &[Block], (u64, u64)) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let most = self.batch as usize;
        if self.threads() == 1 {
            let (mut batch, mut segments) = (Batch::default(), Segments::default());
            while reader.read_batch(&mut batch, most) {
                front.read(&batch, &mut segments);
                act(&mut segments, &batch.blocks, reader.progress())?;
            }
            return Ok(());
        }
        std::thread::scope(|scope| {
            let (full, batches) = bounded(BATCHES_AHEAD);
            let (empty, spares) = bounded::<(Batch, Segments)>(BATCHES_AHEAD + 1);
            scope.spawn(move || {
                let (mut batch, mut segments) = (Batch::default(), Segments::default());
                while reader.read_batch(&mut batch, most) {
                    front.read(&batch, &mut segments);
                    // Nobody listens any more: whoever did has failed, and says so.
                    let Ok(()) = full.send((batch, segments, reader.progress())) else { return };
                    (batch, segments) = spares.try_recv().unwrap_or_default();
                }
            });
            for (batch, mut segments, read) in batches {
                act(&mut segments, &batch.blocks, read)?;
                // Only the memory is handed back; where there is no room for it, it is freed.
                let _ = empty.try_send((batch, segments));
            }
            Ok(())
        })
    }
}

/// Captures that were opened, and what will analyse them.
pub(super) struct Started {
    pub reader: Reader,
    pub key_logs: KeyLogs,
    pub analyzer: Analyzer,
    /// Some files could not be opened, which was said.
    pub errors: bool,
}

/// A progress bar on stderr, for long work on a terminal.
struct Progress {
    bar: ProgressBar,
    started: std::time::Instant,
}

impl Progress {
    fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::no_length() } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left");
        bar.set_style(style.expect("the template is well-formed"));
        Self { bar, started: std::time::Instant::now() }
    }

    fn show(&self, (done, total): (u64, u64)) {
        if self.started.elapsed() >= PROGRESS_AFTER {
            self.bar.set_length(total);
            self.bar.set_position(done);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
