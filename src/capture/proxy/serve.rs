//! One connection, from when it is accepted to its end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::detect::{Kind, detect};
use super::leg::Leg;
use super::listen::dialler;
use super::panel::Entry;
use super::relay::{Ended, Relay};
use super::tap::{Side, Tap, What};
use super::wire::Wire;
use super::{Context, Party, now};

/// Passes on what `stream` brings to `goal`, and back.
pub async fn serve(context: Arc<Context>, stream: TcpStream, goal: SocketAddr) {
    let opened = now();
    let Ok(peer) = stream.peer_addr() else { return }; // gone already
    let turned = context.options.dialler == Party::Controller;
    let Some(entry) = context.board.open([peer, goal], turned, opened, context.options.connections) else {
        context.note(format!("{peer}: turned away: {} connections are open", context.options.connections));
        let _ = stream.set_zero_linger(); // see Wire::reset_on_drop
        return;
    };
    let connection = Connection { context: &context, entry: &entry, peer, goal };
    let mut stop = context.stop.clone();
    let how = tokio::select! {
        how = connection.run(stream, Tap::new(context.queue.clone(), peer, goal, opened)) => how,
        // Relays end by themselves; what was not even set up has nothing to drain.
        () = async {
            let _ = stop.wait_for(|stop| *stop).await; // without a sender the proxy is gone
            tokio::time::sleep(context.options.drain + super::leg::GOOD_BYE).await;
        } => "stopped".to_owned(),
    };
    context.board.close(&entry, how);
}

struct Connection<'a> {
    context: &'a Context,
    entry: &'a Arc<Entry>,
    peer: SocketAddr,
    goal: SocketAddr,
}

impl Connection<'_> {
    /// Runs it to its end, and tells how that was.
    async fn run(&self, stream: TcpStream, tap: Tap) -> String {
        let result = self.relay(stream, &tap).await;
        result.unwrap_or_else(|error| {
            self.context.note(format!("{} to {}: {error}", self.peer, self.goal));
            error.to_string()
        })
    }

    async fn relay(&self, stream: TcpStream, tap: &Tap) -> io::Result<String> {
        let dialler = Wire::new(stream)?;
        let dialled = match self.dial().await {
            Ok(stream) => Wire::new(stream)?,
            Err(error) => {
                // As if it had been refused there.
                dialler.reset_on_drop();
                tap.put(now(), What::Established(vec![format!("cannot be dialled: {error}")]));
                tap.put(now(), What::Reset(Side::Dialled));
                return Err(io::Error::new(error.kind(), format!("cannot be dialled: {error}")));
            }
        };
        let mut ends = [dialler, dialled];
        let options = &self.context.options;
        let kind = match detect(&mut ends, options.handshake).await {
            Ok(kind) => kind,
            Err((side, _)) => {
                ends.iter().for_each(Wire::reset_on_drop);
                tap.put(now(), What::Reset(side));
                return Ok(self.told(&Ended::Reset(side)));
            }
        };
        let [dialler, dialled] = match kind {
            Kind::Plain => ends.map(Leg::Plain),
            Kind::Tls(..) => ends.map(Leg::Plain),
        };
        tap.put(now(), What::Established(Vec::new()));
        let mut stop = self.context.stop.clone();
        let stop = async {
            let _ = stop.wait_for(|stop| *stop).await; // without a sender the proxy is gone
        };
        let ended = Relay::new(dialler, dialled, tap, &self.entry.counters).run(stop, options.drain).await;
        Ok(self.told(&ended))
    }

    async fn dial(&self) -> io::Result<TcpStream> {
        let Context { options, .. } = self.context;
        let socket = dialler(self.goal, options.spoof_source.then_some(self.peer))?;
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {:?}", options.connect));
        timeout(options.connect, socket.connect(self.goal)).await.unwrap_or_else(|_| Err(late()))
    }

    fn party(&self, side: Side) -> &'static str {
        match (side, self.context.options.dialler) {
            (Side::Dialler, Party::Km) | (Side::Dialled, Party::Controller) => "the KM",
            (Side::Dialler, Party::Controller) | (Side::Dialled, Party::Km) => "the controller",
        }
    }

    /// How it ended, in words; what is out of the ordinary is said.
    fn told(&self, ended: &Ended) -> String {
        let text = match ended {
            Ended::Finished => return "closed".to_owned(),
            Ended::Stopped => return "stopped".to_owned(),
            Ended::Reset(side) => return format!("reset by {}", self.party(*side)),
            Ended::Alert(side, alert) => format!("{} ended it with alert {alert:?}", self.party(*side)),
            Ended::Failed(side, why) => format!("TLS with {} broke: {why}", self.party(*side)),
        };
        self.context.note(format!("{} to {}: {text}", self.peer, self.goal));
        text
    }
}
