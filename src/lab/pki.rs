//! The lab's public-key infrastructure: one authority, and a certificate for the controller and each KM (Q.4164
//! asks for mutual authentication). In: who they are. Out: [`Identity`]s, in memory or in a directory of PEM
//! files. Refuses to know TLS versions and connections.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    RsaKeySize, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::topology::{Km, Topology};
use crate::time::Timestamp;

/// The domain of every name (RFC 2606 3).
const DOMAIN: &str = "qkdn.example";
/// Certificates are valid from a day before they are made, for clocks that differ, and for ten years; in days.
const BEFORE: i64 = -1;
/// See [`BEFORE`].
const AFTER: i64 = 3652;

/// What is behind the certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Keys {
    /// ECDSA on P-256.
    #[default]
    Ecdsa,
    /// RSA of 2048 bits.
    Rsa,
}

impl Keys {
    fn generate(self) -> Result<KeyPair, rcgen::Error> {
        match self {
            Self::Ecdsa => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Self::Rsa => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
        }
    }
}

/// Whom a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Common name: the KM ID, or "controller".
    pub name: String,
    /// Host names; the first is the one to dial, and names the files.
    pub hosts: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
}

impl Subject {
    /// The controller.
    pub fn controller(addresses: &[IpAddr]) -> Self {
        Self { name: "controller".to_owned(), hosts: vec![host("controller")], addresses: addresses.to_vec() }
    }

    /// A KM; it is dialled by the name of its KMA.
    pub fn km(km: &Km, addresses: &[IpAddr]) -> Self {
        let mut hosts = vec![host(&km.kma), host(&km.id)];
        hosts.dedup();
        Self { name: km.id.clone(), hosts, addresses: addresses.to_vec() }
    }

    /// The name to dial.
    pub fn host(&self) -> &str {
        &self.hosts[0] // each maker above gives one
    }

    fn label(&self) -> &str {
        self.host().strip_suffix(DOMAIN).map_or(self.host(), |label| label.trim_end_matches('.'))
    }
}

/// An ID as a host name: IDs are free text, host names are not (RFC 1123 2.1).
fn host(id: &str) -> String {
    let label: String =
        id.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).take(63).collect();
    let label = label.trim_matches('-');
    format!("{}.{DOMAIN}", if label.is_empty() { "km" } else { label })
}

/// What a peer shows, and whom it believes.
#[derive(Debug)]
pub struct Identity {
    /// Its certificate first, then what leads to a root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The certificate's key.
    pub key: PrivateKeyDer<'static>,
    /// Authorities it trusts.
    pub roots: Vec<CertificateDer<'static>>,
}

impl Identity {
    /// Reads PEM files. Errors name the file.
    pub fn read(ca: &Path, certificate: &Path, key: &Path) -> io::Result<Self> {
        Ok(Self {
            roots: certificates(ca)?,
            chain: certificates(certificate)?,
            key: PrivateKeyDer::from_pem_file(key).map_err(|error| about(key, error))?,
        })
    }
}

/// The certificates of a PEM file, one at least.
pub fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let iterator = CertificateDer::pem_file_iter(path).map_err(|error| about(path, error))?;
    let found: Vec<_> = iterator.collect::<Result<_, _>>().map_err(|error| about(path, error))?;
    if found.is_empty() {
        return Err(about(path, "no certificate found, expected PEM"));
    }
    Ok(found)
}

fn about(path: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

/// Who signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// The certificate again.
    pem: String,
    keys: Keys,
    now: Timestamp,
}

impl Authority {
    /// A new authority; `now` decides what is valid.
    pub fn new(keys: Keys, now: Timestamp) -> io::Result<Self> {
        Self::with_key(keys, now, keys.generate().map_err(io::Error::other)?)
    }

    fn with_key(keys: Keys, now: Timestamp, key: KeyPair) -> io::Result<Self> {
        let mut params = params("ckscope lab CA", now);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        let (pem, certificate) = (certificate.pem(), certificate.into());
        Ok(Self { issuer: Issuer::new(params, key), certificate, pem, keys, now })
    }

