//! One side's connection: plain TCP, or TLS in either role. In: a hand-shake that is done, or none. Out: a stream of
//! plain bytes, and the ways in which it can end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::{client, server};

use super::alert;
use super::wire::Wire;

/// How long a good-bye may take.
pub const GOOD_BYE: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug)]
pub enum Leg {
    /// Bytes as they are.
    Plain(Wire),
    /// We are the TLS client.
    Client(Box<client::TlsStream<Wire>>),
    /// We are the TLS server.
    Server(Box<server::TlsStream<Wire>>),
}

impl Leg {
    fn stream(&mut self) -> Pin<&mut (dyn Stream + '_)> {
        match self {
            Self::Plain(wire) => Pin::new(wire),
            Self::Client(stream) => Pin::new(stream),
            Self::Server(stream) => Pin::new(stream),
        }
    }

    /// The TCP connection underneath.
    pub fn wire(&mut self) -> &mut Wire {
        match self {
            Self::Plain(wire) => wire,
            Self::Client(stream) => stream.get_mut().0,
            Self::Server(stream) => stream.get_mut().0,
        }
    }

    /// Ends the connection. `alert` says why: in plain where nothing is encrypted, as a hand-shake did not come so far.
    pub async fn leave(self, alert: Option<AlertDescription>) {
        let (mut wire, connection) = match self {
            Self::Plain(wire) => (wire, None),
            Self::Client(stream) => {
                let (wire, connection) = stream.into_inner();
                (wire, Some(rustls::Connection::from(connection)))
            }
            Self::Server(stream) => {
                let (wire, connection) = stream.into_inner();
                (wire, Some(rustls::Connection::from(connection)))
            }
        };
        let encrypts = !wire.forget_last_flight();
        let record = alert.and_then(|alert| match connection.filter(|_| encrypts) {
            None => Some(alert::plain(alert).to_vec()),
            Some(connection) => alert::sealed(connection, alert),
        });
        let end = async {
            wire.write_all(&record.unwrap_or_default()).await?;
            wire.end().await
        };
        let _ = tokio::time::timeout(GOOD_BYE, end).await; // whoever does not listen is not waited for
    }

    /// Sends no more, and says so only by TCP.
    pub fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.stream().poll_flush(cx))?;
        self.wire().poll_cut(cx)
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl AsyncRead for Leg {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Leg {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}
