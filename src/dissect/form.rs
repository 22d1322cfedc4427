//! What payloads of one kind have in common. A sender writes every message of a kind alike but for some strings and
//! integers, so a payload is compared with the last ones of its kind: where all between its values is the same, all
//! that was found out about those holds for it, and only the values have to be looked at. In: payloads, and what the
//! index found in those that had no known form. Out: where values lie, and what they are for. Decides nothing: a
//! payload of no known form is read as if there were none.

use super::definition::{Identifier, Role};
use super::index::Facts;
use super::scan::{Found, Inside, Span, integer_end, plain_end};
use super::shape::Shape;
use super::value::chosen_by_id;

/// Forms remembered of each kind of message: several senders, success and failure.
const MAX_FORMS: usize = 4;
/// Bytes and values of a payload whose form is remembered; beyond it payloads are hardly alike.
const MAX_BYTES: usize = 4096;
const MAX_BLANKS: usize = 64;
/// What finding out a form costs, in payloads read by one; and how much is risked before any was of use.
const COST: u32 = 4;
const CREDIT: u32 = 64;
/// Without credit, one payload of so many is tried.
const RETRY: u32 = 64;

/// The forms of one kind of message, the one used last first.
#[derive(Clone, Debug)]
pub struct Forms {
    forms: Vec<Form>,
    /// Payloads read by a form, less what learning cost.
    credit: u32,
    /// Payloads of no known form.
    missed: u32,
}

/// The fixed text of a payload, with blanks where its values were.
#[derive(Clone, Debug)]
struct Form {
    /// The payload that it was learned of.
    text: Box<[u8]>,
    blanks: Vec<Blank>,
    /// Where the text behind the last blank begins.
    tail: u16,
    /// What the index finds in each of this form, but for identifiers and key IDs.
    facts: Facts,
}

/// A place for a string or integer.
#[derive(Clone, Copy, Debug)]
struct Blank {
    /// The text from the last blank to this one.
    before: Span,
    is_string: bool,
    holds: Holds,
}

/// What the index does with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Nothing.
    Nothing,
    /// It is an identifier.
    Identifier(Identifier),
    /// It is a list of identifiers, separated by commas, of this role.
    List(Role),
    /// It is one identifier of such a list.
    Element(Role),
}

impl Default for Forms {
    fn default() -> Self {
        Self { forms: Vec::new(), credit: CREDIT, missed: 0 }
    }
}

impl Forms {
    /// What a form says of `payload`, if one fits; where its values are goes to `values`.
    pub fn read<'a>(&mut self, payload: &'a [u8], values: &mut Vec<Span>) -> Option<Filled<'_, 'a>> {
        let position = self.forms.iter().position(|form| form.fits(payload, values))?;
        self.forms[..=position].rotate_right(1);
        self.credit = (self.credit + 1).min(CREDIT);
        Some(Filled { form: &self.forms[0], payload })
    }

    /// Whether it is worth the while to learn the form of a payload that had none.
    pub fn is_curious(&mut self) -> bool {
        self.missed = self.missed.wrapping_add(1);
        let is_curious = self.credit >= COST || self.missed.is_multiple_of(RETRY);
        self.credit = self.credit.saturating_sub(if is_curious { COST } else { 0 });
        is_curious
    }

    /// Learns the form of `payload`, in which lie `members`, of these roles, and the index found `facts`.
    pub fn learn(
        &mut self,
        payload: &[u8],
        members: Inside<'_>,
        role: impl FnMut(&[u8]) -> Option<Role>,
        facts: &Facts,
    ) {
        let Some(form) = Form::of(payload, members, role, facts) else { return };
        self.forms.truncate(MAX_FORMS - 1);
        self.forms.insert(0, form);
    }
}

/// A form, and a payload that has it.
pub struct Filled<'f, 'a> {
    form: &'f Form,
    payload: &'a [u8],
}

