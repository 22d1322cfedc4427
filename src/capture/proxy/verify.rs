//! Whether a peer's certificate is to be believed. In: a chain. Out: yes, or the reason that its owner is told. Names
//! are not judged here: the other side sees the same names in the mirror, and judges by what it dialled.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::possession;
use super::refusals::reason;

/// Whom one party's certificate must lead to.
#[derive(Clone, Debug)]
pub struct Judge {
    server: Arc<dyn ServerCertVerifier>,
    client: Arc<dyn ClientCertVerifier>,
    /// Certificates that are believed as such, because they stand among the authorities.
    pinned: Arc<Vec<CertificateDer<'static>>>,
}

/// Why nobody can be judged.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// One of the authorities.
    #[error("certificate {number} of {of} cannot be used as an authority: {}; mend it, or take it out", reason(.error))]
    Authority {
        /// Its place, from 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// Why.
        error: Error,
    },
    /// All that is left: a revocation list.
    #[error(transparent)]
    Lists(#[from] VerifierBuilderError),
}

impl Judge {
    /// Believes what leads to `authorities` and is not in `revoked`. Of several lists of one issuer, the first counts.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub fn new(
        provider: &Arc<CryptoProvider>,
        authorities: &[CertificateDer<'static>],
        revoked: &[CertificateRevocationListDer<'static>],
    ) -> Result<Self, Unusable> {
        let mut roots = RootCertStore::empty();
        for (number, authority) in (1..).zip(authorities) {
            let unusable = |error| Unusable::Authority { number, of: authorities.len(), error };
            roots.add(authority.clone()).map_err(unusable)?;
        }
        let roots = Arc::new(roots);
        let server = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
            .with_crls(revoked.to_vec())
            .allow_unknown_revocation_status()
            .build()?;
        let client = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
            .with_crls(revoked.to_vec())
            .allow_unknown_revocation_status()
            .allow_unauthenticated()
            .build()?;
        Ok(Self { server, client, pinned: Arc::new(authorities.to_vec()) })
    }

    /// The authorities.
    pub fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.pinned
    }

    /// Whether a TLS server's chain, its own certificate first, is to be believed.
    ///
    /// # Errors
    /// Why not.
    pub fn server(&self, chain: &[CertificateDer<'_>], name: &ServerName<'_>) -> Result<(), Error> {
        let (leaf, rest) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        match self.server.verify_server_cert(leaf, rest, name, &[], UnixTime::now()) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(()),
            Err(error) => self.pinned(leaf).then_some(()).ok_or(error),
            Ok(_) => Ok(()),
        }
    }

    fn client(&self, leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let verified = self.client.verify_client_cert(leaf, rest, now);
        verified.map(drop).or_else(|error| self.pinned(leaf).then_some(()).ok_or(error))
    }

    /// Whether it stands among the authorities itself, and is valid now.
    fn pinned(&self, leaf: &CertificateDer<'_>) -> bool {
        self.pinned.iter().any(|pinned| pinned == leaf)
            && x509_parser::parse_x509_certificate(leaf).is_ok_and(|(_, leaf)| leaf.validity().is_valid())
    }
}

/// How we, as a TLS client, look at a server that was judged when its first flight was seen.
#[derive(Debug)]
pub struct ServerSide {
    provider: Arc<CryptoProvider>,
    /// The signatures that the client on the other side understands.
    schemes: Vec<SignatureScheme>,
    judge: Option<Judge>,
    /// What the client on the other side minded.
    refused: OnceLock<AlertDescription>,
    /// What the server is shown, once it is known.
    shown: OnceLock<Arc<CertifiedKey>>,
}

impl ServerSide {
    /// Believes everyone without a judge.
    pub fn new(provider: Arc<CryptoProvider>, schemes: &[SignatureScheme], judge: Option<Judge>) -> Self {
        let supported = provider.signature_verification_algorithms.supported_schemes();
        let common: Vec<_> = supported.iter().copied().filter(|scheme| schemes.contains(scheme)).collect();
        let schemes = if common.is_empty() { supported } else { common };
        Self { provider, schemes, judge, refused: OnceLock::new(), shown: OnceLock::new() }
    }

    /// The client on the other side minded something: so do we.
    pub fn refuse(&self, alert: AlertDescription) {
        let _ = self.refused.set(alert); // the first reason stands
    }

    /// Shows this when asked.
    pub fn show(&self, certified: Arc<CertifiedKey>) {
        let _ = self.shown.set(certified); // a connection has one
    }
}

impl ServerCertVerifier for ServerSide {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(alert) = self.refused.get() {
            return Err(saying(*alert));
        }
        if let Some(judge) = &self.judge {
            let chain: Vec<_> = std::iter::once(leaf).chain(rest).cloned().collect();
            judge.server(&chain, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        possession::tls12(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        possession::tls13(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

impl ResolvesClientCert for ServerSide {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.shown.get().cloned()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The error of which rustls makes this alert, or the next best.
fn saying(alert: AlertDescription) -> Error {
    Error::InvalidCertificate(match alert {
        AlertDescription::BadCertificate => CertificateError::BadEncoding,
        AlertDescription::CertificateExpired => CertificateError::Expired,
        AlertDescription::CertificateRevoked => CertificateError::Revoked,
        AlertDescription::UnknownCA => CertificateError::UnknownIssuer,
        AlertDescription::DecryptError => CertificateError::BadSignature,
        AlertDescription::UnsupportedCertificate => CertificateError::InvalidPurpose,
        AlertDescription::AccessDenied => CertificateError::ApplicationVerificationFailure,
        other => CertificateError::Other(OtherError(Arc::new(std::io::Error::other(format!("alert {other:?}"))))),
    })
}

/// How we, as a TLS server, look at a client.
#[derive(Debug)]
pub struct ClientSide {
    provider: Arc<CryptoProvider>,
    judge: Option<Judge>,
    /// Whether the server on the other side asks, and the authorities that it names.
    asks: bool,
    /// Whether the server cannot mind a client that shows nothing, because it is shown a certificate that was supplied.
    mandatory: bool,
    authorities: Vec<DistinguishedName>,
    /// What the client showed, believed or not.
    presented: OnceLock<CertificateDer<'static>>,
}

impl ClientSide {
    /// Asks if the server on the other side does, in its words; it decides about who shows nothing, unless it is shown
    /// a certificate that was `supplied` whoever comes.
    pub fn new(
        provider: Arc<CryptoProvider>,
        judge: Option<Judge>,
        (asks, supplied): (bool, bool),
        authorities: Vec<DistinguishedName>,
    ) -> Self {
        let mandatory = asks && supplied && judge.is_some();
        Self { provider, judge, asks, mandatory, authorities, presented: OnceLock::new() }
    }

    /// What the client showed so far.
    pub fn presented(&self) -> Option<&CertificateDer<'static>> {
        self.presented.get()
    }
}

impl ClientCertVerifier for ClientSide {
    fn offer_client_auth(&self) -> bool {
        self.asks
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.authorities
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let _ = self.presented.set(leaf.clone().into_owned()); // a hand-shake has one
        self.judge.as_ref().map_or(Ok(()), |judge| judge.client(leaf, rest, now))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        possession::tls12(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        possession::tls13(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
