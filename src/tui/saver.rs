//! Writes files on threads of their own, so that neither the screen nor the analysis waits for a disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};

use super::feed::Feed;
use super::marks::counted;
use super::save::{Order, save};
use super::state::State;

/// What became of an order, and whether it went wrong.
type Outcome = (String, bool);

/// Files that are being written.
pub struct Saver<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    feed: &'env dyn Feed,
    writing: Vec<ScopedJoinHandle<'scope, Outcome>>,
    given_up: Arc<AtomicBool>,
}

impl<'scope, 'env> Saver<'scope, 'env> {
    /// Nothing is written yet.
    pub fn new(scope: &'scope Scope<'scope, 'env>, feed: &'env dyn Feed) -> Self {
        Self { scope, feed, writing: Vec::new(), given_up: Arc::default() }
    }

    /// Begins to write.
    pub fn begin(&mut self, state: &mut State, order: Order) {
        let (feed, given_up) = (self.feed, Arc::clone(&self.given_up));
        self.writing.push(self.scope.spawn(move || outcome(feed, &order, &given_up)));
        state.saving = self.writing.len();
    }

    /// Says what became of what is written, if anything is since the last call.
    pub fn news(&mut self, state: &mut State) {
        while let Some(done) = self.writing.iter().position(ScopedJoinHandle::is_finished) {
            let (text, wrong) = ended(self.writing.remove(done));
            if wrong { state.say_wrong(text) } else { state.say(text) }
        }
        state.saving = self.writing.len();
    }

    /// Whether all is written.
    pub fn is_done(&self) -> bool {
        self.writing.iter().all(ScopedJoinHandle::is_finished)
    }

    /// Nothing of what is being written is wanted any more.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Waits for all that is being written; what went wrong with it.
    pub fn finish(&mut self) -> Vec<String> {
        let outcomes = self.writing.drain(..).map(ended);
        outcomes.filter(|(_, wrong)| *wrong).map(|(text, _)| text).collect()
    }
}

fn ended(writing: ScopedJoinHandle<'_, Outcome>) -> Outcome {
    writing.join().unwrap_or_else(|_| ("saving failed; please report what was said above".to_owned(), true))
}

fn outcome(feed: &dyn Feed, order: &Order, given_up: &AtomicBool) -> Outcome {
    let (path, count) = (order.path.display(), counted(order.messages.len()));
    match save(feed, order, given_up) {
        Ok(None) => (format!("{path}: {count}"), false),
        Ok(Some(note)) => (format!("{path}: {count}, {note}"), false),
        Err(error) => (format!("{path}: {error}"), true),
    }
}
