//! `ckscope follow`: the bytes of one side of a connection.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::{Args, ValueEnum};

use super::input::InputArgs;
use super::say;
use crate::analyzer::{Layer, Part, Tap, Tapped};
use crate::journal::Side;
use crate::output::hex::HexDump;
use crate::tls::Facts;

/// Examples for the help text.
pub const EXAMPLES: &str = "\
Examples:
  ckscope follow capture.pcapng --connection 2 --side initiator --hex
      What the side that dialled sent, as offsets, hexadecimal and ASCII
  ckscope follow capture.pcapng --connection 2 --side responder > responder.bin
      The other side's bytes as they are
  ckscope connections capture.pcapng
      The numbers of the connections";

/// What `follow` was asked for.
#[derive(Args, Debug)]
pub struct FollowArgs {
    #[command(flatten)]
    input: InputArgs,
    /// Number of the connection, as `ckscope connections` lists it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Output")]
    connection: u32,
    /// Whose bytes
    #[arg(long, value_enum, help_heading = "Output")]
    side: End,
    /// Print offsets, hexadecimal and ASCII instead of the bytes
    #[arg(long, help_heading = "Output")]
    hex: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum End {
    /// Who sent the SYN, or the first packet
    Initiator,
    /// The other one
    Responder,
}

impl FollowArgs {
    /// Prints the bytes.
    ///
    /// # Errors
    /// No capture could be read, there is no such connection, or stdout cannot be written.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let side = match self.side {
            End::Initiator => Side::Initiator,
            End::Responder => Side::Responder,
        };
        let dump = self.hex.then(HexDump::default);
        let mut writer = Writer { out: super::out::buffered(), dump, offset: 0, gaps: 0 };
        let mut ciphertext = None;
        let tap = Tap::Side(self.connection - 1, side);
        let definitions = Arc::new(self.input.analysis.definitions.load()?);
        let analysis = self.input.analyze_tapping(&definitions, tap, |taken| {
            for Tapped { layer, part, .. } in taken {
                match layer {
                    Layer::Content => writer.take(part)?,
                    Layer::Ciphertext => Aside::of(&mut ciphertext)?.take(part)?,
                }
            }
            Ok(())
        })?;
        let count = analysis.journal.connections.len();
        if self.connection as usize > count {
            bail!("--connection {}: the capture has {count}; ckscope connections lists them", self.connection);
        }
        let tls = analysis.journal.tls.get(&(self.connection - 1));
        if let (Some(facts), Some(ciphertext)) = (tls.filter(|facts| !facts.decrypted), ciphertext) {
            say(format_args!("connection {} is not decrypted: {}", self.connection, why_not(facts)));
            ciphertext.give(&mut writer)?;
        }
        writer.finish()?;
        Ok(super::status(analysis.problems || writer.gaps > 0))
    }
}

struct Writer<W: Write> {
    out: W,
    dump: Option<HexDump>,
    offset: u64,
    gaps: u32,
}

impl<W: Write> Writer<W> {
    fn take(&mut self, part: Part) -> io::Result<()> {
        match part {
            Part::Bytes(bytes, _) => self.bytes(&bytes),
            Part::Gap(bytes) => self.gap(bytes),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.offset += bytes.len() as u64;
        match &mut self.dump {
            Some(dump) => dump.bytes(&mut self.out, bytes),
            None => self.out.write_all(bytes),
        }
    }

    /// Raw bytes have no room for a gap, so it is only said; its place is the stream's, the missing bytes counted.
    fn gap(&mut self, bytes: u64) -> io::Result<()> {
        say(format_args!(
            "{bytes} bytes at offset {} of the stream are missing: not captured, cut off, or captured too late",
            self.offset
        ));
        self.offset += bytes;
        self.gaps += 1;
        match &mut self.dump {
            Some(dump) => dump.gap(&mut self.out, bytes),
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        if let Some(dump) = &mut self.dump {
            dump.finish(&mut self.out)?;
        }
        self.out.flush()
    }
}

/// Why a connection is not decrypted, in words.
fn why_not(facts: &Facts) -> String {
    facts.reason.as_ref().map_or_else(|| "it carries no application data".to_owned(), ToString::to_string)
}

/// The stream of a TLS connection, set aside until it is known whether it can be decrypted.
struct Aside {
    file: BufWriter<File>,
    /// Gaps: after how many bytes of the file, and of how many.
    gaps: Vec<(u64, u64)>,
    length: u64,
}

impl Aside {
    fn of(place: &mut Option<Self>) -> io::Result<&mut Self> {
        if place.is_none() {
            *place = Some(Self { file: BufWriter::new(tempfile::tempfile()?), gaps: Vec::new(), length: 0 });
        }
        Ok(place.as_mut().expect("it was just filled"))
    }

    fn take(&mut self, part: Part) -> io::Result<()> {
        match part {
            Part::Bytes(bytes, _) => {
                self.length += bytes.len() as u64;
                self.file.write_all(&bytes)
            }
            Part::Gap(bytes) => {
                self.gaps.push((self.length, bytes));
                Ok(())
            }
        }
    }

    /// Writes it after all.
    fn give<W: Write>(self, writer: &mut Writer<W>) -> io::Result<()> {
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        let mut file = BufReader::new(file);
        let (mut position, mut buffer) = (0, vec![0; 64 * 1024]);
        for (at, missing) in self.gaps.into_iter().chain([(self.length, 0)]) {
            while position < at {
                let most = buffer.len().min((at - position) as usize);
                file.read_exact(&mut buffer[..most])?;
                writer.bytes(&buffer[..most])?;
                position += most as u64;
            }
            if missing > 0 {
                writer.gap(missing)?;
            }
        }
        Ok(())
    }
}
