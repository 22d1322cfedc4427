//! Where the proxy listens. In: a route. Out: connections, with where each was going.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::serve::serve;
use super::{Context, Party, Route, Stop, Upstream};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// How long to wait when nothing can be accepted: too many files are open, for one.
const PAUSE: Duration = Duration::from_millis(50);

/// A socket that listens.
pub struct Listener {
    listener: TcpListener,
    /// Where.
    pub address: SocketAddr,
    upstream: Upstream,
    dialler: Party,
}

/// Listens. An IPv6 address stands for IPv6 alone.
pub fn listen(route: &Route) -> io::Result<Listener> {
    open(route).map_err(|error| {
        let hint = if error.kind() == io::ErrorKind::PermissionDenied && route.upstream == Upstream::Intercepted {
            "; a transparent socket needs the capability CAP_NET_ADMIN"
        } else {
            ""
        };
        io::Error::new(error.kind(), format!("{}: cannot listen: {error}{hint}", route.listen))
    })
}

fn open(route: &Route) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(route.listen), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if route.listen.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if route.upstream == Upstream::Intercepted {
        set_transparent(&socket, route.listen.is_ipv6())?;
    }
    socket.bind(&route.listen.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket.into())?;
    let address = listener.local_addr()?;
    Ok(Listener { listener, address, upstream: route.upstream, dialler: route.dialler })
}

/// Lets a socket have addresses that are not this machine's.
pub fn set_transparent(socket: &Socket, v6: bool) -> io::Result<()> {
    if v6 { socket.set_ip_transparent_v6(true) } else { socket.set_ip_transparent_v4(true) }
}

impl Listener {
    /// Where, and what for.
    pub fn describe(&self) -> (SocketAddr, String) {
        let upstream = match self.upstream {
            Upstream::To(address) => address.to_string(),
            Upstream::Redirected => "where they were going (redirect)".to_owned(),
            Upstream::Intercepted => "where they were going (tproxy)".to_owned(),
        };
        (self.address, format!("{upstream}, dialled by {}", self.dialler.the()))
    }

    /// Accepts until the proxy is stopped.
    pub async fn run(self, context: Arc<Context>) {
        let mut failing = false;
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = context.told_to(Stop::Drained) => return,
            };
            match accepted {
                Ok((stream, peer)) => match self.goal(&stream, peer).inspect(|_| failing = false) {
                    Ok(goal) => _ = tokio::spawn(serve(context.clone(), stream, [peer, goal], self.dialler)),
                    Err(error) => context.note(format!("{}: connection dropped: {error}", self.address)),
                },
                Err(error) => {
                    // Said once: it is tried again and again.
                    if !std::mem::replace(&mut failing, true) {
                        context.note(format!("{}: cannot accept: {error}", self.address));
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Where a connection was going.
    fn goal(&self, stream: &TcpStream, peer: SocketAddr) -> io::Result<SocketAddr> {
        let goal = match self.upstream {
            Upstream::To(address) => return Ok(address),
            Upstream::Redirected => redirected(stream)?,
            Upstream::Intercepted => stream.local_addr()?,
        };
        if goal.port() == self.address.port() && (goal.ip() == self.address.ip() || self.address.ip().is_unspecified())
        {
            let hint = "it came to the proxy itself; see ckscope proxy rules";
            return Err(io::Error::other(format!("{peer} goes nowhere: {hint}")));
        }
        Ok(goal)
    }
}

/// The address before nftables redirected the connection; the local one if it did not.
fn redirected(stream: &TcpStream) -> io::Result<SocketAddr> {
    let local = stream.local_addr()?;
    let socket = SockRef::from(stream);
    let v6 = local.ip().to_canonical().is_ipv6();
    let original = if v6 { socket.original_dst_v6() } else { socket.original_dst_v4() };
    Ok(original.ok().and_then(|address| address.as_socket()).unwrap_or(local))
}

/// Whether a connection can have another's address as its source.
pub fn check_spoofing(v6: bool) -> io::Result<()> {
    let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    set_transparent(&socket, v6).map_err(|error| {
        let text = format!("--spoof-source needs the capability CAP_NET_ADMIN: {error}");
        io::Error::new(error.kind(), text)
    })
}

/// A socket to dial `goal` with; with `source`, from that address.
pub fn dialler(goal: SocketAddr, source: Option<SocketAddr>) -> io::Result<tokio::net::TcpSocket> {
    let socket = Socket::new(Domain::for_address(goal), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if let Some(source) = source {
        set_transparent(&socket, goal.is_ipv6())?;
        socket.set_reuse_address(true)?;
        // Its port is taken by the connection that is relayed.
        let source = match (source.ip(), goal.is_ipv6()) {
            (IpAddr::V4(address), true) => address.to_ipv6_mapped().into(),
            (address, _) => address,
        };
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    Ok(tokio::net::TcpSocket::from_std_stream(socket.into()))
}
