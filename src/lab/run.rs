//! The peers over real connections, one line of text for each message. In: addresses and a script. With
//! [`socket`](super::socket) the only part of the lab that opens sockets and reads the clock.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::Instant;

use tonic::transport::Endpoint;

use super::controller::Controller;
use super::dialect::{Message, Parameter};
use super::grpc::{Arrival, Bridge, Manner, Serves, serve};
use super::key_manager::KeyManager;
use super::peer::{ConnectionId, Event, Input, Output, Peer, Target, Task};
use super::setup::Binding;
use super::socket::{Dialer, Socket, accept, named};
use super::topology::Topology;
use super::wire::Pdu;
use crate::time::Timestamp;

/// How long peers let a new connection settle, and a script rests between two procedures, unless told otherwise.
pub const PAUSE: Duration = Duration::from_millis(200);

/// Bytes read at once.
const READ: usize = 16 * 1024;

/// Readings that may wait for their peer; a fuller queue makes the readers wait, and TCP behind them.
const QUEUE: usize = 256;

/// What a peer does at its sockets.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Wait here for peers that dial.
    pub listen: Option<Listen>,
    /// Dial these: who is there (a KMA ID; ignored by KMs, who know their controller), and where.
    pub dial: Vec<(String, SocketAddr)>,
    /// Stop after this long; else when interrupted or, if there is a script, when it is done.
    pub limit: Option<Duration>,
    /// How Ck travels.
    pub binding: Binding,
    /// With TLS, or without.
    pub tls: Option<Tls>,
    /// How long to rest between two procedures.
    pub pause: Duration,
    /// Begin anew when everything was done.
    pub again: bool,
    /// A controller dials from 127.0.0.`host`, as far as it can; 0 for wherever.
    pub host: u8,
}

/// Where to wait for peers that dial.
#[derive(Clone, Debug)]
pub enum Listen {
    /// There.
    At(SocketAddr),
    /// At a listener that is known already to those who dial it.
    Bound(Arc<std::net::TcpListener>),
}

/// What TLS needs.
#[derive(Clone, Debug)]
pub struct Tls {
    /// For each address dialled: how, and the name expected there.
    pub clients: Vec<(Arc<ClientConfig>, String)>,
    /// For those who dial us.
    pub server: Arc<ServerConfig>,
}

impl Plan {
    fn dialer(&self, number: usize, host: u8) -> Dialer {
        let tls = self.tls.as_ref().map(|tls| tls.clients[number].clone()); // as many as addresses
        Dialer { address: self.dial[number].1, host, tls }
    }
}

/// Something that happened at a socket.
enum Reading {
    Bytes(ConnectionId, Vec<u8>),
    Closed(ConnectionId),
    /// Somebody dialled and, with TLS, has shaken hands.
    Accepted(Socket),
    /// Somebody dialled and has not.
    Refused(SocketAddr, io::Error),
}

/// How PDUs leave.
enum Way {
    Ck(WriteHalf<Socket>),
    Grpc(Bridge),
}

/// What a peer of this process has toward another.
struct Line {
    peer: usize,
    way: Way,
    remote: SocketAddr,
}

/// What calls us at the controller is told apart by what it says, not by the connection.
const FRONT: ConnectionId = ConnectionId(usize::MAX);

/// The peers of this process and their sockets.
struct Host<P, W> {
    peers: Vec<P>,
    names: Vec<String>,
    lines: BTreeMap<ConnectionId, Line>,
    wakes: Vec<Option<Timestamp>>,
    readings: Receiver<Reading>,
    sender: Sender<Reading>,
    /// What comes by gRPC.
    arrivals: Receiver<Arrival>,
    arriving: Sender<Arrival>,
    tls: Option<Arc<ServerConfig>>,
    /// A KM's way to its controller, until that has dialled it.
    prepared: Option<Bridge>,
    /// By KMA: the connection over which a controller calls its KM.
    fronts: BTreeMap<String, ConnectionId>,
    /// Number of the next connection.
    number: usize,
    out: W,
    /// Relays of 7.1 that are to go on at the KM of a KMA.
    relayed: Vec<(String, Task)>,
    end: Option<Instant>,
    /// When the script goes on, and how long it rests.
    turn: Instant,
    pause: Duration,
}

