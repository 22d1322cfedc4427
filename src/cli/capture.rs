//! `ckscope capture`: what passes on network interfaces, in a pipe, or into a file, as it happens.

use std::fs::File;
use std::io::{Write, stdin};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;

use super::live::{LiveArgs, Source};
use super::record::{self, RecordArgs};
use super::say;
use crate::capture::growing::Growing;
use crate::capture::live::{self, Running};
use crate::capture::watch::Watch;
use crate::tui::{SourcePanel, SourceTable};

/// Examples for the help text.
pub const EXAMPLES: &str = "\
Examples:
  ckscope capture -i eth0
      Procedures as they happen, in the interface
  ckscope capture -i eth0 -i lo -f 'tcp port 7164' -w lab.pcapng --headless
      Messages of two interfaces, one line each, and all packets in a file
  ckscope capture -i eth0 -w ring.pcapng --file-size 100M --files 10 --headless
      The newest gigabyte, in ten files
  dumpcap -i eth0 -w - | ckscope capture -i -
      What another program captures; this needs neither libpcap nor the right to capture
  ckscope --follow-file growing.pcapng --keylog secrets.log
      A file that another program is still writing, with TLS decrypted
  ckscope capture --interfaces
      What there is to capture on";

/// What `capture` was asked for.
#[derive(Args, Debug)]
pub struct CaptureArgs {
    /// Capture on this network interface, or any for all (repeatable); - or a named pipe for a capture from there
    #[arg(short, long = "interface", value_name = "IFACE", required_unless_present_any = ["follow_file", "interfaces"], help_heading = "Capture")]
    interface: Vec<String>,
    /// Follow a capture file that another program is still writing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["interface", "write", "capture_filter", "snaplen", "no_promiscuous", "buffer_size"], help_heading = "Capture")]
    follow_file: Option<PathBuf>,
    /// List the interfaces
    #[arg(short = 'D', long, help_heading = "Capture")]
    interfaces: bool,
    /// Take only what this capture filter lets through, as pcap-filter(7) describes it
    #[arg(short = 'f', long, value_name = "BPF", help_heading = "Capture")]
    capture_filter: Option<String>,
    /// Take at most so many bytes of a packet
    #[arg(short, long, value_name = "BYTES", default_value_t = 262_144, value_parser = clap::value_parser!(u32).range(64..=262_144), help_heading = "Capture")]
    snaplen: u32,
    /// Take only what is addressed to this machine
    #[arg(short = 'p', long, help_heading = "Capture")]
    no_promiscuous: bool,
    /// Megabytes that the system may hold for each interface until they are taken
    #[arg(short = 'B', long, value_name = "MB", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=2047), help_heading = "Capture")]
    buffer_size: u32,
    #[command(flatten)]
    record: RecordArgs,
    #[command(flatten)]
    live: LiveArgs,
}

impl CaptureArgs {
    /// Captures until it is told to stop.
    ///
    /// # Errors
    /// Nothing can be captured, or the options are wrong.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        if self.interfaces {
            return list();
        }
        let definitions = self.live.definitions()?;
        let growing = Growing::new();
        let (source, name) = self.source(&growing)?;
        let problems = self.live.show(&definitions, &growing, &source, name, |_| ())?;
        Ok(super::status(problems))
    }

    fn source(&self, growing: &Arc<Growing>) -> anyhow::Result<(Arc<dyn Source>, String)> {
        if let Some(path) = &self.follow_file {
            let name = path.display().to_string();
            let watch = Watch::file(path, growing).with_context(|| name.clone())?;
            return Ok((Arc::new(watch), name));
        }
        if let [only] = &self.interface[..]
            && (only == "-" || is_pipe(Path::new(only)))
        {
            return Ok((Arc::new(self.pipe(only, growing)?), only.clone()));
        }
        if let Some(pipe) = self.interface.iter().find(|name| *name == "-" || is_pipe(Path::new(name))) {
            bail!("-i {pipe}: what comes through a pipe goes alone, without other interfaces");
        }
        let options = live::Options {
            interfaces: self.interface.clone(),
            filter: self.capture_filter.clone(),
            snaplen: self.snaplen,
            promiscuous: !self.no_promiscuous,
            buffer: self.buffer_size * 1_000_000,
        };
        let running = live::start(options, self.record.begin(growing)?)?;
        let name = self.interface.join(", ");
        if self.live.is_headless() {
            say(format_args!("capturing on {name}"));
        }
        Ok((Arc::new(running), name))
    }

    fn pipe(&self, name: &str, growing: &Arc<Growing>) -> anyhow::Result<Watch> {
        if self.record.rotates() {
            bail!(
                "-i {name}: what comes through a pipe is copied as it is; its writer can begin new files, not ckscope"
            );
        }
        if self.capture_filter.is_some() {
            bail!("-f filters what is captured; for what comes through a pipe, use -Y or the filter of its writer");
        }
        let create = |path: &PathBuf| {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(true);
            options.open(path).with_context(|| format!("{}: cannot be recorded into", path.display()))
        };
        let copy = self.record.write.as_ref().map(create).transpose()?;
        let watch = match name {
            "-" => Watch::pipe(stdin(), "standard input", copy, growing),
            path => Watch::pipe(File::open(path).with_context(|| path.to_owned())?, path, copy, growing),
        };
        watch.context("no temporary file can be written for it (TMPDIR says where)")
    }
}

fn is_pipe(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

fn list() -> anyhow::Result<ExitCode> {
    let mut out = super::out::out();
    let found = live::interfaces()?;
    let widest = found.iter().map(|found| found.name.len()).max().unwrap_or(0);
    for found in found {
        writeln!(out, "{:widest$}  {}", found.name, found.description)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Source for Running {
    fn stop(&self) {
        Running::stop(self);
    }

    fn lost(&self) -> u64 {
        let status = self.status();
        status.interfaces.iter().map(|interface| interface.dropped).sum::<u64>() + status.recording.lost
    }

    fn problems(&self) -> Vec<String> {
        let status = self.status();
        let dropped = status.interfaces.iter().filter(|interface| interface.dropped > 0).map(|interface| {
            let (name, dropped, all) = (&interface.name, interface.dropped, interface.dropped + interface.packets);
            format!("{name}: {dropped} of {all} packets were dropped, because they were not taken in time; a larger -B helps")
        });
        let failed = status
            .interfaces
            .iter()
            .filter_map(|interface| Some(format!("{}: {}", interface.name, interface.problem.as_ref()?)));
        dropped.chain(failed).chain(record::problem(&status.recording)).collect()
    }

    fn panel(&self) -> Option<SourcePanel> {
        let status = self.status();
        let row = |interface: &live::InterfaceStatus| {
            let state = interface.problem.as_deref().unwrap_or("capturing").to_owned();
            vec![interface.name.clone(), interface.packets.to_string(), interface.dropped.to_string(), state]
        };
        Some(SourcePanel {
            title: "Capture".to_owned(),
            warnings: self.problems(),
            facts: record::facts(&status.recording),
            tables: vec![SourceTable {
                title: "Interfaces".to_owned(),
                columns: ["Interface", "Packets", "Dropped", "State"].map(str::to_owned).to_vec(),
                rows: status.interfaces.iter().map(row).collect(),
                details: Vec::new(),
            }],
        })
    }
}

impl Source for Watch {
    fn stop(&self) {
        Watch::stop(self);
    }

    fn lost(&self) -> u64 {
        0
    }

    fn problems(&self) -> Vec<String> {
        self.problem().into_iter().collect()
    }

    fn panel(&self) -> Option<SourcePanel> {
        None
    }
}
