//! The loop between the terminal and the state: alone here are a clock, the terminal and files.

use std::io::{self, Stdout, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossterm::clipboard::CopyToClipboard;
use crossterm::event::{
    self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, Event,
};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use super::feed::{Feed, Phase};
use super::saver::Saver;
use super::scout::Scout;
use super::state::{Effect, Setup, State};
use super::{draw, typing};
use crate::journal::View;

/// How long to wait for a key while nothing changes: a signal is noticed this late.
const IDLE: Duration = Duration::from_millis(250);
/// How long to wait for a key while the journal grows.
const GROWING: Duration = Duration::from_millis(50);
/// Between two looks at what is new, at least this many times as long as the last look took.
const REST: u32 = 8;

/// Shows `feed` until the user leaves; what to remember of how it was arranged.
///
/// # Errors
/// Those of the terminal, and a column in `setup` that does not exist.
pub fn run(feed: &dyn Feed, setup: Setup, stop: &Arc<AtomicBool>) -> anyhow::Result<State> {
    let size = crossterm::terminal::size()?;
    let mut state = State::new(setup, size).map_err(anyhow::Error::msg)?;
    let mut screen = Screen::enter()?;
    thread::scope(|scope| {
        let mut helpers = (Scout::start(scope, feed), Saver::new(scope, feed));
        show(feed, &mut state, &mut screen, &mut helpers, stop)
    })?;
    Ok(state)
}

fn show(
    feed: &dyn Feed,
    state: &mut State,
    screen: &mut Screen,
    (scout, saver): &mut (Scout, Saver<'_, '_>),
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let mut looked: Option<(Instant, Duration)> = None;
    while !stop.load(Ordering::Relaxed) {
        let status = feed.status();
        let growing = status.phase == Phase::Growing;
        let due = looked.is_none_or(|(when, took)| !growing || when.elapsed() >= took * REST);
        let mut drawn = Ok(());
        saver.news(state);
        feed.with(&mut |view| {
            if due && status != state.status {
                let start = Instant::now();
                state.refresh(view, status.clone());
                looked = Some((start, start.elapsed()));
            }
            scout.parts().for_each(|part| state.take(view, part));
            drawn = screen.draw(state, view);
        });
        scout.give(state.shown.number, state.job(), state.search.1.as_ref());
        drawn?;
        let busy = growing || !due || state.is_looking() || state.search.1.is_some() || state.saving > 0;
        let wait = if busy { GROWING } else { IDLE };
        if event::poll(wait)? && take_events(feed, state, screen, saver)? {
            break;
        }
    }
    finish(feed, state, screen, saver, stop)
}

/// Waits for what is being saved, unless that is given up, too.
fn finish(
    feed: &dyn Feed,
    state: &mut State,
    screen: &mut Screen,
    saver: &mut Saver<'_, '_>,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let is_stopped = || stop.load(Ordering::Relaxed);
    if !saver.is_done() && !is_stopped() {
        state.say("leaving when what is being saved is written; any key gives it up");
        feed.with(&mut |view| drop(screen.draw(state, view)));
    }
    while !saver.is_done() {
        if is_stopped() || (event::poll(GROWING)? && matches!(event::read()?, Event::Key(_))) {
            saver.give_up();
            break;
        }
    }
    state.unsaved = saver.finish();
    Ok(())
}

/// Takes what was typed, all of it before the next frame; whether to leave.
fn take_events(
    feed: &dyn Feed,
    state: &mut State,
    screen: &mut Screen,
    saver: &mut Saver<'_, '_>,
) -> anyhow::Result<bool> {
    loop {
        let event = event::read()?;
        if let Event::Resize(..) = event {
            screen.terminal.autoresize()?;
        }
        let mut effect = Effect::None;
        feed.with(&mut |view| effect = state.event(event.clone(), view));
        match effect {
            Effect::None => {}
            Effect::Quit => return Ok(true),
            Effect::Cancel => feed.cancel(),
            Effect::Copy(text) => execute!(stdout(), CopyToClipboard::to_clipboard_from(text))?,
            Effect::Save { path, messages, secrets } => {
                let mut order = None;
                feed.with(&mut |view| {
                    order = Some(state.order(view, PathBuf::from(&path), messages.clone(), secrets));
                });
                order.into_iter().for_each(|order| saver.begin(state, order));
            }
        }
        if !event::poll(Duration::ZERO)? {
            return Ok(false);
        }
    }
}

/// The terminal while it is ours; given back when dropped, however that comes.
struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    fn enter() -> io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            leave();
            before(panic);
        }));
        ENTERED.store(true, Ordering::Relaxed);
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen, EnableMouseCapture, EnableBracketedPaste)?;
        Ok(Self { terminal: Terminal::new(CrosstermBackend::new(stdout()))? })
    }

    fn draw(&mut self, state: &State, view: View<'_>) -> io::Result<()> {
        self.terminal.draw(|frame| {
            draw::draw(state, view, frame.buffer_mut());
            if let Some(place) = typing::cursor(state) {
                frame.set_cursor_position(place);
            }
        })?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// Whether the terminal is ours.
static ENTERED: AtomicBool = AtomicBool::new(false);

/// Gives the terminal back, once: leaving the other screen again would put the cursor onto what was said since. What
/// fails here cannot be mended any more.
pub fn leave() {
    if !ENTERED.swap(false, Ordering::Relaxed) {
        return;
    }
    let _ = disable_raw_mode();
    let _ =
        execute!(stdout(), DisableBracketedPaste, DisableMouseCapture, LeaveAlternateScreen, crossterm::cursor::Show);
}
