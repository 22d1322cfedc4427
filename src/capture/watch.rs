//! Captures that somebody else is writing. In: a pipe, or the name of a file that grows. Out: word of how far it is
//! ([`Growing`]). Refuses to know what is in them.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::growing::Growing;

/// How often a file is asked whether it has grown.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// Bytes of a pipe that are copied at a time, at most.
const CHUNK: usize = 256 * 1024;

/// Somebody's capture, while it is watched.
#[derive(Debug)]
pub struct Watch {
    growing: Arc<Growing>,
    stop: Arc<AtomicBool>,
    problem: Arc<Mutex<Option<String>>>,
}

impl Watch {
    /// Copies what comes from `input`, called `name`, to `copy` (else to an unlinked temporary file), and tells
    /// `growing`, in a thread of its own.
    ///
    /// # Errors
    /// There can be no temporary file, or no thread.
    pub fn pipe(
        input: impl Read + Send + 'static,
        name: &str,
        copy: Option<File>,
        growing: &Arc<Growing>,
    ) -> io::Result<Self> {
        let file = Arc::new(copy.map_or_else(tempfile::tempfile, Ok)?);
        growing.begin(name.to_owned(), Arc::clone(&file), None);
        let name = name.to_owned();
        Self::start(growing, move |growing, stop| match spool(input, &file, growing, stop) {
            Ok(None) => None,
            Ok(Some(error)) => Some(format!("{name}: {error}")),
            Err(error) => Some(format!("the copy of {name} cannot be written: {error}; what came after is lost")),
        })
    }

    /// Watches the file at `path` grow, until it is stopped.
    ///
    /// # Errors
    /// It cannot be opened, is no regular file, or there can be no thread.
    pub fn file(path: &Path, growing: &Arc<Growing>) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("is no regular file; pipes are for -i"));
        }
        let (file, path) = (Arc::new(file), path.to_owned());
        let name = path.display().to_string();
        growing.begin(name.clone(), Arc::clone(&file), None);
        Self::start(growing, move |growing, stop| {
            follow(&file, &path, growing, stop).err().map(|error| format!("{name}: {error}"))
        })
    }

    fn start(
        growing: &Arc<Growing>,
        work: impl FnOnce(&Growing, &AtomicBool) -> Option<String> + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, problem) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
        let watch = Self { growing: Arc::clone(growing), stop: Arc::clone(&stop), problem: Arc::clone(&problem) };
        let growing = Arc::clone(growing);
        thread::Builder::new().name("ckscope-watch".to_owned()).spawn(move || {
            *problem.lock().unwrap_or_else(PoisonError::into_inner) = work(&growing, &stop);
            growing.end();
        })?;
        Ok(watch)
    }

    /// Stops watching: what has not come by now is not seen.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        // Reading from a pipe does not come back before something comes.
        self.growing.end();
    }

    /// What ended it early.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Copies `input` to `file`, until it ends; what ended it early. An error is one of `file`.
fn spool(mut input: impl Read, file: &File, growing: &Growing, stop: &AtomicBool) -> io::Result<Option<io::Error>> {
    let (mut chunk, mut length) = (vec![0; CHUNK], 0);
    while !stop.load(Ordering::Relaxed) {
        match input.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => {
                let mut rest = &chunk[..count];
                // On a full disk some of it may still find room.
                while !rest.is_empty() {
                    let written = file.write_at(rest, length)?;
                    length += written as u64;
                    growing.grow(length);
                    rest = &rest[written..];
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Ok(Some(error)),
        }
    }
    Ok(None)
}

/// Whether `path` is still the name of the file that is like `now`. What cannot be asked is no reason to stop.
pub(super) fn is_still(path: &Path, now: &Metadata) -> bool {
    match path.metadata() {
        Ok(named) => (named.dev(), named.ino()) == (now.dev(), now.ino()),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Tells how long `file` is, until it is stopped.
fn follow(file: &File, path: &Path, growing: &Growing, stop: &AtomicBool) -> io::Result<()> {
    let mut known = 0;
    loop {
        let now = file.metadata()?;
        let length = now.len();
        if length < known {
            let text =
                format!("was {known} bytes long and is {length} now: it was begun anew, and is followed no more");
            return Err(io::Error::other(text));
        }
        if length > known {
            known = length;
            growing.grow(length);
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        if !is_still(path, &now) && length == known {
            let text = "another file has its name now, or none; what was written until then was read, and no more";
            return Err(io::Error::other(text));
        }
        thread::sleep(ASK_EVERY);
    }
}
