//! The thread that records. In: events from the queue. Out: packets in a recording. Whatever it takes, the relays do
//! not wait for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use super::tap::{Event, Events};
use crate::capture::LinkType;
use crate::capture::recording::{Recording, RecordingStatus};
use crate::capture::spool::Interface;
use crate::time::Timestamp;

/// LINKTYPE_RAW: the IP packet alone.
const RAW: LinkType = LinkType(101);
/// What was recorded can be read after at most this long.
const FLUSH: Duration = Duration::from_millis(50);

/// Where packets are recorded. Nothing of it fails; what was lost stands in the status.
pub trait Record: Send {
    /// See [`Recording::interface`].
    fn interface(&mut self, interface: &Interface) -> u32;
    /// See [`Recording::packet`].
    fn packet(&mut self, interface: u32, time: Timestamp, bytes: &[u8], comments: &[&str]);
    /// See [`Recording::flush`].
    fn flush(&mut self);
    /// See [`Recording::status`].
    fn status(&self) -> RecordingStatus;
}

impl Record for Recording {
    fn interface(&mut self, interface: &Interface) -> u32 {
        Self::interface(self, interface)
    }

    fn packet(&mut self, interface: u32, time: Timestamp, bytes: &[u8], comments: &[&str]) {
        Self::packet(self, interface, time, bytes.len() as u32, bytes, comments);
    }

    fn flush(&mut self) {
        Self::flush(self);
    }

    fn status(&self) -> RecordingStatus {
        Self::status(self).clone()
    }
}

/// The status as others see it.
pub type Shared = Arc<Mutex<RecordingStatus>>;

/// Starts to record, until the queue is closed and empty.
pub fn start(events: Events, mut record: impl Record + 'static, status: Shared) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name("recorder".to_owned()).spawn(move || {
        let interface = Interface { link: RAW, snaplen: 0, name: "proxy".to_owned() };
        let mut recorder = Recorder { interface: record.interface(&interface), record, status, last: Timestamp(0) };
        recorder.run(&events);
    })
}

struct Recorder<R> {
    record: R,
    interface: u32,
    status: Shared,
    last: Timestamp,
}

impl<R: Record> Recorder<R> {
    fn run(&mut self, events: &Events) {
        let mut flushed = Instant::now();
        loop {
            match events.receiver.recv_timeout(FLUSH) {
                Ok(event) => {
                    self.event(&event);
                    events.done(&event);
                }
                Err(RecvTimeoutError::Timeout) if !events.closed() => {}
                Err(_) => return self.flush(),
            }
            if events.receiver.is_empty() || flushed.elapsed() >= FLUSH {
                self.flush();
                flushed = Instant::now();
            }
        }
    }

    fn event(&mut self, event: &Event) {
        let flow = &event.flow;
        let Self { record, interface, last, .. } = self;
        let mut conversation = flow.conversation.lock().unwrap_or_else(PoisonError::into_inner);
        conversation.advance(
            flow.ends,
            (flow.opened, event.time),
            event.missing,
            &event.what,
            &mut |time, packet, comments| {
                // Relays run side by side, so their events may overtake each other by moments.
                *last = (*last).max(time);
                record.packet(*interface, *last, packet, comments);
            },
        );
    }

    fn flush(&mut self) {
        self.record.flush();
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = self.record.status();
    }
}
