//! Where live traffic is recorded.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;

use super::input::some_seconds;
use crate::capture::growing::Growing;
use crate::capture::recording::{Options, Recording, RecordingStatus};
use crate::time::Span;

/// Where to record, and when to begin a new file.
#[derive(Args, Debug, Clone, Default)]
pub struct RecordArgs {
    /// Record into this pcapng file [default: a temporary one, gone at the end]
    #[arg(short = 'w', long = "write", value_name = "FILE", help_heading = "Recording")]
    pub write: Option<PathBuf>,
    /// Begin a new file after so many bytes (k, M and G are understood); a number and the time go into the names
    #[arg(long, value_name = "SIZE", value_parser = size, requires = "write", help_heading = "Recording")]
    pub file_size: Option<u64>,
    /// Begin a new file after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = some_seconds, requires = "write", help_heading = "Recording")]
    pub file_duration: Option<Span>,
    /// Begin a new file after so many packets
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), requires = "write", help_heading = "Recording")]
    pub file_packets: Option<u64>,
    /// Keep only so many files, the newest: a ring
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), requires = "write", help_heading = "Recording")]
    pub files: Option<u16>,
}

impl RecordArgs {
    /// Begins the recording, which `growing` then tells of.
    ///
    /// # Errors
    /// The file cannot be created, or a ring has nothing that makes it turn.
    pub fn begin(&self, growing: &Arc<Growing>) -> anyhow::Result<Recording> {
        if self.files.is_some() && !self.rotates() {
            bail!("--files: a ring needs --file-size, --file-duration or --file-packets to turn");
        }
        if self.write.as_deref() == Some(Path::new("-")) {
            bail!("-w: what is recorded is read back from a file, which standard output is not; give it a name");
        }
        let options = Options {
            path: self.write.clone(),
            file_size: self.file_size,
            file_duration: self.file_duration,
            file_packets: self.file_packets,
            files: self.files.map(usize::from),
        };
        let name = self.write.as_ref().map_or_else(|| "a temporary file".to_owned(), |path| path.display().to_string());
        Recording::create(options, Arc::clone(growing)).with_context(|| format!("{name}: cannot be recorded into"))
    }

    /// Whether there may be several files.
    pub fn rotates(&self) -> bool {
        self.file_size.is_some() || self.file_duration.is_some() || self.file_packets.is_some()
    }
}

/// What went wrong with a recording.
pub fn problem(status: &RecordingStatus) -> Option<String> {
    let problem = status.problem.as_ref()?;
    Some(match status.lost {
        0 => problem.clone(),
        1 => format!("1 packet was not recorded, and so not analysed: {problem}"),
        lost => format!("{lost} packets were not recorded, and so not analysed: {problem}"),
    })
}

/// How a recording stands, for people.
pub fn facts(status: &RecordingStatus) -> Vec<(String, String)> {
    let path = status.path.as_ref();
    let file =
        path.map_or_else(|| "temporary, gone at the end (-w keeps it)".to_owned(), |path| path.display().to_string());
    let files = if status.files == 1 { "1 file".to_owned() } else { format!("{} files", status.files) };
    let recorded = format!("{} packets, {} bytes in {files}", status.packets, status.bytes);
    let facts = [("Recording", file), ("Recorded", recorded), ("Not recorded", format!("{} packets", status.lost))];
    facts.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

/// `100M` → 100,000,000.
fn size(text: &str) -> Result<u64, String> {
    let expected = || "expected a number of bytes, like 1000000, 500k, 100M or 2G".to_owned();
    let (digits, unit) = match text.strip_suffix(['k', 'M', 'G']) {
        None => (text, 1),
        Some(digits) if text.ends_with('k') => (digits, 1_000),
        Some(digits) if text.ends_with('M') => (digits, 1_000_000),
        Some(digits) => (digits, 1_000_000_000),
    };
    let number: u64 = digits.parse().map_err(|_| expected())?;
    number.checked_mul(unit).filter(|&bytes| bytes > 0).ok_or_else(expected)
}
