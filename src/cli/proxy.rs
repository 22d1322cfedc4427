//! `ckscope proxy`: between KM and controller.

mod panel;
mod rules;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};

use super::address::address;
use super::live::{LiveArgs, Source};
use super::record::{self, RecordArgs};
use super::{notices, say};
use crate::capture::growing::Growing;
use crate::capture::proxy::{self, Options, Party, Route, Running, Trust, Upstream};
use crate::tui::SourcePanel;

/// Bytes that count as one loss, where losses are told as pieces.
const PIECE: u64 = 1460;

pub const EXAMPLES: &str = "\
Examples:
  ckscope proxy --listen 0.0.0.0:4164 --upstream 192.0.2.10:4164 -w ck.pcapng
      Pass plain Ck on to the controller at 192.0.2.10, and record it
  ckscope ca init lab-ca
  ckscope proxy --listen 0.0.0.0:4164 --upstream 192.0.2.10:4164 --ca lab-ca \\
      --km-ca km-ca.pem --controller-ca controller-ca.pem
      The same with mutual TLS: the controller sees each KM's own identity, the KMs the controller's
  ckscope proxy rules --transparent tproxy --listen 0.0.0.0:4165 --port 4164
      Print the nftables rules that bring connections here which were going elsewhere";

/// Sit between KM and controller: decrypt, record, and pass everything on
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    mut_arg("key_logs", |argument| argument
        .help("Append the secrets of both sides' TLS to this key log (NSS format)")
        .help_heading("Recording")
        .action(clap::ArgAction::Set)),
    mut_arg("verbose", |argument| argument.help(
        "Add every parameter and diagnostic of each message, in text, and say on stderr how both sides of each TLS \
         connection were brought together"
    ))
)]
pub struct ProxyArgs {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    forward: ForwardArgs,
    #[command(flatten)]
    identities: IdentityArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    record: RecordArgs,
    #[command(flatten)]
    live: LiveArgs,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Print the nftables rules for --transparent, and how to remove them
    Rules(rules::RulesArgs),
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Forwarding")]
struct ForwardArgs {
    /// Wait for connections here (repeatable; the first --upstream belongs to the first --listen, and so on)
    #[arg(long, value_name = "ADDR", value_parser = address, required = true)]
    listen: Vec<SocketAddr>,
    /// Pass them on to this address
    #[arg(long, value_name = "ADDR", value_parser = address, conflicts_with = "transparent")]
    upstream: Vec<SocketAddr>,
    /// Pass them on to where they were going before nftables brought them here; see ckscope proxy rules
    #[arg(long, value_name = "HOW")]
    transparent: Option<Transparent>,
    /// Dial on from the address of whoever dialled (Linux; needs CAP_NET_ADMIN, and the rules that bring answers here)
    #[arg(long)]
    spoof_source: bool,
    /// Who dials (repeatable: for each --listen) [default: km]
    #[arg(long, value_name = "PARTY", value_enum)]
    dial: Vec<Party>,
}

/// How nftables brings connections here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Transparent {
    /// By changing their destination
    Redirect,
    /// As they are
    Tproxy,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Identities")]
struct IdentityArgs {
    /// Open TLS, with certificates minted from the authority in DIR; ckscope ca init makes one
    #[arg(long, value_name = "DIR")]
    ca: Option<PathBuf>,
    /// The authorities (PEM) that the KMs' certificates must lead to
    #[arg(long, value_name = "FILE")]
    km_ca: Option<PathBuf>,
    /// The authorities (PEM) that the controller's certificate must lead to
    #[arg(long, value_name = "FILE")]
    controller_ca: Option<PathBuf>,
    /// Refuse certificates that this list (PEM or DER) revokes (repeatable)
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// Believe whatever certificate a KM shows
    #[arg(long, conflicts_with = "km_ca")]
    no_verify_km: bool,
    /// Believe whatever certificate the controller shows
    #[arg(long, conflicts_with = "controller_ca")]
    no_verify_controller: bool,
    /// Show the controller this certificate (PEM, with its chain), not a mirror of the KM's
    #[arg(long, value_name = "FILE", requires = "km_key")]
    km_cert: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", requires = "km_cert")]
    km_key: Option<PathBuf>,
    /// Show the KMs this certificate (PEM, with its chain), not a mirror of the controller's
    #[arg(long, value_name = "FILE", requires = "controller_key")]
    controller_cert: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", requires = "controller_cert")]
    controller_key: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Connections at a time; more are reset
    #[arg(long, value_name = "N", default_value = "4096")]
    max_connections: NonZeroUsize,
    /// Seconds that dialling on may take
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    connect_timeout: Duration,
    /// Seconds that a TLS hand-shake may take
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    handshake_timeout: Duration,
    /// Seconds that what is under way has to arrive, once the proxy is stopped
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    drain: Duration,
    /// MiB that may wait to be recorded; what finds no room is passed on, and missing in the recording
    #[arg(long, value_name = "MIB", default_value = "64")]
    queue: NonZeroUsize,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

impl ProxyArgs {
    /// # Errors
    /// The proxy cannot be started.
    pub fn run(mut self) -> anyhow::Result<ExitCode> {
        if let Some(Command::Rules(args)) = self.command {
            return args.run();
        }
        let key_log = self.key_log()?;
        let definitions = self.live.definitions()?;
        let growing = Growing::new();
        let headless = self.live.is_headless();
        if headless {
            notices::detach();
        }
        // On the whole terminal, what is said stands in the panel.
        let told = move |text: &str| {
            if headless {
                say(text)
            }
        };
        let options = self.options(key_log)?;
        let record = || self.record.begin(&growing).map_err(std::io::Error::other);
        let running = proxy::start(options, record, Arc::new(told))?;
        let addresses: Vec<String> = running.listening().iter().map(ToString::to_string).collect();
        if headless {
            addresses.iter().for_each(|address| say(format_args!("listening on {address}")));
            running.panel().warnings.iter().for_each(say);
        }
        let source: Arc<dyn Source> = Arc::new(running);
        let name = format!("proxy on {}", addresses.join(", "));
        Ok(super::status(self.live.show(&definitions, &growing, &source, name, |_| ())?))
    }

