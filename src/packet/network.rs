//! From IP to TCP, through extension headers and tunnels.

use etherparse::ip_number;

use super::parser::{Fragment, Step};
use super::undecoded::{Layer, Reason};
use super::view::View;
use super::{Endpoint, Flags, Payload, Segment};

/// The IP addresses of a packet, as in [`Endpoint`].
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Ends {
    pub source: [u8; 16],
    pub destination: [u8; 16],
    pub v6: bool,
}

/// IPv4 or IPv6, by the version field.
pub fn either(view: &View) -> Result<Step, Reason> {
    match view.rest().first().ok_or(Reason::Cut(Layer::Ip))? >> 4 {
        4 => Ok(Step::Ipv4),
        6 => Ok(Step::Ipv6),
        _ => Err(Reason::Malformed(Layer::Ip)),
    }
}

/// RFC 791 3.1.
#[inline]
pub fn ipv4(view: &mut View) -> Result<Step, Reason> {
    let start = view.at;
    let head = view.take::<20>(Layer::Ip)?;
    let header = usize::from(head[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if head[0] >> 4 != 4 || header < 20 {
        return Err(Reason::Malformed(Layer::Ip));
    }
    // A length of 0 stands for one that the network card will fill in (segmentation offload), or that 16 bits
    // cannot hold (BIG TCP): the packet then ends where its record does.
    if total != 0 {
        if total < header {
            return Err(Reason::Malformed(Layer::Ip));
        }
        view.end_at(start + total);
    }
    view.skip(header - 20, Layer::Ip)?;
    view.ends = Ends { source: v4(&head[12..16]), destination: v4(&head[16..20]), v6: false };
    let (protocol, flags) = (head[9], u16::from_be_bytes([head[6], head[7]]));
    let (more, offset) = (flags & 0x2000 != 0, flags & 0x1fff);
    if more || offset != 0 {
        let id = u16::from_be_bytes([head[4], head[5]]).into();
        return Ok(Step::Fragment(Fragment { id, protocol, offset, more }));
    }
    self::protocol(view, protocol)
}

#[inline]
fn v4(bytes: &[u8]) -> [u8; 16] {
    let mut address = [0; 16];
    address[..4].copy_from_slice(bytes);
    address
}

/// RFC 8200 3.
#[inline]
pub fn ipv6(view: &mut View) -> Result<Step, Reason> {
    let head = view.take::<40>(Layer::Ip)?;
    if head[0] >> 4 != 6 {
        return Err(Reason::Malformed(Layer::Ip));
    }
    // 0 stands for a length that 16 bits cannot hold: that of a jumbogram follows in an option, that of
    // Linux's BIG TCP is that of the record.
    let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
    if length != 0 {
        view.end_at(view.at + length);
    }
    let address = |start: usize| *head[start..].first_chunk().expect("the header has 40 bytes");
    view.ends = Ends { source: address(8), destination: address(24), v6: true };
    Ok(Step::Protocol(head[6]))
}

/// What follows an IP header or an extension header.
#[inline]
pub fn protocol(view: &mut View, number: u8) -> Result<Step, Reason> {
    match number.into() {
        ip_number::TCP => Ok(Step::Tcp),
        ip_number::UDP => udp(view),
        ip_number::IPV4 => Ok(Step::Ipv4),
        ip_number::IPV6 => Ok(Step::Ipv6),
        ip_number::GRE => gre(view),
        // EtherIP: two bytes of version (RFC 3378 3).
        ip_number::ETHER_IP => view.skip(2, Layer::Link).map(|()| Step::Ethernet),
        ip_number::MPLS_IN_IP => Ok(Step::Mpls),
        ip_number::AUTH => authentication(view),
        _ if view.ends.v6 => extension(view, number),
        _ => Ok(Step::Other),
    }
}

/// The extension headers of IPv6 (<https://www.iana.org/assignments/ipv6-parameters>), but for those above.
fn extension(view: &mut View, number: u8) -> Result<Step, Reason> {
    match number.into() {
        ip_number::IPV6_FRAG => fragment(view),
        ip_number::IPV6_HOP_BY_HOP
        | ip_number::IPV6_ROUTE
        | ip_number::IPV6_DEST_OPTIONS
        | ip_number::MOBILITY_HEADER
        | ip_number::HIP
        | ip_number::SHIM6 => {
            let start = view.at;
            let [next, length] = *view.take::<2>(Layer::Ip)?;
            view.skip(usize::from(length) * 8 + 6, Layer::Ip)?;
            if ip_number::IPV6_HOP_BY_HOP == number.into() {
                jumbo(view, start);
            }
            Ok(Step::Protocol(next))
        }
        _ => Ok(Step::Other),
    }
}

/// The Jumbo Payload option of a hop-by-hop header from `start` to where `view` is (RFC 2675 2). The length it
/// gives counts from that header, which is the first.
fn jumbo(view: &mut View, start: usize) {
    let mut options = &view.bytes[start + 2..view.at];
    loop {
        options = match options {
            // Pad1 has no length (RFC 8200 4.2).
            [0, rest @ ..] => rest,
            [0xc2, 4, a, b, c, d, ..] => {
                return view.end_at(start.saturating_add(u32::from_be_bytes([*a, *b, *c, *d]) as usize));
            }
            [_, length, rest @ ..] if rest.len() >= usize::from(*length) => &rest[usize::from(*length)..],
            _ => return,
        };
    }
}

/// RFC 8200 4.5. A fragment that is a whole datagram ("atomic") is that datagram (RFC 6946).
fn fragment(view: &mut View) -> Result<Step, Reason> {
    let head = view.take::<8>(Layer::Ip)?;
    let (protocol, word) = (head[0], u16::from_be_bytes([head[2], head[3]]));
    let (offset, more) = (word >> 3, word & 1 != 0);
    if !more && offset == 0 {
        return Ok(Step::Protocol(protocol));
    }
    let id = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    Ok(Step::Fragment(Fragment { id, protocol, offset, more }))
}

/// RFC 4302 2: its length counts words of 32 bits, less 2.
fn authentication(view: &mut View) -> Result<Step, Reason> {
    let [next, length] = *view.take::<2>(Layer::Ip)?;
    view.skip(usize::from(length) * 4 + 6, Layer::Ip)?;
    Ok(Step::Protocol(next))
}

/// RFC 2784 2 and RFC 2890 2: checksum, key and sequence number are there when their flags say so.
fn gre(view: &mut View) -> Result<Step, Reason> {
    const CHECKSUM: u8 = 0x80;
    const ROUTING: u8 = 0x40;
    const KEY: u8 = 0x20;
    const SEQUENCE: u8 = 0x10;
    let [flags, version, high, low] = *view.take::<4>(Layer::Link)?;
    // Version 1 is PPTP's; routing was dropped with RFC 1701.
    if version & 7 != 0 || flags & ROUTING != 0 {
        return Ok(Step::Other);
    }
    let fields = (flags & (CHECKSUM | KEY | SEQUENCE)).count_ones() as usize;
    view.skip(fields * 4, Layer::Link)?;
    match u16::from_be_bytes([high, low]) {
        // ERSPAN, how switches mirror a port: type I has no header, type II has one of 8 bytes and a sequence number.
        0x88be if flags & SEQUENCE == 0 => Ok(Step::Ethernet),
        0x88be => view.skip(8, Layer::Link).map(|()| Step::Ethernet),
        number => Ok(Step::EtherType(number)),
    }
}

/// UDP itself is of no interest, but VXLAN in it is (RFC 7348 5): a header of 8 bytes and an Ethernet frame.
fn udp(view: &mut View) -> Result<Step, Reason> {
    const VXLAN_PORT: [u8; 2] = 4789u16.to_be_bytes();
    match view.rest() {
        // The only flag that RFC 7348 knows must be set; all else is reserved.
        [_, _, high, low, _, _, _, _, 8, ..] if [*high, *low] == VXLAN_PORT => {
            view.skip(16, Layer::Link).map(|()| Step::Ethernet)
        }
        _ => Ok(Step::Other),
    }
}

/// RFC 9293 3.1. Options that were cut are not missed; the payload behind them is.
#[inline]
pub fn tcp(view: &mut View) -> Result<Segment, Reason> {
    let start = view.at;
    let head = view.take::<20>(Layer::Tcp)?;
    let header = usize::from(head[12] >> 4) * 4;
    let payload = start + header;
    if header < 20 || payload > view.wire {
        return Err(Reason::Malformed(Layer::Tcp));
    }
    let captured = view.bytes.len();
    let (offset, missing) = (payload.min(captured), view.wire - payload.max(captured));
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let end = |address, at: usize| {
        let port = u16::from_be_bytes([head[at], head[at + 1]]);
        Endpoint { address, port, v6: view.ends.v6 }
    };
    Ok(Segment {
        source: end(view.ends.source, 0),
        destination: end(view.ends.destination, 2),
        sequence: word(4),
        acknowledgment: word(8),
        flags: Flags(head[13]),
        payload: Payload::InPacket { offset: offset as u32, length: (captured - offset) as u32 },
        missing: missing as u32,
    })
}
