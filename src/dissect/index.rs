//! The index pass: what correlation needs of a message and nothing else. Borrows the payload, builds no values.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::definition::{CommandCode, Definitions, IDENTIFIERS, Identifier, Message, ParameterId, Role};
use super::form::{Forms, Holds};
use super::payload::{About, Encoding, Meaning, Observer, Outcome, Payload, walk};
use super::scan::{Outline, Span};
use super::value::{Value, each_of_list, trimmed, utf8};
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
    #[inline(always)]
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

/// Reads payloads for the index.
#[derive(Debug)]
pub struct Indexer {
    definitions: Arc<Definitions>,
    spellings: Spellings,
    /// By message of the definitions.
    forms: Vec<Forms>,
    /// Memory to read payloads in.
    outline: Outline,
    spans: Vec<Span>,
    hasher: TextHasher,
}

impl Indexer {
    /// An indexer; those whose hashers are clones hash alike.
    pub fn new(definitions: Arc<Definitions>, hasher: TextHasher) -> Self {
        let forms = vec![Forms::default(); definitions.messages.len()];
        let (spellings, outline) = Default::default();
        Self { definitions, spellings, forms, outline, spans: Vec::new(), hasher }
    }

    /// The definitions that it reads by.
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// Reads one payload; its identifiers go to `texts`.
    pub fn index(&mut self, code: CommandCode, payload: Payload<'_>, texts: &mut Texts) -> Facts {
        let Some((definition, _)) = self.definitions.message(code) else { return self.walk(None, payload, texts) };
        let has_form = payload.encoding == Encoding::Json && !payload.truncated;
        let forms = &mut self.forms[usize::from(definition)];
        if has_form && let Some(filled) = forms.read(payload.bytes, &mut self.spans) {
            let mut gathered = Gathered::new(&self.hasher, texts, filled.facts());
            filled.values(&self.spans).for_each(|(holds, text)| gathered.value(holds, text));
            return gathered.facts;
        }
        let is_curious = has_form && forms.is_curious();
        let facts = self.walk(Some(definition), payload, texts);
        if is_curious && let Some(members) = self.outline.object(payload.bytes) {
            let (definitions, spellings) = (&*self.definitions, &mut self.spellings);
            let role = |name: &[u8]| definitions.parameter(look_up(spellings, definitions, name)?).role;
            self.forms[usize::from(definition)].learn(payload.bytes, members, role, &facts);
        }
        facts
    }

    /// Reads a payload of no known form.
    fn walk(&mut self, definition: Option<u16>, payload: Payload<'_>, texts: &mut Texts) -> Facts {
        let Self { definitions, spellings, outline, hasher, .. } = self;
        let facts = Facts { definition, ..Facts::default() };
        let mut pass = IndexPass { spellings, gathered: Gathered::new(hasher, texts, facts) };
        let message = definition.map(|index| &definitions.messages[usize::from(index)]);
        let summary = walk(definitions, message, payload, outline, &mut pass);
        Facts { present: summary.present, outcome: summary.outcome, ..pass.gathered.facts }
    }
}

/// What a JSON name stands for.
fn look_up(spellings: &mut Spellings, definitions: &Definitions, name: &[u8]) -> Option<ParameterId> {
    let name = utf8(name);
    if let Some(&known) = spellings.get(name) {
        return known;
    }
    let parameter = definitions.parameter_named(name);
    if spellings.len() < MAX_SPELLINGS {
        spellings.insert(name.into(), parameter);
    }
    parameter
}

/// What was found in a payload so far.
struct Gathered<'a> {
    hasher: &'a TextHasher,
    texts: &'a mut Texts,
    facts: Facts,
    /// Identifiers met, one bit each.
    seen: u8,
    /// Next hops met.
    next_hops: u32,
}

impl<'a> Gathered<'a> {
    fn new(hasher: &'a TextHasher, texts: &'a mut Texts, mut facts: Facts) -> Self {
        facts.keys = (texts.keys.len() as u32, 0);
        Self { hasher, texts, facts, seen: 0, next_hops: 0 }
    }

    /// A value of a known form.
    fn value(&mut self, holds: Holds, text: &[u8]) {
        match holds {
            Holds::Identifier(identifier) => self.identifier(identifier, trimmed(text)),
            Holds::List(role) => each_of_list(text, &mut |id| self.element(role, id)),
            Holds::Element(role) => self.element(role, trimmed(text)),
            Holds::Nothing => {}
        }
    }

    /// An identifier that stands twice with different values identifies nothing: which of them the peer goes by is not
    /// known, and the wrong one would part a response from its request.
    #[inline(always)]
    fn identifier(&mut self, identifier: Identifier, text: &[u8]) {
        let bit = 1 << identifier as u8;
        let known = self.facts.identifiers[identifier as usize];
        let contradicted = self.seen & bit != 0 && self.texts.get(known) != Some(text);
        self.facts.identifiers[identifier as usize] =
            if contradicted { Slice::default() } else { self.texts.push(text, self.hasher) };
        self.seen |= bit;
    }

