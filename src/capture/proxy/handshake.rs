//! Two hand-shakes at once, of which each waits for the other: the client's side is shown the server's identity and
//! the server's side the client's. In: two connections and what the client offers. Out: both sides' plain streams, or
//! who refused whom; and the report either way.
//!
//! We offer the server what the client offered us. The server's first flight is seen by a [`gate`](super::gate), and
//! held there. The client is offered what the server chose, and shown the mirror of its certificate. Once the client
//! has shown its own, the server is let on, and shown the mirror of that. In TLS 1.2, where the server has the last word,
//! the client hears ours when the server has said its own.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{Acceptor, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{AlertDescription, ClientConfig, Error, ProtocolVersion, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::{FallibleAccept, FallibleConnect, LazyConfigAcceptor, TlsConnector, server};

use super::detect::Hello;
use super::gate::{Gate, Keeper};
use super::identities::Identities;
use super::leg::Leg;
use super::peek::Flight;
use super::refusals::{alert_hint, alert_of, believe_hint, reason};
use super::report::{Certificate, Half, HandOff, Refusal};
use super::secrets::Secrets;
use super::verify::{ClientSide, ServerSide};
use super::wire::Wire;
use super::{Party, alert};

/// Both sides of a connection, by their roles in TLS.
pub struct Roles<T> {
    /// Who sent the ClientHello.
    pub client: T,
    /// The other.
    pub server: T,
}

/// What is needed for both hand-shakes.
pub struct Shake<'a> {
    identities: &'a Identities,
    hello: &'a Hello,
    parties: Roles<Party>,
    /// The server's address, for its name where none is asked for.
    address: IpAddr,
    provider: Arc<CryptoProvider>,
    /// What is known so far.
    pub report: HandOff,
}

/// It failed; everyone was told, and the report says how.
#[derive(Debug, Default)]
pub struct Failed {
    /// Who broke the connection off, if nobody ended it.
    pub reset: Option<Party>,
}

impl<'a> Shake<'a> {
    /// None if nothing that is offered can be opened: an older TLS, or suites without forward secrecy.
    pub fn new(identities: &'a Identities, hello: &'a Hello, parties: Roles<Party>, address: IpAddr) -> Option<Self> {
        let mut provider = CryptoProvider::clone(&identities.provider);
        provider.cipher_suites.retain(|suite| hello.suites.contains(&suite.suite()));
        provider.cipher_suites.sort_by_key(|suite| hello.suites.iter().position(|offered| *offered == suite.suite()));
        if let Some(groups) = &hello.groups {
            provider.kx_groups.retain(|group| groups.contains(&group.name()));
            provider.kx_groups.sort_by_key(|group| groups.iter().position(|offered| *offered == group.name()));
        }
        if provider.cipher_suites.is_empty() || provider.kx_groups.is_empty() {
            return None;
        }
        let client = parties.client;
        let report = HandOff { server_name: hello.name.clone(), client, ..HandOff::default() };
        Some(Self { identities, hello, parties, address, provider: Arc::new(provider), report })
    }

