//! Certificates that mirror others. In: a certificate. Out: one of our authority's with the same subject, names,
//! usages, validity and kind of key, and whatever else it says about its subject. What it says about its issuer is
//! ours (RFC 5280 4).

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use ::aws_lc_rs::digest::{SHA256, digest};
use rcgen::{KeyPair, PublicKeyData, RsaKeySize, SigningKey};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::authority::Authority;
use super::der::{self, BIT_STRING, BOOLEAN, CONTEXT_0, CONTEXT_3, INTEGER, OCTET_STRING, SEQUENCE};

/// Leaves that are kept.
const CACHED: usize = 4096;

/// Extensions (RFC 5280 4.2), by the content of their identifiers.
const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 14];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 35];
/// What an issuer says of itself, or of where to ask it: of its other names, name constraints, revocation lists,
/// freshest list, OCSP, Certificate Transparency (RFC 6962 3.3), and that it staples (RFC 7633 4).
const ISSUERS: [&[u8]; 8] = [
    &[0x55, 0x1d, 18],
    &[0x55, 0x1d, 30],
    &[0x55, 0x1d, 31],
    &[0x55, 0x1d, 46],
    &[0x2b, 6, 1, 5, 5, 7, 1, 1],
    &[0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 4, 2],
    &[0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 4, 3],
    &[0x2b, 6, 1, 5, 5, 7, 1, 24],
];

/// Key algorithms, as they stand in a certificate (RFC 3279 2.3.1, RFC 5480 2.1.1, RFC 8410 3).
const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1];
const RSA_PSS: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 10];
const EC_P256: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const EC_P384: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 34];
const EC_P521: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 35];
const ED25519: &[u8] = &[6, 3, 0x2b, 0x65, 0x70];

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// With the size of its modulus in bits: 2048, 3072 or 4096.
    Rsa(u16),
    /// ECDSA or Ed25519.
    P256,
    /// See `P256`.
    P384,
    /// See `P256`.
    P521,
    /// See `P256`.
    Ed25519,
}

impl Kind {
    /// The kind of a subject public key info; and whether it is the very kind, or the next best.
    fn of(info: &[u8]) -> Option<(Self, bool)> {
        let mut content = der::take_tagged(&mut &info[..], SEQUENCE)?.content;
        let algorithm = der::take_tagged(&mut content, SEQUENCE)?.content;
        if algorithm.starts_with(RSA) || algorithm.starts_with(RSA_PSS) {
            let key = der::take_tagged(&mut content, BIT_STRING)?.content.get(1..)?;
            let mut key = der::take_tagged(&mut &key[..], SEQUENCE)?.content;
            let modulus = der::take_tagged(&mut key, INTEGER)?.content;
            let bits = modulus.iter().skip_while(|&&octet| octet == 0).count() * 8;
            let made = [2048, 3072, 4096].into_iter().find(|&made| usize::from(made) >= bits).unwrap_or(4096);
            return Some((Self::Rsa(made), usize::from(made) == bits && algorithm.starts_with(RSA)));
        }
        Some(match algorithm {
            EC_P256 => (Self::P256, true),
            EC_P384 => (Self::P384, true),
            EC_P521 => (Self::P521, true),
            ED25519 => (Self::Ed25519, true),
            _ => (Self::P256, false),
        })
    }

    fn generate(self) -> Result<KeyPair, rcgen::Error> {
        match self {
            Self::Rsa(2048) => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
            Self::Rsa(3072) => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_3072),
            Self::Rsa(_) => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_4096),
            Self::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Self::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Self::P521 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512),
            Self::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519),
        }
    }
}

/// A minted certificate with its key.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// For rustls; the authority's certificate follows in the chain.
    pub certified: Arc<CertifiedKey>,
    /// The key is of another kind than the mirrored one's.
    pub other_key: bool,
}

/// Mints, and keeps what it minted.
#[derive(Debug)]
pub struct Mint {
    authority: Authority,
    keys: Mutex<HashMap<Kind, Arc<KeyPair>>>,
    leaves: Mutex<HashMap<Vec<u8>, Leaf>>,
}

impl Mint {
    /// Mints in the name of `authority`.
    pub fn new(authority: Authority) -> Self {
        Self { authority, keys: Mutex::default(), leaves: Mutex::default() }
    }

