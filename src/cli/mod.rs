//! The command line: what was typed → what it means. One file per command; results go to stdout, everything else to
//! stderr. Knows every stage only by its public face.

mod flows;
mod input;
mod lab;
mod read;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// See the Ck interface of a QKD network (ITU-T Q.4164) as procedures, not packets
#[derive(Parser, Debug)]
#[command(name = "ckscope", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Print every Ck message of captures, one line each
    Read(read::ReadArgs),
    /// Print the procedures of captures, as a table or as ladders
    Flows(flows::FlowsArgs),
    /// Simulate a QKDN: write sample captures, or speak Ck over TCP
    Lab(lab::LabArgs),
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    /// What stopped it; the exit status is then 2.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Read(args) => args.run(),
            Command::Flows(args) => args.run(),
            Command::Lab(args) => lab::run(args),
        }
    }
}

/// 0: read whole; 1: read with problems that were said.
fn status(problems: bool) -> ExitCode {
    ExitCode::from(u8::from(problems))
}
