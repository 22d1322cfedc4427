//! How much more may be kept than was captured.

/// What may be kept beyond what was earned: more than any capture of Ck takes.
const START: usize = 32 << 20;
/// Bytes that a captured byte earns: lists of key IDs compress less well.
const RATE: usize = 16;

/// Bounds what compression may grow to in all, for each message may grow a thousandfold. One for all connections of a
/// worker: many small ones cost no less than a large one.
#[derive(Debug)]
pub struct Allowance {
    left: usize,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { left: START }
    }
}

impl Allowance {
    /// How many of `wanted` bytes may be kept, for which `captured` stand in the capture.
    pub fn take(&mut self, wanted: usize, captured: usize) -> usize {
        self.left = self.left.saturating_add(captured.saturating_mul(RATE)).min(START);
        let granted = wanted.min(self.left);
        self.left -= granted;
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_captured_earns_what_it_becomes() {
        let mut allowance = Allowance::default();
        assert_eq!(allowance.take(START + 1, 0), START);
        assert_eq!(allowance.take(1, 0), 0);
        assert_eq!(allowance.take(1000, 10), 160);
    }
}
