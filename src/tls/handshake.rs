//! Handshake messages (RFC 8446 4, RFC 5246 7.4): what of them matters for decryption and for people.

use std::io::Read;

/// The random of a ServerHello that asks for another ClientHello (RFC 8446 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Certificates kept of a chain; real ones have three or four.
const MAX_CHAIN: usize = 16;

/// Bytes of a certificate message once decompressed (RFC 8879 4 leaves the limit to us).
const MAX_CERTIFICATES: u64 = 1 << 18;

/// Types of messages (RFC 8446 B.3).
pub(super) mod kind {
    pub const HELLO_REQUEST: u8 = 0;
    pub const CLIENT_HELLO: u8 = 1;
    pub const SERVER_HELLO: u8 = 2;
    pub const NEW_SESSION_TICKET: u8 = 4;
    pub const END_OF_EARLY_DATA: u8 = 5;
    pub const ENCRYPTED_EXTENSIONS: u8 = 8;
    pub const CERTIFICATE: u8 = 11;
    pub const CLIENT_KEY_EXCHANGE: u8 = 16;
    pub const FINISHED: u8 = 20;
    pub const KEY_UPDATE: u8 = 24;
    pub const COMPRESSED_CERTIFICATE: u8 = 25;
}

mod extension {
    pub const SERVER_NAME: u16 = 0;
    pub const ALPN: u16 = 16;
    pub const ENCRYPT_THEN_MAC: u16 = 22;
    pub const EXTENDED_MASTER_SECRET: u16 = 23;
    pub const SESSION_TICKET: u16 = 35;
    pub const PRE_SHARED_KEY: u16 = 41;
    pub const EARLY_DATA: u16 = 42;
    pub const SUPPORTED_VERSIONS: u16 = 43;
    pub const KEY_SHARE: u16 = 51;
}

/// What a ClientHello says.
#[derive(Clone, Debug, Default)]
pub(super) struct ClientHello {
    pub random: [u8; 32],
    pub session: Vec<u8>,
    /// A ticket offered to resume its session (RFC 5077 3.2); empty where there is none.
    pub ticket: Vec<u8>,
    pub sni: Option<String>,
    pub early_data: bool,
}

/// What a ServerHello says.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerHello {
    pub random: [u8; 32],
    pub version: u16,
    pub session: Vec<u8>,
    pub suite: u16,
    pub compression: u8,
    pub encrypt_then_mac: bool,
    pub extended_master_secret: bool,
    pub pre_shared_key: bool,
    pub group: Option<u16>,
    pub alpn: Option<String>,
}

impl ServerHello {
    /// Whether it is a HelloRetryRequest.
    pub fn is_retry(&self) -> bool {
        self.random == RETRY
    }
}

/// Bytes that are read from the front.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of `bytes` bytes, at most four.
    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |number, &byte| number << 8 | usize::from(byte)))
    }

    /// Bytes behind their length, a number of `bytes` bytes.
    fn vector(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let length = self.number(bytes)?;
        self.take(length)
    }
}

/// The first handshake message of `bytes`: type, body and whole length; `None` if it is not whole.
pub(super) fn first_message(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let mut cursor = Cursor(bytes);
    let kind = cursor.number(1)? as u8;
    let body = cursor.vector(3)?;
    Some((kind, body, 4 + body.len()))
}

fn each_extension<'a>(cursor: &mut Cursor<'a>, mut act: impl FnMut(u16, &'a [u8])) {
    let Some(extensions) = cursor.vector(2) else { return };
    let mut extensions = Cursor(extensions);
    while let (Some(kind), Some(body)) = (extensions.number(2), extensions.vector(2)) {
        act(kind as u16, body);
    }
}

/// Reads a ClientHello (RFC 8446 4.1.2).
pub(super) fn client_hello(body: &[u8]) -> Option<ClientHello> {
    let mut cursor = Cursor(body);
    cursor.number(2)?;
    let random = *cursor.take(32)?.first_chunk()?;
    let session = cursor.vector(1)?.to_vec();
    cursor.vector(2)?;
    cursor.vector(1)?;
    let mut hello = ClientHello { random, session, ..ClientHello::default() };
    each_extension(&mut cursor, |kind, body| match kind {
        extension::SERVER_NAME => hello.sni = server_name(body),
        extension::SESSION_TICKET => hello.ticket = body.to_vec(),
        extension::EARLY_DATA => hello.early_data = true,
        _ => {}
    });
    Some(hello)
}

