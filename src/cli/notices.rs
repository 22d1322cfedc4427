//! What stderr is told. In: sentences. Out: lines on stderr. Where others depend on the process, whoever reads stderr
//! and stalls must not hold it up: lines then wait in a queue, and those that find no room there are counted.

use std::fmt::Display;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::output::escape::escaped_line;

/// Lines that wait at most.
const LINES: usize = 1024;
/// How long the end waits for a line to be taken.
const PATIENCE: Duration = Duration::from_secs(1);

/// There is one stderr, and so one queue before it.
static QUEUE: OnceLock<Queue> = OnceLock::new();

struct Queue {
    sender: SyncSender<String>,
    /// Lines that are not printed yet.
    waiting: AtomicUsize,
    /// Lines that found no room since that was said last.
    dropped: AtomicU64,
}

/// An error that takes several lines, because it shows the place it is about.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Multiline(pub String);

/// Says `text` on stderr, a line whatever names stand in it. Whoever closed it does not want to know, so a failure is
/// no reason to stop.
pub fn say(text: impl Display) {
    print(format!("ckscope: {}\n", escaped_line(&text.to_string())));
}

/// Tells the user why nothing was done.
pub fn say_error(error: &anyhow::Error) {
    match error.downcast_ref::<Multiline>() {
        None => say(format_args!("{error:#}")),
        Some(Multiline(text)) => {
            let lines: Vec<_> = text.lines().map(escaped_line).collect();
            print(format!("ckscope: {}\n", lines.join("\n")));
        }
    }
}

/// From here on, nobody who says something waits for stderr. Who ends the process calls [`flush`].
pub fn detach() {
    let (sender, lines) = sync_channel(LINES);
    let queue = Queue { sender, waiting: AtomicUsize::new(0), dropped: AtomicU64::new(0) };
    if QUEUE.set(queue).is_ok() {
        thread::spawn(move || QUEUE.get().map(|queue| queue.run(&lines)));
    }
}

/// Waits until all that was said is printed, or nobody takes it.
pub fn flush() {
    let Some(queue) = QUEUE.get() else { return };
    let (mut left, mut since) = (usize::MAX, Instant::now());
    loop {
        let waiting = queue.waiting.load(Ordering::Acquire);
        if waiting < left {
            (left, since) = (waiting, Instant::now());
        }
        if waiting == 0 || since.elapsed() > PATIENCE {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn print(text: String) {
    match QUEUE.get() {
        None => write(&text),
        Some(queue) => queue.put(text),
    }
}

fn write(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

impl Queue {
    fn put(&self, text: String) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        if self.sender.try_send(text).is_err() {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn run(&self, lines: &Receiver<String>) {
        for line in lines {
            write(&line);
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                write(&format!(
                    "ckscope: here or later, {dropped} lines were not printed: nobody read stderr in time\n"
                ));
            }
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