    /// What other commands read, this one writes: there is nothing to open with it.
    fn key_log(&mut self) -> anyhow::Result<Option<PathBuf>> {
        let key_log = self.live.analysis.secrets.key_logs.drain(..).next();
        if key_log.is_some() && key_log == self.record.write {
            bail!("--keylog and -w name the same file; secrets and packets need one each");
        }
        if key_log.as_deref() == Some(Path::new("-")) {
            bail!("--keylog: secrets are appended to a file, not to standard output; give it a name");
        }
        Ok(key_log)
    }

    /// What the proxy is to do.
    fn options(&self, key_log: Option<PathBuf>) -> anyhow::Result<Options> {
        let Self { forward, identities, limits, .. } = self;
        identities.check(key_log.is_some())?;
        Ok(Options {
            routes: forward.routes()?,
            spoof_source: forward.spoof_source,
            ca: identities.ca.clone(),
            km: Trust {
                authorities: identities.km_ca.clone(),
                unverified: identities.no_verify_km,
                shown: identities.controller_cert.clone().zip(identities.controller_key.clone()),
            },
            controller: Trust {
                authorities: identities.controller_ca.clone(),
                unverified: identities.no_verify_controller,
                shown: identities.km_cert.clone().zip(identities.km_key.clone()),
            },
            revoked: identities.crl.clone(),
            key_log,
            connections: limits.max_connections.get(),
            connect: limits.connect_timeout,
            handshake: limits.handshake_timeout,
            drain: limits.drain,
            rest: Options::default().rest,
            queue: limits.queue.get().saturating_mul(1 << 20),
            reports: self.live.verbose,
        })
    }
}

impl IdentityArgs {
    /// What is about TLS asks for TLS to be opened.
    fn check(&self, has_key_log: bool) -> anyhow::Result<()> {
        let given = [
            ("--km-ca", self.km_ca.is_some()),
            ("--controller-ca", self.controller_ca.is_some()),
            ("--crl", !self.crl.is_empty()),
            ("--no-verify-km", self.no_verify_km),
            ("--no-verify-controller", self.no_verify_controller),
            ("--keylog", has_key_log),
        ];
        let opens = self.ca.is_some() || self.km_cert.is_some() || self.controller_cert.is_some();
        if !self.crl.is_empty() && self.no_verify_km && self.no_verify_controller {
            bail!(
                "--crl is of no effect with --no-verify-km and --no-verify-controller; leave it out, or give --km-ca or --controller-ca"
            );
        }
        match given.iter().find(|(_, given)| *given && !opens) {
            Some((option, _)) => {
                bail!(
                    "{option} is about TLS, which is not opened without --ca DIR; ckscope ca init DIR makes an authority"
                )
            }
            None => Ok(()),
        }
    }
}

impl ForwardArgs {
    fn routes(&self) -> anyhow::Result<Vec<Route>> {
        let upstream = match self.transparent {
            Some(Transparent::Redirect) => vec![Upstream::Redirected; self.listen.len()],
            Some(Transparent::Tproxy) => vec![Upstream::Intercepted; self.listen.len()],
            None => self.upstream.iter().copied().map(Upstream::To).collect(),
        };
        self.check(&upstream)?;
        let diallers = diallers(&self.dial, self.listen.len())?;
        let routes = self.listen.iter().zip(upstream).zip(diallers);
        Ok(routes.map(|((&listen, upstream), dialler)| Route { listen, upstream, dialler }).collect())
    }

