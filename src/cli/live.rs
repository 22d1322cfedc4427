//! What every command with a live source shares: its options, the loop from what was recorded to the journal, and the
//! two ways to see it, line by line or on the whole terminal.

mod headless;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::{Args, ValueEnum};

use super::filter::{FilterArgs, FollowedArgs, Wanted};
use super::input::{AnalysisArgs, some_seconds};
use super::look::{LookArgs, Time};
use super::screen;
use super::secrets::KeyLogs;
use super::shared::Shared;
use super::signals::{Meaning, stop_on_signals};
use crate::analyzer::{Analyzer, Options};
use crate::capture::file::{News, Tail};
use crate::capture::growing::Growing;
use crate::capture::{Batch, Block};
use crate::dissect::Definitions;
use crate::journal::{Journal, View};
use crate::time::Span;
use crate::tls::Secrets;
use crate::tui::{Setup, SourcePanel};
use headless::{Headless, Herald, Printer};

/// How long to wait for something new before looking whether to stop.
const WAIT: Duration = Duration::from_millis(100);
/// How long what was recorded until the source stopped may take to be printed.
const GRACE: Duration = Duration::from_secs(3);

/// How a live source is analysed and shown.
#[derive(Args, Debug, Clone)]
pub struct LiveArgs {
    #[command(flatten)]
    pub analysis: AnalysisArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// Print messages as they come instead of opening the interface; so it is without a terminal, too
    #[arg(long, help_heading = "Output")]
    pub headless: bool,
    /// How to print, with --headless
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    format: Format,
    /// What times are told against, in text
    #[arg(long, value_enum, default_value = "absolute", help_heading = "Output")]
    time: Time,
    /// Add every parameter and diagnostic of each message, in text
    #[arg(short = 'V', long, help_heading = "Output")]
    pub verbose: bool,
    #[command(flatten)]
    look: LookArgs,
    #[command(flatten)]
    screen: screen::ScreenArgs,
    /// Stop after this many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Stop")]
    pub messages: Option<u32>,
    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = some_seconds, help_heading = "Stop")]
    pub duration: Option<Span>,
    #[arg(skip)]
    hints: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for people
    Text,
    /// A JSON object on each line, as `read --format jsonl` has it; with what is known when the message comes, and numbers
    /// in the order in which it does
    Jsonl,
}

/// Where live traffic comes from. It is recorded, and read from there; this is only to steer it.
pub trait Source: Send + Sync {
    /// Asks it to stop; may be called again.
    fn stop(&self);
    /// Ends it at once, whatever is under way.
    fn hurry(&self) {}
    /// How long it may take to stop.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }
    /// Whether others depend on it, so that it goes on where nothing can be printed.
    fn is_needed(&self) -> bool {
        false
    }
    /// Packets, or pieces of a stream, that were lost before they could be looked at.
    fn lost(&self) -> u64;
    /// What went wrong so far, a sentence each.
    fn problems(&self) -> Vec<String>;
    /// How it stands, for people.
    fn panel(&self) -> Option<SourcePanel>;
}

/// From what is recorded to packets to be analysed.
pub struct Live {
    tail: Tail,
    key_logs: KeyLogs,
    batch: Batch,
    messages: Option<u32>,
    until: Option<Instant>,
}

impl Live {
    fn new(args: &LiveArgs, growing: &Arc<Growing>) -> anyhow::Result<Self> {
        let until = args.duration.map(|duration| Instant::now() + Duration::from_nanos(duration.0.max(0) as u64));
        let (tail, key_logs) = (Tail::new(Arc::clone(growing)), args.analysis.secrets.open()?);
        Ok(Self { tail, key_logs, batch: Batch::default(), messages: args.messages, until })
    }

    /// Reads what comes next.
    pub fn next(&mut self) -> News {
        self.tail.read_batch(&mut self.batch)
    }

    /// Gives what was read, which may be nothing, to `analyzer`; `blocks` then has it, too. Whether there was anything,
    /// packets or secrets that open those before.
    ///
    /// # Errors
    /// A key log cannot be read.
    pub fn analyze(&mut self, analyzer: &mut Analyzer, blocks: &mut Vec<Block>) -> anyhow::Result<bool> {
        let mut secrets = 0;
        for log in self.tail.take_key_logs() {
            secrets += analyzer.add_secrets(&log).secrets;
        }
        let polled = self.key_logs.poll(|bytes| {
            let added = analyzer.add_secrets(bytes);
            secrets += added.secrets;
            added
        });
        let packets = !self.batch.packets.is_empty();
        if packets {
            analyzer.batch(&self.batch);
            self.tail.show(blocks);
        }
        if secrets > 0 {
            analyzer.retry();
        }
        analyzer.expire();
        polled.map(|()| packets || secrets > 0)
    }

