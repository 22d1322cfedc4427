//! `ckscope flows`: the procedures.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::input::InputArgs;
use crate::output::jsonl;

/// What `flows` was asked for.
#[derive(Args, Debug)]
pub struct FlowsArgs {
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

impl FlowsArgs {
    /// Prints the procedures.
    ///
    /// # Errors
    /// No capture could be read, or stdout cannot be written.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let analysis = self.input.analyze()?;
        let view = analysis.view();
        let mut out = BufWriter::new(std::io::stdout().lock());
        for index in 0..view.journal.procedures.len() as u32 {
            match self.format {
                Format::Jsonl => jsonl::procedure(&mut out, view, index)?,
            }
        }
        out.flush()?;
        Ok(super::status(analysis.problems))
    }
}
