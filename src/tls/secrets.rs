//! TLS secrets, as key logs hold them.

use std::collections::{BTreeSet, HashMap};
use std::ops::AddAssign;
use std::sync::Arc;

use foldhash::fast::RandomState;

/// A longer line is no secret's: label, client random and a premaster secret of 8192 bits have fewer characters.
const MAX_LINE: usize = 2304;
/// Secrets kept; what a key log has more is counted as unreadable. A connection of TLS 1.3 needs five.
const MAX_SECRETS: usize = 4 << 20;
/// The longest secret: a premaster secret of finite-field Diffie-Hellman with 8192 bits (RFC 7919 A.5).
const MAX_SECRET: usize = 1024;

/// Learned sessions kept, in either generation: servers keep them for hours.
const MAX_LEARNED: usize = 1 << 16;

/// What a secret is for (NSS key log format).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Label {
    /// TLS 1.2 and earlier: the master secret.
    Master,
    /// TLS 1.2: the premaster secret, of whatever key exchange.
    Premaster,
    /// TLS 1.3: 0-RTT data.
    ClientEarly,
    ClientHandshake,
    ServerHandshake,
    ClientTraffic,
    ServerTraffic,
}

/// The labels of key logs.
const LABELS: [(&str, Label); 7] = [
    ("CLIENT_RANDOM", Label::Master),
    ("PMS_CLIENT_RANDOM", Label::Premaster),
    ("CLIENT_EARLY_TRAFFIC_SECRET", Label::ClientEarly),
    ("CLIENT_HANDSHAKE_TRAFFIC_SECRET", Label::ClientHandshake),
    ("SERVER_HANDSHAKE_TRAFFIC_SECRET", Label::ServerHandshake),
    ("CLIENT_TRAFFIC_SECRET_0", Label::ClientTraffic),
    ("SERVER_TRAFFIC_SECRET_0", Label::ServerTraffic),
];

/// What adding a key log came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Lines taken as secrets.
    pub secrets: usize,
    /// Lines that are neither secrets nor comments.
    pub unreadable: usize,
    /// 1-based number of the first of those.
    pub first_unreadable: Option<usize>,
    /// Lines in all.
    pub lines: usize,
}

/// What a later part of the same key log came to is added.
impl AddAssign for Added {
    fn add_assign(&mut self, later: Self) {
        self.first_unreadable = self.first_unreadable.or(later.first_unreadable.map(|line| line + self.lines));
        self.secrets += later.secrets;
        self.unreadable += later.unreadable;
        self.lines += later.lines;
    }
}

/// Secrets by what a capture shows of their connection. A copy shares what key logs said.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    logged: Arc<Logged>,
    /// Learned from connections: the last ones, and those before them.
    learned: [Sessions; 2],
}

/// Master secrets by session ID or ticket.
type Sessions = HashMap<Box<[u8]>, Box<[u8]>, RandomState>;

/// A session that later connections may resume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSecret {
    /// Its ID (RFC 5246 7.4.1.3) or ticket (RFC 5077 3.3).
    pub(super) name: Box<[u8]>,
    pub(super) master: Box<[u8]>,
}

/// What key logs said.
#[derive(Clone, Debug, Default)]
struct Logged {
    by_random: HashMap<(Label, [u8; 32]), Box<[u8]>, RandomState>,
    has_premasters: bool,
    /// Premaster secrets, by the first bytes of their encryption (`RSA` lines).
    premasters: HashMap<[u8; 8], Box<[u8]>, RandomState>,
    /// Master secrets by session ID (`RSA Session-ID:` lines).
    sessions: Sessions,
}

/// What a line is.
enum Line {
    Secret,
    Nothing,
    Unreadable,
}

