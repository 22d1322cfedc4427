//! Real connections: TCP, or TLS over it. In: addresses and configurations. Out: [`Socket`]s, which do not show
//! what they are made of. Refuses to know Ck.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tonic::transport::Uri;
use tonic::transport::server::Connected;
use tower_service::Service;

/// Whoever dials and then does not shake hands is forgotten after this long.
const PATIENCE: Duration = Duration::from_secs(10);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that stands.
pub struct Socket {
    stream: Box<dyn Stream>,
    /// The address of the other end.
    pub remote: SocketAddr,
    /// The common name in the other end's certificate.
    pub name: Option<String>,
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Connected for Socket {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

/// Whom to dial, and how.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// Where.
    pub address: SocketAddr,
    /// On loopback from 127.0.0.`host`, so that the controller and captures can tell KMs apart.
    pub host: u8,
    /// With TLS: how, and the name that is expected there.
    pub tls: Option<(Arc<ClientConfig>, String)>,
}

impl Dialer {
    /// Dials. Errors name the address.
    pub async fn dial(self) -> io::Result<Socket> {
        let address = self.address;
        self.connect().await.map_err(|error| named(address, &error))
    }

    async fn connect(self) -> io::Result<Socket> {
        let stream = self.tcp().await?;
        stream.set_nodelay(true)?;
        let remote = stream.peer_addr()?;
        let Some((config, name)) = self.tls else { return Ok(Socket { stream: Box::new(stream), remote, name: None }) };
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let stream = patient(TlsConnector::from(config).connect(name, stream)).await?;
        let name = common_name(stream.get_ref().1.peer_certificates());
        Ok(Socket { stream: Box::new(stream), remote, name })
    }

    async fn tcp(&self) -> io::Result<TcpStream> {
        if self.address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) && self.host != 0 {
            let socket = TcpSocket::new_v4()?;
            // Where the system has only 127.0.0.1 this fails, and any address will do.
            if socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, self.host)), 0)).is_ok() {
                return socket.connect(self.address).await;
            }
        }
        TcpStream::connect(self.address).await
    }
}

/// How tonic dials, and dials again.
impl Service<Uri> for Dialer {
    type Response = TokioIo<Socket>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Socket>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move { dialer.dial().await.map(TokioIo::new) })
    }
}

/// The connection of somebody who dialled us; the hand-shake, with TLS, is done.
pub async fn accept(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<Socket> {
    stream.set_nodelay(true)?;
    let remote = stream.peer_addr()?;
    let Some(config) = tls else { return Ok(Socket { stream: Box::new(stream), remote, name: None }) };
    let stream = patient(TlsAcceptor::from(config).accept(stream)).await?;
    let name = common_name(stream.get_ref().1.peer_certificates());
    Ok(Socket { stream: Box::new(stream), remote, name })
}

async fn patient<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no TLS hand-shake within 10 s");
    tokio::time::timeout(PATIENCE, work).await.map_err(late)?
}

fn common_name(chain: Option<&[CertificateDer<'_>]>) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(chain?.first()?).ok()?;
    certificate.subject().iter_common_name().next()?.as_str().ok().map(str::to_owned)
}

/// The error with the address it is about.
pub fn named(address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}
