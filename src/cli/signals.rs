//! What a signal means: to stop, in good order if that is possible in time.

use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit status of who was told to stop and could not do so in good order.
const STOPPED: i32 = 1;

/// Sets `stop` when the process is asked to end. Who has not ended `grace` later, or is asked again, is ended after
/// `clean_up`.
///
/// # Errors
/// The system cannot watch for signals.
pub fn stop_on_signals(
    stop: &Arc<AtomicBool>,
    grace: Duration,
    clean_up: impl FnOnce() + Send + 'static,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let stop = Arc::clone(stop);
    let wanted = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()];
    let signals = {
        let _inside = runtime.enter();
        wanted.map(signal)
    };
    let mut signals = signals.map(Result::ok);
    thread::spawn(move || {
        runtime.block_on(async {
            if !any(&mut signals).await {
                return;
            }
            stop.store(true, Ordering::Relaxed);
            tokio::select! {
                _ = any(&mut signals) => {}
                () = tokio::time::sleep(grace) => {}
            }
            clean_up();
            exit(STOPPED);
        });
    });
    Ok(())
}

/// Waits for one of `signals`; whether one can come at all.
async fn any([terminate, hangup, interrupt]: &mut [Option<Signal>; 3]) -> bool {
    tokio::select! {
        Some(()) = received(terminate) => true,
        Some(()) = received(hangup) => true,
        Some(()) = received(interrupt) => true,
        else => false,
    }
}

async fn received(signal: &mut Option<Signal>) -> Option<()> {
    signal.as_mut()?.recv().await
}