impl Secrets {
    /// What these key logs say; lines that are no secrets are passed over.
    pub fn of<'a>(key_logs: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut secrets = Self::default();
        key_logs.into_iter().for_each(|log| _ = secrets.add(log));
        secrets
    }

    /// Takes the lines of a key log in NSS format: `CLIENT_RANDOM <client random> <master secret>` and the like.
    /// Comments, empty lines and labels of secrets that decrypt nothing are passed over.
    pub fn add(&mut self, key_log: &[u8]) -> Added {
        let (mut added, logged) = (Added::default(), Arc::make_mut(&mut self.logged));
        for line in key_log.split_inclusive(|&byte| byte == b'\n') {
            added.lines += 1;
            match logged.line(line.trim_ascii()) {
                Line::Secret => added.secrets += 1,
                Line::Nothing => {}
                Line::Unreadable => {
                    added.unreadable += 1;
                    added.first_unreadable = added.first_unreadable.or(Some(added.lines));
                }
            }
        }
        added
    }

    /// Takes what the key logs of `newer` said as well, and of what both say that.
    pub fn extend(&mut self, newer: &Self) {
        let (known, newer) = (Arc::make_mut(&mut self.logged), &newer.logged);
        known.by_random.extend(newer.by_random.clone());
        known.has_premasters |= newer.has_premasters;
        known.premasters.extend(newer.premasters.clone());
        known.sessions.extend(newer.sessions.clone());
    }

    /// How many secrets key logs had.
    pub fn len(&self) -> usize {
        self.logged.len()
    }

    /// Whether they had none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes what key logs said from `newer`; whether that is more.
    pub fn renew(&mut self, newer: &Self) -> bool {
        let is_more = newer.len() > self.len();
        self.logged = Arc::clone(&newer.logged);
        is_more
    }

    /// Takes sessions that connections were found to have; whether one is new.
    pub fn learn(&mut self, sessions: &[SessionSecret]) -> bool {
        let mut is_new = false;
        for SessionSecret { name, master } in sessions {
            if self.learned.iter().any(|known| known.contains_key(name)) {
                continue;
            }
            if self.learned[0].len() >= MAX_LEARNED {
                self.learned[1] = std::mem::take(&mut self.learned[0]);
            }
            self.learned[0].insert(name.clone(), master.clone());
            is_new = true;
        }
        is_new
    }

    /// The secrets of the connections with these client randoms, as an NSS key log, and how many of the connections
    /// have any. Those known by an encrypted premaster secret or a session ID are in none.
    pub fn key_log(&self, randoms: &BTreeSet<[u8; 32]>) -> (String, usize) {
        let (mut log, mut known) = (String::new(), 0);
        for random in randoms {
            let lines = LABELS.iter().filter_map(|&(name, label)| Some((name, self.get(label, random)?)));
            let before = log.len();
            lines.for_each(|(name, secret)| log += &format!("{name} {} {}\n", hex(random), hex(secret)));
            known += usize::from(log.len() > before);
        }
        (log, known)
    }

    pub(super) fn get(&self, label: Label, random: &[u8; 32]) -> Option<&[u8]> {
        self.logged.by_random.get(&(label, *random)).map(|secret| &**secret)
    }

    /// The premaster secret whose encryption is `encrypted`.
    pub(super) fn premaster_of(&self, encrypted: &[u8]) -> Option<&[u8]> {
        self.logged.premasters.get(encrypted.first_chunk()?).map(|secret| &**secret)
    }

    /// The master secret of a session, by its ID or ticket.
    pub(super) fn master_of(&self, session: &[u8]) -> Option<&[u8]> {
        let all = [&self.logged.sessions, &self.learned[0], &self.learned[1]];
        all.into_iter().find_map(|sessions| sessions.get(session)).map(|secret| &**secret)
    }

    /// Whether there are secrets of which a master secret has to be derived.
    pub(super) fn has_premasters(&self) -> bool {
        self.logged.has_premasters
    }
}

impl Logged {
    fn len(&self) -> usize {
        self.by_random.len() + self.premasters.len() + self.sessions.len()
    }

    fn line(&mut self, line: &[u8]) -> Line {
        if line.is_empty() || line[0] == b'#' {
            return Line::Nothing;
        }
        let Some(text) = std::str::from_utf8(line).ok().filter(|line| line.len() <= MAX_LINE) else {
            return Line::Unreadable;
        };
        let words: Vec<&str> = text.split_ascii_whitespace().take(4).collect();
        let known = match words[..] {
            ["RSA", session, master] if session.starts_with("Session-ID:") => self.session(session, master),
            ["RSA", encrypted, premaster] => self.premaster(encrypted, premaster),
            [label, random, secret] => return self.traffic(label, random, secret),
            _ => None,
        };
        if known.is_some() { Line::Secret } else { Line::Unreadable }
    }

    fn session(&mut self, session: &str, master: &str) -> Option<()> {
        let session = unhex(session.strip_prefix("Session-ID:")?)?;
        let master = unhex(master.strip_prefix("Master-Key:")?)?;
        self.has_room().then(|| drop(self.sessions.insert(session, master)))
    }

    fn premaster(&mut self, encrypted: &str, premaster: &str) -> Option<()> {
        let key: [u8; 8] = (*unhex(encrypted)?).try_into().ok()?;
        let premaster = unhex(premaster)?;
        self.has_premasters = true;
        self.has_room().then(|| drop(self.premasters.insert(key, premaster)))
    }

    fn traffic(&mut self, label: &str, random: &str, secret: &str) -> Line {
        let (Some(random), Some(secret)) = (unhex(random), unhex(secret)) else { return Line::Unreadable };
        let Ok(random) = <[u8; 32]>::try_from(&*random) else { return Line::Unreadable };
        // Exporter secrets and what else there may be decrypt nothing.
        let Some(&(_, label)) = LABELS.iter().find(|(name, _)| *name == label) else { return Line::Nothing };
        if !self.has_room() {
            return Line::Unreadable;
        }
        self.has_premasters |= label == Label::Premaster;
        self.by_random.insert((label, random), secret);
        Line::Secret
    }

    fn has_room(&self) -> bool {
        self.len() < MAX_SECRETS
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// At most [`MAX_SECRET`] bytes from their hexadecimal digits.
fn unhex(text: &str) -> Option<Box<[u8]>> {
    let digits = text.as_bytes();
    if digits.is_empty() || !digits.len().is_multiple_of(2) || digits.len() > 2 * MAX_SECRET {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}
