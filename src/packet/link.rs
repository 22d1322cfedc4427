//! From the link layer down to IP.

use super::parser::Step;
use super::undecoded::{Layer, Reason};
use super::view::View;
use crate::capture::LinkType;

/// Link types, from the registry at <https://www.tcpdump.org/linktypes.html>.
mod link_type {
    pub const NULL: u16 = 0;
    pub const ETHERNET: u16 = 1;
    /// `DLT_RAW` of BSD and of OpenBSD, found in files whose writer did not translate it.
    pub const RAW_BSD: u16 = 12;
    pub const RAW_OPENBSD: u16 = 14;
    pub const RAW: u16 = 101;
    pub const LOOP: u16 = 108;
    pub const LINUX_SLL: u16 = 113;
    pub const IPV4: u16 = 228;
    pub const IPV6: u16 = 229;
    pub const LINUX_SLL2: u16 = 276;
}

/// The first header of a packet.
#[inline]
pub fn first(link: LinkType, view: &mut View) -> Result<Step, Reason> {
    match link.0 {
        link_type::ETHERNET => Ok(Step::Ethernet),
        link_type::NULL | link_type::LOOP => loopback(view),
        link_type::LINUX_SLL => cooked(view),
        link_type::LINUX_SLL2 => cooked_2(view),
        link_type::RAW | link_type::RAW_BSD | link_type::RAW_OPENBSD => Ok(Step::Ip),
        link_type::IPV4 => Ok(Step::Ipv4),
        link_type::IPV6 => Ok(Step::Ipv6),
        _ => Err(Reason::LinkType(link)),
    }
}

/// The address family in the byte order of the capturing machine, which is not said (NULL) or is the network's
/// (LOOP). Families are small numbers, so the order can be told.
fn loopback(view: &mut View) -> Result<Step, Reason> {
    let raw = *view.take::<4>(Layer::Link)?;
    let family = u32::from_be_bytes(raw).min(u32::from_le_bytes(raw));
    Ok(match family {
        2 => Step::Ipv4,
        // AF_INET6 of Linux; of NetBSD, OpenBSD and BSD/OS; of FreeBSD; of Darwin. 23 is that of Windows.
        10 | 23 | 24 | 28 | 30 => Step::Ipv6,
        _ => Step::Other,
    })
}

/// Packet type, device type, address length, address (8), protocol.
fn cooked(view: &mut View) -> Result<Step, Reason> {
    let head = view.take::<16>(Layer::Link)?;
    Ok(cooked_protocol(u16::from_be_bytes([head[14], head[15]])))
}

/// Protocol, reserved, interface, device type, packet type, address length, address (8).
fn cooked_2(view: &mut View) -> Result<Step, Reason> {
    let head = view.take::<20>(Layer::Link)?;
    Ok(cooked_protocol(u16::from_be_bytes([head[0], head[1]])))
}

/// An EtherType, or a number of Linux's own below 0x600, of which 4 announces 802.2.
fn cooked_protocol(number: u16) -> Step {
    match number {
        4 => Step::EtherType(MOST_LENGTH),
        0x600.. => Step::EtherType(number),
        _ => Step::Other,
    }
}

#[inline]
pub fn ethernet(view: &mut View) -> Result<Step, Reason> {
    let head = view.take::<14>(Layer::Link)?;
    ether_type(view, u16::from_be_bytes([head[12], head[13]]))
}

/// Up to here the field is the length of an 802.3 frame and not an EtherType (IEEE 802.3 3.2.6).
const MOST_LENGTH: u16 = 1500;

#[inline]
pub fn ether_type(view: &mut View, number: u16) -> Result<Step, Reason> {
    match number {
        0x0800 => Ok(Step::Ipv4),
        0x86dd => Ok(Step::Ipv6),
        // 802.1Q, 802.1ad, and two that were used for stacked tags before it.
        0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
            let tag = view.take::<4>(Layer::Link)?;
            Ok(Step::EtherType(u16::from_be_bytes([tag[2], tag[3]])))
        }
        0x8847 | 0x8848 => Ok(Step::Mpls),
        0x8864 => pppoe(view),
        // Transparent Ethernet bridging (RFC 1701).
        0x6558 => Ok(Step::Ethernet),
        ..=MOST_LENGTH => logical_link(view, number.into()),
        _ => Ok(Step::Other),
    }
}

/// 802.2 with a SNAP header, or with IP's own service access point.
fn logical_link(view: &mut View, length: usize) -> Result<Step, Reason> {
    view.end_at(view.at + length);
    match *view.take::<3>(Layer::Link)? {
        [0xaa, 0xaa, 3] => match *view.take::<5>(Layer::Link)? {
            // RFC 1042, and bridged 802.1H.
            [0, 0, 0 | 0xf8, high, low] => Ok(Step::EtherType(u16::from_be_bytes([high, low]))),
            _ => Ok(Step::Other),
        },
        [6, 6, 3] => Ok(Step::Ip),
        _ => Ok(Step::Other),
    }
}

/// Version and type, code, session, length (RFC 2516 4).
fn pppoe(view: &mut View) -> Result<Step, Reason> {
    let head = view.take::<6>(Layer::Link)?;
    view.end_at(view.at + usize::from(u16::from_be_bytes([head[4], head[5]])));
    Ok(Step::Ppp)
}

/// The protocol has one byte when that is odd (RFC 1661 2 and 6.5).
pub fn ppp(view: &mut View) -> Result<Step, Reason> {
    let [high] = *view.take::<1>(Layer::Link)?;
    let number = if high & 1 == 1 { high.into() } else { u16::from_be_bytes([high, view.take::<1>(Layer::Link)?[0]]) };
    Ok(match number {
        0x0021 => Step::Ipv4,
        0x0057 => Step::Ipv6,
        0x0281 => Step::Mpls,
        _ => Step::Other,
    })
}

/// Labels up to the bottom of the stack (RFC 3032 2.1). What follows is not said; the first half byte tells, as
/// RFC 4928 asks of pseudowires, which start with a zero control word.
pub fn mpls(view: &mut View) -> Result<Step, Reason> {
    while view.take::<4>(Layer::Link)?[2] & 1 == 0 {}
    match view.rest().first().ok_or(Reason::Cut(Layer::Link))? >> 4 {
        4 => Ok(Step::Ipv4),
        6 => Ok(Step::Ipv6),
        0 => view.skip(4, Layer::Link).map(|()| Step::Ethernet),
        _ => Ok(Step::Other),
    }
}
