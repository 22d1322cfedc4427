//! The reader of growing files: what was appended since the last look, read with `pread` and never mapped, because a
//! mapped file that is truncated kills the process.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::fault::{Fault, FaultKind};
use super::summary::FileSummary;
use super::timeline::damage;
use super::walker::{Walker, recognise};
use crate::capture::growing::{Growing, Grown};
use crate::capture::{Batch, Block};
use crate::place::Place;

/// Bytes that are read and kept together; a longer record makes a stretch longer.
const STRETCH: u64 = 1 << 20;
/// A record that is longer than this is damage, not unfinished.
const LONGEST: u64 = 64 << 20;
/// Bytes of stretches that stay in memory; older ones are read again when they are looked at.
const KEPT: u64 = 256 << 20;
/// The first bytes tell what a file is.
const MAGIC: usize = 4;

/// What a look at the end of growing files brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Something: packets, secrets, the end of a file.
    Some,
    /// Nothing yet.
    None,
    /// Nothing any more.
    Over,
}

/// Reads the packets of growing files, one file after the other.
pub struct Tail {
    growing: Arc<Growing>,
    /// Those that were recognised.
    files: Vec<FileSummary>,
    /// Those that were not: why.
    refused: Vec<String>,
    /// The number of the file that is being read, its bytes seen, and those walked: a record begins there.
    file: usize,
    seen: u64,
    read: u64,
    /// Where its first byte is.
    place: Place,
    walker: Option<Walker>,
    stretches: Vec<Arc<Stretch>>,
    /// The first stretch that [`Tail::show`] has not shown as it is now.
    changed: usize,
    secrets: Vec<Vec<u8>>,
    /// Packets that may still be numbered.
    numbers_left: u32,
    /// Whether the packets alone are wanted, and not what lies behind them.
    passing: bool,
    /// Files that were gone before they were read.
    missed: Missed,
}

/// Bytes of a file, read when they are looked at.
struct Stretch {
    growing: Arc<Growing>,
    /// The file's number there.
    file: usize,
    start: u64,
    length: usize,
    place: Place,
    bytes: OnceLock<Vec<u8>>,
}

/// Files that were gone before they were read: how many, their bytes, and the last.
#[derive(Default)]
struct Missed {
    files: u64,
    bytes: u64,
    last: String,
}

/// A stretch in a block.
struct Look(Arc<Stretch>);

impl AsRef<[u8]> for Look {
    fn as_ref(&self) -> &[u8] {
        let Stretch { growing, file, start, length, bytes, .. } = &*self.0;
        bytes.get_or_init(|| growing.read_again(*file, *start, *length))
    }
}

impl Stretch {
    fn block(self: &Arc<Self>) -> Block {
        Block::new(Look(Arc::clone(self)), self.place)
    }

    /// The same without its bytes in memory.
    fn forgotten(&self) -> Self {
        let growing = Arc::clone(&self.growing);
        let Self { file, start, length, place, .. } = *self;
        Self { growing, file, start, length, place, bytes: OnceLock::new() }
    }
}

impl Tail {
    /// A reader at the beginning of the first file.
    pub fn new(growing: Arc<Growing>) -> Self {
        Self {
            growing,
            files: Vec::new(),
            refused: Vec::new(),
            file: 0,
            seen: 0,
            read: 0,
            place: Place::in_capture(0),
            walker: None,
            stretches: Vec::new(),
            changed: 0,
            secrets: Vec::new(),
            numbers_left: u32::MAX,
            passing: false,
            missed: Missed::default(),
        }
    }

    /// A reader at the beginning of the first file that only passes by: it has nothing to show.
    pub(super) fn again(growing: Arc<Growing>) -> Self {
        Self { passing: true, ..Self::new(growing) }
    }

    /// Leaves the last batch behind.
    fn pass(&mut self) {
        self.stretches.drain(..self.stretches.len().saturating_sub(1));
        self.changed = 0;
    }

    /// Waits until there is more than was seen, or nothing will come any more; at most for `most`.
    pub fn wait(&self, most: Duration) {
        self.growing.wait(self.file, self.seen, most);
    }

