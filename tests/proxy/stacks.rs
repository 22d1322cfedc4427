//! TLS stacks that talk to each other through the proxy, and tell whom they met.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use ckscope::lab::pki::Identity;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::harness::{patient, until};
use crate::pki::{Endpoint, local};
use crate::support::peers::{free_port, is_there};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    Rustls,
    OpenSsl,
    GnuTls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V12,
    V13,
}

impl Version {
    fn rustls(self) -> &'static rustls::SupportedProtocolVersion {
        match self {
            Self::V12 => &rustls::version::TLS12,
            Self::V13 => &rustls::version::TLS13,
        }
    }

    fn openssl(self) -> &'static str {
        match self {
            Self::V12 => "-tls1_2",
            Self::V13 => "-tls1_3",
        }
    }

    fn gnutls(self) -> &'static str {
        match self {
            Self::V12 => "NORMAL:-VERS-ALL:+VERS-TLS1.2",
            Self::V13 => "NORMAL:-VERS-ALL:+VERS-TLS1.3",
        }
    }
}

impl Stack {
    pub fn is_there(self) -> bool {
        match self {
            Self::Rustls => true,
            Self::OpenSsl => is_there("openssl"),
            Self::GnuTls => is_there("gnutls-cli") && is_there("gnutls-serv"),
        }
    }
}

/// Whom a peer met.
#[derive(Debug, Default)]
pub struct Met {
    /// The other's certificate, where the stack shows it.
    pub certificate: Option<CertificateDer<'static>>,
    pub alpn: Option<Vec<u8>>,
    pub group: Option<String>,
    /// What the stack says.
    pub text: String,
}

/// What the client says, and what the server answers.
pub const ASKED: &str = "what the client asks\n";
pub const ANSWERED: &str = "what the server answers\n";

/// A peer that is dialled.
pub enum Server {
    Thread(SocketAddr, thread::JoinHandle<io::Result<Met>>),
    Program(SocketAddr, Program, Stack),
}

impl Server {
    pub fn start(stack: Stack, version: Version, end: &Endpoint) -> Self {
        match stack {
            Stack::Rustls => {
                let listener = TcpListener::bind(local(0)).unwrap();
                let address = listener.local_addr().unwrap();
                let config = server_config(version, end);
                Self::Thread(address, thread::spawn(move || serve(patient(listener.accept()?.0), config)))
            }
            Stack::OpenSsl => {
                let command = || {
                    let mut command = Command::new("openssl");
                    command.args([
                        "s_server",
                        "-Verify",
                        "2",
                        "-verify_return_error",
                        "-x509_strict",
                        version.openssl(),
                    ]);
                    command.arg("-CAfile").arg(&end.trust).arg("-cert").arg(&end.certificate).arg("-key").arg(&end.key);
                    command
                };
                Self::program(stack, command, "-accept")
            }
            Stack::GnuTls => {
                let command = || {
                    let mut command = Command::new("gnutls-serv");
                    command.args(["--echo", "--require-client-cert", "--verify-client-cert"]);
                    command.args(["--priority", version.gnutls()]).arg("--x509cafile").arg(&end.trust);
                    command.arg("--x509certfile").arg(&end.certificate).arg("--x509keyfile").arg(&end.key);
                    command
                };
                Self::program(stack, command, "--port")
            }
        }
    }

    /// On a port that is free; another test may be faster to take it, so there is another try.
    fn program(stack: Stack, make: impl Fn() -> Command, option: &str) -> Self {
        let ready = if stack == Stack::OpenSsl { "ACCEPT" } else { "listening on IPv4 0.0.0.0 port" };
        let mut said = String::new();
        for _ in 0..10 {
            let port = free_port();
            let mut program = Program::start(make().args([option, &port.to_string()]));
            until("the server listens or has ended", || program.is_gone() || program.said().contains(ready));
            if !program.is_gone() && !program.said().contains("failed") {
                return Self::Program(local(port), program, stack);
            }
            said = program.said();
        }
        panic!("{stack:?} does not start: {said}");
    }

    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Thread(address, _) | Self::Program(address, ..) => *address,
        }
    }

    /// When the client has asked: answers, where the program does not by itself.
    pub fn answer(&mut self) {
        if let Self::Program(_, program, Stack::OpenSsl) = self {
            program.wait_for(ASKED.trim());
            program.say(ANSWERED);
        }
    }

    pub fn met(self) -> io::Result<Met> {
        match self {
            Self::Thread(_, thread) => thread.join().unwrap(),
            Self::Program(_, mut program, stack) => {
                if stack == Stack::GnuTls {
                    program.wait_for("DNSname"); // it tells of its client in its own time
                }
                Ok(program.met())
            }
        }
    }
}

