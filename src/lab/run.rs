//! The peers over real TCP, one line of text for each message. In: addresses and a script. The only part of the
//! lab that opens sockets and reads the clock.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::Instant;

use super::controller::Controller;
use super::key_manager::KeyManager;
use super::peer::{ConnectionId, Event, Input, Output, Peer, Target, Task};
use super::topology::Topology;
use super::wire::Pdu;
use crate::time::Timestamp;

/// How long peers let a new connection settle, and a script rests between two procedures.
const PAUSE: Duration = Duration::from_millis(200);

/// Bytes read at once.
const READ: usize = 16 * 1024;

/// Readings that may wait for their peer; a fuller queue makes the readers wait, and TCP behind them.
const QUEUE: usize = 256;

/// What a peer does at its sockets.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Wait here for peers that dial.
    pub listen: Option<SocketAddr>,
    /// Dial these: who is there (a KMA ID; ignored by KMs, who know their controller), and where.
    pub dial: Vec<(String, SocketAddr)>,
    /// Stop after this long; else when interrupted or, if there is a script, when it is done.
    pub limit: Option<Duration>,
}

/// Something that happened at a socket.
enum Reading {
    Bytes(ConnectionId, Vec<u8>),
    Closed(ConnectionId),
}

/// A connected socket, and which peer of this process holds it.
struct Line {
    peer: usize,
    socket: OwnedWriteHalf,
    remote: SocketAddr,
}

/// The peers of this process and their sockets.
struct Host<P, W> {
    peers: Vec<P>,
    names: Vec<String>,
    lines: BTreeMap<ConnectionId, Line>,
    wakes: Vec<Option<Timestamp>>,
    readings: Receiver<Reading>,
    sender: Sender<Reading>,
    /// Number of the next connection.
    number: usize,
    out: W,
    /// Relays of 7.1 that are to go on at the KM of a KMA.
    relayed: Vec<(String, Task)>,
    end: Option<Instant>,
    /// When the script goes on.
    turn: Instant,
}

/// What ended a wait.
enum Happened {
    /// Somebody dialled.
    Dialled(TcpStream, SocketAddr),
    /// It is time for the script to go on.
    Turn,
    /// Something that is dealt with.
    Other,
    /// The plan's limit, or an interrupt.
    Over,
}

/// Runs a controller; each KM that it comes to know is asked once to reserve and allocate keys, if `ask`.
pub async fn controller(
    controller: Controller,
    topology: Topology,
    plan: Plan,
    ask: bool,
    out: impl Write,
) -> io::Result<()> {
    let mut host = Host::new(vec![controller], vec!["controller".to_owned()], &plan, out);
    let listener = host.listen(&plan).await?;
    for (kma, address) in &plan.dial {
        let stream = dial(*address, 0).await?;
        host.connected(0, stream, topology.kma(kma)).await?;
    }
    let mut strangers: Vec<usize> = if ask { (0..topology.kms.len()).collect() } else { Vec::new() };
    loop {
        match host.next(listener.as_ref()).await? {
            Happened::Dialled(stream, from) => host.connected(0, stream, topology.host(from.ip())).await?,
            Happened::Turn => host.reserve(&topology, &mut strangers).await?,
            Happened::Other => {}
            Happened::Over => return Ok(()),
        }
    }
}

impl<W: Write> Host<Controller, W> {
    /// Has one KM that is connected, and was a stranger, reserve keys toward the KM half the topology away.
    async fn reserve(&mut self, topology: &Topology, strangers: &mut Vec<usize>) -> io::Result<()> {
        let connected = |km: &usize| self.lines.keys().any(|line| self.peers[0].km_at(*line) == Some(*km));
        let Some(at) = strangers.iter().position(connected) else { return Ok(()) };
        let km = strangers.remove(at);
        let source = topology.kms[km].kma.clone();
        let target = Target::kma(&topology.kms[(km + topology.kms.len() / 2) % topology.kms.len()].kma);
        self.tell(0, Input::Started(Task::Reserve { source, target, allocate: true })).await
    }
}

