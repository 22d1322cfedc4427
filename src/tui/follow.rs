//! What restricts the view: a display filter, or an identifier that is followed.

use std::collections::HashSet;

use super::filter;
use super::layout::Pane;
use super::scan::Carried;
use super::state::State;
use super::tab::Tab;
use crate::dissect::{Entry, Role};
use crate::journal::View;

/// Identifiers of a message that are offered: key IDs may be many.
const MOST_CHOICES: usize = 200;

impl State {
    pub(super) fn filter(&mut self, told: &str, view: View<'_>) {
        let compile = || filter::compile(told, &view.journal.definitions, &self.setup.zone);
        match (!told.is_empty()).then(compile).transpose() {
            Ok(filter) => {
                self.shown.filter = filter.map(|filter| (told.to_owned(), filter));
                self.restrict(view);
            }
            Err(fault) => self.say_wrong(fault.to_string()),
        }
    }

    /// The filter that selects what the selected value selects.
    pub(super) fn filter_value(&mut self, view: View<'_>) {
        let field = (self.pane() == Pane::Fields).then(|| self.messages.line()).flatten();
        let text = match field {
            Some(line) => filter::on_value(&view.journal.definitions, &line.path, &line.raw),
            None => self.message(view).map(|message| filter::on_message(view, message)),
        };
        match text {
            Some(text) => self.filter(&text, view),
            None => self.say_wrong("nothing here to filter on"),
        }
    }

    /// Shows only what carries an identifier: what is told, or the one under the cursor. Told nothing, what is followed is
    /// followed no longer, unless another value is selected.
    pub(super) fn follow(&mut self, told: &str, view: View<'_>) {
        let had = self.shown.carried.take();
        let has_choice = had.is_none() || self.pane() == Pane::Fields;
        let chosen = if told.is_empty() { self.identifier(view).filter(|_| has_choice) } else { Some(told.to_owned()) };
        match chosen.filter(|text| had.as_ref().is_none_or(|had| had.text != *text)) {
            Some(text) => {
                self.shown.carried = Some(Carried { text });
                self.followed_in = self.tab;
            }
            None => match had {
                Some(had) => self.say(format!("{} is no longer followed", had.text)),
                None => self.say_wrong("no identifier here; select a session ID, a KMA ID or the like, or type one"),
            },
        }
        self.restrict(view);
    }

    /// Follows no longer, in the view where that began, or where nothing else is left to close; whether that was so.
    pub(super) fn end_following(&mut self, view: View<'_>) -> bool {
        let is_last = self.tab == Tab::default() && self.behind.is_empty();
        let is_here = self.shown.carried.is_some() && (self.tab == self.followed_in || is_last);
        if is_here {
            self.follow("", view);
        }
        is_here
    }

    /// The identifier under the cursor: the selected field's value, else the most telling one of the message.
    fn identifier(&self, view: View<'_>) -> Option<String> {
        if self.pane() == Pane::Fields {
            let line = self.messages.line().filter(|line| line.children == 0 && !line.raw.is_empty())?;
            let hash = if line.path == "MessageID" { "#" } else { "" };
            return Some(format!("{hash}{}", line.raw));
        }
        let texts = &view.journal.texts;
        let own = self.procedure(view).map(|procedure| &view.journal.procedures[procedure as usize]);
        let of_procedure = own.and_then(|it| texts.get(it.session).or_else(|| texts.get(it.key_relay_request)));
        let record = self.message(view).map(|message| view.record(message));
        let of_message = || record?.identifiers.iter().rev().find_map(|&id| texts.get(id));
        of_procedure.or_else(of_message).map(str::to_owned)
    }

    /// All identifiers of the message under the cursor: those of its procedure, those that it carries, its MessageID.
    pub(super) fn identifiers(&self, view: View<'_>) -> Vec<String> {
        let (texts, mut all) = (&view.journal.texts, Vec::new());
        if let Some(procedure) = self.procedure(view) {
            let own = &view.journal.procedures[procedure as usize];
            all.extend([own.session, own.key_relay_request].iter().filter_map(|&id| texts.get(id)).map(str::to_owned));
        }
        if let Some(message) = self.message(view) {
            let record = view.record(message);
            let decoded = view.decoded(record);
            let of_role = |entry: &&Entry| {
                let role = entry.parameter.and_then(|id| view.journal.definitions.parameter(id).role);
                role.is_some_and(|role| role != Role::Response)
            };
            all.extend(decoded.entries.iter().filter(of_role).flat_map(|entry| entry.identifiers()).take(MOST_CHOICES));
            all.push(format!("#{}", record.message_id));
        }
        let mut seen = HashSet::new();
        all.retain(|text| seen.insert(text.clone()));
        all
    }

    /// Looks anew for what is shown.
    fn restrict(&mut self, view: View<'_>) {
        let message = self.message(view);
        self.shown.restart();
        // A little at once, so that what is small changes without flicker.
        self.work(view);
        self.rebuild(view);
        if let Some(message) = message {
            self.select_message(message);
        }
    }
}
