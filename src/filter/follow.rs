//! Following an identifier: every message and procedure that carries it, and what belongs to the same exchange, across
//! connections and bindings.

use super::compile::Context;
use super::field::{Named, named};
use super::names::Names;
use super::parse::{equals, nearest};
use super::program::Node;
use super::subject::Subject;
use crate::dissect::{Definitions, Identifier, Role};
use crate::journal::{NONE, View};

/// An identifier and its value.
#[derive(Debug)]
pub struct Follow {
    program: Node,
    identifier: Option<Identifier>,
    value: String,
}

/// Which messages and procedures are shown, by index.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Messages.
    pub messages: Vec<bool>,
    /// Procedures.
    pub procedures: Vec<bool>,
    /// Ties between procedures that the journal did not keep (see [`crate::journal::MAX_EXCHANGE`]), in the exchanges
    /// that were followed.
    pub omitted: u64,
}

impl Follow {
    /// What `session_id=S-1` means: a parameter by its name, and its value.
    ///
    /// # Errors
    /// There is no such parameter, or no `=`: a text that says so.
    pub fn parse(text: &str, context: &Context<'_>) -> Result<Self, String> {
        let Some((name, value)) = text.split_once('=') else {
            return Err(format!("{text:?}: expected NAME=VALUE, like session_id=S-1"));
        };
        let (name, value) = (name.trim(), value.trim());
        let name = name.strip_prefix("ck.").unwrap_or(name);
        let definitions = context.definitions;
        let Some(id) = definitions.parameter_named(name) else {
            let names = definitions.parameters.iter().map(|parameter| parameter.name.as_str());
            let meant = nearest(name, names).map_or_else(String::new, |near| format!(" (did you mean {near}?)"));
            return Err(format!("no parameter {name:?}{meant}; ckscope fields lists them"));
        };
        let field = format!("ck.parameter.{}", definitions.parameter(id).name);
        debug_assert!(matches!(named(definitions, &field), Some(Named::Parameter(_))), "a parameter is a field");
        let program = context.compile(&equals(&field, value)).map_err(|error| error.to_string())?;
        let identifier = match definitions.parameter(id).role {
            Some(Role::Identifier(identifier)) => Some(identifier),
            _ => None,
        };
        Ok(Self { program, identifier, value: value.to_owned() })
    }

    /// What carries any of `followed`, and what is related to that.
    pub fn select(followed: &[Follow], view: View<'_>) -> Selection {
        let journal = view.journal;
        let mut selection = Selection {
            messages: vec![false; journal.records.len()],
            procedures: vec![false; journal.procedures.len()],
            omitted: 0,
        };
        let (mut found, names) = (Vec::new(), Names::default());
        for index in 0..journal.records.len() as u32 {
            let subject = Subject::message(view, index, &names);
            if followed.iter().any(|follow| follow.program.holds(&subject)) {
                selection.messages[index as usize] = true;
                found.push(journal.records[index as usize].procedure);
            }
        }
        // A procedure may be known by a session ID that its own messages do not say.
        for (index, procedure) in (0..).zip(&journal.procedures) {
            let carries = |follow: &Follow| {
                let id = match follow.identifier {
                    Some(Identifier::Session) => procedure.session,
                    Some(Identifier::KeyRelayRequest) => procedure.key_relay_request,
                    _ => return false,
                };
                journal.texts.get(id) == Some(&follow.value)
            };
            if followed.iter().any(carries) {
                found.push(index);
            }
        }
        selection.extend(view, &found);
        selection
    }

    /// The names that can be followed: those of every parameter, identifiers first.
    pub fn names(definitions: &Definitions) -> Vec<&str> {
        let is_identifier = |role: Option<Role>| matches!(role, Some(Role::Identifier(_) | Role::Keys));
        let mut all: Vec<_> = definitions.parameters.iter().collect();
        all.sort_by_key(|parameter| !is_identifier(parameter.role));
        all.into_iter().map(|parameter| parameter.name.as_str()).collect()
    }
}

impl Selection {
    /// Adds procedures with their messages, and all of their exchanges.
    fn extend(&mut self, view: View<'_>, procedures: &[u32]) {
        let journal = view.journal;
        let mut is_done = vec![false; journal.exchanges.len()];
        for &procedure in procedures.iter().filter(|&&procedure| procedure != NONE) {
            self.take(view, procedure);
            let exchange = journal.procedures[procedure as usize].exchange as usize;
            if is_done.get(exchange) == Some(&false) {
                is_done[exchange] = true;
                self.omitted += u64::from(journal.exchanges[exchange].omitted);
                journal.exchanges[exchange].members.iter().for_each(|&member| self.take(view, member));
            }
        }
    }

    fn take(&mut self, view: View<'_>, procedure: u32) {
        if !std::mem::replace(&mut self.procedures[procedure as usize], true) {
            view.journal.messages(procedure).iter().for_each(|&message| self.messages[message as usize] = true);
        }
    }
}
