//! One connection, from when it is accepted to its end.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::AlertDescription;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::detect::{Kind, detect};
use super::handshake::{Failed, Roles, Shake};
use super::leg::Leg;
use super::listen::dialler;
use super::panel::Entry;
use super::refusals::alert_hint;
use super::relay::{Ended, Relay};
use super::report::{HandOff, Refusal};
use super::tap::{Side, Tap, What};
use super::wire::Wire;
use super::{Context, Party, Stop, now};

/// Passes on what `stream`, which `who` dialled, brings from `peer` to `goal`, and back.
pub async fn serve(context: Arc<Context>, stream: TcpStream, [peer, goal]: [SocketAddr; 2], who: Party) {
    let opened = now();
    let turned = who == Party::Controller;
    let Some(entry) = context.board.open([peer, goal], turned, opened, context.options.connections) else {
        context.note(format!("{peer}: turned away: {} connections are open", context.options.connections));
        let _ = stream.set_zero_linger(); // see Wire::reset_on_drop
        return;
    };
    let connection = Connection { context: &context, entry: &entry, peer, goal, dialler: who };
    let tap = Tap::new(context.queue.clone(), peer, goal, opened);
    let how = tokio::select! {
        how = connection.run(stream, &tap) => how,
        // Relays end by themselves; this is for what is still being set up.
        () = async {
            context.told_to(Stop::Now).await;
            tokio::time::sleep(super::leg::GOOD_BYE).await;
        } => {
            tap.put(now(), What::Reset(Side::Dialled));
            context.board.cut();
            let how = "stopped while it was being set up".to_owned();
            context.note(format!("{peer} to {goal}: {how}"));
            how
        }
    };
    context.board.close(&entry, how);
}

struct Connection<'a> {
    context: &'a Context,
    entry: &'a Arc<Entry>,
    peer: SocketAddr,
    goal: SocketAddr,
    dialler: Party,
}

