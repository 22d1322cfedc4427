//! Decompresses a stream into an unlinked temporary file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

use flate2::bufread::GzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::summary::Compression;

/// Bytes moved at a time.
const CHUNK: usize = 256 * 1024;

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
pub fn copy(mut input: impl Read) -> io::Result<Copied> {
    let (start, first) = first_bytes(&mut input);
    let compression = recognise(&start);
    let mut input = BufReader::with_capacity(CHUNK, io::Cursor::new(start).chain(input));
    let mut file = tempfile::tempfile()?;
    let rest = match compression {
        None => drain(&mut input, &mut file)?,
        Some(Compression::Gzip) => members(input, |input| drain(&mut GzDecoder::new(input), &mut file))?,
        Some(Compression::Zstd) => members(input, |input| frame(input, &mut file))?,
    };
    Ok(Copied { file, compression, damage: first.or(rest) })
}

/// The four bytes that tell the compression, or fewer if there are no more. A pipe may deliver them one at a time.
fn first_bytes(input: &mut impl Read) -> (Vec<u8>, Option<io::Error>) {
    let mut start = Vec::new();
    let error = input.take(4).read_to_end(&mut start).err();
    (start, error)
}

/// Moves everything from `input` to `file`; what ended the input early is not an error but the answer.
fn drain(input: &mut impl Read, file: &mut File) -> io::Result<Option<io::Error>> {
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
fn frame(input: &mut impl Read, file: &mut File) -> io::Result<Option<io::Error>> {
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
