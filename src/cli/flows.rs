//! `ckscope flows`: the procedures.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use super::filter::{FilterArgs, FollowedArgs, Shown, Wanted};
use super::input::{Analysis, InputArgs};
use super::lines;
use super::look::{LookArgs, Time, styles};
use crate::journal::View;
use crate::output::flows::Listing;
use crate::output::jsonl;
use crate::output::ladder::text::{Drawing, Glyphs};
use crate::output::ladder::{Identities, Ladder, exchanges, mermaid};

/// Examples for the help text.
pub const EXAMPLES: &str = "\
Examples:
  ckscope flows capture.pcapng
      A table of procedures: start, state, duration, key manager, IDs, messages, diagnostics
  ckscope flows --ladder=4 capture.pcapng
      Procedure 4, and those related to it, as a ladder
  ckscope flows -Y 'ck.procedure.state != complete || ck.duration > 2s' capture.pcapng
      Only what failed, hangs or took long (ckscope fields lists what can be asked)
  ckscope flows --format mermaid capture.pcapng > exchange.mmd
      A sequence diagram for a document or a ticket";

/// What `flows` was asked for.
#[derive(Args, Debug)]
pub struct FlowsArgs {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    followed: FollowedArgs,
    /// How to print
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    format: Format,
    /// Draw ladders: of all procedures, or of the one with this ID and those related to it
    #[arg(long, value_name = "ID", num_args = 0..=1, require_equals = true, help_heading = "Output")]
    ladder: Option<Option<u32>>,
    /// Draw with ASCII characters only
    #[arg(long, requires = "ladder", help_heading = "Output")]
    ascii: bool,
    /// What times are told against, in text
    #[arg(long, value_enum, default_value = "absolute", help_heading = "Output")]
    time: Time,
    #[command(flatten)]
    look: LookArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table, or ladders, for people
    Text,
    /// A JSON object on each line
    Jsonl,
    /// A Mermaid sequence diagram
    Mermaid,
}

impl FlowsArgs {
    /// Prints the procedures.
    ///
    /// # Errors
    /// No capture could be read, there is no such procedure, or stdout cannot be written.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        if self.format == Format::Jsonl && self.ladder.is_some() {
            bail!("--ladder goes with --format text or mermaid; jsonl lists every procedure with those related to it");
        }
        let definitions = Arc::new(self.input.analysis.definitions.load()?);
        let wanted = Wanted::new(&self.filter, &self.followed, &definitions, &self.time.zone())?;
        let analysis = self.input.analyze(&definitions)?;
        let shown = wanted.of(analysis.view());
        let mut out = super::out::buffered();
        match self.format {
            Format::Jsonl => {
                let (view, count) = (analysis.view(), analysis.journal.procedures.len() as u32);
                let is_shown = |index| shown.procedure(index);
                let procedures = jsonl::Procedures::new(view);
                lines::write(&mut out, self.input.threads(), count, is_shown, |lines, chunk| {
                    let mut procedures = procedures.clone();
                    chunk.shown().for_each(|index| procedures.write(lines.room(), index));
                    Ok(())
                })?;
            }
            Format::Mermaid => {
                let (view, identities) = (analysis.view(), Identities::new(analysis.view(), self.input.threads()));
                let procedures = self.procedure(view)?;
                mermaid::write(&mut out, view, || ladders(view, &identities, &shown, procedures))?;
            }
            Format::Text if self.ladder.is_some() => self.draw(&mut out, &analysis, &shown)?,
            Format::Text => self.list(&mut out, &analysis, &shown)?,
        }
        out.flush()?;
        Ok(analysis.end())
    }

    fn list(&self, out: &mut impl Write, analysis: &Analysis, shown: &Shown<'_>) -> anyhow::Result<()> {
        let (view, columns) = (analysis.view(), self.look.width());
        let identities = Identities::new(view, self.input.threads());
        let (kms, clock) = (identities.kms(), self.time.clock(analysis, columns));
        let listing = Listing::new(view, (&identities, &kms), clock, styles(), columns);
        listing.header(out)?;
        let (count, is_shown) = (view.journal.procedures.len() as u32, |index| shown.procedure(index));
        lines::write(out, self.input.threads(), count, is_shown, |lines, chunk| {
            let mut listing = listing.clone();
            if listing.clock.is_delta()
                && let Some(before) = chunk.before()
            {
                listing.clock.follow(view.journal.span(before).0);
            }
            chunk.shown().try_for_each(|index| listing.write(lines.room(), index))
        })?;
        Ok(())
    }

    fn draw(&self, out: &mut impl Write, analysis: &Analysis, shown: &Shown<'_>) -> anyhow::Result<()> {
        let columns = self.look.drawing_width();
        let glyphs = if self.ascii { Glyphs::Ascii } else { Glyphs::Unicode };
        let clock = self.time.clock(analysis, columns);
        let mut drawing = Drawing { columns, glyphs, styles: styles(), clock };
        let identities = Identities::new(analysis.view(), self.input.threads());
        for ladder in ladders(analysis.view(), &identities, shown, self.procedure(analysis.view())?) {
            drawing.write(out, analysis.view(), &ladder)?;
        }
        Ok(())
    }

    /// Index of the one procedure to draw, if one was named.
    fn procedure(&self, view: View<'_>) -> anyhow::Result<Option<u32>> {
        let Some(id) = self.ladder.flatten() else { return Ok(None) };
        let count = view.journal.procedures.len();
        let index = id.checked_sub(1).filter(|&index| (index as usize) < count);
        index.map(Some).with_context(|| {
            format!("--ladder={id}: no such procedure; the capture has {count} (ckscope flows lists them)")
        })
    }
}

/// The ladder of `procedure` and those related to it, or those of all, as far as they are shown.
fn ladders<'a>(
    view: View<'a>,
    identities: &'a Identities<'a>,
    shown: &'a Shown<'a>,
    procedure: Option<u32>,
) -> impl Iterator<Item = Ladder> + 'a {
    let one = procedure.map(|procedure| [&*view.journal.related(procedure), &[procedure]].concat());
    let all = one.is_none().then(|| exchanges(view)).into_iter().flatten();
    let groups = one.into_iter().chain(all).filter_map(|mut group| {
        group.retain(|&procedure| shown.procedure(procedure));
        (!group.is_empty()).then_some(group)
    });
    groups.map(move |group| Ladder::new(view, identities, group))
}
