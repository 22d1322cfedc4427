//! What one end of a simulated TCP connection puts between its peer and the network: nothing, or TLS. In: bytes
//! from either side. Out: bytes for the other. Refuses to know time, and what the bytes mean.

use std::collections::VecDeque;

use super::tls::Session;

/// One end of a connection.
#[derive(Debug, Default)]
pub struct End {
    tls: Option<Session>,
    /// What is to go out, without TLS.
    plain: Vec<u8>,
    /// Pieces on their way here: bytes on the wire (after decryption), and what the peer is to see instead.
    expected: VecDeque<(usize, Vec<u8>)>,
    /// Bytes of the first piece that have come.
    received: usize,
    told: bool,
}

impl End {
    /// An end without TLS, or with.
    pub fn new(tls: Option<Session>) -> Self {
        Self { tls, ..Self::default() }
    }

    /// True once: when the end has become ready to talk.
    pub fn came_up(&mut self) -> bool {
        let up = self.tls.as_ref().is_none_or(Session::is_up);
        up && !std::mem::replace(&mut self.told, true)
    }

    /// Takes what is to be sent.
    pub fn send(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            Some(session) => session.send(bytes).expect("writing to memory does not fail"),
            None => self.plain.extend(bytes),
        }
    }

    /// What is to be put on the wire now.
    pub fn outgoing(&mut self) -> Vec<u8> {
        match &mut self.tls {
            Some(session) => session.records().expect("writing to memory does not fail"),
            None => std::mem::take(&mut self.plain),
        }
    }

    /// Takes what came over the wire and gives what was in it.
    pub fn receive(&mut self, wire: &[u8]) -> Vec<u8> {
        match &mut self.tls {
            Some(session) => session.receive(wire).expect("both ends of a simulated line are rustls with one PKI"),
            None => wire.to_vec(),
        }
    }

    /// Says good-bye, where there is a word for it.
    pub fn close(&mut self) {
        if let Some(session) = &mut self.tls {
            session.close();
        }
    }

    /// A piece of `length` bytes is on its way here, in whose place the peer is to see `meant`.
    pub fn expect(&mut self, length: usize, meant: Vec<u8>) {
        self.expected.push_back((length, meant));
    }

    /// So many bytes have come: what the peer is to see now.
    pub fn complete(&mut self, length: usize) -> Vec<u8> {
        self.received += length;
        let mut seen = Vec::new();
        while self.expected.front().is_some_and(|(length, _)| *length <= self.received) {
            let (length, meant) = self.expected.pop_front().unwrap_or_default(); // there is a front
            self.received -= length;
            seen.extend(meant);
        }
        seen
    }
}
