//! Errors → stderr and exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    ckscope::cli::run().unwrap_or_else(|error| {
        eprintln!("ckscope: {error:#}");
        ExitCode::from(2)
    })
}
