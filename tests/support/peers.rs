//! Conversations between TLS stacks that are not ours, through a relay that records what they say.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ckscope::stream::Side;
use ckscope::tls::Secrets;

use super::Files;
use super::tls::Recorded;

/// A program that goes away with the value.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("the program starts"))
    }

    fn ends(&mut self) -> (ChildStdin, ChildStdout) {
        (self.0.stdin.take().expect("stdin is piped"), self.0.stdout.take().expect("stdout is piped"))
    }
}

pub fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Whether a program can be run; says so if not.
pub fn is_there(program: &str) -> bool {
    let version = if program == "openssl" { "version" } else { "--version" };
    let found = quiet(program).arg(version).stdin(Stdio::null()).stdout(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// Passes one connection on and keeps what was said, in the order in which it arrived.
fn relay(listener: TcpListener, server: u16) -> thread::JoinHandle<Recorded> {
    thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
        let recorded = Arc::new(Mutex::new(Recorded::default()));
        let pump = |from: &TcpStream, to: &TcpStream, side| {
            let (mut from, mut to, recorded) = (from.try_clone().unwrap(), to.try_clone().unwrap(), recorded.clone());
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    recorded.lock().unwrap().say(side, &buffer[..count]);
                    if to.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
                _ = to.shutdown(Shutdown::Write);
            })
        };
        let ways = [pump(&client, &server, Side::Initiator), pump(&server, &client, Side::Responder)];
        ways.into_iter().for_each(|way| way.join().unwrap());
        recorded.lock().unwrap().clone()
    })
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whether somebody listens. Asked of the system: a connection would be the server's first client, and binding could
/// take the port away from it.
fn has_listener(port: u16) -> bool {
    let (local, listening) = (format!(":{port:04X}"), "0A");
    let is_it = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|address| address.ends_with(&local)) && words.nth(1) == Some(listening)
    };
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
    tables.iter().any(|table| table.lines().any(is_it))
}

/// Keys and certificates, and a place for logs.
pub struct Pki(pub Files);