    /// Brings both sides together.
    pub async fn run(&mut self, client: Wire, server: Wire) -> Result<Roles<Leg>, Failed> {
        let (secrets, judge) = (Secrets::new(self.identities.key_log.clone()), self.judge(self.parties.server));
        let side = Arc::new(ServerSide::new(self.provider.clone(), &self.hello.schemes, judge));
        let (gate, mut keeper) = Gate::new(secrets.clone());
        let connect = self.connect(server.gated(gate), &side, secrets.clone());
        let mut connect = match connect {
            Ok(connect) => connect,
            Err(error) => return Err(self.server_broke(Leg::Plain(client), &io::Error::other(error)).await),
        };
        let flight = tokio::select! {
            done = &mut connect => return Err(self.no_flight(client, done.err()).await),
            seen = &mut keeper.seen => match seen {
                Ok(flight) => flight,
                // Let through unseen: what comes of it is an error, or nothing we could mirror.
                Err(_) => {
                    let done = connect.await;
                    return Err(self.no_flight(client, done.err()).await);
                }
            }
        };
        self.half(self.parties.server).presented = flight.chain.first().map(Certificate::of);
        if let Some(error) = self.judged(&flight) {
            let (alert, party) = (alert_of(&error), self.parties.server);
            self.refused("the proxy", party, alert, reason(&error), believe_hint(party, &error));
            let alert = alert.unwrap_or(AlertDescription::CertificateUnknown);
            return Err(turned_away(client, connect, keeper, &side, alert).await);
        }
        let (config, verifier) = match self.as_server(&flight, secrets).await {
            Ok(made) => made,
            Err(error) => {
                let alert = AlertDescription::InternalError;
                self.refused("the proxy", self.parties.server, Some(alert), error.to_string(), None);
                return Err(turned_away(client, connect, keeper, &side, alert).await);
            }
        };
        let has_last_word = flight.version == Some(ProtocolVersion::TLSv1_2);
        let client = if has_last_word { client.keeping_last_flight() } else { client };
        let accepted = accept(client, config).await;
        self.half(self.parties.client).presented = verifier.presented().map(Certificate::of);
        let mut accepted = match accepted {
            Ok(accepted) => accepted,
            Err(error) => return Err(self.client_failed(connect, keeper, &side, &error).await),
        };
        self.negotiated(self.parties.client, accepted.get_ref().1);
        if let Err(error) = self.show_server(&side, &accepted).await {
            self.refused("the proxy", self.parties.client, None, error.to_string(), None);
            Leg::Server(Box::new(accepted)).leave(Some(AlertDescription::InternalError)).await;
            return Err(Failed::default());
        }
        let _ = keeper.release.send(Ok(())); // the gate is in `connect`, which is here
        match connect.await {
            Ok(stream) => {
                self.negotiated(self.parties.server, stream.get_ref().1);
                self.compare();
                let _ = accepted.get_mut().0.send_last_flight().await; // a client that is gone is found gone soon
                Ok(Roles { client: Leg::Server(Box::new(accepted)), server: Leg::Client(Box::new(stream)) })
            }
            Err((error, wire)) => {
                let error = last_alert(wire, error).await;
                Err(self.server_broke(Leg::Server(Box::new(accepted)), &error).await)
            }
        }
    }

    fn judge(&self, party: Party) -> Option<super::verify::Judge> {
        self.identities.judge(party)
    }

