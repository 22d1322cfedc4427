//! IP packets as link-layer frames.

use std::net::IpAddr;

use crate::capture::LinkType;

/// A link layer, by its LINKTYPE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// LINKTYPE_ETHERNET
    #[default]
    Ethernet,
    /// Ethernet with one IEEE 802.1Q tag.
    Vlan,
    /// Ethernet with an IEEE 802.1ad service tag and an 802.1Q tag.
    QinQ,
    /// LINKTYPE_LINUX_SLL, what `tcpdump -i any` wrote.
    Sll,
    /// LINKTYPE_LINUX_SLL2, what `tcpdump -i any` writes.
    Sll2,
    /// LINKTYPE_RAW: the IP packet alone.
    Raw,
    /// LINKTYPE_NULL: address family in the byte order of the machine that captured, here little-endian.
    Null,
    /// LINKTYPE_LOOP: address family in network byte order.
    Loop,
}

/// EtherTypes and their like.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;
const ARPHRD_ETHER: u16 = 1;

impl Link {
    /// Its number in capture files.
    pub fn link_type(self) -> LinkType {
        LinkType(match self {
            Self::Ethernet | Self::Vlan | Self::QinQ => 1,
            Self::Sll => 113,
            Self::Sll2 => 276,
            Self::Raw => 101,
            Self::Null => 0,
            Self::Loop => 108,
        })
    }

    /// `packet`, sent by `source` to `destination`, as a frame.
    pub fn frame(self, source: IpAddr, destination: IpAddr, packet: &[u8]) -> Vec<u8> {
        let protocol = if source.is_ipv4() { IPV4 } else { IPV6 };
        let mut frame = self.header(mac(source), mac(destination), protocol);
        frame.extend(packet);
        frame
    }

    fn header(self, source: [u8; 6], destination: [u8; 6], protocol: u16) -> Vec<u8> {
        let ethernet = |tags: &[u16]| {
            let types = [tags, &[protocol]].concat().into_iter().flat_map(u16::to_be_bytes);
            destination.into_iter().chain(source).chain(types).collect()
        };
        // AF_INET is 2 everywhere; AF_INET6 is one of several numbers, 30 on macOS.
        let family: u32 = if protocol == IPV4 { 2 } else { 30 };
        match self {
            Self::Ethernet => ethernet(&[]),
            Self::Vlan => ethernet(&[VLAN, 100]),
            Self::QinQ => ethernet(&[SERVICE_VLAN, 200, VLAN, 100]),
            Self::Sll => sll(source, protocol),
            Self::Sll2 => sll2(source, protocol),
            Self::Raw => Vec::new(),
            Self::Null => family.to_le_bytes().to_vec(),
            Self::Loop => family.to_be_bytes().to_vec(),
        }
    }
}

/// Packet type (0: to us), device type, address length, address in eight bytes, protocol.
fn sll(source: [u8; 6], protocol: u16) -> Vec<u8> {
    let mut header = [[0, 0], ARPHRD_ETHER.to_be_bytes(), [0, 6]].concat();
    header.extend(source);
    header.extend([0, 0]);
    header.extend(protocol.to_be_bytes());
    header
}

/// Protocol, reserved, interface index 2, device type, packet type, address length, address in eight bytes.
fn sll2(source: [u8; 6], protocol: u16) -> Vec<u8> {
    let mut header = [protocol.to_be_bytes(), [0, 0], [0, 0], [0, 2], ARPHRD_ETHER.to_be_bytes(), [0, 6]].concat();
    header.extend(source);
    header.extend([0, 0]);
    header
}

/// A locally administered address that ends as the IP address does.
fn mac(address: IpAddr) -> [u8; 6] {
    let last = match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    [0x02, 0x51, 0x4b, 0x44, 0, last] // 51 4b 44: "QKD"
}
