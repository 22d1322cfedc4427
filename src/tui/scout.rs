//! Looks through many messages on a thread of its own, for the display filter and what is followed, so that the screen
//! and the keys never wait for it. In: [`Job`]s. Out: [`Part`]s of what they find, in order.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Scope};
use std::time::Duration;

use super::feed::Feed;
use super::filter::Shown;
use super::scan::PIECE;

/// Between two pieces, for others to have the journal.
const REST: Duration = Duration::from_micros(200);

/// Messages to look through.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is looked for.
    pub shown: Shown,
    /// Where.
    pub messages: Range<u32>,
}

/// What was found in a part of a job.
#[derive(Clone, Debug)]
pub struct Part {
    /// The [`Shown::number`] of the job.
    pub number: u64,
    /// Where it was looked.
    pub messages: Range<u32>,
    /// Messages that are shown, ascending.
    pub found: Vec<u32>,
}

/// The thread.
pub struct Scout {
    jobs: Sender<Job>,
    parts: Receiver<Part>,
    /// The number of the job that is still wanted.
    wanted: Arc<AtomicU64>,
    /// The job that was given last: its number and end.
    given: (u64, u32),
}

impl Scout {
    /// Begins the thread, which ends with this.
    pub fn start<'scope, 'env>(scope: &'scope Scope<'scope, 'env>, feed: &'env dyn Feed) -> Self {
        let (jobs, taken) = channel::<Job>();
        let (give, parts) = channel();
        let wanted = Arc::new(AtomicU64::new(0));
        let still_wanted = Arc::clone(&wanted);
        scope.spawn(move || {
            for job in taken {
                look(feed, &job, &still_wanted, &give);
            }
        });
        Self { jobs, parts, wanted, given: (0, 0) }
    }

    /// What was found since the last call.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        self.parts.try_iter()
    }

    /// Gives the thread what there is to do; what it did before is wanted no more if `job` is another.
    pub fn give(&mut self, number: u64, job: Option<Job>) {
        self.wanted.store(number, Ordering::Relaxed);
        let Some(job) = job else { return };
        let is_under_way = self.given.0 == number && job.messages.start < self.given.1;
        if !is_under_way {
            self.given = (number, job.messages.end);
            // It listens until this is dropped.
            let _ = self.jobs.send(job);
        }
    }
}

fn look(feed: &dyn Feed, job: &Job, wanted: &AtomicU64, give: &Sender<Part>) {
    let Range { mut start, end } = job.messages;
    while start < end && wanted.load(Ordering::Relaxed) == job.shown.number {
        let messages = start..end.min(start.saturating_add(PIECE));
        let mut found = Vec::new();
        feed.with(&mut |view| found = messages.clone().filter(|&index| job.shown.lets_through(view, index)).collect());
        start = messages.end;
        if give.send(Part { number: job.shown.number, messages, found }).is_err() {
            return;
        }
        thread::sleep(REST);
    }
}
