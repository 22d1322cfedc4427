//! What the proxy is doing, for whoever looks. In: what relays count and say. Out: a [`Panel`], a snapshot.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::relay::Counters;
use super::report::{HandOff, Refusal};
use super::tap::QueueStatus;
use crate::capture::recording::RecordingStatus;
use crate::time::Timestamp;

/// Connections that have ended and are still shown.
const ENDED: usize = 256;
/// Notices that are kept.
const NOTICES: usize = 256;

/// A snapshot of the proxy.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    /// Where it listens, and what for.
    pub listeners: Vec<(SocketAddr, String)>,
    /// Connections that stand.
    pub open: usize,
    /// Connections there have been.
    pub total: u64,
    /// Connections turned away because there were too many.
    pub turned_away: u64,
    /// Connections that were reset with bytes under way, because the proxy was stopped.
    pub cut: u64,
    /// By number: those that stand, and the last that ended.
    pub connections: Vec<Connection>,
    /// Bytes a second since the last snapshot: KM to controller, controller to KM.
    pub rates: [f64; 2],
    /// Bytes so far: KM to controller, controller to KM.
    pub bytes: [u64; 2],
    /// What waits to be recorded.
    pub queue: QueueStatus,
    /// How the recording stands.
    pub recording: RecordingStatus,
    /// What stays true and should worry: certificates that are not verified, and the like.
    pub warnings: Vec<String>,
    /// Why secrets could not be logged.
    pub key_log: Option<String>,
    /// What was said last.
    pub notices: Vec<(Timestamp, String)>,
}

/// A connection as the panel shows it.
#[derive(Clone, Debug)]
pub struct Connection {
    /// 1-based.
    pub number: u64,
    /// The KM's address.
    pub km: SocketAddr,
    /// The controller's address.
    pub controller: SocketAddr,
    /// When it was accepted.
    pub since: Timestamp,
    /// Bytes passed on: KM to controller, controller to KM.
    pub bytes: [u64; 2],
    /// How the sides were brought together; none before, and without TLS.
    pub hand_off: Option<Arc<HandOff>>,
    /// How it ended.
    pub ended: Option<String>,
}

/// A connection as its relay knows it.
#[derive(Debug)]
pub struct Entry {
    number: u64,
    ends: [SocketAddr; 2],
    /// Whether the KM is the side that was dialled.
    turned: bool,
    since: Timestamp,
    /// By side.
    pub counters: Counters,
    hand_off: Mutex<Option<Arc<HandOff>>>,
    ended: Mutex<Option<String>>,
}

impl Entry {
    /// How the sides were brought together.
    pub fn handed_off(&self, hand_off: Arc<HandOff>) {
        *lock(&self.hand_off) = Some(hand_off);
    }

    /// A side minded the other after all.
    pub fn refused(&self, refusal: Refusal) {
        let mut hand_off = lock(&self.hand_off);
        if let Some(known) = hand_off.as_deref() {
            *hand_off = Some(Arc::new(HandOff { refusal: Some(refusal), ..known.clone() }));
        }
    }

    fn snapshot(&self) -> Connection {
        let (mut ends, mut bytes) = (self.ends, self.counters.bytes());
        if self.turned {
            ends.swap(0, 1);
            bytes.swap(0, 1);
        }
        Connection {
            number: self.number,
            km: ends[0],
            controller: ends[1],
            since: self.since,
            bytes,
            hand_off: lock(&self.hand_off).clone(),
            ended: lock(&self.ended).clone(),
        }
    }
}

/// What all connections write down.
#[derive(Default)]
pub struct Board {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: BTreeMap<u64, Arc<Entry>>,
    ended: VecDeque<Arc<Entry>>,
    total: u64,
    turned_away: u64,
    cut: u64,
    /// Bytes of connections that are no longer shown, or have ended.
    bytes: [u64; 2],
    measured: Option<(Instant, [u64; 2])>,
    rates: [f64; 2],
    notices: VecDeque<(Timestamp, String)>,
}

impl Board {
    /// A new connection, if there are fewer than `most`.
    pub fn open(&self, ends: [SocketAddr; 2], turned: bool, since: Timestamp, most: usize) -> Option<Arc<Entry>> {
        let mut state = lock(&self.state);
        if state.open.len() >= most {
            state.turned_away += 1;
            return None;
        }
        state.total += 1;
        let number = state.total;
        let entry = Arc::new(Entry {
            number,
            ends,
            turned,
            since,
            counters: Counters::default(),
            hand_off: Mutex::default(),
            ended: Mutex::default(),
        });
        state.open.insert(number, entry.clone());
        Some(entry)
    }

    /// A connection has ended, and how.
    pub fn close(&self, entry: &Arc<Entry>, how: String) {
        *lock(&entry.ended) = Some(how);
        let mut state = lock(&self.state);
        state.open.remove(&entry.number);
        let bytes = entry.snapshot().bytes;
        state.bytes.iter_mut().zip(bytes).for_each(|(sum, bytes)| *sum += bytes);
        state.ended.push_back(entry.clone());
        if state.ended.len() > ENDED {
            state.ended.pop_front();
        }
    }

    /// A connection is reset with bytes under way.
    pub fn cut(&self) {
        lock(&self.state).cut += 1;
    }

    /// Connections that stand.
    pub fn standing(&self) -> usize {
        lock(&self.state).open.len()
    }

    /// Keeps what was said.
    pub fn note(&self, time: Timestamp, text: String) {
        let mut state = lock(&self.state);
        state.notices.push_back((time, text));
        if state.notices.len() > NOTICES {
            state.notices.pop_front();
        }
    }

    /// The part of the panel that is known here.
    pub fn snapshot(&self) -> Panel {
        let mut state = lock(&self.state);
        let standing: Vec<Connection> = state.open.values().map(|entry| entry.snapshot()).collect();
        let mut bytes = state.bytes;
        for connection in &standing {
            bytes.iter_mut().zip(connection.bytes).for_each(|(sum, bytes)| *sum += bytes);
        }
        state.measure(bytes);
        let mut connections: Vec<_> = state.ended.iter().map(|entry| entry.snapshot()).chain(standing).collect();
        connections.sort_by_key(|connection| connection.number);
        Panel {
            open: state.open.len(),
            total: state.total,
            turned_away: state.turned_away,
            cut: state.cut,
            connections,
            rates: state.rates,
            bytes,
            notices: state.notices.iter().cloned().collect(),
            ..Panel::default()
        }
    }
}

impl State {
    fn measure(&mut self, bytes: [u64; 2]) {
        let now = Instant::now();
        if let Some((then, before)) = self.measured {
            let seconds = (now - then).as_secs_f64();
            if seconds < 0.1 {
                return; // too short to say anything
            }
            self.rates = [0, 1].map(|side| bytes[side].saturating_sub(before[side]) as f64 / seconds);
        }
        self.measured = Some((now, bytes));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
