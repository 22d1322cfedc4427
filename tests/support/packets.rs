//! Packets of one connection, header by header.

pub const PORTS: [u16; 2] = [4000, 5000];

pub fn tcp(payload: &[u8]) -> Vec<u8> {
    let mut bytes = PORTS.map(u16::to_be_bytes).concat();
    bytes.extend([1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(payload);
    bytes
}

pub fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = (payload.len() as u16 + 20).to_be_bytes();
    let mut bytes = vec![0x45, 0, high, low, 0, 1, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    bytes.extend(payload);
    bytes
}

/// Part of a TCP segment, `offset` bytes into it.
pub fn ipv4_fragment(offset: usize, more: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = ipv4(6, payload);
    let word = (offset / 8) as u16 | if more { 0x2000 } else { 0 };
    bytes[6..8].copy_from_slice(&word.to_be_bytes());
    bytes
}

pub fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = (payload.len() as u16).to_be_bytes();
    let mut bytes = vec![0x60, 0, 0, 0, high, low, next, 64];
    for last in [1, 2] {
        bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    bytes.extend(payload);
    bytes
}

/// Part of a TCP segment, `offset` bytes into it.
pub fn ipv6_fragment(offset: usize, more: bool, payload: &[u8]) -> Vec<u8> {
    let [high, low] = ((offset as u16) | u16::from(more)).to_be_bytes();
    ipv6(44, &[&[6, 0, high, low, 0, 0, 0, 9], payload].concat())
}

pub fn ethernet(number: [u8; 2], payload: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &number, payload].concat()
}
