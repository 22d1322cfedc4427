//! `ckscope lab`: the simulated QKDN.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use crate::lab::dialect::{Dialect, Ids, Lists, Responses, Spelling};
use crate::lab::generate::Bulk;
use crate::lab::scenario;
use crate::lab::simulation::{Dial, Setup};
use crate::lab::topology::Topology;

/// Simulate a QKDN: write sample captures, or speak Ck over TCP.
///
/// Examples:
///   ckscope lab --list
///   ckscope lab --scenario session --write session.pcapng
///   ckscope lab --messages 1000000 --connections 100 --write large.pcapng
///   ckscope lab controller --listen 127.0.0.1:4164
///   ckscope lab km --connect 127.0.0.1:4164
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, verbatim_doc_comment)]
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
    #[command(flatten)]
    writing: Writing,
    /// The QKDN as TOML; the default has six KMs.
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Peer {}

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
    if args.list {
        return list();
    }
    let dialect = args.writing.dialect();
    let topology = topology(args.topology.as_deref())?;
    let setup = Setup { seed: args.seed, km: dialect, controller: dialect, dial: args.dial, ipv6: false, topology };
    if let Some(directory) = &args.all {
        return write_all(directory, &setup);
    }
    let Some(path) = &args.write else { bail!("say what to do: --list, --write FILE, controller or km (see --help)") };
    if let Some(messages) = args.messages {
        let bulk = Bulk { messages, connections: args.connections, seed: args.seed };
        bulk.check()?;
        return bulk.write(create(path)?).with_context(|| path.display().to_string());
    }
    let Some(scenario) = scenario::find(&args.scenario) else {
        bail!("no scenario is called {:?}; --list names them all", args.scenario)
    };
    let out = create(path)?;
    scenario.capture(&setup).write(out).with_context(|| path.display().to_string())
}

/// Name, file and description of every scenario.
fn list() -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
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

fn create(path: &Path) -> anyhow::Result<Box<dyn Write>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdout().lock()));
    }
    let file = File::create(path).with_context(|| path.display().to_string())?;
    Ok(Box::new(file))
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