/// Runs KMs, each on its own connection; `script` is what they begin: the KMA ID, and the procedure.
pub async fn key_managers(
    kms: Vec<KeyManager>,
    plan: Plan,
    mut script: VecDeque<(String, Task)>,
    out: impl Write,
) -> io::Result<()> {
    let names = kms.iter().map(|km| km.km.kma.clone()).collect();
    let mut host = Host::new(kms, names, &plan, out);
    let listener = host.listen(&plan).await?;
    for (kma, address) in &plan.dial {
        let peer = host.names.iter().position(|name| name == kma).expect("the plan names KMs of this process");
        let stream = dial(*address, host.peers[peer].km.host).await?;
        host.connected(peer, stream, None).await?;
    }
    let ends_with_script = !script.is_empty() && plan.limit.is_none();
    loop {
        match host.next(listener.as_ref()).await? {
            Happened::Dialled(stream, _) => host.connected(0, stream, None).await?,
            Happened::Turn if host.is_waiting() => {}
            Happened::Turn => match script.pop_front() {
                Some((kma, task)) => host.start(&kma, task).await?,
                None if ends_with_script => return Ok(()),
                None => {}
            },
            Happened::Other => {}
            Happened::Over => return Ok(()),
        }
    }
}

/// Dials; on loopback from 127.0.0.`host`, so that the controller and captures can tell KMs apart.
async fn dial(address: SocketAddr, host: u8) -> io::Result<TcpStream> {
    use std::net::{IpAddr, Ipv4Addr};
    if address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) && host != 0 {
        let socket = tokio::net::TcpSocket::new_v4()?;
        // Where the system has only 127.0.0.1 this fails, and any address will do.
        if socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)), 0)).is_ok() {
            return socket.connect(address).await.map_err(|error| named(address, error));
        }
    }
    TcpStream::connect(address).await.map_err(|error| named(address, error))
}

/// The error with the address it is about.
fn named(address: SocketAddr, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}

/// The next that dials; never, without a listener.
async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

impl<P: Peer, W: Write> Host<P, W> {
    fn new(peers: Vec<P>, names: Vec<String>, plan: &Plan, out: W) -> Self {
        let (sender, readings) = channel(QUEUE);
        Self {
            wakes: vec![None; peers.len()],
            peers,
            names,
            lines: BTreeMap::new(),
            readings,
            sender,
            number: 0,
            out,
            relayed: Vec::new(),
            end: plan.limit.map(|limit| Instant::now() + limit),
            turn: Instant::now() + PAUSE,
        }
    }

    /// Whether a peer waits for something.
    fn is_waiting(&self) -> bool {
        self.wakes.iter().any(Option::is_some)
    }

    async fn listen(&mut self, plan: &Plan) -> io::Result<Option<TcpListener>> {
        let Some(address) = plan.listen else { return Ok(None) };
        let listener = TcpListener::bind(address).await.map_err(|error| named(address, error))?;
        writeln!(self.out, "listening on {}", listener.local_addr()?)?;
        self.out.flush()?;
        Ok(Some(listener))
    }

