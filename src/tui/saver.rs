//! Writes files on threads of their own, so that neither the screen nor the analysis waits for a disk.

use std::thread::{Scope, ScopedJoinHandle};

use super::feed::Feed;
use super::save::{Order, save};
use super::state::State;

/// What became of an order, and whether it went wrong.
type Outcome = (String, bool);

/// Files that are being written.
pub struct Saver<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    feed: &'env dyn Feed,
    writing: Vec<ScopedJoinHandle<'scope, Outcome>>,
}

impl<'scope, 'env> Saver<'scope, 'env> {
    /// Nothing is written yet.
    pub fn new(scope: &'scope Scope<'scope, 'env>, feed: &'env dyn Feed) -> Self {
        Self { scope, feed, writing: Vec::new() }
    }

    /// Begins to write.
    pub fn begin(&mut self, state: &mut State, order: Order) {
        let feed = self.feed;
        self.writing.push(self.scope.spawn(move || outcome(feed, &order)));
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

    /// Waits for all that is being written; what went wrong with it.
    pub fn finish(&mut self) -> Vec<String> {
        let outcomes = self.writing.drain(..).map(ended);
        outcomes.filter(|(_, wrong)| *wrong).map(|(text, _)| text).collect()
    }
}

fn ended(writing: ScopedJoinHandle<'_, Outcome>) -> Outcome {
    writing.join().unwrap_or_else(|_| ("saving failed; please report what was said above".to_owned(), true))
}

fn outcome(feed: &dyn Feed, order: &Order) -> Outcome {
    let (path, count) = (order.path.display(), order.messages.len());
    match save(feed, order) {
        Ok(None) => (format!("{path}: {count} messages"), false),
        Ok(Some(note)) => (format!("{path}: {count} messages, {note}"), false),
        Err(error) => (format!("{path}: {error}"), true),
    }
}
