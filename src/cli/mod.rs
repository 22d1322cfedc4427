//! The command line: what was typed → what it means. One file per command; results go to stdout, everything else to
//! stderr. Knows every stage only by its public face.

mod address;
mod ca;
mod capture;
mod connections;
mod demo;
mod dissectors;
mod export;
mod fields;
mod filter;
mod flows;
mod follow;
mod info;
mod input;
mod lab;
mod lines;
mod live;
mod look;
mod notices;
mod out;
mod proto;
mod proxy;
mod read;
mod record;
mod report;
mod screen;
mod secrets;
mod settings;
mod shared;
mod shell;
mod signals;
mod stats;
mod tui;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use notices::{Multiline, say};
pub use notices::{flush, say_error};
pub use out::is_closed_pipe;
use settings::Settings;

/// See the Ck interface of a QKD network (ITU-T Q.4164) as procedures, not packets
#[derive(Parser, Debug)]
#[command(
    name = "ckscope",
    version,
    max_term_width = 100,
    override_usage = "ckscope <COMMAND> [OPTIONS]\n       ckscope FILE...",
    after_long_help = EXAMPLES
)]
pub struct Cli {
    /// When to colour
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto", global = true, help_heading = "Output")]
    color: look::Color,
    /// Defaults of options, and keys, colours and columns of the interface [default: ckscope/ckscope.toml in
    /// XDG_CONFIG_HOME or ~/.config]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Output")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  ckscope capture.pcapng
      The procedures in a capture, to look around in; into files and pipes, its messages, one line each
  ckscope flows --ladder capture.pcapng
      What the key managers and the controller said to each other, drawn
  ckscope flows --format jsonl capture.pcapng | jq 'select(.state != \"complete\")'
      The procedures that went wrong, for programs

Exit status: 0 read whole; 1 read, with problems that stderr tells; 2 wrong usage or unreadable input;
128 + N the terminal interface was ended by signal N.";

#[derive(Subcommand, Debug)]
enum Command {
    /// Print every Ck message of captures, one line each
    #[command(after_long_help = read::EXAMPLES)]
    Read(read::ReadArgs),
    /// Print the procedures of captures, as a table or as ladders
    #[command(after_long_help = flows::EXAMPLES)]
    Flows(flows::FlowsArgs),
    /// Count messages, procedures, response times and keys of captures
    #[command(after_long_help = stats::EXAMPLES)]
    Stats(stats::StatsArgs),
    /// Write a part of captures to a file: messages, ladders, or a report
    #[command(after_long_help = export::EXAMPLES)]
    Export(Box<export::ExportArgs>),
    /// Tell what capture files are and hold
    #[command(after_long_help = info::EXAMPLES)]
    Info(info::InfoArgs),
    /// Print the TCP connections of captures
    #[command(after_long_help = connections::EXAMPLES)]
    Connections(connections::ConnectionsArgs),
    /// Print the bytes that one side of a connection sent
    #[command(after_long_help = follow::EXAMPLES)]
    Follow(follow::FollowArgs),
    /// List the fields of display filters
    #[command(after_long_help = fields::EXAMPLES)]
    Fields(fields::FieldsArgs),
    /// Show or check the definitions of messages
    #[command(after_long_help = dissectors::EXAMPLES)]
    Dissectors(dissectors::DissectorsArgs),
    /// Look around in captures: procedures, flows, messages, on the whole terminal
    #[command(after_long_help = tui::EXAMPLES)]
    Tui(tui::TuiArgs),
    /// See messages and procedures as they happen: on network interfaces, in a pipe, in a file that grows
    #[command(after_long_help = capture::EXAMPLES)]
    Capture(Box<capture::CaptureArgs>),
    /// Sit between KM and controller: decrypt, record, and pass everything on
    #[command(after_long_help = proxy::EXAMPLES)]
    Proxy(Box<proxy::ProxyArgs>),
    /// Make the authority that the proxy mints certificates from
    #[command(after_long_help = ca::EXAMPLES)]
    Ca(ca::CaArgs),
    /// See it all at once: a simulated lab, a proxy in it, and the interface on what passes
    #[command(after_long_help = demo::EXAMPLES)]
    Demo(Box<demo::DemoArgs>),
    /// Simulate a QKDN: write sample captures, or speak Ck over TCP
    Lab(Box<lab::LabArgs>),
    /// Print a script that completes commands and options in a shell
    #[command(after_long_help = shell::COMPLETIONS_EXAMPLES)]
    Completions(shell::CompletionsArgs),
    /// Print the manual page, or write one for each command
    #[command(after_long_help = shell::MAN_EXAMPLES)]
    Man(shell::ManArgs),
    /// `ckscope FILE...` is `ckscope tui FILE...` on a terminal, else `ckscope read FILE...`.
    #[command(external_subcommand)]
    Files(Vec<OsString>),
}

impl Cli {
    /// What was typed, with the defaults of the configuration file and the environment. `--ladder 4` is `--ladder=4`: only a number after it is its ID, for a file may follow it, too.
    ///
    /// # Errors
    /// The configuration file is wrong, or a variable of the environment. What is wrong on the command line ends the
    /// process.
    pub fn from_args() -> anyhow::Result<Self> {
        let mut words: Vec<OsString> = Vec::new();
        for word in std::env::args_os() {
            let is_number = word.to_str().is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
            match words.last_mut() {
                Some(last) if last == "--ladder" && is_number && !Path::new(&word).exists() => {
                    last.push("=");
                    last.push(&word);
                }
                _ => words.push(word),
            }
        }
        // Short for `ckscope capture --follow-file FILE`, as FILE alone is short for a command, too.
        if words.get(1).and_then(|word| word.to_str()).is_some_and(|word| word.starts_with("--follow-file")) {
            words.insert(1, OsString::from("capture"));
        }
        Self::from_words(words)
    }

