//! `ckscope lab`: the simulated QKDN.

mod security;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use security::Security;

use super::address::address;
use crate::lab::appendix_ii;
use crate::lab::controller::Controller;
use crate::lab::dialect::{Dialect, Ids, Lists, Responses, Spelling};
use crate::lab::generate::Bulk;
use crate::lab::key_manager::KeyManager;
use crate::lab::peer::{Conduct, Target, Task};
use crate::lab::pki::Subject;
use crate::lab::run::{self, Listen, PAUSE, Plan, Tls};
use crate::lab::scenario::{self, Carried, Scenario};
use crate::lab::setup::{Binding, Dial, Setup};
use crate::lab::tls::Version;
use crate::lab::topology::{Km, Topology};

const EXAMPLES: &str = "\
Examples:
  ckscope lab --list
  ckscope lab --scenario session --write session.pcapng
  ckscope lab --messages 1000000 --connections 1000 --write large.pcapng
  ckscope lab controller --listen 127.0.0.1:4164
  ckscope lab km --connect 127.0.0.1:4164
  ckscope lab controller --listen 127.0.0.1:4164 --tls 1.3 --pki lab-pki --keylog secrets.log
  ckscope lab km --connect 127.0.0.1:4164 --tls 1.3 --pki lab-pki
  ckscope lab km --binding grpc --id KMA-1 --listen 127.0.0.1:4165 --connect 127.0.0.1:4164
  ckscope lab controller --binding grpc --listen 127.0.0.1:4164 --dial KMA-1=127.0.0.1:4165";

/// Simulate a QKDN: write sample captures, or speak Ck over TCP, TLS or gRPC.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct LabArgs {
    #[command(subcommand)]
    peer: Option<Peer>,
    /// List the scenarios.
    #[arg(long, conflicts_with_all = ["write", "all"])]
    list: bool,
    /// Write every scenario's file, and a README, into DIR.
    #[arg(long, value_name = "DIR", conflicts_with = "write")]
    all: Option<PathBuf>,
    /// Write a capture to FILE (- for standard output).
    #[arg(long, short, value_name = "FILE")]
    write: Option<PathBuf>,
    /// What happens in it; see --list.
    #[arg(long, value_name = "NAME", default_value = "all-procedures")]
    scenario: String,
    /// Decides every delay and ID; the same seed gives the same bytes.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Write N messages of every kind instead of a scenario, for measuring.
    #[arg(long, value_name = "N", requires = "write", conflicts_with = "scenario")]
    messages: Option<u64>,
    /// TCP connections that --messages are spread over.
    #[arg(long, value_name = "C", requires = "messages", default_value_t = 10)]
    connections: u32,
    /// Who dials.
    #[arg(long, value_enum, default_value_t)]
    dial: Dial,
    /// Have the scenario's peers speak TLS, with certificates on both sides and the secrets in the capture.
    #[arg(long, value_enum, value_name = "VERSION", requires = "write", conflicts_with = "messages")]
    tls: Option<Version>,
    /// How the scenario's peers speak Ck.
    #[arg(long, value_enum, default_value_t, requires = "write", conflicts_with = "messages")]
    binding: Binding,
    #[command(flatten)]
    writing: Writing,
    /// The QKDN as TOML; the default has six KMs.
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Peer {
    /// Run a QKDN controller and print its messages.
    Controller(ControllerArgs),
    /// Run key managers and print their messages.
    Km(KmArgs),
}

