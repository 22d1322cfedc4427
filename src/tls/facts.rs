//! What is known of a connection's TLS.

use std::fmt;

use x509_parser::prelude::{FromDer, X509Certificate};

use super::suite::suite_name;
use crate::stream::{Side, Stamp};
use crate::time::Timestamp;
use crate::x509;

/// Alternative names kept of a certificate.
const MAX_NAMES: usize = 64;

/// What is known of a connection's TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Which end is the TLS client: either may be.
    pub client: Option<Side>,
    /// Client random: what key logs know the connection by.
    pub random: Option<[u8; 32]>,
    /// Version, as on the wire: 0x0303 is TLS 1.2 (RFC 8446 4.2.1).
    pub version: Option<u16>,
    /// Cipher suite.
    pub suite: Option<u16>,
    /// Key exchange group that the server chose, in TLS 1.3.
    pub group: Option<u16>,
    /// Application protocol (RFC 7301).
    pub alpn: Option<String>,
    /// Server name that the client asked for (RFC 6066 3).
    pub sni: Option<String>,
    /// Whether the session resumes an earlier one; unknown before the server's answer.
    pub resumed: Option<bool>,
    /// Certificate chains by side, leaf first, as far as they are visible.
    pub certificates: [Vec<Certificate>; 2],
    /// Alerts, as far as they are visible.
    pub alerts: Vec<Alert>,
    /// Whether encrypted records were decrypted.
    pub decrypted: bool,
    /// Why not, or why not all.
    pub reason: Option<Reason>,
    /// Encrypted records by side that were, and that were not decrypted.
    pub records: [[u64; 2]; 2],
}

/// Why records are not decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The capture starts after the handshake.
    JoinedMidway,
    /// A hello is not in the capture.
    HelloMissing,
    /// The handshake did not come to an end.
    Unfinished,
    /// No secret for this client random.
    NoSecret {
        /// The client random.
        random: [u8; 32],
    },
    /// There is a secret, but not for these records.
    WrongSecret,
    /// Nobody here can read this suite.
    UnsupportedSuite(u16),
    /// Nobody here can read this version.
    UnsupportedVersion(u16),
    /// Content is compressed by TLS (RFC 3749).
    Compressed,
    /// Records before or among them are missing.
    Gap,
    /// Records do not prove to be genuine.
    Damaged,
    /// 0-RTT data that stays closed.
    EarlyData,
    /// 0-RTT data that the server did not take.
    EarlyDataRejected,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::JoinedMidway => f.write_str("capture starts after the handshake; start it before the peers connect"),
            Self::HelloMissing => f.write_str("a hello of the handshake is not in the capture"),
            Self::Unfinished => f.write_str("the handshake did not come to an end"),
            Self::NoSecret { random } => {
                f.write_str("no secret for client random ")?;
                random.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("; --keylog FILE adds the peers' key log")
            }
            Self::WrongSecret => f.write_str("the secrets for this client random do not open its records"),
            Self::UnsupportedSuite(code) => match suite_name(*code) {
                Some(name) => write!(f, "cipher suite {name} is not supported"),
                None => write!(f, "cipher suite {code:#06x} is not supported"),
            },
            Self::UnsupportedVersion(version) => {
                write!(f, "{} is not supported; TLS 1.2 and 1.3 are", version_name(*version))
            }
            Self::Compressed => f.write_str("TLS compression is not supported"),
            Self::Gap => f.write_str("records are missing from the capture"),
            Self::EarlyData => f.write_str("0-RTT data: its secret is not logged, or the server rejected it"),
            Self::EarlyDataRejected => f.write_str("0-RTT data that the server rejected is left out"),
            Self::Damaged => f.write_str("some records are damaged: they do not prove to be genuine"),
        }
    }
}

/// The name of a version: `TLS 1.2`.
pub fn version_name(version: u16) -> String {
    match version {
        0x0002 => "SSL 2.0".to_owned(),
        0x0300 => "SSL 3.0".to_owned(),
        0x0301..=0x0304 => format!("TLS 1.{}", version - 0x0301),
        other => format!("TLS version {other:#06x}"),
    }
}

/// The name of a key exchange group (IANA, "TLS Supported Groups").
pub fn group_name(group: u16) -> String {
    let name = match group {
        23 => "secp256r1",
        24 => "secp384r1",
        25 => "secp521r1",
        29 => "x25519",
        30 => "x448",
        256 => "ffdhe2048",
        257 => "ffdhe3072",
        258 => "ffdhe4096",
        0x11eb => "SecP256r1MLKEM768",
        0x11ec => "X25519MLKEM768",
        0x11ed => "SecP384r1MLKEM1024",
        0x6399 => "X25519Kyber768Draft00",
        other => return format!("group {other:#06x}"),
    };
    name.to_owned()
}

impl Facts {
    /// Encrypted records that were not decrypted, of both sides.
    pub fn undecrypted(&self) -> u64 {
        self.records.iter().map(|[_, not]| not).sum()
    }
}

/// An alert (RFC 8446 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Who sent it.
    pub side: Side,
    /// 1 is warning, 2 is fatal.
    pub level: u8,
    /// Its description.
    pub description: u8,
    /// The packet that completed it.
    pub stamp: Stamp,
}

impl Alert {
    /// The description of an alert that announces the end (RFC 8446 6.1).
    pub const CLOSE_NOTIFY: u8 = 0;

    /// `warning` or `fatal`.
    pub fn level_name(&self) -> &'static str {
        if self.level == 1 { "warning" } else { "fatal" }
    }

    /// The name of its description (RFC 8446 6, RFC 5246 7.2).
    pub fn name(&self) -> &'static str {
        match self.description {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            21 => "decryption_failed",
            22 => "record_overflow",
            30 => "decompression_failure",
            40 => "handshake_failure",
            41 => "no_certificate",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            100 => "no_renegotiation",
            109 => "missing_extension",
            110 => "unsupported_extension",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            120 => "no_application_protocol",
            _ => "unknown alert",
        }
    }
}

/// What a certificate says. Its texts are the peer's and may hold anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Distinguished name on one line: `C=JP, O=Lab, CN=KM-1`.
    pub subject: String,
    /// The issuer's.
    pub issuer: String,
    /// Subject alternative names: `DNS:km-1.lab`, `IP:192.0.2.11`, `URI:…`.
    pub sans: Vec<String>,
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last moment of validity.
    pub not_after: Timestamp,
}

impl Certificate {
    /// Reads a certificate in DER; `None` if it is none.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate.subject_alternative_name().ok().flatten();
        let names =
            names.map(|names| names.value.general_names.iter().take(MAX_NAMES).map(x509::alternative_name).collect());
        let validity = certificate.validity();
        Some(Self {
            subject: x509::distinguished_name(certificate.subject()),
            issuer: x509::distinguished_name(certificate.issuer()),
            sans: names.unwrap_or_default(),
            not_before: x509::time(validity.not_before),
            not_after: x509::time(validity.not_after),
        })
    }
}