impl Connection<'_> {
    /// Runs it to its end, and tells how that was.
    async fn run(&self, stream: TcpStream, tap: &Tap) -> String {
        let result = self.relay(stream, tap).await;
        result.unwrap_or_else(|error| {
            self.note(&error);
            error.to_string()
        })
    }

    async fn relay(&self, stream: TcpStream, tap: &Tap) -> io::Result<String> {
        tap.put(tap.opened(), What::Opened);
        let Ok(dialler) = Wire::new(stream) else {
            // Gone before it was accepted.
            tap.put(now(), What::Reset(Side::Dialler));
            return Ok(self.told(&Ended::Reset(Side::Dialler)));
        };
        let dialled = match self.dial().await {
            Ok(stream) => Wire::new(stream)?,
            Err(error) => {
                // As if it had been refused there.
                dialler.reset_on_drop();
                let why = format!("cannot be dialled: {error}");
                tap.put(now(), What::Refused(why.clone()));
                return Err(io::Error::new(error.kind(), why));
            }
        };
        tap.put(now(), What::Answered);
        let mut ends = [dialler, dialled];
        let kind = match self.kind(&mut ends).await {
            Some(Ok(kind)) => kind,
            Some(Err(side)) => {
                ends.iter().for_each(Wire::reset_on_drop);
                tap.put(now(), What::Reset(side));
                return Ok(self.told(&Ended::Reset(side)));
            }
            None => {
                tap.finish(now(), Side::Dialler);
                return Ok(self.told(&Ended::Stopped));
            }
        };
        let Some(legs) = self.legs(ends, kind, tap).await else {
            return Ok("no TLS hand-shake".to_owned());
        };
        let relay = Relay::new(legs, tap, &self.entry.counters, self.context.options.rest);
        let ended = relay.run(self.context.told_to(Stop::Drained), self.context.told_to(Stop::Now)).await;
        if let Ended::Alert(side, alert) = ended
            && self.entry.counters.bytes()[side as usize] == 0
        {
            self.refused_late(side, alert, tap);
        }
        Ok(self.told(&ended))
    }

    /// What the sides speak, or which broke off; none if the proxy is stopped before either said anything.
    async fn kind(&self, ends: &mut [Wire; 2]) -> Option<Result<Kind, Side>> {
        let patience = self.context.options.handshake;
        let found = tokio::select! {
            found = detect(ends, patience) => Some(found),
            () = self.context.told_to(Stop::Drained) => None,
        };
        let found = match found {
            None if ends.iter().all(|end| end.ahead.is_empty()) => return None,
            None => detect(ends, patience).await,
            Some(found) => found,
        };
        Some(found.map_err(|(side, _)| side))
    }

    /// In TLS 1.3 a server can mind the client's certificate when the client has finished already (RFC 8446 4.4.2.4).
    fn refused_late(&self, side: Side, alert: AlertDescription, tap: &Tap) {
        let (who, whom) = (self.party(side), self.party(side.other()));
        let refusal = Refusal {
            who: who.the().to_owned(),
            whom: whom.the().to_owned(),
            alert: Some(format!("{alert:?}")),
            why: "its alert says so".to_owned(),
            hint: alert_hint(who, alert),
        };
        tap.put(now(), What::Noted(vec![refusal.line()]));
        self.entry.refused(refusal);
    }

    /// Both sides' plain streams; none if TLS came to nothing.
    async fn legs(&self, ends: [Wire; 2], kind: Kind, tap: &Tap) -> Option<[Leg; 2]> {
        let (client, hello) = match kind {
            Kind::Plain => return Some(ends.map(Leg::Plain)),
            Kind::Tls(client, hello) => (client, hello),
        };
        let parties = Roles { client: self.party(client), server: self.party(client.other()) };
        let address = if client == Side::Dialler { self.goal.ip() } else { self.peer.ip() };
        let identities = self.context.identities.as_ref();
        let Some(mut shake) = identities.and_then(|all| Shake::new(all, &hello, parties, address)) else {
            let why = match identities {
                None => "there is no authority",
                Some(_) => "no version, suite and group of it is known to the proxy",
            };
            let told = format!("TLS, passed on unopened: {why}");
            if identities.is_some() {
                self.note(&told);
            }
            tap.put(now(), What::Noted(vec![told]));
            return Some(ends.map(Leg::Plain));
        };
        let [dialler, dialled] = ends;
        let turned = client == Side::Dialled;
        let (client, server) = if turned { (dialled, dialler) } else { (dialler, dialled) };
        let patience = self.context.options.handshake;
        let shaken = timeout(patience, shake.run(client, server)).await;
        let late = shaken.is_err();
        self.handed_off(shake.report, late, tap);
        let failed = match shaken {
            Ok(Ok(Roles { client, server })) => return Some(if turned { [server, client] } else { [client, server] }),
            Ok(Err(failed)) => failed,
            Err(_) => Failed::default(),
        };
        match failed.reset {
            Some(party) => tap.put(now(), What::Reset(self.side(party))),
            None => tap.finish(now(), Side::Dialler),
        }
        None
    }

    /// Puts the report where it is looked for.
    fn handed_off(&self, mut report: HandOff, late: bool, tap: &Tap) {
        if late {
            let refusal = report.refusal_of_silence(self.context.options.handshake);
            report.refusal.get_or_insert(refusal);
        }
        let lines = report.lines();
        // The last line, the refusal, is said in any case.
        let told = lines.len() - usize::from(report.refusal.is_some());
        if self.context.options.reports {
            lines[..told].iter().for_each(|line| (self.context.say)(&self.of_this(line)));
        }
        tap.put(now(), What::Noted(lines));
        if let Some(refusal) = &report.refusal {
            self.note(refusal);
        }
        self.entry.handed_off(Arc::new(report));
    }

    /// Says something about this connection.
    fn note(&self, what: impl Display) {
        self.context.note(self.of_this(what));
    }

    fn of_this(&self, what: impl Display) -> String {
        format!("{} to {}: {what}", self.peer, self.goal)
    }

    async fn dial(&self) -> io::Result<TcpStream> {
        let Context { options, .. } = self.context;
        let socket = dialler(self.goal, options.spoof_source.then_some(self.peer))?;
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {:?}", options.connect));
        timeout(options.connect, socket.connect(self.goal)).await.unwrap_or_else(|_| Err(late()))
    }

    fn party(&self, side: Side) -> Party {
        match side {
            Side::Dialler => self.dialler,
            Side::Dialled => self.dialler.other(),
        }
    }

    fn side(&self, party: Party) -> Side {
        if party == self.dialler { Side::Dialler } else { Side::Dialled }
    }

    /// How it ended, in words; what is out of the ordinary is said.
    fn told(&self, ended: &Ended) -> String {
        let text = match ended {
            Ended::Finished => return "closed".to_owned(),
            Ended::Stopped => return "stopped".to_owned(),
            Ended::Cut(held) => {
                self.context.board.cut();
                let moving = if *held > 0 { format!("{held} bytes or more") } else { "bytes".to_owned() };
                format!("reset when the time to drain was over, with {moving} under way")
            }
            Ended::Reset(side) => return format!("reset by {}", self.party(*side).the()),
            Ended::Alert(side, alert) => {
                let (party, left) = (self.party(*side), self.entry.counters.left(side.other()));
                let without = || format!("{} had left without close_notify", party.other().the());
                let hint = left.then(without).or_else(|| alert_hint(party, *alert));
                let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                format!("{} ended it with alert {alert:?}{hint}", party.the())
            }
            Ended::Failed(side, why) => format!("TLS with {} broke: {why}", self.party(*side).the()),
        };
        self.note(&text);
        text
    }
}
