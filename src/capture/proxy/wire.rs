//! A TCP connection of which bytes were read ahead, to see what they are. In: a socket. Out: the same, which gives
//! those bytes again.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::gate::Gate;
use super::leg::GOOD_BYE;

/// A peer that vanished is found out after this long; a proxy that answers in its stead must look for itself.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Last words that are longer are none.
const LAST_WORDS: usize = 64 * 1024;

/// A record type (RFC 5246 6.2.1).
const CHANGE_CIPHER_SPEC: u8 = 20;

/// What of a socket's bytes the peer has not acknowledged (SIOCOUTQ, tcp(7)).
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[allow(unsafe_code)]
fn unsent(socket: BorrowedFd<'_>) -> Option<usize> {
    const SIOCOUTQ: rustix::ioctl::Opcode = 0x5411;
    // SAFETY: SIOCOUTQ has this number on these architectures, and writes one int.
    let count = unsafe { rustix::ioctl::ioctl(socket, rustix::ioctl::Getter::<SIOCOUTQ, i32>::new()) };
    usize::try_from(count.ok()?).ok()
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn unsent(_: BorrowedFd<'_>) -> Option<usize> {
    None
}

/// See the module.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    /// Read, and not given yet.
    pub ahead: Vec<u8>,
    /// Where in `ahead` the reader stands.
    given: usize,
    /// The stream has ended behind `ahead`.
    pub ended: bool,
    /// What holds bytes back during a hand-shake.
    gate: Option<Box<Gate>>,
    last_flight: Option<LastFlight>,
}

/// What a TLS 1.2 server says last in a hand-shake, kept until it may go.
#[derive(Debug, Default)]
struct LastFlight {
    spoke: bool,
    /// The client has answered: what is written now begins a record.
    answered: bool,
    kept: Vec<u8>,
}

impl LastFlight {
    /// Keeps `bytes` if they are of it: from ChangeCipherSpec on (RFC 5246 7.3), but no alert.
    fn keeps(&mut self, bytes: &[u8]) -> bool {
        let begins = self.answered && bytes.first() == Some(&CHANGE_CIPHER_SPEC);
        let is_it = begins || !self.kept.is_empty();
        if is_it {
            self.kept.extend_from_slice(bytes);
        }
        self.spoke = true;
        is_it
    }
}

impl Wire {
    /// Small messages go out at once, urgent bytes stay where they are among the others, and a peer that vanished is
    /// noticed.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_out_of_band_inline(true)?;
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE))?;
        Ok(Self { stream, ahead: Vec::new(), given: 0, ended: false, gate: None, last_flight: None })
    }

    /// Waits for more, to be looked at and given later.
    pub async fn look(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_look(cx)).await.map(drop)
    }

    /// All that still comes, as long as it comes at once: a peer's last words, when writing to it failed.
    pub async fn last_words(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        let mut chunk = vec![0; LAST_WORDS];
        let listen = async {
            while said.len() < LAST_WORDS {
                let mut buffer = ReadBuf::new(&mut chunk);
                if poll_fn(|cx| self.poll_stream(cx, &mut buffer)).await.is_err() || buffer.filled().is_empty() {
                    return;
                }
                said.extend_from_slice(buffer.filled());
            }
        };
        let _ = tokio::time::timeout(GOOD_BYE, listen).await; // then that was all
        said
    }

    /// The same socket once more: what it is ready for, an error alone, disturbs no reading and writing.
    pub fn watched(&self) -> io::Result<TcpStream> {
        TcpStream::from_std(self.stream.as_fd().try_clone_to_owned()?.into())
    }

    /// Bytes that were written and have not arrived, as far as the system tells.
    pub fn unsent(&self) -> usize {
        unsent(self.stream.as_fd()).unwrap_or(0)
    }

    /// From here on `gate` decides what is given.
    pub fn gated(mut self, gate: Gate) -> Self {
        self.gate = Some(Box::new(gate));
        self
    }

    /// From here on, what a TLS 1.2 server says last is kept.
    pub fn keeping_last_flight(mut self) -> Self {
        self.last_flight = Some(LastFlight::default());
        self
    }

    /// Sends what was kept.
    pub async fn send_last_flight(&mut self) -> io::Result<()> {
        let kept = self.last_flight.take().unwrap_or_default().kept;
        self.stream.write_all(&kept).await
    }

    /// Forgets what was kept; whether anything was.
    pub fn forget_last_flight(&mut self) -> bool {
        self.last_flight.take().is_some_and(|flight| !flight.kept.is_empty())
    }

    /// When dropped, the peer is to see a reset.
    pub fn reset_on_drop(&self) {
        let _ = self.stream.set_zero_linger(); // on a socket that is gone there is nothing to reset
    }

    /// Sends no more, and waits for the peer's end: a socket that is closed before what came in was read sends a
    /// reset, which may overtake what was sent (RFC 9293 3.10.4).
    pub async fn end(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let mut rest = [0; 4096];
        while self.stream.read(&mut rest).await? > 0 {}
        Ok(())
    }

    /// Sends no more, but for TLS without saying so.
    pub fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// Reads what the socket has. A short read does not mean that it has no more, as tokio's own `poll_read` takes it:
    /// the system stops at urgent bytes, and would not tell of what follows (tcp(7)).
    fn poll_stream(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read(buffer.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(|count| buffer.advance(count))),
            }
        }
    }

    /// Reads ahead; false at the end.
    fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut chunk = [0; 4096];
        let mut buffer = ReadBuf::new(&mut chunk);
        ready!(self.poll_stream(cx, &mut buffer))?;
        self.ahead.extend_from_slice(buffer.filled());
        self.ended |= buffer.filled().is_empty();
        Poll::Ready(Ok(!buffer.filled().is_empty()))
    }

    /// Bytes of `ahead` that may be given, reading until the gate knows.
    fn poll_allowed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        while let Some(gate) = &mut self.gate {
            let passed = ready!(gate.poll(cx, &self.ahead, self.given))?;
            match passed {
                Some(passed) if passed > self.given => return Poll::Ready(Ok(passed)),
                Some(_) if self.ended => self.gate = None,
                Some(_) => _ = ready!(self.poll_look(cx))?,
                None => self.gate = None,
            }
        }
        Poll::Ready(Ok(self.ahead.len()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(flight) = &mut self.last_flight {
            flight.answered = flight.spoke;
        }
        let allowed = ready!(self.poll_allowed(cx))?;
        if self.given < allowed {
            let end = allowed.min(self.given + buffer.remaining());
            buffer.put_slice(&self.ahead[self.given..end]);
            self.given = end;
            if self.given == self.ahead.len() && self.gate.is_none() {
                (self.ahead, self.given) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        self.poll_stream(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.last_flight.as_mut().is_some_and(|flight| flight.keeps(bytes)) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
