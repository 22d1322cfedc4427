//! Holds back what a TLS server says first, until it is known who the client is. In: the server's records. Out: what
//! stands in them ([`Flight`]), while the rest waits. That is how the server is shown the client's certificate and the
//! client the server's, although each speaks only after it saw the other's.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::peek::{Flight, Peek, Verdict};
use super::secrets::Secrets;

/// Bytes of a record's header (RFC 8446 5.1).
const HEADER: usize = 5;
/// Longest body of a record (RFC 5246 6.2.3).
const RECORD: usize = (1 << 14) + 2048;
/// A first flight that is longer is not waited for.
const FLIGHT: usize = 256 * 1024;

/// See the module.
#[derive(Debug)]
pub struct Gate {
    peek: Peek,
    /// Bytes looked at, and bytes that may be given.
    scanned: usize,
    passed: usize,
    /// Whom to tell; then the rest is held.
    tell: Option<oneshot::Sender<Flight>>,
    release: oneshot::Receiver<()>,
}

/// What opens a gate, and hears what was seen there.
#[derive(Debug)]
pub struct Keeper {
    /// What was seen; closed if it was nothing that could be held.
    pub seen: oneshot::Receiver<Flight>,
    /// Opens the gate.
    pub release: oneshot::Sender<()>,
}

impl Gate {
    /// A gate, and who keeps it; `secrets` get to know the connection's keys.
    pub fn new(secrets: Arc<Secrets>) -> (Self, Keeper) {
        let (tell, seen) = oneshot::channel();
        let (release, released) = oneshot::channel();
        let gate = Self { peek: Peek::new(secrets), scanned: 0, passed: 0, tell: Some(tell), release: released };
        (gate, Keeper { seen, release })
    }

    /// Of what was read, so many bytes may be given; `given` of them were. None: the gate is open for good.
    pub fn poll(&mut self, cx: &mut Context<'_>, read: &[u8], given: usize) -> Poll<Option<usize>> {
        while self.tell.is_some() {
            if self.passed > given {
                return Poll::Ready(Some(self.passed));
            }
            let Some(record) = record(&read[self.scanned..]) else {
                let waits = may_be_record(&read[self.scanned..]) && read.len() <= FLIGHT;
                return Poll::Ready(waits.then_some(self.passed));
            };
            self.scanned += record.len();
            match self.peek.record(record[0], &record[HEADER..]) {
                Verdict::Pass => self.passed = self.scanned,
                Verdict::Hold => {}
                Verdict::Odd => return Poll::Ready(None),
                Verdict::Seen(flight) => {
                    let _ = self.tell.take().map(|tell| tell.send(*flight)); // the keeper may have given up
                }
            }
        }
        Pin::new(&mut self.release).poll(cx).map(|_| None)
    }
}

/// Whether a record may begin here: of a known type, of a version 3.x, and no longer than records are.
fn may_be_record(bytes: &[u8]) -> bool {
    let length = |header: &[u8; HEADER]| usize::from(u16::from_be_bytes([header[3], header[4]]));
    bytes.first().is_none_or(|kind| (20..=23).contains(kind))
        && bytes.get(1).is_none_or(|&major| major == 3)
        && bytes.first_chunk().is_none_or(|header| length(header) <= RECORD)
}

/// The record at the beginning, if it is there whole.
fn record(bytes: &[u8]) -> Option<&[u8]> {
    let &[_, _, _, high, low] = bytes.first_chunk()?;
    bytes.get(..HEADER + usize::from(u16::from_be_bytes([high, low])))
}
