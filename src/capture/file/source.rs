//! From an input's name to its bytes.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use memmap2::{Mmap, MmapMut};
use thiserror::Error;

use super::compressed::{self, Copied};
use super::fault::Fault;
use super::map::map;
use super::summary::Compression;

/// An input that could not be opened.
#[derive(Debug, Error)]
#[error("{name}: {problem}")]
pub struct OpenError {
    /// The input as given.
    pub name: String,
    /// Why not.
    #[source]
    pub problem: OpenProblem,
}

/// Why an input could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenProblem {
    /// The operating system said no.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Compressed or copied input could not be written to a temporary file.
    #[error("cannot write a temporary file for it (TMPDIR says where): {0}")]
    Temporary(io::Error),
    /// There is not one byte.
    #[error("is empty, expected a pcap or pcapng file")]
    Empty,
    /// It starts like no capture file.
    #[error("starts with {found}, expected a pcap or pcapng file, plain or compressed with gzip or zstd{hint}")]
    NotACapture {
        /// The first bytes, in hex.
        found: String,
        /// What it is instead, if that is known.
        hint: &'static str,
    },
    /// The header of the file is damaged or of an unknown version.
    #[error("byte offset {offset}: {text}")]
    Header {
        /// Bytes from the start of the file, after decompression.
        offset: u64,
        /// What was found and what was expected.
        text: String,
    },
    /// Packets name their file in 16 bits.
    #[error("is one input too many, {0} can be read at once")]
    TooMany(usize),
    /// Compressed, but nothing came out.
    #[error("cannot be decompressed: {0}")]
    Compressed(io::Error),
}

impl From<Box<Fault>> for OpenProblem {
    fn from(fault: Box<Fault>) -> Self {
        Self::Header { offset: fault.offset, text: fault.kind.to_string() }
    }
}

/// The bytes of an input.
pub struct Source {
    /// Decompressed, and not empty.
    pub bytes: Mmap,
    /// How they were compressed.
    pub compression: Option<Compression>,
    /// What ended the copying or decompression early.
    pub damage: Option<io::Error>,
}

/// Standard input's name.
const STDIN: &str = "-";

/// Maps the input called `path`, by way of a temporary file where that is needed.
pub fn open(path: &Path) -> Result<Source, OpenProblem> {
    if path.as_os_str() == STDIN {
        return copied(io::stdin().lock());
    }
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return copied(file);
    }
    if metadata.len() == 0 {
        return Err(OpenProblem::Empty);
    }
    let mut start = [0; 4];
    // A file shorter than this has no magic number, and is refused for it later.
    let read = file.read(&mut start)?;
    if compressed::recognise(&start[..read]).is_some() {
        return copied(start[..read].chain(file));
    }
    Ok(Source { bytes: map(&file)?, compression: None, damage: None })
}

/// Takes input that is in memory already.
pub fn of_bytes(bytes: &[u8]) -> Result<Source, OpenProblem> {
    if bytes.is_empty() || compressed::recognise(bytes).is_some() {
        return copied(bytes);
    }
    let mut map = MmapMut::map_anon(bytes.len())?;
    map.copy_from_slice(bytes);
    Ok(Source { bytes: map.make_read_only()?, compression: None, damage: None })
}

fn copied(input: impl Read) -> Result<Source, OpenProblem> {
    let Copied { file, compression, damage } = compressed::copy(input).map_err(OpenProblem::Temporary)?;
    if file.metadata().map_err(OpenProblem::Temporary)?.len() == 0 {
        return Err(match damage {
            Some(error) if compression.is_some() => OpenProblem::Compressed(error),
            Some(error) => OpenProblem::Io(error),
            None => OpenProblem::Empty,
        });
    }
    Ok(Source { bytes: map(&file).map_err(OpenProblem::Temporary)?, compression, damage })
}

/// Bytes of a file shown when it is not a capture.
const SHOWN: usize = 8;

/// The refusal of a file that starts with `bytes`.
pub fn not_a_capture(bytes: &[u8]) -> OpenProblem {
    let found = Hex(&bytes[..bytes.len().min(SHOWN)]).to_string();
    OpenProblem::NotACapture { found, hint: hint(bytes) }
}

/// What a file is that cannot be read, where its first bytes tell.
fn hint(bytes: &[u8]) -> &'static str {
    match bytes {
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "; this is xz, decompress it first",
        [b'B', b'Z', b'h', ..] => "; this is bzip2, decompress it first",
        [0x04, 0x22, 0x4d, 0x18, ..] => "; this is lz4, decompress it first",
        [b'P', b'K', 3, 4, ..] => "; this is a zip archive, unpack it first",
        _ => "",
    }
}

/// `0a 0d 0d 0a`.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{byte:02x}")?;
        }
        Ok(())
    }
}