#[derive(Args, Debug)]
struct ControllerArgs {
    /// Wait for KMs here.
    #[arg(long, value_name = "ADDR", value_parser = address, required_unless_present = "dial")]
    listen: Option<SocketAddr>,
    /// Dial the KM of this KMA.
    #[arg(long, value_name = "KMA=ADDR", value_parser = kma_at)]
    dial: Vec<(String, SocketAddr)>,
    /// Only answer: do not have keys reserved and allocated.
    #[arg(long)]
    passive: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct KmArgs {
    /// Dial the controller here.
    #[arg(long, value_name = "ADDR", value_parser = address, required_unless_present = "listen")]
    connect: Option<SocketAddr>,
    /// Wait for the controller here; for one KM.
    #[arg(long, value_name = "ADDR", value_parser = address, requires = "id")]
    listen: Option<SocketAddr>,
    /// Be the KM of this KMA; may be repeated [default: all of the topology].
    #[arg(long, value_name = "KMA")]
    id: Vec<String>,
    /// Only answer: begin no procedure.
    #[arg(long)]
    passive: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Common {
    /// Stop after N seconds.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Makes the session and key IDs.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The QKDN as TOML; the default has six KMs.
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    security: Security,
}

/// `KMA-1=127.0.0.1:4164`
fn kma_at(text: &str) -> Result<(String, SocketAddr), String> {
    let (kma, address) = text.split_once('=').ok_or("expected KMA=ADDR, as in KMA-1=127.0.0.1:4164")?;
    Ok((kma.to_owned(), self::address(address)?))
}

/// How the peers write what the Recommendation leaves open.
#[derive(Args, Clone, Copy, Debug)]
struct Writing {
    /// How parameter names are spelled.
    #[arg(long, value_enum, default_value_t)]
    spelling: Spelling,
    /// How lists of IDs are written.
    #[arg(long, value_enum, default_value_t)]
    lists: Lists,
    /// How Response is written.
    #[arg(long, value_enum, default_value_t)]
    responses: Responses,
    /// Which MessageID a response has.
    #[arg(long, value_enum, default_value_t)]
    ids: Ids,
    /// The header's Version.
    #[arg(long, value_name = "N", default_value_t = 1)]
    protocol_version: u16,
}

impl Writing {
    fn dialect(&self) -> Dialect {
        Dialect {
            version: self.protocol_version,
            spelling: self.spelling,
            lists: self.lists,
            responses: self.responses,
            ids: self.ids,
        }
    }
}

/// Does what the arguments say.
pub fn run(args: LabArgs) -> anyhow::Result<ExitCode> {
    quiet_when_nobody_reads(dispatch(&args))?;
    Ok(ExitCode::SUCCESS)
}

fn dispatch(args: &LabArgs) -> anyhow::Result<()> {
    match &args.peer {
        Some(Peer::Controller(args)) => return controller(args),
        Some(Peer::Km(args)) => return key_managers(args),
        None => {}
    }
    if args.list {
        return list();
    }
    let dialect = args.writing.dialect();
    let topology = topology(args.topology.as_deref())?;
    let setup = Setup {
        seed: args.seed,
        km: dialect,
        controller: dialect,
        dial: args.dial,
        topology,
        tls: args.tls,
        binding: args.binding,
        ..Setup::default()
    };
    if let Some(directory) = &args.all {
        return write_all(directory, &setup);
    }
    let Some(path) = &args.write else { bail!("say what to do: --list, --write FILE, controller or km (see --help)") };
    let written = if let Some(messages) = args.messages {
        let bulk = Bulk { messages, connections: args.connections, seed: args.seed };
        bulk.check()?;
        create(path).and_then(|out| bulk.write(out))
    } else {
        let Some(scenario) = scenario::find(&args.scenario) else {
            bail!("no scenario is called {:?}; --list names them all", args.scenario)
        };
        check_carried(scenario, &setup)?;
        create(path).and_then(|out| scenario.capture(&setup).write(out))
    };
    written.with_context(|| path.display().to_string())
}

/// Not every conversation can travel in every way.
fn check_carried(scenario: &Scenario, setup: &Setup) -> anyhow::Result<()> {
    let wanted = match (setup.binding, setup.tls) {
        (Binding::Grpc, _) => Carried::Grpc,
        (Binding::Tcp, Some(_)) => Carried::Tls,
        (Binding::Tcp, None) => return Ok(()),
    };
    if scenario.carried == wanted || scenario.carried == Carried::Grpc {
        return Ok(());
    }
    let fits = |other: &&Scenario| other.carried == wanted || other.carried == Carried::Grpc;
    let others: Vec<&str> = scenario::all().filter(fits).map(|other| other.name).collect();
    let option = if wanted == Carried::Grpc { "--binding grpc" } else { "--tls" };
    bail!("scenario {:?} does not go with {option}; these do: {}", scenario.name, others.join(", "))
}

fn controller(args: &ControllerArgs) -> anyhow::Result<()> {
    let topology = topology(args.common.topology.as_deref())?;
    if let Some((unknown, _)) = args.dial.iter().find(|(kma, _)| topology.kma(kma).is_none()) {
        bail!("the topology has no KMA {unknown:?}");
    }
    // As in the simulation, a MessageID tells who made it: the controller's have the top bit.
    let conduct = Conduct::new(args.common.dialect(), 0x8000_0001);
    let me = Subject::controller(&loopback(1));
    let whom = |kma: &str| topology.kms.iter().find(|km| km.kma == kma).map(subject).expect("checked above");
    let dialled: Vec<_> = args.dial.iter().map(|(kma, _)| (me.clone(), whom(kma))).collect();
    let tls = args.common.security.tls(&topology, &dialled, &me)?;
    let peer = Controller::new(topology.clone(), conduct, args.common.seed);
    let plan = args.common.plan(args.listen, args.dial.clone(), tls);
    let out = super::out::buffered();
    Ok(block_on(run::controller(peer, topology, plan, !args.passive, out))?)
}

fn key_managers(args: &KmArgs) -> anyhow::Result<()> {
    let topology = topology(args.common.topology.as_deref())?;
    if let Some(unknown) = args.id.iter().find(|id| topology.kma(id).is_none()) {
        bail!("the topology has no KMA {unknown:?}");
    }
    if args.listen.is_some() && args.id.len() != 1 {
        bail!("--listen is for one KM; start one process for each");
    }
    match args.common.security.binding {
        Binding::Tcp if args.listen.is_some() && args.connect.is_some() => {
            bail!("over TCP one side dials: give --listen or --connect")
        }
        Binding::Grpc if args.listen.is_none() => bail!("over gRPC the controller dials too: give --listen"),
        Binding::Tcp | Binding::Grpc => {}
    }
    let mine = |(_, km): &(usize, &Km)| args.id.is_empty() || args.id.contains(&km.kma);
    let kms: Vec<_> = topology.kms.iter().enumerate().filter(mine).collect();
    let mut script = if args.passive { VecDeque::new() } else { script(&topology, &kms) };
    if args.common.security.binding == Binding::Grpc {
        script.retain(|(_, task)| matches!(task, Task::Relay { .. })); // what Appendix II maps
    }
    let dial = args.connect.map(|address| kms.iter().map(|(_, km)| (km.kma.clone(), address)).collect());
    let dialled: Vec<_> = kms.iter().map(|(_, km)| (subject(km), Subject::controller(&loopback(1)))).collect();
    let Some((listener, _)) = dialled.first() else { bail!("the topology has no KM") };
    let tls = args.common.security.tls(&topology, &dialled, listener)?;
    let plan = args.common.plan(args.listen, dial.unwrap_or_default(), tls);
    let peer = |(at, km): &(usize, &Km)| {
        let conduct = Conduct::new(args.common.dialect(), ((*at as u32 + 1) << 20) + 1);
        KeyManager::new(Km::clone(km), conduct, args.common.seed ^ ((*at as u64 + 1) << 32))
    };
    let peers = kms.iter().map(peer).collect();
    let out = super::out::buffered();
    Ok(block_on(run::key_managers(peers, plan, script, out))?)
}

/// Each KM in turn: 7.1, 7.2 and 7.3 toward the KM half the topology away.
fn script(topology: &Topology, kms: &[(usize, &Km)]) -> VecDeque<(String, Task)> {
    let tasks = kms.iter().flat_map(|(at, km)| {
        let other = &topology.kms[(at + topology.kms.len() / 2) % topology.kms.len()];
        let target = Target::kma(&other.kma);
        let hop = Task::NextHop { source: km.kma.clone(), target: target.clone() };
        let applications = km.applications.first().cloned().zip(other.applications.first().cloned());
        let session = applications.map(|(source, destination)| Task::Session { source, destination, keys: Some(5) });
        let tasks = [Some(hop), Some(Task::Relay { target }), session];
        tasks.into_iter().flatten().map(|task| (km.kma.clone(), task))
    });
    tasks.collect()
}

impl Common {
    fn plan(&self, listen: Option<SocketAddr>, dial: Vec<(String, SocketAddr)>, tls: Option<Tls>) -> Plan {
        let limit = self.seconds.map(Duration::from_secs);
        let listen = listen.map(Listen::At);
        Plan { listen, dial, limit, binding: self.security.binding, tls, pause: PAUSE, again: false, host: 0 }
    }

    fn dialect(&self) -> Dialect {
        match self.security.binding {
            Binding::Tcp => self.writing.dialect(),
            Binding::Grpc => appendix_ii::dialect(self.writing.dialect()),
        }
    }
}

/// A KM of this machine.
fn subject(km: &Km) -> Subject {
    Subject::km(km, &loopback(km.host.max(1)))
}

fn loopback(host: u8) -> [IpAddr; 1] {
    [IpAddr::from([127, 0, 0, host])]
}

fn block_on(work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work)
}

/// Name, file and description of every scenario.
fn list() -> anyhow::Result<()> {
    let mut out = super::out::buffered();
    for scenario in scenario::all() {
        writeln!(out, "{:24} {}", scenario.name, scenario.about)?;
    }
    Ok(out.flush()?)
}

fn write_all(directory: &Path, setup: &Setup) -> anyhow::Result<()> {
    let write = |name: &str, bytes: &[u8]| {
        let path = directory.join(name);
        std::fs::write(&path, bytes).with_context(|| path.display().to_string())
    };
    for scenario in scenario::all() {
        write(&scenario.file(), &scenario.capture(setup).to_bytes())?;
    }
    write("README.md", scenario::readme().as_bytes())
}

fn create(path: &Path) -> io::Result<Box<dyn Write>> {
    if path == Path::new("-") {
        return Ok(Box::new(super::out::out()));
    }
    Ok(Box::new(File::create(path)?))
}

fn topology(path: Option<&Path>) -> anyhow::Result<Topology> {
    let Some(path) = path else { return Ok(Topology::default()) };
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

/// A closed pipe is how a reader says "enough".
fn quiet_when_nobody_reads(result: anyhow::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error)
            if error
                .chain()
                .filter_map(|cause| cause.downcast_ref::<io::Error>())
                .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe) =>
        {
            Ok(())
        }
        result => result,
    }
}
