//! Who is who in these tests: two authorities, one for KMs and one for controllers, and the proxy's own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use ckscope::capture::proxy::{Options, Party, Trust, authority};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    RsaKeySize, SanType, SerialNumber, SigningKey, date_time_ymd,
};

use x509_cert::certificate::Version;
use x509_cert::der::asn1::BitString;
use x509_cert::der::pem::LineEnding;
use x509_cert::der::{Decode, Encode};

use crate::support::Files;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

impl Kind {
    fn generate(self) -> KeyPair {
        match self {
            Self::Rsa => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
            Self::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Self::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Self::P521 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512),
            Self::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519),
        }
        .unwrap()
    }

    /// A key, and its file. OpenSSL 3.0 and GnuTLS read no key of Ed25519 with the public key beside it (RFC 5958 2),
    /// as rcgen writes it; so they make it, where they are installed.
    fn key(self) -> (KeyPair, String) {
        let made = Command::new("openssl").args(["genpkey", "-algorithm", "ed25519"]).output();
        if let (Self::Ed25519, Ok(made)) = (self, made) {
            let pem = String::from_utf8(made.stdout).unwrap();
            return (KeyPair::from_pem(&pem).unwrap(), pem);
        }
        let key = self.generate();
        let pem = key.serialize_pem();
        (key, pem)
    }
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    Expired,
    /// Of an authority that nobody believes.
    Untrusted,
    WrongName,
    /// Of X.509 version 1, which has no names.
    Version1,
    /// Of an authority itself.
    IsAuthority,
    /// Valid since before 1970.
    Old,
    /// None: it says where its issuer's revocation lists are.
    Pointing,
}

/// Files: for each party its certificate and key, and whom it believes; `lab-ca` is the proxy's.
pub struct Pki {
    pub files: Files,
}

/// The name in the certificate of a party.
pub fn name(party: Party) -> &'static str {
    match party {
        Party::Km => "km-1.lab",
        Party::Controller => "controller.lab",
    }
}

pub fn common_name(party: Party) -> &'static str {
    match party {
        Party::Km => "KM-1",
        Party::Controller => "Controller 1",
    }
}

pub fn label(party: Party) -> &'static str {
    match party {
        Party::Km => "km",
        Party::Controller => "controller",
    }
}

impl Pki {
    pub fn new(kind: Kind) -> Self {
        Self::flawed(kind, [Flaw::None; 2])
    }

    /// With a key of the KM of another kind than the controller's.
    pub fn of_kinds(kinds: [Kind; 2]) -> Self {
        Self::make(kinds, [Flaw::None; 2])
    }

    /// With flaws in the certificates of KM and controller.
    pub fn flawed(kind: Kind, flaws: [Flaw; 2]) -> Self {
        Self::make([kind; 2], flaws)
    }

    fn make(kinds: [Kind; 2], flaws: [Flaw; 2]) -> Self {
        let pki = Self { files: Files::new() };
        authority::init(&pki.path("lab-ca")).unwrap();
        let proxy = std::fs::read_to_string(pki.path("lab-ca/ca.pem")).unwrap();
        let mut trusts = Vec::new();
        for (party, (kind, flaw)) in [Party::Km, Party::Controller].into_iter().zip(kinds.into_iter().zip(flaws)) {
            let label = label(party);
            let authority = Authority::new(&format!("Authority of {label}s"));
            pki.write(&format!("{label}-ca.pem"), &authority.pem);
            let stranger = Authority::new("A stranger");
            let issuer = if flaw == Flaw::Untrusted { &stranger } else { &authority };
            let (key, key_pem) = kind.key();
            let mut certificate = leaf(party, flaw).signed_by(&key, &issuer.issuer).unwrap().der().to_vec();
            if flaw == Flaw::Version1 {
                certificate = as_version_1(&certificate, issuer.issuer.key());
            }
            pki.write(&format!("{label}.pem"), &pem("CERTIFICATE", &certificate));
            pki.write(&format!("{label}.key"), &key_pem);
            pki.write(&format!("{label}.crl"), &authority.revokes([2021, 2049], &[serial()]));
            pki.write(&format!("{label}-older.crl"), &authority.revokes([2020, 2049], &[]));
            pki.write(&format!("{label}-ended.crl"), &authority.revokes([2020, 2021], &[]));
            trusts.push(authority.pem);
        }
        // With a KM that believes the authority of controllers, and the other way round.
        pki.write("km-trust.pem", &format!("{}{proxy}", trusts[1]));
        pki.write("controller-trust.pem", &format!("{}{proxy}", trusts[0]));
        pki
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.files.path().join(file)
    }

