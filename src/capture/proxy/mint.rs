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

use x509_cert::Certificate;
use x509_cert::certificate::{CertificateInner, Raw, TbsCertificate, Version};
use x509_cert::der::asn1::{ObjectIdentifier, OctetString};
use x509_cert::der::oid::db::rfc5280::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS, ID_CE_CRL_DISTRIBUTION_POINTS, ID_CE_FRESHEST_CRL,
    ID_CE_ISSUER_ALT_NAME, ID_CE_KEY_USAGE, ID_CE_NAME_CONSTRAINTS, ID_CE_SUBJECT_KEY_IDENTIFIER,
    ID_PE_AUTHORITY_INFO_ACCESS,
};
use x509_cert::der::oid::db::rfc5912::{ID_RSASSA_PSS, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1, SECP_521_R_1};
use x509_cert::der::{self, Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, BasicConstraints, KeyUsage, KeyUsages, SubjectKeyIdentifier};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;

use super::authority::Authority;

/// Leaves that are kept.
const CACHED: usize = 4096;

/// What an issuer says of itself, or of where to ask it: of its other names, name constraints, revocation lists,
/// freshest list, OCSP, Certificate Transparency (RFC 6962 3.3), and that it staples (RFC 7633 4).
const ISSUERS: [(ObjectIdentifier, &str); 8] = [
    (ID_CE_ISSUER_ALT_NAME, "its other names"),
    (ID_CE_NAME_CONSTRAINTS, "name constraints"),
    (ID_CE_CRL_DISTRIBUTION_POINTS, "where its revocation lists are"),
    (ID_CE_FRESHEST_CRL, "where its freshest list is"),
    (ID_PE_AUTHORITY_INFO_ACCESS, "where to ask it (OCSP)"),
    (ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2"), "certificate transparency"),
    (ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.3"), "certificate transparency (poison)"),
    (ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.24"), "that its answers are stapled"),
];
/// Ed25519 (RFC 8410 3).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

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
    Ed25519,
}

impl Kind {
    /// The kind of a key; and whether it is the very kind, or the next best.
    fn of(info: &SubjectPublicKeyInfoOwned) -> Option<(Self, bool)> {
        let oid = info.algorithm.oid;
        if oid == RSA_ENCRYPTION || oid == ID_RSASSA_PSS {
            let key = info.subject_public_key.as_bytes()?;
            let (_, key) = RSAPublicKey::from_der(key).ok()?;
            let made = [2048, 3072, 4096].into_iter().find(|&made| usize::from(made) >= key.key_size()).unwrap_or(4096);
            return Some((Self::Rsa(made), usize::from(made) == key.key_size() && oid == RSA_ENCRYPTION));
        }
        let curve = info.algorithm.parameters.as_ref().and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
        Some(match curve {
            Some(SECP_256_R_1) => (Self::P256, true),
            Some(SECP_384_R_1) => (Self::P384, true),
            // In TLS 1.2, the peer minds a curve that our hello does not offer, and rustls exchanges no keys on this one.
            Some(SECP_521_R_1) => (Self::P384, false),
            None if oid == ED25519 => (Self::Ed25519, true),
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
    /// What the mirrored one says of its issuer, who is another now.
    pub left_out: Vec<&'static str>,
}

/// Mints, and keeps what it minted.
#[derive(Debug)]
pub struct Mint {
    /// What signs.
    pub authority: Authority,
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
        let odd =
            |error| io::Error::other(format!("its certificate cannot be read, so it cannot be mirrored: {error}"));
        let read = Original::from_der(original).map_err(odd)?;
        let no_key = || io::Error::other("the key in its certificate cannot be read, so it cannot be mirrored");
        let (kind, same) = Kind::of(&read.tbs_certificate.subject_public_key_info).ok_or_else(no_key)?;
        let key = self.key(kind)?;
        let left_out = left_out(&read);
        let certificate = self.authority.sign(mirrored(original, read, &self.authority, &key).map_err(odd)?)?;
        let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(io::Error::other)?;
        let private = aws_lc_rs::default_provider().key_provider.load_private_key(private).map_err(io::Error::other)?;
        let chain = vec![certificate, self.authority.certificate.clone()];
        Ok(Leaf { certified: Arc::new(CertifiedKey::new(chain, private)), other_key: !same, left_out })
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

/// A certificate as others make them, which need not keep to every rule of RFC 5280.
type Original = CertificateInner<Raw>;

/// What a certificate says of its issuer.
fn left_out(read: &Original) -> Vec<&'static str> {
    let all = read.tbs_certificate.extensions.iter().flatten();
    all.filter_map(|extension| of_issuer(extension.extn_id)).collect()
}

/// What an extension says of the issuer.
fn of_issuer(id: ObjectIdentifier) -> Option<&'static str> {
    ISSUERS.iter().find(|(other, _)| *other == id).map(|(_, what)| *what)
}

/// What is to be signed of the mirror of `read`, whose bytes are `original`.
fn mirrored(original: &[u8], read: Original, authority: &Authority, key: &KeyPair) -> der::Result<TbsCertificate> {
    let info = key.subject_public_key_info();
    // The same certificate with the same key has the same number, and no other has it (RFC 5280 4.1.2.2).
    let mut serial = digest(&SHA256, &[original, &info].concat()).as_ref()[..16].to_vec();
    serial[0] = serial[0] & 0x7f | 0x40; // positive, and of the same length
    let info = SubjectPublicKeyInfoOwned::from_der(&info)?;
    let read = read.tbs_certificate;
    Ok(TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(&serial)?,
        signature: authority.algorithm.clone(),
        issuer: authority.subject.clone(),
        validity: read.validity,
        subject: read.subject,
        extensions: Some(extensions(read.extensions.unwrap_or_default(), authority, &info)?),
        subject_public_key_info: info,
        issuer_unique_id: None,
        subject_unique_id: None,
    })
}

fn extensions(
    all: Vec<Extension>,
    authority: &Authority,
    info: &SubjectPublicKeyInfoOwned,
) -> der::Result<Vec<Extension>> {
    let of_keys = [ID_CE_SUBJECT_KEY_IDENTIFIER, ID_CE_AUTHORITY_KEY_IDENTIFIER];
    let is_ca = all.iter().any(|extension| extension.extn_id == ID_CE_BASIC_CONSTRAINTS && is_ca(extension));
    let mut out = Vec::new();
    for mut extension in all {
        let id = extension.extn_id;
        if of_keys.contains(&id) || of_issuer(id).is_some() {
            continue;
        }
        // Our authority signs no authorities, and who is none signs no certificates (RFC 5280 4.2.1.3).
        if is_ca && id == ID_CE_BASIC_CONSTRAINTS {
            let none = BasicConstraints { ca: false, path_len_constraint: None };
            extension.extn_value = OctetString::new(none.to_der()?)?;
        } else if is_ca && id == ID_CE_KEY_USAGE {
            let KeyUsage(usages) = KeyUsage::from_der(extension.extn_value.as_bytes())?;
            let left = usages - (KeyUsages::KeyCertSign | KeyUsages::CRLSign);
            if left.is_empty() {
                continue;
            }
            extension.extn_value = OctetString::new(KeyUsage(left).to_der()?)?;
        }
        out.push(extension);
    }
    let subject = SubjectKeyIdentifier(key_identifier(info)?).to_der()?;
    let issuer = Some(authority.key_identifier.clone());
    let issuer = AuthorityKeyIdentifier { key_identifier: issuer, ..AuthorityKeyIdentifier::default() }.to_der()?;
    for (extn_id, value) in of_keys.into_iter().zip([subject, issuer]) {
        out.push(Extension { extn_id, critical: false, extn_value: OctetString::new(value)? });
    }
    Ok(out)
}

fn is_ca(extension: &Extension) -> bool {
    BasicConstraints::from_der(extension.extn_value.as_bytes()).is_ok_and(|constraints| constraints.ca)
}

/// RFC 7093 2, method 1.
pub fn key_identifier(info: &SubjectPublicKeyInfoOwned) -> der::Result<OctetString> {
    OctetString::new(&digest(&SHA256, info.subject_public_key.raw_bytes()).as_ref()[..20])
}

/// The algorithm with which `key` signs, as it stands in certificates, told by one that rcgen makes.
pub fn signature_algorithm(key: &impl SigningKey) -> io::Result<AlgorithmIdentifierOwned> {
    let made = rcgen::CertificateParams::default().self_signed(key).map_err(io::Error::other)?;
    let made = Certificate::from_der(made.der()).map_err(io::Error::other)?;
    Ok(made.signature_algorithm)
}
