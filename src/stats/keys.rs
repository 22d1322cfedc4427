//! Keys by KM pair: reserved (Q.4164 7.5), allocated (7.6), and relays (7.1, 7.2), which say of no key which it is.
//!
//! A key counts once, when the first complete procedure names it: both ends of a pair reserve the same keys. What
//! failed, or was never answered, reserved and allocated nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{By, Cell, Section, Statistics, Table};
use crate::dissect::Role;
use crate::journal::{NONE, State};
use crate::time::Timestamp;

/// Procedures by their names in definitions.
const RESERVATION: &str = "key-reservation";
const ALLOCATION: &str = "key-allocation";
const DISTRIBUTED: &str = "key-relay-distributed";
const CENTRALIZED: &str = "key-relay-centralized";

/// Keys told apart: far beyond what a QKDN makes in a day, and some hundred bytes of memory each.
const MOST_KEYS: usize = 4_000_000;

/// When a key was first reserved or allocated, and by which message.
type Event = Option<(Timestamp, u32)>;

/// What is known of all keys.
#[derive(Debug)]
pub(super) struct Keys {
    names: Vec<String>,
    events: HashMap<(u32, String), [Event; 2]>,
    relays: Vec<(u32, Timestamp)>,
    omitted: u64,
}

impl Statistics<'_> {
    /// Keys and relays of each pair.
    pub(super) fn keys(&self, section: Section) -> Table {
        let keys = self.learned_keys();
        let mut counts: BTreeMap<u32, [u64; 5]> = BTreeMap::new();
        for ((pair, _), [reserved, allocated]) in &keys.events {
            let count = counts.entry(*pair).or_default();
            count[0] += u64::from(reserved.is_some());
            count[1] += u64::from(allocated.is_some());
            count[2] += u64::from(allocated.is_none());
            count[3] += u64::from(reserved.is_none());
        }
        keys.relays.iter().for_each(|(pair, _)| counts.entry(*pair).or_default()[4] += 1);
        let rows = counts.into_iter().map(|(pair, count)| keys.row(pair, [], count)).collect();
        let columns = ["reserved", "allocated", "never_allocated", "never_reserved", "relays"];
        Table { rows, note: keys.note(), ..self.empty(section, &columns, Some(0)) }
    }

    /// Keys first reserved, first allocated, and relays, by interval; intervals without any are left out.
    pub(super) fn keys_over_time(&self, section: Section) -> Table {
        let keys = self.learned_keys();
        let mut counts: BTreeMap<(u32, Timestamp), [u64; 3]> = BTreeMap::new();
        for ((pair, _), events) in &keys.events {
            for (column, (time, _)) in events.iter().enumerate().filter_map(|(at, event)| Some((at, (*event)?))) {
                counts.entry((*pair, self.interval_of(time))).or_default()[column] += 1;
            }
        }
        for (pair, time) in &keys.relays {
            counts.entry((*pair, self.interval_of(*time))).or_default()[2] += 1;
        }
        let row = |((pair, start), count): ((u32, Timestamp), [u64; 3])| keys.row(pair, [Cell::Time(start)], count);
        let rows = counts.into_iter().map(row).collect();
        let columns = ["start", "reserved", "allocated", "relays"];
        Table { rows, note: keys.note(), ..self.empty(section, &columns, Some(1)) }
    }

    /// Keys that were only reserved or only allocated in this capture.
    pub(super) fn key_mismatches(&self, section: Section) -> Table {
        let keys = self.learned_keys();
        let mut alone: Vec<(u32, Timestamp, u32, &String, &str)> = Vec::new();
        for ((pair, key), events) in &keys.events {
            match events {
                [Some((time, message)), None] => alone.push((*pair, *time, *message, key, "reserved, never allocated")),
                [None, Some((time, message))] => alone.push((*pair, *time, *message, key, "allocated, never reserved")),
                _ => {}
            }
        }
        alone.sort_unstable();
        let row = |(pair, time, message, key, what): (u32, Timestamp, u32, &String, &str)| {
            let cells = [Cell::Text(key.clone()), Cell::Text(what.to_owned()), Cell::Time(time)];
            keys.row(pair, cells, [u64::from(message) + 1])
        };
        let rows = alone.into_iter().map(row).collect();
        Table { rows, note: keys.note(), ..self.empty(section, &["key_id", "what", "time", "message"], None) }
    }

    /// Decoding the payloads costs more than all other tables together, so it is done once.
    fn learned_keys(&self) -> &Keys {
        self.keys.get_or_init(|| self.learn_keys())
    }

    fn learn_keys(&self) -> Keys {
        let journal = self.view.journal;
        let mut groups = self.groups(By::Pair);
        let mut keys = Keys { names: Vec::new(), events: HashMap::new(), relays: Vec::new(), omitted: 0 };
        let mut relayed = HashSet::new();
        for &index in &self.procedures {
            let procedure = &journal.procedures[index as usize];
            let name = journal.definitions.procedures[procedure.definition as usize].name.as_str();
            if procedure.state != State::Complete {
                continue;
            }
            let mut pair = || groups.of_procedure(index);
            match name {
                RESERVATION | ALLOCATION => {
                    self.learn_procedure(&mut keys, index, pair(), usize::from(name == ALLOCATION))
                }
                // Each KM on the way of one relay asks for its next hop (Q.4164 7.1).
                DISTRIBUTED if procedure.exchange != NONE && !relayed.insert(procedure.exchange) => {}
                DISTRIBUTED | CENTRALIZED => {
                    let (_, last) = journal.first_and_last(index);
                    keys.relays.push((pair(), self.view.record(last).time));
                }
                _ => {}
            }
        }
        let pairs = keys.events.keys().map(|(pair, _)| *pair).chain(keys.relays.iter().map(|(pair, _)| *pair));
        let most = pairs.max().map_or(0, |most| most + 1);
        keys.names = (0..most)
            .map(|pair| match groups.cell(pair) {
                Some(Cell::Text(name)) => name,
                _ => String::new(),
            })
            .collect();
        keys
    }

    fn learn_procedure(&self, keys: &mut Keys, procedure: u32, pair: u32, event: usize) {
        for &message in self.view.journal.messages(procedure) {
            let record = self.view.record(message);
            let decoded = self.view.decoded(record);
            let definitions = &self.view.journal.definitions;
            let is_keys = |id| definitions.parameter(id).role == Some(Role::Keys);
            let entries = decoded.entries.iter().filter(|entry| entry.parameter.is_some_and(is_keys));
            for key in entries.flat_map(|entry| entry.identifiers()) {
                keys.note_event((pair, key), event, (record.time, message));
            }
        }
    }
}

impl Keys {
    fn note_event(&mut self, key: (u32, String), event: usize, seen: (Timestamp, u32)) {
        if self.events.len() >= MOST_KEYS && !self.events.contains_key(&key) {
            self.omitted += 1;
            return;
        }
        self.events.entry(key).or_default()[event].get_or_insert(seen);
    }

    fn row<const A: usize, const B: usize>(&self, pair: u32, cells: [Cell; A], counts: [u64; B]) -> Vec<Cell> {
        let name = Cell::Text(self.names[pair as usize].clone());
        [name].into_iter().chain(cells).chain(counts.map(Cell::Count)).collect()
    }

    fn note(&self) -> Option<String> {
        let omitted = self.omitted;
        (omitted > 0).then(|| format!("{omitted} key IDs beyond the first {MOST_KEYS} were not looked at"))
    }
}