    pub fn write(&self, file: &str, text: &str) {
        self.files.write(file, text.as_bytes());
    }

    /// A proxy that verifies both parties and mirrors them.
    pub fn options(&self) -> Options {
        let trust = |party: Party| Trust {
            authorities: Some(self.path(&format!("{}-ca.pem", label(party)))),
            ..Trust::default()
        };
        Options {
            ca: Some(self.path("lab-ca")),
            km: trust(Party::Km),
            controller: trust(Party::Controller),
            ..Options::default()
        }
    }

    pub fn endpoint(&self, party: Party) -> Endpoint {
        let label = label(party);
        let path = |end: &str| self.path(&format!("{label}{end}"));
        Endpoint {
            certificate: path(".pem"),
            key: path(".key"),
            trust: path("-trust.pem"),
            expects: match party {
                Party::Km => name(Party::Controller),
                Party::Controller => name(Party::Km),
            },
            alpn: Vec::new(),
            shows: true,
        }
    }
}

/// One party as a TLS stack needs it.
#[derive(Clone)]
pub struct Endpoint {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub trust: PathBuf,
    /// The name that the other party's certificate must have.
    pub expects: &'static str,
    pub alpn: Vec<Vec<u8>>,
    /// Whether it shows its certificate, where it may choose.
    pub shows: bool,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = Kind::P256.generate();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = date_time_ymd(2010, 1, 1);
        params.not_after = date_time_ymd(2049, 1, 1);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A list from the first of these years to the other that revokes these.
    fn revokes(&self, years: [i32; 2], serials: &[SerialNumber]) -> String {
        let revoked = |serial: &SerialNumber| RevokedCertParams {
            serial_number: serial.clone(),
            revocation_time: date_time_ymd(2019, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(years[0], 1, 1),
            next_update: date_time_ymd(years[1], 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// The same without what version 1 does not have (RFC 5280 4.1.2.1).
fn as_version_1(certificate: &[u8], authority: &KeyPair) -> Vec<u8> {
    let mut certificate = x509_cert::Certificate::from_der(certificate).unwrap();
    certificate.tbs_certificate.version = Version::V1;
    certificate.tbs_certificate.extensions = None;
    let signature = authority.sign(&certificate.tbs_certificate.to_der().unwrap()).unwrap();
    certificate.signature = BitString::from_bytes(&signature).unwrap();
    certificate.to_der().unwrap()
}

/// RFC 7468.
pub fn pem(label: &str, der: &[u8]) -> String {
    x509_cert::der::pem::encode_string(label, LineEnding::LF, der).unwrap()
}

fn serial() -> SerialNumber {
    SerialNumber::from(0x4164)
}

fn leaf(party: Party, flaw: Flaw) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CountryName, "AT");
    params.distinguished_name.push(DnType::OrganizationName, "Quantum Lab, \"inc\" Ω");
    params.distinguished_name.push(DnType::CommonName, common_name(party));
    let host = if flaw == Flaw::WrongName { "somebody-else.lab" } else { name(party) };
    params.subject_alt_names = vec![
        SanType::DnsName(host.try_into().unwrap()),
        SanType::URI(format!("urn:qkdn:{}", label(party)).as_str().try_into().unwrap()),
        SanType::IpAddress([192, 0, 2, 7].into()),
    ];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(serial());
    params.is_ca = match flaw {
        Flaw::IsAuthority => IsCa::Ca(BasicConstraints::Unconstrained),
        _ => IsCa::NoCa,
    };
    if flaw == Flaw::Pointing {
        let uris = vec!["http://192.0.2.7/km.crl".to_owned()];
        params.crl_distribution_points = vec![CrlDistributionPoint { uris }];
    }
    params.not_before = date_time_ymd(if flaw == Flaw::Old { 1960 } else { 2020 }, 2, 3);
    params.not_after = if flaw == Flaw::Expired { date_time_ymd(2021, 1, 1) } else { date_time_ymd(2048, 3, 4) };
    params
}

/// Where something listens.
pub fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}
