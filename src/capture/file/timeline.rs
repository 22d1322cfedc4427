//! Several files as one timeline.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::path::PathBuf;

use super::fault::{Fault, FaultKind};
use super::source::{self, OpenError, OpenProblem, Source, not_a_capture};
use super::summary::{Damage, FileSummary};
use super::walker::{Walker, recognise};
use crate::capture::{Batch, Block, Packet};
use crate::place::Place;
use crate::time::Timestamp;

/// [`Packet::block`] has 16 bits.
const MOST_INPUTS: usize = 1 << 16;

/// Reads the packets of several inputs as one timeline, merged by time. Each file keeps its own order even where
/// its times run backwards; of packets with equal times, that of the earlier input comes first.
pub struct Reader {
    tracks: Vec<Track>,
    /// The summaries of `tracks`, apart from them so that callers can have a slice.
    files: Vec<FileSummary>,
    blocks: Vec<Block>,
    /// The next packet of each file, when there are several files.
    heads: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// Packets that may still be numbered.
    numbers_left: u32,
}

/// One file on its way.
struct Track {
    walker: Walker,
    /// The packet that `heads` speaks of.
    head: Option<Packet>,
    /// What ended the copying or decompression of the file early.
    stream: Option<io::Error>,
    ended: bool,
}

impl Reader {
    /// Opens `inputs`; `-` is standard input. One that cannot be opened is an error of its own and does not hide
    /// the others.
    pub fn open(inputs: &[PathBuf]) -> (Self, Vec<OpenError>) {
        let mut reader = Self::empty();
        let mut errors = Vec::new();
        for path in inputs {
            let name = path.display().to_string();
            if let Err(problem) = reader.add(&name, || source::open(path)) {
                errors.push(OpenError { name, problem });
            }
        }
        (reader, errors)
    }

    /// Reads one input that is in memory already; `name` is what it is called.
    ///
    /// # Errors
    /// It is no capture, or cannot be decompressed.
    pub fn of_bytes(name: &str, bytes: &[u8]) -> Result<Self, OpenError> {
        let mut reader = Self::empty();
        match reader.add(name, || source::of_bytes(bytes)) {
            Ok(()) => Ok(reader),
            Err(problem) => Err(OpenError { name: name.to_owned(), problem }),
        }
    }

    /// Reads the same inputs from the beginning, with their names. Damage is found again, but not that of
    /// a stream that broke off.
    #[must_use]
    pub fn again(&self) -> Self {
        let mut reader = Self::empty();
        for (file, block) in self.files.iter().zip(&self.blocks) {
            let mut summary = FileSummary::new(file.name.clone(), file.file_type, file.compression);
            let opened = Walker::open(block.bytes(), reader.blocks.len() as u16, &mut summary);
            let mut walker = opened.expect("what could be opened once can be again");
            walker.want_names();
            reader.tracks.push(Track { walker, head: None, stream: None, ended: false });
            reader.files.push(summary);
            reader.blocks.push(block.clone());
        }
        reader
    }

    fn empty() -> Self {
        let (tracks, files, blocks) = (Vec::new(), Vec::new(), Vec::new());
        Self { tracks, files, blocks, heads: BinaryHeap::new(), numbers_left: u32::MAX }
    }

    fn add(&mut self, name: &str, open: impl FnOnce() -> Result<Source, OpenProblem>) -> Result<(), OpenProblem> {
        if self.blocks.len() == MOST_INPUTS {
            return Err(OpenProblem::TooMany(MOST_INPUTS));
        }
        let source = open()?;
        let file_type = recognise(&source.bytes).ok_or_else(|| not_a_capture(&source.bytes))?;
        let mut summary = FileSummary::new(name.to_owned(), file_type, source.compression);
        let walker = Walker::open(&source.bytes, self.blocks.len() as u16, &mut summary)?;
        let place =
            self.blocks.last().map_or(Place::in_capture(0), |last| last.place().plus(last.bytes().len() as u64));
        self.blocks.push(Block::new(source.bytes, place));
        self.files.push(summary);
        self.tracks.push(Track { walker, head: None, stream: source.damage, ended: false });
        Ok(())
    }

    /// Refills `batch` with the next packets, at most `most`. False when nothing is left. `batch.blocks` is filled
    /// at the first call and stays the same for the whole run, so one batch should be used again and again.
    pub fn read_batch(&mut self, batch: &mut Batch, most: usize) -> bool {
        if batch.blocks.len() != self.blocks.len() {
            batch.blocks.clone_from(&self.blocks);
        }
        batch.clear();
        let most = most.min(self.numbers_left as usize);
        if self.tracks.len() == 1 {
            self.read_one(batch, most);
        } else {
            self.read_merged(batch, most);
        }
        self.numbers_left -= batch.packets.len() as u32;
        if self.numbers_left == 0 {
            self.stop_numbering();
        }
        !batch.packets.is_empty()
    }

    /// The inputs that could be opened, as far as they have been read.
    pub fn files(&self) -> &[FileSummary] {
        &self.files
    }

    /// The bytes of the inputs, in the order of [`Reader::files`]. They follow each other in one address space, so
    /// a place is resolved by the last block that starts at or before it.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The bytes of the TLS key logs that file number `file` of [`Reader::files`] was found to carry so far.
    pub fn tls_key_logs(&self, file: usize) -> impl Iterator<Item = &[u8]> {
        let bytes = self.blocks[file].bytes();
        let logs = self.files[file].secrets.iter().filter(|secrets| secrets.kind == super::Secrets::TLS_KEY_LOG);
        logs.map(|secrets| &bytes[secrets.range.start as usize..secrets.range.end as usize])
    }

