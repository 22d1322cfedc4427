//! From secrets to keys: the key block of TLS 1.2 (RFC 5246 6.3) and the traffic keys of TLS 1.3 (RFC 8446 7.3).

use aws_lc_rs::hkdf::{KeyType, Prk};
use aws_lc_rs::tls_prf;

use super::opener::Opener;
use super::suite::{Hash, Suite};

/// A length for the library, which wants a type for it.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label with an empty context (RFC 8446 7.1).
fn expand_label(hash: Hash, secret: &[u8], label: &str, length: usize) -> Option<Vec<u8>> {
    let label_length = [6 + label.len() as u8];
    let info = [&(length as u16).to_be_bytes()[..], &label_length, b"tls13 ", label.as_bytes(), &[0]];
    let mut out = vec![0; length];
    Prk::new_less_safe(hash.hkdf(), secret).expand(&info, Length(length)).ok()?.fill(&mut out).ok()?;
    Some(out)
}

/// What opens records protected with a traffic secret of TLS 1.3.
pub(super) fn tls13(suite: Suite, secret: &[u8]) -> Option<Opener> {
    if secret.len() != suite.hash.length() {
        return None;
    }
    let key = expand_label(suite.hash, secret, "key", suite.cipher.key_length())?;
    let iv = expand_label(suite.hash, secret, "iv", 12)?;
    Opener::tls13(suite.cipher, &key, &iv)
}

/// The traffic secret after a KeyUpdate (RFC 8446 7.2).
pub(super) fn next_secret(hash: Hash, secret: &[u8]) -> Option<Vec<u8>> {
    expand_label(hash, secret, "traffic upd", hash.length())
}

/// PRF of TLS 1.2 (RFC 5246 5).
fn prf(hash: Hash, secret: &[u8], label: &str, seed: &[u8], length: usize) -> Option<Vec<u8>> {
    let secret = tls_prf::Secret::new(hash.prf(), secret).ok()?;
    Some(secret.derive(label.as_bytes(), seed, length).ok()?.as_ref().to_vec())
}

/// The master secret (RFC 5246 8.1); with `session_hash`, the extended one (RFC 7627 4).
pub(super) fn master(
    hash: Hash,
    premaster: &[u8],
    randoms: [&[u8; 32]; 2],
    session_hash: Option<&[u8]>,
) -> Option<Vec<u8>> {
    match session_hash {
        Some(session_hash) => prf(hash, premaster, "extended master secret", session_hash, 48),
        None => prf(hash, premaster, "master secret", &randoms.map(|random| random.as_slice()).concat(), 48),
    }
}

/// What opens the records of client and server; `randoms` are theirs.
pub(super) fn tls12(
    suite: Suite,
    master: &[u8],
    randoms: [&[u8; 32]; 2],
    encrypt_then_mac: bool,
) -> Option<[Opener; 2]> {
    let (mac, key, iv) = (suite.cipher.mac_length(), suite.cipher.key_length(), suite.cipher.fixed_iv_length());
    let seed = [randoms[1].as_slice(), randoms[0]].concat();
    let block = prf(suite.hash, master, "key expansion", &seed, 2 * (mac + key + iv))?;
    let (macs, rest) = block.split_at(2 * mac);
    let (keys, ivs) = rest.split_at(2 * key);
    let opener = |index: usize| {
        let part = |parts: &'_ [u8], length: usize| parts[index * length..(index + 1) * length].to_vec();
        Opener::tls12(suite.cipher, &part(macs, mac), &part(keys, key), &part(ivs, iv), encrypt_then_mac)
    };
    Some([opener(0)?, opener(1)?])
}
