//! Live capture. In: network interfaces of this machine, through libpcap, which is loaded when it is first needed. Out:
//! their packets, appended to a [`Recording`]. Refuses to know what is in them.
//!
//! Each interface has a thread of its own. One that goes away is waited for; what the system dropped because it was not
//! taken in time is counted.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pcap::{Active, Capture, Device, Precision};
use pcap_dl as _;
use thiserror::Error;

use super::LinkType;
use super::recording::{Recording, RecordingStatus};
use super::spool::Interface;
use crate::time::Timestamp;

/// How long the system gathers packets before it hands them on.
const GATHER: Duration = Duration::from_millis(20);
/// How long to wait where nothing has come: from the first to the last, doubling. Waiting inside libpcap would not come
/// back on a quiet interface.
const IDLE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(16));
/// How often what was recorded is flushed, and drops are asked for.
const FLUSH_EVERY: Duration = Duration::from_millis(50);
/// How often it is tried whether an interface that went away is back.
const RETRY_EVERY: Duration = Duration::from_millis(500);
/// The pseudo-interface that stands for all; it cannot be made promiscuous.
const ANY: &str = "any";

/// What to capture.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names of interfaces.
    pub interfaces: Vec<String>,
    /// A capture filter in libpcap's language (pcap-filter(7)).
    pub filter: Option<String>,
    /// Most bytes of a packet.
    pub snaplen: u32,
    /// Take what is not addressed to this machine, too.
    pub promiscuous: bool,
    /// Bytes that the system holds for us, for each interface.
    pub buffer: u32,
}

/// Why nothing can be captured.
#[derive(Debug, Error)]
pub enum LiveError {
    /// libpcap is not there.
    #[error(
        "live capture needs libpcap, which cannot be loaded ({0}); install it (Debian, Ubuntu: apt install libpcap0.8; \
         Fedora: dnf install libpcap), or pipe a capture in: dumpcap -w - | ckscope capture -i -"
    )]
    NoLibrary(String),
    /// The system does not let us.
    #[error("{interface}: no permission to capture; this command grants it once and for all: {command}")]
    Permission {
        /// Where.
        interface: String,
        /// What to type.
        command: String,
    },
    /// There is no such interface.
    #[error("{interface}: no such interface; there are {known}")]
    NoInterface {
        /// What was asked for.
        interface: String,
        /// Those that there are.
        known: String,
    },
    /// The capture filter means nothing.
    #[error("-f {filter:?}: {problem}; pcap-filter(7) describes the language, for example: tcp port 7164")]
    Filter {
        /// As given.
        filter: String,
        /// libpcap's word.
        problem: String,
    },
    /// Something else.
    #[error("{interface}: {problem}")]
    Other {
        /// Where.
        interface: String,
        /// libpcap's word.
        problem: String,
    },
}

/// An interface of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// What the system says of it, and its addresses.
    pub description: String,
}

/// The interfaces that can be captured on.
///
/// # Errors
/// libpcap is not there, or cannot list them.
pub fn interfaces() -> Result<Vec<Found>, LiveError> {
    pcap_dl::available().map_err(LiveError::NoLibrary)?;
    let other =
        |error: pcap::Error| LiveError::Other { interface: "interfaces".to_owned(), problem: error.to_string() };
    Ok(Device::list().map_err(other)?.into_iter().map(found).collect())
}

fn found(device: Device) -> Found {
    let state = if device.flags.is_up() { "up" } else { "down" };
    let addresses = device.addresses.iter().map(|address| address.addr.to_string());
    let words = device.desc.iter().cloned().chain([state.to_owned()]).chain(addresses);
    Found { name: device.name, description: words.collect::<Vec<_>>().join(", ") }
}

/// How a capture stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveStatus {
    /// By interface, in the order given.
    pub interfaces: Vec<InterfaceStatus>,
    /// How the recording stands.
    pub recording: RecordingStatus,
}

