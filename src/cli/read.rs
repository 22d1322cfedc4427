//! `ckscope read`: one line per message.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::input::InputArgs;
use crate::output::jsonl;

/// What `read` was asked for.
#[derive(Args, Debug)]
pub struct ReadArgs {
    #[command(flatten)]
    input: InputArgs,
    /// How to print
    #[arg(long, value_enum, default_value = "jsonl", help_heading = "Output")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Jsonl,
}

impl ReadArgs {
    /// Prints the messages.
    ///
    /// # Errors
    /// No capture could be read, or stdout cannot be written.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let analysis = self.input.analyze()?;
        let view = analysis.view();
        let mut out = BufWriter::new(std::io::stdout().lock());
        for index in 0..view.journal.records.len() as u32 {
            match self.format {
                Format::Jsonl => jsonl::message(&mut out, view, index)?,
            }
        }
        out.flush()?;
        Ok(super::status(analysis.problems))
    }
}