    /// The mirror of `original`. The first of a kind of RSA key takes a while.
    ///
    /// # Errors
    /// It is no certificate, or no key can be made.
    pub fn mirror(&self, original: &CertificateDer<'_>) -> io::Result<Leaf> {
        let known = || self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leaf) = known().get(original.as_ref()) {
            return Ok(leaf.clone());
        }
        let leaf = self.mint(original)?;
        let mut known = known();
        if known.len() >= CACHED {
            known.clear();
        }
        known.insert(original.to_vec(), leaf.clone());
        Ok(leaf)
    }

    fn mint(&self, original: &[u8]) -> io::Result<Leaf> {
        let odd = || io::Error::other("its certificate cannot be read, so it cannot be mirrored");
        let original = Original::read(original).ok_or_else(odd)?;
        let (kind, same) = Kind::of(original.key).ok_or_else(odd)?;
        let key = self.key(kind)?;
        let to_sign = original.mirrored(&self.authority, &key).ok_or_else(odd)?;
        let certificate = CertificateDer::from(self.authority.sign(to_sign)?);
        let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(io::Error::other)?;
        let private = aws_lc_rs::default_provider().key_provider.load_private_key(private).map_err(io::Error::other)?;
        let chain = vec![certificate, self.authority.certificate.clone()];
        Ok(Leaf { certified: Arc::new(CertifiedKey::new(chain, private)), other_key: !same })
    }

    /// One key of each kind is enough: what tells minted certificates apart is what they say.
    fn key(&self, kind: Kind) -> io::Result<Arc<KeyPair>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.get(&kind) {
            return Ok(key.clone());
        }
        let key = Arc::new(kind.generate().map_err(io::Error::other)?);
        keys.insert(kind, key.clone());
        Ok(key)
    }
}

/// The parts of a certificate (RFC 5280 4.1) that are mirrored, as they stand in it.
struct Original<'a> {
    whole: &'a [u8],
    validity: &'a [u8],
    subject: &'a [u8],
    key: &'a [u8],
    extensions: Vec<Extension<'a>>,
}

#[derive(Clone, Copy)]
struct Extension<'a> {
    whole: &'a [u8],
    id: &'a [u8],
    critical: bool,
    value: &'a [u8],
}

impl<'a> Original<'a> {
    fn read(whole: &'a [u8]) -> Option<Self> {
        let mut certificate = der::take_tagged(&mut &whole[..], SEQUENCE)?.content;
        let mut body = der::take_tagged(&mut certificate, SEQUENCE)?.content;
        if body.first() == Some(&CONTEXT_0) {
            der::take(&mut body)?; // version
        }
        der::take_tagged(&mut body, INTEGER)?; // serial number
        der::take_tagged(&mut body, SEQUENCE)?; // signature algorithm
        der::take_tagged(&mut body, SEQUENCE)?; // issuer
        let [validity, subject, key] = [(); 3].map(|()| der::take_tagged(&mut body, SEQUENCE));
        let mut extensions = Vec::new();
        while let Some(element) = der::take(&mut body) {
            if element.tag == CONTEXT_3 {
                let mut list = der::take_tagged(&mut { element.content }, SEQUENCE)?.content;
                while !list.is_empty() {
                    extensions.push(Extension::read(der::take_tagged(&mut list, SEQUENCE)?)?);
                }
            }
        }
        Some(Self { whole, validity: validity?.whole, subject: subject?.whole, key: key?.whole, extensions })
    }

    /// What is to be signed of its mirror.
    fn mirrored(&self, authority: &Authority, key: &KeyPair) -> Option<Vec<u8>> {
        let info = key.subject_public_key_info();
        // The same certificate with the same key has the same number, and no other has it (RFC 5280 4.1.2.2).
        let mut serial = digest(&SHA256, &[self.whole, &info].concat()).as_ref()[..16].to_vec();
        serial[0] = serial[0] & 0x7f | 0x40; // positive, and of the same length
        let extensions = der::element(SEQUENCE, &[&self.extensions(authority, &info).concat()]);
        Some(der::element(
            SEQUENCE,
            &[
                &der::element(CONTEXT_0, &[&der::element(INTEGER, &[&[2]])]), // version 3
                &der::element(INTEGER, &[&serial]),
                &authority.algorithm,
                &authority.subject,
                self.validity,
                self.subject,
                &info,
                &der::element(CONTEXT_3, &[&extensions]),
            ],
        ))
    }

