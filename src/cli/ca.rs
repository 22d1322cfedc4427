//! `ckscope ca`: the authority that the proxy mints certificates from.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::capture::proxy::authority;

pub const EXAMPLES: &str = "\
Examples:
  ckscope ca init lab-ca
      Make an authority in the new directory lab-ca, and tell how KM and controller come to trust it
  ckscope proxy --listen 127.0.0.1:4164 --upstream 192.0.2.10:4164 --ca lab-ca \\
      --km-ca km-ca.pem --controller-ca controller-ca.pem
      Use it";

/// Make the authority that the proxy mints certificates from
#[derive(Args, Debug)]
pub struct CaArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make ca.pem and ca.key (readable by you alone) in DIR; nothing that is there is overwritten
    Init {
        /// Where; made if it is not there
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

impl CaArgs {
    /// # Errors
    /// There is an authority already, or it cannot be written.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let Command::Init { directory } = self.command;
        let made = authority::init(&directory)?;
        writeln!(super::out::out(), "{}", made.instructions())?;
        Ok(ExitCode::SUCCESS)
    }
}