    /// Waits a little for more.
    pub fn wait(&self) {
        self.tail.wait(WAIT);
    }

    /// Bytes that were recorded and not read yet.
    pub fn behind(&self) -> u64 {
        self.tail.behind()
    }

    /// Whether as much has come as was asked for.
    pub fn is_enough(&self, journal: &Journal) -> bool {
        self.messages.is_some_and(|most| journal.records.len() >= most as usize)
            || self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// What could not be read, a sentence each.
    pub fn problems(&self, analyzer: &Analyzer) -> Vec<String> {
        let undecoded = analyzer.undecoded().to_string();
        self.tail.problems().into_iter().chain(undecoded.lines().map(str::to_owned)).collect()
    }

    /// The key logs, to say what is wrong with them.
    pub fn into_key_logs(self) -> KeyLogs {
        self.key_logs
    }
}

impl LiveArgs {
    /// Whether messages are printed; else the interface opens.
    pub fn is_headless(&self) -> bool {
        self.headless || !screen::is_possible()
    }

    /// Whether what is printed is for programs.
    pub fn is_jsonl(&self) -> bool {
        self.format == Format::Jsonl
    }

    /// Calls requests unanswered after this long, unless it was said otherwise.
    pub fn impatient(&mut self, time_out: Duration) {
        self.analysis.timeout = self.analysis.timeout.min(Span(time_out.as_nanos() as i64));
    }

    /// Has the interface show these hints, one after the other.
    pub fn tour(&mut self, hints: &'static [&'static str]) {
        self.hints = hints;
    }

    /// What messages are called. Who calls this before anything begins finds wrong options before that.
    ///
    /// # Errors
    /// A definition file or filter is wrong, or options do not go together.
    pub fn definitions(&self) -> anyhow::Result<Arc<Definitions>> {
        if self.verbose && self.format != Format::Text {
            bail!("-V goes with text; jsonl has every parameter and diagnostic anyway");
        }
        if self.filter.display_filter.is_some() && !self.is_headless() {
            bail!("-Y goes with --headless; in the interface, / asks for a filter");
        }
        let definitions = Arc::new(self.analysis.definitions.load()?);
        self.wanted(&definitions)?;
        Ok(definitions)
    }

    fn wanted(&self, definitions: &Definitions) -> anyhow::Result<Wanted> {
        Wanted::new(&self.filter, &FollowedArgs::default(), definitions, &self.time.zone())
    }

    /// Shows what `growing` brings until `source` ends or is told to stop; `name` says what it is. Then `finished` may
    /// look at all of it. Whether something could not be read, which was said.
    ///
    /// # Errors
    /// Wrong options, a key log that cannot be read, or an output that cannot be written.
    pub fn show(
        &self,
        definitions: &Arc<Definitions>,
        growing: &Arc<Growing>,
        source: &Arc<dyn Source>,
        name: String,
        finished: impl FnOnce(View<'_>),
    ) -> anyhow::Result<bool> {
        let (mut live, mut secrets) = (Live::new(self, growing)?, Secrets::default());
        live.key_logs.read(&mut |bytes| secrets.add(bytes))?;
        // What one thread finds is there at once; several would hold batches back from each other.
        let options = self.analysis.options(Arc::clone(definitions));
        let analyzer = Analyzer::new(Options { secrets, waits_for_secrets: true, is_watched: true, ..options });
        if self.is_headless() {
            return self.print(definitions, analyzer, live, source, finished);
        }
        let setup = self.screen.setup(name)?;
        let shared = Arc::new(Shared::live(analyzer, Arc::clone(source), growing));
        let problems =
            screen::show(&shared, Setup { tail: true, tour: self.hints, ..setup }, move |shared| shared.follow(live))?;
        let inner = shared.lock();
        finished(View { journal: inner.analyzer.journal(), blocks: &inner.blocks });
        Ok(problems)
    }

    /// Prints messages as they come.
    fn print(
        &self,
        definitions: &Arc<Definitions>,
        analyzer: Analyzer,
        live: Live,
        source: &Arc<dyn Source>,
        finished: impl FnOnce(View<'_>),
    ) -> anyhow::Result<bool> {
        let herald = Herald::begin(source);
        let (grace, asked) = (source.patience() + GRACE, Arc::clone(source));
        let unread = {
            let herald = Arc::clone(&herald);
            move || herald.give_up()
        };
        stop_on_signals(Meaning::Enough, grace, move || asked.stop(), unread)?;
        let printer = Printer::new(self, definitions, self.wanted(definitions)?);
        let mut headless = Headless { analyzer, blocks: Vec::new(), live, source: &**source, printer, herald };
        headless.follow()?;
        headless.end(finished)
    }
}
