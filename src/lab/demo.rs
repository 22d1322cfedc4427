//! A lab that shows what there is: three small QKDNs on loopback, by plain TCP, by TLS and by gRPC over TLS, that go
//! through their procedures for ever. Not all goes well: some KMs refuse, one does not answer, one departs from the
//! Recommendation. In: a directory for certificates, and the addresses to dial instead of the peers' own. Out: traffic.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::appendix_ii;
use super::controller::Controller;
use super::dialect::{Dialect, Ids, Spelling};
use super::key_manager::KeyManager;
use super::peer::{Answer, Conduct, Target, Task};
use super::pki::{self, Keys, Subject};
use super::run::{self, Listen, Plan, Tls, now};
use super::setup::Binding;
use super::tls::{Clock, Terms, Version};
use super::topology::{Km, Topology};
use super::wire::Code;
use crate::time::Span;

/// How long a peer waits for an answer; then the next procedure begins.
const PATIENCE: Span = Span::from_secs(4);
/// A controller begins a procedure of its own for so many of a KM.
const CONTROLLER_RESTS: u32 = 3;

/// A procedure that cannot fail to be seen, for who checks: its name in the definitions, and how it ends.
pub const EXPECTED: [(&str, &str); 8] = [
    ("key-relay-distributed", "complete"),
    ("key-relay-centralized", "complete"),
    ("session-creation-request", "complete"),
    ("session-creation-notification", "complete"),
    ("key-reservation", "complete"),
    ("key-allocation", "complete"),
    ("key-relay-centralized", "failed"),
    ("key-allocation", "unanswered"),
];

/// Who dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialler {
    /// A KM.
    Km,
    /// The controller.
    Controller,
}

/// Where a peer waits for others, who can be made to dial something else that leads there.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Where the peer is.
    pub to: SocketAddr,
    /// Who dials it.
    pub dialler: Dialler,
}

/// The lab, listening, but with nobody who dials.
pub struct Demo {
    pki: PathBuf,
    /// The controllers of the three QKDNs, and the KMs that are called over gRPC.
    listeners: Vec<(Arc<TcpListener>, Dialler)>,
}

/// What went wrong in the lab.
pub type Problems = Arc<Mutex<Vec<String>>>;

const PLAIN: usize = 0;
const TLS: usize = 1;
const GRPC: usize = 2;
/// The KMs of the third QKDN come after the controllers.
const GRPC_KMS: usize = 3;

impl Demo {
    /// Makes ready, with certificates in `pki`.
    ///
    /// # Errors
    /// There is no port to listen on.
    pub fn new(pki: &Path) -> io::Result<Self> {
        let kms = topology(GRPC).kms.len();
        let controllers = [PLAIN, TLS, GRPC].map(|net| (controller_host(net), Dialler::Km));
        let kms = (0..kms).map(|_| (1, Dialler::Controller));
        let listen = |(host, dialler)| Ok((Arc::new(listener(host)?), dialler));
        let listeners = controllers.into_iter().chain(kms).map(listen).collect::<io::Result<_>>()?;
        Ok(Self { pki: pki.to_owned(), listeners })
    }

    /// The authority that everybody believes, and its key.
    pub fn authority(&self) -> PathBuf {
        self.pki.join("ca.pem")
    }

