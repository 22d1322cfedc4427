//! Decompresses a stream into an unlinked temporary file.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

use flate2::bufread::GzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::summary::Compression;

/// Bytes moved at a time.
const CHUNK: usize = 256 * 1024;

/// Bytes that a stream may become however small it is; disks hold as much.
const ALWAYS: u64 = 4 << 30;
/// Beyond that, how often larger than its compressed form: packets of zeros compress less well.
const MOST: u64 = 250;

/// An empty raw block, marked as the frame's last, and a place for its checksum (RFC 8878 3.1.1.2, 3.1.1).
const END_OF_FRAME: [u8; 7] = [1, 0, 0, 0, 0, 0, 0];

/// What the first bytes of a stream say of its compression.
pub fn recognise(start: &[u8]) -> Option<Compression> {
    match start {
        // RFC 1952 2.3.1; the third byte is the only method there is.
        [0x1f, 0x8b, 8, ..] => Some(Compression::Gzip),
        // RFC 8878 3.1.1, and 3.1.2 for a file that starts with a skippable frame.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Compression::Zstd),
        _ => None,
    }
}

/// A stream as a file of its own.
pub struct Copied {
    /// The decompressed bytes.
    pub file: File,
    /// How they were compressed.
    pub compression: Option<Compression>,
    /// What ended the decompression early; the bytes before that are in the file.
    pub damage: Option<io::Error>,
}

/// Copies `input`, decompressed if it is compressed, to a temporary file. An error is one of the temporary file;
/// one of the input is [`Copied::damage`].
pub fn copy(input: impl Read) -> io::Result<Copied> {
    copy_within(input, ALWAYS)
}

/// Copies `input`, of which `always` bytes may come, and more only if it has as much itself.
fn copy_within(mut input: impl Read, always: u64) -> io::Result<Copied> {
    let (start, first) = first_bytes(&mut input);
    let compression = recognise(&start);
    let read = Cell::new(0);
    let input = Counted { input: io::Cursor::new(start).chain(input), read: &read };
    let mut input = BufReader::with_capacity(CHUNK, input);
    let mut file = tempfile::tempfile()?;
    let mut spool = Spool { file: &mut file, read: &read, written: 0, always };
    let rest = match compression {
        None => drain(&mut input, &mut spool),
        Some(Compression::Gzip) => members(input, |input| drain(&mut GzDecoder::new(input), &mut spool)),
        Some(Compression::Zstd) => members(input, |input| frame(input, &mut spool)),
    };
    let rest = rest.or_else(|error| if is_expansion(&error) { Ok(Some(error)) } else { Err(error) })?;
    Ok(Copied { file, compression, damage: first.or(rest) })
}

/// Counts what is read.
struct Counted<'a, R> {
    input: R,
    read: &'a Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.read.set(self.read.get() + count as u64);
        Ok(count)
    }
}

/// The temporary file, which takes no more than may come of what was read.
struct Spool<'a> {
    file: &'a mut File,
    read: &'a Cell<u64>,
    written: u64,
    always: u64,
}

/// A stream becomes more than it may.
#[derive(Debug)]
struct Expansion {
    always: u64,
}

impl fmt::Display for Expansion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let always = self.always >> 20;
        write!(
            f,
            "it becomes more than {MOST} times as large, and more than {always} MiB; the rest is not decompressed"
        )
    }
}

impl Error for Expansion {}

fn is_expansion(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Expansion>())
}

impl Write for Spool<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.always.max(self.read.get().saturating_mul(MOST)).saturating_sub(self.written);
        if room == 0 && !bytes.is_empty() {
            return Err(io::Error::other(Expansion { always: self.always }));
        }
        let count = self.file.write(&bytes[..bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX))])?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The four bytes that tell the compression, or fewer if there are no more. A pipe may deliver them one at a time.
fn first_bytes(input: &mut impl Read) -> (Vec<u8>, Option<io::Error>) {
    let mut start = Vec::new();
    let error = input.take(4).read_to_end(&mut start).err();
    (start, error)
}

