//! Between KM and controller. In: connections. Out: the same connections, byte for byte, and packets in a recording.
//! Whoever looks reads the recording: nothing in the forwarding path waits for recording, analysis or screen.
//!
//! A connection goes through [`serve`]: dialled on, told apart by its first bytes ([`detect`]), with TLS shaken hands
//! with on both sides ([`handshake`]), then relayed ([`relay`]). Copies of what was relayed go through a bounded queue
//! ([`tap`]) to one thread ([`recorder`]) that makes packets of them. Refuses to know what the bytes mean.

mod alert;
pub mod authority;
pub mod detect;
mod gate;
mod handshake;
pub mod identities;
mod leg;
mod listen;
pub mod mint;
pub mod packets;
pub mod panel;
mod peek;
mod pem;
mod possession;
pub mod recorder;
mod refusals;
pub mod relay;
pub mod report;
pub mod rules;
mod secrets;
mod serve;
mod stale;
pub mod tap;
mod verify;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::timeout;

use self::identities::Identities;
use self::panel::{Board, Panel};
use self::recorder::Record;
use self::tap::Queue;
use crate::time::Timestamp;

/// Whose certificate, or who dials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Party {
    /// A key manager.
    #[default]
    Km,
    /// The QKDN controller.
    Controller,
}

impl Party {
    /// The one on the other side.
    pub fn other(self) -> Self {
        match self {
            Self::Km => Self::Controller,
            Self::Controller => Self::Km,
        }
    }

    /// What it is called in a sentence.
    pub fn the(self) -> &'static str {
        match self {
            Self::Km => "the KM",
            Self::Controller => "the controller",
        }
    }
}

impl std::fmt::Display for Party {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Km => "KM",
            Self::Controller => "controller",
        })
    }
}

/// Where connections go on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// There.
    To(SocketAddr),
    /// To where they were going before nftables redirected them.
    Redirected,
    /// To where they were going before nftables handed them to a transparent socket.
    Intercepted,
}

/// Where to listen, and where what comes goes on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where it goes on to.
    pub upstream: Upstream,
    /// Who dials.
    pub dialler: Party,
}

impl Route {
    /// Whether connections go on by IPv6.
    fn is_dialled_by_v6(&self) -> bool {
        match self.upstream {
            Upstream::To(address) => address.is_ipv6(),
            Upstream::Redirected | Upstream::Intercepted => self.listen.is_ipv6(),
        }
    }
}

/// What is believed of one party, and what it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Authorities (PEM) that its certificate must lead to.
    pub authorities: Option<PathBuf>,
    /// Do not verify its certificate.
    pub unverified: bool,
    /// Certificate and key (PEM) that it is shown instead of a mirror of the other's.
    pub shown: Option<(PathBuf, PathBuf)>,
}

/// What the proxy is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen, and what for.
    pub routes: Vec<Route>,
    /// Dial on from the address of whoever dialled.
    pub spoof_source: bool,
    /// The directory of the authority that mints certificates.
    pub ca: Option<PathBuf>,
    /// About the KM.
    pub km: Trust,
    /// About the controller.
    pub controller: Trust,
    /// Revocation lists (PEM or DER).
    pub revoked: Vec<PathBuf>,
    /// Where the secrets of TLS go.
    pub key_log: Option<PathBuf>,
    /// Connections at a time.
    pub connections: usize,
    /// How long dialling on may take.
    pub connect: Duration,
    /// How long a TLS hand-shake may take.
    pub handshake: Duration,
    /// How long connections have to come to rest when the proxy is stopped.
    pub drain: Duration,
    /// How long nothing must have moved then before a connection counts as at rest: an answer comes by then.
    pub rest: Duration,
    /// Bytes that may wait to be recorded.
    pub queue: usize,
    /// Say all of each hand-off report, not only what went wrong.
    pub reports: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            spoof_source: false,
            ca: None,
            km: Trust::default(),
            controller: Trust::default(),
            revoked: Vec::new(),
            key_log: None,
            connections: 4096,
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            drain: Duration::from_secs(2),
            rest: Duration::from_secs(1),
            queue: 64 << 20,
            reports: false,
        }
    }
}

/// Hears what happens: one line each.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// What all connections share.
pub(crate) struct Context {
    options: Options,
    board: Board,
    queue: Arc<Queue>,
    say: Say,
    stop: watch::Sender<Stop>,
    identities: Option<Identities>,
}

/// How the proxy is to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    /// Not yet.
    #[default]
    Not,
    /// When what is under way has arrived.
    Drained,
    /// At once.
    Now,
}

impl Context {
    /// Has it end so, unless it is to end sooner already.
    fn stop(&self, stop: Stop) {
        self.stop.send_if_modified(|now| std::mem::replace(now, stop.max(*now)) < stop);
    }

    /// Waits until it is to end so, or sooner.
    async fn told_to(&self, stop: Stop) {
        let _ = self.stop.subscribe().wait_for(|now| *now >= stop).await; // the sender is here
    }

