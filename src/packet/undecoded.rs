//! What could not be decoded, counted by reason, so that nothing is lost silently.

use std::collections::BTreeMap;
use std::fmt;

use crate::capture::LinkType;

/// A layer of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// Ethernet, VLAN, PPPoE, MPLS, a tunnel's header.
    Link,
    /// IPv4, IPv6 and its extension headers.
    Ip,
    /// TCP.
    Tcp,
}

/// Why a packet that may hold TCP could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Its link type is not known here.
    LinkType(LinkType),
    /// The packet ends inside a header of this layer.
    Cut(Layer),
    /// A header of this layer contradicts itself.
    Malformed(Layer),
    /// More headers inside each other than any network has.
    TooDeep,
    /// An IP fragment that the snapshot length cut.
    FragmentCut,
    /// An IP fragment that contradicts the others of its datagram.
    FragmentMalformed,
    /// An IP fragment whose datagram never came whole.
    FragmentAlone,
}

/// Continues `12 packets ...`.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LinkType(link) => write!(f, "of link type {}", link.0),
            Self::Cut(layer) => write!(f, "whose {layer} header is cut"),
            Self::Malformed(layer) => write!(f, "whose {layer} header contradicts itself"),
            Self::TooDeep => f.write_str("of too many headers inside each other"),
            Self::FragmentCut => f.write_str("that are IP fragments cut by the snapshot length"),
            Self::FragmentMalformed => f.write_str("that are IP fragments contradicting others of their datagram"),
            Self::FragmentAlone => f.write_str("that are IP fragments of datagrams that never came whole"),
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Link => "link-layer",
            Self::Ip => "IP",
            Self::Tcp => "TCP",
        })
    }
}

/// How many packets could not be decoded, by reason. Shows as a line for each reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undecoded(BTreeMap<Reason, u64>);

impl Undecoded {
    pub(super) fn add(&mut self, reason: Reason, packets: u64) {
        if packets > 0 {
            *self.0.entry(reason).or_default() += packets;
        }
    }

    /// Whether every packet was decoded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The reasons and their numbers of packets, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        self.0.iter().map(|(reason, packets)| (*reason, *packets))
    }
}

/// `1252 packets of link type 147 were not decoded`.
impl fmt::Display for Undecoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (reason, packets)) in self.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            match packets {
                1 => write!(f, "{line_break}1 packet {reason} was not decoded")?,
                _ => write!(f, "{line_break}{packets} packets {reason} were not decoded")?,
            }
        }
        Ok(())
    }
}
