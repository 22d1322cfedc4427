//! How the two sides of a TLS connection were brought together. In: what the hand-shakes negotiated and showed. Out: a
//! [`HandOff`], and its lines for people and for the comments of recorded packets.

use std::fmt;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::Party;
use crate::escape::escaped_line;
use crate::time::Timestamp;
use crate::x509;

/// One side's half of a hand-off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Half {
    /// Version, suite, group and protocol, as far as it got.
    pub negotiated: String,
    /// The certificate that the side showed us.
    pub presented: Option<Certificate>,
    /// The certificate that we showed it.
    pub shown: Option<Certificate>,
    /// Whether that one mirrors the other side's; else it was supplied.
    pub mirrored: bool,
}

/// What there is to say about a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Subject.
    pub subject: String,
    /// Whom it is of, in a word: the common name in the subject, else the first alternative name, else the subject.
    pub owner: String,
    /// Who signed it.
    pub issuer: String,
    /// Alternative names.
    pub names: Vec<String>,
    /// Key type.
    pub key: String,
    /// When it is valid: from, to, to the second (RFC 5280 4.1.2.5).
    pub validity: [String; 2],
    /// Serial number.
    pub serial: String,
}

/// Why it came to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// Who refused: "the KM", "the controller" or "the proxy".
    pub who: String,
    /// Whom.
    pub whom: String,
    /// The alert.
    pub alert: Option<String>,
    /// Why.
    pub why: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandOff {
    /// The name that the TLS client asked for.
    pub server_name: Option<String>,
    /// Which side is the TLS client.
    pub client: Party,
    /// The KM's half.
    pub km: Half,
    /// The controller's half.
    pub controller: Half,
    /// In what the halves, or a certificate and its mirror, differ.
    pub differs: Vec<String>,
    /// Why it failed, if it did.
    pub refusal: Option<Refusal>,
}

impl Certificate {
    /// What there is to say about this one.
    pub fn of(der: &CertificateDer<'_>) -> Self {
        let Ok((_, certificate)) = x509_parser::parse_x509_certificate(der) else {
            let odd = "a certificate that cannot be read".to_owned();
            return Self { subject: odd.clone(), owner: odd, ..Self::default() };
        };
        let names = certificate.subject_alternative_name().ok().flatten();
        let names: Vec<String> = names
            .map(|names| names.value.general_names.iter().map(x509::alternative_name).collect())
            .unwrap_or_default();
        let validity = certificate.validity();
        let subject = x509::distinguished_name(certificate.subject());
        let common = certificate.subject().iter_common_name().find_map(|name| name.as_str().ok().map(str::to_owned));
        Self {
            owner: common.or_else(|| names.first().cloned()).unwrap_or_else(|| subject.clone()),
            subject,
            issuer: x509::distinguished_name(certificate.issuer()),
            names,
            key: key(certificate.public_key()),
            validity: [validity.not_before, validity.not_after].map(|time| seconds(x509::time(time))),
            serial: certificate.raw_serial_as_string(),
        }
    }
}

/// RFC 3339, to the second.
fn seconds(time: Timestamp) -> String {
    let text = time.to_string();
    text.split_once('.').map_or_else(|| text.clone(), |(seconds, _)| format!("{seconds}Z"))
}

fn key(info: &SubjectPublicKeyInfo<'_>) -> String {
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA of {} bits", key.key_size()),
        // Whole bytes are counted, of which P-521 (FIPS 186-4 D.1.2.5) does not fill the last.
        Ok(PublicKey::EC(point)) => {
            format!("EC of {} bits", if point.key_size() == 528 { 521 } else { point.key_size() })
        }
        _ if info.algorithm.algorithm.to_id_string() == "1.3.101.112" => "Ed25519".to_owned(),
        _ => format!("key of kind {}", info.algorithm.algorithm),
    }
}

impl HandOff {
    /// The report, a line for each thing, safe to print whatever stands in certificates.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let name = self.server_name.as_ref().map(|name| format!(", which asks for {name}")).unwrap_or_default();
        lines.push(format!("TLS client: {}{name}", self.client));
        for (who, half) in [("KM", &self.km), ("controller", &self.controller)] {
            if !half.negotiated.is_empty() {
                lines.push(format!("{who}: {}", half.negotiated));
            }
            if let Some(certificate) = &half.presented {
                lines.push(format!("{who} presented: {certificate}"));
            }
            if let Some(certificate) = &half.shown {
                let how = if half.mirrored { "mirrored" } else { "supplied" };
                lines.push(format!("{who} was shown ({how}): {certificate}"));
            }
        }
        lines.extend(self.differs.iter().map(|difference| format!("differs: {difference}")));
        lines.extend(self.refusal.as_ref().map(Refusal::line));
        lines.iter().map(|line| escaped_line(line).into_owned()).collect()
    }
}

impl HandOff {
    /// Why it came to nothing in `time`: who was waited for, by what is there. The server is the first to show itself.
    pub fn refusal_of_silence(&self, time: Duration) -> Refusal {
        let half = |party| match party {
            Party::Km => &self.km,
            Party::Controller => &self.controller,
        };
        let (client, server) = (self.client, self.client.other());
        let answered = half(server).presented.is_some();
        let silent = if answered && half(client).negotiated.is_empty() { client } else { server };
        Refusal {
            who: "the proxy".to_owned(),
            whom: silent.the().to_owned(),
            why: format!("it did not go on with the TLS hand-shake, which is not over after {time:?}"),
            ..Refusal::default()
        }
    }
}

impl Refusal {
    /// The line of the report, safe to print.
    pub fn line(&self) -> String {
        escaped_line(&format!("refused: {self}")).into_owned()
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, names, key, issuer, validity: [from, to], serial, .. } = self;
        write!(f, "{subject}; names {}; {key}; ", names.join(", "))?;
        write!(f, "valid {from} to {to}; serial {serial}; signed by {issuer}")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} refused {}: {}", self.who, self.whom, self.why)?;
        if let Some(alert) = &self.alert {
            write!(f, " (alert {alert})")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}
