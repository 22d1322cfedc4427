//! What was relayed as the TCP packets that a direct connection would have had. In: the events of a connection, in
//! order. Out: IP packets with right sequence and acknowledgment numbers; what is missing is a gap in them.

use std::net::SocketAddr;

use super::tap::{Side, What};
use crate::capture::tcp::{ACK, FIN, Ip, PSH, RST, SYN, Segment, WINDOW};
use crate::time::Timestamp;

/// Most bytes in one packet, which with its headers must be below 65,536 (RFC 791 3.1).
const PAYLOAD: usize = 60_000;

/// The window where there is something to say: what carries no bytes is an update of it, not an ACK once more.
const NOTED: u16 = WINDOW - 1;

/// Where a connection stands.
#[derive(Debug)]
pub struct Conversation {
    /// The next sequence number of either side.
    next: [u32; 2],
    /// When either side last sent, in milliseconds, which the other echoes (RFC 7323 3.2).
    clocks: [u32; 2],
    finished: [bool; 2],
    begun: bool,
    answered: bool,
    identification: u16,
}

/// Where packets go: the packet, and what to say about it.
pub type Sink<'a> = &'a mut dyn FnMut(Timestamp, &[u8], &[&str]);

impl Conversation {
    /// A connection that began at `opened`, from which its first sequence numbers are drawn.
    pub fn new(opened: Timestamp) -> Self {
        let seed = (opened.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self {
            next: [(seed >> 32) as u32, seed as u32],
            clocks: [0; 2],
            finished: [false; 2],
            begun: false,
            answered: false,
            identification: seed as u16,
        }
    }

    /// Goes on by what happened at `time`, before which `missing` bytes of either side were lost.
    pub fn advance(
        &mut self,
        ends: [SocketAddr; 2],
        (opened, time): (Timestamp, Timestamp),
        missing: [u64; 2],
        what: &What,
        sink: Sink<'_>,
    ) {
        let mut out = Out { conversation: self, ends, sink };
        // What found no room in the queue happened all the same.
        out.begin(opened);
        if !matches!(what, What::Opened | What::Refused(_) | What::Reset(_)) {
            out.answer(time);
        }
        for (next, missing) in out.conversation.next.iter_mut().zip(missing) {
            *next = next.wrapping_add(missing as u32); // sequence numbers are modulo 2^32 (RFC 9293 3.4)
        }
        match what {
            What::Opened | What::Answered => {} // above
            What::Refused(why) => out.send(Side::Dialled, time, RST | ACK, &[], &[why]),
            What::Noted(notes) => {
                let notes: Vec<&str> = notes.iter().map(String::as_str).collect();
                out.send(Side::Dialler, time, ACK, &[], &notes);
            }
            What::Bytes(side, bytes) => {
                bytes.chunks(PAYLOAD).for_each(|part| out.send(*side, time, PSH | ACK, part, &[]));
            }
            What::Finished(side) => out.finish(*side, time),
            What::Reset(side) => out.send(*side, time, RST | ACK, &[], &[]),
        }
    }
}

struct Out<'a, 'b> {
    conversation: &'a mut Conversation,
    ends: [SocketAddr; 2],
    sink: Sink<'b>,
}

impl Out<'_, '_> {
    fn begin(&mut self, opened: Timestamp) {
        if !std::mem::replace(&mut self.conversation.begun, true) {
            self.send(Side::Dialler, opened, SYN, &[], &[]);
        }
    }

    fn answer(&mut self, time: Timestamp) {
        if !std::mem::replace(&mut self.conversation.answered, true) {
            self.send(Side::Dialled, time, SYN | ACK, &[], &[]);
            self.send(Side::Dialler, time, ACK, &[], &[]);
        }
    }

    /// The end of one side, which the other acknowledges when both have come to theirs.
    fn finish(&mut self, side: Side, time: Timestamp) {
        if std::mem::replace(&mut self.conversation.finished[side as usize], true) {
            return;
        }
        self.send(side, time, FIN | ACK, &[], &[]);
        if self.conversation.finished == [true; 2] {
            self.send(side.other(), time, ACK, &[], &[]);
        }
    }

    fn send(&mut self, side: Side, time: Timestamp, flags: u8, payload: &[u8], notes: &[&str]) {
        let (from, to) = (side as usize, side.other() as usize);
        let this = &mut *self.conversation;
        this.clocks[from] = (time.0 / 1_000_000) as u32;
        let acknowledges = flags & ACK != 0;
        let segment = Segment {
            time,
            source: self.ends[from],
            destination: self.ends[to],
            sequence: this.next[from],
            acknowledgment: if acknowledges { this.next[to] } else { 0 },
            flags,
            timestamps: (this.clocks[from], if acknowledges { this.clocks[to] } else { 0 }),
            window: if notes.is_empty() { WINDOW } else { NOTED },
            payload: payload.to_vec(),
        };
        let counted = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        this.next[from] = this.next[from].wrapping_add(counted);
        this.identification = this.identification.wrapping_add(1);
        for packet in Ip::default().packets(&segment, this.identification) {
            (self.sink)(time, &packet, notes);
        }
    }
}
