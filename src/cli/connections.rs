//! `ckscope connections`: the TCP connections.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::filter::{FilterArgs, FollowedArgs, Wanted};
use super::input::InputArgs;
use super::look::{LookArgs, Time, styles};
use crate::output::connections::Listing;
use crate::output::jsonl;

/// Examples for the help text.
pub const EXAMPLES: &str = "\
Examples:
  ckscope connections capture.pcapng
      Every TCP connection: who dialled whom, what it carries, what was lost
  ckscope connections --format jsonl capture.pcapng | jq 'select(.gaps > 0)'
      Connections with bytes that the capture does not hold
  ckscope connections --port 7000 capture.pcapng
      The same, taking everything on port 7000 for Ck whatever it looks like";

/// What `connections` was asked for.
#[derive(Args, Debug)]
pub struct ConnectionsArgs {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// How to print
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    format: Format,
    /// What times are told against, in text
    #[arg(long, value_enum, default_value = "absolute", help_heading = "Output")]
    time: Time,
    #[command(flatten)]
    look: LookArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A table for people
    Text,
    /// A JSON object on each line
    Jsonl,
}

impl ConnectionsArgs {
    /// Prints the connections.
    ///
    /// # Errors
    /// No capture could be read, or stdout cannot be written.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let definitions = Arc::new(self.input.analysis.definitions.load()?);
        let wanted = Wanted::new(&self.filter, &FollowedArgs::default(), &definitions, &self.time.zone())?;
        let analysis = self.input.analyze(&definitions)?;
        let (view, columns) = (analysis.view(), self.look.width());
        let mut out = super::out::buffered();
        let mut listing = Listing::new(view, self.time.clock(&analysis, columns), styles(), columns);
        if let Format::Text = self.format {
            listing.header(&mut out)?;
        }
        let shown = wanted.of(view).connections();
        for index in (0..shown.len() as u32).filter(|&index| shown[index as usize]) {
            match self.format {
                Format::Text => listing.write(&mut out, index)?,
                Format::Jsonl => jsonl::connection(&mut out, view, index)?,
            }
        }
        out.flush()?;
        Ok(analysis.end())
    }
}
