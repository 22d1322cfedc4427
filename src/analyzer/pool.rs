//! Workers on threads of their own, or one in the caller's. Queues are bounded by the analyzer, which never has more
//! than a few batches under way.

use std::collections::VecDeque;
use std::fmt;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::MAX_UNDER_WAY;
use super::work::{Output, Work};
use super::worker::Worker;

/// Where work is done.
pub enum Pool {
    /// In the caller's thread.
    Inline {
        /// The only worker.
        worker: Box<Worker>,
        /// What it made of batches not collected yet.
        done: VecDeque<Output>,
    },
    /// On threads.
    Threads(Vec<Thread>),
}

/// One worker's thread.
pub struct Thread {
    work: Option<Sender<Work>>,
    output: Receiver<Output>,
    handle: Option<JoinHandle<()>>,
}

impl Pool {
    /// A pool of `workers`, at least one.
    pub fn new(mut workers: Vec<Worker>, threads: bool) -> Self {
        match workers.pop() {
            Some(worker) if !threads && workers.is_empty() => {
                Self::Inline { worker: Box::new(worker), done: VecDeque::new() }
            }
            last => Self::Threads(workers.into_iter().chain(last).map(Thread::start).collect()),
        }
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        match self {
            Self::Inline { .. } => 1,
            Self::Threads(threads) => threads.len(),
        }
    }

    /// How many batches may wait to be collected.
    pub fn pipeline(&self) -> usize {
        match self {
            Self::Inline { .. } => 0,
            Self::Threads(_) => MAX_UNDER_WAY,
        }
    }

    /// Gives every worker its part of a batch.
    pub fn submit(&mut self, works: Vec<Work>) {
        match self {
            Self::Inline { worker, done } => done.extend(works.into_iter().map(|work| worker.run(work))),
            Self::Threads(threads) => {
                for (thread, work) in threads.iter().zip(works) {
                    let sender = thread.work.as_ref().expect("the sender lives as long as the pool");
                    sender.send(work).expect("a worker ends only when its sender is dropped");
                }
            }
        }
    }

    /// What every worker made of the oldest batch not collected yet.
    pub fn collect(&mut self) -> Vec<Output> {
        match self {
            Self::Inline { done, .. } => done.pop_front().into_iter().collect(),
            Self::Threads(threads) => threads
                .iter()
                .map(|thread| thread.output.recv().expect("a worker answers all work it was given"))
                .collect(),
        }
    }
}

impl Thread {
    fn start(mut worker: Worker) -> Self {
        let (work, inbox) = bounded::<Work>(MAX_UNDER_WAY + 2);
        let (outbox, output) = bounded(MAX_UNDER_WAY + 2);
        let run = move || {
            for work in inbox {
                if outbox.send(worker.run(work)).is_err() {
                    return;
                }
            }
        };
        let handle = std::thread::Builder::new().name("ckscope-worker".to_owned()).spawn(run);
        Self { work: Some(work), output, handle: Some(handle.expect("the system can start a thread")) }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.work = None;
        if let Some(handle) = self.handle.take() {
            // A panic of the worker was already met by whoever waited for its output.
            let _ = handle.join();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} workers)", self.workers())
    }
}
