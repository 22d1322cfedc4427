//! Both directions of a connection, from records to what they carry.

use std::ops::Range;

use super::direction::{Direction, Epoch, MAX_ATTEMPTS, Opened, Phase};
use super::facts::{Alert, Certificate, Facts, Reason};
use super::handshake::{self, ClientHello, ServerHello, kind};
use super::keys;
use super::opener::Opener;
use super::record::{Cut, Cutter, HEADER, Kind, Record};
use super::secrets::{Label, Secrets};
use super::suite::Suite;
use crate::stream::{GapCause, Piece, Side, Stamp};

/// Bytes that may wait for a hello of the other side, or for their secret.
const MAX_HELD: usize = 256 * 1024;
/// Bytes of a handshake message: more than any chain of certificates has.
const MAX_MESSAGE: usize = 256 * 1024;
/// Bytes of handshake messages kept to derive an extended master secret (RFC 7627 3).
const MAX_TRANSCRIPT: usize = 128 * 1024;
/// Alerts kept; a connection has two.
const MAX_ALERTS: usize = 16;

const TLS12: u16 = 0x0303;
const TLS13: u16 = 0x0304;

/// Where plaintext goes.
type Deliver<'a> = &'a mut dyn FnMut(Side, Piece<'_>);

/// The TLS of one connection.
#[derive(Debug)]
pub struct Session {
    facts: Facts,
    changed: bool,
    directions: [Direction; 2],
    hello: Hello,
    held: Vec<Held>,
    held_bytes: usize,
    /// Secrets may become known later.
    waits_for_secrets: bool,
    /// Nothing is waited for any more.
    given_up: bool,
    attempts_left: u32,
    scratch: Vec<u8>,
}

/// What a handshake has said so far.
#[derive(Debug, Default)]
struct Hello {
    client: Option<ClientHello>,
    server: Option<ServerHello>,
    encrypted_premaster: Option<Vec<u8>>,
    /// Its messages up to ClientKeyExchange.
    transcript: Vec<u8>,
}

/// Something that waits its turn.
#[derive(Debug)]
struct Held {
    side: Side,
    stamp: Option<Stamp>,
    what: Waiting,
}

#[derive(Debug)]
enum Waiting {
    Record { kind: Kind, version: u16, body: Vec<u8> },
    Lost { bytes: u64, cause: GapCause },
}

impl Default for Session {
    fn default() -> Self {
        Self::new(false)
    }
}

impl Session {
    /// A connection of which nothing was seen. With `waits_for_secrets`, what cannot be decrypted for want of a secret
    /// waits for [`Session::retry`].
    pub fn new(waits_for_secrets: bool) -> Self {
        Self {
            facts: Facts::default(),
            changed: false,
            directions: [Direction::default(), Direction::default()],
            hello: Hello::default(),
            held: Vec::new(),
            held_bytes: 0,
            waits_for_secrets,
            given_up: false,
            attempts_left: MAX_ATTEMPTS,
            scratch: Vec::new(),
        }
    }

    /// Takes the next part of what `side` sent; `from_the_start`: the first byte of that direction was seen.
    pub fn piece(
        &mut self,
        side: Side,
        from_the_start: bool,
        piece: Piece<'_>,
        secrets: &Secrets,
        deliver: Deliver<'_>,
    ) {
        let direction = &mut self.directions[side as usize];
        let mut cutter = direction.cutter.take().unwrap_or_else(|| {
            direction.from_the_start = from_the_start;
            if from_the_start { Cutter::default() } else { Cutter::midway() }
        });
        cutter.piece(piece, &mut |cut| self.cut(side, cut, secrets, deliver));
        self.directions[side as usize].cutter = Some(cutter);
    }

    /// One direction is over.
    pub fn end(&mut self, side: Side, secrets: &Secrets, deliver: Deliver<'_>) {
        if std::mem::replace(&mut self.directions[side as usize].ended, true) {
            return;
        }
        if let Some(mut cutter) = self.directions[side as usize].cutter.take() {
            cutter.end(&mut |cut| self.cut(side, cut, secrets, deliver));
        }
        if self.directions.iter().all(|direction| direction.ended) {
            self.give_up(secrets, deliver);
            if !self.facts.decrypted && self.facts.undecrypted() == 0 {
                self.note(Reason::Unfinished);
            }
        }
        // What can only be told by what follows is told now: nothing follows.
        if let Some((bytes, cause)) = self.directions[side as usize].lost.take().filter(|_| self.facts.decrypted) {
            deliver(side, Piece::Gap { bytes, cause, until: None });
        }
    }

    /// More secrets have become known.
    pub fn retry(&mut self, secrets: &Secrets, deliver: Deliver<'_>) {
        self.release(secrets, deliver);
    }

    /// What is known.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What is known, if there is something new since the last call.
    pub fn take_news(&mut self) -> Option<Facts> {
        std::mem::take(&mut self.changed).then(|| self.facts.clone())
    }

    /// Bytes buffered.
    pub fn held_bytes(&self) -> usize {
        let cut = self.directions.iter().filter_map(|direction| direction.cutter.as_ref()).map(Cutter::held_bytes);
        self.held_bytes + cut.sum::<usize>()
    }

    /// A packet not later than those that brought what waits for a hello. What waits for a secret is not counted: that
    /// may never come.
    pub fn held_since(&self) -> Option<u32> {
        if self.hello.server.is_some() {
            return None;
        }
        self.held.iter().filter_map(|held| held.stamp).map(|stamp| stamp.packet).min()
    }

    fn cut(&mut self, side: Side, cut: Cut<'_>, secrets: &Secrets, deliver: Deliver<'_>) {
        if self.must_wait(side, &cut, secrets) {
            self.hold(side, cut);
            if self.held_bytes > MAX_HELD {
                self.give_up(secrets, deliver);
            }
            return;
        }
        self.take(side, cut, secrets, deliver);
        self.release(secrets, deliver);
    }

    fn take(&mut self, side: Side, cut: Cut<'_>, secrets: &Secrets, deliver: Deliver<'_>) {
        match cut {
            Cut::Lost { bytes, cause, .. } => self.lost(side, bytes, cause),
            Cut::Record(record) => self.record(side, &record, secrets, deliver),
        }
    }

    /// Whether something must wait for a hello that is still to come, for a secret, or for what waits already.
    fn must_wait(&self, side: Side, cut: &Cut<'_>, secrets: &Secrets) -> bool {
        if self.given_up {
            return false;
        }
        if self.held.iter().any(|held| held.side == side) {
            return true;
        }
        let Cut::Record(record) = cut else { return false };
        match &self.hello.server {
            None => {
                let may_come = self.hello.client.is_some() || self.directions[side as usize].from_the_start;
                may_come && matches!(record.kind, Kind::CHANGE_CIPHER_SPEC | Kind::APPLICATION_DATA)
            }
            Some(_) => {
                let wants_keys = self.is_protected(side, record) && self.directions[side as usize].epochs.is_empty();
                self.waits_for_secrets && wants_keys && self.lacks_secret(secrets)
            }
        }
    }

    fn lacks_secret(&self, secrets: &Secrets) -> bool {
        let Some(client) = &self.hello.client else { return false };
        let known = |label| secrets.get(label, &client.random).is_some();
        ![Label::Master, Label::ClientTraffic, Label::ServerTraffic].into_iter().any(known)
    }

    fn hold(&mut self, side: Side, cut: Cut<'_>) {
        let (stamp, what) = match cut {
            Cut::Lost { bytes, cause, until } => (until, Waiting::Lost { bytes, cause }),
            Cut::Record(Record { kind, version, body, stamp }) => {
                self.held_bytes += body.len();
                (Some(stamp), Waiting::Record { kind, version, body: body.to_vec() })
            }
        };
        self.held_bytes += size_of::<Held>();
        self.held.push(Held { side, stamp, what });
    }

    /// Takes what waits and need not wait any more.
    fn release(&mut self, secrets: &Secrets, deliver: Deliver<'_>) {
        if self.held.is_empty() || (self.hello.server.is_none() && !self.given_up) {
            return;
        }
        self.held_bytes = 0;
        for Held { side, stamp, what } in std::mem::take(&mut self.held) {
            let cut = match (&what, stamp) {
                (Waiting::Record { kind, version, body }, Some(stamp)) => {
                    Cut::Record(Record { kind: *kind, version: *version, body, stamp })
                }
                (&Waiting::Lost { bytes, cause }, until) => Cut::Lost { bytes, cause, until },
                (Waiting::Record { .. }, None) => continue,
            };
            if self.must_wait(side, &cut, secrets) {
                self.hold(side, cut);
            } else {
                self.take(side, cut, secrets, deliver);
            }
        }
    }

    fn give_up(&mut self, secrets: &Secrets, deliver: Deliver<'_>) {
        self.given_up = true;
        self.release(secrets, deliver);
    }

    fn suite(&self) -> Option<Suite> {
        self.hello.server.as_ref().and_then(|hello| Suite::of(hello.suite))
    }

    fn version(&self) -> u16 {
        self.hello.server.as_ref().map_or(0, |hello| hello.version)
    }

    fn is_protected(&self, side: Side, record: &Record<'_>) -> bool {
        match self.version() {
            TLS13 => record.kind == Kind::APPLICATION_DATA,
            _ => self.directions[side as usize].protected,
        }
    }

    /// Bytes are missing: at most so many records as fit into them.
    fn lost(&mut self, side: Side, bytes: u64, cause: GapCause) {
        let least = self.suite().map_or(16, |suite| suite.cipher.least_body()) + HEADER;
        let direction = &mut self.directions[side as usize];
        direction.has_gap = true;
        direction.lose(bytes, bytes / least as u64 + 1, cause);
    }

    fn note(&mut self, reason: Reason) {
        if self.facts.reason.is_none() {
            self.facts.reason = Some(reason);
            self.changed = true;
        }
    }

    fn record(&mut self, side: Side, record: &Record<'_>, secrets: &Secrets, deliver: Deliver<'_>) {
        if self.is_protected(side, record) {
            return self.protected(side, record, secrets, deliver);
        }
        match record.kind {
            Kind::HANDSHAKE => self.messages(side, record.body, false, secrets),
            Kind::ALERT => self.alert(side, record.body, record.stamp),
            Kind::CHANGE_CIPHER_SPEC if self.version() != TLS13 => self.directions[side as usize].change_keys(),
            Kind::APPLICATION_DATA => {
                let reason = self.without_hello();
                self.not_decrypted(side, record, reason);
            }
            // Compatibility with middleboxes (RFC 8446 D.4), and heartbeats.
            _ => {}
        }
    }

    /// Why there is no ServerHello.
    fn without_hello(&self) -> Reason {
        let midway = self.directions.iter().all(|direction| !direction.from_the_start);
        if midway && self.hello.client.is_none() { Reason::JoinedMidway } else { Reason::HelloMissing }
    }

    fn protected(&mut self, side: Side, record: &Record<'_>, secrets: &Secrets, deliver: Deliver<'_>) {
        let suite = match self.ensure_keys(side, secrets) {
            Ok(suite) => suite,
            Err(reason) => return self.not_decrypted(side, record, reason),
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        let direction = &mut self.directions[side as usize];
        match direction.open(record, suite, &mut self.attempts_left, &mut scratch) {
            Some(opened) => {
                self.facts.records[side as usize][0] += 1;
                self.changed |= !std::mem::replace(&mut self.facts.decrypted, true);
                self.opened(side, record, opened, &scratch, secrets, deliver);
            }
            None => {
                let reason = self.why_not_opened(side);
                self.not_decrypted(side, record, reason);
            }
        }
        self.scratch = scratch;
    }

    fn why_not_opened(&self, side: Side) -> Reason {
        let direction = &self.directions[side as usize];
        let early = self.hello.client.as_ref().is_some_and(|hello| hello.early_data);
        let is_early = early && direction.epochs.first().is_some_and(|epoch| epoch.phase < Phase::Application);
        match () {
            () if is_early && self.facts.client == Some(side) => Reason::EarlyData,
            () if direction.has_gap => Reason::Gap,
            () if self.facts.records[side as usize][0] > 0 => Reason::Damaged,
            () => Reason::WrongSecret,
        }
    }

    /// A record stays closed.
    fn not_decrypted(&mut self, side: Side, record: &Record<'_>, reason: Reason) {
        self.facts.records[side as usize][1] += 1;
        self.note(reason);
        self.directions[side as usize].lose(record.body.len() as u64, 1, GapCause::NotDecrypted);
    }

    fn opened(
        &mut self,
        side: Side,
        record: &Record<'_>,
        opened: Opened,
        scratch: &[u8],
        secrets: &Secrets,
        deliver: Deliver<'_>,
    ) {
        let Opened { kind, content, phase, sequence } = opened;
        let content: &[u8] = &scratch[Range { ..content }];
        match kind {
            Kind::APPLICATION_DATA => {
                self.note_loss(side, phase, sequence, record.stamp, deliver);
                if !content.is_empty() {
                    deliver(side, Piece::Bytes { bytes: content, place: None, stamp: record.stamp });
                }
            }
            Kind::HANDSHAKE => self.messages(side, content, true, secrets),
            Kind::ALERT => self.alert(side, content, record.stamp),
            Kind::CHANGE_CIPHER_SPEC => self.directions[side as usize].change_keys(),
            _ => {}
        }
    }

    /// Says that content is missing before this record, unless all that can be missing belongs to the handshake.
    fn note_loss(&mut self, side: Side, phase: Phase, sequence: u64, stamp: Stamp, deliver: Deliver<'_>) {
        let Some((bytes, cause)) = self.directions[side as usize].lost.take() else { return };
        // In TLS 1.2 the first record of new keys is Finished.
        let before_content = if self.version() == TLS13 { 0 } else { 1 };
        if phase == Phase::Early || sequence > before_content {
            deliver(side, Piece::Gap { bytes, cause, until: Some(stamp) });
        }
    }

    fn alert(&mut self, side: Side, body: &[u8], stamp: Stamp) {
        if let &[level, description] = body
            && self.facts.alerts.len() < MAX_ALERTS
        {
            self.facts.alerts.push(Alert { side, level, description, stamp });
            self.changed = true;
        }
    }

    /// Takes part of the handshake messages of `side`.
    fn messages(&mut self, side: Side, bytes: &[u8], protected: bool, secrets: &Secrets) {
        let mut buffer = std::mem::take(&mut self.directions[side as usize].messages);
        buffer.extend_from_slice(bytes);
        let mut done = 0;
        while let Some((kind, body, length)) = handshake::first_message(&buffer[done..]) {
            self.remember(&buffer[done..done + length], secrets);
            self.message(side, kind, body, protected);
            done += length;
        }
        buffer.drain(..done);
        if buffer.len() > MAX_MESSAGE {
            buffer.clear();
        }
        self.directions[side as usize].messages = buffer;
    }

    /// Keeps a message for the extended master secret, if that may have to be derived.
    fn remember(&mut self, message: &[u8], secrets: &Secrets) {
        let hello = &mut self.hello;
        if message[0] == kind::CLIENT_HELLO {
            hello.transcript.clear();
        }
        let wanted = secrets.has_premasters() && hello.encrypted_premaster.is_none() && message[0] != 0;
        if wanted && hello.transcript.len() + message.len() <= MAX_TRANSCRIPT {
            hello.transcript.extend_from_slice(message);
        }
    }

    fn message(&mut self, side: Side, kind: u8, body: &[u8], protected: bool) {
        match kind {
            kind::CLIENT_HELLO => self.client_hello(side, body),
            kind::SERVER_HELLO => self.server_hello(side, body),
            kind::CERTIFICATE => self.certificates(side, body),
            kind::COMPRESSED_CERTIFICATE => {
                if let Some(body) = handshake::decompressed(body) {
                    self.certificates(side, &body);
                }
            }
            kind::CLIENT_KEY_EXCHANGE if self.suite().is_some_and(|suite| suite.is_rsa) => {
                self.hello.encrypted_premaster = handshake::encrypted_premaster(body).map(<[u8]>::to_vec);
            }
            kind::ENCRYPTED_EXTENSIONS => {
                self.facts.alpn = handshake::encrypted_alpn(body).or_else(|| self.facts.alpn.take());
                self.changed = true;
            }
            kind::FINISHED if protected => self.directions[side as usize].advance(Phase::Application),
            kind::END_OF_EARLY_DATA if protected => self.directions[side as usize].advance(Phase::Handshake),
            kind::KEY_UPDATE if protected => {
                if let Some(suite) = self.suite() {
                    self.directions[side as usize].update(suite);
                }
            }
            _ => {}
        }
    }

    fn client_hello(&mut self, side: Side, body: &[u8]) {
        let Some(hello) = handshake::client_hello(body) else { return };
        self.facts.client = Some(side);
        self.facts.sni = hello.sni.clone().or_else(|| self.facts.sni.take());
        let transcript = std::mem::take(&mut self.hello.transcript);
        self.hello = Hello { client: Some(hello), transcript, ..Hello::default() };
        self.changed = true;
    }

    fn server_hello(&mut self, side: Side, body: &[u8]) {
        let Some(hello) = handshake::server_hello(body).filter(|hello| !hello.is_retry()) else { return };
        let facts = &mut self.facts;
        facts.client = Some(side.other());
        facts.version = Some(hello.version);
        facts.suite = Some(hello.suite);
        facts.group = hello.group;
        facts.alpn = hello.alpn.clone().or_else(|| facts.alpn.take());
        facts.resumed = match &self.hello.client {
            _ if hello.version == TLS13 => Some(hello.pre_shared_key),
            // A server that resumes repeats the session ID, whether it found it or a ticket (RFC 5077 3.4).
            Some(client) => Some(!hello.session.is_empty() && hello.session == client.session),
            None => None,
        };
        self.hello.server = Some(hello);
        self.changed = true;
    }

    fn certificates(&mut self, side: Side, body: &[u8]) {
        let Some(chain) = handshake::certificates(body, self.version() == TLS13) else { return };
        self.facts.certificates[side as usize] = chain.into_iter().filter_map(Certificate::read).collect();
        self.changed = true;
    }

    /// Makes the keys that open what `side` sends, if they are not there.
    fn ensure_keys(&mut self, side: Side, secrets: &Secrets) -> Result<Suite, Reason> {
        let server = self.hello.server.as_ref().ok_or_else(|| self.without_hello())?;
        let suite = Suite::of(server.suite).ok_or(Reason::UnsupportedSuite(server.suite))?;
        let is_whole = |direction: &Direction| direction.epochs.iter().any(|epoch| epoch.phase == Phase::Application);
        if is_whole(&self.directions[side as usize]) {
            return Ok(suite);
        }
        if server.compression != 0 {
            return Err(Reason::Compressed);
        }
        let client = self.hello.client.as_ref().ok_or(Reason::HelloMissing)?;
        let made = match server.version {
            TLS12 => self.tls12_keys(side, suite, client, server, secrets),
            TLS13 => self.tls13_keys(side, suite, client, secrets),
            other => return Err(Reason::UnsupportedVersion(other)),
        };
        let known = self.directions[side as usize].epochs.first().map(|epoch| epoch.phase);
        let made: Vec<Epoch> = made.into_iter().filter(|epoch| known.is_none_or(|known| epoch.phase > known)).collect();
        if known.is_none() && made.is_empty() {
            return Err(Reason::NoSecret { random: client.random });
        }
        self.directions[side as usize].epochs.extend(made);
        Ok(suite)
    }

    fn tls12_keys(
        &self,
        side: Side,
        suite: Suite,
        client: &ClientHello,
        server: &ServerHello,
        secrets: &Secrets,
    ) -> Vec<Epoch> {
        let randoms = [&client.random, &server.random];
        let opener = match self.master(suite, client, server, secrets) {
            Some(master) => keys::tls12(suite, &master, randoms, server.encrypt_then_mac)
                .map(|[of_client, of_server]| if self.facts.client == Some(side) { of_client } else { of_server }),
            None => Opener::unkeyed(suite.cipher),
        };
        opener.map(|opener| Epoch { phase: Phase::Application, opener, secret: None }).into_iter().collect()
    }

    /// The master secret: logged as such, or derived from a premaster secret, or that of the session.
    fn master(&self, suite: Suite, client: &ClientHello, server: &ServerHello, secrets: &Secrets) -> Option<Vec<u8>> {
        if let Some(master) = secrets.get(Label::Master, &client.random) {
            return Some(master.to_vec());
        }
        if let Some(premaster) = self.hello.encrypted_premaster.as_ref().and_then(|it| secrets.premaster_of(it)) {
            let digest = || aws_lc_rs::digest::digest(suite.hash.digest(), &self.hello.transcript);
            let session_hash = server.extended_master_secret.then(digest);
            let session_hash = session_hash.as_ref().map(AsRef::as_ref);
            return keys::master(suite.hash, premaster, [&client.random, &server.random], session_hash);
        }
        secrets.master_of(&server.session).map(<[u8]>::to_vec)
    }

    fn tls13_keys(&self, side: Side, suite: Suite, client: &ClientHello, secrets: &Secrets) -> Vec<Epoch> {
        let labels: &[(Phase, Label)] = match self.facts.client == Some(side) {
            true if client.early_data => &[
                (Phase::Early, Label::ClientEarly),
                (Phase::Handshake, Label::ClientHandshake),
                (Phase::Application, Label::ClientTraffic),
            ],
            true => &[(Phase::Handshake, Label::ClientHandshake), (Phase::Application, Label::ClientTraffic)],
            false => &[(Phase::Handshake, Label::ServerHandshake), (Phase::Application, Label::ServerTraffic)],
        };
        let epoch = |&(phase, label): &(Phase, Label)| {
            let secret = secrets.get(label, &client.random)?;
            let opener = keys::tls13(suite, secret)?;
            Some(Epoch { phase, opener, secret: Some((suite.hash, secret.to_vec())) })
        };
        labels.iter().filter_map(epoch).collect()
    }
}
