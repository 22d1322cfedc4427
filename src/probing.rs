//! A hash table that can be asked ahead. In: hashes and entries. Out: the entry, or that there is none. Where an entry
//! should stand follows from its hash alone, so it can be fetched long before it is looked at; tables that first look
//! up what they know of their places would wait for that. Forgets nothing.

use crate::prefetch::prefetch;

/// What a [`ProbingTable`] has places for.
pub trait Entry: Copy {
    /// What stands at a place that has no entry.
    const NONE: Self;

    /// Whether it stands for no entry.
    fn is_none(&self) -> bool;

    /// Its hash, all of whose bits are as good as chance.
    fn hash(&self) -> u64;
}

/// Places at first; there is always a power of two.
const MIN_PLACES: usize = 64;

/// Entries, each as near behind the place that its hash names as there was room.
#[derive(Clone, Debug)]
pub struct ProbingTable<E> {
    /// A quarter of them, at least, is free.
    places: Vec<E>,
    entries: usize,
}

impl<E> Default for ProbingTable<E> {
    fn default() -> Self {
        Self { places: Vec::new(), entries: 0 }
    }
}

impl<E: Entry> ProbingTable<E> {
    /// Asks for the place where an entry with this hash should stand.
    pub fn prefetch(&self, hash: u64) {
        if let Some(place) = self.places.get(self.home(hash)) {
            prefetch(place);
        }
    }

    /// The entry with this hash that `is_it`.
    pub fn find(&self, hash: u64, is_it: impl FnMut(&E) -> bool) -> Option<&E> {
        self.seek(hash, is_it).map(|at| &self.places[at])
    }

    /// The same, to be changed in all but its hash.
    pub fn find_mut(&mut self, hash: u64, is_it: impl FnMut(&E) -> bool) -> Option<&mut E> {
        self.seek(hash, is_it).map(|at| &mut self.places[at])
    }

    /// Adds an entry that is not there.
    pub fn insert(&mut self, entry: E) {
        if 4 * (self.entries + 1) > 3 * self.places.len() {
            self.grow();
        }
        self.entries += 1;
        self.put(entry);
    }

    fn home(&self, hash: u64) -> usize {
        hash as usize & self.places.len().wrapping_sub(1)
    }

    fn seek(&self, hash: u64, mut is_it: impl FnMut(&E) -> bool) -> Option<usize> {
        let mut at = self.home(hash);
        loop {
            let entry = self.places.get(at)?;
            if entry.is_none() {
                return None;
            }
            if is_it(entry) {
                return Some(at);
            }
            at = (at + 1) & (self.places.len() - 1);
        }
    }

    fn put(&mut self, entry: E) {
        let mut at = self.home(entry.hash());
        while !self.places[at].is_none() {
            at = (at + 1) & (self.places.len() - 1);
        }
        self.places[at] = entry;
    }

    fn grow(&mut self) {
        let more = (2 * self.places.len()).max(MIN_PLACES);
        let before = std::mem::replace(&mut self.places, vec![E::NONE; more]);
        before.into_iter().filter(|entry| !entry.is_none()).for_each(|entry| self.put(entry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// A number, and how often it came; its hash is the number, shortened so that many collide.
    #[derive(Clone, Copy, Debug)]
    struct Tally(u64, u32);

    impl Entry for Tally {
        const NONE: Self = Self(0, 0);

        fn is_none(&self) -> bool {
            self.1 == 0
        }

        fn hash(&self) -> u64 {
            self.0 % 1024
        }
    }

    proptest! {
        #[test]
        fn knows_what_it_was_given_and_nothing_else(numbers in prop::collection::vec(0..3000_u64, 0..2000)) {
            let (mut table, mut truth) = (ProbingTable::default(), HashMap::new());
            for &number in &numbers {
                *truth.entry(number).or_insert(0) += 1;
                match table.find_mut(number % 1024, |&Tally(other, _)| other == number) {
                    Some(Tally(_, count)) => *count += 1,
                    None => table.insert(Tally(number, 1)),
                }
            }
            for number in 0..3000 {
                table.prefetch(number);
                let found = table.find(number % 1024, |&Tally(other, _)| other == number);
                prop_assert_eq!(found.map(|tally| tally.1), truth.get(&number).copied());
            }
        }
    }
}
