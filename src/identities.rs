//! Who is who: the KMs and controllers behind the ends of connections. In: a [`View`]. Out: names that are safe to
//! print. Refuses to know what is made of them.
//!
//! A connection shows two addresses; what an engineer wants to read is KMA-1. Only what is certain is used:
//! - The source KMA ID of 0x1403, 0x4104, 0x410A and 0x410C is that of the KM at this connection (Q.4164 7.2, 7.5, 7.6).
//!   That of 0x1401 names the source of the whole route, whichever KM asks (7.1), so it says nothing.
//! - The source KM ID of 0x4108 is that of the KM whose session creation request (0x1406) led to the same session, and
//!   the destination KM ID of 0x4107 that of the KM which was notified of it (7.3, 7.4).
//! - Whoever is called two names at one address is called by the address: it may be several.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::panic::resume_unwind;

use foldhash::fast::RandomState;

use crate::dissect::{CommandCode, Identifier, ParameterId};
use crate::escape::{escaped, width};
use crate::journal::{Connection, Record, Side, TextId, View};
use crate::packet::Endpoint;

/// Messages whose source KMA is the KM at the connection.
const NAME_THEIR_KM: [CommandCode; 4] =
    [CommandCode(0x1403), CommandCode(0x4104), CommandCode(0x410A), CommandCode(0x410C)];
const SESSION_CREATION_REQUEST: CommandCode = CommandCode(0x1406);
const SESSION_CREATION_RESPONSE: CommandCode = CommandCode(0x4107);
const SESSION_CREATION_NOTIFICATION: CommandCode = CommandCode(0x4108);
/// Sessions looked at to learn one KM's ID: payloads are decoded for it.
const MOST_SESSIONS: u8 = 4;
/// Messages that are not worth a thread.
const FEW: usize = 10_000;

/// One vertical line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// What it is called, escaped.
    pub name: String,
    /// A controller rather than a KM.
    pub is_controller: bool,
}

/// What the ends of connections are called.
#[derive(Debug)]
pub struct Identities<'a> {
    view: View<'a>,
    learned: Cow<'a, Learned>,
}

/// What all messages together say of who is who; kept where they are many and asked about often.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    /// Names of KMs by their end of a connection.
    names: HashMap<Endpoint, Name, RandomState>,
    /// Ends at which controllers listen.
    listening: BTreeSet<Endpoint>,
    /// How many controllers there are.
    controllers: usize,
}

impl Learned {
    /// Learns from every message.
    pub fn new(view: View<'_>) -> Self {
        Identities::new(view, 1).learned.into_owned()
    }

    /// A controller that listens is known by its address and port. One that dials has another port each time, so it is
    /// known by its address, or as the one that listens there if that is only one.
    fn controller(&self, end: Endpoint) -> String {
        if self.listening.contains(&end) {
            return end.to_string();
        }
        let here = Endpoint { port: 0, v6: false, ..end }..=Endpoint { port: u16::MAX, v6: true, ..end };
        let mut here = self.listening.range(here).filter(|other| other.v6 == end.v6);
        match (here.next(), here.next()) {
            (Some(only), None) => only.to_string(),
            _ => end.ip().to_string(),
        }
    }
}

/// The names of the KMs of all connections, for who asks for many of them.
#[derive(Debug, Default)]
pub struct Kms {
    /// By connection, an index of `names`.
    of_connections: Vec<u32>,
    /// Names, and their columns.
    names: Vec<(String, usize)>,
}

impl Kms {
    fn add(&mut self, name: String) -> u32 {
        let columns = width(&name);
        self.names.push((name, columns));
        self.names.len() as u32 - 1
    }

    /// The name of a connection's KM, escaped, and its columns.
    pub fn of(&self, connection: u32) -> (&str, usize) {
        let (name, columns) = &self.names[self.of_connections[connection as usize] as usize];
        (name, *columns)
    }
}

#[derive(Clone, Debug)]
enum Name {
    /// A KMA ID.
    Kma(TextId),
    /// A KM ID, escaped.
    Km(String),
    /// More than one.
    Several,
}

/// What one look at every message finds.
struct Said {
    /// What the KM of each connection calls itself, last.
    kmas: Vec<TextId>,
    /// Connections of which the KM calls itself by more than one name.
    several: HashSet<u32, RandomState>,
    /// Messages that tell what the KM of another connection is called.
    sessions: Vec<u32>,
}

impl Said {
    /// What all messages say; looked at in as many parts as there are threads.
    fn of(view: View<'_>, threads: usize) -> Self {
        let all = view.journal.records.len();
        let part = all.div_ceil(threads.max(1)).max(FEW);
        let parts: Vec<usize> = (0..all).step_by(part).collect();
        let parts = mapped(&parts, parts.len(), |&start| Self::of_part(view, start, part));
        let mut parts = parts.into_iter();
        let mut said = parts.next().unwrap_or_else(|| Self::of_part(view, 0, 0));
        parts.for_each(|later| said.add(later));
        said
    }