    fn from_words(mut words: Vec<OsString>) -> anyhow::Result<Self> {
        let typed = settings::typed_file(&words);
        let usual = if typed.is_none() { settings::usual_file() } else { None };
        if let (Some(file), true) = (&usual, words.len() > 1) {
            let mut word = OsString::from("--config=");
            word.push(file);
            words.insert(1, word);
        }
        let file = typed.or(usual);
        let mut command = Settings::read(file.as_deref())?.apply(Self::command())?;
        let mut matches = command.clone().get_matches_from(words);
        let parsed = Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command));
        Ok(parsed.unwrap_or_else(|error| error.exit()))
    }

    /// Does what was asked for.
    ///
    /// # Errors
    /// What stopped it; the exit status is then 2.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        self.color.apply();
        match self.command {
            Command::Read(args) => args.run(),
            Command::Flows(args) => args.run(),
            Command::Stats(args) => args.run(),
            Command::Export(args) => args.run(),
            Command::Info(args) => args.run(),
            Command::Connections(args) => args.run(),
            Command::Follow(args) => args.run(),
            Command::Fields(args) => args.run(),
            Command::Dissectors(args) => args.run(),
            Command::Tui(args) => args.run(),
            Command::Capture(args) => args.run(),
            Command::Proxy(args) => args.run(),
            Command::Ca(args) => args.run(),
            Command::Demo(args) => args.run(),
            Command::Lab(args) => lab::run(*args),
            Command::Completions(args) => args.run(),
            Command::Man(args) => args.run(),
            Command::Files(words) => files(&words, self.color, self.config)?.run(),
        }
    }
}

/// What `ckscope FILE...` means.
fn files(words: &[OsString], color: look::Color, config: Option<PathBuf>) -> anyhow::Result<Cli> {
    let first = words.first().cloned().unwrap_or_default();
    if first != "-" && !Path::new(&first).exists() {
        bail!("{}: neither a command nor a file; ckscope --help lists the commands", first.display());
    }
    let command: &[&str] = match (first == "-", words.len() == 1 && screen::is_possible()) {
        (false, true) => &["tui"],
        // A stream is shown as it comes.
        (true, true) => &["capture", "-i"],
        (_, false) => &["read"],
    };
    let mut all = ["ckscope", "--color", color.name()].map(OsString::from).to_vec();
    if let Some(config) = config {
        all.extend([OsString::from("--config"), config.into_os_string()]);
    }
    all.extend(command.iter().map(OsString::from));
    all.extend_from_slice(words);
    Cli::from_words(all)
}

/// 0: read whole; 1: read with problems that were said; above 128: ended by a signal.
fn status(problems: bool) -> ExitCode {
    ExitCode::from(signals::ended().unwrap_or(u8::from(problems)))
}
