//! A capture with the interface in front of it: what every test here looks at.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ckscope::analyzer::{Analyzer, Options};
use ckscope::capture::Batch;
use ckscope::capture::file::{Reader, Replay};
use ckscope::dissect::Definitions;
use ckscope::tui::key::Key;
use ckscope::tui::save::{self, Order};
use ckscope::tui::{Effect, Feed, Setup, State, Status, Still, draw};
use crossterm::event::Event;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

/// A capture that was read, with the interface in front of it.
pub struct Screen {
    pub feed: Still,
    pub state: State,
}

impl Screen {
    pub fn of(capture: &str, size: (u16, u16)) -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("captures").join(capture);
        let (mut reader, errors) = Reader::open(&[path]);
        assert!(errors.is_empty(), "{errors:?}");
        let mut analyzer = Analyzer::new(Options::new(Arc::new(Definitions::q4164())));
        let mut batch = Batch::default();
        while reader.read_batch(&mut batch, 1024) {
            analyzer.batch(&batch);
        }
        analyzer.finish();
        let feed = Still { journal: analyzer.into_journal(), blocks: reader.blocks().to_vec() };
        let setup = Setup { name: capture.to_owned(), ..Setup::default() };
        let state = State::new(setup, size).expect("the default columns exist");
        let mut screen = Self { feed, state };
        let status = screen.feed.status();
        screen.look(|state, view| state.refresh(view, status.clone()));
        screen
    }

    pub fn look<T>(&mut self, mut act: impl FnMut(&mut State, ckscope::journal::View<'_>) -> T) -> T {
        let Self { feed, state } = self;
        let mut result = None;
        feed.with(&mut |view| result = Some(act(state, view)));
        result.expect("the feed shows what it has")
    }

    pub fn event(&mut self, event: &Event) -> Effect {
        self.look(|state, view| {
            let effect = state.event(event.clone(), view);
            while state.work(view) {}
            effect
        })
    }

    /// Keys by name with spaces between them; `'text'` is typed letter by letter, `~` for a space.
    pub fn keys(mut self, keys: &str) -> Self {
        for word in keys.split_whitespace() {
            if let Some(text) = word.strip_prefix('\'') {
                text.trim_end_matches('\'')
                    .chars()
                    .for_each(|c| self.press(if c == '~' { ' ' } else { c }.to_string()));
            } else {
                self.press(word.to_owned());
            }
        }
        self
    }

    pub fn press(&mut self, key: String) {
        let key: Key = if key == " " { "space".parse() } else { key.parse() }.expect("a key");
        self.event(&Event::Key(key.into()));
    }

    pub fn buffer(&mut self) -> Buffer {
        let (width, height) = self.state.size;
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test backend");
        self.look(|state, view| {
            terminal.draw(|frame| draw::draw(state, view, frame.buffer_mut())).expect("a test backend");
        });
        terminal.backend().buffer().clone()
    }

    pub fn text(&mut self) -> String {
        let buffer = self.buffer();
        let line = |y| {
            let cells = (0..buffer.area.width).map(|x| buffer[(x, y)].symbol());
            cells.collect::<String>().trim_end().to_owned()
        };
        (0..buffer.area.height).map(line).collect::<Vec<_>>().join("\n")
    }
}

pub const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

/// A capture in a file, as the command shows it.
pub struct InFile(pub Still, pub PathBuf);

impl Feed for InFile {
    fn with(&self, look: &mut dyn FnMut(ckscope::journal::View<'_>)) {
        self.0.with(look);
    }

    fn status(&self) -> Status {
        self.0.status()
    }

    fn cancel(&self) {}

    fn packets(&self) -> Option<Replay> {
        Some(Replay::of_files(&Reader::open(std::slice::from_ref(&self.1)).0))
    }
}

pub fn order(feed: &dyn Feed, state: &State, path: &std::path::Path, messages: &[u32], secrets: bool) -> Order {
    let mut order = None;
    feed.with(&mut |view| order = Some(state.order(view, path.to_owned(), messages.to_vec(), secrets)));
    order.expect("the feed shows what it has")
}

pub fn save_to(feed: &dyn Feed, state: &State, path: &std::path::Path, messages: &[u32]) -> std::io::Result<()> {
    save::save(feed, &order(feed, state, path, messages, false), &AtomicBool::new(false)).map(|_| ())
}
