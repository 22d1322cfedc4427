//! An analysis that goes on in a thread of its own while the interface looks at it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::bail;

use super::input::InputArgs;
use super::live::{Live, Source};
use super::report::problems;
use super::secrets::KeyLogs;
use crate::analyzer::Analyzer;
use crate::capture::Block;
use crate::capture::file::{News, Reader, Replay};
use crate::capture::growing::Growing;
use crate::journal::View;
use crate::tui::{Feed, Phase, Status};

/// How long the analysis waits for a look that was asked for, at most.
const PATIENCE: Duration = Duration::from_millis(20);
/// How often it looks whether it is over.
const GLANCE: Duration = Duration::from_micros(200);

/// The analysis, shared by the thread that does it and the one that draws.
pub struct Shared {
    inner: Mutex<Inner>,
    /// Somebody wants to look. A lock alone would not let them: the analysis takes it again at once.
    wanted: AtomicBool,
    cancelled: AtomicBool,
    source: Option<Arc<dyn Source>>,
    /// The packets, to be read once more.
    packets: Replay,
}

/// What is looked at.
pub struct Inner {
    pub analyzer: Analyzer,
    pub blocks: Vec<Block>,
    pub status: Status,
}

impl Shared {
    /// An analysis of what `source` brings, by way of what grows.
    pub fn live(analyzer: Analyzer, source: Arc<dyn Source>, growing: &Arc<Growing>) -> Self {
        Self::new(analyzer, Vec::new(), Some(source), Replay::of_growing(growing))
    }

    /// An analysis of the files that `reader` will read.
    pub fn of_files(analyzer: Analyzer, reader: &Reader) -> Self {
        Self::new(analyzer, reader.blocks().to_vec(), None, Replay::of_files(reader))
    }

    fn new(analyzer: Analyzer, blocks: Vec<Block>, source: Option<Arc<dyn Source>>, packets: Replay) -> Self {
        let inner = Inner { analyzer, blocks, status: Status::default() };
        let (wanted, cancelled) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { inner: Mutex::new(inner), wanted, cancelled, source, packets }
    }

    /// Reads to the end, or until cancelled.
    pub fn read(&self, args: &InputArgs, mut reader: Reader, mut key_logs: KeyLogs) -> anyhow::Result<KeyLogs> {
        let front = self.lock().analyzer.detach();
        let read = args.each_batch(&mut reader, front, |segments, blocks, read| {
            if self.is_cancelled() {
                bail!("cancelled");
            }
            self.give_way();
            let mut inner = self.lock();
            key_logs.poll(|bytes| inner.analyzer.add_secrets(bytes))?;
            inner.analyzer.segments(segments, blocks);
            inner.status.generation += 1;
            inner.status.read = Some(read);
            Ok(())
        });
        let undecoded = self.lock().analyzer.undecoded();
        self.finish(problems(&reader, &undecoded), read);
        Ok(key_logs)
    }

    /// Follows a live source until it ends, or is stopped.
    pub fn follow(&self, mut live: Live) -> anyhow::Result<KeyLogs> {
        let mut followed = Ok(());
        loop {
            let news = live.next();
            self.give_way();
            let mut inner = self.lock();
            let Inner { analyzer, blocks, status } = &mut *inner;
            status.behind = live.behind();
            if news == News::Over {
                break;
            }
            match live.analyze(analyzer, blocks) {
                Ok(any) => status.generation += u64::from(any),
                Err(error) => followed = followed.and(Err(error)),
            }
            let enough = live.is_enough(analyzer.journal());
            drop(inner);
            if enough {
                self.cancel();
            }
            if news == News::None {
                live.wait();
            }
        }
        let mut problems = live.problems(&self.lock().analyzer);
        problems.extend(self.source.iter().flat_map(|source| source.problems()));
        self.finish(problems, followed);
        Ok(live.into_key_logs())
    }

    /// The journal is final.
    fn finish(&self, problems: Vec<String>, read: anyhow::Result<()>) {
        let cancelled = self.is_cancelled();
        let mut inner = self.lock();
        inner.analyzer.finish();
        inner.status.generation += 1;
        inner.status.problems = problems;
        inner.status.phase = if cancelled { Phase::Cancelled } else { Phase::Done };
        if let (Err(error), false) = (read, cancelled) {
            inner.status.problems.push(format!("{error:#}"));
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
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
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
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
        let mut status = self.wait().status.clone();
        if let Some(source) = &self.source {
            status.lost = source.lost();
            status.panel = source.panel();
        }
        status
    }

    fn key_log(&self, randoms: &BTreeSet<[u8; 32]>) -> (String, usize) {
        self.wait().analyzer.secrets().key_log(randoms)
    }

    fn packets(&self) -> Option<Replay> {
        Some(self.packets.again())
    }

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        if let Some(source) = &self.source {
            source.stop();
        }
    }
}
