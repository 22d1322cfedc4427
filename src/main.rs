//! The `ckscope` binary: errors → stderr and exit status.

use std::process::ExitCode;

use ckscope::cli::{self, Cli};

/// Buffers travel between threads, which mimalloc is better at than the system's allocator; without huge pages, which
/// cost a seventh more memory and gain nothing measurable here.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let status = Cli::from_args().and_then(Cli::run).unwrap_or_else(|error| match error {
        error if cli::is_closed_pipe(&error) => ExitCode::SUCCESS,
        error => {
            cli::say_error(&error);
            ExitCode::from(2)
        }
    });
    cli::flush();
    status
}