    /// Waits until no connection stands.
    async fn gone(&self) {
        while self.board.standing() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn note(&self, text: String) {
        (self.say)(&text);
        self.board.note(now(), text);
    }
}

/// A proxy that runs on threads of its own.
pub struct Running {
    context: Arc<Context>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
    recording: recorder::Shared,
    listening: Vec<SocketAddr>,
    listeners: Vec<(SocketAddr, String)>,
    warnings: Vec<String>,
}

/// Starts a proxy. What it records into is made last: whoever cannot listen must not have emptied a file.
///
/// # Errors
/// An address cannot be listened on, a file cannot be read or recorded into, or the options do not go together.
pub fn start<R: Record + 'static>(
    options: Options,
    record: impl FnOnce() -> io::Result<R>,
    say: Say,
) -> io::Result<Running> {
    let (identities, mut warnings) = Identities::read(&options)?;
    warnings.extend(make_room(options.connections));
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("proxy").enable_all().build()?;
    if options.spoof_source {
        options.routes.iter().try_for_each(|route| listen::check_spoofing(route.is_dialled_by_v6()))?;
    }
    let inside = runtime.enter();
    let listeners = options.routes.iter().map(listen::listen).collect::<io::Result<Vec<_>>>()?;
    drop(inside);
    let (queue, events) = Queue::new(options.queue);
    let recording = recorder::Shared::default();
    let recorder = recorder::start(events, record()?, recording.clone())?;
    let (board, queue) = (Board::default(), Arc::new(queue));
    let context = Arc::new(Context { options, board, queue, say, stop: watch::Sender::default(), identities });
    let listening = listeners.iter().map(|listener| listener.address).collect();
    let told = listeners.iter().map(listen::Listener::describe).collect();
    for listener in listeners {
        runtime.spawn(listener.run(context.clone()));
    }
    let supervisor = supervise(context.clone(), runtime, recorder)?;
    let supervisor = Mutex::new(Some(supervisor));
    Ok(Running { context, supervisor, recording, listening, listeners: told, warnings })
}

/// Open files besides those of connections: among them what a ring removed and the analysis has yet to read.
const OTHER_FILES: u64 = 128;

/// Open files of a connection: its two ends, and of one that is half-closed the end that is watched for a reset.
const FILES: u64 = 3;

/// Lets the process have as many open files as its connections need; what to warn of if those are too few.
fn make_room(connections: usize) -> Option<String> {
    let limits = getrlimit(Resource::Nofile);
    let needed = (connections as u64).saturating_mul(FILES).saturating_add(OTHER_FILES);
    let allowed = limits.maximum.unwrap_or(u64::MAX);
    if limits.current.is_none_or(|current| current >= needed) {
        return None;
    }
    // Not more than needed: a few programs go through all that there may be.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(needed.min(allowed)), ..limits }).is_ok();
    (!raised || allowed < needed).then(|| {
        let allowed = if raised { allowed } else { limits.current.unwrap_or(u64::MAX) };
        let enough = allowed.saturating_sub(OTHER_FILES) / FILES;
        format!(
            "the system allows {allowed} open files (ulimit -n), enough for {enough} of {connections} connections: \
             raise it, or lower --max-connections"
        )
    })
}

/// How long tasks that are left have, once all connections are gone.
const LAST_TASKS: Duration = Duration::from_millis(100);

/// The thread that ends the proxy when it is told to stop: relays, runtime, recording, in this order.
fn supervise(context: Arc<Context>, runtime: Runtime, recorder: JoinHandle<()>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("proxy end".to_owned()).spawn(move || {
        runtime.block_on(async {
            context.told_to(Stop::Drained).await;
            let (standing, drain) = (context.board.standing(), context.options.drain);
            if standing > 0 && !drain.is_zero() {
                let connections = if standing == 1 { "1 connection" } else { &format!("{standing} connections") };
                (context.say)(&format!("stopping; what is under way on {connections} has {drain:?} to arrive"));
            }
            let _ = timeout(drain, context.gone()).await; // whatever stands then is ended
            context.stop(Stop::Now);
            let _ = timeout(2 * leg::GOOD_BYE, context.gone()).await; // and ends with the runtime at the latest
        });
        runtime.shutdown_timeout(LAST_TASKS);
        context.queue.close();
        let _ = recorder.join(); // if it panicked, that was said
    })
}

impl Running {
    /// Where it listens, in the order of the routes.
    pub fn listening(&self) -> &[SocketAddr] {
        &self.listening
    }

    /// What it is doing.
    pub fn panel(&self) -> Panel {
        let key_log = self.context.identities.as_ref().and_then(|identities| identities.key_log.as_ref()?.problem());
        Panel {
            listeners: self.listeners.clone(),
            queue: self.context.queue.status(),
            recording: self.recording.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            warnings: self.warnings.clone(),
            key_log,
            ..self.context.board.snapshot()
        }
    }

    /// Has it listen no more, let what is under way arrive, and end all connections and the recording. Does not wait
    /// for that.
    pub fn stop(&self) {
        self.context.stop(Stop::Drained);
    }

    /// Ends it at once, and waits a little for that: what is under way does not arrive, which the peers are shown.
    pub fn hurry(&self) {
        self.context.stop(Stop::Now);
        let end = Instant::now() + leg::GOOD_BYE;
        while self.context.board.standing() > 0 && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// How long it takes at most until it has stopped: less what the recorder needs for what waits.
    pub fn patience(&self) -> Duration {
        self.context.options.drain + 2 * leg::GOOD_BYE + LAST_TASKS
    }

    /// Stops it and waits for its end, which takes no longer than the time to drain, and what the recorder needs for
    /// what waits.
    pub fn finish(&self) {
        self.stop();
        let supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = supervisor.map(JoinHandle::join); // if it panicked, that was said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The machine's time.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// An error with the file it is about.
fn about(path: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}