impl<'a> Filled<'_, 'a> {
    /// What the index finds in it, but for identifiers and key IDs.
    pub fn facts(&self) -> Facts {
        self.form.facts
    }

    /// Its values that the index has a use for, in order; of strings, what stands between the quotes.
    pub fn values(&self, spans: &[Span]) -> impl Iterator<Item = (Holds, &'a [u8])> {
        let used = self.form.blanks.iter().zip(spans).filter(|(blank, _)| blank.holds != Holds::Nothing);
        used.map(|(blank, &(start, end))| (blank.holds, &self.payload[usize::from(start)..usize::from(end)]))
    }
}

impl Form {
    fn of(
        payload: &[u8],
        members: Inside<'_>,
        mut role: impl FnMut(&[u8]) -> Option<Role>,
        facts: &Facts,
    ) -> Option<Self> {
        let mut sketch = Sketch::default();
        let mut lists = Vec::new();
        for member in members.iter() {
            match role(member.name) {
                // What it says decides what else is amiss.
                Some(Role::Response) => {}
                Some(Role::Identifier(identifier)) => sketch.identifier(&member, identifier),
                Some(list) if lists.contains(&list) => return None,
                Some(list) => {
                    lists.push(list);
                    sketch.list(&member, list);
                }
                None => sketch.unused(&member),
            }
        }
        let Sketch { blanks, end } = sketch;
        let facts =
            Facts { identifiers: Default::default(), keys: (0, 0), only_next_hop: Default::default(), ..*facts };
        let is_small = payload.len() <= MAX_BYTES && blanks.len() <= MAX_BLANKS;
        is_small.then(|| Self { text: payload.into(), blanks, tail: end, facts })
    }

    /// Whether `payload` has this form; where its values are then goes to `values`.
    fn fits(&self, payload: &[u8], values: &mut Vec<Span>) -> bool {
        values.clear();
        let (mut at, mut beyond_ascii) = (0, 0);
        for blank in &self.blanks {
            let before = &self.text[usize::from(blank.before.0)..usize::from(blank.before.1)];
            if !payload[at..].starts_with(before) {
                return false;
            }
            let start = at + before.len();
            let end = match blank.is_string {
                true => Some(plain_end(payload, start, &mut beyond_ascii)),
                false => integer_end(payload, start),
            };
            let Some(end) = end else { return false };
            values.push((start as u16, end as u16));
            at = end;
        }
        let is_utf8 = || beyond_ascii == 0 || std::str::from_utf8(payload).is_ok();
        payload[at..] == self.text[usize::from(self.tail)..] && payload.len() <= usize::from(u16::MAX) && is_utf8()
    }
}

/// A form in the making.
#[derive(Default)]
struct Sketch {
    blanks: Vec<Blank>,
    /// Where the last blank ended.
    end: u16,
}

impl Sketch {
    fn blank(&mut self, value: &Found<'_>, holds: Holds) {
        let is_string = value.shape == Shape::String;
        let (start, end) = value.span;
        let (start, end) = if is_string { (start + 1, end - 1) } else { (start, end) };
        self.blanks.push(Blank { before: (self.end, start), is_string, holds });
        self.end = end;
    }

    fn unused(&mut self, value: &Found<'_>) {
        match is_scalar(value) {
            true => self.blank(value, Holds::Nothing),
            false => value.inside.iter().for_each(|inner| self.unused(&inner)),
        }
    }

    fn identifier(&mut self, value: &Found<'_>, identifier: Identifier) {
        match is_scalar(value) {
            true => self.blank(value, Holds::Identifier(identifier)),
            false => self.unused(value),
        }
    }

    fn list(&mut self, value: &Found<'_>, role: Role) {
        match value.shape {
            Shape::String => self.blank(value, Holds::List(role)),
            Shape::Integer | Shape::Object => self.element(value, role),
            _ => value.inside.iter().for_each(|element| self.element(&element, role)),
        }
    }

