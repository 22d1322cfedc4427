//! What a TLS server says before it knows its client. In: its records, in order. Out: a [`Flight`], as soon as the
//! server's certificate, and whether it asks for the client's, is known (RFC 8446 4, RFC 5246 7.4).

use std::sync::Arc;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{self, KeyType, Prk};
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, DistinguishedName, NamedGroup, ProtocolVersion};

use super::secrets::Secrets;

/// Record types (RFC 8446 5.1).
const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// Longest message that is waited for.
const MESSAGE: usize = 256 * 1024;
/// The random of a HelloRetryRequest (RFC 8446 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// What a server negotiated and showed.
#[derive(Clone, Debug, Default)]
pub struct Flight {
    /// Version, suite and group; the group of TLS 1.2 as far as it was said.
    pub version: Option<ProtocolVersion>,
    /// See `version`.
    pub suite: Option<CipherSuite>,
    /// See `version`.
    pub group: Option<NamedGroup>,
    /// The protocol chosen (RFC 7301).
    pub alpn: Option<Vec<u8>>,
    /// Its certificates, its own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Whether it asks for the client's certificate.
    pub asks: bool,
    /// The authorities it names when it asks.
    pub authorities: Vec<DistinguishedName>,
}

/// What to do with a record.
#[derive(Debug)]
pub enum Verdict {
    /// Give it.
    Pass,
    /// Keep it until the end.
    Hold,
    /// All there is to see was seen.
    Seen(Box<Flight>),
    /// Nothing that is understood: look no further.
    Odd,
}

/// See the module.
#[derive(Debug)]
pub struct Peek {
    secrets: Arc<Secrets>,
    flight: Flight,
    /// Of messages, as far as they came.
    messages: Vec<u8>,
    opener: Option<Opener>,
}

impl Peek {
    /// For a connection whose keys `secrets` get to know.
    pub fn new(secrets: Arc<Secrets>) -> Self {
        Self { secrets, flight: Flight::default(), messages: Vec::new(), opener: None }
    }

    /// Looks at the next record.
    pub fn record(&mut self, kind: u8, body: &[u8]) -> Verdict {
        match (kind, self.flight.version) {
            (HANDSHAKE, None | Some(ProtocolVersion::TLSv1_2)) => self.messages.extend_from_slice(body),
            (CHANGE_CIPHER_SPEC, None | Some(ProtocolVersion::TLSv1_3)) => return Verdict::Hold,
            (APPLICATION_DATA, Some(ProtocolVersion::TLSv1_3)) => match self.open(body) {
                Some(content) => self.messages.extend_from_slice(&content),
                None => return Verdict::Odd,
            },
            _ => return Verdict::Odd,
        }
        self.messages().unwrap_or(Verdict::Odd)
    }

    fn open(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        if self.opener.is_none() {
            self.opener = Some(Opener::new(self.flight.suite?, &self.secrets.server_handshake()?)?);
        }
        self.opener.as_mut()?.open(body)
    }

    /// The whole messages there are; none if one is not understood.
    fn messages(&mut self) -> Option<Verdict> {
        while let Some(&[kind, high, middle, low]) = self.messages.first_chunk() {
            let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            if length > MESSAGE {
                return None;
            }
            if self.messages.len() < 4 + length {
                break;
            }
            let message: Vec<u8> = self.messages.drain(..4 + length).skip(4).collect();
            if let Some(verdict) = self.message(kind, &mut Reader(&message))? {
                return Some(verdict);
            }
        }
        Some(Verdict::Hold)
    }

    /// A message; and, if it decides that, what to do with its record.
    fn message(&mut self, kind: u8, body: &mut Reader<'_>) -> Option<Option<Verdict>> {
        let flight = &mut self.flight;
        let new = flight.version == Some(ProtocolVersion::TLSv1_3);
        match (kind, new) {
            (2, false) => {
                flight.server_hello(body)?;
                let passes = flight.version != Some(ProtocolVersion::TLSv1_2);
                return Some(passes.then_some(Verdict::Pass));
            }
            (8, true) => flight.extensions(body)?,     // EncryptedExtensions
            (11, _) => flight.certificate(body, new)?, // Certificate
            (12, false) => flight.group = key_exchange_group(body), // ServerKeyExchange
            (13, _) => flight.request(body, new)?,     // CertificateRequest
            (22, false) => {}                          // CertificateStatus
            (14, false) if flight.chain.is_empty() => return None, // an anonymous server
            (14, false) => {}                          // ServerHelloDone
            _ => return None,
        }
        let last = if new { 11 } else { 14 };
        Some((kind == last).then(|| Verdict::Seen(Box::new(std::mem::take(flight)))))
    }
}

impl Flight {
    fn server_hello(&mut self, body: &mut Reader<'_>) -> Option<()> {
        body.take(2)?;
        let retry = body.take(32)? == RETRY;
        body.vector(1)?;
        self.suite = Some(CipherSuite::from(body.number(2)? as u16));
        body.take(1)?;
        self.version = Some(ProtocolVersion::TLSv1_2);
        if !body.0.is_empty() {
            self.extensions(body)?;
        }
        if retry {
            self.version = None; // another one follows
        }
        Some(())
    }

