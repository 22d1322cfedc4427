//! `ckscope export`: a part of a capture as a file, by the extension of its name.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use tempfile::NamedTempFile;

use super::filter::{FilterArgs, FollowedArgs, Shown, Wanted};
use super::input::{Analysis, InputArgs};
use super::look::Time;
use crate::capture::file::{FileSummary, Replay};
use crate::identities::Identities;
use crate::output::fields::{self, Field, Key};
use crate::output::html::Page;
use crate::output::ladder::{Ladder, exchanges, mermaid, svg};
use crate::output::packets::{Choice, Comments, Extract, Plaintext};
use crate::stats::Statistics;

/// Examples for the help text.
pub const EXAMPLES: &str = "\
Examples:
  ckscope export capture.pcapng -o report.html
      One page for a browser or a printer: statistics, ladders, messages, findings
  ckscope export capture.pcapng --procedure 4 -o exchange.md
      Procedure 4 and those related to it as a Mermaid diagram, for a ticket
  ckscope export -Y 'ck.procedure.state == failed' capture.pcapng -o failed.pcapng --decrypted
      The packets of what went wrong, readable without TLS secrets, for Wireshark
  ckscope export -Y 'ck.response' ring-*.pcapng -o answers.csv
      The messages that a display filter selects, for a spreadsheet";

/// What to write, and where.
#[derive(Args, Debug)]
pub struct ExportArgs {
    #[command(flatten)]
    input: InputArgs,
    /// The file to write; its extension says what: .pcapng, .jsonl, .csv, .html, .svg or .md
    ///
    /// In .pcapng stand all packets; with -Y or --follow those that carry the messages selected: whole packets, with the
    /// SYN, FIN and RST of their connections, and connections of TLS and HTTP/2 whole up to the last message selected,
    /// as they can be read only from their beginning. Interfaces, comments and the names of addresses are kept.
    #[arg(short = 'o', long = "output", value_name = "FILE", help_heading = "Output")]
    out: PathBuf,
    /// Only the procedure with this ID and those related to it (.html, .svg, .md)
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Output")]
    procedure: Option<u32>,
    /// Draw at most so many procedures (.html)
    #[arg(long, value_name = "N", default_value = "200", help_heading = "Output")]
    most: usize,
    /// Write the plaintext of TLS connections as TCP, in the place of their packets (.pcapng)
    ///
    /// Addresses and times are the real ones, sequence numbers are not. gRPC stays HTTP/2. What could not be decrypted
    /// stays as it is.
    #[arg(long, help_heading = "Output")]
    decrypted: bool,
    /// Put the TLS secrets of the connections written into the file (.pcapng)
    ///
    /// Whoever has the file can then read these connections, and no others.
    #[arg(long, conflicts_with = "decrypted", help_heading = "Output")]
    secrets: bool,
    /// What times are told against (.html, .svg)
    #[arg(long, value_enum, default_value = "utc", help_heading = "Output")]
    time: Time,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    followed: FollowedArgs,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pcapng,
    Jsonl,
    Csv,
    Html,
    Svg,
    Markdown,
}

const KINDS: [(&str, Kind); 6] = [
    ("pcapng", Kind::Pcapng),
    ("jsonl", Kind::Jsonl),
    ("csv", Kind::Csv),
    ("html", Kind::Html),
    ("svg", Kind::Svg),
    ("md", Kind::Markdown),
];

/// What is written to.
enum Target {
    /// A new file beside the wanted one, which takes its place when it is whole.
    Beside(NamedTempFile, PathBuf),
    /// A device or a pipe.
    Direct(File),
}

impl Target {
    /// What to write so that it is at `path` in the end. A link is followed; a file that is there keeps its rights. A
    /// new one is readable as any new file is, because it is to be handed on, unless it holds secrets.
    fn open(path: &Path, has_secrets: bool) -> io::Result<Self> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let before = path.metadata().ok();
        if before.as_ref().is_some_and(|before| !before.is_file()) {
            return Ok(Self::Direct(File::options().write(true).open(path)?));
        }
        if before.as_ref().is_some_and(|before| before.permissions().readonly()) {
            return Err(io::Error::other("is read-only; expected a file to write, or a new name"));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mode = Permissions::from_mode(if has_secrets { 0o600 } else { 0o666 });
        let made = tempfile::Builder::new().prefix(".ckscope-").permissions(mode).tempfile_in(folder);
        // The name of the new file tells nobody anything.
        let file = made.map_err(|error| io::Error::from(error.kind()))?;
        if let Some(before) = before {
            file.as_file().set_permissions(before.permissions())?;
        }
        Ok(Self::Beside(file, path))
    }

