//! From what the hellos said and the secrets known to the keys of a direction.

use super::{Session, TLS12, TLS13};
use crate::stream::Side;
use crate::tls::direction::{Epoch, Phase};
use crate::tls::facts::Reason;
use crate::tls::handshake::{ClientHello, ServerHello};
use crate::tls::keys;
use crate::tls::opener::Opener;
use crate::tls::secrets::{Label, Secrets, SessionSecret};
use crate::tls::suite::Suite;

impl Session {
    /// Makes the keys that open what `side` sends, if they are not there.
    pub(super) fn ensure_keys(&mut self, side: Side, secrets: &Secrets) -> Result<(), Reason> {
        let known = &self.directions[side as usize].epochs;
        if known.last().is_some_and(|epoch| epoch.phase == Phase::Application) {
            return Ok(());
        }
        let known = known.last().map(|epoch| epoch.phase);
        let server = self.hello.server.as_ref().ok_or_else(|| self.without_hello())?;
        let suite = Suite::of(server.suite).ok_or(Reason::UnsupportedSuite(server.suite))?;
        if server.compression != 0 {
            return Err(Reason::Compressed);
        }
        let client = self.hello.client.as_ref().ok_or(Reason::HelloMissing)?;
        let made = match server.version {
            TLS12 => self.tls12_keys(side, suite, client, server, secrets),
            TLS13 => self.tls13_keys(side, suite, client, known, secrets),
            other => return Err(Reason::UnsupportedVersion(other)),
        };
        if known.is_none() && made.is_empty() {
            return Err(Reason::NoSecret { random: client.random });
        }
        self.directions[side as usize].epochs.extend(made);
        self.learn(secrets);
        Ok(())
    }

    /// Notes by what names the session may be resumed whose master secret is known now (TLS 1.2).
    fn learn(&mut self, secrets: &Secrets) {
        let (Some(client), Some(server)) = (&self.hello.client, &self.hello.server) else { return };
        let suite = Suite::of(server.suite).filter(|_| server.version == TLS12);
        let Some(master) = suite.and_then(|suite| self.master(suite, client, server, secrets)) else { return };
        // One that is resumed by a ticket has an ID that its client made up.
        let id = Some(&server.session).filter(|id| !id.is_empty() && !self.resumes()).map(|id| id.as_slice().into());
        let names = id.into_iter().chain(self.hello.ticket.take());
        self.learned.extend(names.map(|name| SessionSecret { name, master: master.as_slice().into() }));
    }

    pub(super) fn tls12_keys(
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
    pub(super) fn master(
        &self,
        suite: Suite,
        client: &ClientHello,
        server: &ServerHello,
        secrets: &Secrets,
    ) -> Option<Vec<u8>> {
        if let Some(master) = secrets.get(Label::Master, &client.random) {
            return Some(master.to_vec());
        }
        let encrypted = || self.hello.encrypted_premaster.as_ref().and_then(|it| secrets.premaster_of(it));
        if let Some(premaster) = secrets.get(Label::Premaster, &client.random).or_else(encrypted) {
            let digest = || aws_lc_rs::digest::digest(suite.hash.digest(), &self.hello.transcript);
            let session_hash = server.extended_master_secret.then(digest);
            let session_hash = session_hash.as_ref().map(AsRef::as_ref);
            return keys::master(suite.hash, premaster, [&client.random, &server.random], session_hash);
        }
        let ticket = || secrets.master_of(&client.ticket).filter(|_| self.resumes());
        secrets.master_of(&server.session).or_else(ticket).map(<[u8]>::to_vec)
    }

    /// The keys of the phases after those `known`.
    pub(super) fn tls13_keys(
        &self,
        side: Side,
        suite: Suite,
        client: &ClientHello,
        known: Option<Phase>,
        secrets: &Secrets,
    ) -> Vec<Epoch> {
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
            Some(Epoch { phase, opener, secret: Some((suite, secret.to_vec())) })
        };
        labels.iter().filter(|(phase, _)| known.is_none_or(|known| *phase > known)).filter_map(epoch).collect()
    }
}