    fn of_part(view: View<'_>, start: usize, count: usize) -> Self {
        let kmas = vec![TextId::NONE; view.journal.connections.len()];
        let mut said = Self { kmas, several: HashSet::default(), sessions: Vec::new() };
        let end = view.journal.records.len().min(start + count);
        for (index, record) in (start..end).map(|index| (index as u32, &view.journal.records[index])) {
            if matches!(record.code, SESSION_CREATION_NOTIFICATION | SESSION_CREATION_RESPONSE) {
                said.sessions.push(index);
            }
            // A KM says who it is in every message, nearly always as the one before on its connection.
            let id = record.identifier(Identifier::Source);
            if id.is_some() && NAME_THEIR_KM.contains(&record.code) {
                let known = std::mem::replace(&mut said.kmas[record.connection as usize], id);
                if known != id && known.is_some() {
                    said.several.insert(record.connection);
                }
            }
        }
        said
    }

    /// Adds what was said after it.
    fn add(&mut self, later: Self) {
        for (connection, (known, id)) in (0..).zip(self.kmas.iter_mut().zip(later.kmas)) {
            if !id.is_some() {
                continue;
            }
            if known.is_some() && *known != id {
                self.several.insert(connection);
            }
            *known = id;
        }
        self.several.extend(later.several);
        self.sessions.extend(later.sessions);
    }
}

