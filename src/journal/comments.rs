//! What the capture itself says of its packets: comments on those of connections. In: texts by packet. Out: the same by
//! connection, as far as they fit into a bound.

use std::collections::HashMap;

/// Bytes that comments take in memory at most: people write few, and a proxy a page for each connection.
const MOST: usize = 16 << 20;

/// A comment on a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// 1-based number of the packet.
    pub packet: u32,
    /// As it stands there.
    pub text: String,
}

/// The comments on the packets of connections.
#[derive(Debug, Default)]
pub struct Comments {
    connections: HashMap<u32, Vec<Comment>>,
    bytes: usize,
    omitted: u64,
    last: u32,
}

impl Comments {
    /// Keeps a comment on a packet of `connection`, which does not come before those that are kept.
    pub(crate) fn keep(&mut self, connection: u32, packet: u32, text: &str) {
        let size = size_of::<Comment>() + text.len();
        if self.omitted > 0 || self.bytes + size > MOST {
            self.omitted += 1;
            return;
        }
        self.bytes += size;
        self.last = packet;
        self.connections.entry(connection).or_default().push(Comment { packet, text: text.to_owned() });
    }

    /// Those on the packets of `connection`, in capture order.
    pub fn of_connection(&self, connection: u32) -> &[Comment] {
        self.connections.get(&connection).map_or(&[], Vec::as_slice)
    }

    /// Those on packet `packet` of `connection`.
    pub fn of_packet(&self, connection: u32, packet: u32) -> &[Comment] {
        let all = self.of_connection(connection);
        let start = all.partition_point(|comment| comment.packet < packet);
        let end = all.partition_point(|comment| comment.packet <= packet);
        &all[start..end]
    }

    /// The packets that have any, with their connections, ascending.
    pub fn packets(&self) -> Vec<(u32, u32)> {
        let all = self.connections.iter();
        let mut packets: Vec<(u32, u32)> =
            all.flat_map(|(&connection, comments)| comments.iter().map(move |at| (at.packet, connection))).collect();
        packets.sort_unstable();
        packets.dedup();
        packets
    }

    /// Comments that found no room: all that come after those that did.
    pub fn omitted(&self) -> u64 {
        self.omitted
    }

    /// The last packet up to which all comments are here.
    pub fn known(&self) -> u32 {
        if self.omitted == 0 { u32::MAX } else { self.last.saturating_sub(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted_and_known_to_be_missing() {
        let mut comments = Comments::default();
        for packet in 1..=20 {
            comments.keep(packet % 2, packet, &"x".repeat(1 << 20));
        }
        assert_eq!((comments.omitted(), comments.known()), (5, 14));
        assert_eq!(comments.packets().len(), 15);
        assert_eq!((comments.of_packet(1, 15).len(), comments.of_packet(1, 14).len()), (1, 0));
        assert_eq!(comments.of_connection(0).len(), 7);
    }
}
