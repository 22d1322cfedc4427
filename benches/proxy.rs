//! What the proxy costs, side by side in one run: mutual TLS 1.3 straight to the controller, through `ckscope proxy`
//! with recording and analysis on, and through haproxy (where it is installed) that bridges TLS both ways and does
//! neither. `cargo bench --bench proxy`; round trips of a next hop request and its response, 1 connection × 1 in
//! flight, and 64 × 32.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener as Probe};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ckscope::capture::proxy::authority;
use ckscope::lab::pki::{self, Identity, Keys, Subject};
use ckscope::lab::run::now;
use ckscope::lab::tls::{Clock, Terms, Version};
use ckscope::lab::topology::Topology;
use ckscope::lab::wire::{Code, Pdu};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// How long each way is measured, and how often in turn.
const LASTS: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;
const SHAPES: [(usize, usize); 2] = [(1, 1), (64, 32)];
const CONTROLLER: &str = "controller.qkdn.example";

fn main() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let peers = Peers::new(folder.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let direct = runtime.block_on(peers.listen())?;
    let (ours, _ours) = ckscope(folder.path(), direct)?;
    let theirs = haproxy(folder.path(), direct)?;
    let mut ways = vec![("direct", direct), ("ckscope proxy", ours)];
    match &theirs {
        Some((address, _)) => ways.push(("haproxy", *address)),
        None => eprintln!("haproxy is not installed, so there is nothing to compare with"),
    }
    println!("{:14} {:>8} {:>12} {:>10} {:>10}", "way", "shape", "messages/s", "p50 us", "p99 us");
    for (connections, depth) in SHAPES {
        let mut all: Vec<Vec<Measured>> = vec![Vec::new(); ways.len()];
        for _ in 0..ROUNDS {
            for (way, results) in ways.iter().zip(&mut all) {
                results.push(runtime.block_on(peers.measure(way.1, connections, depth))?);
            }
        }
        for ((name, _), results) in ways.iter().zip(all) {
            let [rate, p50, p99] = median(&results);
            println!("{name:14} {:>8} {rate:>12.0} {p50:>10.1} {p99:>10.1}", format!("{connections}x{depth}"));
        }
    }
    Ok(())
}

/// Messages a second (both ways), and round trips in microseconds.
type Measured = [f64; 3];

fn median(results: &[Measured]) -> Measured {
    [0, 1, 2].map(|which| {
        let mut values: Vec<f64> = results.iter().map(|result| result[which]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    })
}

struct Peers {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Peers {
    /// Makes the PKI in `folder`, for all three ways; both peers believe the proxy's authority, too.
    fn new(folder: &Path) -> io::Result<Self> {
        let (topology, pki) = (Topology::default(), folder.join("pki"));
        let controller = Subject::controller(&[[127, 0, 0, 1].into()]);
        let km = Subject::km(&topology.kms[0], &[[127, 0, 0, 1].into()]);
        let identity = |subject: &Subject| pki::from_directory(&pki, subject, &topology, Keys::Ecdsa, now());
        let (mut controller, mut km) = (identity(&controller)?, identity(&km)?);
        let made = authority::init(&folder.join("lab-ca"))?;
        for identity in [&mut controller, &mut km] {
            let proxy = Identity::read(&made.certificate, &made.certificate, &made.key)?;
            identity.roots.extend(proxy.roots);
        }
        let terms =
            Terms { version: Version::V13, alpn: None, clock: Clock::Machine, secrets: Arc::new(rustls::NoKeyLog) };
        Ok(Self { client: terms.client(&km)?, server: terms.server(&controller)? })
    }

    /// A controller that answers every request.
    async fn listen(&self) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, acceptor) = (listener.local_addr()?, TlsAcceptor::from(self.server.clone()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move { answer(stream, acceptor).await });
            }
        });
        Ok(address)
    }

    async fn measure(&self, address: SocketAddr, connections: usize, depth: usize) -> io::Result<Measured> {
        let start = Instant::now();
        let ends = start + LASTS;
        let client = |_| tokio::spawn(ask(address, self.client.clone(), depth, ends));
        let clients: Vec<_> = (0..connections).map(client).collect();
        let mut trips = Vec::new();
        for client in clients {
            trips.extend(client.await.map_err(io::Error::other)??);
        }
        let seconds = start.elapsed().as_secs_f64();
        trips.sort_unstable();
        let at = |part: f64| trips[((trips.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
        Ok([2.0 * trips.len() as f64 / seconds, at(0.5), at(0.99)])
    }
}

fn request(id: u32) -> Vec<u8> {
    let payload = br#"{"Source KMA ID":"KMA-1","Destination KMA ID":"KMA-4"}"#.to_vec();
    Pdu { version: 1, message_id: id, code: Code::NEXT_HOP_REQUEST, payload }.encode()
}

fn response(id: u32) -> Vec<u8> {
    let payload =
        br#"{"Source KMA ID":"KMA-1","Destination KMA ID":"KMA-4","Next KMA IDs":["KMA-2"],"Response":"Success"}"#;
    Pdu { version: 1, message_id: id, code: Code::NEXT_HOP_RESPONSE, payload: payload.to_vec() }.encode()
}

async fn answer(stream: TcpStream, acceptor: TlsAcceptor) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let length = request(0).len();
    let (mut buffer, mut id) = (Vec::with_capacity(64 * 1024), 0);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let whole = buffer.len() / length;
        let answers: Vec<u8> = (0..whole as u32).flat_map(|number| response(id + number)).collect();
        id += whole as u32;
        buffer.drain(..whole * length);
        stream.write_all(&answers).await?;
        stream.flush().await?;
    }
}

