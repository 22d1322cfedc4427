//! A set of MessageIDs. Senders count, so it is a handful of ranges.

/// Ranges kept: a sender that answers between its requests leaves one per request, so the newest matter.
const MAX_RANGES: usize = 4096;

/// A set of numbers as ranges, both ends included. Most senders need one, which then stands here.
#[derive(Debug, Default)]
pub enum Ranges {
    /// No number.
    #[default]
    None,
    /// All numbers from the one to the other.
    One(u32, u32),
    /// Ranges, ascending.
    Many(Vec<(u32, u32)>),
}

impl Ranges {
    /// Adds `number`; whether it was new.
    pub fn insert(&mut self, number: u32) -> bool {
        match self {
            Self::None => *self = Self::One(number, number),
            Self::One(first, last) if (*first..=*last).contains(&number) => return false,
            Self::One(_, last) if last.checked_add(1) == Some(number) => *last = number,
            Self::One(first, last) => {
                let mut ranges = vec![(*first, *last)];
                insert(&mut ranges, number);
                *self = Self::Many(ranges);
            }
            Self::Many(ranges) => return insert(ranges, number),
        }
        true
    }
}

fn insert(ranges: &mut Vec<(u32, u32)>, number: u32) -> bool {
    // Nearly always the sender has counted on.
    let is_highest = ranges.last().is_none_or(|&(_, last)| last < number);
    let after = if is_highest { ranges.len() } else { ranges.partition_point(|&(_, last)| last < number) };
    if ranges.get(after).is_some_and(|&(first, _)| first <= number) {
        return false;
    }
    let extends_previous = after > 0 && ranges[after - 1].1.checked_add(1) == Some(number);
    let extends_next = ranges.get(after).is_some_and(|&(first, _)| number.checked_add(1) == Some(first));
    match (extends_previous, extends_next) {
        (true, true) => {
            ranges[after - 1].1 = ranges[after].1;
            ranges.remove(after);
        }
        (true, false) => ranges[after - 1].1 = number,
        (false, true) => ranges[after].0 = number,
        (false, false) => {
            ranges.insert(after, (number, number));
            if ranges.len() > MAX_RANGES {
                // The one farthest from where the sender counts.
                let oldest = if after == 0 { ranges.len() - 1 } else { 0 };
                ranges.remove(oldest);
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_new_numbers_from_known_ones() {
        let mut ranges = Ranges::default();
        for number in [5, 6, 8, 7, u32::MAX, 0, 1] {
            assert!(ranges.insert(number), "{number}");
        }
        for number in [5, 6, 7, 8, u32::MAX, 0, 1] {
            assert!(!ranges.insert(number), "{number}");
        }
        assert!(matches!(ranges, Ranges::Many(all) if all == [(0, 1), (5, 8), (u32::MAX, u32::MAX)]));
    }
}