    /// Refills `batch` with packets that were appended, about a megabyte of them. Its blocks hold only those packets.
    pub fn read_batch(&mut self, batch: &mut Batch) -> News {
        batch.clear();
        batch.blocks.clear();
        if self.passing {
            self.pass();
        }
        let (grown, over) = self.growing.file(self.file);
        let Some(grown) = grown else { return if over { News::Over } else { News::None } };
        self.seen = grown.length;
        if self.read == grown.length {
            return if grown.ended { self.end_file(&grown, None) } else { News::None };
        }
        let Some(file) = grown.open() else { return self.miss(&grown) };
        let start = self.resume();
        let mut most = (self.read - start + STRETCH / 2).max(STRETCH);
        loop {
            let bytes = self.growing.read(&file, start, most.min(grown.length - start) as usize);
            let fault = self.walk(&grown, start, &bytes, batch);
            if !batch.packets.is_empty() {
                self.keep(start, bytes, batch);
            }
            return match fault {
                None => News::Some,
                Some(fault) if !fault.kind.is_cut() => self.end_file(&grown, Some(fault)),
                Some(_) if !batch.packets.is_empty() => News::Some,
                Some(_) if most < grown.length - start && most < LONGEST => {
                    most *= 2;
                    continue;
                }
                Some(_) if !grown.ended && grown.length - self.read < LONGEST => News::None,
                Some(fault) => self.end_file(&grown, Some(fault)),
            };
        }
    }

    /// The files that were recognised, as far as they have been read.
    pub fn files(&self) -> &[FileSummary] {
        &self.files
    }

    /// What could not be read, a sentence each.
    pub fn problems(&self) -> Vec<String> {
        let damages = self.files.iter().filter_map(|file| Some(format!("{}: {}", file.name, file.damage.as_ref()?)));
        let mut problems: Vec<String> = self.refused.iter().cloned().chain(damages).collect();
        let Missed { files, bytes, last } = &self.missed;
        if *bytes > 0 {
            let which =
                if *files == 1 { format!("{last}: was") } else { format!("{files} files, the last {last}: were") };
            problems.push(format!(
                "{which} removed or cut short with {bytes} bytes unread, which are not analysed; a larger ring holds them for longer"
            ));
        }
        if self.growing.unreadable() > 0 {
            problems.push("what was captured could not be read again; is the file still whole?".to_owned());
        }
        problems
    }

    /// Bytes that were appended and not read yet.
    pub fn behind(&self) -> u64 {
        self.growing.behind(self.file, self.read)
    }

