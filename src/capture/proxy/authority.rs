//! The authority that certificates are minted from. In: a directory. Out: what signs. Refuses to overwrite one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, SigningKey};
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::certificate::TbsCertificate;
use x509_cert::der::asn1::{BitString, OctetString};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::{BasicConstraints as Constraints, SubjectKeyIdentifier};
use x509_cert::name::Name;
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::mint::{key_identifier, signature_algorithm};
use super::{about, pem};

/// Years that an authority is valid.
const YEARS: i16 = 10;
/// The files of an authority.
const CERTIFICATE: &str = "ca.pem";
/// See [`CERTIFICATE`].
const KEY: &str = "ca.key";

/// What signs.
pub struct Authority {
    key: KeyPair,
    /// Its certificate.
    pub certificate: CertificateDer<'static>,
    /// Its subject, its signature algorithm and its key's identifier, as they stand in what it signs.
    pub(super) subject: Name,
    pub(super) algorithm: AlgorithmIdentifierOwned,
    pub(super) key_identifier: OctetString,
}

impl std::fmt::Debug for Authority {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    /// Reads what [`init`] made, or another authority's files of the same names.
    ///
    /// # Errors
    /// A file cannot be read, or they do not go together.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let (certificate, key) = (directory.join(CERTIFICATE), directory.join(KEY));
        let lacks = |what: &str, next: String| about(directory, format!("no {what} in it; {next}"));
        match (certificate.exists(), key.exists()) {
            (true, true) => {}
            (false, false) => {
                return Err(lacks(CERTIFICATE, format!("ckscope ca init {} makes one", directory.display())));
            }
            (true, false) => return Err(lacks(KEY, format!("put the key of {CERTIFICATE} there"))),
            (false, true) => return Err(lacks(CERTIFICATE, format!("put the certificate of {KEY} there"))),
        }
        let pair = KeyPair::from_pem(&pem::key_text(&key)?).map_err(|error| about(&key, error))?;
        let der = pem::certificates(&certificate)?.swap_remove(0);
        let parsed = Certificate::from_der(&der).map_err(|error| about(&certificate, error))?.tbs_certificate;
        if parsed.subject_public_key_info.subject_public_key.raw_bytes() != pair.public_key_raw() {
            return Err(about(&key, format!("is not the key of {}", certificate.display())));
        }
        let constraints = parsed.get::<Constraints>().map_err(|error| about(&certificate, error))?;
        if !constraints.is_some_and(|(_, constraints)| constraints.ca) {
            return Err(about(&certificate, "is no authority's: its basic constraints do not say CA"));
        }
        let told = parsed.get::<SubjectKeyIdentifier>().map_err(|error| about(&certificate, error))?;
        let made = || key_identifier(&parsed.subject_public_key_info).map_err(|error| about(&certificate, error));
        let key_identifier = told.map_or_else(made, |(_, told)| Ok(told.0))?;
        let (subject, algorithm) = (parsed.subject, signature_algorithm(&pair)?);
        Ok(Self { subject, algorithm, key_identifier, certificate: der.clone(), key: pair })
    }

    /// A certificate of what is to be signed (RFC 5280 4.1).
    pub(super) fn sign(&self, to_sign: TbsCertificate) -> io::Result<CertificateDer<'static>> {
        let signature = self.key.sign(&to_sign.to_der().map_err(io::Error::other)?).map_err(io::Error::other)?;
        let signed = Certificate {
            tbs_certificate: to_sign,
            signature_algorithm: self.algorithm.clone(),
            signature: BitString::from_bytes(&signature).map_err(io::Error::other)?,
        };
        Ok(CertificateDer::from(signed.to_der().map_err(io::Error::other)?))
    }
}

/// An authority that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its certificate's file.
    pub certificate: PathBuf,
    /// Its key's file.
    pub key: PathBuf,
    /// SHA-256 of its certificate.
    pub fingerprint: String,
}

/// Makes an authority in `directory`.
///
/// # Errors
/// There is one already, or it cannot be written.
pub fn init(directory: &Path) -> io::Result<Made> {
    let (certificate, key) = (directory.join(CERTIFICATE), directory.join(KEY));
    for there in [&certificate, &key] {
        if there.exists() {
            return Err(about(there, "is there already, and is not overwritten; name another directory"));
        }
    }
    fs::create_dir_all(directory).map_err(|error| about(directory, error))?;
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
    let made = params(&pair).self_signed(&pair).map_err(io::Error::other)?;
    // The key first: whoever finds the certificate finds its key.
    create(&key, &pair.serialize_pem(), 0o600)?;
    create(&certificate, &made.pem(), 0o644)?;
    let octets: Vec<String> = digest(&SHA256, made.der()).as_ref().iter().map(|octet| format!("{octet:02X}")).collect();
    Ok(Made { certificate, key, fingerprint: octets.join(":") })
}

/// The name has a part of the key in it: authorities that are made again must not be taken for each other.
fn params(key: &KeyPair) -> CertificateParams {
    let id = digest(&SHA256, key.public_key_raw());
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "ckscope");
    let name = format!("ckscope proxy CA {:02x}{:02x}{:02x}", id.as_ref()[0], id.as_ref()[1], id.as_ref()[2]);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // From yesterday on, for clocks that differ.
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let yesterday = today.yesterday().unwrap_or(today);
    params.not_before = rcgen::date_time_ymd(yesterday.year().into(), yesterday.month() as u8, yesterday.day() as u8);
    params.not_after =
        rcgen::date_time_ymd((today.year() + YEARS).into(), today.month() as u8, today.day().min(28) as u8);
    params
}

fn create(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    options.open(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| about(path, error))
}

impl Made {
    /// What to do with it.
    pub fn instructions(&self) -> String {
        let Self { certificate, key, fingerprint } = self;
        let directory = certificate.parent().unwrap_or(Path::new("."));
        let (directory, certificate, key) = (directory.display(), certificate.display(), key.display());
        format!(
            "made {certificate}\n  and  {key} (keep it: whoever has it can pretend to be any KM or controller that trusts it)\n\
             SHA-256 {fingerprint}\n\
             \n\
             In the test network, have each KM and the controller believe {certificate}:\n\
               \x20 - best, beside their own authority, in the file of authorities that their Ck configuration names:\n\
                   \x20     cat {certificate} >> AUTHORITIES.pem\n\
               \x20 - or for the whole host:\n\
                   \x20     Debian, Ubuntu: cp {certificate} /usr/local/share/ca-certificates/ckscope.crt && update-ca-certificates\n\
                   \x20     RHEL, Fedora:   cp {certificate} /etc/pki/ca-trust/source/anchors/ckscope.pem && update-ca-trust\n\
                   \x20     Java:           keytool -importcert -noprompt -alias ckscope -file {certificate} -keystore TRUSTSTORE\n\
             Then:\n\
               \x20 ckscope proxy --ca {directory} --km-ca KM-AUTHORITY.pem --controller-ca CONTROLLER-AUTHORITY.pem --listen … --upstream …\n\
             Take it out again when the test is over."
        )
    }
}