    /// Each listener goes on to somebody else.
    fn check(&self, upstream: &[Upstream]) -> anyhow::Result<()> {
        let listen = self.listen.len();
        if upstream.is_empty() {
            bail!(
                "where connections go on to is missing: --upstream ADDR, or --transparent HOW where nftables brings them here"
            );
        }
        if upstream.len() != listen {
            bail!("{listen} --listen, but {} --upstream; they go in pairs", upstream.len());
        }
        if let Some((listen, _)) = self.listen.iter().zip(upstream).find(|(listen, to)| leads_back(**listen, **to)) {
            bail!(
                "the proxy would pass on to itself at {listen}; --upstream is the address of whom to reach through it"
            );
        }
        Ok(())
    }
}

/// Who dials at each of so many listeners.
fn diallers(dial: &[Party], listen: usize) -> anyhow::Result<Vec<Party>> {
    match dial {
        [] => Ok(vec![Party::Km; listen]),
        [only] => Ok(vec![*only; listen]),
        several if several.len() == listen => Ok(several.to_vec()),
        several => bail!("{listen} --listen, but {} --dial; give one for all, or one for each", several.len()),
    }
}

/// Whether what is taken at `listen` would come there again.
fn leads_back(listen: SocketAddr, to: Upstream) -> bool {
    let Upstream::To(to) = to else { return false };
    let here = listen.ip() == to.ip() || listen.ip().is_unspecified() && to.ip().is_loopback();
    here && listen.port() == to.port()
}

/// A number of connections, at the beginning of what was done to them.
fn were(connections: u64) -> String {
    if connections == 1 { "1 connection was".to_owned() } else { format!("{connections} connections were") }
}

impl Source for Running {
    fn stop(&self) {
        Running::stop(self);
    }

    fn hurry(&self) {
        Running::hurry(self);
    }

    fn patience(&self) -> Duration {
        Running::patience(self)
    }

    fn is_needed(&self) -> bool {
        true
    }

    fn lost(&self) -> u64 {
        let panel = self.panel();
        panel.queue.lost_bytes.div_ceil(PIECE) + panel.queue.lost_events + panel.recording.lost
    }

    fn problems(&self) -> Vec<String> {
        let panel = self.panel();
        let queue = &panel.queue;
        let lost = (queue.lost_bytes > 0 || queue.lost_events > 0).then(|| {
            let (bytes, events) = (queue.lost_bytes, queue.lost_events);
            format!("{bytes} bytes and {events} events were passed on, but not recorded: the recorder fell behind; a larger --queue helps")
        });
        let turned = (panel.turned_away > 0)
            .then(|| format!("{} turned away; --max-connections allows for more", were(panel.turned_away)));
        let cut = (panel.cut > 0)
            .then(|| format!("{} cut off with something under way when --drain was over", were(panel.cut)));
        let secrets = panel.key_log.iter().map(|problem| format!("secrets were not logged: {problem}"));
        lost.into_iter().chain(turned).chain(cut).chain(record::problem(&panel.recording)).chain(secrets).collect()
    }

    fn panel(&self) -> Option<SourcePanel> {
        Some(panel::shown(&Running::panel(self), self.problems()))
    }
}
