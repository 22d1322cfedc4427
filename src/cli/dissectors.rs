//! `ckscope dissectors`: what the messages are called, and where that is written.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::input::{DefinitionArgs, read_definition};
use super::look::styles;
use crate::dissect::Definitions;
use crate::output::dissectors as output;

/// Examples for the help text.
pub const EXAMPLES: &str = "\
Examples:
  ckscope dissectors show 0x1401
      The table of one message: parameters, types, which are mandatory
  ckscope dissectors show q4164-ck
      All messages, procedures and parameters of Q.4164
  ckscope dissectors check vendor.toml
      Whether a definition file of your own is right, before --dissector vendor.toml uses it";

/// What `dissectors` was asked for.
#[derive(Args, Debug)]
pub struct DissectorsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List the definition files
    List {
        #[command(flatten)]
        definitions: DefinitionArgs,
    },
    /// Show a definition file, or a message, with its tables
    Show {
        /// Name of a definition file, or code (0x1401) or name of a message
        name: String,
        #[command(flatten)]
        definitions: DefinitionArgs,
    },
    /// Check a definition file
    Check {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        definitions: DefinitionArgs,
    },
}

impl DissectorsArgs {
    /// Does what was asked for.
    ///
    /// # Errors
    /// A definition file is wrong, there is nothing of that name, or stdout cannot be written.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut out = super::out::buffered();
        match self.command {
            Command::List { definitions } => output::list(&mut out, &definitions.load()?)?,
            Command::Show { name, definitions } => show(&mut out, &definitions.load()?, &name)?,
            Command::Check { file, definitions } => {
                let mut all = definitions.load()?;
                let name = file.display().to_string();
                all.add(&read_definition(&file)?, &name)?;
                let index = all.files.len() as u16 - 1;
                writeln!(out, "{name}: ok: {}", output::counts(&all, index))?;
            }
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

fn show(out: &mut impl Write, definitions: &Definitions, name: &str) -> anyhow::Result<()> {
    if let Some(file) = output::file_named(definitions, name) {
        output::show_file(out, definitions, file, styles())?;
    } else if let Some(message) = output::message_named(definitions, name) {
        output::show_message(out, definitions, message, styles())?;
    } else {
        let files: Vec<&str> = definitions.files.iter().map(|file| file.name.as_str()).collect();
        bail!(
            "{name}: neither a definition file nor a message; expected one of {} or a code like 0x1401 \
             (ckscope dissectors show {} lists them)",
            files.join(", "),
            files[0]
        );
    }
    Ok(())
}
