//! `ckscope info`: what capture files are and hold.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::input::{Analysis, InputArgs};
use crate::capture::file::Secrets;
use crate::output::info::Info;

/// Examples for the help text.
pub const EXAMPLES: &str = "\
Examples:
  ckscope info capture.pcapng
      Format, interfaces, times, and how many connections, messages and procedures
  ckscope info ring-*.pcapng.zst
      The same of each of several files
  ckscope info --format jsonl *.pcap | jq -r 'select(.damaged) | .file'
      Files that are damaged";

/// What `info` was asked for.
#[derive(Args, Debug)]
pub struct InfoArgs {
    #[command(flatten)]
    input: InputArgs,
    /// How to print
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Lines for people
    Text,
    /// A JSON object on each line
    Jsonl,
}

impl InfoArgs {
    /// Prints a paragraph or an object for each file.
    ///
    /// # Errors
    /// A definition file is wrong, or stdout cannot be written.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut out = super::out::buffered();
        let (mut shown, mut problems) = (0, false);
        for analysis in self.input.analyze_each()? {
            let Some(analysis) = analysis? else {
                problems = true;
                continue;
            };
            self.show(&mut out, &analysis, shown > 0)?;
            shown += 1;
            problems |= analysis.problems;
            // What stderr says of the next file comes after what stdout says of this one.
            out.flush()?;
        }
        Ok(if shown == 0 { ExitCode::from(2) } else { super::status(problems) })
    }

    fn show(&self, out: &mut impl Write, analysis: &Analysis, follows: bool) -> anyhow::Result<()> {
        let file = &analysis.files()[0];
        let secrets = analysis.reader.tls_key_logs(0).map(count_secrets).sum();
        let info = Info { file, journal: &analysis.journal, secrets };
        match self.format {
            Format::Text => {
                if follows {
                    writeln!(out)?;
                }
                info.text(out)?;
            }
            Format::Jsonl => info.jsonl(out)?,
        }
        Ok(())
    }
}

/// Lines of a key log that are secrets (NSS key log format: neither empty nor a comment).
fn count_secrets(log: &[u8]) -> usize {
    debug_assert_eq!(Secrets::TLS_KEY_LOG.to_be_bytes(), *b"TLSK");
    log.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty() && line[0] != b'#').count()
}
