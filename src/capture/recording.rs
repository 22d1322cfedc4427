//! The recording of a live source. In: packets as they come. Out: pcapng files that are whole up to the last flush,
//! one or a ring of them, and word to whoever reads them ([`Growing`]) how far that is. Never fails: what cannot be
//! written is counted and said, and the source goes on.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::growing::Growing;
use super::spool::{Interface, Spool};
use super::watch::is_still;
use crate::time::{Span, Timestamp};

/// Bytes that are written at once, without a flush.
const BUFFER: usize = 256 * 1024;
/// Bytes of secrets that are written again into each new file of a ring; the newest are kept.
const SECRETS_KEPT: usize = 4 << 20;

/// Where to record, and when to begin a new file.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The file; a temporary one without a name if there is none. Where there are several, a number and the time stand
    /// before its extension.
    pub path: Option<PathBuf>,
    /// A new file after so many bytes.
    pub file_size: Option<u64>,
    /// A new file after so much time, by the packets' clock.
    pub file_duration: Option<Span>,
    /// A new file after so many packets.
    pub file_packets: Option<u64>,
    /// Keep only so many files, the newest.
    pub files: Option<usize>,
}

impl Options {
    fn rotates(&self) -> bool {
        self.file_size.is_some() || self.file_duration.is_some() || self.file_packets.is_some()
    }
}

/// How a recording stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordingStatus {
    /// The file that is being written, if it has a name.
    pub path: Option<PathBuf>,
    /// Files begun.
    pub files: usize,
    /// Packets written.
    pub packets: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Packets that could not be written.
    pub lost: u64,
    /// Why not.
    pub problem: Option<String>,
}

/// Writes packets to pcapng files.
pub struct Recording {
    options: Options,
    growing: Arc<Growing>,
    file: Arc<File>,
    /// Its number in `growing`.
    number: usize,
    /// Bytes in the file; all are whole blocks.
    length: u64,
    /// Packets in the file, and the time of the first.
    packets: u64,
    began: Option<Timestamp>,
    /// Blocks not written yet that packets depend on: they go first, and are never given up.
    needed: Vec<u8>,
    /// Packets not written yet.
    encoder: Spool<Vec<u8>>,
    waiting: u64,
    interfaces: Vec<Interface>,
    secrets: VecDeque<(u32, Vec<u8>)>,
    secrets_length: usize,
    /// The files of the ring before this one, oldest first, with their numbers in `growing`.
    ring: VecDeque<(usize, PathBuf)>,
    status: RecordingStatus,
}

impl Recording {
    /// Creates the first file, and tells `growing` of it.
    ///
    /// # Errors
    /// It cannot be created, or is no regular file: what is recorded is read back.
    pub fn create(options: Options, growing: Arc<Growing>) -> io::Result<Self> {
        let Created { file, path, number } = create(&options, 1, &growing)?;
        let mut recording = Self {
            options,
            growing,
            file,
            number,
            length: 0,
            packets: 0,
            began: None,
            needed: Vec::new(),
            encoder: section(),
            waiting: 0,
            interfaces: Vec::new(),
            secrets: VecDeque::new(),
            secrets_length: 0,
            ring: VecDeque::new(),
            status: RecordingStatus { path, files: 1, ..RecordingStatus::default() },
        };
        recording.need();
        recording.flush();
        match recording.status.problem.take() {
            Some(problem) => Err(io::Error::other(problem)),
            None => Ok(recording),
        }
    }

    /// Adds an interface and returns its number, to be given with each of its packets.
    pub fn interface(&mut self, interface: &Interface) -> u32 {
        self.interfaces.push(interface.clone());
        self.encode(|encoder| encoder.interface(interface).map(drop));
        self.interfaces.len() as u32 - 1
    }

    /// Adds secrets, see [`Spool::secrets`].
    pub fn secrets(&mut self, kind: u32, secrets: &[u8]) {
        self.encode(|encoder| encoder.secrets(kind, secrets));
        if self.options.rotates() {
            self.secrets_length += secrets.len();
            self.secrets.push_back((kind, secrets.to_vec()));
            while self.secrets_length > SECRETS_KEPT {
                let Some((_, oldest)) = self.secrets.pop_front() else { break };
                self.secrets_length -= oldest.len();
            }
        }
    }

