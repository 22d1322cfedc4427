//! `ckscope fields`: what a display filter can ask for.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::input::DefinitionArgs;
use super::look::{LookArgs, styles};
use crate::output::vocabulary;

/// Examples for the help text.
pub const EXAMPLES: &str = "\
Examples:
  ckscope fields
      Every field of display filters, with its type and meaning
  ckscope fields --dissector vendor.toml --format csv > fields.csv
      With the parameters of a definition file of your own, for a spreadsheet";

/// What `fields` was asked for.
#[derive(Args, Debug)]
pub struct FieldsArgs {
    #[command(flatten)]
    definitions: DefinitionArgs,
    /// How to print
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    format: Format,
    #[command(flatten)]
    look: LookArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A table for people
    Text,
    /// A JSON object on each line
    Jsonl,
    /// RFC 4180, with a header
    Csv,
}

impl FieldsArgs {
    /// Prints the fields.
    ///
    /// # Errors
    /// A definition file is wrong, or stdout cannot be written.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let definitions = self.definitions.load()?;
        let mut out = super::out::buffered();
        match self.format {
            Format::Text => vocabulary::text(&mut out, &definitions, styles(), self.look.width())?,
            Format::Jsonl => vocabulary::jsonl(&mut out, &definitions)?,
            Format::Csv => vocabulary::csv(&mut out, &definitions)?,
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}
