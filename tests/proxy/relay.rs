//! Plain connections: every byte, and every way to end.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use ckscope::capture::proxy::Options;
use socket2::SockRef;

use crate::harness::{
    Pair, Proxy, finish, is_reset, noise, patient, read_exactly, read_to_end, reset, sent, until, write,
};

#[test]
fn either_side_may_speak_first() {
    for km_first in [true, false] {
        let Pair { proxy, mut km, mut controller } = Pair::new();
        let (first, second) = if km_first { (&mut km, &mut controller) } else { (&mut controller, &mut km) };
        write(first, b"hello");
        assert_eq!(read_exactly(second, 5), b"hello");
        write(second, b"welcome");
        assert_eq!(read_exactly(first, 7), b"welcome");
        drop((km, controller));
        let recorded = proxy.recorded();
        let said: [&[u8]; 2] = if km_first { [b"hello", b"welcome"] } else { [b"welcome", b"hello"] };
        assert_eq!([0, 1].map(|side| sent(&recorded[0], side)), said.map(|said| (said.to_vec(), 0)));
    }
}

#[test]
fn both_ways_at_once_arrive_whole_and_are_recorded_so() {
    const LENGTH: usize = 3_000_000;
    let Pair { proxy, km, controller } = Pair::new();
    let ends = [(km, 7), (controller, 11)];
    let [heard_by_km, heard_by_controller] = thread::scope(|scope| {
        ends.map(|(mut stream, seed)| {
            let mut writer = stream.try_clone().unwrap();
            scope.spawn(move || {
                write(&mut writer, &noise(LENGTH, seed));
                finish(&writer);
            });
            scope.spawn(move || read_to_end(&mut stream))
        })
        .map(|reader| reader.join().unwrap())
    });
    assert!(heard_by_controller == noise(LENGTH, 7) && heard_by_km == noise(LENGTH, 11));
    let recorded = proxy.recorded();
    let sides = [0, 1].map(|side| sent(&recorded[0], side));
    assert!(sides == [(noise(LENGTH, 7), 0), (noise(LENGTH, 11), 0)]);
    let panel = proxy.running.panel();
    assert_eq!((panel.bytes, panel.open, panel.total), ([LENGTH as u64; 2], 0, 1));
}

#[test]
fn a_reset_behind_an_end_reaches_the_other_side_unasked() {
    for km_resets in [true, false] {
        let Pair { proxy, km, controller } = Pair::new();
        let (ending, mut other) = if km_resets { (km, controller) } else { (controller, km) };
        finish(&ending);
        assert_eq!(other.read(&mut [0]).unwrap(), 0);
        reset(ending);
        until("it is closed", || proxy.running.panel().open == 0);
        assert!(other.write(b"into nothing").is_err());
        assert_eq!(proxy.recorded().len(), 1);
    }
}

#[test]
fn urgent_bytes_stay_in_their_place() {
    let Pair { proxy, mut km, mut controller } = Pair::new();
    write(&mut km, b"abc");
    socket2::SockRef::from(&km).send_out_of_band(b"!").unwrap();
    write(&mut km, b"def");
    assert_eq!(read_exactly(&mut controller, 7), b"abc!def");
    drop((km, controller));
    assert_eq!(sent(&proxy.recorded()[0], 0), (b"abc!def".to_vec(), 0));
}

#[test]
fn a_side_that_ended_still_hears() {
    for km_ends in [true, false] {
        let Pair { proxy, mut km, mut controller } = Pair::new();
        let (ending, other) = if km_ends { (&mut km, &mut controller) } else { (&mut controller, &mut km) };
        write(ending, b"last words");
        finish(ending);
        assert_eq!(read_to_end(other), b"last words");
        write(other, b"understood");
        finish(other);
        assert_eq!(read_to_end(ending), b"understood");
        until("both ended", || proxy.running.panel().open == 0);
        assert_eq!(proxy.running.panel().connections[0].ended.as_deref(), Some("closed"));
    }
}

#[test]
fn a_side_that_says_nothing_may_end() {
    let Pair { proxy: _proxy, mut km, mut controller } = Pair::new();
    finish(&km);
    assert_eq!(read_to_end(&mut controller), b"");
    write(&mut controller, b"why?");
    drop(controller);
    assert_eq!(read_to_end(&mut km), b"why?");
}