/// What ended a wait.
enum Happened {
    /// Somebody dialled.
    Dialled(Socket),
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
    let front = Bridge::new(FRONT, Manner::of(Serves::Notifications), host.arriving.clone());
    for (number, (kma, _)) in plan.dial.iter().enumerate() {
        host.dial(0, &plan, number, plan.host, topology.kma(kma)).await?;
    }
    let mut strangers: Vec<usize> = if ask { (0..topology.kms.len()).collect() } else { Vec::new() };
    loop {
        match host.next(listener.as_ref()).await? {
            Happened::Dialled(socket) if plan.binding == Binding::Grpc => {
                tokio::spawn(serve(front.clone(), socket));
            }
            Happened::Dialled(socket) => {
                let certified = |name: &String| topology.kms.iter().position(|km| km.id == *name);
                let km = socket.name.as_ref().and_then(certified).or_else(|| topology.host(socket.remote.ip()));
                host.connected(0, socket, km).await?;
            }
            Happened::Turn => {
                host.reserve(&topology, &mut strangers).await?;
                if ask && plan.again && strangers.is_empty() {
                    strangers = (0..topology.kms.len()).collect();
                }
            }
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
    for (number, (kma, _)) in plan.dial.iter().enumerate() {
        let peer = host.names.iter().position(|name| name == kma).expect("the plan names KMs of this process");
        host.dial(peer, &plan, number, host.peers[peer].km.host, None).await?;
    }
    let ends_with_script = !script.is_empty() && plan.limit.is_none();
    loop {
        match host.next(listener.as_ref()).await? {
            Happened::Dialled(socket) if plan.binding == Binding::Grpc => host.called(socket).await?,
            Happened::Dialled(socket) => host.connected(0, socket, None).await?,
            // Over gRPC a KM begins when it can be answered: when the controller has dialled it.
            Happened::Turn if host.is_waiting() || plan.binding == Binding::Grpc && host.lines.is_empty() => {}
            Happened::Turn => match script.pop_front() {
                Some((kma, task)) => {
                    if plan.again {
                        script.push_back((kma.clone(), task.clone()));
                    }
                    host.start(&kma, task).await?;
                }
                None if ends_with_script => return Ok(()),
                None => {}
            },
            Happened::Other => {}
            Happened::Over => return Ok(()),
        }
    }
}

impl<W: Write> Host<KeyManager, W> {
    /// The controller has dialled: from now on its calls come in, and ours may go out.
    async fn called(&mut self, socket: Socket) -> io::Result<()> {
        let remote = socket.remote;
        let id = ConnectionId(0);
        let (bridge, new) = match (self.lines.remove(&id), self.prepared.take()) {
            (Some(Line { way: Way::Grpc(bridge), .. }), _) => (bridge, false),
            (_, Some(bridge)) => (bridge, true),
            _ => (Bridge::new(id, Manner::of(Serves::Requests), self.arriving.clone()), true),
        };
        tokio::spawn(serve(bridge.clone(), socket));
        self.lines.insert(id, Line { peer: 0, way: Way::Grpc(bridge), remote });
        if new { self.tell(0, Input::Connected(id, None)).await } else { Ok(()) }
    }
}

/// The next that dials; never, without a listener.
async fn next_of(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

impl<P: Peer, W: Write> Host<P, W> {
    fn new(peers: Vec<P>, names: Vec<String>, plan: &Plan, out: W) -> Self {
        let (sender, readings) = channel(QUEUE);
        let (arriving, arrivals) = channel(QUEUE);
        Self {
            arrivals,
            arriving,
            tls: plan.tls.as_ref().map(|tls| tls.server.clone()),
            prepared: None,
            fronts: BTreeMap::new(),
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
            turn: Instant::now() + plan.pause,
            pause: plan.pause,
        }
    }

    /// Whether a peer waits for something.
    fn is_waiting(&self) -> bool {
        self.wakes.iter().any(Option::is_some)
    }

    async fn listen(&mut self, plan: &Plan) -> io::Result<Option<TcpListener>> {
        let listener = match &plan.listen {
            None => return Ok(None),
            Some(Listen::At(address)) => TcpListener::bind(address).await.map_err(|error| named(*address, &error))?,
            Some(Listen::Bound(listener)) => {
                let listener = listener.try_clone()?;
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)?
            }
        };
        writeln!(self.out, "listening on {}", listener.local_addr()?)?;
        self.out.flush()?;
        Ok(Some(listener))
    }

    /// Dials what stands at this place of the plan. Over gRPC a KM dials when it first calls, as the controller
    /// that is to answer must dial it too.
    async fn dial(&mut self, peer: usize, plan: &Plan, number: usize, host: u8, km: Option<usize>) -> io::Result<()> {
        let dialer = plan.dialer(number, host);
        if plan.binding == Binding::Tcp {
            return self.connected(peer, dialer.dial().await?, km).await;
        }
        let id = ConnectionId(self.number);
        let endpoint = Endpoint::from_static("http://ck.qkdn.example");
        let remote = dialer.address;
        let bridge = Bridge::new(id, Manner::of(Serves::Requests), self.arriving.clone());
        let Some(km) = km else {
            bridge.call_over(endpoint.connect_with_connector_lazy(dialer));
            self.prepared = Some(bridge);
            return Ok(());
        };
        let failed = |error| io::Error::other(format!("{remote}: {}", chain(&error)));
        bridge.call_over(endpoint.connect_with_connector(dialer).await.map_err(failed)?);
        self.number += 1;
        self.fronts.insert(plan.dial[number].0.clone(), id);
        self.lines.insert(id, Line { peer, way: Way::Grpc(bridge), remote });
        self.tell(peer, Input::Connected(id, Some(km))).await
    }

    async fn connected(&mut self, peer: usize, socket: Socket, km: Option<usize>) -> io::Result<()> {
        let remote = socket.remote;
        let id = ConnectionId(self.number);
        self.number += 1;
        let (reader, writer) = tokio::io::split(socket);
        tokio::spawn(read(id, reader, self.sender.clone()));
        self.lines.insert(id, Line { peer, way: Way::Ck(writer), remote });
        self.tell(peer, Input::Connected(id, km)).await
    }

    /// A message came by gRPC. At the controller its sender is the KM that it names.
    async fn arrived(&mut self, arrival: Arrival) -> io::Result<()> {
        let Arrival { mut connection, pdu } = arrival;
        if connection == FRONT {
            let message = Message::read(pdu.code, &pdu.payload);
            let kma = message.get(Parameter::SourceKmaId).unwrap_or_default();
            let Some(known) = self.fronts.get(kma) else {
                let (now, name) = (now(), &self.names[0]);
                writeln!(self.out, "{now} {name}: {} of KMA {kma:?}, which is not dialled", pdu.code)?;
                return self.out.flush();
            };
            connection = *known;
        }
        let Some(peer) = self.lines.get(&connection).map(|line| line.peer) else { return Ok(()) };
        self.tell(peer, Input::Received(connection, &pdu.encode())).await
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
            dialled = next_of(listener) => {
                let (stream, from) = dialled?;
                tokio::spawn(shake_hands(stream, from, self.tls.clone(), self.sender.clone()));
            }
            Some(arrival) = self.arrivals.recv() => self.arrived(arrival).await?,
            Some(reading) = self.readings.recv() => {
                if let Some(socket) = self.read(reading).await? {
                    return Ok(Happened::Dialled(socket));
                }
            }
            () = sleep_until(wake) => self.wake().await?,
            () = tokio::time::sleep_until(self.turn) => {
                self.turn = Instant::now() + self.pause;
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

    /// Deals with what happened at a socket, or hands on the socket of whoever dialled.
    async fn read(&mut self, reading: Reading) -> io::Result<Option<Socket>> {
        match reading {
            Reading::Accepted(socket) => return Ok(Some(socket)),
            Reading::Refused(from, error) => {
                writeln!(self.out, "{} {}: {from} refused: {error}", now(), self.names[0])?;
                self.out.flush()?;
            }
            Reading::Bytes(id, bytes) => {
                if let Some(peer) = self.lines.get(&id).map(|line| line.peer) {
                    self.tell(peer, Input::Received(id, &bytes)).await?;
                }
            }
            Reading::Closed(id) => self.closed(id).await?,
        }
        Ok(None)
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
        let sent = match &mut line.way {
            Way::Ck(socket) => send(socket, &pdu.encode()).await,
            Way::Grpc(bridge) => bridge.transmit(pdu.clone()).map_err(|code| {
                io::Error::other(format!("{code} not sent: Appendix II maps no such message, or nobody waits for it"))
            }),
        };
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

/// TLS holds what is written until it is flushed.
async fn send(socket: &mut WriteHalf<Socket>, bytes: &[u8]) -> io::Result<()> {
    socket.write_all(bytes).await?;
    socket.flush().await
}

/// An error with what is behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Makes whoever dialled known to the host, or why not.
async fn shake_hands(stream: TcpStream, from: SocketAddr, tls: Option<Arc<ServerConfig>>, sender: Sender<Reading>) {
    let reading = match accept(stream, tls).await {
        Ok(socket) => Reading::Accepted(socket),
        Err(error) => Reading::Refused(from, error),
    };
    let _ = sender.send(reading).await; // without a host there is nobody to tell
}

/// Hands on what arrives until the connection ends.
async fn read(id: ConnectionId, mut reader: ReadHalf<Socket>, sender: Sender<Reading>) {
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

/// The machine's time.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