    /// Takes the TLS key logs that were found since the last call.
    pub fn take_key_logs(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.secrets)
    }

    /// Brings `blocks`, which only this fills, up to date: they hold all that was read, ascending by place. What was
    /// not looked at lately is forgotten, and read again when it is.
    pub fn show(&mut self, blocks: &mut Vec<Block>) {
        self.forget();
        blocks.truncate(self.changed);
        blocks.extend(self.stretches[blocks.len()..].iter().map(Stretch::block));
        self.changed = self.stretches.len();
    }

    fn forget(&mut self) {
        let mut kept = 0;
        for (index, stretch) in self.stretches.iter_mut().enumerate().rev() {
            let length = stretch.bytes.get().map_or(0, Vec::len) as u64;
            kept += length;
            if length > 0 && kept > KEPT {
                *stretch = Arc::new(stretch.forgotten());
                self.changed = self.changed.min(index);
            }
        }
    }

    /// Where to read from: a short stretch is begun again, so that a slow source does not leave one for each packet.
    fn resume(&self) -> u64 {
        match self.stretches.last() {
            Some(last) if last.place >= self.place && (last.length as u64) < STRETCH / 2 => last.start,
            _ => self.read,
        }
    }

    /// Takes the packets from `self.read` on out of `bytes`, which lie at `start`. What ends that, if not their end.
    fn walk(&mut self, grown: &Grown, start: u64, bytes: &[u8], batch: &mut Batch) -> Option<Box<Fault>> {
        let at = (self.read - start) as usize;
        if bytes.len() <= at {
            return Some(FaultKind::Unreadable.at(self.read as usize));
        }
        let opened = match self.walker.as_mut() {
            Some(walker) => {
                walker.seek(at);
                Ok(())
            }
            None => self.open(grown, bytes),
        };
        let known = self.files.last().map_or(0, |file| file.secrets.len());
        let fault = opened.err().or_else(|| self.take_packets(bytes, batch));
        if let Some(walker) = &self.walker {
            self.read = start + walker.position() as u64;
        }
        self.take_secrets(known, start, bytes);
        fault.map(|fault| Box::new(Fault { offset: fault.offset + start, ..*fault }))
    }

    /// Reads the header of the file, and begins its summary.
    fn open(&mut self, grown: &Grown, bytes: &[u8]) -> Result<(), Box<Fault>> {
        if bytes.len() < MAGIC {
            return Err(FaultKind::HeaderCut { what: "file", expected: MAGIC, remain: bytes.len() }.at(0));
        }
        let Some(file_type) = recognise(bytes) else { return Err(FaultKind::NotACapture.at(0)) };
        let mut summary = FileSummary::new(grown.name.clone(), file_type, None);
        let mut walker = Walker::open(bytes, 0, &mut summary)?;
        if self.passing {
            walker.want_names();
        }
        self.walker = Some(walker);
        self.files.push(summary);
        Ok(())
    }

    fn take_packets(&mut self, bytes: &[u8], batch: &mut Batch) -> Option<Box<Fault>> {
        let (walker, summary) = (self.walker.as_mut()?, self.files.last_mut()?);
        loop {
            match walker.next(bytes, summary) {
                Ok(Some(packet)) if self.numbers_left == 0 => {
                    return Some(FaultKind::TooManyPackets.at(packet.offset as usize));
                }
                Ok(Some(packet)) => {
                    self.numbers_left -= 1;
                    summary.count(&packet);
                    batch.take(packet, walker.comments());
                }
                Ok(None) => return None,
                Err(fault) => return Some(fault),
            }
        }
    }

    /// Takes the key logs that were found in `bytes`, which lie at `start`: those after the first `known`.
    fn take_secrets(&mut self, known: usize, start: u64, bytes: &[u8]) {
        let Some(summary) = self.files.last_mut() else { return };
        for secrets in summary.secrets.iter_mut().skip(known) {
            let range = secrets.range.start as usize..secrets.range.end as usize;
            if secrets.kind == super::Secrets::TLS_KEY_LOG {
                self.secrets.push(bytes[range].to_vec());
            }
            secrets.range = start + secrets.range.start..start + secrets.range.end;
        }
    }

    /// Keeps `bytes`, which lie at `start`, as far as they were walked, for `batch` and for later.
    fn keep(&mut self, start: u64, mut bytes: Vec<u8>, batch: &mut Batch) {
        bytes.truncate((self.read - start) as usize);
        let (growing, file) = (Arc::clone(&self.growing), self.file);
        let (length, place) = (bytes.len(), self.place.plus(start));
        let stretch = Arc::new(Stretch { growing, file, start, length, place, bytes: OnceLock::from(bytes) });
        batch.blocks.push(stretch.block());
        if self.stretches.last().is_some_and(|last| last.place == place) {
            self.stretches.pop();
        }
        self.changed = self.changed.min(self.stretches.len());
        self.stretches.push(stretch);
    }

    /// Goes on to the next file, for this one was removed; whoever passes by has to have them all.
    fn miss(&mut self, grown: &Grown) -> News {
        self.missed.files += 1;
        if self.passing {
            return News::Over;
        }
        self.missed.bytes += grown.length - self.read;
        self.missed.last.clone_from(&grown.name);
        self.next_file();
        News::Some
    }

    /// Whether no file was removed before it was read.
    pub(super) fn is_whole(&self) -> bool {
        self.missed.files == 0
    }

    /// Goes on to the next file; with the reason if this one was not read to its end.
    fn end_file(&mut self, grown: &Grown, fault: Option<Box<Fault>>) -> News {
        match (fault, &self.walker) {
            (Some(fault), Some(_)) => {
                let summary = self.files.last_mut().expect("a file with a walker has a summary");
                summary.damage = Some(damage(summary, &fault));
            }
            (Some(fault), None) => self.refused.push(format!("{}: {}", grown.name, fault.kind)),
            (None, Some(_)) => {}
            (None, None) => self.refused.push(format!("{}: is empty, expected a pcap or pcapng file", grown.name)),
        }
        self.next_file();
        News::Some
    }

    fn next_file(&mut self) {
        let after = |last: &Arc<Stretch>| last.place.plus(last.length as u64);
        self.place = self.stretches.last().map_or(Place::in_capture(0), after);
        (self.file, self.seen, self.read, self.walker) = (self.file + 1, 0, 0, None);
        if !self.passing {
            self.growing.passed(self.file);
        }
    }
}
