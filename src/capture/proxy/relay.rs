//! Bytes from either side to the other, as they are. In: two connections. Out: how they ended. A side's end, its
//! reset and its alert reach the other side; a side that reads slowly slows the other down, and nothing else does.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::leg::{GOOD_BYE, Leg};
use super::now;
use super::tap::{Side, Tap, What};

/// Bytes read at once.
const BUFFER: usize = 64 * 1024;
/// How often it is looked at whether anything moves.
const GLANCE: Duration = Duration::from_millis(10);

/// Why a relay ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Both sides came to their end.
    Finished,
    /// A side broke the connection off.
    Reset(Side),
    /// A side said what it minds.
    Alert(Side, AlertDescription),
    /// A side's TLS broke.
    Failed(Side, String),
    /// The proxy was stopped.
    Stopped,
    /// The proxy was stopped, and so many bytes, or some that were still coming, did not arrive in time.
    Cut(usize),
}

/// Bytes passed on, by the side they came from.
#[derive(Debug, Default)]
pub struct Counters {
    /// By side.
    pub bytes: [AtomicU64; 2],
    /// Bytes that were read of a side and not written yet.
    held: [AtomicUsize; 2],
    /// When bytes moved last, in milliseconds since the relay began.
    moved: AtomicU64,
    /// By side: it left without close_notify.
    left: [AtomicBool; 2],
}

impl Counters {
    /// Bytes passed on so far.
    pub fn bytes(&self) -> [u64; 2] {
        [0, 1].map(|side| self.bytes[side].load(Ordering::Relaxed))
    }

    /// Whether a side ended its TCP connection without ending its TLS (RFC 8446 6.1).
    pub fn left(&self, side: Side) -> bool {
        self.left[side as usize].load(Ordering::Relaxed)
    }

    fn held(&self) -> usize {
        self.held.iter().map(|held| held.load(Ordering::Relaxed)).sum()
    }
}

/// A side as both directions share it.
struct Shared(Mutex<Leg>);

impl Shared {
    /// Both directions run in one task, so the lock is never held.
    fn leg(&self) -> MutexGuard<'_, Leg> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn into_leg(self) -> Leg {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        poll_fn(|cx| Pin::new(&mut *self.leg()).poll_read(cx, &mut buffer)).await?;
        Ok(buffer.filled().len())
    }

    async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = poll_fn(|cx| Pin::new(&mut *self.leg()).poll_write(cx, bytes)).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[count..];
        }
        poll_fn(|cx| Pin::new(&mut *self.leg()).poll_flush(cx)).await
    }

    async fn shutdown(&self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *self.leg()).poll_shutdown(cx)).await
    }

    async fn cut(&self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *self.leg()).poll_cut(cx)).await
    }
}

/// A relay of one connection.
pub struct Relay<'a> {
    ends: [Shared; 2],
    tap: &'a Tap,
    counters: &'a Counters,
    began: Instant,
    /// How long nothing must have moved before it counts as at rest.
    rest: Duration,
    /// A side has sent all it will.
    finished: [Notify; 2],
}

impl<'a> Relay<'a> {
    /// Between who dialled and who was dialled.
    pub fn new([dialler, dialled]: [Leg; 2], tap: &'a Tap, counters: &'a Counters, rest: Duration) -> Self {
        Self {
            ends: [dialler, dialled].map(|leg| Shared(Mutex::new(leg))),
            tap,
            counters,
            began: Instant::now(),
            rest,
            finished: Default::default(),
        }
    }

    /// Passes bytes on until both sides have ended, or one broke, or `stop` says so: then what is under way still
    /// arrives, if it does so before it is `over`.
    pub async fn run(self, stop: impl Future<Output = ()>, over: impl Future<Output = ()>) -> Ended {
        let both = async { tokio::try_join!(self.pump(Side::Dialler), self.pump(Side::Dialled)) };
        let ended = tokio::select! {
            ended = both => ended.err().unwrap_or(Ended::Finished),
            ended = self.drained(stop, over) => ended,
            ended = self.broken_behind_its_end(Side::Dialler) => ended,
            ended = self.broken_behind_its_end(Side::Dialled) => ended,
        };
        self.end(&ended).await;
        ended
    }

