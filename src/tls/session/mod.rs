//! Both directions of a connection, from records to what they carry.

mod keying;
mod messages;
mod waiting;

use std::ops::Range;

use crate::stream::{GapCause, Piece, Side, Stamp};
use crate::tls::direction::{Budget, Direction, Opened, Phase};
use crate::tls::facts::{Alert, Facts, Reason};
use crate::tls::handshake::{ClientHello, ServerHello};
use crate::tls::record::{Cut, Cutter, HEADER, Kind, Record};
use crate::tls::secrets::{Label, Secrets, SessionSecret};
use crate::tls::suite::Suite;

/// Bytes that may wait for a hello of the other side, or for their secret.
const MAX_HELD: usize = 256 * 1024;
/// Bytes of a handshake message: more than any chain of certificates has.
const MAX_MESSAGE: usize = 256 * 1024;
/// Bytes of handshake messages kept to derive an extended master secret (RFC 7627 3).
const MAX_TRANSCRIPT: usize = 128 * 1024;
/// Alerts kept; a connection has two.
const MAX_ALERTS: usize = 16;

const SIDES: [Side; 2] = [Side::Initiator, Side::Responder];

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
    learned: Vec<SessionSecret>,
    budget: Budget,
    scratch: Vec<u8>,
}

/// What a handshake has said so far.
#[derive(Debug, Default)]
struct Hello {
    client: Option<ClientHello>,
    server: Option<ServerHello>,
    encrypted_premaster: Option<Vec<u8>>,
    /// ClientKeyExchange was seen.
    keys_exchanged: bool,
    /// The server asked for another ClientHello, which rejects 0-RTT data (RFC 8446 4.2.10).
    retried: bool,
    /// Whether the server takes 0-RTT data; `None` before its EncryptedExtensions.
    early_accepted: Option<bool>,
    /// By what the session may be resumed that it begins.
    ticket: Option<Box<[u8]>>,
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
            learned: Vec::new(),
            budget: Budget::default(),
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
        if self.has_ended() {
            if !self.awaits_secret() {
                self.give_up(secrets, deliver);
            }
        } else {
            self.tell_last_loss(side, deliver);
        }
    }

    /// Both directions are over, though something may still wait for a secret.
    fn has_ended(&self) -> bool {
        self.directions.iter().all(|direction| direction.ended)
    }

    /// Nothing comes any more, and nothing waits.
    fn conclude(&mut self, deliver: Deliver<'_>) {
        if !self.facts.decrypted && self.facts.undecrypted() == 0 {
            self.note(Reason::Unfinished);
        }
        self.directions.iter_mut().for_each(|direction| direction.messages = Vec::new());
        self.hello.transcript = Vec::new();
        SIDES.into_iter().for_each(|side| self.tell_last_loss(side, deliver));
    }

    /// What can only be told by what follows is told now: nothing follows.
    fn tell_last_loss(&mut self, side: Side, deliver: Deliver<'_>) {
        if let Some((bytes, cause)) = self.directions[side as usize].lost.take().filter(|_| self.facts.decrypted) {
            deliver(side, Piece::Gap { bytes, cause, until: None });
        }
    }

    /// Takes the sessions that other connections may resume, as far as they were learned since the last call.
    pub fn take_learned(&mut self) -> Vec<SessionSecret> {
        std::mem::take(&mut self.learned)
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
        let messages = self.directions.iter().map(|direction| direction.messages.len()).sum::<usize>();
        self.held_bytes + cut.sum::<usize>() + messages + self.hello.transcript.len()
    }

    /// A packet not later than those that brought what waits for a hello, or for the secret of a session that another
    /// connection began. What waits for a key log is not counted: that may never come.
    pub fn held_since(&self) -> Option<u32> {
        if !SIDES.iter().any(|&side| self.awaits_hello(side)) && !self.resumes() {
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
        let waited = SIDES.map(|side| self.awaits_hello(side));
        self.take(side, cut, secrets, deliver);
        if waited != SIDES.map(|side| self.awaits_hello(side)) {
            self.release(secrets, deliver);
        }
    }

    fn take(&mut self, side: Side, cut: Cut<'_>, secrets: &Secrets, deliver: Deliver<'_>) {
        match cut {
            Cut::Lost { bytes, cause, .. } => self.lost(side, bytes, cause),
            Cut::Record(record) => self.record(side, &record, secrets, deliver),
        }
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
        self.note_early_loss(side);
    }

    /// What was just lost of `side` may be 0-RTT data.
    fn note_early_loss(&mut self, side: Side) {
        let early = self.facts.client == Some(side) && self.hello.client.as_ref().is_some_and(|it| it.early_data);
        let direction = &mut self.directions[side as usize];
        direction.lost_early |= early && direction.reached.is_none_or(|phase| phase == Phase::Early);
    }

    fn note(&mut self, reason: Reason) {
        if self.facts.reason.is_none() {
            self.facts.reason = Some(reason);
            self.changed = true;
        }
    }

    fn record(&mut self, side: Side, record: &Record<'_>, secrets: &Secrets, deliver: Deliver<'_>) {
        self.budget.earn(HEADER + record.body.len());
        if self.is_protected(side, record) {
            return self.protected(side, record, secrets, deliver);
        }
        match record.kind {
            Kind::HANDSHAKE => self.messages(side, record.body, false, secrets),
            Kind::ALERT => self.alert(side, record.body, record.stamp),
            Kind::CHANGE_CIPHER_SPEC if self.keys_may_change() => self.directions[side as usize].change_keys(),
            Kind::APPLICATION_DATA if self.hello.server.is_some() => {
                self.directions[side as usize].keys_have_changed();
                self.protected(side, record, secrets, deliver);
            }
            Kind::APPLICATION_DATA => {
                let reason = self.without_hello();
                self.not_decrypted(side, record, reason);
            }
            // Compatibility with middleboxes (RFC 8446 D.4), and heartbeats.
            _ => {}
        }
    }

    /// Whether a ChangeCipherSpec is more than TLS 1.3's courtesy to middleboxes, which may stand before a ServerHello
    /// (RFC 8446 D.4).
    fn keys_may_change(&self) -> bool {
        match &self.hello.server {
            Some(server) => server.version != TLS13,
            None => self.facts.client.is_none(),
        }
    }

    /// Why there is no ServerHello.
    fn without_hello(&self) -> Reason {
        if self.hello.retried {
            return Reason::EarlyData;
        }
        let midway = self.directions.iter().all(|direction| !direction.from_the_start);
        if midway && self.hello.client.is_none() { Reason::JoinedMidway } else { Reason::HelloMissing }
    }

    fn protected(&mut self, side: Side, record: &Record<'_>, secrets: &Secrets, deliver: Deliver<'_>) {
        if let Err(reason) = self.ensure_keys(side, secrets) {
            return self.not_decrypted(side, record, reason);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let direction = &mut self.directions[side as usize];
        let is_new = direction.has_new_keys();
        match direction.open(record, &mut self.budget, &mut scratch) {
            Some(opened) => {
                let [opened_before, closed] = &mut self.facts.records[side as usize];
                if is_new && *closed > 0 && self.facts.reason == Some(Reason::WrongSecret) {
                    // They open this record: those before are not theirs for another reason.
                    self.facts.reason = Some(Reason::Damaged);
                }
                *opened_before += 1;
                self.changed |= !std::mem::replace(&mut self.facts.decrypted, true);
                self.opened(side, record, opened, &scratch, secrets, deliver);
            }
            None => {
                let reason = self.why_not_opened(side, secrets);
                self.not_decrypted(side, record, reason);
            }
        }
        self.scratch = scratch;
    }

    fn why_not_opened(&self, side: Side, secrets: &Secrets) -> Reason {
        let direction = &self.directions[side as usize];
        let client = self.hello.client.as_ref();
        let is_client = self.facts.client == Some(side);
        let early = is_client && client.is_some_and(|hello| hello.early_data);
        let is_early = early && direction.epochs.first().is_some_and(|epoch| epoch.phase < Phase::Application);
        let is_new = direction.has_new_keys();
        let labels = match is_client {
            true => [Label::ClientTraffic, Label::ClientHandshake],
            false => [Label::ServerTraffic, Label::ServerHandshake],
        };
        // Once something was opened, the handshake's secret is there or not needed any more.
        let needed = if is_new { &labels[..] } else { &labels[..1] };
        let lacks = |hello: &&ClientHello| needed.iter().any(|label| secrets.get(*label, &hello.random).is_none());
        let unlogged = client.filter(lacks).filter(|_| self.version() == TLS13);
        match unlogged {
            _ if is_early => Reason::EarlyData,
            Some(hello) => Reason::NoSecret { random: hello.random },
            None if direction.has_gap => Reason::Gap,
            None if is_new => Reason::WrongSecret,
            None => Reason::Damaged,
        }
    }

    /// A record stays closed.
    fn not_decrypted(&mut self, side: Side, record: &Record<'_>, reason: Reason) {
        self.facts.records[side as usize][1] += 1;
        self.note(reason);
        self.directions[side as usize].lose(record.body.len() as u64, 1, GapCause::NotDecrypted);
        self.note_early_loss(side);
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
            // Its client sends it again, as data that the server reads (RFC 8446 4.2.10).
            Kind::APPLICATION_DATA if phase == Phase::Early && self.hello.early_accepted == Some(false) => {
                let [opened, closed] = &mut self.facts.records[side as usize];
                (*opened, *closed) = (*opened - 1, *closed + 1);
                self.note(Reason::EarlyDataRejected);
            }
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
        let early =
            std::mem::take(&mut self.directions[side as usize].lost_early) && self.hello.early_accepted == Some(true);
        if phase == Phase::Early || early || sequence > before_content {
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
}
