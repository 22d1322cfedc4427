//! Copies of what was relayed, on their way to the recorder. In: events of connections. Out: the same, in a bounded
//! queue. Never waits: what finds no room is counted, and the next event of its connection says how much is missing.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::packets::Conversation;
use crate::time::Timestamp;

/// Events that wait at most, whatever their size.
const EVENTS: usize = 1 << 16;

/// One end of a connection: who dialled, or who was dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who dialled.
    Dialler,
    /// Who was dialled.
    Dialled,
}

impl Side {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Dialled,
            Self::Dialled => Self::Dialler,
        }
    }
}

/// What happened on a connection.
#[derive(Debug)]
pub enum What {
    /// A side dialled.
    Opened,
    /// The other side was reached.
    Answered,
    /// The other side could not be reached, and why.
    Refused(String),
    /// There is something to say about the connection.
    Noted(Vec<String>),
    /// A side's bytes were passed on.
    Bytes(Side, Vec<u8>),
    /// A side will send nothing more.
    Finished(Side),
    /// A side broke the connection off.
    Reset(Side),
}

/// What happened, where and when.
#[derive(Debug)]
pub struct Event {
    /// The connection.
    pub flow: Arc<Flow>,
    /// When.
    pub time: Timestamp,
    /// Bytes of either side, passed on before this, that found no room in the queue.
    pub missing: [u64; 2],
    /// What.
    pub what: What,
}

/// A connection as it is recorded.
#[derive(Debug)]
pub struct Flow {
    /// Who dialled, and who was dialled; of one IP version.
    pub ends: [SocketAddr; 2],
    /// When.
    pub opened: Timestamp,
    /// Where its packets stand; the recorder's alone.
    pub conversation: Mutex<Conversation>,
}

impl Flow {
    fn new(dialler: SocketAddr, dialled: SocketAddr, opened: Timestamp) -> Self {
        let ends = one_version(dialler, dialled);
        Self { ends, opened, conversation: Mutex::new(Conversation::new(opened)) }
    }
}

/// Addresses that can stand in one packet: where the versions differ, IPv4 is written as IPv6 (RFC 4291 2.5.5.2).
fn one_version(dialler: SocketAddr, dialled: SocketAddr) -> [SocketAddr; 2] {
    let ends = [dialler, dialled].map(|end| SocketAddr::new(end.ip().to_canonical(), end.port()));
    if ends[0].is_ipv4() == ends[1].is_ipv4() {
        return ends;
    }
    ends.map(|end| match end.ip() {
        IpAddr::V4(address) => SocketAddr::new(address.to_ipv6_mapped().into(), end.port()),
        IpAddr::V6(_) => end,
    })
}

/// How the queue stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStatus {
    /// Bytes that wait.
    pub bytes: usize,
    /// Bytes that may wait.
    pub limit: usize,
    /// Events that wait.
    pub events: usize,
    /// Bytes relayed that found no room.
    pub lost_bytes: u64,
    /// Other events that found no room.
    pub lost_events: u64,
}

/// The queue's near end.
#[derive(Debug)]
pub struct Queue {
    sender: Sender<Event>,
    bytes: Arc<AtomicUsize>,
    limit: usize,
    lost_bytes: AtomicU64,
    lost_events: AtomicU64,
    closed: Arc<AtomicBool>,
}

/// The queue's far end.
#[derive(Debug)]
pub struct Events {
    /// What comes out.
    pub receiver: Receiver<Event>,
    bytes: Arc<AtomicUsize>,
    closed: Arc<AtomicBool>,
}

impl Queue {
    /// A queue for at most `limit` bytes.
    pub fn new(limit: usize) -> (Self, Events) {
        let (sender, receiver) = bounded(EVENTS);
        let bytes = Arc::new(AtomicUsize::new(0));
        let closed = Arc::new(AtomicBool::new(false));
        let queue = Self {
            sender,
            bytes: bytes.clone(),
            limit,
            lost_bytes: AtomicU64::new(0),
            lost_events: AtomicU64::new(0),
            closed: closed.clone(),
        };
        (queue, Events { receiver, bytes, closed })
    }

    /// Nothing more will come.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// How it stands.
    pub fn status(&self) -> QueueStatus {
        QueueStatus {
            bytes: self.bytes.load(Ordering::Relaxed),
            limit: self.limit,
            events: self.sender.len(),
            lost_bytes: self.lost_bytes.load(Ordering::Relaxed),
            lost_events: self.lost_events.load(Ordering::Relaxed),
        }
    }

    /// Whether it found room.
    fn put(&self, event: Event) -> bool {
        let length = event.what.length();
        // Events without bytes may use the last quarter: an end is worth more than what came before it.
        if length > 0
            && (self.bytes.load(Ordering::Relaxed) + length > self.limit || self.sender.len() > EVENTS / 4 * 3)
        {
            return false;
        }
        self.bytes.fetch_add(length, Ordering::Relaxed);
        match self.sender.try_send(event) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.bytes.fetch_sub(length, Ordering::Relaxed);
                false
            }
        }
    }
}

impl Events {
    /// Whether nothing more will come but what is in the queue.
    pub fn closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The event was dealt with.
    pub fn done(&self, event: &Event) {
        self.bytes.fetch_sub(event.what.length(), Ordering::Relaxed);
    }
}

impl What {
    fn length(&self) -> usize {
        if let Self::Bytes(_, bytes) = self { bytes.len() } else { 0 }
    }
}

/// Where one connection's relay puts its copies.
#[derive(Debug)]
pub struct Tap {
    queue: Arc<Queue>,
    flow: Arc<Flow>,
    missing: [AtomicU64; 2],
}

impl Tap {
    /// For the connection between these, which began at `opened`.
    pub fn new(queue: Arc<Queue>, dialler: SocketAddr, dialled: SocketAddr, opened: Timestamp) -> Self {
        Self { queue, flow: Arc::new(Flow::new(dialler, dialled, opened)), missing: Default::default() }
    }

    /// When the connection began.
    pub fn opened(&self) -> Timestamp {
        self.flow.opened
    }

    /// Neither side sends anything more, `first` before the other.
    pub fn finish(&self, time: Timestamp, first: Side) {
        [first, first.other()].into_iter().for_each(|side| self.put(time, What::Finished(side)));
    }

    /// Hands on what happened at `time`, if there is room for it.
    pub fn put(&self, time: Timestamp, what: What) {
        let counted = if let What::Bytes(side, bytes) = &what { Some((*side, bytes.len() as u64)) } else { None };
        let missing = [0, 1].map(|side| self.missing[side].swap(0, Ordering::Relaxed));
        if self.queue.put(Event { flow: self.flow.clone(), time, missing, what }) {
            return;
        }
        for (kept, count) in self.missing.iter().zip(missing) {
            kept.fetch_add(count, Ordering::Relaxed);
        }
        match counted {
            Some((side, count)) => {
                self.missing[side as usize].fetch_add(count, Ordering::Relaxed);
                self.queue.lost_bytes.fetch_add(count, Ordering::Relaxed);
            }
            None => _ = self.queue.lost_events.fetch_add(1, Ordering::Relaxed),
        }
    }
}
