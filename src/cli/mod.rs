//! What was typed → what it means. One file per command.

pub mod lab;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// See the Ck interface of a QKD network (ITU-T Q.4164) as procedures, not packets.
#[derive(Debug, Parser)]
#[command(name = "ckscope", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Simulate a QKDN: write sample captures, or speak Ck over TCP.
    Lab(lab::LabArgs),
}

/// Runs what the command line says.
pub fn run() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Lab(args) => lab::run(args),
    }
}
