//! Which group a message or procedure belongs to.

use std::collections::HashMap;

use super::{By, Cell};
use crate::dissect::Identifier;
use crate::identities::{Identities, km_of};
use crate::journal::{NONE, View};

/// Numbers groups as they are met.
#[derive(Debug)]
pub struct Groups<'a> {
    view: View<'a>,
    identities: &'a Identities<'a>,
    by: By,
    names: Vec<String>,
    numbers: HashMap<String, u32>,
    /// Groups of connections or procedures already looked at.
    known: HashMap<u32, u32>,
}

impl<'a> Groups<'a> {
    /// Groups by `by`.
    pub fn new(view: View<'a>, identities: &'a Identities<'a>, by: By) -> Self {
        Self { view, identities, by, names: Vec::new(), numbers: HashMap::new(), known: HashMap::new() }
    }

    /// The group of message `index`.
    pub fn of_message(&mut self, index: u32) -> u32 {
        let record = self.view.record(index);
        match self.by {
            By::All => 0,
            By::Connection => record.connection,
            By::Km => self.km(record.connection),
            By::Pair if record.procedure != NONE => self.pair(record.procedure),
            By::Pair => {
                let ends = [Identifier::Source, Identifier::Destination].map(|end| self.text(index, end));
                self.number(pair(ends))
            }
        }
    }

    /// The group of procedure `index`.
    pub fn of_procedure(&mut self, index: u32) -> u32 {
        match self.by {
            By::Pair => self.pair(index),
            _ => self.of_message(self.view.journal.first_and_last(index).0),
        }
    }

    /// What a group is called; nothing where all are one.
    pub fn cell(&self, group: u32) -> Option<Cell> {
        match self.by {
            By::All => None,
            By::Connection => Some(Cell::Count(u64::from(group) + 1)),
            By::Km | By::Pair => Some(Cell::Text(self.names[group as usize].clone())),
        }
    }

    fn km(&mut self, connection: u32) -> u32 {
        if let Some(&group) = self.known.get(&connection) {
            return group;
        }
        let side = Identities::km_side(&self.view.journal.connections[connection as usize]);
        let group = self.number(self.identities.lane(connection, side).name);
        self.known.insert(connection, group);
        group
    }

    fn pair(&mut self, procedure: u32) -> u32 {
        if let Some(&group) = self.known.get(&procedure) {
            return group;
        }
        let group = self.number(pair(self.ends(procedure)));
        self.known.insert(procedure, group);
        group
    }

    /// The KMs that a procedure is about: as its messages name them, or, of a session, where its request came from and
    /// where the procedure nested in it went (Q.4164 7.3, 7.4).
    fn ends(&self, procedure: u32) -> [Option<String>; 2] {
        let journal = self.view.journal;
        let mut ends = [None, None];
        for &message in journal.messages(procedure) {
            for (end, identifier) in ends.iter_mut().zip([Identifier::Source, Identifier::Destination]) {
                *end = end.take().or_else(|| self.text(message, identifier));
            }
        }
        if ends != [None, None] {
            return ends;
        }
        let own = &journal.procedures[procedure as usize];
        let nests = |inner: u16, outer: u16| {
            let nested = journal.definitions.procedures[inner as usize].nested_in.as_ref();
            nested.is_some_and(|(definition, _)| *definition == outer)
        };
        let other = journal.related(procedure).into_iter().find(|&other| {
            let other = &journal.procedures[other as usize];
            let is_one = nests(own.definition, other.definition) || nests(other.definition, own.definition);
            own.session.is_some() && own.session == other.session && is_one
        });
        [Some(procedure), other].map(|procedure| procedure.map(|procedure| self.km_name(procedure)))
    }

    fn km_name(&self, procedure: u32) -> String {
        let (connection, side) = km_of(self.view, procedure);
        self.identities.lane(connection, side).name
    }

    fn text(&self, message: u32, identifier: Identifier) -> Option<String> {
        self.view.journal.texts.get(self.view.record(message).identifier(identifier)).map(str::to_owned)
    }

    fn number(&mut self, name: String) -> u32 {
        let next = self.names.len() as u32;
        *self.numbers.entry(name).or_insert_with_key(|name| {
            self.names.push(name.clone());
            next
        })
    }
}

/// `KMA-1 – KMA-4`, whichever of them is the source.
fn pair(ends: [Option<String>; 2]) -> String {
    let mut ends = ends.map(|end| end.unwrap_or_else(|| "?".to_owned()));
    if ends[0] == "?" || (ends[1] != "?" && ends[0] > ends[1]) {
        ends.swap(0, 1);
    }
    ends.join(" – ")
}
