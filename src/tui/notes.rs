//! Comments that the capture has on the packets of messages: they are shown, changed and saved like those written here.
//! In: the journal's, once messages are in their final order. Out: which messages have them.

use std::collections::{BTreeMap, HashMap};

use super::marks::of_packet;
use super::state::State;
use crate::journal::View;
use crate::output::packets::Comments;

/// Between two comments on one message.
const AND: &str = " · ";

/// What the capture says about messages.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    /// By message.
    texts: BTreeMap<u32, String>,
    /// The last packet whose comments are known.
    known: u32,
}

impl State {
    /// Makes the capture's comments those of the messages that their packets completed: of several that which the comment
    /// names, else each has its own, in their order. What was written here meanwhile stands behind them.
    pub(super) fn adopt(&mut self, view: View<'_>) {
        let found = &view.journal.comments;
        for (packet, connection) in found.packets() {
            let messages: Vec<u32> = of_packet(view, packet).collect();
            let Some(last) = messages.len().checked_sub(1) else { continue };
            for (at, comment) in found.of_packet(connection, packet).iter().enumerate() {
                let own = (messages[at.min(last)], comment.text.as_str());
                let (message, text) = named(view, &messages, &comment.text).unwrap_or(own);
                append(self.noted.texts.entry(message).or_default(), text);
            }
        }
        self.noted.known = found.known();
        for (message, mut text) in self.noted.texts.clone() {
            let mark = self.mark(view, message);
            append(&mut text, mark.comment.as_deref().unwrap_or_default());
            mark.comment = Some(text);
        }
    }

    /// What to write on packets: where it is still what the capture says, that is kept as it is.
    pub(super) fn comments(&self, view: View<'_>) -> Comments {
        let commented = self.marks.iter().filter(|(_, mark)| mark.comment.is_some()).map(|(&message, _)| message);
        let mut packets: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for message in commented.chain(self.noted.texts.keys().copied()) {
            packets.entry(view.record(message).packet).or_default().push(message);
        }
        let mut texts = HashMap::new();
        for (packet, mut messages) in packets {
            messages.sort_unstable();
            messages.dedup();
            let now = |message: &u32| self.marks.get(message).and_then(|mark| mark.comment.clone());
            if messages.iter().any(|message| now(message).as_ref() != self.noted.texts.get(message)) {
                let named = |message: &u32| now(message).map(|text| with_name(view, *message, text));
                texts.insert(packet, messages.iter().filter_map(named).collect());
            }
        }
        Comments { texts, known: self.noted.known }
    }
}

/// The message of several that a comment names, and what it says of it.
fn named<'a>(view: View<'_>, messages: &[u32], comment: &'a str) -> Option<(u32, &'a str)> {
    let text = |&message: &u32| comment.strip_prefix(&name(view, message)).map(|text| (message, text));
    messages.iter().filter(|_| messages.len() > 1).find_map(text)
}

/// A comment, with the name of its message where the packet completed several.
fn with_name(view: View<'_>, message: u32, text: String) -> String {
    let packet = view.record(message).packet;
    // Those of one packet stand beside each other, even while their numbers are not final.
    let beside = [message.checked_sub(1), message.checked_add(1)].into_iter().flatten();
    let mut others = beside.filter_map(|other| view.journal.records.get(other as usize));
    if others.any(|other| other.packet == packet) { name(view, message) + &text } else { text }
}

/// `#7: `
fn name(view: View<'_>, message: u32) -> String {
    format!("{}: ", view.record(message).reference())
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str(AND);
    }
    text.push_str(more);
}
