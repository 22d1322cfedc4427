//! Files that are still being written. In: from whoever writes, or watches somebody write, how far they are whole.
//! Out: the same, to the [`Tail`](super::file::Tail) that reads what was appended. Refuses to know what is in them.
//!
//! The files stand between the two, so the writer never waits for the reader, and what the reader has not got to yet
//! takes disk and no memory. Files that nobody is to have any more are closed, and what they held is gone for the reader,
//! too: a ring of files takes no more of the disk, and of open files, than it should.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// Files that were removed unread and stay open for the reader, at most.
const UNREAD_FILES: usize = 32;
/// Their bytes, at most.
const UNREAD_BYTES: u64 = 64 << 20;

/// One of the files.
#[derive(Clone, Debug)]
pub struct Grown {
    /// What it is called.
    pub name: String,
    /// Its bytes, up to `length`; none once it was removed.
    pub file: Option<Arc<File>>,
    /// Bytes that may be read; they change no more.
    pub length: u64,
    /// Whether it grows no more.
    pub ended: bool,
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

    /// From here on a new file grows; the one before has ended. Its number, for [`Growing::remove`].
    pub fn begin(&self, name: String, file: Arc<File>) -> usize {
        let mut files = self.lock();
        if let Some(last) = files.all.last_mut() {
            last.ended = true;
        }
        files.all.push(Grown { name, file: Some(file), length: 0, ended: false });
        let number = files.all.len() - 1;
        drop(files);
        self.news.notify_all();
        number
    }

    /// File `number` is to take no more room: it is closed as soon as it has been read, or others wait for that, too.
    pub fn remove(&self, number: usize) {
        let mut files = self.lock();
        files.unread.push_back(number);
        files.close_removed();
    }

    /// The files before file number `index` have been read.
    pub fn passed(&self, index: usize) {
        let mut files = self.lock();
        files.read = index;
        files.close_removed();
    }

    /// Whether there still is all that was written.
    pub fn is_whole(&self) -> bool {
        self.lock().all.iter().all(|file| file.file.is_some())
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

    /// Bytes `start..start + length` of `file`, or none: of one that was removed, or, which is counted, where they
    /// cannot be read.
    pub(super) fn read(&self, file: &Weak<File>, start: u64, length: usize) -> Vec<u8> {
        let Some(file) = file.upgrade() else { return Vec::new() };
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
    fn close_removed(&mut self) {
        while let Some(&oldest) = self.unread.front() {
            let bytes: u64 = self.unread.iter().map(|&number| self.all[number].length).sum();
            if oldest >= self.read && self.unread.len() <= UNREAD_FILES && bytes <= UNREAD_BYTES {
                return;
            }
            self.all[oldest].file = None;
            self.unread.pop_front();
        }
    }
}
