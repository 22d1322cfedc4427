//! The `ckscope` binary: errors → stderr and exit status.

use std::io;
use std::process::ExitCode;

/// Buffers travel between threads, which mimalloc is better at than the system's allocator; without huge pages, which
/// cost a seventh more memory and gain nothing measurable here.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match ckscope::cli::Cli::from_args().and_then(ckscope::cli::Cli::run) {
        Ok(status) => status,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            ckscope::cli::say_error(&error);
            ExitCode::from(2)
        }
    }
}

/// Whoever read our output has seen enough.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(io::ErrorKind::BrokenPipe)
    })
}