    fn file(&mut self) -> &mut File {
        match self {
            Self::Beside(file, _) => file.as_file_mut(),
            Self::Direct(file) => file,
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Beside(file, path) => file.persist(path).map(|_| ()).map_err(|error| error.error),
            Self::Direct(_) => Ok(()),
        }
    }
}

impl ExportArgs {
    /// Writes the file.
    ///
    /// # Errors
    /// The file's name says nothing, it is one of the inputs or cannot be written, no capture could be read, or there
    /// is no such procedure.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let kind = self.kind()?;
        refuse_input(&self.out, &self.input.files)?;
        let definitions = Arc::new(self.input.analysis.definitions.load()?);
        let wanted = Wanted::new(&self.filter, &self.followed, &definitions, &self.time.zone())?;
        let analysis = self.input.analyze(&definitions)?;
        let shown = wanted.of(analysis.view());
        let name = || self.out.display().to_string();
        let mut target = Target::open(&self.out, self.secrets).with_context(name)?;
        let mut out = BufWriter::new(target.file());
        self.write(&mut out, kind, &analysis, &shown)?;
        out.flush().with_context(name)?;
        drop(out);
        target.finish().with_context(name)?;
        Ok(analysis.end())
    }

    fn kind(&self) -> anyhow::Result<Kind> {
        let extension = self.out.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let found = KINDS.iter().find(|(name, _)| extension.eq_ignore_ascii_case(name));
        let Some(&(_, kind)) = found else {
            let names: Vec<String> = KINDS.iter().map(|(name, _)| format!(".{name}")).collect();
            bail!("{}: the extension says what to write; expected one of {}", self.out.display(), names.join(", "));
        };
        if self.procedure.is_some() && matches!(kind, Kind::Pcapng | Kind::Jsonl | Kind::Csv) {
            bail!("--procedure goes with .html, .svg and .md; for .{extension} use -Y 'ck.procedure.id == N'");
        }
        if (self.decrypted || self.secrets) && kind != Kind::Pcapng {
            bail!("--decrypted and --secrets go with .pcapng, not with .{extension}");
        }
        Ok(kind)
    }

    fn write(&self, out: &mut impl Write, kind: Kind, analysis: &Analysis, shown: &Shown<'_>) -> anyhow::Result<()> {
        let (view, identities) = (analysis.view(), Identities::new(analysis.view(), self.input.threads()));
        let definitions = &view.journal.definitions;
        let mut messages = (0..view.journal.records.len() as u32).filter(|&index| shown.message(index));
        match kind {
            Kind::Pcapng => self.packets(out, analysis, shown)?,
            Kind::Jsonl => {
                let keys = Key::LINE.map(Field::Key);
                messages.try_for_each(|index| fields::jsonl(&mut *out, view, index, &keys))?;
            }
            Kind::Csv => {
                let columns = Field::columns(definitions);
                fields::csv_header(out, definitions, &columns)?;
                messages.try_for_each(|index| fields::csv(&mut *out, view, index, &columns))?;
            }
            Kind::Html => self.page(out, analysis, shown, &identities)?,
            Kind::Svg => {
                let groups = self.groups(analysis, shown)?;
                let [group] = groups.as_slice() else {
                    bail!("{} exchanges for one drawing; choose one with --procedure ID", groups.len());
                };
                let ladder = Ladder::new(view, &identities, group.clone());
                write!(out, "{}", svg::draw(view, &ladder, &mut self.time.clock(analysis, 0), true))?;
            }
            Kind::Markdown => {
                let groups = self.groups(analysis, shown)?;
                writeln!(out, "```mermaid")?;
                mermaid::write(out, view, || groups.iter().map(|group| Ladder::new(view, &identities, group.clone())))?;
                writeln!(out, "```")?;
            }
        }
        Ok(())
    }

    fn packets(&self, out: &mut impl Write, analysis: &Analysis, shown: &Shown<'_>) -> anyhow::Result<()> {
        let journal = &analysis.journal;
        let choice = match shown.is_everything() {
            true => Choice::everything(),
            false => Choice::of(journal, self.decrypted, |index| shown.message(index)),
        };
        let mut plaintext = Plaintext::default();
        if self.decrypted {
            plaintext = Plaintext::of(journal, &choice);
            self.input.tap_again(analysis, plaintext.tap(), |tapped| Ok(plaintext.take(tapped)?))?;
        }
        let secrets = if self.secrets { secrets_of(analysis, &choice) } else { String::new() };
        let replay = &Replay::of_files(&analysis.reader);
        Extract { replay, choice, plaintext, secrets, comments: Comments::default() }.write(out)?;
        Ok(())
    }

    fn page(
        &self,
        out: &mut impl Write,
        analysis: &Analysis,
        shown: &Shown<'_>,
        identities: &Identities<'_>,
    ) -> anyhow::Result<()> {
        let view = analysis.view();
        let (message, procedure) = (|index| shown.message(index), |index| shown.procedure(index));
        let statistics = Statistics::new(view, identities, None, message, procedure)?;
        let groups = self.groups(analysis, shown)?;
        let mut drawn = 0;
        let fits = |group: &&Vec<u32>| {
            drawn += group.len();
            drawn <= self.most
        };
        let some: Vec<&Vec<u32>> = groups.iter().take_while(fits).collect();
        // Whoever gets the page need not know where on this machine the captures lie.
        let name = |file: &FileSummary| {
            let name = Path::new(&file.name).file_name();
            name.map_or_else(|| file.name.clone(), |name| name.to_string_lossy().into_owned())
        };
        let page = Page {
            view,
            captures: analysis.files().iter().map(name).collect(),
            selection: self.selection(),
            tables: super::stats::overview().map(|section| statistics.table(section)).collect(),
            procedures: groups.iter().map(Vec::len).sum(),
            shown: some.iter().map(|group| group.len()).sum(),
            clock: self.time.clock(analysis, 0),
        };
        page.write(out, some.into_iter().map(|group| Ladder::new(view, identities, group.clone())))?;
        Ok(())
    }

    /// What was asked for, as it was typed.
    fn selection(&self) -> Vec<String> {
        let filter = self.filter.display_filter.iter().cloned();
        let followed = self.followed.follow.iter().map(|follow| format!("--follow {follow}"));
        filter
            .chain(followed)
            .chain(self.procedure.map(|id| format!("procedure {id} and those related to it")))
            .collect()
    }

    /// The procedures to draw, in groups that belong together.
    fn groups(&self, analysis: &Analysis, shown: &Shown<'_>) -> anyhow::Result<Vec<Vec<u32>>> {
        let view = analysis.view();
        let Some(id) = self.procedure else {
            let of = |group: Vec<u32>| group.into_iter().filter(|&index| shown.procedure(index)).collect::<Vec<u32>>();
            return Ok(exchanges(view).map(of).filter(|group| !group.is_empty()).collect());
        };
        let count = view.journal.procedures.len();
        if id as usize > count {
            bail!("--procedure {id}: no such procedure; the capture has {count} (ckscope flows lists them)");
        }
        Ok(vec![[&*view.journal.related(id - 1), &[id - 1]].concat()])
    }
}

/// The secrets of the connections in `choice`, as a key log; says how many have none there.
fn secrets_of(analysis: &Analysis, choice: &Choice) -> String {
    let randoms = choice.randoms(&analysis.journal);
    let (log, known) = analysis.secrets.key_log(&randoms);
    if known < randoms.len() {
        super::say(format_args!(
            "--secrets: {} of {} TLS connections were decrypted by RSA lines of a key log, which are not written",
            randoms.len() - known,
            randoms.len()
        ));
    }
    log
}

/// An export never overwrites what it is made from, whatever name or link leads there.
fn refuse_input(out: &Path, inputs: &[PathBuf]) -> anyhow::Result<()> {
    let Ok(real) = out.canonicalize() else { return Ok(()) };
    if inputs.iter().any(|input| input.canonicalize().is_ok_and(|input| input == real)) {
        bail!("{}: this is one of the captures read; write to another file", out.display());
    }
    Ok(())
}
