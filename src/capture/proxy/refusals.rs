//! Why one side does not take the other, in words. In: errors of rustls, and alerts. Out: the alert that a peer hears,
//! the reason, and what to do about it. Refuses to know connections.

use std::fmt::Display;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, ExtendedKeyPurpose, OtherError};

use super::Party;
use crate::time::Timestamp;

/// What was minded, of the peer.
pub fn reason(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(minded) => format!("its certificate {}", minded_of(minded)),
        Error::NoCertificatesPresented => "it showed no certificate".to_owned(),
        Error::InvalidMessage(error) => format!("what it sent cannot be read as TLS: {}", words(&format!("{error:?}"))),
        error => error.to_string(),
    }
}

fn minded_of(minded: &CertificateError) -> String {
    use CertificateError as C;
    match minded {
        C::ExpiredContext { not_after, .. } => format!("was valid until {}", date(*not_after)),
        C::NotValidYetContext { not_before, .. } => format!("is not valid before {}", date(*not_before)),
        C::ExpiredRevocationListContext { next_update, .. } => {
            format!("cannot be judged: the revocation list of its issuer was good until {}", date(*next_update))
        }
        C::UnknownIssuer => "leads to none of the authorities given".to_owned(),
        C::UnknownRevocationStatus => "cannot be judged: no revocation list given is its issuer's".to_owned(),
        C::Revoked => "is revoked".to_owned(),
        C::BadSignature => "is not signed by whom it names".to_owned(),
        C::BadEncoding => "cannot be read".to_owned(),
        C::InvalidPurposeContext { required, presented } => {
            let presented: Vec<String> = presented.iter().map(purpose).collect();
            format!("is not for {}, but for {}", purpose(required), presented.join(", "))
        }
        // What webpki alone knows.
        C::Other(OtherError(other)) => match other.downcast_ref() {
            Some(webpki::Error::UnsupportedCertVersion) => "is of X.509 version 1 or 2, not 3".to_owned(),
            Some(webpki::Error::CaUsedAsEndEntity) => "is an authority's (CA:TRUE), not a party's".to_owned(),
            _ => format!("is not accepted: {}", words(other)),
        },
        other => format!("is not accepted: {}", words(other)),
    }
}

/// Of RFC 5280 4.2.1.12.
fn purpose(purpose: &ExtendedKeyPurpose) -> String {
    const ANY: [usize; 5] = [2, 5, 29, 37, 0];
    match purpose {
        ExtendedKeyPurpose::ClientAuth => "TLS clients".to_owned(),
        ExtendedKeyPurpose::ServerAuth => "TLS servers".to_owned(),
        ExtendedKeyPurpose::Other(id) if *id == ANY => "any purpose without naming it".to_owned(),
        ExtendedKeyPurpose::Other(id) => id.iter().map(usize::to_string).collect::<Vec<_>>().join("."),
    }
}

fn date(time: UnixTime) -> Timestamp {
    Timestamp(i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000_000_000))
}

/// `ca used as end entity` for an error that is told by its name in code, `CaUsedAsEndEntity`; others stay as they are.
pub fn words(error: &impl Display) -> String {
    let name = error.to_string();
    if !name.chars().all(char::is_alphanumeric) {
        return name;
    }
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.extend(c.to_lowercase());
    }
    text
}

/// What a peer hears of an error of ours.
pub fn alert_of(error: &Error) -> Option<AlertDescription> {
    match error {
        Error::InvalidCertificate(error) => Some(error.clone().into()),
        Error::DecryptError => Some(AlertDescription::BadRecordMac),
        Error::PeerIncompatible(_) => Some(AlertDescription::HandshakeFailure),
        Error::NoCertificatesPresented => Some(AlertDescription::CertificateRequired),
        Error::NoApplicationProtocol => Some(AlertDescription::NoApplicationProtocol),
        _ => None,
    }
}

/// What to do when `who` sent this alert.
pub fn alert_hint(who: Party, alert: AlertDescription) -> Option<String> {
    use AlertDescription as A;
    let (this, other) = (who.the(), who.other().the());
    match alert {
        A::UnknownCA | A::BadCertificate | A::CertificateUnknown | A::DecryptError => Some(format!(
            "{this} does not trust the proxy's authority: add its ca.pem to what {this} believes, or {other}'s \
             certificate does not fit what {this} expects (compare its names)"
        )),
        A::CertificateRequired | A::NoCertificate => Some(no_certificate(other)),
        A::CertificateExpired => Some(format!("what {this} was shown for {other}'s certificate is not valid now")),
        A::HandshakeFailure => Some(format!(
            "{this} found nothing in common with what {other} offers and the proxy knows, or {}",
            no_certificate(other)
        )),
        A::AccessDenied => Some(format!("{this} knows the identity of {other}, and does not let it in")),
        A::UnrecognisedName => Some(format!("{this} does not go by the name that {other} asked for")),
        _ => None,
    }
}

/// Whoever has no key for what is asked for shows nothing (RFC 8446 4.4.2).
fn no_certificate(who: &str) -> String {
    format!("{who} showed no certificate: {NO_CERTIFICATE}")
}

/// See [`no_certificate`].
const NO_CERTIFICATE: &str = "it has none, or its key is of a kind that the proxy does not know";

/// What to do when the proxy does not believe `party` for this reason.
pub fn believe_hint(party: Party, error: &Error) -> Option<String> {
    use CertificateError as C;
    let minded = match error {
        Error::NoCertificatesPresented => return Some(NO_CERTIFICATE.to_owned()),
        Error::InvalidCertificate(minded) => minded,
        _ => return None,
    };
    let authorities = match party {
        Party::Km => "--km-ca",
        Party::Controller => "--controller-ca",
    };
    Some(match minded {
        C::UnknownIssuer => format!("the proxy judges by {authorities}; see that it leads there"),
        C::ExpiredContext { .. } | C::NotValidYetContext { .. } | C::Expired | C::NotValidYet => {
            "renew it, or see that the clocks are right".to_owned()
        }
        C::ExpiredRevocationListContext { .. } | C::ExpiredRevocationList => "fetch a newer list for --crl".to_owned(),
        C::Revoked => "the list that says so is one of --crl".to_owned(),
        C::Other(_) | C::InvalidPurpose | C::InvalidPurposeContext { .. } => {
            format!("to believe it all the same, add the certificate itself to {authorities}")
        }
        _ => return None,
    })
}
