//! A set of MessageIDs. Senders count, so it is a handful of ranges.

/// Ranges kept: a sender that answers between its requests leaves one per request, so the newest matter.
const MAX_RANGES: usize = 4096;

/// A set of numbers as ranges, both ends included, ascending.
#[derive(Debug, Default)]
pub struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    /// Adds `number`; whether it was new.
    pub fn insert(&mut self, number: u32) -> bool {
        // Nearly always the sender has counted on.
        let is_highest = self.0.last().is_none_or(|&(_, last)| last < number);
        let after = if is_highest { self.0.len() } else { self.0.partition_point(|&(_, last)| last < number) };
        if self.0.get(after).is_some_and(|&(first, _)| first <= number) {
            return false;
        }
        let extends_previous = after > 0 && self.0[after - 1].1.checked_add(1) == Some(number);
        let extends_next = self.0.get(after).is_some_and(|&(first, _)| number.checked_add(1) == Some(first));
        match (extends_previous, extends_next) {
            (true, true) => {
                self.0[after - 1].1 = self.0[after].1;
                self.0.remove(after);
            }
            (true, false) => self.0[after - 1].1 = number,
            (false, true) => self.0[after].0 = number,
            (false, false) => {
                self.0.insert(after, (number, number));
                if self.0.len() > MAX_RANGES {
                    // The one farthest from where the sender counts.
                    let oldest = if after == 0 { self.0.len() - 1 } else { 0 };
                    self.0.remove(oldest);
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_new_numbers_from_known_ones() {
        let mut ranges = Ranges::default();
        for number in [5, 7, 6, u32::MAX, 0, 1] {
            assert!(ranges.insert(number), "{number}");
        }
        for number in [5, 6, 7, u32::MAX, 0, 1] {
            assert!(!ranges.insert(number), "{number}");
        }
        assert_eq!(ranges.0, [(0, 1), (5, 7), (u32::MAX, u32::MAX)]);
    }
}