    async fn connected(&mut self, peer: usize, stream: TcpStream, km: Option<usize>) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let remote = stream.peer_addr()?;
        let id = ConnectionId(self.number);
        self.number += 1;
        let (reader, socket) = stream.into_split();
        tokio::spawn(read(id, reader, self.sender.clone()));
        self.lines.insert(id, Line { peer, socket, remote });
        self.tell(peer, Input::Connected(id, km)).await
    }

    async fn start(&mut self, kma: &str, task: Task) -> io::Result<()> {
        match self.names.iter().position(|name| name == kma) {
            Some(peer) => self.tell(peer, Input::Started(task)).await,
            None => Ok(()), // a KM of another process
        }
    }

    /// Waits for one thing to happen and deals with what is not the caller's.
    async fn next(&mut self, listener: Option<&TcpListener>) -> io::Result<Happened> {
        let wake = self.wakes.iter().flatten().min().copied();
        let wake = wake.map(|at| Instant::now() + Duration::from_nanos((at - now()).0.max(0) as u64));
        tokio::select! {
            dialled = accept(listener) => return dialled.map(|(stream, from)| Happened::Dialled(stream, from)),
            Some(reading) = self.readings.recv() => self.read(reading).await?,
            () = sleep_until(wake) => self.wake().await?,
            () = tokio::time::sleep_until(self.turn) => {
                self.turn = Instant::now() + PAUSE;
                return Ok(Happened::Turn);
            }
            () = sleep_until(self.end) => return Ok(Happened::Over),
            interrupt = tokio::signal::ctrl_c() => return interrupt.map(|()| Happened::Over),
        }
        for (kma, task) in std::mem::take(&mut self.relayed) {
            self.start(&kma, task).await?;
        }
        Ok(Happened::Other)
    }

    async fn read(&mut self, reading: Reading) -> io::Result<()> {
        match reading {
            Reading::Bytes(id, bytes) => match self.lines.get(&id).map(|line| line.peer) {
                Some(peer) => self.tell(peer, Input::Received(id, &bytes)).await,
                None => Ok(()),
            },
            Reading::Closed(id) => self.closed(id).await,
        }
    }

    async fn closed(&mut self, id: ConnectionId) -> io::Result<()> {
        let Some(line) = self.lines.remove(&id) else { return Ok(()) };
        writeln!(self.out, "{} {}: {} closed", now(), self.names[line.peer], line.remote)?;
        self.out.flush()?;
        Box::pin(self.tell(line.peer, Input::Closed(id))).await
    }

    async fn wake(&mut self) -> io::Result<()> {
        let due: Vec<usize> =
            (0..self.wakes.len()).filter(|&peer| self.wakes[peer].is_some_and(|at| at <= now())).collect();
        for peer in due {
            self.tell(peer, Input::TimedOut).await?;
        }
        Ok(())
    }

    /// Gives a peer an input and does what it asks for.
    async fn tell(&mut self, peer: usize, input: Input<'_>) -> io::Result<()> {
        self.peers[peer].handle(now(), input);
        self.wakes[peer] = None;
        while let Some(output) = self.peers[peer].poll() {
            match output {
                Output::Transmit(id, pdu) => self.transmit(id, &pdu).await?,
                Output::Event(event) => self.event(peer, event)?,
                Output::Timeout(at) => {
                    self.wakes[peer] = Some(at);
                    break;
                }
            }
        }
        self.out.flush()
    }

    /// A connection that takes no more is found closed by its reader.
    async fn transmit(&mut self, id: ConnectionId, pdu: &Pdu) -> io::Result<()> {
        let Some(line) = self.lines.get_mut(&id) else { return Ok(()) };
        let sent = line.socket.write_all(&pdu.encode()).await;
        let (name, remote) = (&self.names[line.peer], line.remote);
        match sent {
            Ok(()) => print(&mut self.out, name, '>', remote, pdu),
            Err(error) => writeln!(self.out, "{} {name} > {remote}: {error}", now()),
        }
    }

    fn event(&mut self, peer: usize, event: Event) -> io::Result<()> {
        let name = &self.names[peer];
        match event {
            Event::Received(id, pdu) => match self.lines.get(&id) {
                Some(line) => print(&mut self.out, name, '<', line.remote, &pdu),
                None => Ok(()),
            },
            Event::Unanswered(_, code) => writeln!(self.out, "{} {name}: no answer to {code} {}", now(), code.name()),
            Event::Relayed { next, source, target } => {
                self.relayed.push((next, Task::NextHop { source, target }));
                Ok(())
            }
        }
    }
}

/// Time, who, direction, the other end, MessageID, code, name and payload.
fn print(out: &mut impl Write, name: &str, arrow: char, remote: SocketAddr, pdu: &Pdu) -> io::Result<()> {
    let (id, code) = (pdu.message_id, pdu.code);
    writeln!(out, "{} {name} {arrow} {remote} {id} {code} {} {}", now(), code.name(), pdu.text())
}

/// Hands on what arrives until the connection ends.
async fn read(id: ConnectionId, mut reader: OwnedReadHalf, sender: Sender<Reading>) {
    let mut buffer = vec![0; READ];
    while let Ok(count @ 1..) = reader.read(&mut buffer).await {
        if sender.send(Reading::Bytes(id, buffer[..count].to_vec())).await.is_err() {
            return; // the host is gone
        }
    }
    // As above: without a host there is nobody to tell.
    let _ = sender.send(Reading::Closed(id)).await;
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
