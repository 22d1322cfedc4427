//! `ckscope demo`: a lab and a proxy in this process, and the interface on what passes between them.

use std::io::{Write, stderr};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::live::{LiveArgs, Source};
use super::record::RecordArgs;
use super::say;
use crate::capture::growing::Growing;
use crate::capture::proxy::{self, Options, Party, Route, Running, Trust, Upstream};
use crate::capture::recording::Recording;
use crate::journal::View;
use crate::lab::demo::{Demo, Dialler, EXPECTED, Problems, Way};
use crate::tui::SourcePanel;

/// Examples for the help text.
pub const EXAMPLES: &str = "\
Examples:
  ckscope demo
      Three small QKDNs, by plain TCP, TLS and gRPC, and the interface on all they say
  ckscope demo --headless --seconds 10
      The same as lines of text; exit status 0 if every procedure was seen that there is to see
  ckscope demo --write demo.pcapng
      The same, recorded, to be looked at again or opened in Wireshark";

/// From one procedure of a QKDN to its next, at a pace that a person can follow.
const PACE: Duration = Duration::from_millis(900);
/// The same where nobody follows.
const QUICK: Duration = Duration::from_millis(100);

/// The tour, one hint after the other.
const TOUR: [&str; 5] = [
    "Each line is a procedure of Q.4164, whichever way it travelled: j and k move, enter draws its ladder",
    "2 draws the flow: who said what to whom and when; along the arrows, the message below follows",
    "3 shows messages field by field, beside the bytes they were made of",
    "/ filters, for example: ck.procedure.state == failed; i follows one session or relay through everything",
    "5 lists what departs from the Recommendation, 7 the proxy in between; ? has all keys",
];

/// What `demo` was asked for.
#[derive(Args, Debug)]
#[command(mut_arg("duration", |argument| argument.visible_alias("seconds")))]
pub struct DemoArgs {
    #[command(flatten)]
    record: RecordArgs,
    #[command(flatten)]
    live: LiveArgs,
}

impl DemoArgs {
    /// Runs the lab until it is told to stop.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(mut self) -> anyhow::Result<ExitCode> {
        let headless = self.live.is_headless();
        self.live.impatient(Duration::from_secs(3));
        self.live.tour(&TOUR);
        let definitions = self.live.definitions()?;
        let pki = tempfile::tempdir().context("no directory for certificates (TMPDIR says where)")?;
        let demo = Demo::new(&pki.path().join("pki"))?;
        demo.certify()?;
        let growing = Growing::new();
        let lab = Arc::new(Lab::start(&demo, self.record.begin(&growing)?, if headless { QUICK } else { PACE })?);
        let source: Arc<dyn Source> = lab;
        let mut missing = Vec::new();
        let checked = headless && (self.live.duration.is_some() || self.live.messages.is_some());
        let problems = self.live.show(&definitions, &growing, &source, "demo".to_owned(), |view| {
            missing = if checked { not_seen(view) } else { Vec::new() };
            // Among lines for programs it would be one that they cannot read.
            let summarised = match (headless, self.live.is_jsonl()) {
                (false, _) => Ok(()),
                (true, true) => summarise(view, &mut stderr().lock()),
                (true, false) => summarise(view, &mut super::out::out()),
            };
            missing.extend(summarised.err().map(|error| error.to_string()));
        })?;
        missing.iter().for_each(|what| say(format_args!("demo: not seen: {what}")));
        Ok(super::status(problems || !missing.is_empty()))
    }
}

/// Kinds of procedures that there should have been.
fn not_seen(view: View<'_>) -> Vec<String> {
    let seen = |&(name, state): &(&str, &str)| {
        let definitions = &view.journal.definitions.procedures;
        view.journal.procedures.iter().any(|procedure| {
            definitions[usize::from(procedure.definition)].name == name && procedure.state.name() == state
        })
    };
    EXPECTED.iter().filter(|expected| !seen(expected)).map(|(name, state)| format!("{name}, {state}")).collect()
}

/// How many procedures there were, by kind and state.
fn summarise(view: View<'_>, out: &mut impl Write) -> anyhow::Result<()> {
    writeln!(out)?;
    for (at, definition) in view.journal.definitions.procedures.iter().enumerate() {
        let of_kind = view.journal.procedures.iter().filter(|procedure| usize::from(procedure.definition) == at);
        let mut counts = std::collections::BTreeMap::<&str, usize>::new();
        of_kind.for_each(|procedure| *counts.entry(procedure.state.name()).or_default() += 1);
        let told: Vec<String> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
        writeln!(out, "{:30} {}", definition.name, told.join(", "))?;
    }
    Ok(out.flush()?)
}

/// The lab with its proxy.
struct Lab {
    proxy: Running,
    problems: Problems,
}

impl Lab {
    fn start(demo: &Demo, recording: Recording, pace: Duration) -> anyhow::Result<Self> {
        let authorities = demo.authority();
        let trust = Trust { authorities: Some(authorities.clone()), ..Trust::default() };
        let options = Options {
            routes: demo.ways()?.iter().map(route).collect(),
            ca: authorities.parent().map(ToOwned::to_owned),
            km: trust.clone(),
            controller: trust,
            // Nobody's work ends with it.
            rest: Duration::from_millis(100),
            ..Options::default()
        };
        let proxy = proxy::start(options, || Ok(recording), Arc::new(|_: &str| ()))?;
        let problems = demo.run(proxy.listening(), pace)?;
        Ok(Self { proxy, problems })
    }
}

fn route(way: &Way) -> Route {
    let dialler = match way.dialler {
        Dialler::Km => Party::Km,
        Dialler::Controller => Party::Controller,
    };
    Route { listen: SocketAddr::from(([127, 0, 0, 1], 0)), upstream: Upstream::To(way.to), dialler }
}

impl Source for Lab {
    fn stop(&self) {
        self.proxy.stop();
    }

    fn hurry(&self) {
        self.proxy.hurry();
    }

    fn patience(&self) -> Duration {
        self.proxy.patience()
    }

    fn lost(&self) -> u64 {
        Source::lost(&self.proxy)
    }

    fn problems(&self) -> Vec<String> {
        let lab = self.problems.lock().unwrap_or_else(PoisonError::into_inner).clone();
        lab.into_iter().chain(Source::problems(&self.proxy)).collect()
    }

    fn panel(&self) -> Option<SourcePanel> {
        let panel = Source::panel(&self.proxy)?;
        Some(SourcePanel { title: "Proxy of the demo".to_owned(), warnings: self.problems(), ..panel })
    }
}