    /// The name that we ask the server for; without one, its address, which is not said (RFC 6066 3).
    fn name(&self) -> ServerName<'static> {
        let name = self.hello.name.clone().and_then(|name| ServerName::try_from(name).ok());
        name.unwrap_or_else(|| ServerName::IpAddress(self.address.into()))
    }

    fn connect(
        &self,
        wire: Wire,
        side: &Arc<ServerSide>,
        secrets: Arc<Secrets>,
    ) -> Result<FallibleConnect<Wire>, Error> {
        let versions = versions(&self.provider);
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&versions)?
            .dangerous()
            .with_custom_certificate_verifier(side.clone())
            .with_client_cert_resolver(side.clone());
        config.alpn_protocols = self.hello.alpn.clone();
        config.enable_sni = self.hello.name.is_some();
        config.resumption = Resumption::disabled();
        config.key_log = secrets;
        config.enable_secret_extraction = true;
        Ok(TlsConnector::from(Arc::new(config)).connect(self.name(), wire).into_fallible())
    }

    /// How we shake hands with the client: as the server would.
    async fn as_server(
        &mut self,
        flight: &Flight,
        secrets: Arc<Secrets>,
    ) -> io::Result<(ServerConfig, Arc<ClientSide>)> {
        let (certified, same_key) = self.shown(self.parties.client, flight.chain.first()).await?;
        let certified = certified.ok_or_else(|| io::Error::other("the server showed no certificate"))?;
        self.server_config(flight, certified, same_key, secrets).map_err(io::Error::other)
    }

    fn server_config(
        &self,
        flight: &Flight,
        certified: Arc<CertifiedKey>,
        same_key: bool,
        secrets: Arc<Secrets>,
    ) -> Result<(ServerConfig, Arc<ClientSide>), Error> {
        let mut provider = CryptoProvider::clone(&self.provider);
        if same_key {
            provider.cipher_suites.retain(|suite| Some(suite.suite()) == flight.suite);
        }
        // What the server chose, the client has offered; one of them there is, else nothing had been negotiated.
        provider.kx_groups.retain(|group| flight.group.is_none_or(|chosen| group.name() == chosen));
        let provider = Arc::new(provider);
        let versions: Vec<_> =
            versions(&self.provider).into_iter().filter(|version| Some(version.version) == flight.version).collect();
        let judge = self.judge(self.parties.client);
        let supplied = self.identities.supplied(self.parties.server).is_some();
        let verifier = ClientSide::new(provider.clone(), judge, (flight.asks, supplied), flight.authorities.clone());
        let verifier = Arc::new(verifier);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)?
            .with_client_cert_verifier(verifier.clone())
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = flight.alpn.iter().cloned().collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.key_log = secrets;
        config.enable_secret_extraction = true;
        Ok((config, verifier))
    }

    /// What `party` is shown for the other's certificate; and whether its key is of the same kind.
    async fn shown(
        &mut self,
        party: Party,
        original: Option<&CertificateDer<'_>>,
    ) -> io::Result<(Option<Arc<CertifiedKey>>, bool)> {
        let supplied = self.identities.supplied(party);
        let (certified, same_key) = match (supplied, original) {
            (Some(supplied), _) => (Some(supplied), false),
            (None, Some(original)) => {
                let leaf = tokio::task::block_in_place(|| self.identities.mirror(original))?;
                let other = party.other();
                if leaf.other_key {
                    self.report.differs.push(format!("the kind of the {other}'s key cannot be mirrored"));
                }
                if !leaf.left_out.is_empty() {
                    let what = leaf.left_out.join(", ");
                    let text = format!("what the {other}'s certificate says of its issuer is not mirrored: {what}");
                    self.report.differs.push(text);
                }
                self.half(party).mirrored = true;
                (Some(leaf.certified), !leaf.other_key)
            }
            (None, None) => (None, true),
        };
        self.half(party).shown = certified.as_ref().and_then(|certified| certified.cert.first()).map(Certificate::of);
        Ok((certified, same_key))
    }

    /// Now that the client is known, the server may ask.
    async fn show_server(&mut self, side: &ServerSide, client: &server::TlsStream<Wire>) -> io::Result<()> {
        let presented = client.get_ref().1.peer_certificates().and_then(<[_]>::first);
        if let (Some(certified), _) = self.shown(self.parties.server, presented).await? {
            side.show(certified);
        }
        Ok(())
    }

    fn judged(&self, flight: &Flight) -> Option<Error> {
        self.judge(self.parties.server)?.server(&flight.chain, &self.name()).err()
    }

    /// The server ended it before it showed a certificate.
    async fn no_flight(&mut self, client: Wire, error: Option<(io::Error, Wire)>) -> Failed {
        let error = error.map(|(error, _)| error);
        let error = error.unwrap_or_else(|| io::Error::other("it showed no certificate that could be mirrored"));
        self.server_broke(Leg::Plain(client), &error).await
    }

    /// The server's side came to nothing, as the client is to see.
    async fn server_broke(&mut self, mut client: Leg, error: &io::Error) -> Failed {
        let alert = self.server_failed(error);
        if error.kind() == io::ErrorKind::ConnectionReset {
            client.wire().reset_on_drop();
            return Failed { reset: Some(self.parties.server) };
        }
        client.leave(alert).await;
        Failed::default()
    }

    /// What the server, or we at its side, minded; and the alert that the client is to see.
    fn server_failed(&mut self, error: &io::Error) -> Option<AlertDescription> {
        let (client, server) = (self.parties.client, self.parties.server);
        match tls(error) {
            Some(Error::AlertReceived(alert)) => {
                let (alert, hint) = (*alert, alert_hint(server, *alert));
                self.refused(server.the(), client, Some(alert), "its alert says so".to_owned(), hint);
                Some(alert)
            }
            Some(error) => {
                let alert = alert_of(error);
                self.refused("the proxy", server, alert, reason(error), None);
                Some(alert.unwrap_or(AlertDescription::InternalError))
            }
            None => {
                self.refused(server.the(), client, None, format!("it ended the connection: {error}"), None);
                None
            }
        }
    }

    /// The client minded something, or we did about it: the server is told what it would have heard.
    async fn client_failed(
        &mut self,
        connect: FallibleConnect<Wire>,
        keeper: Keeper,
        side: &ServerSide,
        error: &io::Error,
    ) -> Failed {
        let (client, server) = (self.parties.client, self.parties.server);
        match tls(error) {
            Some(Error::AlertReceived(alert)) => {
                let hint = alert_hint(client, *alert);
                self.refused(client.the(), server, Some(*alert), "its alert says so".to_owned(), hint);
                side.refuse(*alert);
                let _ = keeper.release.send(Ok(())); // the gate is in `connect`, which is here
                drop(connect.await);
            }
            Some(error) => {
                self.refused("the proxy", client, alert_of(error), reason(error), believe_hint(client, error));
            }
            None => {
                self.refused(client.the(), server, None, format!("it ended the connection: {error}"), None);
                let kind = error.kind();
                let _ = keeper.release.send(Err(kind.into())); // as above
                let gone = connect.await.err();
                if kind == io::ErrorKind::ConnectionReset {
                    gone.inspect(|(_, wire)| wire.reset_on_drop());
                    return Failed { reset: Some(client) };
                }
            }
        }
        Failed::default()
    }

    fn refused(&mut self, who: &str, whom: Party, alert: Option<AlertDescription>, why: String, hint: Option<String>) {
        let alert = alert.map(|alert| format!("{alert:?}"));
        self.report.refusal = Some(Refusal { who: who.to_owned(), whom: whom.the().to_owned(), alert, why, hint });
    }

    fn half(&mut self, party: Party) -> &mut Half {
        match party {
            Party::Km => &mut self.report.km,
            Party::Controller => &mut self.report.controller,
        }
    }

    fn negotiated(&mut self, party: Party, connection: &rustls::CommonState) {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "TLS 1.2",
        };
        let mut parts = vec![version.to_owned()];
        // The registry's names, where rustls has its own (RFC 8446 B.4).
        let suite = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        parts.extend(suite.map(|name| name.replacen("TLS13_", "TLS_", 1)));
        parts.extend(connection.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name())));
        parts.extend(connection.alpn_protocol().map(|name| format!("ALPN {}", name.escape_ascii())));
        self.half(party).negotiated = parts.join(", ");
    }

    fn compare(&mut self) {
        let HandOff { km, controller, .. } = &self.report;
        if km.negotiated != controller.negotiated {
            self.report.differs.push("what was negotiated".to_owned());
        }
    }
}

