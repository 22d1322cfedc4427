//! TLS secrets: key logs named on the command line, which may grow while a capture is read, and those that captures carry.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;

use super::say;
use crate::tls::Added;

/// Bytes read of a key log at a time.
const CHUNK: usize = 1 << 20;
/// How often key logs are asked whether they have grown.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Where TLS secrets come from.
#[derive(Args, Debug, Clone, Default)]
pub struct SecretArgs {
    /// Decrypt TLS with the secrets of this key log (NSS format, as SSLKEYLOGFILE writes it; repeatable)
    #[arg(long = "keylog", value_name = "FILE", help_heading = "Input")]
    pub key_logs: Vec<PathBuf>,
}

/// The key logs of the command line, as far as they were read.
pub struct KeyLogs {
    logs: Vec<KeyLog>,
    asked: Instant,
}

struct KeyLog {
    path: PathBuf,
    file: File,
    /// Bytes read.
    read: u64,
    /// The beginning of a line whose end was not written yet.
    rest: Vec<u8>,
    added: Added,
}

impl SecretArgs {
    /// Opens the key logs.
    ///
    /// # Errors
    /// One cannot be opened.
    pub fn open(&self) -> anyhow::Result<KeyLogs> {
        let logs = self.key_logs.iter().map(|path| KeyLog::open(path)).collect::<anyhow::Result<_>>()?;
        Ok(KeyLogs { logs, asked: Instant::now() })
    }
}

impl KeyLogs {
    /// Takes what has been written since, every now and then.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn poll(&mut self, mut add: impl FnMut(&[u8]) -> Added) -> anyhow::Result<()> {
        if self.logs.is_empty() || self.asked.elapsed() < ASK_EVERY {
            return Ok(());
        }
        self.asked = Instant::now();
        self.read(&mut add)
    }

    /// Takes what has been written since.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn read(&mut self, add: &mut impl FnMut(&[u8]) -> Added) -> anyhow::Result<()> {
        self.logs.iter_mut().try_for_each(|log| log.read(add))
    }

    /// Takes what is left, and says what in the key logs is no secret; whether there was anything.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn finish(&mut self, mut add: impl FnMut(&[u8]) -> Added) -> anyhow::Result<bool> {
        self.read(&mut add)?;
        let mut problems = false;
        for log in &mut self.logs {
            log.take(&mut add, true);
            if let Some(problem) = log.problem() {
                say(problem);
                problems = true;
            }
        }
        Ok(problems)
    }
}

impl KeyLog {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("{}: key log cannot be opened", path.display()))?;
        Ok(Self { path: path.to_owned(), file, read: 0, rest: Vec::new(), added: Added::default() })
    }

    fn read(&mut self, add: &mut impl FnMut(&[u8]) -> Added) -> anyhow::Result<()> {
        let told = || format!("{}: key log cannot be read", self.path.display());
        // One that is shorter than before was begun anew.
        if self.file.metadata().with_context(told)?.len() < self.read {
            self.read = self.file.seek(SeekFrom::Start(0)).with_context(told)?;
            self.rest.clear();
        }
        loop {
            let start = self.rest.len();
            let count = (&self.file).take(CHUNK as u64).read_to_end(&mut self.rest);
            let count = count.with_context(|| format!("{}: key log cannot be read", self.path.display()))?;
            self.read += count as u64;
            if count == 0 {
                return Ok(());
            }
            if self.rest[start..].contains(&b'\n') || self.rest.len() > CHUNK {
                self.take(add, false);
            }
        }
    }

    /// Takes the whole lines read; or, at the end, all.
    fn take(&mut self, add: &mut impl FnMut(&[u8]) -> Added, all: bool) {
        let lines = match self.rest.iter().rposition(|&byte| byte == b'\n') {
            _ if all => self.rest.len(),
            Some(end) => end + 1,
            // No secret is as long as what has no end by now.
            None => self.rest.len(),
        };
        self.added += add(&self.rest[..lines]);
        self.rest.drain(..lines);
    }

    fn problem(&self) -> Option<String> {
        let (name, added) = (self.path.display(), &self.added);
        match (added.secrets, added.unreadable) {
            (_, 0) if added.secrets > 0 => None,
            (0, _) => Some(format!(
                "{name}: holds no TLS secret; expected lines of an NSS key log, like CLIENT_RANDOM <hex> <hex>"
            )),
            (_, lines) => Some(format!(
                "{name}: {lines} lines are no secrets, the first is line {}; the others are used",
                added.first_unreadable.unwrap_or(0)
            )),
        }
    }
}