/// Keeps `depth` requests in flight; the time that each took.
async fn ask(address: SocketAddr, config: Arc<ClientConfig>, depth: usize, ends: Instant) -> io::Result<Vec<Duration>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(CONTROLLER).map_err(io::Error::other)?;
    let mut stream = TlsConnector::from(config).connect(name, stream).await?;
    let length = response(0).len();
    let (mut sent, mut id, mut trips) = (VecDeque::new(), 0, Vec::new());
    let mut buffer = Vec::with_capacity(64 * 1024);
    let mut room = depth;
    while Instant::now() < ends {
        let requests: Vec<u8> = (0..room as u32).flat_map(|number| request(id + number)).collect();
        id += room as u32;
        sent.extend(std::iter::repeat_n(Instant::now(), room));
        stream.write_all(&requests).await?;
        stream.flush().await?;
        while buffer.len() < length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        room = buffer.len() / length;
        buffer.drain(..room * length);
        trips.extend(sent.drain(..room).map(|sent| sent.elapsed()));
    }
    stream.shutdown().await?;
    Ok(trips)
}

/// A program that ends with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended by itself
        let _ = self.0.wait();
    }
}

fn free() -> io::Result<SocketAddr> {
    Probe::bind("127.0.0.1:0")?.local_addr()
}

fn ckscope(folder: &Path, upstream: SocketAddr) -> io::Result<(SocketAddr, Running)> {
    let (address, authority) = (free()?, folder.join("pki/ca.pem"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckscope"));
    command.args(["proxy", "--headless", "--listen", &address.to_string(), "--upstream", &upstream.to_string()]);
    command.arg("--ca").arg(folder.join("lab-ca")).arg("--km-ca").arg(&authority);
    command.arg("--controller-ca").arg(&authority).arg("--write").arg(folder.join("out.pcapng"));
    let running = Running(command.stdout(Stdio::null()).spawn()?);
    wait_for(address)?;
    Ok((address, running))
}

fn haproxy(folder: &Path, upstream: SocketAddr) -> io::Result<Option<(SocketAddr, Running)>> {
    let address = free()?;
    let joined = |name: &str| -> io::Result<String> {
        let read = |end: &str| std::fs::read_to_string(folder.join(format!("pki/{name}.{end}")));
        let file = folder.join(format!("{name}-haproxy.pem"));
        std::fs::write(&file, read("pem")? + &read("key")?)?;
        Ok(file.display().to_string())
    };
    let (controller, km, authority) = (joined("controller")?, joined("kma-1")?, folder.join("pki/ca.pem"));
    let authority = authority.display();
    let text = format!(
        "global\n  maxconn 4096\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         listen ck\n  bind {address} ssl crt {controller} ca-file {authority} verify required\n  \
         server controller {upstream} ssl crt {km} ca-file {authority} verify required\n"
    );
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, text)?;
    let started = Command::new("haproxy").arg("-db").arg("-f").arg(&file).stderr(Stdio::null()).spawn();
    let Ok(started) = started else { return Ok(None) };
    let running = Running(started);
    wait_for(address)?;
    Ok(Some((address, running)))
}

fn wait_for(address: SocketAddr) -> io::Result<()> {
    for _ in 0..200 {
        if std::net::TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    Err(io::Error::other(format!("nobody listens on {address}")))
}
