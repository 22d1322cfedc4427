//! The secrets of the proxy's own TLS connections. In: from rustls. Out: a key log (NSS format), if one is wanted, and
//! the one secret that [`peek`](super::peek) needs.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::KeyLog;

/// The file they are appended to, shared by all connections.
#[derive(Debug)]
pub struct KeyLogFile {
    path: PathBuf,
    file: Mutex<File>,
    problem: Mutex<Option<String>>,
}

impl KeyLogFile {
    /// Opens it to be appended to; a new one is readable by its owner alone.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| super::about(path, error))?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), problem: Mutex::default() })
    }

    /// Why the last line could not be written.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn line(&self, line: &str) {
        let written = self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
        if let Err(error) = written {
            let problem = format!("{}: {error}", self.path.display());
            *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
        }
    }
}

/// The secrets of one connection.
#[derive(Default)]
pub struct Secrets {
    log: Option<Arc<KeyLogFile>>,
    server_handshake: Mutex<Option<Vec<u8>>>,
}

impl std::fmt::Debug for Secrets {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// Of a new connection.
    pub fn new(log: Option<Arc<KeyLogFile>>) -> Arc<Self> {
        Arc::new(Self { log, server_handshake: Mutex::default() })
    }

    /// What protects the server's first flight, once it is known (RFC 8446 7.1).
    pub fn server_handshake(&self) -> Option<Vec<u8>> {
        self.server_handshake.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        if label == "SERVER_HANDSHAKE_TRAFFIC_SECRET" {
            *self.server_handshake.lock().unwrap_or_else(PoisonError::into_inner) = Some(secret.to_vec());
        }
        if let Some(log) = &self.log {
            log.line(&format!("{label} {} {}\n", hex(client_random), hex(secret)));
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all");
        text
    })
}
