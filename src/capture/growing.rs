//! Files that are still being written. In: from whoever writes, or watches somebody write, how far they are whole.
//! Out: the same, to the [`Tail`](super::file::Tail) that reads what was appended. Refuses to know what is in them.
//!
//! The files stand between the two, so the writer never waits for the reader, and what the reader has not got to yet
//! takes disk and no memory. However many files there are, few are open: older ones are opened by their names when they
//! are looked at again. Those that nobody is to have any more are gone for the reader, too, as soon as it has read them.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The newest files stay open.
const OPEN: usize = 8;
/// Files that were removed unread and stay open for the reader, at most.
const UNREAD_FILES: usize = 32;
/// Their bytes, at most.
const UNREAD_BYTES: u64 = 64 << 20;

/// One of the files.
#[derive(Clone, Debug)]
pub struct Grown {
    /// What it is called.
    pub name: String,
    held: Held,
    /// Bytes that may be read; they change no more.
    pub length: u64,
    /// Whether it grows no more.
    pub ended: bool,
}

/// Where a file's bytes are.
#[derive(Clone, Debug)]
enum Held {
    /// In an open file; it can be opened again, if it has a name.
    Open(Arc<File>, Option<Name>),
    /// In the file that has this name.
    Closed(Name),
    /// Nowhere any more.
    Removed,
}

/// The name of a file, and what tells it from another that has the name later: device and inode.
#[derive(Clone, Debug)]
struct Name {
    path: PathBuf,
    identity: (u64, u64),
}

impl Name {
    fn of(path: PathBuf, file: &File) -> Option<Self> {
        Some(Self { path, identity: identity(file).ok()? })
    }

    fn open(&self) -> Option<Arc<File>> {
        let file = File::open(&self.path).ok()?;
        identity(&file).is_ok_and(|identity| identity == self.identity).then(|| Arc::new(file))
    }
}

fn identity(file: &File) -> io::Result<(u64, u64)> {
    file.metadata().map(|data| (data.dev(), data.ino()))
}

impl Grown {
    /// Its bytes, up to `length`; none once it was removed.
    pub fn open(&self) -> Option<Arc<File>> {
        match &self.held {
            Held::Open(file, _) => Some(Arc::clone(file)),
            Held::Closed(name) => name.open(),
            Held::Removed => None,
        }
    }
}

/// Files that grow one after the other, each when the one before it has ended.
#[derive(Debug, Default)]
pub struct Growing {
    files: Mutex<Files>,
    news: Condvar,
    /// Times that bytes once written could not be read again.
    unreadable: AtomicU64,
}

#[derive(Debug, Default)]
struct Files {
    all: Vec<Grown>,
    /// Those before this one have been read.
    read: usize,
    /// Those that were removed before they were read, and are still open.
    unread: VecDeque<usize>,
    /// No more will come, neither bytes nor files.
    over: bool,
}

impl Growing {
    /// Nothing so far.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From here on a new file grows; the one before has ended. Its number, for [`Growing::remove`]. With a `path`, it
    /// can be found there as long as it is not removed.
    pub fn begin(&self, name: String, file: Arc<File>, path: Option<PathBuf>) -> usize {
        let named = path.and_then(|path| Name::of(path, &file));
        let mut files = self.lock();
        if let Some(last) = files.all.last_mut() {
            last.ended = true;
        }
        files.all.push(Grown { name, held: Held::Open(file, named), length: 0, ended: false });
        let number = files.all.len() - 1;
        files.close(number.checked_sub(OPEN));
        drop(files);
        self.news.notify_all();
        number
    }

    /// File `number` is to take no more room: it is closed as soon as it has been read, or many others wait for that,
    /// too. It has to have its name still.
    pub fn remove(&self, number: usize) {
        let file = self.file(number).0.and_then(|file| file.open());
        let mut files = self.lock();
        files.all[number].held = file.map_or(Held::Removed, |file| Held::Open(file, None));
        files.unread.push_back(number);
        files.close_removed();
    }

    /// What file `number` held is there no more.
    pub fn lose(&self, number: usize) {
        self.lock().all[number].held = Held::Removed;
    }

    /// Closes what was removed, read or not; whether there was any.
    pub fn give_up_removed(&self) -> bool {
        let mut files = self.lock();
        let unread = std::mem::take(&mut files.unread);
        unread.iter().for_each(|&number| files.all[number].held = Held::Removed);
        !unread.is_empty()
    }

    /// The files before file number `index` have been read.
    pub fn passed(&self, index: usize) {
        let mut files = self.lock();
        files.read = index;
        files.close_removed();
    }

    /// The last file is `length` bytes long by now.
    pub fn grow(&self, length: u64) {
        if let Some(last) = self.lock().all.last_mut() {
            last.length = last.length.max(length);
        }
        self.news.notify_all();
    }

    /// No more will come.
    pub fn end(&self) {
        let mut files = self.lock();
        if let Some(last) = files.all.last_mut() {
            last.ended = true;
        }
        files.over = true;
        drop(files);
        self.news.notify_all();
    }

    /// File number `index`, and whether no more files will follow those there are.
    pub fn file(&self, index: usize) -> (Option<Grown>, bool) {
        let files = self.lock();
        (files.all.get(index).cloned(), files.over)
    }

    /// Bytes of all files from file number `index` on, less `read` of that one.
    pub fn behind(&self, index: usize, read: u64) -> u64 {
        let files = self.lock();
        let all: u64 = files.all.iter().skip(index).map(|file| file.length).sum();
        all.saturating_sub(read)
    }

    /// Waits until there is more than `read` bytes of file number `index`, or another file, or nothing will come any
    /// more; at most for `most`.
    pub fn wait(&self, index: usize, read: u64, most: Duration) {
        let waits = |files: &mut Files| {
            let here = files.all.get(index).is_none_or(|file| file.length <= read && !file.ended);
            here && !files.over
        };
        let waited = self.news.wait_timeout_while(self.lock(), most, waits);
        drop(waited);
    }

    /// Times that bytes once written could not be read again: somebody truncated a file, or the disk fails.
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        // Every change is made whole while it is held.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes `start..start + length` of file `number`, or none if it was removed.
    pub(super) fn read_again(&self, number: usize, start: u64, length: usize) -> Vec<u8> {
        let file = self.file(number).0.and_then(|grown| grown.open());
        file.map_or_else(Vec::new, |file| self.read(&file, start, length))
    }

    /// Bytes `start..start + length` of `file`, or none, which is counted, if they cannot be read.
    pub(super) fn read(&self, file: &File, start: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        match file.read_exact_at(&mut bytes, start) {
            Ok(()) => bytes,
            Err(_) => {
                self.unreadable.fetch_add(1, Ordering::Relaxed);
                Vec::new()
            }
        }
    }
}

impl Files {
    /// Closes a file that can be opened again.
    fn close(&mut self, number: Option<usize>) {
        let Some(number) = number else { return };
        if let Held::Open(_, Some(name)) = &self.all[number].held {
            self.all[number].held = Held::Closed(name.clone());
        }
    }

    fn close_removed(&mut self) {
        while let Some(&oldest) = self.unread.front() {
            let bytes: u64 = self.unread.iter().map(|&number| self.all[number].length).sum();
            if oldest >= self.read && self.unread.len() <= UNREAD_FILES && bytes <= UNREAD_BYTES {
                return;
            }
            self.all[oldest].held = Held::Removed;
            self.unread.pop_front();
        }
    }
}
