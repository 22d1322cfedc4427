//! Whether whoever shows a certificate has its key. In: a certificate, what was signed with its key, the signature. Out:
//! yes, or the error. Refuses to know whether the certificate is to be believed: one of X.509 version 1 has a key too.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved};
use webpki::RawPublicKeyEntity;

/// The key in a certificate (RFC 5280 4.1.2.7).
///
/// # Errors
/// It is no certificate.
pub fn public_key(certificate: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, Error> {
    let (_, read) = x509_parser::parse_x509_certificate(certificate).map_err(|_| CertificateError::BadEncoding)?;
    Ok(SubjectPublicKeyInfoDer::from(read.public_key().raw.to_vec()))
}

/// A signature of TLS 1.2, whose schemes do not tell the curve (RFC 5246 7.4.1.4.1): one of all must fit.
///
/// # Errors
/// None does.
pub fn tls12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    known: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let (_, candidates) = known
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == signed.scheme)
        .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    let key = public_key(certificate)?;
    let key = RawPublicKeyEntity::try_from(&key).map_err(|_| CertificateError::BadEncoding)?;
    let fits = candidates.iter().any(|one| key.verify_signature(*one, message, signed.signature()).is_ok());
    fits.then(HandshakeSignatureValid::assertion).ok_or_else(|| CertificateError::BadSignature.into())
}

/// A signature of TLS 1.3.
///
/// # Errors
/// It does not fit.
pub fn tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    known: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    verify_tls13_signature_with_raw_key(message, &public_key(certificate)?, signed, known)
}
