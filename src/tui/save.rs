//! What is marked, or shown, as a new file, of the kind that its name says. The journal is held for a look at a time,
//! never while the disk is waited for.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::feed::{Feed, Phase};
use super::marks::{Anchor, anchor, locate};
use super::state::State;
use super::times::TimeMode;
use crate::capture::file::Replay;
use crate::dissect::Definitions;
use crate::identities::Identities;
use crate::journal::{NONE, View};
use crate::output::fields::{self, Field};
use crate::output::jsonl;
use crate::output::ladder::{Ladder, exchanges, mermaid, svg};
use crate::output::packets::{Choice, Comments, Extract, Plaintext};
use crate::output::read::Listing;
use crate::output::style::Styles;

/// The kinds of files.
const KINDS: [&str; 6] = ["pcapng", "jsonl", "csv", "txt", "svg", "md"];
/// Messages that are written to memory at a time.
const PIECE: usize = 512;
/// Between two pieces, for others to have the journal.
const REST: Duration = Duration::from_micros(200);
/// Procedures of ladders, which are made in one look.
const MOST_DRAWN: usize = 10_000;

/// What is to be saved.
#[derive(Clone, Debug)]
pub struct Order {
    /// The new file.
    pub path: PathBuf,
    /// Indexes of messages, ascending.
    pub messages: Vec<u32>,
    /// What tells the messages whatever their numbers, while these are not final.
    anchors: Vec<Anchor>,
    comments: Comments,
    time: (TimeMode, TimeZone),
    /// The TLS secrets of the connections, too.
    secrets: bool,
}

impl State {
    /// The order to save `messages`.
    pub fn order(&self, view: View<'_>, path: PathBuf, messages: Vec<u32>, secrets: bool) -> Order {
        let growing = self.status.phase == Phase::Growing;
        let anchors = messages.iter().filter(|_| growing).map(|&message| anchor(view, message)).collect();
        let time = (self.setup.time, self.setup.zone.clone());
        Order { path, messages, anchors, comments: self.comments(view), time, secrets }
    }
}

impl Order {
    fn kind(&self) -> &str {
        self.path.extension().and_then(|kind| kind.to_str()).unwrap_or("")
    }

    /// The messages from position `from` to `to`, by their numbers of this moment.
    fn messages(&self, view: View<'_>, from: usize, to: usize) -> Vec<u32> {
        let now = |at: usize| match (self.messages[at], self.anchors.get(at)) {
            (message, Some(&known)) if anchor(view, message) != known => locate(view, known),
            (message, _) => Some(message),
        };
        (from..to.min(self.messages.len())).filter_map(now).collect()
    }
}

/// What is needed to write a file.
enum Plan {
    Packets(Box<Replay>),
    /// The whole text.
    Ladders(Vec<u8>),
    Messages,
}

/// A file, until it is given up.
struct Target<'a> {
    file: File,
    given_up: &'a AtomicBool,
}

impl Write for Target<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.given_up.load(Ordering::Relaxed) {
            return Err(io::Error::other("given up before it was written"));
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a new file, until `given_up`; what else there is to say about it.
///
/// # Errors
/// The name says nothing, there is such a file, it cannot be written, or was given up: then there is none.
pub fn save(feed: &dyn Feed, order: &Order, given_up: &AtomicBool) -> io::Result<Option<&'static str>> {
    // What cannot be done leaves no file behind.
    let plan = plan(feed, order)?;
    let mode = if order.secrets { 0o600 } else { 0o666 };
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&order.path)?;
    let mut out = BufWriter::new(Target { file, given_up });
    let written = write_plan(feed, order, plan, &mut out).and_then(|note| out.flush().map(|()| note));
    if written.is_err() {
        // Half a file is none; it was made here. That it stays where even this fails, the error tells.
        let _ = std::fs::remove_file(&order.path);
    }
    written
}

/// Writes what would be the file's content; what else there is to say about it.
///
/// # Errors
/// The name says nothing, or `out` fails.
pub fn write(feed: &dyn Feed, order: &Order, out: &mut impl Write) -> io::Result<Option<&'static str>> {
    let plan = plan(feed, order)?;
    write_plan(feed, order, plan, out)
}

fn write_plan(feed: &dyn Feed, order: &Order, plan: Plan, out: &mut impl Write) -> io::Result<Option<&'static str>> {
    match plan {
        Plan::Packets(replay) => packets(feed, order, &replay, out),
        Plan::Ladders(text) => out.write_all(&text).map(|()| None),
        Plan::Messages => list(feed, order, out).map(|()| None),
    }
}