#[test]
fn a_reset_reaches_the_other_side() {
    for (km_resets, talks) in [(true, true), (false, true), (true, false), (false, false)] {
        let Pair { proxy, mut km, mut controller } = Pair::new();
        if talks {
            write(&mut km, b"hello");
            assert_eq!(read_exactly(&mut controller, 5), b"hello");
        }
        let (resetting, mut other) = if km_resets { (km, controller) } else { (controller, km) };
        reset(resetting);
        assert!(is_reset(&mut other), "km_resets {km_resets}, talks {talks}");
        until("it ended", || proxy.running.panel().open == 0);
        let ended = proxy.running.panel().connections[0].ended.clone().unwrap();
        let who = if km_resets { "reset by the KM" } else { "reset by the controller" };
        // A controller that accepts and resets at once may do so before the proxy has seen that it accepted.
        assert!(ended == who || !km_resets && !talks && ended.contains("cannot be dialled"), "{ended}");
    }
}

#[test]
fn a_slow_reader_slows_the_writer_down_and_loses_nothing() {
    const LENGTH: usize = 40_000_000;
    let Pair { proxy, mut km, mut controller } = Pair::with(Options { queue: 1 << 30, ..Options::default() });
    let writer = thread::spawn(move || {
        write(&mut km, &noise(LENGTH, 3));
        finish(&km);
        km
    });
    // What sockets and relay hold is far less than what is to be sent.
    let mut before = [u64::MAX; 2];
    until("the writer is held up", || {
        thread::sleep(Duration::from_millis(200));
        let bytes = proxy.running.panel().bytes;
        let still = bytes == before && bytes[0] > 0;
        before = bytes;
        still
    });
    assert!(!writer.is_finished() && before[0] < LENGTH as u64);
    assert!(read_to_end(&mut controller) == noise(LENGTH, 3));
    drop((writer.join().unwrap(), controller));
    assert!(sent(&proxy.recorded()[0], 0) == (noise(LENGTH, 3), 0));
}

#[test]
fn a_refused_upstream_is_refused_to_the_km() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::before(nobody, Options::default());
    assert!(is_reset(&mut proxy.dial()));
    until("it is said", || proxy.said().contains("cannot be dialled: Connection refused"));
}

#[test]
fn an_upstream_that_does_not_answer_is_given_up() {
    // A listener whose queue is full answers no SYN.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let _waiting: Vec<_> = (0..3).map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(200))).collect();
    let proxy = Proxy::before(address, Options { connect: Duration::from_millis(300), ..Options::default() });
    assert!(is_reset(&mut proxy.dial()));
    until("it is said", || proxy.said().contains("no answer within 300ms"));
}

#[test]
fn garbage_in_place_of_a_client_hello_passes_untouched() {
    let cut_short = [&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &[0xaa; 600]].concat();
    for garbage in [&[22, 3, 1, 0, 5, 1, 0, 0, 1, 7][..], &[22, 3, 1, 0xff, 0xff, 1, 2, 3, 4, 5], &cut_short] {
        let Pair { proxy, mut km, mut controller } = Pair::new();
        write(&mut km, garbage);
        assert_eq!(read_exactly(&mut controller, garbage.len()), garbage);
        write(&mut controller, b"what?");
        assert_eq!(read_exactly(&mut km, 5), b"what?");
        drop((km, controller));
        assert_eq!(sent(&proxy.recorded()[0], 0), (garbage.to_vec(), 0));
    }
}

#[test]
fn a_client_hello_that_never_ends_passes_after_a_while() {
    let Pair { proxy: _proxy, mut km, mut controller } =
        Pair::with(Options { handshake: Duration::from_millis(200), ..Options::default() });
    write(&mut km, &[22, 3, 1, 2, 0, 1]);
    assert_eq!(read_exactly(&mut controller, 6), [22, 3, 1, 2, 0, 1]);
}

#[test]
fn tls_passes_unopened_where_there_is_no_authority() {
    let hello = client_hello();
    let Pair { proxy, mut km, mut controller } = Pair::new();
    assert!(proxy.running.panel().warnings[0].contains("ckscope ca init"));
    write(&mut km, &hello);
    assert_eq!(read_exactly(&mut controller, hello.len()), hello);
}

