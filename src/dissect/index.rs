//! The index pass: what correlation needs of a message and nothing else. Borrows the payload, builds no values.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::definition::{CommandCode, Definitions, IDENTIFIERS, Identifier, Message, ParameterId, Role};
use super::payload::{About, Meaning, Observer, Outcome, Payload, walk};
use super::scan::Outline;
use super::value::{Value, trimmed, utf8};
use crate::diagnostic::{Code, CodeSet, Severity};

/// Spellings of names remembered; a capture has a few dozen, and a hostile one gains nothing by more.
const MAX_SPELLINGS: usize = 1024;

/// Hashes identifiers and key IDs: seeded by chance, so that nobody can make two collide. Clones hash alike.
#[derive(Clone, Debug, Default)]
pub struct TextHasher(RandomState);

impl TextHasher {
    /// The hash of `text`.
    pub fn hash(&self, text: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(text);
        hasher.finish()
    }
}

/// A piece of [`Texts::bytes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// First byte.
    pub start: u32,
    /// Bytes.
    pub length: u32,
    /// Half of its hash.
    pub hash: u32,
}

/// The identifiers of a batch of messages, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    /// UTF-8 of all of them.
    pub bytes: Vec<u8>,
    /// Hashes of key IDs.
    pub keys: Vec<u64>,
}

impl Texts {
    fn push(&mut self, text: &[u8], hasher: &TextHasher) -> Slice {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(text);
        Slice { start, length: text.len() as u32, hash: hasher.hash(text) as u32 }
    }

    /// The hashes of the key IDs of a message.
    pub fn keys_of(&self, facts: &Facts) -> &[u64] {
        let (from, count) = facts.keys;
        &self.keys[from as usize..(from + count) as usize]
    }

    /// The text of `slice`; `None` where there is none.
    pub fn get(&self, slice: Slice) -> Option<&[u8]> {
        (slice.length > 0).then(|| &self.bytes[slice.start as usize..(slice.start + slice.length) as usize])
    }
}

/// What the index keeps of a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// Index of its definition in [`Definitions::messages`].
    pub definition: Option<u16>,
    /// Rows of its table that are there, one bit each.
    pub present: u32,
    /// Identifiers, by [`super::Identifier`]; empty where not there.
    pub identifiers: [Slice; IDENTIFIERS],
    /// Key IDs: from and count in [`Texts::keys`].
    pub keys: (u32, u32),
    /// The next hop, if the message names exactly one.
    pub only_next_hop: Slice,
    /// What it says about the request it answers.
    pub outcome: Outcome,
    /// Departures found in it.
    pub codes: CodeSet,
    /// The worst of them.
    pub worst: Option<Severity>,
}

/// What JSON names were found to stand for.
type Spellings = HashMap<Box<str>, Option<ParameterId>, RandomState>;

/// Per message of the definitions: the names that its last payload had, in order. Senders write each kind of message
/// alike, so the next one's names are found by comparing instead of hashing.
type Predictions = Vec<Vec<(Box<str>, Meaning)>>;

/// Names predicted per message; no table has as many.
const MAX_PREDICTED: usize = 16;

/// Reads payloads for the index.
#[derive(Debug)]
pub struct Indexer {
    definitions: Arc<Definitions>,
    spellings: Spellings,
    predictions: Predictions,
    /// Memory to read payloads in.
    outline: Outline,
    hasher: TextHasher,
}

impl Indexer {
    /// An indexer; those whose hashers are clones hash alike.
    pub fn new(definitions: Arc<Definitions>, hasher: TextHasher) -> Self {
        let predictions = vec![Vec::new(); definitions.messages.len()];
        Self { definitions, spellings: HashMap::default(), predictions, outline: Outline::default(), hasher }
    }

