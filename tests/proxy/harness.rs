//! A proxy between two plain sockets, and what it recorded.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ckscope::capture::growing::Growing;
use ckscope::capture::proxy::recorder::Record;
use ckscope::capture::proxy::{self, Options, Party, Route, Running, Upstream};
use ckscope::capture::recording::{self, Recording};
use socket2::SockRef;

use crate::support::Files;
use crate::support::analysis::{PLAIN, analyze_file};
use crate::support::tls::{Chunk, Recorded, connections};

/// Nothing here takes as long, unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Proxy {
    pub running: Running,
    pub said: Arc<Mutex<Vec<String>>>,
    files: Files,
}

impl Proxy {
    /// In front of `upstream`, recording into a file.
    pub fn before(upstream: SocketAddr, options: Options) -> Self {
        Self::dialled_by(Party::Km, upstream, options)
    }

    pub fn dialled_by(dialler: Party, upstream: SocketAddr, options: Options) -> Self {
        let files = Files::new();
        let path = Some(files.path().join("out.pcapng"));
        let recording = Recording::create(recording::Options { path, ..Default::default() }, Growing::new()).unwrap();
        Self::start(dialler, upstream, options, recording, files)
    }

    pub fn recording(upstream: SocketAddr, options: Options, record: impl Record + 'static, files: Files) -> Self {
        Self::start(Party::Km, upstream, options, record, files)
    }

    fn start(
        dialler: Party,
        upstream: SocketAddr,
        options: Options,
        record: impl Record + 'static,
        files: Files,
    ) -> Self {
        let route = Route { dialler, listen: ([127, 0, 0, 1], 0).into(), upstream: Upstream::To(upstream) };
        let said = Arc::new(Mutex::new(Vec::new()));
        let say = said.clone();
        let options = Options { routes: vec![route], ..options };
        let hear = Arc::new(move |text: &str| say.lock().unwrap().push(text.to_owned()));
        Self { running: proxy::start(options, || Ok(record), hear).unwrap(), said, files }
    }

    pub fn address(&self) -> SocketAddr {
        self.running.listening()[0]
    }

    /// Dials, as a KM.
    pub fn dial(&self) -> TcpStream {
        patient(TcpStream::connect(self.address()).unwrap())
    }

    pub fn capture(&self) -> PathBuf {
        self.files.path().join("out.pcapng")
    }

    /// Stops it, and gives the connections that it recorded, in order.
    pub fn recorded(&self) -> Vec<Recorded> {
        self.running.finish();
        connections(&self.capture()).0
    }

    /// What the recording says of its first connection, as the analysis reads it.
    pub fn told(&self) -> Vec<String> {
        let found = analyze_file(&self.capture(), PLAIN);
        let comments = found.connections()[0]["comments"].as_array().unwrap().clone();
        comments.iter().map(|comment| comment["text"].as_str().unwrap().to_owned()).collect()
    }

    /// Stops it, and tells how the first connection ended, as the analysis reads the recording.
    pub fn closed(&self) -> String {
        self.running.finish();
        analyze_file(&self.capture(), PLAIN).connections()[0]["closed"].as_str().unwrap().to_owned()
    }

    /// What was said so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }
}

/// Fails what would hang.
pub fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A KM and a controller that the proxy has connected.
pub struct Pair {
    pub proxy: Proxy,
    pub km: TcpStream,
    pub controller: TcpStream,
}

impl Pair {
    pub fn new() -> Self {
        Self::with(Options::default())
    }

    pub fn with(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::before(listener.local_addr().unwrap(), options);
        let km = proxy.dial();
        let controller = patient(listener.accept().unwrap().0);
        Self { proxy, km, controller }
    }
}

/// What a side sent, as recorded, and how many bytes are missing in it.
pub fn sent(recorded: &Recorded, side: usize) -> (Vec<u8>, u64) {
    let (mut bytes, mut missing) = (Vec::new(), 0);
    for (_, chunk) in recorded.chunks.iter().filter(|(by, _)| *by as usize == side) {
        match chunk {
            Chunk::Bytes(more, _) => bytes.extend_from_slice(more),
            Chunk::Gap(count) => missing += count,
        }
    }
    (bytes, missing)
}

/// Bytes that repeat nowhere near.
pub fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    let next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    // The first byte begins no hand-shake record.
    std::iter::once(1).chain(std::iter::repeat_with(next)).take(length).collect()
}

pub fn read_exactly(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

pub fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

pub fn write(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
}

pub fn finish(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

/// Breaks the connection off.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Whether the other end broke it off, whatever it said before.
pub fn is_reset(stream: &mut TcpStream) -> bool {
    let end = std::iter::repeat_with(|| stream.read(&mut [0; 64])).find(|read| !matches!(read, Ok(1..)));
    matches!(end, Some(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionReset)
}

/// Waits until it is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
