//! What a capture file is and holds, for people and programs.

use std::io::{self, Write};

use serde::Serialize;

use super::clock::duration;
use super::escape::escaped;
use crate::capture::file::{Compression, FileSummary, FileType, Interface};
use crate::journal::{Journal, Protocol};

/// One file, analysed on its own.
#[derive(Clone, Copy, Debug)]
pub struct Info<'a> {
    /// The file.
    pub file: &'a FileSummary,
    /// What was seen in it.
    pub journal: &'a Journal,
    /// TLS secrets found in it.
    pub secrets: usize,
}

impl Info<'_> {
    /// Writes a JSON object on a line.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn jsonl(&self, out: &mut impl Write) -> io::Result<()> {
        let file = self.file;
        let interfaces = file.interfaces.iter();
        let line = InfoLine {
            file: &file.name,
            kind: type_name(file.file_type),
            compression: file.compression.map(compression_name),
            packets: file.packets,
            bytes: file.bytes,
            damaged: file.damage.as_ref().map(|it| Damaged { packet: it.packet, offset: it.offset, text: &it.text }),
            start: file.first.map(|time| time.to_string()),
            end: file.last.map(|time| time.to_string()),
            interfaces: interfaces
                .map(|it| Captured { name: it.name.as_deref(), link_type: it.link.0, snaplen: it.snaplen })
                .collect(),
            connections: self.journal.connections.len(),
            messages: self.journal.records.len(),
            procedures: self.journal.procedures.len(),
            secrets: self.secrets,
        };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")
    }

    /// Writes lines of `name: value`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn text(&self, out: &mut impl Write) -> io::Result<()> {
        let file = self.file;
        let mut line = |name: &str, value: String| writeln!(out, "{name:<13}{value}");
        line("File:", escaped(&file.name).into_owned())?;
        let compressed = file.compression.map(|it| format!(", compressed with {}", compression_name(it)));
        line("Type:", format!("{}{}", type_name(file.file_type), compressed.unwrap_or_default()))?;
        for (index, interface) in file.interfaces.iter().enumerate() {
            line("Interface:", interface_text(index, interface))?;
        }
        line("Packets:", format!("{} of {} captured bytes", file.packets, file.bytes))?;
        if let (Some(first), Some(last)) = (file.first, file.last) {
            line("Start:", first.to_string())?;
            line("End:", format!("{last} ({})", duration(last - first)))?;
        }
        line("Connections:", self.connections())?;
        line("Messages:", self.journal.records.len().to_string())?;
        line("Procedures:", self.procedures())?;
        line("Secrets:", self.secrets.to_string())?;
        line(
            "Damage:",
            file.damage.as_ref().map_or_else(|| "none".to_owned(), |damage| escaped(&damage.to_string()).into_owned()),
        )
    }

    /// `4, 3 of them Ck`
    fn connections(&self) -> String {
        let all = &self.journal.connections;
        let count = |protocol| all.iter().filter(|it| it.traffic.protocol == protocol).count();
        let (ck, tls) = (count(Protocol::Ck), count(Protocol::Tls));
        let tls = if tls > 0 { format!(", {tls} TLS that is not decrypted") } else { String::new() };
        format!("{}, {ck} of them Ck{tls}", all.len())
    }

    /// `4: 3 complete, 1 failed`
    fn procedures(&self) -> String {
        let all = &self.journal.procedures;
        let mut counts: Vec<(crate::journal::State, usize)> = Vec::new();
        for procedure in all {
            match counts.iter_mut().find(|(state, _)| *state == procedure.state) {
                Some((_, count)) => *count += 1,
                None => counts.push((procedure.state, 1)),
            }
        }
        counts.sort_unstable();
        let states: Vec<String> = counts.iter().map(|(state, count)| format!("{count} {}", state.name())).collect();
        if all.is_empty() { "0".to_owned() } else { format!("{}: {}", all.len(), states.join(", ")) }
    }
}

#[derive(Serialize)]
struct InfoLine<'a> {
    file: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    compression: Option<&'static str>,
    packets: u64,
    bytes: u64,
    damaged: Option<Damaged<'a>>,
    start: Option<String>,
    end: Option<String>,
    interfaces: Vec<Captured<'a>>,
    connections: usize,
    messages: usize,
    procedures: usize,
    secrets: usize,
}

#[derive(Serialize)]
struct Damaged<'a> {
    packet: u64,
    offset: u64,
    text: &'a str,
}

#[derive(Serialize)]
struct Captured<'a> {
    name: Option<&'a str>,
    link_type: u16,
    snaplen: u32,
}

fn interface_text(index: usize, interface: &Interface) -> String {
    let name = interface.name.as_deref().map_or_else(|| format!("number {index}"), |name| escaped(name).into_owned());
    let limit = match interface.snaplen {
        0 => "no snapshot length".to_owned(),
        snaplen => format!("snapshot length {snaplen}"),
    };
    format!("{name}, link type {}, {limit}", interface.link.0)
}

const fn type_name(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Pcap => "pcap",
        FileType::Pcapng => "pcapng",
    }
}

const fn compression_name(compression: Compression) -> &'static str {
    match compression {
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    }
}
