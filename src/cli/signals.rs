//! What a signal means: to stop, in good order if that is possible in time.

use std::process::exit;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit status of who was told to stop and could not do so in good order.
const STOPPED: u8 = 1;

/// What a signal is to whoever is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The usual way to end what goes on until then: no failure.
    Enough,
    /// It interrupts somebody's work, which the exit status tells.
    End,
}

/// The signal that ended the process's work; 0 for none. There is one process, and one end.
static ENDED_BY: AtomicU8 = AtomicU8::new(0);

/// The exit status after a signal that ended the work: 128 and its number, as shells tell of who died of it.
pub fn ended() -> Option<u8> {
    let signal = ENDED_BY.load(Ordering::Relaxed);
    (signal > 0).then_some(128 + signal)
}

/// Calls `stop` when the process is asked to end. Who has not ended `grace` later, or is asked again, is ended after
/// `clean_up`.
///
/// # Errors
/// The system cannot watch for signals.
pub fn stop_on_signals(
    meaning: Meaning,
    grace: Duration,
    stop: impl FnOnce() + Send + 'static,
    clean_up: impl FnOnce() + Send + 'static,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let wanted = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()];
    let signals = {
        let _inside = runtime.enter();
        wanted.map(signal)
    };
    let mut signals = signals.map(Result::ok);
    thread::spawn(move || {
        runtime.block_on(async {
            let Some(signal) = any(&mut signals).await else { return };
            if meaning == Meaning::End {
                ENDED_BY.store(signal, Ordering::Relaxed);
            }
            stop();
            tokio::select! {
                _ = any(&mut signals) => {}
                () = tokio::time::sleep(grace) => {}
            }
            clean_up();
            super::flush();
            exit(ended().unwrap_or(STOPPED).into());
        });
    });
    Ok(())
}

/// Waits for one of `signals`, and tells its number; none where none can come.
async fn any([terminate, hangup, interrupt]: &mut [Option<Signal>; 3]) -> Option<u8> {
    let kind = tokio::select! {
        Some(()) = received(terminate) => SignalKind::terminate(),
        Some(()) = received(hangup) => SignalKind::hangup(),
        Some(()) = received(interrupt) => SignalKind::interrupt(),
        else => return None,
    };
    u8::try_from(kind.as_raw_value()).ok()
}

async fn received(signal: &mut Option<Signal>) -> Option<()> {
    signal.as_mut()?.recv().await
}
