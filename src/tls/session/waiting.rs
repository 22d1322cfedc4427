//! What must wait: for a hello that the other side still has to say, or for a secret.

use super::{Deliver, Held, SIDES, Session, TLS12, TLS13, Waiting};
use crate::stream::Side;
use crate::tls::direction::Phase;
use crate::tls::record::{Cut, Kind, Record};
use crate::tls::secrets::{Label, Secrets};

impl Session {
    /// Whether something must wait for a hello that is still to come, for a secret, or for what waits already.
    pub(super) fn must_wait(&self, side: Side, cut: &Cut<'_>, secrets: &Secrets) -> bool {
        if self.given_up {
            return false;
        }
        if self.held.iter().any(|held| held.side == side) {
            return true;
        }
        let Cut::Record(record) = cut else { return false };
        let direction = &self.directions[side as usize];
        if self.awaits_hello(side) {
            return match record.kind {
                // A server's only comes this early for the sake of middleboxes (RFC 8446 D.4).
                Kind::CHANGE_CIPHER_SPEC => self.facts.client != Some(side.other()) || self.hello.server.is_some(),
                Kind::APPLICATION_DATA => direction.epochs.is_empty(),
                _ => self.hello.server.is_some() && self.is_protected(side, record),
            };
        }
        let wants_keys = self.is_protected(side, record) && direction.epochs.is_empty();
        // The secret of a session is learned from the connection that began it.
        let may_come = self.waits_for_secrets || self.resumes() && !secrets.is_empty();
        may_come && wants_keys && self.lacks_secret(secrets)
    }

    /// Whether a hello that protected records of `side` need may still come.
    pub(super) fn awaits_hello(&self, side: Side) -> bool {
        match (&self.hello.client, &self.hello.server) {
            (Some(client), Some(server)) => {
                client.early_data && server.version == TLS13 && self.awaits_extensions(side)
            }
            // Nothing is protected by what was offered before a retry.
            (Some(_), None) => !self.hello.retried,
            // Its sender has not begun.
            (None, Some(_)) => {
                let client = self.facts.client.map(|client| &self.directions[client as usize]);
                client.is_some_and(|client| client.cutter.is_none() && !client.ended)
            }
            (None, None) => self.directions[side as usize].from_the_start,
        }
    }

    /// Whether the connection goes on with the secret of an earlier one (TLS 1.2).
    pub(super) fn resumes(&self) -> bool {
        self.version() == TLS12 && self.facts.resumed == Some(true)
    }

    /// Whether something waits that only a secret can open.
    pub fn awaits_secret(&self) -> bool {
        !self.held.is_empty() && !SIDES.into_iter().any(|side| self.awaits_hello(side))
    }

    pub(super) fn lacks_secret(&self, secrets: &Secrets) -> bool {
        let Some(client) = &self.hello.client else { return false };
        let known = |label| secrets.get(label, &client.random).is_some();
        let by_random = [Label::Master, Label::Premaster, Label::ClientTraffic, Label::ServerTraffic];
        let sessions = self.hello.server.iter().map(|server| &server.session).chain(Some(&client.ticket));
        let mut by_session = sessions.filter(|_| self.resumes());
        !by_random.into_iter().any(known) && !by_session.any(|name| secrets.master_of(name).is_some())
    }

    pub(super) fn hold(&mut self, side: Side, cut: Cut<'_>) {
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
    pub(super) fn release(&mut self, secrets: &Secrets, deliver: Deliver<'_>) {
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

    /// Whether the server may still say if it takes the 0-RTT data that `side` sends.
    fn awaits_extensions(&self, side: Side) -> bool {
        let server = &self.directions[side.other() as usize];
        let [_, closed] = self.facts.records[side.other() as usize];
        self.facts.client == Some(side)
            && self.hello.early_accepted.is_none()
            && closed == 0
            && server.reached.is_none_or(|phase| phase < Phase::Application)
            && !server.ended
    }

    /// More secrets have become known.
    pub fn retry(&mut self, secrets: &Secrets, deliver: Deliver<'_>) {
        self.release(secrets, deliver);
        if self.has_ended() && self.held.is_empty() {
            self.conclude(deliver);
        }
    }

    /// Waits no longer: what lacks a hello or a secret stays closed.
    pub fn give_up(&mut self, secrets: &Secrets, deliver: Deliver<'_>) {
        self.given_up = true;
        self.retry(secrets, deliver);
    }
}