    /// Adds a packet, see [`Spool::packet`].
    pub fn packet(&mut self, interface: u32, time: Timestamp, original: u32, bytes: &[u8], comments: &[&str]) {
        if self.is_full(time) {
            self.rotate();
        }
        self.began = self.began.or(Some(time));
        let written = self.encoder.packet(interface, time, original, bytes, comments);
        written.expect("memory takes everything");
        self.packets += 1;
        self.waiting += 1;
        if self.encoder.get_ref().len() >= BUFFER {
            self.flush();
        }
    }

    /// Writes what waits, so that a reader finds it, and a crash does not lose it.
    pub fn flush(&mut self) {
        self.look_after();
        if self.needed.is_empty() && self.waiting == 0 {
            return;
        }
        let packets = std::mem::take(self.encoder.get_mut());
        let waiting = std::mem::take(&mut self.waiting);
        let needed = self.needed.len() as u64;
        match self.write(&packets) {
            Ok(()) => {
                self.length += needed + packets.len() as u64;
                self.status.bytes += needed + packets.len() as u64;
                self.status.packets += waiting;
                self.needed.clear();
                self.growing.grow(self.length);
            }
            Err(error) => {
                self.status.lost += waiting;
                self.status.problem = Some(format!("{}: {error}", self.name()));
                // A block that was written in part would end the file there for every reader. Where even this fails,
                // the next block that can be written goes over it.
                let _ = self.file.set_len(self.length);
            }
        }
    }

    /// Writes what is needed, and `packets`. On a full disk, what the ring removed goes even if nobody has read it.
    fn write(&self, packets: &[u8]) -> io::Result<()> {
        let (needed, after) = (&self.needed, self.length + self.needed.len() as u64);
        let write = || {
            self.file.write_all_at(needed, self.length)?;
            self.file.write_all_at(packets, after)
        };
        match write() {
            Err(error) if error.kind() == io::ErrorKind::StorageFull && self.growing.give_up_removed() => write(),
            written => written,
        }
    }

    /// A file that has lost its name is gone once nobody has it open, and one that was cut short would have a hole.
    fn look_after(&mut self) {
        let Ok(now) = self.file.metadata() else { return };
        if now.len() < self.length {
            self.status.problem =
                Some(format!("{}: was cut short by somebody; the recording begins anew in it", self.name()));
            self.begin_again();
        }
        let Some(path) = self.status.path.as_ref().filter(|_| self.status.problem.is_none()) else { return };
        if !is_still(path, &now) {
            let path = path.display();
            self.status.problem = Some(format!(
                "{path}: removed, moved or replaced; the recording goes on in the file that had this name"
            ));
        }
    }

    /// Begins the file anew, of which somebody took the bytes; packets that wait stay.
    fn begin_again(&mut self) {
        let packets = std::mem::take(self.encoder.get_mut());
        self.growing.lose(self.number);
        self.number = self.growing.begin(self.name(), Arc::clone(&self.file), self.status.path.clone());
        self.length = 0;
        let _ = self.file.set_len(0); // what stays of it is written over as far as this gets
        self.begin();
        *self.encoder.get_mut() = packets;
    }

    /// How it stands.
    pub fn status(&self) -> &RecordingStatus {
        &self.status
    }

    fn name(&self) -> String {
        self.status.path.as_ref().map_or_else(|| TEMPORARY.to_owned(), |path| path.display().to_string())
    }

    /// Encodes a block that packets depend on.
    fn encode(&mut self, block: impl FnOnce(&mut Spool<Vec<u8>>) -> io::Result<()>) {
        let packets = std::mem::take(self.encoder.get_mut());
        block(&mut self.encoder).expect("memory takes everything");
        self.need();
        *self.encoder.get_mut() = packets;
    }

    /// What was encoded last goes before all packets.
    fn need(&mut self) {
        self.needed.append(self.encoder.get_mut());
    }