    fn extensions(&mut self, body: &mut Reader<'_>) -> Option<()> {
        let mut extensions = body.vector(2)?;
        while !extensions.0.is_empty() {
            let (kind, mut content) = (extensions.number(2)?, extensions.vector(2)?);
            match kind {
                16 => self.alpn = Some(content.vector(2)?.vector(1)?.0.to_vec()), // RFC 7301 3.1
                43 => self.version = Some(ProtocolVersion::from(content.number(2)? as u16)), // RFC 8446 4.2.1
                51 => self.group = Some(NamedGroup::from(content.number(2)? as u16)), // RFC 8446 4.2.8
                _ => {}
            }
        }
        Some(())
    }

    /// RFC 8446 4.4.2, RFC 5246 7.4.2
    fn certificate(&mut self, body: &mut Reader<'_>, new: bool) -> Option<()> {
        if new {
            body.vector(1)?;
        }
        let mut list = body.vector(3)?;
        while !list.0.is_empty() {
            self.chain.push(CertificateDer::from(list.vector(3)?.0.to_vec()));
            if new {
                list.vector(2)?;
            }
        }
        (!self.chain.is_empty()).then_some(())
    }

    /// RFC 8446 4.3.2 and 4.2.4, RFC 5246 7.4.4
    fn request(&mut self, body: &mut Reader<'_>, new: bool) -> Option<()> {
        self.asks = true;
        body.vector(1)?;
        let mut rest = body.vector(2)?;
        if !new {
            return self.authorities(body);
        }
        while !rest.0.is_empty() {
            let (kind, mut content) = (rest.number(2)?, rest.vector(2)?);
            if kind == 47 {
                self.authorities(&mut content)?;
            }
        }
        Some(())
    }

    fn authorities(&mut self, body: &mut Reader<'_>) -> Option<()> {
        let mut list = body.vector(2)?;
        while !list.0.is_empty() {
            self.authorities.push(DistinguishedName::from(list.vector(2)?.0.to_vec()));
        }
        Some(())
    }
}

/// The named group of an ECDHE key exchange (RFC 8422 5.4).
fn key_exchange_group(body: &mut Reader<'_>) -> Option<NamedGroup> {
    (body.number(1)? == 3).then_some(())?;
    Some(NamedGroup::from(body.number(2)? as u16))
}

/// Takes from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of at most three bytes.
    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |number, &byte| number << 8 | usize::from(byte)))
    }

    /// What a length of so many bytes stands before.
    fn vector(&mut self, bytes: usize) -> Option<Reader<'a>> {
        let length = self.number(bytes)?;
        self.take(length).map(Reader)
    }
}

/// Opens records of one direction (RFC 8446 5.2). The analysis has one that does more, and stands behind the capture
/// that this belongs to.
#[derive(Debug)]
struct Opener {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Opener {
    fn new(suite: CipherSuite, secret: &[u8]) -> Option<Self> {
        let (algorithm, hash): (&'static Algorithm, _) = match suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256 => (&AES_128_GCM, hkdf::HKDF_SHA256),
            CipherSuite::TLS13_AES_256_GCM_SHA384 => (&AES_256_GCM, hkdf::HKDF_SHA384),
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => (&CHACHA20_POLY1305, hkdf::HKDF_SHA256),
            _ => return None,
        };
        let mut key = vec![0; algorithm.key_len()];
        let mut iv = [0; 12];
        expand_label(hash, secret, b"key", &mut key)?;
        expand_label(hash, secret, b"iv", &mut iv)?;
        Some(Self { key: LessSafeKey::new(UnboundKey::new(algorithm, &key).ok()?), iv, sequence: 0 })
    }

    /// The hand-shake messages in a record; none if there is something else in it.
    fn open(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = self.iv;
        nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()).for_each(|(byte, counted)| *byte ^= counted);
        self.sequence += 1;
        let [high, low] = (body.len() as u16).to_be_bytes();
        let header = [APPLICATION_DATA, 3, 3, high, low];
        let mut content = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let length = self.key.open_in_place(nonce, Aad::from(header), &mut content).ok()?.len();
        content.truncate(length);
        content.truncate(content.iter().rposition(|&byte| byte != 0)? + 1); // padding
        (content.pop() == Some(HANDSHAKE)).then_some(content)
    }
}

/// HKDF-Expand-Label with an empty context (RFC 8446 7.1).
fn expand_label(hash: hkdf::Algorithm, secret: &[u8], label: &[u8], out: &mut [u8]) -> Option<()> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let info = [&(out.len() as u16).to_be_bytes()[..], &[6 + label.len() as u8], b"tls13 ", label, &[0]];
    Prk::new_less_safe(hash, secret).expand(&info, Length(out.len())).ok()?.fill(out).ok()
}