/// Has a conversation with `server` through `through`: whom the client met, and whom the server met.
pub fn converse(
    stack: Stack,
    version: Version,
    end: &Endpoint,
    through: SocketAddr,
    mut server: Server,
) -> (io::Result<Met>, io::Result<Met>) {
    let answer = if matches!(server, Server::Program(_, _, Stack::GnuTls)) { ASKED } else { ANSWERED };
    let met = match stack {
        Stack::Rustls => {
            let (config, name) = (client_config(version, end), end.expects);
            let client = thread::spawn(move || ask(TcpStream::connect(through)?, config, name));
            server.answer();
            client.join().unwrap()
        }
        Stack::OpenSsl => {
            let mut command = Command::new("openssl");
            command.args(["s_client", "-connect", &through.to_string(), "-servername", end.expects]);
            command.args(["-verify_hostname", end.expects, "-verify_return_error", "-x509_strict", version.openssl()]);
            command.arg("-CAfile").arg(&end.trust).arg("-cert").arg(&end.certificate).arg("-key").arg(&end.key);
            Ok(ask_program(Program::start(&mut command), &mut server, answer))
        }
        Stack::GnuTls => {
            let mut command = Command::new("gnutls-cli");
            command.args(["--print-cert", "--priority", version.gnutls(), "--port", &through.port().to_string()]);
            command.arg(format!("--verify-hostname={}", end.expects));
            command.arg(format!("--sni-hostname={}", end.expects));
            command.arg("--x509cafile").arg(&end.trust).arg("--x509certfile").arg(&end.certificate);
            command.arg("--x509keyfile").arg(&end.key).arg("127.0.0.1");
            Ok(ask_program(Program::start(&mut command), &mut server, answer))
        }
    };
    (met, server.met())
}

fn ask_program(mut program: Program, server: &mut Server, answer: &str) -> Met {
    program.say(ASKED);
    server.answer();
    program.wait_for(answer.trim());
    program.met()
}

/// A program, and all that it says.
pub struct Program {
    child: Child,
    stdin: ChildStdin,
    said: Arc<Mutex<String>>,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        listen(stdout, said.clone());
        listen(stderr, said.clone());
        Self { stdin: child.stdin.take().unwrap(), child, said }
    }

    fn say(&mut self, text: &str) {
        let _ = self.stdin.write_all(text.as_bytes()); // a program that is gone is found by who waits for it
    }

    fn is_gone(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub fn wait_for(&mut self, text: &str) {
        until(text, || {
            let said = self.said();
            let gone = self.is_gone();
            assert!(!gone || said.contains(text), "it ended without saying {text:?}: {said}");
            said.contains(text)
        });
    }

    fn met(&self) -> Met {
        let text = self.said();
        let certificate = CertificateDer::pem_slice_iter(text.as_bytes()).next().and_then(Result::ok);
        Met { certificate, text, ..Met::default() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

fn listen(mut from: impl Read + Send + 'static, said: Arc<Mutex<String>>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            said.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    });
}

fn identity(end: &Endpoint) -> (Identity, Arc<RootCertStore>) {
    let identity = Identity::read(&end.trust, &end.certificate, &end.key).unwrap();
    let mut roots = RootCertStore::empty();
    identity.roots.iter().for_each(|root| roots.add(root.clone()).unwrap());
    (identity, Arc::new(roots))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

pub fn client_config(version: Version, end: &Endpoint) -> Arc<ClientConfig> {
    let (identity, roots) = identity(end);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider()).build().unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version.rustls()])
        .unwrap()
        .with_webpki_verifier(verifier);
    let mut config = match end.shows {
        // Whatever it is: rustls looks at it itself only where it has the choice.
        true => {
            let key = provider().key_provider.load_private_key(identity.key).unwrap();
            config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(identity.chain, key))))
        }
        false => config.with_no_client_auth(),
    };
    config.alpn_protocols = end.alpn.clone();
    Arc::new(config)
}

pub fn server_config(version: Version, end: &Endpoint) -> Arc<ServerConfig> {
    let (identity, roots) = identity(end);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build().unwrap();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version.rustls()])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain, identity.key)
        .unwrap();
    config.alpn_protocols = end.alpn.clone();
    Arc::new(config)
}

/// The client's part of a conversation.
pub fn ask(stream: TcpStream, config: Arc<ClientConfig>, name: &'static str) -> io::Result<Met> {
    let name = ServerName::try_from(name).unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(config, name).unwrap(), patient(stream));
    stream.write_all(ASKED.as_bytes())?;
    let mut answer = vec![0; ANSWERED.len().min(ASKED.len())];
    stream.read_exact(&mut answer)?;
    Ok(met(&stream.conn, &answer))
}

/// The server's part of a conversation.
pub fn serve(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<Met> {
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    let mut asked = vec![0; ASKED.len()];
    stream.read_exact(&mut asked)?;
    assert_eq!(asked, ASKED.as_bytes());
    stream.write_all(ANSWERED.as_bytes())?;
    let met = met(&stream.conn, &asked);
    // Until the client has got it: whoever closes with something unread resets the connection.
    stream.conn.send_close_notify();
    stream.flush()?;
    let _ = stream.sock.read(&mut [0; 512]);
    Ok(met)
}

fn met(connection: &rustls::CommonState, heard: &[u8]) -> Met {
    Met {
        certificate: connection.peer_certificates().map(|chain| chain[0].clone().into_owned()),
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        group: connection.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name())),
        text: String::from_utf8_lossy(heard).into_owned(),
    }
}
