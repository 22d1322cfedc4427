//! Opening protected records. The ciphers are a library's; here stands what TLS puts around them.

use std::ops::Range;

use aes::{Aes128, Aes256};
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use ccm::Ccm;
use ccm::aead::{AeadInOut, KeyInit};
use ccm::consts::{U8, U12, U16};

use super::record::{Kind, Record};
use super::suite::{Cipher, Mac};

/// Opens the records of one direction.
#[derive(Debug)]
pub(super) struct Opener {
    version: Version,
    key: Key,
}

/// How nonce, additional data and content type are told.
#[derive(Debug)]
enum Version {
    /// RFC 5246 6.2.3.3: part of the nonce from the key block.
    Tls12 { fixed_iv: Vec<u8>, encrypt_then_mac: bool },
    /// RFC 8446 5.3.
    Tls13 { iv: [u8; 12] },
}

enum Key {
    Aead(Box<LessSafeKey>),
    Ccm(Box<dyn CcmKey>, usize),
    Cbc(Box<DecryptingKey>, hmac::Key, Mac),
    /// Without a key it can be read, but not verified.
    Null(Option<hmac::Key>, Mac),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The four ciphers that CCM comes in.
trait CcmKey: Send + Sync {
    /// Decrypts `body`, tag and all, in place; how many bytes of plaintext that leaves.
    fn open(&self, nonce: &[u8; 12], aad: &[u8], body: &mut [u8]) -> Option<usize>;
}

macro_rules! ccm_key {
    ($($cipher:ty, $tag:ty);*) => {$(
        impl CcmKey for Ccm<$cipher, $tag, U12> {
            fn open(&self, nonce: &[u8; 12], aad: &[u8], body: &mut [u8]) -> Option<usize> {
                let split = body.len().checked_sub(<$tag as ccm::aead::array::typenum::Unsigned>::USIZE)?;
                let (text, tag) = body.split_at_mut(split);
                let tag = ccm::aead::array::Array::try_from(&*tag).ok()?;
                self.decrypt_inout_detached(nonce.into(), aad, text.into(), &tag).ok()?;
                Some(split)
            }
        }
    )*};
}
ccm_key!(Aes128, U16; Aes128, U8; Aes256, U16; Aes256, U8);

fn ccm_key(key: &[u8], tag: usize) -> Option<Box<dyn CcmKey>> {
    Some(match (key.len(), tag) {
        (16, 16) => Box::new(Ccm::<Aes128, U16, U12>::new_from_slice(key).ok()?),
        (16, 8) => Box::new(Ccm::<Aes128, U8, U12>::new_from_slice(key).ok()?),
        (32, 16) => Box::new(Ccm::<Aes256, U16, U12>::new_from_slice(key).ok()?),
        (32, 8) => Box::new(Ccm::<Aes256, U8, U12>::new_from_slice(key).ok()?),
        _ => return None,
    })
}

impl Key {
    fn aead(cipher: Cipher, key: &[u8]) -> Option<Self> {
        let algorithm = match cipher {
            Cipher::AesGcm(16) => &AES_128_GCM,
            Cipher::AesGcm(_) => &AES_256_GCM,
            Cipher::ChaCha20Poly1305 => &CHACHA20_POLY1305,
            Cipher::AesCcm(_, tag) => return ccm_key(key, tag).map(|key| Self::Ccm(key, tag)),
            Cipher::AesCbc(..) | Cipher::Null(_) => return None,
        };
        Some(Self::Aead(Box::new(LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?))))
    }

    fn tag_length(&self) -> usize {
        if let Self::Ccm(_, tag) = self { *tag } else { 16 }
    }

    /// Decrypts `body`, tag and all, in place; what is left.
    fn open_aead<'a>(&self, nonce: [u8; 12], aad: &[u8], body: &'a mut [u8]) -> Option<&'a mut [u8]> {
        match self {
            Self::Aead(key) => key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), body).ok(),
            Self::Ccm(key, _) => {
                let length = key.open(&nonce, aad, body)?;
                Some(&mut body[..length])
            }
            Self::Cbc(..) | Self::Null(..) => None,
        }
    }
}

