//! What the ends of connections are called: by identity, by the user's alias, else by address.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::journal::{Side, View};
use crate::output::escape::{escaped, width};
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
    pub fn own<'a>(&'a self, shown: &'a str) -> &'a str {
        self.aliases.iter().find(|(_, alias)| *alias == shown).map_or(shown, |(own, _)| own)
    }

    /// A name as it is shown, with its own where that is another.
    pub fn told(&self, shown: &str) -> String {
        let own = self.own(shown);
        if own == shown { shown.to_owned() } else { format!("{own}, now {shown}") }
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

/// A lane's name in at most `room` columns: what tells it from others stays.
pub fn brief(name: &str, room: usize) -> Cow<'_, str> {
    if width(name) <= room {
        return Cow::Borrowed(name);
    }
    let (kind, which) = name.strip_prefix("controller").map_or(("", name), |which| ("ctrl", which));
    let is_address = which.trim().parse::<SocketAddr>().is_ok() || which.trim().parse::<IpAddr>().is_ok();
    match room.saturating_sub(kind.len()) {
        room if is_address && which.len() > room => {
            // Addresses in one network differ at their ends; they are ASCII.
            Cow::Owned(format!("{kind}…{}", &which[which.len() - room.saturating_sub(1)..]))
        }
        _ if kind.is_empty() => Cow::Borrowed(name),
        _ => Cow::Owned(format!("{kind}{which}")),
    }
}

#[cfg(test)]
mod tests {
    use super::brief;

    #[test]
    fn what_tells_a_lane_from_others_is_kept() {
        for (name, room, shown) in [
            ("controller", 10, "controller"),
            ("controller", 7, "ctrl"),
            ("controller 192.0.2.1:4164", 20, "ctrl 192.0.2.1:4164"),
            ("controller 192.0.2.1:4164", 10, "ctrl…:4164"),
            ("192.0.2.12:59956", 8, "…2:59956"),
            ("192.0.2.12:59956", 0, "…"),
            ("Tokyo-West-1", 7, "Tokyo-West-1"),
        ] {
            assert_eq!(brief(name, room), shown, "{name} in {room}");
        }
    }
}
