//! Many lines made on several threads and written in order: a million of them take longer to make than to write.

use std::io::{self, Write};
use std::ops::Range;

use crossbeam_channel::bounded;

/// Lines made at a time, by one thread.
const CHUNK: u32 = 1024;
/// Chunks, or parts of them, that each thread may be ahead of the writing.
const AHEAD: usize = 2;
/// Bytes of lines that are handed over before there are more.
const FULL: usize = 1 << 20;

/// Lines that follow each other, some of which are shown.
pub struct Chunk<'a> {
    lines: Range<u32>,
    is_shown: &'a (dyn Fn(u32) -> bool + Sync),
}

impl Chunk<'_> {
    /// Those of its lines that are shown.
    pub fn shown(&self) -> impl Iterator<Item = u32> {
        self.lines.clone().filter(|&line| (self.is_shown)(line))
    }

    /// The line shown right before its first one. Looked for only when asked for, and only by chunks that show
    /// something: together they look at no line twice, however few are shown.
    pub fn before(&self) -> Option<u32> {
        let first = self.shown().next()?;
        (0..first).rev().find(|&line| (self.is_shown)(line))
    }
}

/// Where lines are made.
pub struct Lines<'a> {
    bytes: Vec<u8>,
    hand_over: &'a mut dyn FnMut(Vec<u8>) -> Vec<u8>,
}

impl Lines<'_> {
    /// Room for the next line: what is full is handed over first, so that long lines do not fill the memory.
    pub fn room(&mut self) -> &mut Vec<u8> {
        if self.bytes.len() >= FULL {
            let full = std::mem::take(&mut self.bytes);
            self.bytes = (self.hand_over)(full);
        }
        &mut self.bytes
    }
}

/// Some of the lines of a chunk.
struct Part {
    bytes: Vec<u8>,
    is_last: bool,
}

/// Writes those of the lines 0 to `count` that are shown, in order, as `make` makes them, many at a time.
///
/// # Errors
/// Those of `out`, and of `make`.
pub fn write(
    out: &mut impl Write,
    threads: usize,
    count: u32,
    is_shown: impl Fn(u32) -> bool + Sync,
    make: impl Fn(&mut Lines<'_>, &Chunk<'_>) -> io::Result<()> + Sync,
) -> io::Result<()> {
    // Into memory that was used before: the system would clear new memory first.
    let make = |chunk: u32, memory: Vec<u8>, hand_over: &mut dyn FnMut(Vec<u8>) -> Vec<u8>| -> io::Result<Vec<u8>> {
        let start = chunk * CHUNK;
        let lines = start..count.min(start.saturating_add(CHUNK));
        let mut made = Lines { bytes: memory, hand_over };
        make(&mut made, &Chunk { lines, is_shown: &is_shown })?;
        Ok(made.bytes)
    };
    let chunks = count.div_ceil(CHUNK);
    if threads == 1 || chunks <= 1 {
        return write_alone(out, chunks, make);
    }
    std::thread::scope(|scope| {
        let made: Vec<_> = (0..threads as u32)
            .map(|first| {
                let (sender, receiver) = bounded(AHEAD);
                let (written, spares) = bounded::<Vec<u8>>(AHEAD + 1);
                let make = &make;
                scope.spawn(move || {
                    let spare = || emptied(spares.try_recv().unwrap_or_default());
                    (first..chunks).step_by(threads).try_for_each(|chunk| {
                        let mut hand_over = |bytes| {
                            // Whether anybody still listens is asked at the end of the chunk.
                            let _ = sender.send(Ok(Part { bytes, is_last: false }));
                            spare()
                        };
                        let last = make(chunk, spare(), &mut hand_over).map(|bytes| Part { bytes, is_last: true });
                        // Nobody listens any more once the writing has failed.
                        sender.send(last).ok()
                    })
                });
                (receiver, written)
            })
            .collect();
        (0..chunks as usize).try_for_each(|chunk| {
            let (made, written) = &made[chunk % threads];
            loop {
                let Part { bytes, is_last } = made.recv().expect("every thread makes all of its chunks")?;
                out.write_all(&bytes)?;
                // Only the memory goes back; a thread that has made all of its chunks needs none.
                let _ = written.try_send(bytes);
                if is_last {
                    return Ok(());
                }
            }
        })
    })
}

/// The same on this thread.
fn write_alone(
    out: &mut impl Write,
    chunks: u32,
    make: impl Fn(u32, Vec<u8>, &mut dyn FnMut(Vec<u8>) -> Vec<u8>) -> io::Result<Vec<u8>>,
) -> io::Result<()> {
    let mut memory = Vec::new();
    for chunk in 0..chunks {
        let mut written = Ok(());
        let mut hand_over = |bytes: Vec<u8>| {
            if written.is_ok() {
                written = out.write_all(&bytes);
            }
            emptied(bytes)
        };
        let made = make(chunk, memory, &mut hand_over)?;
        written?;
        out.write_all(&made)?;
        memory = emptied(made);
    }
    Ok(())
}

fn emptied(mut memory: Vec<u8>) -> Vec<u8> {
    memory.clear();
    memory
}

#[cfg(test)]
mod tests {
    use super::*;

    fn even(lines: &mut Lines<'_>, chunk: &Chunk<'_>) -> io::Result<()> {
        chunk.shown().try_for_each(|line| writeln!(lines.room(), "{line}"))
    }

    #[test]
    fn lines_come_in_order_whatever_the_threads() {
        for count in [0, 1, CHUNK, 5 * CHUNK + 3] {
            let expected: String = (0..count).step_by(2).map(|line| format!("{line}\n")).collect();
            for threads in [1, 2, 5] {
                let mut out = Vec::new();
                write(&mut out, threads, count, |line| line % 2 == 0, even).unwrap();
                assert_eq!(String::from_utf8(out).unwrap(), expected);
            }
        }
    }

    #[test]
    fn each_chunk_knows_what_was_shown_before_it() {
        let rare = [7, 5 * CHUNK + 1, 5 * CHUNK + 2];
        let mut out = Vec::new();
        write(
            &mut out,
            2,
            6 * CHUNK,
            |line| rare.contains(&line),
            |lines, chunk| writeln!(lines.room(), "{:?} {:?}", chunk.before(), chunk.shown().collect::<Vec<_>>()),
        )
        .unwrap();
        let told = String::from_utf8(out).unwrap();
        let told: Vec<&str> = told.lines().filter(|line| *line != "None []").collect();
        assert_eq!(told, ["None [7]".to_owned(), format!("Some(7) {:?}", &rare[1..])]);
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
        let error = write(&mut Full, 3, 100 * CHUNK, |_| true, even).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn long_lines_are_written_before_there_are_many() {
        /// Counts bytes; none come in larger pieces than one line more than is full.
        struct Counting(usize);
        impl Write for Counting {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                assert!(bytes.len() < FULL + FULL / 2, "{} bytes at once", bytes.len());
                self.0 += bytes.len();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let long = vec![b'x'; FULL / 3];
        for threads in [1, 2] {
            let mut out = Counting(0);
            let make = |lines: &mut Lines<'_>, chunk: &Chunk<'_>| {
                chunk.shown().for_each(|_| lines.room().extend_from_slice(&long));
                Ok(())
            };
            write(&mut out, threads, CHUNK + 10, |line| line % 100 == 0, make).unwrap();
            assert_eq!(out.0, 11 * long.len());
        }
    }
}
