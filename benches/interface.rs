//! How long the interface lets its user wait, on a capture of 3.7 million messages (1 GB): until the first frame, and
//! from a key to the frame that shows what it did, while scrolling, sorting, and while a filter looks through them all.
//! `MESSAGES=100000 cargo bench --bench interface` takes fewer.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ckscope::analyzer::{Analyzer, Options};
use ckscope::capture::Batch;
use ckscope::capture::file::Reader;
use ckscope::dissect::Definitions;
use ckscope::journal::View;
use ckscope::lab::generate::Bulk;
use ckscope::tui::key::Key;
use ckscope::tui::scout::Scout;
use ckscope::tui::{Feed, Setup, State, Status, Still, draw};
use crossterm::event::Event;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

const SIZE: (u16, u16) = (200, 60);
const BATCH: usize = 1024;

/// The journal behind a lock, as the command has it.
struct Locked(Mutex<Still>);

impl Feed for Locked {
    fn with(&self, look: &mut dyn FnMut(View<'_>)) {
        self.0.lock().expect("nobody panics").with(look);
    }

    fn status(&self) -> Status {
        self.0.lock().expect("nobody panics").status()
    }

    fn cancel(&self) {}
}

struct Bench<'a> {
    feed: &'a Locked,
    state: State,
    terminal: Terminal<TestBackend>,
}

impl<'a> Bench<'a> {
    fn new(feed: &'a Locked) -> Self {
        let state = State::new(Setup::default(), SIZE).expect("the default columns exist");
        let terminal = Terminal::new(TestBackend::new(SIZE.0, SIZE.1)).expect("a test backend");
        let mut bench = Self { feed, state, terminal };
        let status = feed.status();
        feed.with(&mut |view| bench.state.refresh(view, status.clone()));
        bench
    }

    fn frame(&mut self, scout: &mut Scout) -> Duration {
        let start = Instant::now();
        let Self { feed, state, terminal } = self;
        feed.with(&mut |view| {
            scout.parts().for_each(|part| state.take(view, part));
            terminal.draw(|frame| draw::draw(state, view, frame.buffer_mut())).expect("a test backend");
        });
        scout.give(state.shown.number, state.job(), state.search.1.as_ref());
        start.elapsed()
    }

    /// From a key to its frame.
    fn key(&mut self, key: &str, scout: &mut Scout) -> Duration {
        let start = Instant::now();
        let key: Key = key.parse().expect("a key");
        self.feed.with(&mut |view| _ = self.state.event(Event::Key(key.into()), view));
        self.frame(scout);
        start.elapsed()
    }

    fn keys(&mut self, keys: &str, scout: &mut Scout) -> Duration {
        keys.split_whitespace().map(|key| self.key(key, scout)).max().unwrap_or_default()
    }

    fn command(&mut self, line: &str, scout: &mut Scout) -> Duration {
        self.key(":", scout);
        self.feed.with(&mut |view| _ = self.state.event(Event::Paste(line.to_owned()), view));
        self.key("enter", scout)
    }

    /// Goes on until nothing is looked for any more; what the frames took meanwhile.
    fn until_found(&mut self, name: &str, scout: &mut Scout) {
        let (start, mut frames) = (Instant::now(), Vec::new());
        while self.state.is_looking() || self.state.search.1.is_some() {
            frames.push(self.frame(scout));
            thread::sleep(Duration::from_millis(10));
        }
        let all = start.elapsed();
        tell(&format!("frames during {name}, {all:.1?} in all"), &mut frames);
    }
}

fn tell(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |part: f64| times.get(((times.len() as f64 - 1.0) * part) as usize).copied().unwrap_or_default();
    let (median, worst) = (at(0.5), at(1.0));
    println!("{what:<58} n={:<5} median {median:>9.2?}  p99 {:>9.2?}  max {worst:>9.2?}", times.len(), at(0.99));
}

/// From opening the file to the first frame with procedures in it.
fn first_frame(path: &Path) -> Duration {
    let start = Instant::now();
    let (mut reader, _) = Reader::open(&[path.to_owned()]);
    let mut analyzer = Analyzer::new(Options::new(Arc::new(Definitions::q4164())));
    let mut batch = Batch::default();
    while analyzer.journal().procedures.is_empty() && reader.read_batch(&mut batch, BATCH) {
        analyzer.batch(&batch);
    }
    let feed = Locked(Mutex::new(Still { journal: analyzer.into_journal(), blocks: reader.blocks().to_vec() }));
    thread::scope(|scope| Bench::new(&feed).frame(&mut Scout::start(scope, &feed)));
    start.elapsed()
}

fn read(path: &Path) -> Locked {
    let (mut reader, _) = Reader::open(&[path.to_owned()]);
    let mut analyzer = Analyzer::new(Options::new(Arc::new(Definitions::q4164())));
    let mut batch = Batch::default();
    while reader.read_batch(&mut batch, BATCH) {
        analyzer.batch(&batch);
    }
    analyzer.finish();
    Locked(Mutex::new(Still { journal: analyzer.into_journal(), blocks: reader.blocks().to_vec() }))
}

fn main() {
    let messages = std::env::var("MESSAGES").ok().and_then(|count| count.parse().ok()).unwrap_or(3_700_000);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("generated.pcapng");
    let file = BufWriter::new(File::create(&path).expect("a temporary file"));
    Bulk { messages, connections: 64, seed: 1 }.write(file).expect("a capture");
    let bytes = std::fs::metadata(&path).expect("it was written").len();
    println!("{messages} messages, {} MB", bytes / 1_000_000);
    tell("open to first frame, file in memory", &mut (0..10).map(|_| first_frame(&path)).collect::<Vec<_>>());
    let feed = read(&path);
    thread::scope(|scope| {
        let (mut bench, mut scout) = (Bench::new(&feed), Scout::start(scope, &feed));
        let scout = &mut scout;
        for (view, name) in [("1", "procedures"), ("3", "messages")] {
            bench.key(view, scout);
            for (key, what) in [("down", "a line"), ("pgdn", "a page")] {
                let mut times: Vec<Duration> = (0..500).map(|_| bench.key(key, scout)).collect();
                tell(&format!("{name}: {what} down"), &mut times);
            }
            let mut ends: Vec<Duration> = (0..20).map(|_| bench.keys("G g", scout)).collect();
            tell(&format!("{name}: to an end"), &mut ends);
        }
        for (view, column) in [("1", "duration"), ("1", "km"), ("3", "length"), ("3", "source"), ("3", "number")] {
            bench.key(view, scout);
            let took = bench.command(&format!("sort {column}"), scout);
            tell(&format!("view {view}: sort by {column}"), &mut [took]);
        }
        for filter in ["ck.command_code == 0x4108", "ck.number_of_keys > 3", "ck.session_id contains \"f\""] {
            bench.command(&format!("filter {filter}"), scout);
            bench.until_found(filter, scout);
        }
        bench.keys("/ ctrl-u enter", scout);
        bench.key("g", scout);
        bench.command("search no such text", scout);
        assert!(bench.state.search.1.is_some(), "it is under way");
        bench.until_found("a search for text", scout);
        tell("statistics", &mut [bench.key("6", scout)]);
    });
}
