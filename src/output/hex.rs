//! Bytes of a stream for people: offset, hexadecimal, ASCII.

use std::fmt::Write as _;
use std::io::{self, Write};

/// Bytes on a line.
const LINE: usize = 16;

/// Writes a stream as it comes.
#[derive(Clone, Debug, Default)]
pub struct HexDump {
    offset: u64,
    pending: Vec<u8>,
}

impl HexDump {
    /// The next bytes.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn bytes(&mut self, out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
        self.pending.extend_from_slice(bytes);
        let whole = self.pending.len() / LINE * LINE;
        for chunk in self.pending[..whole].chunks(LINE) {
            line(out, self.offset, chunk)?;
            self.offset += chunk.len() as u64;
        }
        self.pending.drain(..whole);
        Ok(())
    }

    /// That many bytes are missing.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn gap(&mut self, out: &mut impl Write, bytes: u64) -> io::Result<()> {
        self.finish(out)?;
        writeln!(out, "{:08x}  -- {bytes} bytes are missing --", self.offset)?;
        self.offset += bytes;
        Ok(())
    }

    /// There is no more.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        if !self.pending.is_empty() {
            line(out, self.offset, &self.pending)?;
            self.offset += self.pending.len() as u64;
            self.pending.clear();
        }
        Ok(())
    }
}

fn line(out: &mut impl Write, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut hex = String::with_capacity(3 * LINE + 1);
    for (index, byte) in bytes.iter().enumerate() {
        let gap = if index == LINE / 2 { "  " } else { " " };
        let _ = write!(hex, "{gap}{byte:02x}");
    }
    let ascii: String =
        bytes.iter().map(|&byte| if matches!(byte, b' '..=b'~') { byte as char } else { '.' }).collect();
    writeln!(out, "{offset:08x} {hex:<49}  |{ascii}|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_marked_and_counted() {
        let (mut dump, mut out) = (HexDump::default(), Vec::new());
        dump.bytes(&mut out, b"0123456789abc").unwrap();
        dump.bytes(&mut out, b"def\n\x1bX").unwrap();
        dump.gap(&mut out, 256).unwrap();
        dump.bytes(&mut out, b"end").unwrap();
        dump.finish(&mut out).unwrap();
        let expected = "\
00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|
00000010  0a 1b 58                                          |..X|
00000013  -- 256 bytes are missing --
00000113  65 6e 64                                          |end|
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