    /// The definitions that it reads by.
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// Reads one payload; its identifiers go to `texts`.
    pub fn index(&mut self, code: CommandCode, payload: Payload<'_>, texts: &mut Texts) -> Facts {
        let Self { definitions, spellings, predictions, outline, hasher } = self;
        let found = definitions.message(code);
        let predicted = found.and_then(|(index, _)| predictions.get_mut(usize::from(index)));
        let facts = Facts::default();
        let mut pass = IndexPass { spellings, predicted, names: 0, hasher, texts, facts, seen: 0 };
        pass.facts.definition = found.map(|(index, _)| index);
        let summary = walk(definitions, found.map(|(_, message)| message), payload, outline, &mut pass);
        (pass.facts.present, pass.facts.outcome) = (summary.present, summary.outcome);
        pass.facts
    }
}

struct IndexPass<'a> {
    spellings: &'a mut Spellings,
    predicted: Option<&'a mut Vec<(Box<str>, Meaning)>>,
    /// Names met so far.
    names: usize,
    hasher: &'a TextHasher,
    texts: &'a mut Texts,
    facts: Facts,
    /// Identifiers met, one bit each.
    seen: u8,
}

impl IndexPass<'_> {
    fn look_up(&mut self, definitions: &Definitions, name: &str) -> Option<ParameterId> {
        if let Some(&known) = self.spellings.get(name) {
            return known;
        }
        let parameter = definitions.parameter_named(name);
        if self.spellings.len() < MAX_SPELLINGS {
            self.spellings.insert(name.into(), parameter);
        }
        parameter
    }

    fn predict(&mut self, position: usize, name: &str, meaning: Meaning) {
        let Some(predicted) = &mut self.predicted else { return };
        match predicted.get_mut(position) {
            Some(place) => *place = (name.into(), meaning),
            None if position < MAX_PREDICTED => predicted.push((name.into(), meaning)),
            None => {}
        }
    }

    /// An identifier that stands twice with different values identifies nothing.
    fn identify(&mut self, identifier: Identifier, text: &[u8]) {
        let bit = 1 << identifier as u8;
        let known = self.facts.identifiers[identifier as usize];
        let contradicted = self.seen & bit != 0 && self.texts.get(known) != Some(text);
        self.facts.identifiers[identifier as usize] =
            if contradicted { Slice::default() } else { self.texts.push(text, self.hasher) };
        self.seen |= bit;
    }
}

impl Observer for IndexPass<'_> {
    fn resolve(&mut self, definitions: &Definitions, message: Option<&Message>, name: &[u8]) -> Meaning {
        let position = self.names;
        self.names += 1;
        let predicted = self.predicted.as_ref().and_then(|predicted| predicted.get(position));
        if let Some((_, meaning)) = predicted.filter(|(expected, _)| expected.as_bytes() == name) {
            return *meaning;
        }
        let name = utf8(name);
        let meaning = Meaning::of(definitions, message, self.look_up(definitions, name));
        self.predict(position, name, meaning);
        meaning
    }

    fn entry(&mut self, _name: &[u8], meaning: Meaning, value: &Value<'_>) {
        match meaning.role {
            Some(Role::Identifier(identifier)) => {
                if let Some(text) = value.scalar_bytes() {
                    self.identify(identifier, trimmed(&text));
                }
            }
            Some(Role::Keys) => {
                let from = self.texts.keys.len();
                let hasher = self.hasher;
                value.each_identifier(&mut |id| self.texts.keys.push(hasher.hash(id)));
                self.facts.keys = (from as u32, (self.texts.keys.len() - from) as u32);
            }
            Some(Role::NextHops) => {
                let (mut count, mut slice) = (0, Slice::default());
                value.each_identifier(&mut |id| {
                    count += 1;
                    if count == 1 {
                        slice = self.texts.push(id, self.hasher);
                    }
                });
                self.facts.only_next_hop = if count == 1 { slice } else { Slice::default() };
            }
            Some(Role::Response) | None => {}
        }
    }

    fn finding(&mut self, severity: Severity, code: Code, _about: About<'_>, _text: &dyn Fn() -> String) {
        self.facts.codes.insert(code);
        self.facts.worst = self.facts.worst.max(Some(severity));
    }
}
