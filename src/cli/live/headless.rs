//! A live source without the interface: its messages as lines, and what goes wrong with it on stderr, whoever is waited
//! for meanwhile.

use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::{Format, Live, LiveArgs, Source, WAIT};
use crate::analyzer::Analyzer;
use crate::capture::Block;
use crate::capture::file::News;
use crate::cli::filter::Wanted;
use crate::cli::look::styles;
use crate::cli::report::report_journal;
use crate::cli::{out, say};
use crate::dissect::Definitions;
use crate::journal::View;
use crate::output::jsonl;
use crate::output::read::Listing;
use crate::tls::Added;

/// A reader that takes nothing for so long does not read.
const UNREAD: Duration = Duration::from_secs(2);

/// A source whose messages are printed.
pub struct Headless<'a> {
    pub analyzer: Analyzer,
    pub blocks: Vec<Block>,
    pub live: Live,
    pub source: &'a dyn Source,
    pub printer: Printer<'a>,
    pub herald: Arc<Herald>,
}

impl Headless<'_> {
    /// Prints until the source is over.
    pub fn follow(&mut self) -> anyhow::Result<()> {
        loop {
            match self.live.next() {
                News::Over => return Ok(()),
                News::None => self.live.wait(),
                News::Some => {}
            }
            self.live.analyze(&mut self.analyzer, &mut self.blocks)?;
            self.print()?;
            if self.live.is_enough(self.analyzer.journal()) {
                self.source.stop();
            }
        }
    }

    /// Prints what is new. Where that fails, a source that others depend on goes on.
    fn print(&mut self) -> anyhow::Result<()> {
        let Self { analyzer, blocks, source, printer, herald, .. } = self;
        let first = printer.printed + 1;
        if !herald.takes_more() {
            return Ok(());
        }
        herald.note(Outlet::Busy(Instant::now(), first));
        let printed = printer.print(View { journal: analyzer.journal(), blocks });
        match printed {
            Err(error) if source.is_needed() => herald.note(Outlet::Failed(format!("{error:#}"), first)),
            Err(error) => {
                source.stop();
                return Err(error);
            }
            Ok(()) => herald.note(Outlet::Free),
        }
        Ok(())
    }

    /// Prints the rest, and says what went wrong; whether anything did.
    pub fn end(mut self, finished: impl FnOnce(View<'_>)) -> anyhow::Result<bool> {
        // What is printed has its number, and what is not is behind it: until all is put into order.
        self.analyzer.close();
        self.print()?;
        self.analyzer.settle();
        let Self { analyzer, blocks, mut live, herald, .. } = self;
        let problems = herald.end(live.problems(&analyzer));
        if live.tail.files().is_empty() && problems {
            bail!("no capture could be read");
        }
        let bad_key_logs = live.key_logs.finish(|_| Added::default())?;
        let journal = analyzer.journal();
        finished(View { journal, blocks: &blocks });
        Ok(problems | bad_key_logs | report_journal(journal))
    }
}

/// Prints the messages that are new.
pub struct Printer<'a> {
    args: &'a LiveArgs,
    definitions: &'a Definitions,
    wanted: Wanted,
    /// Made when the time of the first packet is known.
    listing: Option<Listing>,
    printed: u32,
}

impl<'a> Printer<'a> {
    pub fn new(args: &'a LiveArgs, definitions: &'a Definitions, wanted: Wanted) -> Self {
        Self { args, definitions, wanted, listing: None, printed: 0 }
    }

    fn print(&mut self, view: View<'_>) -> anyhow::Result<()> {
        let all = view.journal.records.len() as u32;
        let most = self.args.messages.map_or(all, |most| all.min(most));
        if self.printed >= most {
            return Ok(());
        }
        let Self { args, definitions, wanted, listing, printed } = self;
        let shown = wanted.of(view);
        let mut out = out::buffered();
        let listing = listing.get_or_insert_with(|| {
            let clock = args.time.clock_from(view.journal.start);
            Listing::growing(definitions, clock, styles(), args.look.width(), args.verbose)
        });
        for index in (*printed..most).filter(|&index| shown.message(index)) {
            match args.format {
                Format::Jsonl => jsonl::message(&mut out, view, index)?,
                Format::Text => listing.write(&mut out, view, index)?,
            }
        }
        out.flush()?;
        *printed = most;
        Ok(())
    }
}

