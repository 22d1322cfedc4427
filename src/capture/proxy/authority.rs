//! The authority that certificates are minted from. In: a directory. Out: what signs. Refuses to overwrite one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, SigningKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::about;
use super::der::{self, BIT_STRING, SEQUENCE};
use super::mint::{key_identifier, signature_algorithm};

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
    pub(super) subject: Vec<u8>,
    pub(super) algorithm: Vec<u8>,
    pub(super) key_identifier: Vec<u8>,
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
        if !certificate.exists() {
            let text = format!("no {CERTIFICATE} in it; ckscope ca init {} makes one", directory.display());
            return Err(about(directory, text));
        }
        let pem = fs::read_to_string(&key).map_err(|error| about(&key, error))?;
        let pair = KeyPair::from_pem(&pem).map_err(|error| about(&key, error))?;
        let der = CertificateDer::from_pem_file(&certificate).map_err(|error| about(&certificate, error))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|error| about(&certificate, error))?;
        if parsed.public_key().subject_public_key.data.as_ref() != pair.public_key_raw() {
            return Err(about(&key, format!("is not the key of {}", certificate.display())));
        }
        if !parsed.is_ca() {
            return Err(about(&certificate, "is no authority's: its basic constraints do not say CA"));
        }
        let told = parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        Ok(Self {
            subject: parsed.subject().as_raw().to_vec(),
            algorithm: signature_algorithm(&pair)?,
            key_identifier: told.unwrap_or_else(|| key_identifier(parsed.public_key().raw)),
            certificate: der.clone().into_owned(),
            key: pair,
        })
    }

    /// A certificate of what is to be signed (RFC 5280 4.1).
    pub(super) fn sign(&self, to_sign: Vec<u8>) -> io::Result<Vec<u8>> {
        let signature = self.key.sign(&to_sign).map_err(io::Error::other)?;
        let signature = der::element(BIT_STRING, &[&[0], &signature]);
        Ok(der::element(SEQUENCE, &[&to_sign, &self.algorithm, &signature]))
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
        let (certificate, key) = (certificate.display(), key.display());
        format!(
            "made {certificate}\n  and  {key} (keep it: whoever has it can pretend to be any KM or controller that trusts it)\n\
             SHA-256 {fingerprint}\n\
             \n\
             In the test network, have each KM and the controller believe {certificate}:\n\
               - best, beside their own authority, in the file of authorities that their Ck configuration names:\n\
                   cat {certificate} >> AUTHORITIES.pem\n\
               - or for the whole host:\n\
                   Debian, Ubuntu: cp {certificate} /usr/local/share/ca-certificates/ckscope.crt && update-ca-certificates\n\
                   RHEL, Fedora:   cp {certificate} /etc/pki/ca-trust/source/anchors/ckscope.pem && update-ca-trust\n\
                   Java:           keytool -importcert -noprompt -alias ckscope -file {certificate} -keystore TRUSTSTORE\n\
             Then:\n\
               ckscope proxy --ca DIR --km-ca KM-AUTHORITY.pem --controller-ca CONTROLLER-AUTHORITY.pem --listen … --upstream …\n\
             Take it out again when the test is over."
        )
    }
}