    /// A list follows; where one stands twice, the last one counts.
    fn begin_list(&mut self, role: Role) {
        match role {
            Role::Keys => self.facts.keys = (self.texts.keys.len() as u32, 0),
            Role::NextHops => (self.next_hops, self.facts.only_next_hop) = (0, Slice::default()),
            Role::Identifier(_) | Role::Response => {}
        }
    }

    /// One identifier of a list.
    fn element(&mut self, role: Role, id: &[u8]) {
        match role {
            Role::Keys => {
                self.texts.keys.push(self.hasher.hash(id));
                self.facts.keys.1 += 1;
            }
            Role::NextHops => {
                self.next_hops += 1;
                let is_only = self.next_hops == 1;
                self.facts.only_next_hop = if is_only { self.texts.push(id, self.hasher) } else { Slice::default() };
            }
            Role::Identifier(_) | Role::Response => {}
        }
    }
}

struct IndexPass<'a> {
    spellings: &'a mut Spellings,
    gathered: Gathered<'a>,
}

impl Observer for IndexPass<'_> {
    fn resolve(&mut self, definitions: &Definitions, message: Option<&Message>, name: &[u8]) -> Meaning {
        Meaning::of(definitions, message, look_up(self.spellings, definitions, name))
    }

    fn entry(&mut self, _name: &[u8], meaning: Meaning, value: &Value<'_>) {
        match meaning.role {
            Some(Role::Identifier(identifier)) => {
                if let Some(text) = value.scalar_bytes() {
                    self.gathered.identifier(identifier, trimmed(&text));
                }
            }
            Some(list @ (Role::Keys | Role::NextHops)) => {
                self.gathered.begin_list(list);
                value.each_identifier(&mut |id| self.gathered.element(list, id));
            }
            Some(Role::Response) | None => {}
        }
    }

    fn finding(&mut self, severity: Severity, code: Code, _about: About<'_>, _text: &dyn Fn() -> String) {
        let facts = &mut self.gathered.facts;
        facts.codes.insert(code);
        facts.worst = facts.worst.max(Some(severity));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    /// What is found in `payload`, with texts instead of places.
    fn found(indexer: &mut Indexer, code: CommandCode, payload: &[u8]) -> impl PartialEq + std::fmt::Debug + use<> {
        let mut texts = Texts::default();
        let facts = indexer.index(code, Payload::json(payload), &mut texts);
        let text = |slice| texts.get(slice).map(<[u8]>::to_vec);
        let identifiers = facts.identifiers.map(text);
        let (keys, next_hop) = (texts.keys_of(&facts).to_vec(), text(facts.only_next_hop));
        (identifiers, keys, next_hop, (facts.definition, facts.present, facts.outcome, facts.codes, facts.worst))
    }

    /// JSON names of one kind of payload, each with the beginning, the separator and the end of its value.
    fn layouts() -> impl Strategy<Value = Vec<(&'static str, (&'static str, usize, &'static str))>> {
        let names = ["Source KMA ID", "destination_kma_id", "Next KMA IDs", "Key IDs", "key_ids", "Response", "Ext"];
        let values =
            [("", 1, ""), ("[", 0, "]"), ("[", 2, "]"), ("[{\"n\":1,\"Key ID\":", 1, "}]"), (" {\"a\":", 1, "}\n")];
        prop::collection::vec((select(names.to_vec()), select(values.to_vec())), 0..6)
    }

    /// Payloads of one layout, which differ in what its values are.
    fn alike() -> impl Strategy<Value = Vec<String>> {
        let scalar = || {
            prop_oneof![
                8 => r#""(KMA-[0-9]{1,2}|[a-c]{0,20}|k1, k2,,k3| é |Success|0)""#,
                2 => "-?[0-9]{1,3}",
                1 => r#"1\.5|"\\u00e9"|"\\""|null|true|\[\]|x"#,
            ]
        };
        layouts().prop_flat_map(move |layout| {
            let member = |(name, (begin, count, end)): (&'static str, (&'static str, usize, &'static str))| {
                let values = prop::collection::vec(scalar(), count);
                values.prop_map(move |values| format!("\"{name}\":{begin}{}{end}", values.join(",")))
            };
            let payload = layout.into_iter().map(member).collect::<Vec<_>>();
            prop::collection::vec(payload.prop_map(|members| format!("{{{}}}", members.join(","))), 2..12)
        })
    }

    proptest! {
        #[test]
        fn a_payload_of_a_known_form_says_what_it_says_alone(payloads in alike(), code in select(vec![0x1401, 0x4102, 0x140b])) {
            let definitions = Arc::new(Definitions::q4164());
            let hasher = TextHasher::default();
            let new = || Indexer::new(definitions.clone(), hasher.clone());
            let mut experienced = new();
            for payload in &payloads {
                let alone = found(&mut new(), CommandCode(code), payload.as_bytes());
                prop_assert_eq!(found(&mut experienced, CommandCode(code), payload.as_bytes()), alone, "{}", payload);
            }
        }
    }
}
