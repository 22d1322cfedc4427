//! What is recorded, and that nobody waits for it.

use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use ckscope::capture::Batch;
use ckscope::capture::file::Reader;
use ckscope::capture::proxy::Options;
use ckscope::capture::proxy::recorder::Record;
use ckscope::capture::recording::RecordingStatus;
use ckscope::capture::spool::Interface;
use ckscope::time::{Span, Timestamp};

use crate::harness::{Pair, Proxy, finish, noise, patient, read_to_end, reset, sent, write};
use crate::support::Files;

/// A recorder that writes nothing until it is let.
struct Stalled(Receiver<()>, u64);

impl Record for Stalled {
    fn interface(&mut self, _: &Interface) -> u32 {
        0
    }

    fn packet(&mut self, _: u32, _: Timestamp, bytes: &[u8], _: &[&str]) {
        let _ = self.0.recv(); // once the test has dropped its end, this no longer waits
        self.1 += bytes.len() as u64;
    }

    fn flush(&mut self) {}

    fn status(&self) -> RecordingStatus {
        RecordingStatus { bytes: self.1, ..RecordingStatus::default() }
    }
}

#[test]
fn a_stalled_recorder_holds_nobody_up_and_what_it_missed_is_counted() {
    const LENGTH: usize = 8_000_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (let_go, stalled) = channel();
    let options = Options { queue: 1 << 20, ..Options::default() };
    let proxy = Proxy::recording(listener.local_addr().unwrap(), options, Stalled(stalled, 0), Files::new());
    let mut km = proxy.dial();
    let mut controller = patient(listener.accept().unwrap().0);
    let writer = thread::spawn(move || {
        write(&mut km, &noise(LENGTH, 9));
        finish(&km);
    });
    assert!(read_to_end(&mut controller) == noise(LENGTH, 9));
    writer.join().unwrap();
    let queue = proxy.running.panel().queue;
    assert!(queue.lost_bytes >= (LENGTH - (1 << 20)) as u64 && queue.lost_bytes < LENGTH as u64, "{queue:?}");
    assert!(queue.bytes <= 1 << 20, "{queue:?}");
    drop(let_go);
    proxy.running.finish();
}

/// A recorder that is held up for a while, and then writes as always.
struct Late<R>(Receiver<()>, R);

impl<R: Record> Record for Late<R> {
    fn interface(&mut self, interface: &Interface) -> u32 {
        self.1.interface(interface)
    }

    fn packet(&mut self, interface: u32, time: Timestamp, bytes: &[u8], comments: &[&str]) {
        let _ = self.0.recv(); // see above
        self.1.packet(interface, time, bytes, comments);
    }

    fn flush(&mut self) {
        self.1.flush();
    }

    fn status(&self) -> RecordingStatus {
        self.1.status()
    }
}

#[test]
fn what_found_no_room_is_a_gap_in_the_capture() {
    use ckscope::capture::growing::Growing;
    use ckscope::capture::recording::{Options as Where, Recording};
    const LENGTH: usize = 4_000_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (files, (let_go, stalled)) = (Files::new(), channel());
    let path = Some(files.path().join("out.pcapng"));
    let recording = Recording::create(Where { path, ..Where::default() }, Growing::new()).unwrap();
    let options = Options { queue: 1 << 20, ..Options::default() };
    let proxy = Proxy::recording(listener.local_addr().unwrap(), options, Late(stalled, recording), files);
    let mut km = proxy.dial();
    let mut controller = patient(listener.accept().unwrap().0);
    let mut writer = km.try_clone().unwrap();
    let writing = thread::spawn(move || write(&mut writer, &noise(LENGTH, 9)));
    let heard = crate::harness::read_exactly(&mut controller, LENGTH);
    assert!(heard == noise(LENGTH, 9));
    writing.join().unwrap();
    drop(let_go);
    crate::harness::until("the queue is empty", || proxy.running.panel().queue.bytes == 0);
    write(&mut km, b"after the gap");
    finish(&km);
    assert_eq!(read_to_end(&mut controller), b"after the gap");
    drop(controller);
    let recorded = proxy.recorded();
    let (bytes, missing) = sent(&recorded[0], 0);
    let lost = proxy.running.panel().queue.lost_bytes;
    assert!(lost > 0 && missing == lost, "{missing} missing, {lost} lost");
    assert_eq!(bytes.len() as u64 + missing, (LENGTH + 13) as u64);
    assert!(bytes.ends_with(b"after the gap"));
}