/// The host name of a server_name extension (RFC 6066 3).
fn server_name(body: &[u8]) -> Option<String> {
    let mut list = Cursor(Cursor(body).vector(2)?);
    list.number(1)?;
    Some(String::from_utf8_lossy(list.vector(2)?).into_owned())
}

/// Reads a ServerHello (RFC 8446 4.1.3).
pub(super) fn server_hello(body: &[u8]) -> Option<ServerHello> {
    let mut cursor = Cursor(body);
    let version = cursor.number(2)? as u16;
    let random = *cursor.take(32)?.first_chunk()?;
    let session = cursor.vector(1)?.to_vec();
    let suite = cursor.number(2)? as u16;
    let compression = cursor.number(1)? as u8;
    let mut hello = ServerHello { random, version, session, suite, compression, ..ServerHello::default() };
    each_extension(&mut cursor, |kind, body| match kind {
        extension::SUPPORTED_VERSIONS => hello.version = Cursor(body).number(2).map_or(version, |it| it as u16),
        extension::ENCRYPT_THEN_MAC => hello.encrypt_then_mac = true,
        extension::EXTENDED_MASTER_SECRET => hello.extended_master_secret = true,
        extension::PRE_SHARED_KEY => hello.pre_shared_key = true,
        extension::KEY_SHARE => hello.group = Cursor(body).number(2).map(|group| group as u16),
        extension::ALPN => hello.alpn = chosen_protocol(body),
        _ => {}
    });
    Some(hello)
}

/// The one protocol that a server chose (RFC 7301 3.1).
fn chosen_protocol(body: &[u8]) -> Option<String> {
    let protocol = Cursor(Cursor(body).vector(2)?).vector(1)?;
    Some(String::from_utf8_lossy(protocol).into_owned())
}

/// What EncryptedExtensions say (RFC 8446 4.3.1).
#[derive(Clone, Debug, Default)]
pub(super) struct EncryptedExtensions {
    pub alpn: Option<String>,
    pub early_data: bool,
}

/// Reads EncryptedExtensions.
pub(super) fn encrypted_extensions(body: &[u8]) -> EncryptedExtensions {
    let mut extensions = EncryptedExtensions::default();
    each_extension(&mut Cursor(body), |kind, body| match kind {
        extension::ALPN => extensions.alpn = chosen_protocol(body),
        extension::EARLY_DATA => extensions.early_data = true,
        _ => {}
    });
    extensions
}

/// The certificates of a Certificate message, leaf first, as DER (RFC 8446 4.4.2, RFC 5246 7.4.2).
pub(super) fn certificates(body: &[u8], is_tls13: bool) -> Option<Vec<&[u8]>> {
    let mut cursor = Cursor(body);
    if is_tls13 {
        cursor.vector(1)?;
    }
    let mut list = Cursor(cursor.vector(3)?);
    let mut chain = Vec::new();
    while !list.0.is_empty() && chain.len() < MAX_CHAIN {
        chain.push(list.vector(3)?);
        if is_tls13 {
            list.vector(2)?;
        }
    }
    Some(chain)
}

/// The Certificate message inside a CompressedCertificate, if it is compressed by zlib (RFC 8879 3).
pub(super) fn decompressed(body: &[u8]) -> Option<Vec<u8>> {
    const ZLIB: usize = 1;
    let mut cursor = Cursor(body);
    let (algorithm, _length) = (cursor.number(2)?, cursor.number(3)?);
    let compressed = cursor.vector(3)?;
    if algorithm != ZLIB {
        return None;
    }
    let mut plain = Vec::new();
    flate2::read::ZlibDecoder::new(compressed).take(MAX_CERTIFICATES).read_to_end(&mut plain).ok()?;
    Some(plain)
}

/// The ticket of a NewSessionTicket of TLS 1.2 (RFC 5077 3.3).
pub(super) fn session_ticket(body: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor(body);
    cursor.number(4)?;
    cursor.vector(2).filter(|ticket| !ticket.is_empty())
}

/// The encrypted premaster secret of a ClientKeyExchange for RSA (RFC 5246 7.4.7.1).
pub(super) fn encrypted_premaster(body: &[u8]) -> Option<&[u8]> {
    Cursor(body).vector(2)
}