    /// Makes the certificates, which takes a moment.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn certify(&self) -> io::Result<()> {
        self.identity(&Subject::controller(&loopback(1))).map(drop)
    }

    /// Where peers wait.
    pub fn ways(&self) -> io::Result<Vec<Way>> {
        self.listeners
            .iter()
            .map(|(listener, dialler)| Ok(Way { to: listener.local_addr()?, dialler: *dialler }))
            .collect()
    }

    /// Begins, each QKDN at a procedure every `pace`. `through` is what to dial, for each of [`Demo::ways`].
    ///
    /// # Errors
    /// No certificate can be read, or no thread started.
    pub fn run(&self, through: &[SocketAddr], pace: Duration) -> io::Result<Problems> {
        let problems = Problems::default();
        for net in [PLAIN, TLS, GRPC] {
            self.controller(net, through, pace, &problems)?;
        }
        for net in [PLAIN, TLS] {
            self.key_managers(net, through[net], pace, &problems)?;
        }
        for km in 0..topology(GRPC).kms.len() {
            self.called_key_manager(km, through[GRPC], pace, &problems)?;
        }
        Ok(problems)
    }

    fn controller(&self, net: usize, through: &[SocketAddr], pace: Duration, problems: &Problems) -> io::Result<()> {
        let topology = topology(net);
        let me = Subject::controller(&loopback(1));
        let called = if net == GRPC { &topology.kms[..] } else { &[] };
        let clients = called.iter().map(|km| (me.clone(), subject(km)));
        let tls = self.tls(net, &clients.collect::<Vec<_>>(), &me)?;
        let dial = called.iter().zip(&through[GRPC_KMS..]).map(|(km, at)| (km.kma.clone(), *at)).collect();
        let plan = plan(net, Some(&self.listeners[net].0), dial, tls, pace * CONTROLLER_RESTS);
        let conduct = Conduct { patience: PATIENCE, ..Conduct::new(dialect(net), 0x8000_0001) };
        let peer = Controller::new(topology.clone(), conduct, net as u64);
        spawn(problems, "controller", run::controller(peer, topology, plan, true, io::sink()))
    }

    /// All KMs of a QKDN, each on its own connection.
    fn key_managers(&self, net: usize, controller: SocketAddr, pace: Duration, problems: &Problems) -> io::Result<()> {
        let kms = topology(net).kms;
        let whom = Subject::controller(&loopback(1));
        let clients: Vec<_> = kms.iter().map(|km| (subject(km), whom.clone())).collect();
        let tls = self.tls(net, &clients, &whom)?;
        let dial = kms.iter().map(|km| (km.kma.clone(), controller)).collect();
        let script = script(&kms, |_| true);
        let peers = (0..kms.len()).map(|at| key_manager(net, at)).collect();
        spawn(problems, "KMs", run::key_managers(peers, plan(net, None, dial, tls, pace), script, io::sink()))
    }

    /// A KM that the controller dials as well.
    fn called_key_manager(
        &self,
        at: usize,
        controller: SocketAddr,
        pace: Duration,
        problems: &Problems,
    ) -> io::Result<()> {
        let kms = topology(GRPC).kms;
        let (km, whom) = (&kms[at], Subject::controller(&loopback(1)));
        let tls = self.tls(GRPC, &[(subject(km), whom)], &subject(km))?;
        let dial = vec![(km.kma.clone(), controller)];
        let plan = plan(GRPC, Some(&self.listeners[GRPC_KMS + at].0), dial, tls, pace * 4);
        let mut script = script(&kms, |task| matches!(task, Task::Relay { .. })); // what Appendix II maps
        script.retain(|(kma, _)| *kma == km.kma);
        spawn(problems, "KM", run::key_managers(vec![key_manager(GRPC, at)], plan, script, io::sink()))
    }

    fn tls(&self, net: usize, clients: &[(Subject, Subject)], listener: &Subject) -> io::Result<Option<Tls>> {
        if net == PLAIN {
            return Ok(None);
        }
        let alpn = (net == GRPC).then_some(&b"h2"[..]);
        let terms = Terms { version: Version::V13, alpn, clock: Clock::Machine, secrets: Arc::new(rustls::NoKeyLog) };
        let client =
            |(who, whom): &(Subject, Subject)| Ok((terms.client(&self.identity(who)?)?, whom.host().to_owned()));
        let clients = clients.iter().map(client).collect::<io::Result<_>>()?;
        Ok(Some(Tls { clients, server: terms.server(&self.identity(listener)?)? }))
    }

    fn identity(&self, subject: &Subject) -> io::Result<pki::Identity> {
        pki::from_directory(&self.pki, subject, &topology(TLS), Keys::default(), now())
    }
}

/// A controller is known by its address, so each has one of its own.
fn controller_host(net: usize) -> u8 {
    net as u8 + 1
}

/// A listener on 127.0.0.`host`, or where the system has only 127.0.0.1, there.
fn listener(host: u8) -> io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, host], 0))).or_else(|_| TcpListener::bind("127.0.0.1:0"))
}

