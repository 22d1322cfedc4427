//! The Huffman code of HPACK (RFC 7541 5.2, Appendix B). The code is canonical: codes of one length follow each other in
//! the order of their symbols, so the lengths alone say it all.

/// Bits of each symbol's code (RFC 7541 Appendix B); the last is EOS.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const SYMBOLS: usize = 257;
const EOS: u16 = 256;
const LONGEST: usize = 30;
/// Codes of up to this many bits are found in one look-up: those of all symbols that are common in header fields.
const FAST: u32 = 9;

static TABLES: Tables = Tables::new();

struct Tables {
    /// By the next [`FAST`] bits: symbol and length; length 0 where the code is longer.
    fast: [(u16, u8); 1 << FAST],
    /// Symbols in the order of their codes.
    symbols: [u16; SYMBOLS],
    /// By length: the first code, how many there are, and the index of the first in `symbols`.
    lengths: [(u32, u32, u32); LONGEST + 1],
}

impl Tables {
    const fn new() -> Self {
        let mut tables = Self { fast: [(0, 0); 1 << FAST], symbols: [0; SYMBOLS], lengths: [(0, 0, 0); LONGEST + 1] };
        let (mut length, mut code, mut index) = (1, 0u32, 0u32);
        while length <= LONGEST {
            code <<= 1;
            tables.lengths[length] = (code, 0, index);
            let mut symbol = 0;
            while symbol < SYMBOLS {
                if LENGTHS[symbol] as usize == length {
                    tables.symbols[index as usize] = symbol as u16;
                    tables.fill_fast(code, length as u32, symbol as u16);
                    tables.lengths[length].1 += 1;
                    code += 1;
                    index += 1;
                }
                symbol += 1;
            }
            length += 1;
        }
        tables
    }

    const fn fill_fast(&mut self, code: u32, length: u32, symbol: u16) {
        if length > FAST {
            return;
        }
        let first = code << (FAST - length);
        let mut entry = first;
        while entry < first + (1 << (FAST - length)) {
            self.fast[entry as usize] = (symbol, length as u8);
            entry += 1;
        }
    }

    /// The symbol whose code the 32 `bits` begin with, and its length.
    fn symbol(&self, bits: u32) -> Option<(u16, u32)> {
        let (symbol, length) = self.fast[(bits >> (32 - FAST)) as usize];
        if length > 0 {
            return Some((symbol, length.into()));
        }
        (FAST + 1..=LONGEST as u32).find_map(|length| {
            let (first, count, index) = self.lengths[length as usize];
            let nth = (bits >> (32 - length)).wrapping_sub(first);
            (nth < count).then(|| (self.symbols[(index + nth) as usize], length))
        })
    }
}

/// Appends what `code` stands for to `out`; `None` if it is none, or is padded with anything but up to seven one bits.
pub fn decode(code: &[u8], out: &mut Vec<u8>) -> Option<()> {
    // The bits not yet decoded stand at the top, followed by ones.
    let (mut bits, mut count) = (u64::MAX, 0u32);
    let mut rest = code.iter();
    loop {
        while count <= 32
            && let Some(&byte) = rest.next()
        {
            // Takes the place of ones.
            bits &= !(u64::from(!byte) << (56 - count));
            count += 8;
        }
        if count < 8 && bits == u64::MAX {
            return Some(());
        }
        let (symbol, length) = TABLES.symbol((bits >> 32) as u32)?;
        if symbol == EOS || length > count {
            return None;
        }
        out.push(symbol as u8);
        bits = (bits << length) | ((1 << length) - 1);
        count -= length;
    }
}
