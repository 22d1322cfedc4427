//! `ckscope read`: one line per message.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use clap::{Args, ValueEnum};

use super::filter::{FilterArgs, FollowedArgs, Shown, Wanted};
use super::input::{Analysis, InputArgs};
use super::lines;
use super::look::{LookArgs, Time, styles};
use crate::dissect::Definitions;
use crate::output::fields::{self, Field, Key};
use crate::output::read::Listing;

/// Examples for the help text.
pub const EXAMPLES: &str = "\
Examples:
  ckscope read capture.pcapng
      Every message on a line: number, time, diagnostics (E, W, N or ·), source → destination, command code, name,
      MessageID and the identifiers that matter
  ckscope read --time relative -V capture.pcapng.gz
      Times since the first packet, and every parameter and diagnostic of each message
  ckscope read --format csv --fields number,time,message,session_id,response ring-*.pcapng > messages.csv
      Some fields of several files, merged by time, for a spreadsheet
  ckscope read -Y 'ck.procedure.state == failed && ck.response' capture.pcapng
      Only some messages: a display filter, as in Wireshark (ckscope fields lists what it can ask)
  ckscope read --follow session_id=S-1 capture.pcapng
      All that belongs to a session: its creation, reservation, allocation, on every connection";

/// What `read` was asked for.
#[derive(Args, Debug)]
pub struct ReadArgs {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    followed: FollowedArgs,
    /// How to print
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    format: Format,
    /// Print only these fields, in this order
    ///
    /// Comma-separated. A field is a key of the jsonl output (number, time, packet, connection, source, destination,
    /// binding, tls, direction, version, message_id, command_code, message, length, parameters, unknown_parameters,
    /// procedure, diagnostics), one of answers, procedure_name, clause and state, or a parameter by its name in
    /// snake_case (`ckscope dissectors show q4164-ck` lists them). Text has tabs between the fields.
    #[arg(long, value_name = "A,B,C", value_delimiter = ',', help_heading = "Output")]
    fields: Vec<String>,
    /// What times are told against, in text
    #[arg(long, value_enum, default_value = "absolute", help_heading = "Output")]
    time: Time,
    /// Add every parameter and diagnostic of each message
    #[arg(short = 'V', long, help_heading = "Output")]
    verbose: bool,
    #[command(flatten)]
    look: LookArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for people
    Text,
    /// A JSON object on each line
    Jsonl,
    /// RFC 4180, with a header
    Csv,
}

impl ReadArgs {
    /// Prints the messages.
    ///
    /// # Errors
    /// No capture could be read, there is no such field, or stdout cannot be written.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        if self.verbose && (self.format != Format::Text || !self.fields.is_empty()) {
            bail!("-V goes with text without --fields; jsonl has every parameter and diagnostic anyway");
        }
        let definitions = Arc::new(self.input.analysis.definitions.load()?);
        let fields = self.fields(&definitions)?;
        let wanted = Wanted::new(&self.filter, &self.followed, &definitions, &self.time.zone())?;
        let analysis = self.input.analyze(&definitions)?;
        let shown = wanted.of(analysis.view());
        let mut out = super::out::buffered();
        match self.format {
            Format::Text if fields.is_empty() => self.list(&mut out, &analysis, &shown)?,
            format => print_fields(&mut out, &analysis, &shown, self.input.threads(), format, &fields)?,
        }
        out.flush()?;
        Ok(analysis.end())
    }

    /// The fields asked for; none if the format has its own choice.
    fn fields(&self, definitions: &Definitions) -> anyhow::Result<Vec<Field>> {
        let named = |name: &String| {
            Field::named(definitions, name.trim()).map_err(|unknown| {
                anyhow!(
                    "--fields: {unknown}; ckscope read --help lists the fields, \
                     ckscope dissectors show q4164-ck the parameters"
                )
            })
        };
        let fields: Vec<Field> = self.fields.iter().map(named).collect::<Result<_, _>>()?;
        Ok(match self.format {
            Format::Jsonl if fields.is_empty() => Key::LINE.map(Field::Key).to_vec(),
            Format::Csv if fields.is_empty() => Field::columns(definitions),
            _ => fields,
        })
    }

    fn list(&self, out: &mut impl Write, analysis: &Analysis, shown: &Shown<'_>) -> anyhow::Result<()> {
        let view = analysis.view();
        let columns = self.look.width();
        let clock = self.time.clock(analysis, columns);
        let listing = Listing::new(view, clock, styles(), columns, self.verbose);
        let (count, is_shown) = (view.journal.records.len() as u32, |index| shown.message(index));
        lines::write(out, self.input.threads(), count, is_shown, |lines, chunk| {
            let mut listing = listing.clone();
            if listing.clock.is_delta()
                && let Some(before) = chunk.before()
            {
                listing.clock.follow(view.record(before).time);
            }
            chunk.shown().try_for_each(|index| listing.write(lines.room(), view, index))
        })?;
        Ok(())
    }
}

fn print_fields(
    out: &mut impl Write,
    analysis: &Analysis,
    shown: &Shown<'_>,
    threads: usize,
    format: Format,
    fields: &[Field],
) -> anyhow::Result<()> {
    let view = analysis.view();
    if format == Format::Csv {
        fields::csv_header(out, &view.journal.definitions, fields)?;
    }
    let count = view.journal.records.len() as u32;
    let is_shown = |index| shown.message(index);
    lines::write(out, threads, count, is_shown, |lines, chunk| {
        chunk.shown().try_for_each(|index| match format {
            Format::Text => fields::tabbed(lines.room(), view, index, fields),
            Format::Jsonl => fields::jsonl(lines.room(), view, index, fields),
            Format::Csv => fields::csv(lines.room(), view, index, fields),
        })
    })?;
    Ok(())
}