#[test]
fn a_connection_stands_in_the_recording_from_when_it_was_opened() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::before(listener.local_addr().unwrap(), Options::default());
    let mut km = proxy.dial();
    let mut controller = patient(listener.accept().unwrap().0);
    let silent = proxy.dial();
    crate::harness::until("both stand", || proxy.running.panel().open == 2);
    let since: Vec<Timestamp> = proxy.running.panel().connections.iter().map(|connection| connection.since).collect();
    thread::sleep(Duration::from_millis(100));
    write(&mut km, b"late");
    assert_eq!(crate::harness::read_exactly(&mut controller, 4), b"late");
    drop((km, controller, silent));
    assert_eq!(proxy.recorded().len(), 2, "who says nothing stands there, too");
    let (mut reader, errors) = Reader::open(&[proxy.capture()]);
    assert!(errors.is_empty(), "{errors:?}");
    let mut batch = Batch::default();
    assert!(reader.read_batch(&mut batch, 1000));
    let times: Vec<Timestamp> = batch.packets.iter().map(|packet| packet.time).collect();
    assert_eq!(times.iter().copied().filter(|time| since.contains(time)).collect::<Vec<_>>(), since);
    let before = since[1] + Span::from_millis(100);
    assert_eq!(times.iter().filter(|&&time| time < before).count(), 6, "both hand-shakes are over: {times:?}");
}

#[test]
fn tshark_finds_nothing_wrong_with_what_was_recorded() {
    let Pair { proxy, mut km, mut controller } = Pair::new();
    write(&mut km, &noise(200_000, 1));
    finish(&km);
    assert_eq!(read_to_end(&mut controller).len(), 200_000);
    write(&mut controller, &noise(100_000, 2));
    drop(controller);
    assert_eq!(read_to_end(&mut km).len(), 100_000);
    crate::harness::until("it ended", || proxy.running.panel().open == 0);
    let second = proxy.dial();
    reset(second);
    crate::harness::until("the second ended", || proxy.running.panel().open == 0 && proxy.running.panel().total == 2);
    assert_eq!(proxy.recorded().len(), 2);
    let wrong = "_ws.malformed || tcp.analysis.flags || ip.checksum.status == 0 || tcp.checksum.status == 0";
    let check = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-Y", wrong];
    let Ok(output) = Command::new("tshark").arg("-r").arg(proxy.capture()).args(check).output() else {
        return eprintln!("skipped: tshark is not installed");
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

#[test]
fn a_disk_that_is_full_stops_nothing() {
    use ckscope::capture::growing::Growing;
    use ckscope::capture::recording::{Options as Where, Recording};
    let files = Files::new();
    let small = files.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(&small).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return eprintln!("skipped: no small disk can be mounted here, which takes root");
    }
    let _unmounted = Unmount(small.clone());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let path = Some(small.join("out.pcapng"));
    let recording = Recording::create(Where { path, ..Where::default() }, Growing::new()).unwrap();
    let proxy = Proxy::recording(listener.local_addr().unwrap(), Options::default(), recording, Files::new());
    let mut km = proxy.dial();
    let mut controller = patient(listener.accept().unwrap().0);
    let writer = thread::spawn(move || {
        write(&mut km, &noise(2_000_000, 4));
        finish(&km);
    });
    assert!(read_to_end(&mut controller) == noise(2_000_000, 4));
    writer.join().unwrap();
    drop(controller);
    proxy.running.finish();
    let status = proxy.running.panel().recording;
    assert!(status.lost > 0 && status.problem.is_some_and(|problem| problem.contains("No space left")));
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status(); // a leftover is seen in the mount table
    }
}
