//! `ckscope stats`: counts and durations.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};

use super::filter::{FilterArgs, FollowedArgs, Wanted};
use super::input::InputArgs;
use super::look::{LookArgs, Time, styles};
use crate::identities::Identities;
use crate::output::stats::{Sheet, csv, jsonl};
use crate::stats::{By, SECTIONS, Section, Statistics, Topic};
use crate::time::Span;

/// Examples for the help text.
pub const EXAMPLES: &str = "\
Examples:
  ckscope stats capture.pcapng
      Messages, procedures, response times, keys, and how they spread over time
  ckscope stats --table response-times-by-km,procedures-by-pair capture.pcapng
      How fast each key manager is answered, and what came of the procedures between each two
  ckscope stats --interval 1s --table over-time --format csv capture.pcapng > load.csv
      Messages and procedures of each second, for a spreadsheet";

/// What `stats` was asked for.
#[derive(Args, Debug)]
pub struct StatsArgs {
    #[command(flatten)]
    input: InputArgs,
    /// How to print
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    format: Format,
    /// Tables to print: messages, procedures, response-times and procedure-times, each also with -by-km, -by-pair and
    /// -by-connection; over-time, keys, keys-over-time, key-mismatches; or all
    ///
    /// [default: in text those without a suffix, and procedures-by-km; else all]
    #[arg(long = "table", value_name = "A,B,C", value_delimiter = ',', help_heading = "Output", verbatim_doc_comment)]
    tables: Vec<String>,
    /// Length of the intervals of over-time and keys-over-time: 100ms, 1s, 5m, 1h [default: one that gives few]
    #[arg(long, value_name = "TIME", value_parser = interval, help_heading = "Output")]
    interval: Option<Span>,
    /// Rows of each table to print as text
    #[arg(long, value_name = "N", default_value = "50", help_heading = "Output")]
    rows: usize,
    /// What times are told against, in text
    #[arg(long, value_enum, default_value = "absolute", help_heading = "Output")]
    time: Time,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    followed: FollowedArgs,
    #[command(flatten)]
    look: LookArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables for people, with bars on a terminal
    Text,
    /// A JSON object for each row, with the key "table"
    Jsonl,
    /// RFC 4180; tables one after the other, each with a header
    Csv,
}

fn interval(text: &str) -> Result<Span, String> {
    const UNITS: [(&str, i64); 6] = [
        ("ms", 1_000_000),
        ("us", 1_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
        ("d", 86_400_000_000_000),
    ];
    let parsed = UNITS.iter().find_map(|(unit, nanos)| {
        let number: i64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*nanos).filter(|&span| span > 0)
    });
    parsed.map(Span).ok_or_else(|| "expected a number with a unit (us, ms, s, m, h, d), like 500ms or 1s".to_owned())
}

impl StatsArgs {
    /// Prints the tables.
    ///
    /// # Errors
    /// No capture could be read, there is no such table, there are too many intervals, or stdout cannot be written.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let sections = self.sections()?;
        let definitions = Arc::new(self.input.analysis.definitions.load()?);
        let wanted = Wanted::new(&self.filter, &self.followed, &definitions, &self.time.zone())?;
        let analysis = self.input.analyze(&definitions)?;
        let (view, columns) = (analysis.view(), self.look.width());
        let identities = Identities::new(view, self.input.threads());
        let statistics = {
            let shown = wanted.of(view);
            let (message, procedure) = (|index| shown.message(index), |index| shown.procedure(index));
            Statistics::new(view, &identities, self.interval, message, procedure).context("--interval")?
        };
        let mut out = super::out::buffered();
        let clock = self.time.clock(&analysis, columns);
        let mut sheet = Sheet { columns, styles: styles(), clock, most: self.rows };
        for section in sections {
            let table = statistics.table(section);
            match self.format {
                Format::Text => sheet.write(&mut out, &table)?,
                Format::Jsonl => jsonl(&mut out, &table)?,
                Format::Csv => csv(&mut out, &table)?,
            }
            if let Some(note) = table.note.filter(|_| self.format != Format::Text) {
                super::say(format_args!("{}: {note}", section.name));
            }
        }
        out.flush()?;
        Ok(analysis.end())
    }

    fn sections(&self) -> anyhow::Result<Vec<Section>> {
        if self.tables.iter().any(|name| name == "all") || (self.tables.is_empty() && self.format != Format::Text) {
            return Ok(SECTIONS.to_vec());
        }
        if self.tables.is_empty() {
            return Ok(overview().collect());
        }
        let named = |name: &String| {
            SECTIONS.into_iter().find(|section| section.name == name).ok_or_else(|| {
                let names: Vec<&str> = SECTIONS.iter().map(|section| section.name).collect();
                anyhow!("--table {name}: no such table; expected all or one of {}", names.join(", "))
            })
        };
        self.tables.iter().map(named).collect()
    }
}

/// What a first look wants to see.
pub fn overview() -> impl Iterator<Item = Section> {
    SECTIONS.into_iter().filter(|section| match section.topic {
        Topic::KeysOverTime | Topic::KeyMismatches => false,
        Topic::Keys => true,
        Topic::Procedures => matches!(section.by, By::All | By::Km),
        _ => section.by == By::All,
    })
}
