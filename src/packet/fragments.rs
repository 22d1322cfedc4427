//! Fragments of IP datagrams, kept until the datagram is whole.

use std::collections::VecDeque;

use etherparse::defrag::IpDefragBuf;
use etherparse::{IpFragOffset, IpNumber};
use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::network::Ends;
use super::parser::Fragment;
use super::undecoded::Reason;
use crate::time::{Span, Timestamp};

/// How long a datagram may take to come whole (RFC 8200 4.5), in capture time.
const LIFETIME: Span = Span::from_secs(60);
/// Far more than any sender has under way at once; the oldest gives way.
const MOST_DATAGRAMS: usize = 1024;
/// Bytes of all of them; a datagram has 64 KiB at most.
const MOST_BYTES: usize = 16 << 20;

/// Protocol and bytes of a whole datagram.
pub type Whole = (u8, Vec<u8>);

/// Which datagram a fragment belongs to (RFC 791 3.2, RFC 8200 4.5).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    ends: Ends,
    id: u32,
    /// 0 for IPv6, whose later fragments may name another protocol than the first.
    protocol: u8,
}

/// A datagram with holes.
struct Datagram {
    buffer: IpDefragBuf,
    /// From the fragment at offset 0.
    protocol: u8,
    began: Timestamp,
    fragments: u64,
    /// Its turn among all datagrams ever begun; tells it from a later one of the same key.
    turn: u64,
}

/// The datagrams under way.
#[derive(Default)]
pub struct Fragments {
    datagrams: HashMap<Key, Datagram, RandomState>,
    /// Turns and keys, oldest first; those that are whole by now are still in here.
    order: VecDeque<(u64, Key)>,
    /// Bytes that the buffers hold.
    bytes: usize,
    turns: u64,
    /// Fragments of datagrams that were given up.
    given_up: u64,
}

impl Fragments {
    /// Adds a fragment; gives the number of its datagram, and the protocol and the bytes if that is whole now.
    pub fn add(
        &mut self,
        ends: Ends,
        fragment: Fragment,
        data: &[u8],
        time: Timestamp,
    ) -> (u64, Result<Option<Whole>, Reason>) {
        self.give_up_old(time);
        let protocol = if ends.v6 { 0 } else { fragment.protocol };
        let key = Key { ends, id: fragment.id, protocol };
        let turn = self.turns;
        let datagram = self.datagrams.entry(key).or_insert_with(|| Datagram::new(fragment.protocol, time, turn));
        if datagram.turn == turn {
            self.turns += 1;
            self.order.push_back((turn, key));
        }
        let number = datagram.turn;
        let before = datagram.buffer.data().len();
        let added = datagram.add(fragment, data);
        // A last fragment that ends before others do makes the buffer shorter.
        self.bytes = self.bytes + datagram.buffer.data().len() - before;
        if datagram.fragments == 0 || datagram.buffer.is_complete() {
            let datagram = self.remove(&key).expect("it was just added to");
            return (number, added.map(|()| Some((datagram.protocol, datagram.buffer.take_bufs().0))));
        }
        self.give_way();
        (number, added.map(|()| None))
    }

    /// Fragments whose datagrams never came whole, or have not yet.
    pub fn alone(&self) -> u64 {
        self.given_up + self.datagrams.values().map(|datagram| datagram.fragments).sum::<u64>()
    }

    fn remove(&mut self, key: &Key) -> Option<Datagram> {
        let datagram = self.datagrams.remove(key)?;
        self.bytes -= datagram.buffer.data().len();
        Some(datagram)
    }

    /// Gives up the datagrams that are too old at `time`.
    fn give_up_old(&mut self, time: Timestamp) {
        while let Some(oldest) = self.oldest() {
            if time - oldest.began <= LIFETIME {
                break;
            }
            self.give_up_oldest();
        }
    }

    /// Gives up the oldest datagrams while there are too many.
    fn give_way(&mut self) {
        while self.datagrams.len() > MOST_DATAGRAMS || self.bytes > MOST_BYTES {
            self.give_up_oldest();
        }
        // Behind one datagram that waits, any number may have come whole.
        if self.order.len() > 4 * MOST_DATAGRAMS {
            let datagrams = &self.datagrams;
            self.order.retain(|(turn, key)| datagrams.get(key).is_some_and(|datagram| datagram.turn == *turn));
        }
    }

    /// The oldest datagram that is not whole; forgets those before it.
    fn oldest(&mut self) -> Option<&Datagram> {
        while let Some((turn, key)) = self.order.front() {
            if self.datagrams.get(key).is_some_and(|datagram| datagram.turn == *turn) {
                let key = *key;
                return self.datagrams.get(&key);
            }
            self.order.pop_front();
        }
        None
    }

    fn give_up_oldest(&mut self) {
        if self.oldest().is_none() {
            return;
        }
        let (_, key) = self.order.pop_front().expect("the oldest is at the front");
        let datagram = self.remove(&key).expect("the oldest is there");
        self.given_up += datagram.fragments;
    }
}

impl Datagram {
    fn new(protocol: u8, began: Timestamp, turn: u64) -> Self {
        let buffer = IpDefragBuf::new(IpNumber(protocol), Vec::new(), Vec::new());
        Self { buffer, protocol, began, fragments: 0, turn }
    }

    fn add(&mut self, fragment: Fragment, data: &[u8]) -> Result<(), Reason> {
        let offset = IpFragOffset::try_new(fragment.offset).expect("an offset has 13 bits");
        self.buffer.add(offset, fragment.more, data).map_err(|_| Reason::FragmentMalformed)?;
        self.fragments += 1;
        if fragment.offset == 0 {
            self.protocol = fragment.protocol;
        }
        Ok(())
    }
}
