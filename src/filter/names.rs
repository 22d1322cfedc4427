//! The names of KMs, learned from all messages when a filter first asks for one.

use std::sync::{Arc, PoisonError, RwLock};

use crate::identities::{Identities, Learned};
use crate::journal::View;

/// Of a journal that grows, names are learned again when it has grown by one part in so many: each message is then
/// looked at a few times in all.
const GROWTH: usize = 8;

/// What was learned, and from how many messages.
#[derive(Debug, Default)]
pub(super) struct Names {
    learned: RwLock<Option<(usize, Arc<Learned>)>>,
}

impl Names {
    /// With what somebody else learned from the messages of `view`, or from those that there were a little while ago.
    pub(super) fn known(view: View<'_>, learned: Arc<Learned>) -> Self {
        Self { learned: RwLock::new(Some((view.journal.records.len(), learned))) }
    }

    /// What the messages of `view` say, or said a little while ago.
    pub(super) fn of(&self, view: View<'_>) -> Arc<Learned> {
        let count = view.journal.records.len();
        let is_fresh = |known: usize| (known..=known + known / GROWTH).contains(&count);
        // A panic of whoever held it leaves what was there.
        let learned = self.learned.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, learned)) = learned.filter(|(known, _)| is_fresh(*known)) {
            return learned;
        }
        let fresh = Arc::new(Learned::new(view));
        *self.learned.write().unwrap_or_else(PoisonError::into_inner) = Some((count, Arc::clone(&fresh)));
        fresh
    }
}

/// The KM of a connection.
pub(super) fn km(view: View<'_>, connection: u32, learned: &Learned) -> String {
    let side = Identities::km_side(&view.journal.connections[connection as usize]);
    Identities::of(view, learned).lane(connection, side).name
}