impl Opener {
    pub fn tls13(cipher: Cipher, key: &[u8], iv: &[u8]) -> Option<Self> {
        Some(Self { version: Version::Tls13 { iv: iv.try_into().ok()? }, key: Key::aead(cipher, key)? })
    }

    pub fn tls12(cipher: Cipher, mac_key: &[u8], key: &[u8], iv: &[u8], encrypt_then_mac: bool) -> Option<Self> {
        let key = match cipher {
            Cipher::AesCbc(_, mac) => {
                let algorithm = if key.len() == 16 { &AES_128 } else { &AES_256 };
                let key = DecryptingKey::cbc(UnboundCipherKey::new(algorithm, key).ok()?).ok()?;
                Key::Cbc(Box::new(key), hmac::Key::new(mac.algorithm(), mac_key), mac)
            }
            Cipher::Null(mac) => Key::Null(Some(hmac::Key::new(mac.algorithm(), mac_key)), mac),
            _ => Key::aead(cipher, key)?,
        };
        Some(Self { version: Version::Tls12 { fixed_iv: iv.to_vec(), encrypt_then_mac }, key })
    }

    /// Opens nothing but reads what a suite without encryption leaves readable.
    pub fn unkeyed(cipher: Cipher) -> Option<Self> {
        let Cipher::Null(mac) = cipher else { return None };
        let version = Version::Tls12 { fixed_iv: Vec::new(), encrypt_then_mac: false };
        Some(Self { version, key: Key::Null(None, mac) })
    }

    /// The part of the nonce that a record carries itself (RFC 5288 3, RFC 6655 3).
    pub fn carried_nonce(&self, record: &Record<'_>) -> Option<u64> {
        match &self.version {
            Version::Tls12 { fixed_iv, .. } if fixed_iv.len() == 4 => {
                Some(u64::from_be_bytes(*record.body.first_chunk()?))
            }
            _ => None,
        }
    }

    /// Decrypts a record as number `sequence` of its key, in `scratch`. The content type and where the content lies, or
    /// `None` if it does not prove to be that record.
    pub fn open(&self, sequence: u64, record: &Record<'_>, scratch: &mut Vec<u8>) -> Option<(Kind, Range<usize>)> {
        scratch.clear();
        scratch.extend_from_slice(record.body);
        let start = scratch.as_ptr() as usize;
        let (kind, content) = self.open_in_place(sequence, record, scratch)?;
        let from = content.as_ptr() as usize - start;
        Some((kind, from..from + content.len()))
    }

    fn open_in_place<'a>(&self, sequence: u64, record: &Record<'_>, scratch: &'a mut [u8]) -> Option<(Kind, &'a [u8])> {
        match &self.version {
            Version::Tls13 { iv } => self.open_tls13(iv, sequence, record, scratch),
            Version::Tls12 { fixed_iv, encrypt_then_mac } => {
                let content = match &self.key {
                    Key::Cbc(key, mac_key, mac) => {
                        let cbc = Cbc { key, mac_key, mac: *mac, sequence, record };
                        if *encrypt_then_mac { cbc.open_encrypt_then_mac(scratch) } else { cbc.open(scratch) }
                    }
                    Key::Null(mac_key, mac) => {
                        let split = scratch.len().checked_sub(mac.length())?;
                        let (content, tag) = scratch.split_at(split);
                        mac_key.as_ref().map_or(Some(()), |key| verify(key, sequence, record, content, tag))?;
                        Some(content)
                    }
                    key => open_tls12(key, fixed_iv, sequence, record, scratch),
                }?;
                Some((record.kind, content))
            }
        }
    }

    fn open_tls13<'a>(
        &self,
        iv: &[u8; 12],
        sequence: u64,
        record: &Record<'_>,
        scratch: &'a mut [u8],
    ) -> Option<(Kind, &'a [u8])> {
        let nonce = nonce_with(iv, sequence);
        let plain = self.key.open_aead(nonce, &record.header(), scratch)?;
        // Zeros after the content type are padding (RFC 8446 5.4).
        let end = plain.iter().rposition(|&byte| byte != 0)?;
        Some((Kind(plain[end]), &plain[..end]))
    }
}