    /// The TLS key logs that the files carry, wherever in them: a writer may learn secrets after it wrote the packets
    /// that need them.
    pub fn key_logs_ahead(&self) -> Vec<&[u8]> {
        let mut logs = Vec::new();
        for (track, block) in self.tracks.iter().zip(&self.blocks) {
            let ahead = track.walker.secrets_ahead(block.bytes());
            let wanted = ahead.into_iter().filter(|secrets| secrets.kind == super::Secrets::TLS_KEY_LOG);
            logs.extend(wanted.map(|secrets| &block.bytes()[secrets.range.start as usize..secrets.range.end as usize]));
        }
        logs
    }

    /// Bytes walked, and bytes in all, both after decompression.
    pub fn progress(&self) -> (u64, u64) {
        let walked = self.tracks.iter().map(|track| track.walker.position() as u64).sum();
        (walked, self.blocks.iter().map(|block| block.bytes().len() as u64).sum())
    }

    /// The path of a single file: no merge, so no packet is set aside.
    fn read_one(&mut self, batch: &mut Batch, most: usize) {
        let (track, summary) = (&mut self.tracks[0], &mut self.files[0]);
        let bytes = self.blocks[0].bytes();
        while batch.packets.len() < most {
            let Some(packet) = track.next(bytes, summary) else { return };
            summary.count(&packet);
            batch.take(packet, track.walker.comments());
        }
    }

    fn read_merged(&mut self, batch: &mut Batch, most: usize) {
        for file in 0..self.tracks.len() {
            if self.tracks[file].head.is_none() {
                self.advance(file);
            }
        }
        while batch.packets.len() < most {
            let Some(Reverse((_, file))) = self.heads.pop() else { return };
            let packet = self.tracks[file].head.take().expect("a file in the heap has a head");
            self.files[file].count(&packet);
            batch.take(packet, self.tracks[file].walker.comments());
            self.advance(file);
        }
    }

    /// Sets the head of `file` and enters it into the heap.
    fn advance(&mut self, file: usize) {
        let track = &mut self.tracks[file];
        track.head = track.next(self.blocks[file].bytes(), &mut self.files[file]);
        if let Some(packet) = &track.head {
            self.heads.push(Reverse((packet.time, file)));
        }
    }

    /// Ends every file that has not ended, because no packet can be numbered any more.
    fn stop_numbering(&mut self) {
        self.heads.clear();
        for (file, track) in self.tracks.iter_mut().enumerate() {
            let summary = &mut self.files[file];
            let next = track.head.take().or_else(|| track.next(self.blocks[file].bytes(), summary));
            if let Some(packet) = next {
                track.ended = true;
                summary.damage = Some(damage(summary, &FaultKind::TooManyPackets.at(packet.offset as usize)));
            }
        }
    }
}

impl Track {
    /// The next packet; `None` at the end, proper or not, which is then in `summary`.
    #[inline]
    fn next(&mut self, bytes: &[u8], summary: &mut FileSummary) -> Option<Packet> {
        if self.ended {
            return None;
        }
        match self.walker.next(bytes, summary) {
            Ok(Some(packet)) => Some(packet),
            Ok(None) => self.end(summary, None),
            Err(fault) => self.end(summary, Some(fault)),
        }
    }

    #[cold]
    fn end(&mut self, summary: &mut FileSummary, fault: Option<Box<Fault>>) -> Option<Packet> {
        self.ended = true;
        summary.damage = match (fault, self.stream.take()) {
            (None, None) => None,
            (Some(fault), None) => Some(damage(summary, &fault)),
            (fault, Some(error)) => Some(self.stream_damage(summary, fault, &error)),
        };
        None
    }

    /// The input broke off, so the record that is cut is only the consequence.
    fn stream_damage(&self, summary: &FileSummary, fault: Option<Box<Fault>>, error: &io::Error) -> Damage {
        let what = match summary.compression {
            Some(super::Compression::Gzip) => "the gzip stream breaks off",
            Some(super::Compression::Zstd) => "the zstd stream breaks off",
            None => "the input breaks off",
        };
        let cut = fault.as_ref().map(|fault| format!("{}, because ", fault.kind)).unwrap_or_default();
        let offset = fault.map_or(self.walker.position() as u64, |fault| fault.offset);
        Damage { packet: summary.packets + 1, offset, text: format!("{cut}{what} ({error})") }
    }
}

/// What `fault` means for the file of `summary`.
pub(super) fn damage(summary: &FileSummary, fault: &Fault) -> Damage {
    Damage { packet: summary.packets + 1, offset: fault.offset, text: fault.kind.to_string() }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A pcap file of three packets without bytes, one second apart.
    fn three_packets() -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        let head = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 0, 1];
        let words = head.into_iter().chain((0..3).flat_map(|second| [second, 0, 0, 0]));
        let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        file.write_all(&bytes).expect("a writable file");
        file
    }

    #[test]
    fn stops_where_packet_numbers_end() {
        let files = [three_packets(), three_packets()];
        let paths = files.each_ref().map(|file| file.path().to_owned());
        for (inputs, left, read) in [(&paths[..1], 2, vec![2]), (&paths, 4, vec![2, 2]), (&paths, 6, vec![3, 3])] {
            let (mut reader, _) = Reader::open(inputs);
            reader.numbers_left = left;
            let mut batch = Batch::default();
            while reader.read_batch(&mut batch, 3) {}
            let packets: Vec<u64> = reader.files().iter().map(|file| file.packets).collect();
            assert_eq!(packets, read);
            let cut = read[0] < 3;
            for file in reader.files() {
                assert_eq!(file.damage.as_ref().is_some_and(|damage| damage.text.contains("4294967295")), cut);
            }
        }
    }
}