    fn is_full(&self, time: Timestamp) -> bool {
        let Options { file_size, file_duration, file_packets, .. } = self.options;
        let length = || self.length + (self.needed.len() + self.encoder.get_ref().len()) as u64;
        self.packets > 0
            && (file_packets.is_some_and(|most| self.packets >= most)
                || file_size.is_some_and(|most| length() >= most)
                || file_duration.zip(self.began).is_some_and(|(most, began)| time - began >= most))
    }

    /// Begins the next file; where that fails, the recording goes on in this one.
    fn rotate(&mut self) {
        self.flush();
        let Created { file, path, number } = match create(&self.options, self.status.files + 1, &self.growing) {
            Ok(created) => created,
            Err(error) => {
                self.status.problem = Some(format!("no new file, the recording goes on in the old one: {error}"));
                // Not again before as much has come as makes a file.
                (self.packets, self.began) = (0, None);
                return;
            }
        };
        // Before a flush, which looks after the file of that name.
        let before = std::mem::replace(&mut self.status.path, path).map(|path| (self.number, path));
        (self.file, self.number, self.length, self.packets, self.began) = (file, number, 0, 0, None);
        self.status.files += 1;
        self.ring.extend(before);
        self.begin();
        self.flush();
        self.trim();
    }

    /// What every file starts with.
    fn begin(&mut self) {
        self.encoder = section();
        self.needed.clear();
        let (interfaces, secrets) = (std::mem::take(&mut self.interfaces), std::mem::take(&mut self.secrets));
        let blocks = interfaces.iter().try_for_each(|interface| self.encoder.interface(interface).map(drop));
        let blocks = blocks.and_then(|()| secrets.iter().try_for_each(|(kind, log)| self.encoder.secrets(*kind, log)));
        blocks.expect("memory takes everything");
        (self.interfaces, self.secrets) = (interfaces, secrets);
        self.need();
    }

    /// Removes the oldest files of the ring. One that somebody took away is no loss to it.
    fn trim(&mut self) {
        let Some(most) = self.options.files else { return };
        while self.ring.len() >= most.max(1) {
            let Some((number, oldest)) = self.ring.pop_front() else { return };
            self.growing.remove(number);
            if let Err(error) = std::fs::remove_file(&oldest).or_else(missing) {
                self.status.problem = Some(format!("{}: cannot be removed: {error}", oldest.display()));
            }
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.flush();
        self.growing.end();
    }
}

/// What is not there need not be removed.
fn missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// What a file without a name is called.
const TEMPORARY: &str = "the temporary recording";

fn section() -> Spool<Vec<u8>> {
    Spool::new(Vec::new(), concat!("ckscope ", env!("CARGO_PKG_VERSION"))).expect("memory takes everything")
}

/// A new file.
struct Created {
    file: Arc<File>,
    path: Option<PathBuf>,
    /// Its number in what grows.
    number: usize,
}

/// Creates file `number`, and tells `growing` of it.
fn create(options: &Options, number: usize, growing: &Growing) -> io::Result<Created> {
    let Some(path) = &options.path else {
        let file = Arc::new(tempfile::tempfile()?);
        let number = growing.begin(TEMPORARY.to_owned(), Arc::clone(&file), None);
        return Ok(Created { file, path: None, number });
    };
    let path = if options.rotates() { numbered(path, number) } else { path.clone() };
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("is no regular file; what is recorded is read back from there"));
    }
    // Where files cannot be locked, this is not found out.
    if flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        return Err(io::Error::other("somebody records into it already"));
    }
    file.set_len(0)?;
    let file = Arc::new(file);
    let number = growing.begin(path.display().to_string(), Arc::clone(&file), Some(path.clone()));
    Ok(Created { file, path: Some(path), number })
}

/// `ring.pcapng` → `ring_00001_20261123100000.pcapng`, as dumpcap names them.
fn numbered(path: &Path, number: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let now = jiff::Timestamp::now().to_zoned(TimeZone::system()).strftime("%Y%m%d%H%M%S").to_string();
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}_{number:05}_{now}{extension}"))
}
