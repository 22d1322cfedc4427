//! Looks through many messages on a thread of its own, for the display filter, what is followed and what is searched
//! for, so that the screen and the keys never wait for it. In: [`Restriction`]s and [`Search`]es. Out: [`Part`]s of what
//! they find, in order.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Scope};
use std::time::Duration;

use super::feed::Feed;
use super::filter::Shown;
use super::scan::PIECE;
use super::search::{Found, Search};

/// Between two pieces, for others to have the journal.
const REST: Duration = Duration::from_micros(200);

/// A look for what is shown.
#[derive(Clone, Debug)]
pub struct Restriction {
    /// What is shown.
    pub shown: Shown,
    /// Where to look.
    pub messages: Range<u32>,
}

enum Job {
    Restrict(Restriction),
    Search(Search),
}

/// What was found.
#[derive(Clone, Debug)]
pub enum Part {
    /// Messages that are shown.
    Shown {
        /// The [`Shown::number`] of the look.
        number: u64,
        /// Where was looked.
        messages: Range<u32>,
        /// They, ascending.
        found: Vec<u32>,
    },
    /// Where a search led.
    Searched {
        /// The [`Search::number`].
        number: u64,
        /// What it found, never [`Found::NotYet`].
        found: Found,
    },
}

/// The thread.
pub struct Scout {
    jobs: Sender<Job>,
    parts: Receiver<Part>,
    wanted: Arc<Wanted>,
    /// The restriction that was given last: its number and end.
    given: (u64, u32),
    /// The search that was.
    searched: Option<u64>,
}

/// The numbers of the jobs that are still wanted.
#[derive(Debug, Default)]
struct Wanted {
    shown: AtomicU64,
    search: AtomicU64,
}

/// No search has this number.
const NO_SEARCH: u64 = u64::MAX;

impl Scout {
    /// Begins the thread, which ends with this.
    pub fn start<'scope, 'env>(scope: &'scope Scope<'scope, 'env>, feed: &'env dyn Feed) -> Self {
        let (jobs, taken) = channel::<Job>();
        let (give, parts) = channel();
        let wanted = Arc::new(Wanted::default());
        let still_wanted = Arc::clone(&wanted);
        scope.spawn(move || {
            while let Ok(job) = taken.recv() {
                match job {
                    Job::Restrict(look) => restrict(feed, look, &still_wanted, &give),
                    Job::Search(search) => search_on(feed, search, &still_wanted, &give),
                }
            }
        });
        Self { jobs, parts, wanted, given: (0, 0), searched: None }
    }

    /// What was found since the last call.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        self.parts.try_iter()
    }

    /// Gives the thread what there is to do: what is shown, by that number, and a search. What it did before is wanted
    /// no more if they are others.
    pub fn give(&mut self, number: u64, look: Option<Restriction>, search: Option<&Search>) {
        self.wanted.shown.store(number, Ordering::Relaxed);
        self.wanted.search.store(search.map_or(NO_SEARCH, |search| search.number), Ordering::Relaxed);
        let is_new = |look: &Restriction| self.given.0 != number || look.messages.start >= self.given.1;
        if let Some(look) = look.filter(is_new) {
            self.given = (number, look.messages.end);
            self.send(Job::Restrict(look));
        }
        if let Some(search) = search.filter(|search| self.searched != Some(search.number)) {
            self.searched = Some(search.number);
            self.send(Job::Search(search.clone()));
        }
    }

    fn send(&self, job: Job) {
        // It listens until this is dropped.
        let _ = self.jobs.send(job);
    }
}

fn restrict(feed: &dyn Feed, look: Restriction, wanted: &Wanted, give: &Sender<Part>) {
    let Restriction { shown, messages: Range { mut start, end } } = look;
    while start < end && wanted.shown.load(Ordering::Relaxed) == shown.number {
        let messages = start..end.min(start.saturating_add(PIECE));
        let mut found = Vec::new();
        feed.with(&mut |view| found = messages.clone().filter(|&index| shown.lets_through(view, index)).collect());
        start = messages.end;
        if give.send(Part::Shown { number: shown.number, messages, found }).is_err() {
            return;
        }
        thread::sleep(REST);
    }
}

fn search_on(feed: &dyn Feed, mut search: Search, wanted: &Wanted, give: &Sender<Part>) {
    while wanted.search.load(Ordering::Relaxed) == search.number {
        let mut found = Found::NotYet;
        feed.with(&mut |view| found = search.step(view));
        if found != Found::NotYet {
            // Nobody is there any more only at the end.
            let _ = give.send(Part::Searched { number: search.number, found });
            return;
        }
        thread::sleep(REST);
    }
}
