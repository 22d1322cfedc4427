//! The display filter. In: an expression in Wireshark's syntax, and a [`View`] of what was seen. Out: which messages,
//! procedures and connections it holds for; or where the expression is wrong. Refuses to know files and terminals, and
//! reads no clock: the time zone of what was typed is part of the input.
//!
//! A filter is read (`token`, `parse`: a tree, `syntax`, that can be printed again) and compiled once (`compile`) to a
//! program that asks what is cheap first: a payload is decoded only if nothing else has decided. What can be asked
//! stands in one table (`field`), to which definition files add their parameters.
//!
//! What the language means, where Wireshark leaves a choice:
//! - `==` holds if one of several values is equal, `!=` if there are values and all are different, `===` if all are
//!   equal, `~=` if one is different (wireshark-filter(4), since 4.0). `any` and `all` before a test say it outright.
//! - A field alone asks whether it is there; a boolean, whether it is true; a parameter, whether the payload has it with
//!   another value than null. So `!ck.response` is every message without the parameter Response; `ck.is_response` tells
//!   the messages that answer others.
//! - A field that is not there fails every comparison, `!=` too. `count()` of it is 0.
//! - Values without quotes are read as what the field is; names of messages, states and codes in whatever case.
//! - A procedure is shown if the filter holds for one of its messages, a connection if it does for one of its messages,
//!   or, if it has none, for what is known of the connection alone.

mod compile;
mod complete;
mod error;
mod field;
mod follow;
mod literal;
mod names;
mod parse;
mod program;
mod seen;
mod subject;
pub mod syntax;
mod token;
mod value;

pub use compile::Context;
pub use complete::{Completion, complete};
pub use error::Error;
pub use field::{Choices, Cost, Field, Kind, fields};
pub use follow::{Follow, Selection};
pub use parse::parse;
pub use seen::Seen;
pub use token::{Order, Quantifier, Relation, Token, TokenKind, tokens};

use crate::journal::View;
use names::Names;
use program::Node;
use subject::Subject;

/// A display filter, ready to be asked.
#[derive(Debug)]
pub struct Filter {
    program: Node,
    names: Names,
}

impl Filter {
    /// The filter that `text` is.
    ///
    /// # Errors
    /// It is none: where and why.
    pub fn compile(text: &str, context: &Context<'_>) -> Result<Self, Error> {
        Ok(Self { program: context.compile(&parse(text)?)?, names: Names::default() })
    }

    /// Whether a payload may have to be decoded to answer.
    pub fn needs_payload(&self) -> bool {
        self.cost() == Cost::Payload
    }

    /// The most that an answer may cost.
    pub fn cost(&self) -> Cost {
        self.program.cost()
    }

    /// Whether it holds for message `message`.
    pub fn matches(&self, view: View<'_>, message: u32) -> bool {
        self.program.holds(&Subject::message(view, message, &self.names))
    }

    /// Whether it holds for one of the messages of procedure `procedure`.
    pub fn matches_procedure(&self, view: View<'_>, procedure: u32) -> bool {
        view.journal.messages(procedure).iter().any(|&message| self.matches(view, message))
    }

    /// By index of connection, whether it holds for one of its messages, or for the connection if it has none.
    pub fn connections(&self, view: View<'_>) -> Vec<bool> {
        let journal = view.journal;
        let mut matched: Vec<bool> = (0..)
            .zip(&journal.connections)
            .map(|(index, connection)| {
                connection.messages == 0 && self.program.holds(&Subject::bare_connection(view, index, &self.names))
            })
            .collect();
        for (index, record) in (0..).zip(&journal.records) {
            let matched = &mut matched[record.connection as usize];
            *matched = *matched || self.matches(view, index);
        }
        matched
    }
}
