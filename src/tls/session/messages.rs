//! What the handshake messages say of a connection.

use super::{Hello, MAX_MESSAGE, MAX_TRANSCRIPT, Session, TLS12, TLS13};
use crate::stream::Side;
use crate::tls::direction::Phase;
use crate::tls::facts::Certificate;
use crate::tls::handshake::{self, kind};
use crate::tls::secrets::Secrets;

impl Session {
    /// Takes part of the handshake messages of `side`.
    pub(super) fn messages(&mut self, side: Side, bytes: &[u8], protected: bool, secrets: &Secrets) {
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
    pub(super) fn remember(&mut self, message: &[u8], secrets: &Secrets) {
        let hello = &mut self.hello;
        if message[0] == kind::CLIENT_HELLO {
            hello.transcript.clear();
        }
        let may_derive = self.waits_for_secrets || secrets.has_premasters();
        let wanted = may_derive && !hello.keys_exchanged && message[0] != kind::HELLO_REQUEST;
        if wanted && hello.transcript.len() + message.len() <= MAX_TRANSCRIPT {
            hello.transcript.extend_from_slice(message);
        }
    }

    pub(super) fn message(&mut self, side: Side, kind: u8, body: &[u8], protected: bool) {
        match kind {
            kind::CLIENT_HELLO => self.client_hello(side, body),
            kind::SERVER_HELLO => self.server_hello(side, body),
            kind::CERTIFICATE => self.certificates(side, body),
            kind::COMPRESSED_CERTIFICATE => {
                if let Some(body) = handshake::decompressed(body) {
                    self.certificates(side, &body);
                }
            }
            kind::CLIENT_KEY_EXCHANGE => {
                self.hello.keys_exchanged = true;
                if self.suite().is_some_and(|suite| suite.is_rsa) {
                    self.hello.encrypted_premaster = handshake::encrypted_premaster(body).map(<[u8]>::to_vec);
                }
            }
            kind::NEW_SESSION_TICKET if self.version() == TLS12 => {
                self.hello.ticket = handshake::session_ticket(body).map(Into::into);
            }
            kind::ENCRYPTED_EXTENSIONS => {
                let extensions = handshake::encrypted_extensions(body);
                self.facts.alpn = extensions.alpn.or_else(|| self.facts.alpn.take());
                self.hello.early_accepted = Some(extensions.early_data);
                self.changed = true;
            }
            kind::FINISHED if protected => self.directions[side as usize].advance(Phase::Application),
            kind::END_OF_EARLY_DATA if protected => self.directions[side as usize].advance(Phase::Handshake),
            kind::KEY_UPDATE if protected => self.directions[side as usize].update(),
            _ => {}
        }
    }

    pub(super) fn client_hello(&mut self, side: Side, body: &[u8]) {
        let Some(hello) = handshake::client_hello(body) else { return };
        self.facts.client = Some(side);
        self.facts.random = Some(hello.random);
        self.facts.sni = hello.sni.clone().or_else(|| self.facts.sni.take());
        let before = std::mem::take(&mut self.hello);
        // Where the directions are out of order, the answer may be there before the question.
        let server = before.server.filter(|_| before.client.is_none());
        self.hello = Hello { client: Some(hello), server, transcript: before.transcript, ..Hello::default() };
        self.note_resumption();
        self.changed = true;
    }

    pub(super) fn server_hello(&mut self, side: Side, body: &[u8]) {
        let Some(hello) = handshake::server_hello(body) else { return };
        let facts = &mut self.facts;
        facts.client = Some(side.other());
        if hello.is_retry() {
            self.hello.retried = true;
            return;
        }
        facts.version = Some(hello.version);
        facts.suite = Some(hello.suite);
        facts.group = hello.group;
        facts.alpn = hello.alpn.clone().or_else(|| facts.alpn.take());
        self.hello.server = Some(hello);
        self.note_resumption();
        self.changed = true;
    }

    pub(super) fn note_resumption(&mut self) {
        if self.directions.iter().any(|direction| direction.protected) {
            // A renegotiation resumes what the connection itself began.
            return;
        }
        self.facts.resumed = match (&self.hello.client, &self.hello.server) {
            (_, Some(server)) if server.version == TLS13 => Some(server.pre_shared_key),
            // A server that resumes repeats the session ID, whether it found it or a ticket (RFC 5077 3.4).
            (Some(client), Some(server)) => Some(!server.session.is_empty() && server.session == client.session),
            _ => None,
        };
    }

    pub(super) fn certificates(&mut self, side: Side, body: &[u8]) {
        let Some(chain) = handshake::certificates(body, self.version() == TLS13) else { return };
        self.facts.certificates[side as usize] = chain.into_iter().filter_map(Certificate::read).collect();
        self.changed = true;
    }
}
