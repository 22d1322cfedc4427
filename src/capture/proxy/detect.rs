//! TLS or not, by the first bytes from either side. In: two connections. Out: who is the TLS client, if any, and what
//! its ClientHello offers. Nothing is taken from the connections.

use std::io;
use std::time::Duration;

use rustls::server::Acceptor;
use rustls::{CipherSuite, NamedGroup, SignatureScheme};
use tokio::time::Instant;

use super::tap::Side;
use super::wire::Wire;

/// A ClientHello that is longer is no ClientHello (four records).
const HELLO: usize = 64 * 1024;

/// What a ClientHello offers.
#[derive(Clone, Debug, Default)]
pub struct Hello {
    /// The name that is asked for (RFC 6066 3).
    pub name: Option<String>,
    /// Protocols (RFC 7301).
    pub alpn: Vec<Vec<u8>>,
    /// Suites.
    pub suites: Vec<CipherSuite>,
    /// Groups, where they are named.
    pub groups: Option<Vec<NamedGroup>>,
    /// Signatures.
    pub schemes: Vec<SignatureScheme>,
}

/// What is spoken.
#[derive(Debug)]
pub enum Kind {
    /// Not TLS.
    Plain,
    /// TLS, of which this side is the client.
    Tls(Side, Box<Hello>),
}

/// What the first bytes of a side are.
enum First {
    Nothing,
    /// The beginning of what may become a ClientHello.
    Perhaps,
    Hello(Box<Hello>),
    Other,
}

/// Waits until it is clear what is spoken. Whoever began a ClientHello has `patience` to finish it; who says nothing
/// may go on saying nothing.
/// The error is that of a side whose connection broke.
pub async fn detect(ends: &mut [Wire; 2], patience: Duration) -> Result<Kind, (Side, io::Error)> {
    let mut deadline = None;
    loop {
        let firsts = [Side::Dialler, Side::Dialled].map(|side| (side, first(&ends[side as usize].ahead)));
        let mut begun = false;
        for (side, first) in firsts {
            match first {
                First::Hello(hello) => return Ok(Kind::Tls(side, hello)),
                First::Other => return Ok(Kind::Plain),
                First::Perhaps => begun = true,
                First::Nothing => {}
            }
        }
        if ends.iter().any(|end| end.ended) {
            return Ok(Kind::Plain);
        }
        if begun && deadline.is_none() {
            deadline = Some(Instant::now() + patience);
        }
        let [dialler, dialled] = &mut *ends;
        tokio::select! {
            looked = dialler.look() => looked.map_err(|error| (Side::Dialler, error))?,
            looked = dialled.look() => looked.map_err(|error| (Side::Dialled, error))?,
            () = sleep_until(deadline) => return Ok(Kind::Plain),
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn first(bytes: &[u8]) -> First {
    if bytes.is_empty() {
        return First::Nothing;
    }
    // A hand-shake record of some TLS version that begins with a ClientHello (RFC 8446 5.1, 4).
    let wanted = [Some(22), Some(3), None, None, None, Some(1)];
    let fits = |(byte, wanted): (&u8, Option<u8>)| wanted.is_none_or(|wanted| *byte == wanted);
    if !bytes.iter().zip(wanted).all(fits) || bytes.len() > HELLO {
        return First::Other;
    }
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        if acceptor.read_tls(&mut rest).is_err() {
            return First::Other;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => return First::Hello(Box::new(offered(&accepted.client_hello()))),
            Ok(None) => {}
            Err(_) => return First::Other,
        }
    }
    First::Perhaps
}

fn offered(hello: &rustls::server::ClientHello<'_>) -> Hello {
    Hello {
        name: hello.server_name().map(str::to_owned),
        alpn: hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect(),
        suites: hello.cipher_suites().to_vec(),
        schemes: hello.signature_schemes().to_vec(),
        groups: hello.named_groups().map(<[NamedGroup]>::to_vec),
    }
}
