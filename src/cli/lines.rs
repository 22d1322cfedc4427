//! Many lines made on several threads and written in order: a million of them take longer to make than to write.

use std::io::{self, Write};

use crossbeam_channel::bounded;

/// Lines made at a time, by one thread.
const CHUNK: u32 = 1024;
/// Chunks that each thread may be ahead of the writing.
const AHEAD: usize = 2;

/// Writes lines 0 to `count`, each made by `line`, in order.
///
/// # Errors
/// Those of `out`, and of `line`.
pub fn write(
    out: &mut impl Write,
    threads: usize,
    count: u32,
    line: impl Fn(&mut Vec<u8>, u32) -> io::Result<()> + Sync,
) -> io::Result<()> {
    let make = |chunk: u32| -> io::Result<Vec<u8>> {
        let mut lines = Vec::new();
        let start = chunk * CHUNK;
        (start..count.min(start.saturating_add(CHUNK))).try_for_each(|index| line(&mut lines, index))?;
        Ok(lines)
    };
    let chunks = count.div_ceil(CHUNK);
    if threads == 1 || chunks <= 1 {
        return (0..chunks).try_for_each(|chunk| out.write_all(&make(chunk)?));
    }
    std::thread::scope(|scope| {
        let made: Vec<_> = (0..threads as u32)
            .map(|first| {
                let (sender, receiver) = bounded(AHEAD);
                let make = &make;
                scope.spawn(move || {
                    // Nobody listens any more once the writing has failed.
                    (first..chunks).step_by(threads).try_for_each(|chunk| sender.send(make(chunk)).ok())
                });
                receiver
            })
            .collect();
        (0..chunks as usize).try_for_each(|chunk| {
            let lines = made[chunk % threads].recv().expect("every thread makes all of its chunks");
            out.write_all(&lines?)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_order_whatever_the_threads() {
        for count in [0, 1, CHUNK, 5 * CHUNK + 3] {
            let expected: String = (0..count).map(|index| format!("{index}\n")).collect();
            for threads in [1, 2, 5] {
                let mut out = Vec::new();
                write(&mut out, threads, count, |line, index| writeln!(line, "{index}")).unwrap();
                assert_eq!(String::from_utf8(out).unwrap(), expected);
            }
        }
    }

    #[test]
    fn a_writer_that_fails_ends_it() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = write(&mut Full, 3, 100 * CHUNK, |line, index| writeln!(line, "{index}")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