    fn element(&mut self, value: &Found<'_>, role: Role) {
        match value.shape {
            Shape::String | Shape::Integer => self.blank(value, Holds::Element(role)),
            Shape::Object => {
                let chosen = chosen_by_id(|| value.inside.iter().map(|member| (member.name, member)), is_scalar);
                let chosen = chosen.map(|member| member.span);
                value.inside.iter().for_each(|member| match chosen == Some(member.span) {
                    true => self.blank(&member, Holds::Element(role)),
                    false => self.unused(&member),
                });
            }
            _ => self.unused(value),
        }
    }
}

/// Whether payloads of one form may differ in it.
fn is_scalar(value: &Found<'_>) -> bool {
    matches!(value.shape, Shape::String | Shape::Integer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::scan::Outline;

    const LEARNED: &str = r#"{"id":"a","Key IDs":[{"n":1,"ID":"k"},{"n":2,"ID":"l"}],"Response":0}"#;

    fn role(name: &[u8]) -> Option<Role> {
        match name {
            b"id" => Some(Role::Identifier(Identifier::Session)),
            b"Key IDs" => Some(Role::Keys),
            b"Response" => Some(Role::Response),
            _ => None,
        }
    }

    fn learned(payload: &str) -> Forms {
        let (mut forms, mut outline) = (Forms::default(), Outline::default());
        let members = outline.object(payload.as_bytes()).unwrap();
        forms.learn(payload.as_bytes(), members, role, &Facts::default());
        forms
    }

    fn read(forms: &mut Forms, payload: &str) -> Option<Vec<(Holds, String)>> {
        let mut spans = Vec::new();
        let filled = forms.read(payload.as_bytes(), &mut spans)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Some(filled.values(&spans).map(|(holds, bytes)| (holds, text(bytes))).collect())
    }

    #[test]
    fn finds_values_of_any_length_where_the_text_between_them_is_the_same() {
        let payload =
            r#"{"id":"longer than sixteen bytes, é","Key IDs":[{"n":-12,"ID":""},{"n":0,"ID":"m"}],"Response":0}"#;
        let found = [
            (Holds::Identifier(Identifier::Session), "longer than sixteen bytes, é".to_owned()),
            (Holds::Element(Role::Keys), String::new()),
            (Holds::Element(Role::Keys), "m".to_owned()),
        ];
        assert_eq!(read(&mut learned(LEARNED), payload), Some(found.to_vec()));
    }

    #[test]
    fn leaves_to_others_what_differs_in_more() {
        let rest = r#","Key IDs":[{"n":1,"ID":"k"},{"n":2,"ID":"l"}],"Response":0}"#;
        let other_beginnings =
            [r#"{"id":1"#, r#"{"id":"a\"b""#, r#"{"id":"a","x":1"#, r#"{"ID":"a""#, "{\"id\":\"\n\"", ""];
        let others = other_beginnings.map(|beginning| format!("{beginning}{rest}"));
        let response = LEARNED.replace("\"Response\":0", "\"Response\":1");
        let numbers = ["1.5", "01", "-", "1e2", ""].map(|n| LEARNED.replacen("\"n\":1", &format!("\"n\":{n}"), 1));
        let ends = [LEARNED[..LEARNED.len() - 1].to_owned(), format!("{LEARNED} ")];
        let mut forms = learned(LEARNED);
        for other in others.iter().chain([&response]).chain(&numbers).chain(&ends) {
            assert_eq!(read(&mut forms, other), None, "{other}");
        }
        let not_utf8 = LEARNED
            .replacen('a', "\u{1}", 1)
            .into_bytes()
            .iter()
            .map(|&b| if b == 1 { 0xff } else { b })
            .collect::<Vec<_>>();
        assert!(forms.read(&not_utf8, &mut Vec::new()).is_none());
    }

    #[test]
    fn stops_learning_what_is_never_met_again_but_for_a_try_now_and_then() {
        let mut forms = Forms::default();
        let tries = (0..1_000).filter(|_| forms.is_curious()).count() as u32;
        assert!((CREDIT / COST..CREDIT / COST + 1_000 / RETRY + 1).contains(&tries), "{tries}");
    }
}