/// A look at the journal.
fn look<T>(feed: &dyn Feed, mut act: impl FnMut(View<'_>) -> T) -> T {
    let mut seen = None;
    feed.with(&mut |view| seen = Some(act(view)));
    seen.expect("a feed shows what it has")
}

fn plan(feed: &dyn Feed, order: &Order) -> io::Result<Plan> {
    let kind = order.kind();
    if !KINDS.contains(&kind) {
        let names = KINDS.map(|kind| format!(".{kind}")).join(", ");
        return Err(io::Error::other(format!("expected a name that ends in one of {names}")));
    }
    if order.secrets && kind != "pcapng" {
        return Err(io::Error::other(format!("--secrets goes with .pcapng, not with .{kind}")));
    }
    match kind {
        "pcapng" => {
            let gone = "the packets cannot be read again";
            Ok(Plan::Packets(Box::new(feed.packets().ok_or_else(|| io::Error::other(gone))?)))
        }
        "svg" | "md" => look(feed, |view| ladders(view, order)).map(Plan::Ladders),
        _ => Ok(Plan::Messages),
    }
}

fn packets(feed: &dyn Feed, order: &Order, replay: &Replay, out: &mut impl Write) -> io::Result<Option<&'static str>> {
    let (choice, randoms, has_tls) = look(feed, |view| {
        let mut messages = order.messages(view, 0, order.messages.len());
        messages.sort_unstable();
        let choice = Choice::of(view.journal, false, |index| messages.binary_search(&index).is_ok());
        let has_tls = messages.iter().any(|&index| view.record(index).tls);
        let randoms = choice.randoms(view.journal);
        (choice, randoms, has_tls)
    });
    let (secrets, known) = if order.secrets { feed.key_log(&randoms) } else { (String::new(), 0) };
    let (plaintext, comments) = (Plaintext::default(), order.comments.clone());
    Extract { replay, choice, plaintext, secrets, comments }.write(out)?;
    Ok(match (order.secrets, has_tls) {
        (false, true) => Some("without TLS secrets (save --secrets FILE puts them in)"),
        (true, _) if known < randoms.len() => Some("without the TLS secrets of RSA lines, which are not written"),
        (true, _) if known > 0 => Some("with TLS secrets: whoever has it can read these connections"),
        (true, _) => Some("there were no TLS secrets to put in"),
        (false, false) => None,
    })
}

/// How messages are listed.
enum Style {
    Jsonl,
    Csv(Vec<Field>),
    Text(Box<Listing>),
}

impl Style {
    fn of(order: &Order, view: View<'_>) -> Self {
        match order.kind() {
            "jsonl" => Self::Jsonl,
            "csv" => Self::Csv(Field::columns(&view.journal.definitions)),
            _ => {
                let clock = order.time.0.clock(view, &order.time.1);
                Self::Text(Box::new(Listing::new(view, clock, Styles::plain(), usize::MAX, true)))
            }
        }
    }

    fn head(&self, definitions: &Definitions, out: &mut Vec<u8>) -> io::Result<()> {
        if let Self::Csv(columns) = self { fields::csv_header(out, definitions, columns) } else { Ok(()) }
    }

    fn message(&mut self, out: &mut Vec<u8>, view: View<'_>, index: u32) -> io::Result<()> {
        match self {
            Self::Jsonl => jsonl::message(out, view, index),
            Self::Csv(columns) => fields::csv(out, view, index, columns),
            Self::Text(listing) => listing.write(out, view, index),
        }
    }
}

fn list(feed: &dyn Feed, order: &Order, out: &mut impl Write) -> io::Result<()> {
    let mut piece = Vec::new();
    let mut style = look(feed, |view| {
        let style = Style::of(order, view);
        style.head(&view.journal.definitions, &mut piece).map(|()| style)
    })?;
    for from in (0..order.messages.len()).step_by(PIECE) {
        out.write_all(&std::mem::take(&mut piece))?;
        look(feed, |view| {
            let messages = order.messages(view, from, from + PIECE);
            messages.into_iter().try_for_each(|index| style.message(&mut piece, view, index))
        })?;
        thread::sleep(REST);
    }
    out.write_all(&piece)
}

fn ladders(view: View<'_>, order: &Order) -> io::Result<Vec<u8>> {
    let groups = groups_of(view, &order.messages(view, 0, order.messages.len()));
    let count: usize = groups.iter().map(Vec::len).sum();
    let identities = Identities::new(view, 1);
    let ladder = |group: &Vec<u32>| Ladder::new(view, &identities, group.clone());
    let mut text = Vec::new();
    match (order.kind(), &groups[..]) {
        (_, []) => return Err(io::Error::other("there is no procedure to draw")),
        ("svg", [group]) => {
            let mut clock = order.time.0.clock(view, &order.time.1);
            text = svg::draw(view, &ladder(group), &mut clock, true).into_bytes();
        }
        ("svg", groups) => {
            let advice = "mark one (x marks all that is related), or save .md";
            return Err(io::Error::other(format!("{} exchanges for one drawing; {advice}", groups.len())));
        }
        _ if count > MOST_DRAWN => {
            let advice = format!("mark or filter at most {MOST_DRAWN}, or use ckscope export");
            return Err(io::Error::other(format!("{count} procedures for one diagram; {advice}")));
        }
        (_, groups) => {
            writeln!(text, "```mermaid")?;
            mermaid::write(&mut text, view, || groups.iter().map(ladder))?;
            writeln!(text, "```")?;
        }
    }
    Ok(text)
}

/// The procedures of messages, in groups that belong together.
fn groups_of(view: View<'_>, messages: &[u32]) -> Vec<Vec<u32>> {
    let of = |&index: &u32| view.record(index).procedure;
    let wanted: BTreeSet<u32> = messages.iter().map(of).filter(|&procedure| procedure != NONE).collect();
    let some = |group: Vec<u32>| group.into_iter().filter(|procedure| wanted.contains(procedure)).collect::<Vec<u32>>();
    exchanges(view).map(some).filter(|group| !group.is_empty()).collect()
}
