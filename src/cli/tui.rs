//! `ckscope tui`: the terminal interface over captures that are read in the background.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;

use super::input::{InputArgs, Started};
use super::screen::{self, ScreenArgs};
use super::shared::Shared;
use crate::analyzer::Options;

/// Examples for the help text.
pub const EXAMPLES: &str = "\
Examples:
  ckscope tui capture.pcapng
      Procedures, their flows and messages; ? lists the keys
  ckscope tui ring-*.pcapng --keylog secrets.log
      Several captures merged by time, with TLS decrypted
  ckscope tui capture.pcapng --config my-keys.toml
      With keys and colours of one's own";

/// What `tui` was asked for.
#[derive(Args, Debug)]
pub struct TuiArgs {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    screen: ScreenArgs,
}

impl TuiArgs {
    /// Shows the captures until the user leaves.
    ///
    /// # Errors
    /// There is no terminal, no capture could be read, or the configuration is wrong.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        if !screen::is_possible() {
            bail!("tui needs a terminal; ckscope read and ckscope flows print into files and pipes");
        }
        let setup = self.screen.setup(name(&self.input.files))?;
        let definitions = Arc::new(self.input.analysis.definitions.load()?);
        let options = Options { is_watched: true, ..self.input.analysis.options(definitions) };
        let Some(started) = self.input.start(&self.input.files, options)? else {
            bail!("no capture could be opened");
        };
        let Started { reader, key_logs, analyzer, errors } = started;
        let shared = Arc::new(Shared::of_files(analyzer, &reader));
        let input = self.input;
        let problems = screen::show(&shared, setup, move |shared| shared.read(&input, reader, key_logs))?;
        Ok(super::status(errors || problems))
    }
}

fn name(files: &[PathBuf]) -> String {
    let first = files.first().and_then(|path| path.file_name()).unwrap_or_default().to_string_lossy().into_owned();
    if files.len() > 1 { format!("{first} and {} more", files.len() - 1) } else { first }
}
