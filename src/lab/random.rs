//! The lab's only source of chance: a seed gives the same numbers on every machine. No secret comes from here.

/// splitmix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own for every seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias of the high half of a product is below bound / 2^64: nothing here can tell.
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A version 4 UUID (RFC 9562 5.4), the shape of the lab's session and key IDs.
    pub fn uuid(&mut self) -> String {
        let mut text = String::with_capacity(36);
        let bits = (u128::from(self.bits()) << 64) | u128::from(self.bits());
        let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
        for (at, digit) in format!("{bits:032x}").chars().enumerate() {
            if matches!(at, 8 | 12 | 16 | 20) {
                text.push('-');
            }
            text.push(digit);
        }
        text
    }
}
