//! Alerts that rustls has no way to send: another side's reasons. In: a connection and a description. Out: the record
//! that says so (RFC 8446 6, RFC 5246 7.2).

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::{AlertDescription, Connection, ConnectionTrafficSecrets, ProtocolVersion};

/// Record types (RFC 8446 5.1).
const ALERT: u8 = 21;
/// See [`ALERT`].
const APPLICATION_DATA: u8 = 23;
/// The level that ends a connection (RFC 8446 6).
const FATAL: u8 = 2;
/// The version that records say (RFC 8446 5.1).
const VERSION: [u8; 2] = [3, 3];

/// The alert before anything is encrypted.
pub fn plain(alert: AlertDescription) -> [u8; 7] {
    [ALERT, VERSION[0], VERSION[1], 0, 2, FATAL, alert.into()]
}

/// The fatal alert at the end of what a peer said before anything was encrypted.
pub fn last_plain(said: &[u8]) -> Option<AlertDescription> {
    let (_, &[kind, major, _, 0, 2, FATAL, alert]) = said.split_last_chunk()? else { return None };
    (kind == ALERT && major == VERSION[0]).then(|| alert.into())
}

/// The alert as the next record of a connection whose hand-shake is done.
pub fn sealed(connection: Connection, alert: AlertDescription) -> Option<Vec<u8>> {
    let version = connection.protocol_version()?;
    let (sequence, secrets) = connection.dangerous_extract_secrets().ok()?.tx;
    let (algorithm, key, iv, explicit) = match &secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv, true),
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv, true),
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv, false),
        _ => return None,
    };
    let nonce = nonce(iv.as_ref(), sequence)?;
    let content = [FATAL, alert.into()];
    match version {
        ProtocolVersion::TLSv1_3 => seal_13(algorithm, key.as_ref(), nonce, &content),
        _ => seal_12(algorithm, key.as_ref(), nonce, &content, sequence, explicit),
    }
}

/// The per-record nonce (RFC 8446 5.3); that of TLS 1.2 may be any that was not used, and so is this.
fn nonce(iv: &[u8], sequence: u64) -> Option<[u8; 12]> {
    let mut nonce: [u8; 12] = iv.try_into().ok()?;
    nonce[4..].iter_mut().zip(sequence.to_be_bytes()).for_each(|(byte, counted)| *byte ^= counted);
    Some(nonce)
}

/// RFC 8446 5.2
fn seal_13(algorithm: &'static Algorithm, key: &[u8], nonce: [u8; 12], content: &[u8]) -> Option<Vec<u8>> {
    let length = content.len() + 1 + algorithm.tag_len();
    let header = [APPLICATION_DATA, VERSION[0], VERSION[1], 0, length as u8];
    let mut sealed = [content, &[ALERT]].concat();
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(header), &mut sealed).ok()?;
    Some([&header[..], &sealed].concat())
}

/// RFC 5288 3 with the explicit part of the nonce, RFC 7905 2 without.
fn seal_12(
    algorithm: &'static Algorithm,
    key: &[u8],
    nonce: [u8; 12],
    content: &[u8],
    sequence: u64,
    explicit: bool,
) -> Option<Vec<u8>> {
    let told = if explicit { &nonce[4..] } else { &[] };
    let about = [&sequence.to_be_bytes()[..], &[ALERT], &VERSION, &[0, content.len() as u8]].concat();
    let mut sealed = content.to_vec();
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(about), &mut sealed).ok()?;
    let header = [ALERT, VERSION[0], VERSION[1], 0, (told.len() + sealed.len()) as u8];
    Some([&header[..], told, &sealed].concat())
}
