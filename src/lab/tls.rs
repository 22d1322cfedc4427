//! TLS as the lab's peers speak it: mutual authentication, one version, secrets written down. In: an
//! [`Identity`]. Out: rustls configurations, and a [`Session`] that turns plain bytes into records and back
//! without a socket.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, ClientConnection, Connection, KeyLog, RootCertStore, ServerConfig, ServerConnection};

use super::pki::{Authority, Identity, Keys, Subject};
use super::setup::{Binding, CONTROLLER_HOST, Dial, START, Setup};
use crate::time::Timestamp;

/// A version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Version {
    /// RFC 5246
    #[value(name = "1.2")]
    V12,
    /// RFC 8446
    #[value(name = "1.3")]
    V13,
}

impl Version {
    fn protocol(self) -> &'static rustls::SupportedProtocolVersion {
        match self {
            Self::V12 => &rustls::version::TLS12,
            Self::V13 => &rustls::version::TLS13,
        }
    }
}

/// The time by which certificates are judged.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The machine's.
    Machine,
    /// A simulation's.
    Fixed(Timestamp),
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        match self {
            Self::Machine => DefaultTimeProvider.current_time(),
            Self::Fixed(time) => Some(UnixTime::since_unix_epoch(Duration::from_nanos(time.0.max(0) as u64))),
        }
    }
}

/// What the connections of a lab have in common.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The only version that is spoken.
    pub version: Version,
    /// The protocol to agree on (RFC 7301); none for Ck over TCP.
    pub alpn: Option<&'static [u8]>,
    /// By which certificates are judged.
    pub clock: Clock,
    /// Where secrets go.
    pub secrets: Arc<dyn KeyLog>,
}

impl Terms {
    /// What the side needs that dials.
    pub fn client(&self, identity: &Identity) -> io::Result<Arc<ClientConfig>> {
        let (provider, roots) = (provider(), roots(identity)?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
        let mut config = ClientConfig::builder_with_details(provider, Arc::new(self.clock))
            .with_protocol_versions(&[self.version.protocol()])
            .map_err(io::Error::other)?
            .with_webpki_verifier(verifier.map_err(io::Error::other)?)
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(io::Error::other)?;
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        config.key_log = self.secrets.clone();
        Ok(Arc::new(config))
    }

    /// What the side needs that is dialled. It talks to nobody without a certificate.
    pub fn server(&self, identity: &Identity) -> io::Result<Arc<ServerConfig>> {
        let (provider, roots) = (provider(), roots(identity)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build();
        let mut config = ServerConfig::builder_with_details(provider, Arc::new(self.clock))
            .with_protocol_versions(&[self.version.protocol()])
            .map_err(io::Error::other)?
            .with_client_cert_verifier(verifier.map_err(io::Error::other)?)
            .with_single_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(io::Error::other)?;
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        config.key_log = self.secrets.clone();
        Ok(Arc::new(config))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn roots(identity: &Identity) -> io::Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for root in &identity.roots {
        roots.add(root.clone()).map_err(io::Error::other)?;
    }
    Ok(Arc::new(roots))
}

/// Secrets as lines of an NSS key log, to wherever those go.
pub struct Secrets<W>(Mutex<W>);

impl<W: Write> Secrets<W> {
    /// To `out`, line by line.
    pub fn new(out: W) -> Self {
        Self(Mutex::new(out))
    }
}

impl Default for Secrets<Vec<u8>> {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Secrets<Vec<u8>> {
    /// The lines so far; they are gone from here.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<W> std::fmt::Debug for Secrets<W> {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl<W: Write + Send> KeyLog for Secrets<W> {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
            eprintln!("key log: {error}"); // rustls has no way to hear of it
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all");
        text
    })
}

/// What the peers of a simulation need.
#[derive(Debug)]
pub struct Configurations {
    controller: Configuration,
    /// In the order of the topology.
    kms: Vec<Configuration>,
}

/// What one peer needs.
#[derive(Debug)]
struct Configuration {
    host: String,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Configurations {
    /// A new PKI for the peers of `setup`.
    ///
    /// # Panics
    /// If the system has no randomness, or the topology's IDs make no certificate.
    pub fn new(setup: &Setup, version: Version) -> Self {
        let authority = Authority::new(Keys::Ecdsa, START).expect("the system gives randomness");
        let alpn = (setup.binding == Binding::Grpc).then_some(&b"h2"[..]);
        let terms = Terms { version, alpn, clock: Clock::Fixed(START), secrets: setup.aside.clone() };
        let configuration = |subject: &Subject| {
            let identity = authority.identity(subject)?;
            let (client, server) = (terms.client(&identity)?, terms.server(&identity)?);
            Ok::<_, io::Error>(Configuration { host: subject.host().to_owned(), client, server })
        };
        let configuration = |subject| configuration(&subject).expect("a new PKI fits itself");
        let kms = setup.topology.kms.iter();
        Self {
            controller: configuration(Subject::controller(&[setup.address(CONTROLLER_HOST)])),
            kms: kms.map(|km| configuration(Subject::km(km, &[setup.address(km.host)]))).collect(),
        }
    }

    /// Both ends of a connection between a KM and the controller: who dials first.
    ///
    /// # Panics
    /// Never: each end's configuration was made for it.
    pub fn ends(&self, km: usize, dial: Dial) -> [Session; 2] {
        let (from, to) = match dial {
            Dial::Km => (&self.kms[km], &self.controller),
            Dial::Controller => (&self.controller, &self.kms[km]),
        };
        let ends = [Session::client(from.client.clone(), &to.host), Session::server(to.server.clone())];
        ends.map(|end| end.expect("the configuration was made for it"))
    }
}

/// One end of a connection.
#[derive(Debug)]
pub struct Session(Connection);

impl Session {
    /// The end that dials `host`.
    pub fn client(config: Arc<ClientConfig>, host: &str) -> io::Result<Self> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Self::unlimited(ClientConnection::new(config, name).map_err(io::Error::other)?.into()))
    }

    /// The end that is dialled.
    pub fn server(config: Arc<ServerConfig>) -> io::Result<Self> {
        Ok(Self::unlimited(ServerConnection::new(config).map_err(io::Error::other)?.into()))
    }

    /// The longest payload is longer than what rustls holds by default.
    fn unlimited(mut connection: Connection) -> Self {
        connection.set_buffer_limit(None);
        Self(connection)
    }

    /// Whether the hand-shake is done.
    pub fn is_up(&self) -> bool {
        !self.0.is_handshaking()
    }

    /// Takes records as they arrive, in whatever pieces, and gives what was in them.
    pub fn receive(&mut self, mut records: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        while !records.is_empty() {
            self.0.read_tls(&mut records)?;
            let pending = self.0.process_new_packets().map_err(io::Error::other)?.plaintext_bytes_to_read();
            self.0.reader().take(pending as u64).read_to_end(&mut plain)?;
        }
        Ok(plain)
    }

    /// Takes what is to be sent.
    pub fn send(&mut self, plain: &[u8]) -> io::Result<()> {
        self.0.writer().write_all(plain)
    }

    /// Says that nothing more will be sent (RFC 8446 6.1).
    pub fn close(&mut self) {
        self.0.send_close_notify();
    }

    /// The records that are to go out now.
    pub fn records(&mut self) -> io::Result<Vec<u8>> {
        let mut records = Vec::new();
        while self.0.wants_write() {
            self.0.write_tls(&mut records)?;
        }
        Ok(records)
    }
}