impl Pki {
    pub fn new() -> Self {
        let files = Files::new();
        for (name, options) in [("rsa", &["rsa:2048"][..]), ("ec", &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"])] {
            let mut made = quiet("openssl");
            made.args(["req", "-x509", "-nodes", "-days", "2", "-subj", &format!("/O=Lab/CN=peer-{name}")]);
            made.args(["-addext", "subjectAltName=DNS:peer.lab,IP:192.0.2.1", "-newkey"]).args(options);
            made.arg("-keyout").arg(files.path().join(format!("{name}.key")));
            made.arg("-out").arg(files.path().join(format!("{name}.pem")));
            assert!(made.status().unwrap().success(), "openssl makes a certificate");
        }
        Self(files)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Certificate and key, as options, of the kind that a suite wants.
    pub fn identity(&self, suite: &str, options: [&str; 2]) -> [String; 4] {
        let name = if suite.contains("ECDSA") { "ec" } else { "rsa" };
        let path = |end: &str| self.file(&format!("{name}.{end}")).display().to_string();
        [options[0].to_owned(), path("pem"), options[1].to_owned(), path("key")]
    }
}

/// A conversation: what was recorded, and the client's key log.
pub struct Conversation {
    pub recorded: Recorded,
    pub key_log: String,
}

impl Conversation {
    pub fn secrets(&self) -> Secrets {
        super::tls::secrets(&self.key_log)
    }
}

/// What the ends say in turn, each after it heard what was said before.
pub enum Say<'a> {
    Client(&'a [u8]),
    Server(&'a [u8]),
    /// From the client, to whom the server says it back.
    Echo(&'a [u8]),
    /// To the client program, which says nothing of it: a command.
    Command(&'a [u8]),
    /// The server has heard this, which the client program was told to say by other means.
    Hears(&'a [u8]),
    /// The client comes to the end of its input, and goes.
    Close,
}

/// A server program, and how to reach it.
pub struct Server {
    running: Running,
    ends: (ChildStdin, ChildStdout),
    port: u16,
}

impl Server {
    /// `openssl s_server` with `options`, for as many clients as come, one after the other.
    pub fn openssl(pki: &Pki, suite: &str, options: &[&str]) -> Self {
        Self::start(|port| {
            let mut command = quiet("openssl");
            command.args(["s_server", "-quiet", "-accept", &port.to_string()]);
            command.args(pki.identity(suite, ["-cert", "-key"])).args(options);
            command
        })
    }

    /// `gnutls-serv`, which echoes lines.
    pub fn gnutls(pki: &Pki, suite: &str, priority: &str) -> Self {
        Self::start(|port| {
            let mut command = quiet("gnutls-serv");
            command.args(["--echo", "--disable-client-cert", "-q", "--priority", priority]);
            command.args(["--port", &port.to_string()]);
            command.args(pki.identity(suite, ["--x509certfile", "--x509keyfile"]));
            command
        })
    }

    /// A free port may be somebody else's by the time the server asks for it; then it goes, and tries another.
    fn start(command: impl Fn(u16) -> Command) -> Self {
        for _ in 0..10 {
            let port = free_port();
            let mut running = Running::start(&mut command(port));
            let ends = running.ends();
            let mut server = Self { running, ends, port };
            while server.is_alive() {
                if has_listener(port) {
                    return server;
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        panic!("no server could listen on any of ten free ports");
    }

    /// `openssl s_client` with `options` has a conversation.
    pub fn openssl_client(&mut self, pki: &Pki, options: &[&str], script: &[Say<'_>]) -> Conversation {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let log = pki.file(&format!("{}.log", self.port));
        _ = std::fs::remove_file(&log);
        let mut command = quiet("openssl");
        command.args(["s_client", "-connect", &listener.local_addr().unwrap().to_string(), "-keylogfile"]).arg(&log);
        command.args(options);
        self.converse(listener, command, &log, script)
    }

    /// `gnutls-cli` has a conversation.
    pub fn gnutls_client(&mut self, pki: &Pki, priority: &str, script: &[Say<'_>]) -> Conversation {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let log = pki.file(&format!("{}.log", self.port));
        _ = std::fs::remove_file(&log);
        let mut command = quiet("gnutls-cli");
        command.env("SSLKEYLOGFILE", &log).args(["--insecure", "--priority", priority, "--port"]);
        command.args([&listener.local_addr().unwrap().port().to_string(), "127.0.0.1"]);
        self.converse(listener, command, &log, script)
    }

    fn converse(
        &mut self,
        listener: TcpListener,
        mut command: Command,
        log: &Path,
        script: &[Say<'_>],
    ) -> Conversation {
        let recorded = relay(listener, self.port);
        let mut client = Running::start(&mut command);
        let (input, mut output) = client.ends();
        let mut mouth = Some(input);
        for say in script {
            let Some(mut input) = mouth.take() else { break };
            match say {
                Say::Close => {
                    drop(input);
                    client.0.wait().unwrap();
                    continue;
                }
                Say::Client(text) => say_and_hear(&mut input, &mut self.ends.1, text),
                Say::Server(text) => say_and_hear(&mut self.ends.0, &mut output, text),
                Say::Echo(text) => say_and_hear(&mut input, &mut output, text),
                Say::Hears(text) => hear(&mut self.ends.1, text),
                Say::Command(text) => {
                    // A command must be all that the client reads at once, and be carried out before it reads on.
                    thread::sleep(Duration::from_millis(200));
                    input.write_all(text).unwrap();
                    thread::sleep(Duration::from_millis(200));
                }
            }
            mouth = Some(input);
        }
        drop((mouth, output, client));
        let key_log = std::fs::read_to_string(log).unwrap_or_default();
        Conversation { recorded: recorded.join().unwrap(), key_log }
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.running.0.try_wait().is_ok_and(|status| status.is_none())
    }
}

/// Says `text` to one program while the other is listened to until it has it.
fn say_and_hear(mouth: &mut ChildStdin, ear: &mut ChildStdout, text: &[u8]) {
    thread::scope(|scope| {
        scope.spawn(|| mouth.write_all(text).and_then(|()| mouth.flush()));
        hear(ear, text);
    });
}

/// Listens until `text` was heard, or nothing more will be.
fn hear(ear: &mut ChildStdout, text: &[u8]) {
    let (mut heard, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    while !text.is_empty() && !heard.windows(text.len()).any(|part| part == text) {
        match ear.read(&mut buffer) {
            Ok(count @ 1..) => heard.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
}
