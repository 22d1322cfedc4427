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
    /// Makes the capture's comments those of the messages that their packets completed: of several each has its own, in
    /// their order. What was written here meanwhile stands behind them.
    pub(super) fn adopt(&mut self, view: View<'_>, found: Found) {
        for (packet, comments) in found.packets {
            let messages: Vec<u32> = of_packet(view, packet).collect();
            let Some(last) = messages.len().checked_sub(1) else { continue };
            for (at, comment) in comments.into_iter().enumerate() {
                append(self.noted.texts.entry(messages[at.min(last)]).or_default(), &comment);
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
                texts.insert(packet, messages.iter().filter_map(now).collect());
            }
        }
        Comments { texts, known: self.noted.until }
    }
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str(AND);
    }
    text.push_str(more);
}
