//! Walks a packet from its link layer to TCP.

use super::fragments::Fragments;
use super::network::Ends;
use super::undecoded::{Reason, Undecoded};
use super::view::View;
use super::{Payload, Segment, link, network};
use crate::capture::LinkType;
use crate::time::Timestamp;

/// What a packet turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A TCP segment, perhaps the one that this fragment completed.
    Segment(Segment),
    /// Not TCP.
    Other,
    /// A fragment of an IP datagram that is not whole yet.
    Fragment,
    /// Perhaps TCP, but not readable.
    Undecodable(Reason),
}

/// The header that comes next in a packet.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Ethernet,
    /// What an EtherType, or an 802.3 length in its place, announces.
    EtherType(u16),
    Ppp,
    Mpls,
    Ipv4,
    Ipv6,
    /// IPv4 or IPv6, as the version field says.
    Ip,
    /// What an IP protocol number announces.
    Protocol(u8),
    Tcp,
    /// A piece of a datagram.
    Fragment(Fragment),
    Other,
}

/// The payload of an IP fragment is the rest of the view.
#[derive(Clone, Copy)]
pub(super) struct Fragment {
    pub id: u32,
    /// Says something in the first fragment; in IPv4 it is the same in all.
    pub protocol: u8,
    /// Bytes from the start of the datagram, divided by 8.
    pub offset: u16,
    pub more: bool,
}

/// Headers inside each other, fragments included. Real stacks of tags and tunnels stay below a dozen.
const MOST_STEPS: u32 = 64;

/// Turns packets into TCP segments. Keeps fragments until their datagram is whole, and counts what it cannot read.
#[derive(Default)]
pub struct PacketParser {
    fragments: Fragments,
    undecoded: Undecoded,
    datagram: u64,
}

impl PacketParser {
    /// A parser that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads one packet: its link type, its captured bytes, its length on the wire in bytes, and its time, which
    /// only decides how long fragments are kept.
    #[inline]
    pub fn parse(&mut self, link: LinkType, bytes: &[u8], original: u32, time: Timestamp) -> Parsed {
        let mut view = View::new(bytes, original as usize, Ends::default());
        let parsed = match link::first(link, &mut view) {
            Ok(step) => self.walk(&mut view, step, time, MOST_STEPS),
            Err(reason) => Parsed::Undecodable(reason),
        };
        if let Parsed::Undecodable(reason) = parsed {
            self.undecoded.add(reason, 1);
        }
        parsed
    }

    /// What could not be decoded so far, with the fragments that wait for others: ask at the end.
    pub fn undecoded(&self) -> Undecoded {
        let mut undecoded = self.undecoded.clone();
        undecoded.add(Reason::FragmentAlone, self.fragments.alone());
        undecoded
    }

    /// Which datagram the last fragment belongs to, while it waits for others as well as when it completes it: a number
    /// that no other datagram has.
    pub fn datagram(&self) -> u64 {
        self.datagram
    }

    fn walk(&mut self, view: &mut View, mut step: Step, time: Timestamp, mut steps: u32) -> Parsed {
        while steps > 0 {
            steps -= 1;
            let next = match step {
                Step::Ethernet => link::ethernet(view),
                Step::EtherType(number) => link::ether_type(view, number),
                Step::Ppp => link::ppp(view),
                Step::Mpls => link::mpls(view),
                Step::Ipv4 => network::ipv4(view),
                Step::Ipv6 => network::ipv6(view),
                Step::Ip => network::either(view),
                Step::Protocol(number) => network::protocol(view, number),
                Step::Tcp => return network::tcp(view).map_or_else(Parsed::Undecodable, Parsed::Segment),
                Step::Fragment(fragment) => return self.fragment(view, fragment, time, steps),
                Step::Other => return Parsed::Other,
            };
            step = match next {
                Ok(next) => next,
                Err(reason) => return Parsed::Undecodable(reason),
            };
        }
        Parsed::Undecodable(Reason::TooDeep)
    }

    #[cold]
    fn fragment(&mut self, view: &View, fragment: Fragment, time: Timestamp, steps: u32) -> Parsed {
        if view.is_cut() {
            return Parsed::Undecodable(Reason::FragmentCut);
        }
        let (datagram, added) = self.fragments.add(view.ends, fragment, view.rest(), time);
        self.datagram = datagram;
        match added {
            Err(reason) => Parsed::Undecodable(reason),
            Ok(None) => Parsed::Fragment,
            Ok(Some((protocol, datagram))) => {
                let mut whole = View::new(&datagram, datagram.len(), view.ends);
                own_payload(self.walk(&mut whole, Step::Protocol(protocol), time, steps), &datagram)
            }
        }
    }
}

/// A segment found in a reassembled datagram takes its payload along.
fn own_payload(mut parsed: Parsed, datagram: &[u8]) -> Parsed {
    if let Parsed::Segment(segment) = &mut parsed
        && let Payload::InPacket { offset, length } = segment.payload
    {
        segment.payload = Payload::Reassembled(datagram[offset as usize..][..length as usize].to_vec());
    }
    parsed
}