    fn extensions(&self, authority: &Authority, info: &[u8]) -> Vec<Vec<u8>> {
        let is_ca = self.extensions.iter().any(|extension| extension.id == BASIC_CONSTRAINTS && extension.is_ca());
        let ours = |id: &[u8]| id == SUBJECT_KEY_IDENTIFIER || id == AUTHORITY_KEY_IDENTIFIER || ISSUERS.contains(&id);
        let kept = self.extensions.iter().filter(|extension| !ours(extension.id));
        let mut out: Vec<Vec<u8>> = kept
            .filter_map(|extension| match extension.id {
                // Our authority signs no authorities, and who is none signs no certificates (RFC 5280 4.2.1.3).
                BASIC_CONSTRAINTS if is_ca => Some(extension.with(&der::element(SEQUENCE, &[]))),
                KEY_USAGE if is_ca => Some(extension.with(&ends_entity(extension.value)?)),
                _ => Some(extension.whole.to_vec()),
            })
            .collect();
        let subject = der::element(OCTET_STRING, &[&key_identifier(info)]);
        let issuer = der::element(SEQUENCE, &[&der::element(0x80, &[&authority.key_identifier])]);
        for (id, value) in [(SUBJECT_KEY_IDENTIFIER, subject), (AUTHORITY_KEY_IDENTIFIER, issuer)] {
            out.push(Extension { whole: &[], id, critical: false, value: &[] }.with(&value));
        }
        out
    }
}

impl<'a> Extension<'a> {
    fn read(element: der::Element<'a>) -> Option<Self> {
        let mut content = element.content;
        let id = der::take_tagged(&mut content, 6)?.content;
        let mut next = der::take(&mut content)?;
        let critical = next.tag == BOOLEAN;
        if critical {
            next = der::take(&mut content)?;
        }
        (next.tag == OCTET_STRING).then_some(Self { whole: element.whole, id, critical, value: next.content })
    }

    fn is_ca(&self) -> bool {
        let content = der::take_tagged(&mut { self.value }, SEQUENCE).map(|element| element.content);
        content.is_some_and(|mut content| der::take_tagged(&mut content, BOOLEAN).is_some())
    }

    fn with(&self, value: &[u8]) -> Vec<u8> {
        let id = der::element(6, &[self.id]);
        let critical = if self.critical { der::element(BOOLEAN, &[&[0xff]]) } else { Vec::new() };
        der::element(SEQUENCE, &[&id, &critical, &der::element(OCTET_STRING, &[value])])
    }
}

/// A key usage without keyCertSign and cRLSign (bits 5 and 6); none if nothing is left.
fn ends_entity(value: &[u8]) -> Option<Vec<u8>> {
    let bits = der::take_tagged(&mut { value }, BIT_STRING)?.content;
    let first = bits.get(1)? & !0b110;
    let more = bits.get(2).is_some_and(|&more| more != 0);
    if first == 0 && !more {
        return None;
    }
    if more {
        return Some(der::element(BIT_STRING, &[&[bits[0], first], &bits[2..]]));
    }
    Some(der::element(BIT_STRING, &[&[first.trailing_zeros() as u8, first]]))
}

/// RFC 7093 2, method 1.
pub fn key_identifier(info: &[u8]) -> Vec<u8> {
    let bits = der::take_tagged(&mut { info }, SEQUENCE).and_then(|element| {
        let mut content = element.content;
        der::take(&mut content)?;
        Some(der::take_tagged(&mut content, BIT_STRING)?.content.get(1..)?.to_vec())
    });
    digest(&SHA256, &bits.unwrap_or_default()).as_ref()[..20].to_vec()
}

/// The algorithm with which `key` signs, as it stands in certificates, told by one that rcgen makes.
pub fn signature_algorithm(key: &impl SigningKey) -> io::Result<Vec<u8>> {
    let made = rcgen::CertificateParams::default().self_signed(key).map_err(io::Error::other)?;
    let algorithm = |der: &[u8]| {
        let mut content = der::take_tagged(&mut { der }, SEQUENCE)?.content;
        der::take(&mut content)?;
        Some(der::take_tagged(&mut content, SEQUENCE)?.whole.to_vec())
    };
    algorithm(made.der()).ok_or_else(|| io::Error::other("no algorithm in a certificate just made"))
}