/// How the capture on one interface stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Packets taken.
    pub packets: u64,
    /// Packets that the system dropped, because its buffer was full.
    pub dropped: u64,
    /// Why nothing comes from it.
    pub problem: Option<String>,
}

/// A capture under way. It ends when this is dropped, or stopped.
pub struct Running {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    options: Options,
    stop: AtomicBool,
    /// Threads that have not ended.
    active: AtomicUsize,
    /// None when the last thread has ended.
    recording: Mutex<Option<Recording>>,
    status: Mutex<LiveStatus>,
}

/// Begins to capture into `recording`.
///
/// # Errors
/// An interface cannot be captured on: nothing is captured then.
pub fn start(options: Options, recording: Recording) -> Result<Running, LiveError> {
    pcap_dl::available().map_err(LiveError::NoLibrary)?;
    let opened: Vec<Capture<Active>> =
        options.interfaces.iter().map(|name| open(&options, name)).collect::<Result<_, _>>()?;
    let interface = |name: &String| InterfaceStatus { name: name.clone(), ..InterfaceStatus::default() };
    let interfaces = options.interfaces.iter().map(interface).collect();
    let status = LiveStatus { interfaces, recording: recording.status().clone() };
    let (stop, active) = (AtomicBool::new(false), AtomicUsize::new(opened.len()));
    let (recording, status) = (Mutex::new(Some(recording)), Mutex::new(status));
    let shared = Arc::new(Shared { options, stop, active, recording, status });
    let spawn = |(index, capture)| {
        let taker = Taker { shared: Arc::clone(&shared), index, interface: None, packets: 0, dropped: 0 };
        thread::Builder::new().name("ckscope-capture".to_owned()).spawn(move || taker.run(capture))
    };
    let threads: Result<Vec<_>, _> = opened.into_iter().enumerate().map(spawn).collect();
    let threads =
        threads.map_err(|error| LiveError::Other { interface: ANY.to_owned(), problem: error.to_string() })?;
    Ok(Running { shared, threads })
}

impl Running {
    /// Asks it to end, which takes a moment.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }

    /// How it stands.
    pub fn status(&self) -> LiveStatus {
        lock(&self.shared.status).clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        for thread in self.threads.drain(..) {
            // A panic was told on stderr by the thread itself.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Running({:?})", self.status())
    }
}

/// What is under such a lock is whole whenever the lock is free.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(options: &Options, name: &str) -> Result<Capture<Active>, LiveError> {
    let capture = Capture::from_device(name).map_err(|error| explain(name, error))?;
    let capture = capture
        .promisc(options.promiscuous && name != ANY)
        .snaplen(options.snaplen.min(i32::MAX as u32) as i32)
        .buffer_size(options.buffer.min(i32::MAX as u32) as i32)
        .timeout(GATHER.as_millis() as i32)
        .precision(Precision::Nano);
    let mut capture = capture.open().map_err(|error| explain(name, error))?;
    if let Some(filter) = &options.filter {
        let wrong = |error: pcap::Error| LiveError::Filter { filter: filter.clone(), problem: plain(&error) };
        capture.filter(filter, true).map_err(wrong)?;
    }
    capture.setnonblock().map_err(|error| explain(name, error))
}