    async fn pump(&self, side: Side) -> Result<(), Ended> {
        let (from, to) = (&self.ends[side as usize], &self.ends[side.other() as usize]);
        let held = &self.counters.held[side as usize];
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = match from.read(&mut buffer).await {
                Ok(0) => break self.finished(side, to.shutdown().await),
                Ok(count) => count,
                // An end without close_notify is passed on as such.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.counters.left[side as usize].store(true, Ordering::Relaxed);
                    break self.finished(side, to.cut().await);
                }
                Err(error) => return Err(broken(side, &error)),
            };
            held.store(count, Ordering::Relaxed);
            self.moved();
            if let Err(error) = to.write_all(&buffer[..count]).await {
                // Whoever minds something and closes at once is found gone here, and heard by the other direction.
                tokio::time::sleep(GOOD_BYE).await;
                return Err(broken(side.other(), &error));
            }
            held.store(0, Ordering::Relaxed);
            self.moved();
            self.counters.bytes[side as usize].fetch_add(count as u64, Ordering::Relaxed);
            self.tap.put(now(), What::Bytes(side, buffer[..count].to_vec()));
        }
        Ok(())
    }

    /// A side has come to its end and the other was told; if that side is gone already, it needs no telling.
    fn finished(&self, side: Side, _told: io::Result<()>) {
        self.tap.put(now(), What::Finished(side));
        self.finished[side as usize].notify_one();
    }

    /// A side that has sent its end can still break off what it receives, which no reading would tell.
    async fn broken_behind_its_end(&self, side: Side) -> Ended {
        self.finished[side as usize].notified().await;
        let watched = self.ends[side as usize].leg().wire().watched();
        match watched {
            Ok(watched) => _ = watched.ready(Interest::ERROR).await, // an error of it means that the runtime is gone
            Err(_) => std::future::pending().await,                  // without a descriptor more, writing will tell
        }
        Ended::Reset(side)
    }

    fn moved(&self) {
        self.counters.moved.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// How long nothing has moved, and nothing has had to.
    fn quiet(&self) -> Duration {
        let moved = Duration::from_millis(self.counters.moved.load(Ordering::Relaxed));
        if self.under_way() > 0 { Duration::ZERO } else { self.began.elapsed().saturating_sub(moved) }
    }

    /// Bytes that were read of a side, and that the other has not taken.
    fn under_way(&self) -> usize {
        self.counters.held() + self.ends.iter().map(|end| end.leg().wire().unsent()).sum::<usize>()
    }

    /// Waits for `stop`, and then until it is quiet.
    async fn drained(&self, stop: impl Future<Output = ()>, over: impl Future<Output = ()>) -> Ended {
        stop.await;
        let rest = async {
            while self.quiet() < self.rest {
                tokio::time::sleep(GLANCE).await;
            }
        };
        tokio::select! {
            () = rest => Ended::Stopped,
            () = over => if self.quiet() < GLANCE { Ended::Cut(self.under_way()) } else { Ended::Stopped },
        }
    }

    /// What the sides get to see of it.
    async fn end(self, ended: &Ended) {
        let now = now();
        match ended {
            Ended::Finished => {}
            Ended::Reset(side) => {
                self.tap.put(now, What::Reset(*side));
                self.ends.iter().for_each(|end| end.leg().wire().reset_on_drop());
            }
            Ended::Cut(_) => {
                [Side::Dialler, Side::Dialled].into_iter().for_each(|side| self.tap.put(now, What::Reset(side)));
                self.ends.iter().for_each(|end| end.leg().wire().reset_on_drop());
            }
            Ended::Alert(side, _) | Ended::Failed(side, _) => {
                let alert = if let Ended::Alert(_, alert) = ended { Some(*alert) } else { None };
                self.tap.finish(now, *side);
                let [dialler, dialled] = self.ends.map(Shared::into_leg);
                let (guilty, other) = if *side == Side::Dialler { (dialler, dialled) } else { (dialled, dialler) };
                tokio::join!(guilty.leave(None), other.leave(alert));
            }
            Ended::Stopped => {
                let both = async { tokio::join!(self.ends[0].shutdown(), self.ends[1].shutdown()) };
                let _ = tokio::time::timeout(GOOD_BYE, both).await; // whoever does not listen is not waited for
                self.tap.finish(now, Side::Dialler);
            }
        }
    }
}

/// What an error of a side means.
fn broken(side: Side, error: &io::Error) -> Ended {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => Ended::Alert(side, *alert),
        Some(error) => Ended::Failed(side, error.to_string()),
        None => Ended::Reset(side),
    }
}