/// Shakes hands with the client.
async fn accept(wire: Wire, config: ServerConfig) -> io::Result<server::TlsStream<Wire>> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), wire).await?;
    let accept: FallibleAccept<Wire> = start.into_stream(Arc::new(config)).into_fallible();
    accept.await.map_err(|(error, _)| error)
}

/// We do not take the server's certificate. Its hand-shake goes on to where it is told.
async fn turned_away(
    client: Wire,
    connect: FallibleConnect<Wire>,
    keeper: Keeper,
    side: &ServerSide,
    alert: AlertDescription,
) -> Failed {
    side.refuse(alert);
    let _ = keeper.release.send(Ok(())); // the gate is in `connect`, which is here
    let told = async { drop(connect.await) };
    tokio::join!(told, Leg::Plain(client).leave(Some(alert)));
    Failed::default()
}

/// The versions that these suites are of.
fn versions(provider: &CryptoProvider) -> Vec<&'static SupportedProtocolVersion> {
    let all = [&rustls::version::TLS13, &rustls::version::TLS12];
    let has = |version: &&&SupportedProtocolVersion| {
        provider.cipher_suites.iter().any(|suite| suite.version().version == version.version)
    };
    all.iter().filter(has).copied().collect()
}

/// Why a hand-shake failed: whoever minds something and closes at once may be found gone by us before it is heard. What
/// it said is not encrypted before its own Finished, and in TLS 1.3 our hand-shake does not fail after that.
async fn last_alert(mut wire: Wire, error: io::Error) -> io::Error {
    if tls(&error).is_some() {
        return error;
    }
    let alert = alert::last_plain(&wire.last_words().await);
    alert.map_or(error, |alert| io::Error::other(Error::AlertReceived(alert)))
}

fn tls(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}
