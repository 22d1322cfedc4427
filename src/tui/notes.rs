//! Comments that the capture has on the packets of messages: they are shown, changed and saved like those written here.
//! In: the packets once more, when their numbers are final. Out: comments by packet, and which of them messages have.

use std::collections::{BTreeMap, HashMap};

use super::feed::Feed;
use super::marks::of_packet;
use super::state::State;
use crate::capture::Batch;
use crate::capture::file::{FileType, Replay};
use crate::journal::View;
use crate::output::packets::Comments;

/// Packets that one step looks at.
const PIECE: usize = 4096;
/// Bytes of comments that are kept in memory; what the capture has beyond is saved with its packets, and not shown.
const MOST: usize = 16 << 20;
/// Between two comments on one message.
const AND: &str = " · ";

/// Comments by packet, ascending, as far as was looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    packets: Vec<(u32, Vec<String>)>,
    /// The last packet that was looked at.
    until: u32,
}

/// A walk over the packets that gathers their comments, in steps.
pub(super) struct Walk {
    replay: Replay,
    batch: Batch,
    bytes: usize,
    found: Found,
}

impl Walk {
    /// From the first packet on; none where no file can have comments, or the packets cannot be read again.
    pub fn new(feed: &dyn Feed) -> Option<Self> {
        let replay = feed.packets()?;
        let has_any = replay.files().iter().any(|file| file.file_type == FileType::Pcapng);
        has_any.then(|| Self { replay, batch: Batch::default(), bytes: 0, found: Found::default() })
    }

    /// Goes on; everything, when it is over.
    pub fn step(&mut self) -> Option<Found> {
        if self.bytes > MOST || !self.replay.read_batch(&mut self.batch, PIECE) {
            return Some(std::mem::take(&mut self.found));
        }
        for packet in &self.batch.packets {
            self.found.until += 1;
            let comments: Vec<String> = self.replay.comments(packet).map(str::to_owned).collect();
            if !comments.is_empty() {
                self.bytes += comments.iter().map(String::len).sum::<usize>();
                self.found.packets.push((self.found.until, comments));
            }
        }
        None
    }
}

/// What the capture says about messages.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    /// By message.
    texts: BTreeMap<u32, String>,
    /// The last packet whose comments are known.
    until: u32,
}

impl State {
    /// Makes the capture's comments those of the messages that their packets completed: of several that which the comment
    /// names, else each has its own, in their order. What was written here meanwhile stands behind them.
    pub(super) fn adopt(&mut self, view: View<'_>, found: Found) {
        for (packet, comments) in found.packets {
            let messages: Vec<u32> = of_packet(view, packet).collect();
            let Some(last) = messages.len().checked_sub(1) else { continue };
            for (at, comment) in comments.iter().enumerate() {
                let (message, text) = named(view, &messages, comment).unwrap_or((messages[at.min(last)], comment));
                append(self.noted.texts.entry(message).or_default(), text);
            }
        }
        self.noted.until = found.until;
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
        Comments { texts, known: self.noted.until }
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