/// The IV with the sequence number in its last bytes (RFC 8446 5.3, RFC 7905 2).
fn nonce_with(iv: &[u8; 12], sequence: u64) -> [u8; 12] {
    let mut nonce = *iv;
    nonce[4..].iter_mut().zip(sequence.to_be_bytes()).for_each(|(byte, other)| *byte ^= other);
    nonce
}

/// An AEAD record of TLS 1.2: GCM and CCM carry a part of their nonce (RFC 5288 3, RFC 6655 3), ChaCha20 does not.
fn open_tls12<'a>(
    key: &Key,
    fixed_iv: &[u8],
    sequence: u64,
    record: &Record<'_>,
    scratch: &'a mut [u8],
) -> Option<&'a [u8]> {
    let (nonce, start) = match <[u8; 12]>::try_from(fixed_iv) {
        Ok(iv) => (nonce_with(&iv, sequence), 0),
        Err(_) => ([fixed_iv, scratch.get(..8)?].concat().try_into().ok()?, 8),
    };
    let body = &mut scratch[start..];
    let length = body.len().checked_sub(key.tag_length())?;
    key.open_aead(nonce, &associated(sequence, record, length), body).map(|plain| &*plain)
}

/// What the protection of a record of TLS 1.2 covers besides its content (RFC 5246 6.2.3.3, 6.2.3.1).
fn associated(sequence: u64, record: &Record<'_>, length: usize) -> [u8; 13] {
    let mut data = [0; 13];
    data[..8].copy_from_slice(&sequence.to_be_bytes());
    data[8] = record.kind.0;
    data[9..11].copy_from_slice(&record.version.to_be_bytes());
    data[11..].copy_from_slice(&(length as u16).to_be_bytes());
    data
}

fn verify(key: &hmac::Key, sequence: u64, record: &Record<'_>, content: &[u8], tag: &[u8]) -> Option<()> {
    let mut context = hmac::Context::with_key(key);
    context.update(&associated(sequence, record, content.len()));
    context.update(content);
    (context.sign().as_ref() == tag).then_some(())
}

/// A record in CBC mode (RFC 5246 6.2.3.2).
struct Cbc<'a> {
    key: &'a DecryptingKey,
    mac_key: &'a hmac::Key,
    mac: Mac,
    sequence: u64,
    record: &'a Record<'a>,
}

const BLOCK: usize = 16;

impl Cbc<'_> {
    /// The MAC is inside.
    fn open<'b>(&self, body: &'b mut [u8]) -> Option<&'b [u8]> {
        let plain = self.decrypt(body)?;
        let (content, tag) = plain.split_at(plain.len().checked_sub(self.mac.length())?);
        verify(self.mac_key, self.sequence, self.record, content, tag)?;
        Some(content)
    }

    /// The MAC is outside and covers IV and ciphertext (RFC 7366 3).
    fn open_encrypt_then_mac<'b>(&self, body: &'b mut [u8]) -> Option<&'b [u8]> {
        let split = body.len().checked_sub(self.mac.length())?;
        let (body, tag) = body.split_at_mut(split);
        verify(self.mac_key, self.sequence, self.record, body, tag)?;
        self.decrypt(body)
    }

    /// Without its IV and its padding.
    fn decrypt<'b>(&self, body: &'b mut [u8]) -> Option<&'b [u8]> {
        let (iv, body) = body.split_first_chunk_mut::<BLOCK>()?;
        if body.is_empty() || !body.len().is_multiple_of(BLOCK) {
            return None;
        }
        let plain = self.key.decrypt(body, DecryptionContext::Iv128((&*iv).into())).ok()?;
        let padding = usize::from(*plain.last()?);
        let end = plain.len().checked_sub(padding + 1)?;
        plain[end..].iter().all(|&byte| usize::from(byte) == padding).then_some(&plain[..end])
    }
}