/// `make` of each item, in order, made on `threads` threads.
fn mapped<T: Sync, R: Send>(items: &[T], threads: usize, make: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let part = items.len().div_ceil(threads.max(1)).max(1);
    let make = |part: &[T]| part.iter().map(&make).collect::<Vec<R>>();
    if threads <= 1 || part == items.len() {
        return make(items);
    }
    std::thread::scope(|scope| {
        let make = &make;
        let parts: Vec<_> = items.chunks(part).map(|part| scope.spawn(move || make(part))).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

impl<'a> Identities<'a> {
    /// Learns from every message, on `threads` threads.
    pub fn new(view: View<'a>, threads: usize) -> Self {
        let mut identities = Self { view, learned: Cow::default() };
        let said = Said::of(view, threads);
        identities.learn_kmas(&said);
        identities.learn_kms(&said, threads);
        identities.learn_controllers();
        identities
    }

    /// With what was learned before.
    pub fn of(view: View<'a>, learned: &'a Learned) -> Self {
        Self { view, learned: Cow::Borrowed(learned) }
    }

    /// The KM's side of a connection; as if it had dialled where no message says so.
    pub fn km_side(connection: &Connection) -> Side {
        connection.km.unwrap_or(Side::Initiator)
    }

    /// The lane of one side of a connection.
    pub fn lane(&self, connection: u32, side: Side) -> Lane {
        let connection = &self.view.journal.connections[connection as usize];
        let end = connection.end(side);
        if side == Self::km_side(connection) {
            return Lane { name: self.km(end), is_controller: false };
        }
        let name = if self.has_several_controllers() {
            format!("controller {}", self.learned.controller(end))
        } else {
            "controller".to_owned()
        };
        Lane { name, is_controller: true }
    }

    /// Whether a lane has to say which controller it is.
    pub fn has_several_controllers(&self) -> bool {
        self.learned.controllers > 1
    }

    /// Where the controller of a connection is.
    pub fn controller_address(&self, connection: u32) -> String {
        let connection = &self.view.journal.connections[connection as usize];
        self.learned.controller(connection.end(Self::km_side(connection).other()))
    }

    /// The names of the KMs of all connections, as [`Identities::lane`] tells them one by one.
    pub fn kms(&self) -> Kms {
        let mut kms = Kms::default();
        let mut known: HashMap<TextId, u32, RandomState> = HashMap::default();
        for connection in &self.view.journal.connections {
            let end = connection.end(Self::km_side(connection));
            let index = match self.learned.names.get(&end) {
                Some(Name::Kma(id)) => *known.entry(*id).or_insert_with(|| kms.add(self.km(end))),
                _ => kms.add(self.km(end)),
            };
            kms.of_connections.push(index);
        }
        kms
    }

    fn km(&self, end: Endpoint) -> String {
        match self.learned.names.get(&end) {
            Some(Name::Kma(id)) => escaped(self.view.journal.texts.get(*id).unwrap_or("?")).into_owned(),
            Some(Name::Km(name)) => name.clone(),
            Some(Name::Several) | None => end.to_string(),
        }
    }

    fn km_end(&self, record: &Record) -> Endpoint {
        let connection = &self.view.journal.connections[record.connection as usize];
        connection.end(Self::km_side(connection))
    }

    fn learn_kmas(&mut self, said: &Said) {
        let names = &mut self.learned.to_mut().names;
        names.reserve(said.kmas.iter().filter(|id| id.is_some()).count());
        for ((index, connection), &id) in (0..).zip(&self.view.journal.connections).zip(&said.kmas) {
            if !id.is_some() {
                continue;
            }
            let name = names.entry(connection.end(Self::km_side(connection))).or_insert(Name::Kma(id));
            if !matches!(name, Name::Kma(known) if *known == id) || said.several.contains(&index) {
                *name = Name::Several;
            }
        }
    }

    fn learn_kms(&mut self, said: &Said, threads: usize) {
        let journal = self.view.journal;
        let silent = |(connection, id): (&Connection, &TextId)| {
            connection.messages > 0 && !id.is_some() && !self.is_settled(&connection.end(Self::km_side(connection)))
        };
        if !journal.connections.iter().zip(&said.kmas).any(silent) {
            return;
        }
        let [source, destination] =
            ["source_km_id", "destination_km_id"].map(|name| journal.definitions.parameter_named(name));
        let threads = if said.sessions.len() < FEW { 1 } else { threads };
        let ends = mapped(&said.sessions, threads, |&index| self.told_about(index, said));
        let mut looked_at: HashMap<Endpoint, u8, RandomState> = HashMap::default();
        let mut telling: Vec<(Endpoint, &Record, ParameterId)> = Vec::new();
        for (&index, end) in said.sessions.iter().zip(ends) {
            let record = self.view.record(index);
            let parameter = if record.code == SESSION_CREATION_NOTIFICATION { source } else { destination };
            let Some((end, parameter)) = end.zip(parameter) else { continue };
            let looks = looked_at.entry(end).or_default();
            *looks = looks.saturating_add(1);
            if *looks <= MOST_SESSIONS {
                telling.push((end, record, parameter));
            }
        }
        let told = mapped(&telling, threads, |&(_, record, parameter)| {
            let told = self.view.value_of(record, parameter);
            told.map(|told| escaped(told.trim()).into_owned()).filter(|name| !name.is_empty())
        });
        let names = &mut self.learned.to_mut().names;
        names.reserve(looked_at.len());
        for ((end, ..), name) in telling.iter().zip(told) {
            if let Some(name) = name {
                learn_km(names.entry(*end), name);
            }
        }
    }

    /// The KM at another connection that the session message `index` tells the name of, if that is not known.
    fn told_about(&self, index: u32, said: &Said) -> Option<Endpoint> {
        let partner = match self.view.record(index).code {
            SESSION_CREATION_NOTIFICATION => SESSION_CREATION_REQUEST,
            _ => SESSION_CREATION_NOTIFICATION,
        };
        let partner = self.partner(index, partner)?;
        let is_silent = !said.kmas[partner.connection as usize].is_some();
        is_silent.then(|| self.km_end(partner)).filter(|end| !self.is_settled(end))
    }

    /// Whether no KM ID can change what a KM is called.
    fn is_settled(&self, end: &Endpoint) -> bool {
        matches!(self.learned.names.get(end), Some(Name::Kma(_) | Name::Several))
    }

    /// The first message of the only other procedure of the same session that begins with `code`.
    fn partner(&self, index: u32, code: CommandCode) -> Option<&'a Record> {
        let journal = self.view.journal;
        let own = journal.records[index as usize].procedure;
        let session = journal.procedures.get(own as usize)?.session;
        let mut found = journal.members(own).iter().copied().filter(|&other| other != own).filter_map(|other| {
            let (first, _) = journal.first_and_last(other);
            let record = self.view.record(first);
            let is_it = session.is_some() && journal.procedures[other as usize].session == session;
            (is_it && record.code == code).then_some(record)
        });
        let only = found.next()?;
        found.next().is_none().then_some(only)
    }

    /// The connections that have messages.
    fn talking(&self) -> impl Iterator<Item = &'a Connection> + use<'a> {
        self.view.journal.connections.iter().filter(|connection| connection.messages > 0)
    }

    fn learn_controllers(&mut self) {
        // Few, on however many connections.
        let mut ends: HashSet<(Endpoint, bool), RandomState> = HashSet::default();
        ends.extend(self.talking().map(|connection| {
            let side = Self::km_side(connection).other();
            (connection.end(side), side == Side::Responder)
        }));
        let learned = self.learned.to_mut();
        learned.listening = ends.iter().filter(|(_, listens)| *listens).map(|&(end, _)| end).collect();
        let names: HashSet<String> = ends.iter().map(|&(end, _)| learned.controller(end)).collect();
        learned.controllers = names.len();
    }
}

/// What is called `name` may have been called something else before.
fn learn_km(known: Entry<'_, Endpoint, Name>, name: String) {
    match known {
        Entry::Vacant(unknown) => _ = unknown.insert(Name::Km(name)),
        Entry::Occupied(mut known) => {
            if matches!(known.get(), Name::Km(known) if *known != name) {
                known.insert(Name::Several);
            }
        }
    }
}

/// The connection and side that a procedure's KM speaks on.
pub fn km_of(view: View<'_>, procedure: u32) -> (u32, Side) {
    let (first, _) = view.journal.first_and_last(procedure);
    let connection = view.record(first).connection;
    (connection, Identities::km_side(&view.journal.connections[connection as usize]))
}