/// Moves everything from `input` to `file`; what ended the input early is not an error but the answer.
fn drain(input: &mut impl Read, file: &mut impl Write) -> io::Result<Option<io::Error>> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match input.read(&mut chunk) {
            Ok(0) => return Ok(None),
            Ok(length) => file.write_all(&chunk[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Ok(Some(error)),
        }
    }
}

/// Members of a gzip file (RFC 1952 2.2), and frames of a Zstandard one (RFC 8878 3.1), may follow each other; `one`
/// takes the next. Zeros between and after them are padding, as tapes and block devices leave it.
fn members<R: BufRead>(
    mut input: R,
    mut one: impl FnMut(&mut R) -> io::Result<Option<io::Error>>,
) -> io::Result<Option<io::Error>> {
    loop {
        let damage = one(&mut input)?;
        if damage.is_some() {
            return Ok(damage);
        }
        match skip_zeros(&mut input) {
            Ok(true) => (),
            Ok(false) => return Ok(None),
            Err(error) => return Ok(Some(error)),
        }
    }
}

/// Whether anything follows the zeros.
fn skip_zeros(input: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            bytes => bytes?,
        };
        if bytes.is_empty() {
            return Ok(false);
        }
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        let found = zeros < bytes.len();
        input.consume(zeros);
        if found {
            return Ok(true);
        }
    }
}

/// Decodes one Zstandard frame.
fn frame(input: &mut impl Read, file: &mut impl Write) -> io::Result<Option<io::Error>> {
    let mut decoder = FrameDecoder::new();
    match decoder.init(&mut *input) {
        Ok(()) => (),
        Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
            return Ok(skip(input, length));
        }
        Err(error) => return Ok(Some(io::Error::other(error))),
    }
    let mut damage = None;
    while !decoder.is_finished() && damage.is_none() {
        damage = decoder.decode_blocks(&mut *input, BlockDecodingStrategy::UptoBlocks(1)).err();
        decoder.collect_to_writer(&mut *file)?;
    }
    if damage.is_some() {
        // What it decoded last it keeps, because later blocks refer to it, until the frame ends: so it ends here.
        let ended = decoder.decode_blocks(&END_OF_FRAME[..], BlockDecodingStrategy::UptoBlocks(1));
        ended.expect("an empty last block is always decoded");
        decoder.collect_to_writer(&mut *file)?;
    } else if decoder.get_checksum_from_data().is_some_and(|sum| decoder.get_calculated_checksum() != Some(sum)) {
        return Ok(Some(io::Error::other("the content checksum of a frame differs from that of its content")));
    }
    Ok(damage.map(io::Error::other))
}

fn skip(input: &mut impl Read, length: u32) -> Option<io::Error> {
    let length = u64::from(length);
    match io::copy(&mut input.take(length), &mut io::sink()) {
        Ok(skipped) if skipped < length => Some(io::ErrorKind::UnexpectedEof.into()),
        skipped => skipped.err(),
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression as Level;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Level::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// A frame of blocks that repeat one byte (RFC 8878 3.1.1.2).
    fn zstd(blocks: usize) -> Vec<u8> {
        const LARGEST: u32 = 128 << 10;
        let block = |last: u32| [&(LARGEST << 3 | 1 << 1 | last).to_le_bytes()[..3], &[0]].concat();
        let header = [0x28, 0xb5, 0x2f, 0xfd, 0, 0x58];
        [&header[..], &block(0).repeat(blocks - 1), &block(1)].concat()
    }

    #[test]
    fn what_a_small_file_becomes_is_bounded() {
        for bomb in [gzip(&vec![0; 8 << 20]), zstd(64)] {
            let copied = copy_within(&bomb[..], 1 << 20).unwrap();
            let length = copied.file.metadata().unwrap().len();
            let most = MOST * bomb.len() as u64;
            assert_eq!(length, most.max(1 << 20), "{}", bomb.len());
            assert!(copied.damage.unwrap().to_string().contains("250 times as large"));
            let whole = copy_within(&bomb[..], 8 << 20).unwrap();
            assert_eq!(whole.file.metadata().unwrap().len(), 8 << 20);
            assert!(whole.damage.is_none());
        }
    }
}
