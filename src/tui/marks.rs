//! Marks and comments, and what names a message whatever its number.

use super::keymap::Command;
use super::list::Step;
use super::state::{Overlay, State};
use super::tab::Tab;
use crate::journal::View;
use crate::place::Place;

/// What names a message whatever its number: the packet that completed it, and where its payload lies.
pub(super) type Anchor = (u32, Place);

/// A mark or a comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    anchor: Anchor,
    /// Whether it is marked.
    pub marked: bool,
    /// What the user wrote.
    pub comment: Option<String>,
}

impl State {
    /// Finds the messages of the marks by their places, after they were numbered anew.
    pub(super) fn relocate_marks(&mut self, view: View<'_>) {
        let marks = std::mem::take(&mut self.marks);
        self.marks = marks.into_values().filter_map(|mark| Some((locate(view, mark.anchor)?, mark))).collect();
    }

    /// Whether a message is marked.
    pub fn is_marked(&self, message: u32) -> bool {
        self.marks.get(&message).is_some_and(|mark| mark.marked)
    }

    /// The mark of a message, to be changed.
    pub fn mark(&mut self, view: View<'_>, message: u32) -> &mut Mark {
        self.marks.entry(message).or_insert_with(|| Mark {
            anchor: anchor(view, message),
            marked: false,
            comment: None,
        })
    }

    /// Forgets marks that say nothing.
    pub fn tidy_marks(&mut self) {
        self.marks.retain(|_, mark| mark.marked || mark.comment.is_some());
    }

    pub(super) fn marking(&mut self, command: Command, told: &str, view: View<'_>) {
        let messages: Vec<u32> = match (command, self.tab, self.procedure(view)) {
            (Command::Unmark, ..) => {
                self.marks.values_mut().for_each(|mark| mark.marked = false);
                Vec::new()
            }
            (Command::MarkRelated, _, Some(procedure)) => {
                let all = view.journal.related(procedure).into_iter().chain([procedure]);
                all.flat_map(|procedure| view.journal.messages(procedure)).copied().collect()
            }
            (Command::Mark, Tab::Procedures, Some(procedure)) => view.journal.messages(procedure).to_vec(),
            _ => self.message(view).into_iter().collect(),
        };
        if command == Command::Comment {
            let comment = (!told.is_empty()).then(|| told.to_owned());
            messages.into_iter().for_each(|message| self.mark(view, message).comment.clone_from(&comment));
            self.messages.made = None;
        } else {
            let on = messages.iter().any(|&message| !self.is_marked(message));
            messages.into_iter().for_each(|message| self.mark(view, message).marked = on);
            if command == Command::Mark && self.tab != Tab::Flow {
                self.step(Step::Lines(1), view);
            }
        }
        self.tidy_marks();
        let count = self.marks.values().filter(|mark| mark.marked).count();
        if command != Command::Comment {
            self.say(format!("{} marked", counted(count)));
        }
    }

    pub(super) fn diff(&mut self, view: View<'_>) {
        let marked: Vec<u32> = self.marks.iter().filter(|(_, mark)| mark.marked).map(|(&index, _)| index).collect();
        let pair = match (marked[..].as_ref(), self.message(view)) {
            (&[one, other], _) => Some([one, other]),
            (&[one], Some(selected)) if one != selected => Some([one.min(selected), one.max(selected)]),
            _ => None,
        };
        match pair {
            Some(pair) => self.overlay = Some(Overlay::Diff(pair, 0)),
            None => self.say_wrong("mark two messages to compare (space in Messages), or one and select another"),
        }
    }
}

/// The anchor of a message.
pub(super) fn anchor(view: View<'_>, message: u32) -> Anchor {
    let record = view.record(message);
    (record.packet, record.payload)
}

/// The message at `anchor`, once messages are in the order of their packets.
pub(super) fn locate(view: View<'_>, (packet, place): Anchor) -> Option<u32> {
    of_packet(view, packet).find(|&index| view.record(index).payload == place)
}

/// The messages that packet `packet` completed, once messages are in the order of their packets.
pub(super) fn of_packet(view: View<'_>, packet: u32) -> impl Iterator<Item = u32> {
    let records = &view.journal.records;
    let (mut low, mut high) = (0, records.len());
    while low < high {
        let middle = low.midpoint(high);
        if records[middle].packet < packet { low = middle + 1 } else { high = middle }
    }
    (low..records.len()).take_while(move |&index| records[index].packet == packet).map(|index| index as u32)
}

/// `1 message`, `2 messages`.
pub(super) fn counted(messages: usize) -> String {
    if messages == 1 { "1 message".to_owned() } else { format!("{messages} messages") }
}