/// libpcap's words without what its Rust crate puts before them.
fn plain(error: &pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What libpcap's words mean for a user.
fn explain(interface: &str, error: pcap::Error) -> LiveError {
    let (interface, problem) = (interface.to_owned(), plain(&error));
    let lower = problem.to_lowercase();
    if lower.contains("permission") || lower.contains("not permitted") {
        let program = std::env::current_exe().map_or_else(|_| "ckscope".to_owned(), |path| path.display().to_string());
        return LiveError::Permission {
            interface,
            command: format!("sudo setcap cap_net_raw,cap_net_admin=eip {program}"),
        };
    }
    if lower.contains("no such device") {
        let names = |found: Vec<Found>| found.into_iter().map(|found| found.name).collect::<Vec<_>>().join(", ");
        return LiveError::NoInterface { interface, known: interfaces().map_or_else(|_| "none".to_owned(), names) };
    }
    LiveError::Other { interface, problem }
}

/// The thread that takes packets from one interface.
struct Taker {
    shared: Arc<Shared>,
    index: usize,
    /// The number of the interface in the recording, and what was said of it there.
    interface: Option<(u32, LinkType)>,
    packets: u64,
    /// Packets that captures of this interface before the current one dropped.
    dropped: u64,
}

impl Taker {
    fn run(mut self, capture: Capture<Active>) {
        let mut capture = Some(capture);
        while !self.stops() {
            match capture.as_mut() {
                Some(open) => {
                    if let Err(problem) = self.take(open) {
                        self.note(open, Some(problem));
                        self.dropped = lock(&self.shared.status).interfaces[self.index].dropped;
                        capture = None;
                    }
                }
                None => {
                    thread::sleep(RETRY_EVERY);
                    let name = &self.shared.options.interfaces[self.index];
                    capture = open(&self.shared.options, name).ok();
                }
            }
        }
        if let Some(open) = &mut capture {
            self.note(open, None);
        }
    }

    fn stops(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    /// Takes packets until it is to stop or the interface fails.
    fn take(&mut self, capture: &mut Capture<Active>) -> Result<(), String> {
        let link = LinkType(u16::try_from(capture.get_datalink().0).unwrap_or(u16::MAX));
        let number = self.describe(link);
        self.note(capture, None);
        let (mut noted, mut idle) = (Instant::now(), IDLE.0);
        while !self.stops() {
            match capture.next_packet() {
                Ok(packet) => {
                    let header = packet.header;
                    // With nanosecond precision, nanoseconds stand where microseconds do else.
                    let nanoseconds = header.ts.tv_sec * 1_000_000_000 + header.ts.tv_usec;
                    if let Some(recording) = lock(&self.shared.recording).as_mut() {
                        recording.packet(number, Timestamp(nanoseconds), header.len, packet.data, &[]);
                    }
                    self.packets += 1;
                    idle = IDLE.0;
                }
                Err(pcap::Error::TimeoutExpired) => {
                    thread::sleep(idle);
                    idle = (idle * 2).min(IDLE.1);
                }
                Err(error) => return Err(plain(&error)),
            }
            if noted.elapsed() >= FLUSH_EVERY {
                self.note(capture, None);
                noted = Instant::now();
            }
        }
        Ok(())
    }

    /// The number of the interface in the recording.
    fn describe(&mut self, link: LinkType) -> u32 {
        match self.interface {
            Some((number, known)) if known == link => number,
            _ => {
                let Options { snaplen, interfaces, .. } = &self.shared.options;
                let interface = Interface { link, snaplen: *snaplen, name: interfaces[self.index].clone() };
                let number =
                    lock(&self.shared.recording).as_mut().map_or(0, |recording| recording.interface(&interface));
                self.interface = Some((number, link));
                number
            }
        }
    }

    /// Flushes the recording and tells how it stands.
    fn note(&self, capture: &mut Capture<Active>, problem: Option<String>) {
        let dropped = capture.stats().map_or(0, |stats| u64::from(stats.dropped) + u64::from(stats.if_dropped));
        let recording = lock(&self.shared.recording).as_mut().map(|recording| {
            recording.flush();
            recording.status().clone()
        });
        let mut status = lock(&self.shared.status);
        status.recording = recording.unwrap_or_else(|| status.recording.clone());
        let interface = &mut status.interfaces[self.index];
        interface.packets = self.packets;
        interface.dropped = interface.dropped.max(self.dropped + dropped);
        interface.problem = problem;
    }
}

impl Drop for Taker {
    /// The last one to leave ends the recording.
    fn drop(&mut self) {
        if self.shared.active.fetch_sub(1, Ordering::AcqRel) == 1 {
            let recording = lock(&self.shared.recording).take();
            drop(recording);
        }
    }
}
