//! `ckscope proxy rules`: what to tell nftables.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use super::{Transparent, diallers};
use crate::capture::proxy::Party;
use crate::capture::proxy::rules::Rules;

/// Print the nftables rules for --transparent, and how to remove them
#[derive(Args, Debug)]
pub struct RulesArgs {
    /// How connections come to the proxy
    #[arg(long, value_name = "HOW")]
    transparent: Transparent,
    /// Where the proxy listens (repeatable: for IPv4, for IPv6, and for each --dial)
    #[arg(long, value_name = "ADDR", value_parser = super::address, required = true)]
    listen: Vec<SocketAddr>,
    /// The destination port of the connections to bring there (repeatable)
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), required = true)]
    port: Vec<u16>,
    /// The controller's address: only connections to it are brought there, with --dial controller only those from it
    /// (repeatable) [default: any]
    #[arg(long, value_name = "IP")]
    to: Vec<IpAddr>,
    /// Who dials what is brought there, as for the proxy (repeatable: for each --listen) [default: km]
    #[arg(long, value_name = "PARTY", value_enum)]
    dial: Vec<Party>,
    /// The proxy dials on from the address of whoever dialled
    #[arg(long)]
    spoof_source: bool,
    /// Print only how to remove them
    #[arg(long)]
    remove: bool,
}

impl RulesArgs {
    /// # Errors
    /// The rules would lead nowhere, or nobody takes the text.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let diallers = diallers(&self.dial, self.listen.len())?;
        self.check(&diallers)?;
        let rules = Rules {
            tproxy: self.transparent == Transparent::Tproxy,
            listen: self.listen.into_iter().zip(diallers).collect(),
            ports: self.port,
            controller: self.to,
            spoof_source: self.spoof_source,
        };
        let mut out = crate::cli::out::out();
        if self.remove {
            write!(out, "{}", rules.removal())?;
        } else {
            let undo: Vec<String> = rules.removal().lines().map(|line| format!("#   {line}\n")).collect();
            write!(
                out,
                "# As root, on the host of the proxy, which must forward between KM and controller.\n\
                 # What an earlier call has set is replaced.\n{}",
                rules.setting()
            )?;
            write!(out, "# To remove them (or pass --remove):\n{}", undo.concat())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Each rule has to lead to somebody.
    fn check(&self, diallers: &[Party]) -> anyhow::Result<()> {
        for (at, listen) in self.listen.iter().enumerate() {
            let of_version = |other: &IpAddr| other.is_ipv4() == listen.is_ipv4();
            let before = self.listen[..at].iter().zip(diallers).filter(|(other, _)| of_version(&other.ip()));
            for (other, dialler) in before {
                if *dialler == diallers[at] {
                    bail!(
                        "--listen {listen}: nothing would come there, for all goes to {other}; give one for IPv4 and one for IPv6, or one for each --dial"
                    );
                }
                if !self.to.iter().any(of_version) {
                    bail!(
                        "--listen {listen}: what KM and controller dial is told apart by --to, the controller's address"
                    );
                }
            }
            if self.transparent == Transparent::Redirect && listen.ip().is_loopback() {
                let any = if listen.is_ipv4() { "0.0.0.0" } else { "[::]" };
                bail!(
                    "--listen {listen}: what comes from other hosts cannot be redirected there; listen on {any}:{}, here and in ckscope proxy, or use --transparent tproxy",
                    listen.port()
                );
            }
            if listen.port() == 0 {
                bail!("--listen {listen}: the rules need the port at which the proxy listens");
            }
            if self.port.contains(&listen.port()) {
                bail!("--port {}: that is where the proxy itself listens; have it listen at another", listen.port());
            }
        }
        let reached = |to: &&IpAddr| self.listen.iter().any(|listen| listen.is_ipv4() == to.is_ipv4());
        match self.to.iter().find(|to| !reached(to)) {
            Some(to) => bail!("--to {to}: no --listen takes connections of its IP version"),
            None => Ok(()),
        }
    }
}
