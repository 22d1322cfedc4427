//! What the ends of connections are called: by identity, by the user's alias, else by address.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::journal::{Side, View};
use crate::output::escape::escaped;
use crate::output::ladder::{Identities, Lane, Learned, km_of};

/// Names, learned from the journal and given by the user.
#[derive(Clone, Debug, Default)]
pub struct Names {
    learned: Arc<Learned>,
    /// Aliases, escaped, by the name they stand for.
    pub aliases: BTreeMap<String, String>,
}

impl Names {
    /// Learns anew from every message.
    pub fn learn(&mut self, view: View<'_>) {
        self.learned = Arc::new(Learned::new(view));
    }

    /// What was learned.
    pub fn learned(&self) -> Arc<Learned> {
        Arc::clone(&self.learned)
    }

    /// Calls `name` by `alias`; by its own if that is empty.
    pub fn call(&mut self, name: &str, alias: &str) {
        let own = self.own(name).to_owned();
        if alias.trim().is_empty() {
            self.aliases.remove(&own);
        } else {
            self.aliases.insert(own, escaped(alias.trim()).into_owned());
        }
    }

    /// The name that an alias stands for.
    fn own<'a>(&'a self, shown: &'a str) -> &'a str {
        self.aliases.iter().find(|(_, alias)| *alias == shown).map_or(shown, |(own, _)| own)
    }

    /// What a name is shown as.
    pub fn shown<'a>(&'a self, name: &'a str) -> &'a str {
        self.aliases.get(name).map_or(name, String::as_str)
    }

    /// The ends' identities.
    pub fn identities<'a>(&'a self, view: View<'a>) -> Identities<'a> {
        Identities::of(view, &self.learned)
    }

    /// The lane of one side of a connection.
    pub fn lane(&self, view: View<'_>, connection: u32, side: Side) -> Lane {
        let mut lane = self.identities(view).lane(connection, side);
        if let Some(alias) = self.aliases.get(&lane.name) {
            lane.name.clone_from(alias);
        }
        lane
    }

    /// The KM of a procedure.
    pub fn km(&self, view: View<'_>, procedure: u32) -> String {
        let (connection, side) = km_of(view, procedure);
        self.lane(view, connection, side).name
    }

    /// The controller of a procedure.
    pub fn controller(&self, view: View<'_>, procedure: u32) -> String {
        let (connection, side) = km_of(view, procedure);
        self.lane(view, connection, side.other()).name
    }
}
