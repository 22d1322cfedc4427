//! Standard output, which is named where it fails.

use std::io::{self, BufWriter, StdoutLock, Write};

use anyhow::Error;

/// See the module.
pub struct Out(StdoutLock<'static>);

/// Standard output, until this is dropped.
pub fn out() -> Out {
    Out(io::stdout().lock())
}

/// The same, written in large pieces.
pub fn buffered() -> BufWriter<Out> {
    BufWriter::new(out())
}

fn named(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("standard output: {error}"))
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(named)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(named)
    }
}

/// Whether whoever read our output has closed it, having seen enough.
pub fn is_closed_pipe(error: &Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(io::ErrorKind::BrokenPipe)
    })
}
