//! `ckscope follow`: the bytes of one side of a connection.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, ValueEnum};

use super::input::InputArgs;
use super::say;
use crate::analyzer::Tapped;
use crate::journal::Side;
use crate::output::hex::HexDump;

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
        let mut writer = Writer { out: BufWriter::new(std::io::stdout().lock()), dump: None, offset: 0, gaps: 0 };
        writer.dump = self.hex.then(HexDump::default);
        let tap = Some((self.connection - 1, side));
        let analysis = self.input.analyze_tapping(tap, |taken| writer.take(taken))?;
        let count = analysis.journal.connections.len();
        if self.connection as usize > count {
            bail!("--connection {}: the capture has {count}; ckscope connections lists them", self.connection);
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
    fn take(&mut self, taken: Vec<Tapped>) -> anyhow::Result<()> {
        for piece in taken {
            match piece {
                Tapped::Bytes(bytes) => self.bytes(&bytes)?,
                Tapped::Gap(bytes) => self.gap(bytes)?,
            }
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.offset += bytes.len() as u64;
        match &mut self.dump {
            Some(dump) => dump.bytes(&mut self.out, bytes),
            None => self.out.write_all(bytes),
        }
    }

    /// Raw bytes have no room for a gap, so it is only said; its place is the stream's, the missing bytes counted.
    fn gap(&mut self, bytes: u64) -> std::io::Result<()> {
        say(format_args!("{bytes} bytes at offset {} of the stream are in no packet", self.offset));
        self.offset += bytes;
        self.gaps += 1;
        match &mut self.dump {
            Some(dump) => dump.gap(&mut self.out, bytes),
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> std::io::Result<()> {
        if let Some(dump) = &mut self.dump {
            dump.finish(&mut self.out)?;
        }
        self.out.flush()
    }
}
