//! `ckscope completions` and `ckscope man`: what shells and manuals want to know, made from the definitions of the
//! arguments.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell as Generator;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::Cli;

/// Examples for the help text.
pub const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  ckscope completions bash > /etc/bash_completion.d/ckscope
  ckscope completions zsh > /usr/local/share/zsh/site-functions/_ckscope
  ckscope completions fish > ~/.config/fish/completions/ckscope.fish";

/// Examples for the help text.
pub const MAN_EXAMPLES: &str = "\
Examples:
  ckscope man | man -l -
      Read the manual page
  ckscope man /usr/local/share/man/man1
      Write a page for each command, ckscope-read.1 and so on";

/// Which shell.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    /// GNU Bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

impl CompletionsArgs {
    /// Prints the shell's script.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let generator = match self.shell {
            Shell::Bash => Generator::Bash,
            Shell::Zsh => Generator::Zsh,
            Shell::Fish => Generator::Fish,
        };
        // To memory first: the generator panics where its writer fails.
        let mut script = Vec::new();
        clap_complete::generate(generator, &mut Cli::command(), "ckscope", &mut script);
        super::out::out().write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// See [`settings`](super::settings).
const ENVIRONMENT: [(&str, &str); 3] = [
    ("CKSCOPE_OPTION", "Default of an option: CKSCOPE_TIMEOUT=20 for --timeout 20. The command line goes before it."),
    ("CKSCOPE_CONFIG", "The configuration file; empty for none."),
    ("NO_COLOR", "Without colour, unless --color asks for it."),
];
/// See [`settings`](super::settings).
const FILES: [(&str, &str); 1] = [(
    "~/.config/ckscope/ckscope.toml",
    "Keys, colours and columns of the interface, and defaults of options: [options], and [options.COMMAND] before it.",
)];

/// Where to.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Directory for a page of each command [default: the main page, to stdout]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl ManArgs {
    /// Prints the main page, or writes all.
    ///
    /// # Errors
    /// The directory or stdout cannot be written.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut command = Cli::command();
        command.build();
        match self.directory {
            None => {
                let mut out = super::out::buffered();
                page(command, &mut out)?;
                out.flush()?;
            }
            Some(directory) => {
                std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
                write_pages(&command, &directory)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The page of `command`, and where else its options come from.
fn page(command: clap::Command, out: &mut dyn Write) -> std::io::Result<()> {
    Man::new(command).render(out)?;
    let mut roff = Roff::new();
    for (title, entries) in [("ENVIRONMENT", &ENVIRONMENT[..]), ("FILES", &FILES)] {
        roff.control("SH", [title]);
        for (name, meaning) in entries {
            roff.control("TP", []).text([roman(*name)]).text([roman(*meaning)]);
        }
    }
    roff.to_writer(out)
}

/// The page of `command`, and those of what is below it; built commands are called `ckscope-read`.
fn write_pages(command: &clap::Command, directory: &Path) -> anyhow::Result<()> {
    let mut text = Vec::new();
    page(command.clone(), &mut text)?;
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let path = directory.join(format!("{name}.1"));
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    let told = |command: &&clap::Command| !command.is_hide_set() && command.get_name() != "help";
    command.get_subcommands().filter(told).try_for_each(|inner| write_pages(inner, directory))
}
