//! What is marked, or shown, as a new file, of the kind that its name says.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::feed::Feed;
use super::state::State;
use crate::capture::file::Replay;
use crate::identities::Identities;
use crate::journal::{NONE, View};
use crate::output::fields::{self, Field};
use crate::output::jsonl;
use crate::output::ladder::{Ladder, exchanges, mermaid, svg};
use crate::output::packets::{Choice, Extract, Plaintext};
use crate::output::read::Listing;
use crate::output::style::Styles;

/// The kinds of files.
const KINDS: [&str; 6] = ["pcapng", "jsonl", "csv", "txt", "svg", "md"];

/// What is needed to write a file.
enum Plan {
    Packets(Box<Replay>),
    /// Procedures, in groups that belong together.
    Ladders(Vec<Vec<u32>>),
    Messages,
}

/// Writes messages, in their order, to a new file, as its name says; what else there is to say about it.
///
/// # Errors
/// The name says nothing, there is such a file, or it cannot be written.
pub fn save(
    feed: &dyn Feed,
    view: View<'_>,
    state: &State,
    path: &Path,
    messages: &[u32],
) -> io::Result<Option<&'static str>> {
    let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or("");
    // What cannot be done leaves no file behind.
    let plan = plan(feed, view, kind, messages)?;
    let mut out = BufWriter::new(File::create_new(path)?);
    match plan {
        Plan::Packets(replay) => packets(&mut out, view, state, &replay, messages)?,
        Plan::Ladders(groups) => ladders(&mut out, view, state, kind, &groups)?,
        Plan::Messages => list(&mut out, view, state, kind, messages)?,
    }
    out.flush()?;
    let has_tls = messages.iter().any(|&index| view.record(index).tls);
    Ok((kind == "pcapng" && has_tls).then_some("without TLS secrets (ckscope export --secrets or --decrypted)"))
}

fn plan(feed: &dyn Feed, view: View<'_>, kind: &str, messages: &[u32]) -> io::Result<Plan> {
    if !KINDS.contains(&kind) {
        let names = KINDS.map(|kind| format!(".{kind}")).join(", ");
        return Err(io::Error::other(format!("expected a name that ends in one of {names}")));
    }
    if kind == "pcapng" {
        let gone = "the packets cannot be read again";
        return Ok(Plan::Packets(Box::new(feed.packets().ok_or_else(|| io::Error::other(gone))?)));
    }
    if !matches!(kind, "svg" | "md") {
        return Ok(Plan::Messages);
    }
    let groups = groups_of(view, messages);
    match (kind, groups.len()) {
        (_, 0) => Err(io::Error::other("there is no procedure to draw")),
        ("svg", count @ 2..) => {
            let advice = "mark one (x marks all that is related), or save .md";
            Err(io::Error::other(format!("{count} exchanges for one drawing; {advice}")))
        }
        _ => Ok(Plan::Ladders(groups)),
    }
}

fn packets(out: &mut impl Write, view: View<'_>, state: &State, replay: &Replay, messages: &[u32]) -> io::Result<()> {
    let choice = Choice::of(view.journal, false, |index| messages.binary_search(&index).is_ok());
    let (comments, plaintext) = (state.comments(view), Plaintext::default());
    Extract { journal: view.journal, replay, choice, plaintext, secrets: String::new(), comments }.write(out)?;
    Ok(())
}

fn list(out: &mut impl Write, view: View<'_>, state: &State, kind: &str, messages: &[u32]) -> io::Result<()> {
    match kind {
        "jsonl" => messages.iter().try_for_each(|&index| jsonl::message(&mut *out, view, index)),
        "csv" => {
            let fields = Field::columns(&view.journal.definitions);
            fields::csv_header(out, &view.journal.definitions, &fields)?;
            messages.iter().try_for_each(|&index| fields::csv(&mut *out, view, index, &fields))
        }
        _ => {
            let clock = state.setup.time.clock(view, &state.setup.zone);
            let mut listing = Listing::new(view, clock, Styles::plain(), usize::MAX, true);
            messages.iter().try_for_each(|&index| listing.write(out, view, index))
        }
    }
}

fn ladders(out: &mut impl Write, view: View<'_>, state: &State, kind: &str, groups: &[Vec<u32>]) -> io::Result<()> {
    let identities = Identities::new(view);
    let ladder = |group: &Vec<u32>| Ladder::new(view, &identities, group.clone());
    match (kind, groups) {
        ("svg", [group]) => {
            let mut clock = state.setup.time.clock(view, &state.setup.zone);
            write!(out, "{}", svg::draw(view, &ladder(group), &mut clock, true))
        }
        _ => {
            writeln!(out, "```mermaid")?;
            mermaid::write(out, view, || groups.iter().map(ladder))?;
            writeln!(out, "```")
        }
    }
}

/// The procedures of messages, in groups that belong together.
fn groups_of(view: View<'_>, messages: &[u32]) -> Vec<Vec<u32>> {
    let of = |&index: &u32| view.record(index).procedure;
    let wanted: BTreeSet<u32> = messages.iter().map(of).filter(|&procedure| procedure != NONE).collect();
    let some = |group: Vec<u32>| group.into_iter().filter(|procedure| wanted.contains(procedure)).collect::<Vec<u32>>();
    exchanges(view).map(some).filter(|group| !group.is_empty()).collect()
}
