//! What is shown: the display filter and the identifier that is followed.

use super::scan::{Carried, Scan};
use crate::dissect::Definitions;
use crate::journal::View;

/// A filter that was understood, or why not.
pub type Compiled = Result<Text, Fault>;

/// What is wrong with a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, in bytes.
    pub at: std::ops::Range<usize>,
    /// What.
    pub text: String,
}

/// Words that a message's name, or its payload, has to hold, every one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    words: Vec<Vec<u8>>,
}

/// Reads a filter.
///
/// # Errors
/// It holds nothing to look for.
pub fn compile(text: &str, _definitions: &Definitions) -> Compiled {
    let words: Vec<Vec<u8>> = text.split_whitespace().map(|word| word.to_ascii_lowercase().into_bytes()).collect();
    if words.is_empty() {
        Err(Fault { at: 0..text.len(), text: "expected words".to_owned() })
    } else {
        Ok(Text { words })
    }
}

/// The filter for messages in which the field called `path` has this value.
pub fn on_value(_path: &str, raw: &str) -> Option<String> {
    (!raw.is_empty()).then(|| raw.to_owned())
}

/// The filter for messages like this one.
pub fn on_message(view: View<'_>, message: u32) -> String {
    view.name(view.record(message)).to_owned()
}

/// Bytes before `at` that a completion takes the place of, and the completions.
pub fn complete(_text: &str, _at: usize, _view: View<'_>) -> (usize, Vec<String>) {
    (0, Vec::new())
}

impl Text {
    fn matches(&self, view: View<'_>, index: u32) -> bool {
        let record = view.record(index);
        let payload = view.payload(record).to_ascii_lowercase();
        let name = view.name(record).to_ascii_lowercase();
        let holds = |word: &Vec<u8>| {
            memchr::memmem::find(&payload, word).is_some() || memchr::memmem::find(name.as_bytes(), word).is_some()
        };
        self.words.iter().all(holds)
    }
}

/// What restricts the view, and what it lets through so far.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The display filter as typed, and what it means.
    pub filter: Option<(String, Text)>,
    /// The identifier that is followed.
    pub carried: Option<Carried>,
    /// What was looked at.
    pub scan: Scan,
}

impl Shown {
    /// Whether anything restricts the view.
    pub fn is_restricted(&self) -> bool {
        self.filter.is_some() || self.carried.is_some()
    }

    /// Begins to look anew.
    pub fn restart(&mut self) {
        self.scan = Scan::default();
    }

    /// Looks at some more, up to message `count`; whether it got there.
    pub fn step(&mut self, view: View<'_>, count: u32) -> bool {
        let Self { filter, carried, scan } = self;
        scan.step(view, count, &|view, index| {
            filter.as_ref().is_none_or(|(_, filter)| filter.matches(view, index))
                && carried.as_ref().is_none_or(|carried| carried.is_in(view, index))
        })
    }
}
