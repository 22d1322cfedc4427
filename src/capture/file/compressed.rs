//! Decompresses a stream into an unlinked temporary file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};

use super::summary::Compression;

/// Bytes moved at a time.
const CHUNK: usize = 256 * 1024;

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
        Some(Compression::Gzip) => drain(&mut MultiGzDecoder::new(input), &mut file)?,
        Some(Compression::Zstd) => drain_frames(input, &mut file)?,
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

/// Zstandard frames may follow each other, with skippable ones between them (RFC 8878 3.1); the decoder does one.
fn drain_frames(mut input: impl BufRead, file: &mut File) -> io::Result<Option<io::Error>> {
    loop {
        match input.fill_buf() {
            Ok([]) => return Ok(None),
            Ok(_) => (),
            Err(error) => return Ok(Some(error)),
        }
        let damage = match StreamingDecoder::new(&mut input) {
            Ok(mut decoder) => drain(&mut decoder, file)?,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                skip(&mut input, length)
            }
            Err(error) => Some(io::Error::other(error)),
        };
        if damage.is_some() {
            return Ok(damage);
        }
    }
}

fn skip(input: &mut impl Read, length: u32) -> Option<io::Error> {
    io::copy(&mut input.take(length.into()), &mut io::sink()).err()
}
