//! `ckscope proxy rules`: what to tell nftables.

use std::process::ExitCode;

use clap::Args;

#[derive(Args, Debug)]
pub struct RulesArgs {}

impl RulesArgs {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        Ok(ExitCode::SUCCESS)
    }
}