/// How standard output takes what is printed.
enum Outlet {
    /// All of it.
    Free,
    /// Since then it has been waited for, from this message on.
    Busy(Instant, u32),
    /// Not any more, from this message on, and why.
    Failed(String, u32),
}

/// Says what goes wrong with a source, from a thread that waits for nothing else.
pub struct Herald {
    source: Arc<dyn Source>,
    outlet: Mutex<Outlet>,
    told: Mutex<Told>,
    over: AtomicBool,
}

impl Herald {
    /// Begins to say what goes wrong.
    pub fn begin(source: &Arc<dyn Source>) -> Arc<Self> {
        let (source, over) = (Arc::clone(source), AtomicBool::new(false));
        let (outlet, told) = (Mutex::new(Outlet::Free), Mutex::default());
        let herald = Arc::new(Self { source, outlet, told, over });
        thread::spawn({
            let herald = Arc::clone(&herald);
            move || {
                while !herald.over.load(Ordering::Relaxed) {
                    herald.say_new();
                    thread::sleep(WAIT);
                }
            }
        });
        herald
    }

    fn note(&self, outlet: Outlet) {
        *lock(&self.outlet) = outlet;
    }

    fn takes_more(&self) -> bool {
        !matches!(*lock(&self.outlet), Outlet::Failed(..))
    }

    /// What goes wrong now.
    fn problems(&self) -> Vec<String> {
        let outlet = match &*lock(&self.outlet) {
            Outlet::Busy(since, first) if since.elapsed() >= UNREAD => {
                Some(format!("standard output is not read: messages from #{first} on wait to be printed"))
            }
            Outlet::Failed(why, first) => {
                Some(format!("{why}; messages from #{first} on are passed on and recorded, but not printed"))
            }
            Outlet::Free | Outlet::Busy(..) => None,
        };
        self.source.problems().into_iter().chain(outlet).collect()
    }

    fn say_new(&self) {
        let problems = self.problems();
        let mut told = lock(&self.told);
        if !self.over.load(Ordering::Relaxed) {
            told.say_new(problems);
        }
    }

    /// Says how it ended, with what else went wrong; whether anything did.
    fn end(&self, others: Vec<String>) -> bool {
        let problems: Vec<String> = others.into_iter().chain(self.problems()).collect();
        let told = lock(&self.told);
        self.over.store(true, Ordering::Relaxed);
        told.say_last(&problems);
        !problems.is_empty()
    }

    /// Ends the source at once, because nobody waits for it any more.
    pub fn give_up(&self) {
        self.source.hurry();
        self.end(vec!["stopped before everything was read and printed".to_owned()]);
    }
}

/// What it guards is whole whatever happens to who holds it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The problems that were said while they last, by what they are without their counts.
#[derive(Default)]
struct Told(HashMap<String, String>);

impl Told {
    /// Says those that are new; one whose counts alone have changed is not.
    fn say_new(&mut self, problems: Vec<String>) {
        let told = std::mem::take(&mut self.0);
        for problem in problems {
            let kind: String = problem.chars().filter(|c| !c.is_ascii_digit()).collect();
            let said = told.get(&kind).cloned().unwrap_or_else(|| {
                say(&problem);
                problem
            });
            self.0.insert(kind, said);
        }
    }

    /// Says how it ended: whatever was not said in these words.
    fn say_last(&self, problems: &[String]) {
        problems.iter().filter(|problem| !self.0.values().any(|said| said == *problem)).for_each(say);
    }
}