fn spawn(
    problems: &Problems,
    who: &'static str,
    work: impl Future<Output = io::Result<()>> + Send + 'static,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let problems = Arc::clone(problems);
    let run = move || {
        if let Err(error) = runtime.block_on(work) {
            problems.lock().unwrap_or_else(PoisonError::into_inner).push(format!("demo, {who}: {error}"));
        }
    };
    thread::Builder::new().name("demo".to_owned()).spawn(run).map(drop)
}

fn plan(
    net: usize,
    listener: Option<&Arc<TcpListener>>,
    dial: Vec<(String, SocketAddr)>,
    tls: Option<Tls>,
    pause: Duration,
) -> Plan {
    let listen = listener.map(|listener| Listen::Bound(Arc::clone(listener)));
    let binding = if net == GRPC { Binding::Grpc } else { Binding::Tcp };
    Plan { listen, dial, limit: None, binding, tls, pause, again: true, host: controller_host(net) }
}

/// A line of KMs: four each by plain TCP, by TLS and by gRPC.
fn topology(net: usize) -> Topology {
    let (first, count) = [(1, 4), (11, 4), (21, 4)][net];
    let km = |number: u8| Km {
        id: format!("KM-{number}"),
        kma: format!("KMA-{number}"),
        applications: vec![format!("app-{number}")],
        links: (number + 1 < first + count).then(|| format!("KMA-{}", number + 1)).into_iter().collect(),
        host: 100 + number,
    };
    Topology { kms: (first..first + count).map(km).collect() }
}

fn dialect(net: usize) -> Dialect {
    if net == GRPC { appendix_ii::dialect(Dialect::default()) } else { Dialect::default() }
}

/// A KM with its manners, good or bad.
fn key_manager(net: usize, at: usize) -> KeyManager {
    let km = topology(net).kms.swap_remove(at);
    let refuse = |reason: &str| Answer::Refuse(reason.to_owned());
    let (answers, dialect) = match &km.kma[..] {
        // Another vendor's: names as in its own code, a version that Q.4164 does not have, MessageIDs of its own.
        "KMA-3" => {
            (BTreeMap::new(), Dialect { version: 2, spelling: Spelling::Camel, ids: Ids::Fresh, ..dialect(net) })
        }
        "KMA-4" => (BTreeMap::from([(Code::ALLOCATION_REQUEST, Answer::Silence)]), dialect(net)),
        "KMA-12" => (BTreeMap::from([(Code::RELAY_REQUEST, refuse("QKD link to KMA-13 is down"))]), dialect(net)),
        "KMA-13" => (BTreeMap::from([(Code::SESSION_NOTIFICATION, refuse("no such application"))]), dialect(net)),
        "KMA-14" => (BTreeMap::from([(Code::RESERVATION_REQUEST, refuse("no keys left"))]), dialect(net)),
        _ => (BTreeMap::new(), dialect(net)),
    };
    let conduct = Conduct::new(dialect, ((u32::from(km.host)) << 20) + 1);
    KeyManager::new(km, Conduct { answers, patience: PATIENCE, ..conduct }, at as u64 + 1)
}

/// Each KM in turn: 7.1, 7.2 and 7.3 toward the KM half the line away.
fn script(kms: &[Km], wanted: impl Fn(&Task) -> bool) -> VecDeque<(String, Task)> {
    let tasks = kms.iter().enumerate().flat_map(|(at, km)| {
        let other = &kms[(at + kms.len() / 2) % kms.len()];
        let target = Target::kma(&other.kma);
        let hop = Task::NextHop { source: km.kma.clone(), target: target.clone() };
        let (source, destination) = (km.applications[0].clone(), other.applications[0].clone());
        let session = Task::Session { source, destination, keys: Some(5) };
        [hop, Task::Relay { target }, session].map(|task| (km.kma.clone(), task))
    });
    tasks.filter(|(_, task)| wanted(task)).collect()
}

fn subject(km: &Km) -> Subject {
    Subject::km(km, &loopback(km.host))
}

fn loopback(host: u8) -> [IpAddr; 1] {
    [IpAddr::from([127, 0, 0, host])]
}
