//! `ckscope proxy rules`: what to tell nftables.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use clap::Args;

use super::Transparent;
use crate::capture::proxy::rules::Rules;

/// Print the nftables rules for --transparent, and how to remove them
#[derive(Args, Debug)]
pub struct RulesArgs {
    /// How connections come to the proxy
    #[arg(long, value_name = "HOW")]
    transparent: Transparent,
    /// Where the proxy listens (repeatable: once for IPv4, once for IPv6)
    #[arg(long, value_name = "ADDR", value_parser = super::address, required = true)]
    listen: Vec<SocketAddr>,
    /// The destination port of the connections to bring there (repeatable)
    #[arg(long, value_name = "PORT", required = true)]
    port: Vec<u16>,
    /// Only connections to this address: the controller's (repeatable) [default: any]
    #[arg(long, value_name = "IP")]
    to: Vec<IpAddr>,
    /// The proxy dials on from the address of whoever dialled
    #[arg(long)]
    spoof_source: bool,
    /// Print only how to remove them
    #[arg(long)]
    remove: bool,
}

impl RulesArgs {
    /// # Errors
    /// Nobody takes the text.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let rules = Rules {
            tproxy: self.transparent == Transparent::Tproxy,
            listen: self.listen,
            ports: self.port,
            destinations: self.to,
            spoof_source: self.spoof_source,
        };
        let mut out = crate::cli::out::out();
        if self.remove {
            write!(out, "{}", rules.removal())?;
        } else {
            let undo: Vec<String> = rules.removal().lines().map(|line| format!("#   {line}\n")).collect();
            write!(
                out,
                "# As root, on the host of the proxy, which must forward between KM and controller.\n{}",
                rules.setting()
            )?;
            write!(out, "# To remove them (or pass --remove):\n{}", undo.concat())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