fn client_hello() -> Vec<u8> {
    let config = rustls::ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let mut connection = rustls::ClientConnection::new(config.into(), "peer.lab".try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello
}

#[test]
fn connections_beyond_the_limit_are_reset() {
    let Pair { proxy, mut km, mut controller } = Pair::with(Options { connections: 1, ..Options::default() });
    write(&mut km, b"first");
    assert_eq!(read_exactly(&mut controller, 5), b"first");
    assert!(is_reset(&mut proxy.dial()));
    until("it is counted", || proxy.running.panel().turned_away == 1);
    write(&mut km, b"still");
    assert_eq!(read_exactly(&mut controller, 5), b"still");
}

#[test]
fn a_stop_lets_what_is_under_way_arrive() {
    const LENGTH: usize = 20_000_000;
    let Pair { proxy, mut km, mut controller } =
        Pair::with(Options { queue: 1 << 30, drain: crate::harness::PATIENCE, ..Options::default() });
    let writer = thread::spawn(move || {
        write(&mut km, &noise(LENGTH, 5));
        km
    });
    until("it is under way", || proxy.running.panel().bytes[0] > 0);
    proxy.running.stop();
    let heard = read_to_end(&mut controller);
    assert!(heard == noise(LENGTH, 5), "{} of {LENGTH} bytes", heard.len());
    let mut km = writer.join().unwrap();
    assert_eq!(read_to_end(&mut km), b"");
    proxy.running.finish();
    assert!(TcpStream::connect(proxy.address()).is_err());
}

#[test]
fn what_has_not_arrived_when_a_stop_is_over_is_reset_and_said() {
    let Pair { proxy, mut km, mut controller } =
        Pair::with(Options { drain: Duration::from_millis(100), ..Options::default() });
    fill(&mut km);
    proxy.running.finish();
    let panel = proxy.running.panel();
    assert_eq!((panel.open, panel.cut), (0, 1));
    assert!(proxy.said().contains("reset when the time to drain was over"), "{}", proxy.said());
    assert!(is_reset(&mut controller) && is_reset(&mut km));
}

#[test]
fn what_only_the_system_holds_has_not_arrived_either() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Options { drain: Duration::from_millis(100), ..Options::default() };
    let proxy = Proxy::before(listener.local_addr().unwrap(), options);
    let mut km = proxy.dial();
    let mut controller = patient(listener.accept().unwrap().0);
    SockRef::from(&controller).set_recv_buffer_size(4096).unwrap();
    // More than the controller's window, and less than the proxy's socket takes.
    write(&mut km, &noise(1_000_000, 3));
    until("the proxy has written it", || proxy.running.panel().bytes[0] == 1_000_000);
    proxy.running.finish();
    assert_eq!(proxy.running.panel().cut, 1);
    assert!(is_reset(&mut controller) && is_reset(&mut km));
}

/// Writes more than anyone takes: nobody reads at the other end.
fn fill(stream: &mut TcpStream) {
    stream.set_nonblocking(true).unwrap();
    let mut refused = 0;
    while refused < 10 {
        if stream.write(&[1; 65536]).is_ok() {
            refused = 0;
        } else {
            refused += 1;
            thread::sleep(Duration::from_millis(20));
        }
    }
    stream.set_nonblocking(false).unwrap();
}

#[test]
fn whoever_cannot_wait_for_a_stop_has_it_reset() {
    let options = Options { drain: crate::harness::PATIENCE, ..Options::default() };
    let Pair { proxy, mut km, mut controller } = Pair::with(options);
    fill(&mut km);
    proxy.running.stop();
    proxy.running.hurry();
    assert_eq!((proxy.running.panel().open, proxy.running.panel().cut), (0, 1));
    assert!(is_reset(&mut controller) && is_reset(&mut km));
}

#[test]
fn a_stop_waits_for_nobody_who_has_said_nothing() {
    let options = Options { drain: 10 * crate::harness::PATIENCE, ..Options::default() };
    let Pair { proxy, mut km, mut controller } = Pair::with(options);
    proxy.running.stop();
    assert_eq!((read_to_end(&mut km), read_to_end(&mut controller)), (Vec::new(), Vec::new()));
    proxy.running.finish();
    let connections = ckscope_connections(&proxy);
    assert!(connections.contains("closed by FIN"), "{connections}");
}

fn ckscope_connections(proxy: &Proxy) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ckscope"));
    let output = command.arg("connections").arg(proxy.capture()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_stop_waits_for_an_answer() {
    let Pair { proxy, mut km, mut controller } = Pair::new();
    write(&mut km, b"question");
    assert_eq!(read_exactly(&mut controller, 8), b"question");
    proxy.running.stop();
    thread::sleep(Duration::from_millis(300));
    write(&mut controller, b"answer");
    assert_eq!(read_to_end(&mut km), b"answer");
    proxy.running.finish();
    assert_eq!(proxy.running.panel().cut, 0);
}

#[test]
fn an_ipv4_km_may_have_an_ipv6_controller() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else { return eprintln!("skipped: no IPv6 here") };
    let proxy = Proxy::before(listener.local_addr().unwrap(), Options::default());
    let mut km = proxy.dial();
    let mut controller = patient(listener.accept().unwrap().0);
    write(&mut km, b"hello");
    assert_eq!(read_exactly(&mut controller, 5), b"hello");
    drop((km, controller));
    assert_eq!(sent(&proxy.recorded()[0], 0), (b"hello".to_vec(), 0));
}