    fn read(directory: &Path, keys: Keys, now: Timestamp) -> io::Result<Self> {
        let path = directory.join("ca.key");
        let key = fs::read_to_string(&path).map_err(|error| about(&path, error))?;
        let key = KeyPair::from_pem(&key).map_err(|error| about(&path, error))?;
        let path = directory.join("ca.pem");
        let pem = fs::read_to_string(&path).map_err(|error| about(&path, error))?;
        let certificate = certificates(&path)?.swap_remove(0); // `certificates` gives one at least
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|error| about(&path, error))?;
        Ok(Self { issuer, certificate, pem, keys, now })
    }

    /// A new key with its certificate.
    pub fn identity(&self, subject: &Subject) -> io::Result<Identity> {
        let (certificate, key) = self.sign(subject).map_err(io::Error::other)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(io::Error::other)?;
        Ok(Identity { chain: vec![certificate.der().clone()], key, roots: vec![self.certificate.clone()] })
    }

    fn sign(&self, subject: &Subject) -> Result<(rcgen::Certificate, KeyPair), rcgen::Error> {
        let mut params = params(&subject.name, self.now);
        for host in &subject.hosts {
            params.subject_alt_names.push(SanType::DnsName(host.as_str().try_into()?));
        }
        params.subject_alt_names.extend(subject.addresses.iter().copied().map(SanType::IpAddress));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Either side may dial.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = self.keys.generate()?;
        Ok((params.signed_by(&key, &self.issuer)?, key))
    }

    fn write(&self, directory: &Path, subject: &Subject) -> io::Result<()> {
        let (certificate, key) = self.sign(subject).map_err(io::Error::other)?;
        // The key first: whoever finds the certificate finds its key.
        create(&directory.join(format!("{}.key", subject.label())), &key.serialize_pem(), true)?;
        create(&directory.join(format!("{}.pem", subject.label())), &certificate.pem(), false)
    }
}

fn params(name: &str, now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, "ckscope lab");
    let [before, after] = [BEFORE, AFTER].map(|days| day(now, days));
    params.not_before = rcgen::date_time_ymd(before.0, before.1, before.2);
    params.not_after = rcgen::date_time_ymd(after.0, after.1, after.2);
    params
}

/// Year, month and day in UTC, so many days after `now`. Times of [`Timestamp`] lie within jiff's years.
fn day(now: Timestamp, days: i64) -> (i32, u8, u8) {
    let seconds = now.0 / 1_000_000_000 + days * 24 * 3600;
    let date = jiff::Timestamp::from_second(seconds).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date();
    (date.year().into(), date.month() as u8, date.day() as u8)
}

fn create(path: &Path, text: &str, secret: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if secret { 0o600 } else { 0o644 });
    options.open(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| about(path, error))
}

/// The identity of `subject` from the PKI in `directory`. What is not there is made: the authority with the
/// controller and every KM of `topology`, or a KM that is new to it. Keys are readable by their owner alone.
pub fn from_directory(
    directory: &Path,
    subject: &Subject,
    topology: &Topology,
    keys: Keys,
    now: Timestamp,
) -> io::Result<Identity> {
    if !directory.join("ca.pem").exists() {
        establish(directory, topology, keys, now)?;
    }
    let [certificate, key] = ["pem", "key"].map(|end| directory.join(format!("{}.{end}", subject.label())));
    if !certificate.exists() {
        Authority::read(directory, keys, now)?.write(directory, subject)?;
    }
    Identity::read(&directory.join("ca.pem"), &certificate, &key)
}

/// Makes a whole PKI beside `directory` and then moves it there, so that nobody finds half of one.
fn establish(directory: &Path, topology: &Topology, keys: Keys, now: Timestamp) -> io::Result<()> {
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| about(parent, error))?;
    let made = tempfile::tempdir_in(parent).map_err(|error| about(parent, error))?;
    let key = keys.generate().map_err(io::Error::other)?;
    create(&made.path().join("ca.key"), &key.serialize_pem(), true)?;
    let authority = Authority::with_key(keys, now, key)?;
    for subject in subjects(topology) {
        authority.write(made.path(), &subject)?;
    }
    create(&made.path().join("ca.pem"), &authority.pem, false)?;
    match fs::rename(made.path(), directory) {
        Ok(()) => Ok(()),
        Err(_) if directory.join("ca.pem").exists() => Ok(()), // another process was faster
        Err(error) => Err(about(directory, error)),
    }
}

fn subjects(topology: &Topology) -> impl Iterator<Item = Subject> {
    let loopback = |host: u8| [IpAddr::from([127, 0, 0, host])];
    let kms = topology.kms.iter().map(move |km| Subject::km(km, &loopback(km.host.max(1))));
    std::iter::once(Subject::controller(&loopback(1))).chain(kms)
}
