//! What lies on the two streams of a connection, up to messages: TLS or not, and what it carries.

use super::application::{Application, Context};
use super::sink::Sink;
use super::work::Layer;
use crate::journal::{Protocol, Side};
use crate::stream::{Backlog, Piece};
use crate::tls::{self, Detected, Secrets, Session};

/// What lies on the two streams of a connection.
#[derive(Debug, Default)]
pub struct Layers {
    security: Security,
    application: Application,
    /// By side: it is over, but for what waits for a secret.
    ending: [bool; 2],
}

/// Whether a connection is TLS.
#[derive(Debug, Default)]
enum Security {
    /// Too few bytes to tell; those that there are.
    #[default]
    Unknown,
    Undecided(Box<[Backlog; 2]>),
    Plain,
    Tls(Box<Session>),
}

const SIDES: [Side; 2] = [Side::Initiator, Side::Responder];

impl Layers {
    /// The next part of one stream.
    pub fn piece(&mut self, side: Side, piece: Piece<'_>, context: Context, sink: &mut Sink<'_>) {
        let is_open = matches!(self.security, Security::Unknown | Security::Undecided(_));
        if is_open && self.decide(side, piece, context, sink) {
            return;
        }
        if matches!(self.security, Security::Plain) && self.turns_out_tls(side, piece, context) {
            self.application = Application::default();
            self.security = Security::Tls(Box::new(Session::new(sink.waits_for_secrets)));
        }
        self.hand_on(side, piece, context, sink);
    }

    /// Hands a piece to the layer that is its.
    fn hand_on(&mut self, side: Side, piece: Piece<'_>, context: Context, sink: &mut Sink<'_>) {
        let Self { security, application, .. } = self;
        let Security::Tls(session) = security else {
            sink.tap(Layer::Content, side, &piece);
            return application.piece(side, piece, context, sink);
        };
        sink.tap(Layer::Ciphertext, side, &piece);
        let from_the_start = context.from_the_start[side as usize];
        session.piece(side, from_the_start, piece, sink.secrets, &mut decrypted(application, context, sink));
        sink.output.sessions.append(&mut session.take_learned());
    }

    /// Looks whether the connection is TLS; whether the piece was taken, to wait for more.
    fn decide(&mut self, side: Side, piece: Piece<'_>, context: Context, sink: &mut Sink<'_>) -> bool {
        let held = match std::mem::take(&mut self.security) {
            Security::Undecided(held) => Some(held),
            _ => None,
        };
        let detected = match (&held, piece) {
            (_, Piece::Gap { .. }) => Detected::No,
            (Some(held), Piece::Bytes { bytes, .. }) if !held[side as usize].is_empty() => {
                tls::detect(&[held[side as usize].bytes(), bytes].concat())
            }
            (_, Piece::Bytes { bytes, .. }) => tls::detect(bytes),
        };
        if let (Detected::NeedMore, Piece::Bytes { bytes, stamp, .. }) = (detected, piece) {
            let mut held = held.unwrap_or_default();
            held[side as usize].extend(bytes, stamp);
            self.security = Security::Undecided(held);
            return true;
        }
        let is_tls = detected == Detected::Yes;
        self.security =
            if is_tls { Security::Tls(Box::new(Session::new(sink.waits_for_secrets))) } else { Security::Plain };
        held.into_iter().for_each(|held| self.replay(&held, context, sink));
        false
    }

    /// Hands on what waited.
    fn replay(&mut self, held: &[Backlog; 2], context: Context, sink: &mut Sink<'_>) {
        for (side, held) in SIDES.into_iter().zip(held) {
            for (bytes, stamp) in held.runs() {
                self.hand_on(side, Piece::Bytes { bytes, place: None, stamp }, context, sink);
            }
        }
    }

    /// A stream joined midway, or with a gap, shows that it is TLS only where a record begins with a packet.
    fn turns_out_tls(&self, side: Side, piece: Piece<'_>, context: Context) -> bool {
        let Piece::Bytes { bytes, .. } = piece else { return false };
        let whole = context.from_the_start[side as usize] && !context.gaps[side as usize];
        !whole && self.application.is_unknown() && tls::detect(bytes) == Detected::Yes
    }

    /// Whether nothing was handed on yet.
    pub fn is_untouched(&self) -> bool {
        matches!(self.security, Security::Unknown)
    }

    /// Whether one direction was found to be Ck, and the other does not know.
    pub fn has_knowledge_to_share(&self) -> bool {
        self.application.has_knowledge_to_share()
    }

    /// One direction's Ck makes the other's.
    pub fn share_knowledge(&mut self, context: Context, sink: &mut Sink<'_>) {
        self.application.share_knowledge(context, sink);
    }

    /// One stream is over.
    pub fn end(&mut self, side: Side, context: Context, sink: &mut Sink<'_>) {
        if let Security::Undecided(held) = &mut self.security {
            let held = std::mem::take(held);
            self.security = Security::Plain;
            self.replay(&held, context, sink);
        }
        self.ending[side as usize] = true;
        self.act(context, sink, |session, secrets, deliver| session.end(side, secrets, deliver));
    }

    /// Lets `act` move TLS, if that is there, and ends what thereby came to its end.
    fn act(
        &mut self,
        context: Context,
        sink: &mut Sink<'_>,
        act: impl FnOnce(&mut Session, &Secrets, &mut dyn FnMut(Side, Piece<'_>)),
    ) {
        let Self { security, application, .. } = self;
        if let Security::Tls(session) = security {
            act(session, sink.secrets, &mut decrypted(application, context, sink));
            sink.output.sessions.append(&mut session.take_learned());
        }
        if !self.awaits_secret() {
            for side in SIDES {
                if !std::mem::take(&mut self.ending[side as usize]) {
                    continue;
                }
                self.application.end(side, self.on_top(context), sink);
            }
        }
    }

    /// More secrets have become known.
    pub fn retry(&mut self, context: Context, sink: &mut Sink<'_>) {
        self.act(context, sink, |session, secrets, deliver| session.retry(secrets, deliver));
    }

    /// Whether something waits that only a secret can open.
    pub fn awaits_secret(&self) -> bool {
        matches!(&self.security, Security::Tls(session) if session.awaits_secret())
    }

    /// Waits for hellos and secrets no longer.
    pub fn give_up_waiting(&mut self, context: Context, sink: &mut Sink<'_>) {
        self.act(context, sink, |session, secrets, deliver| session.give_up(secrets, deliver));
    }

    /// What was learned of TLS since the last call.
    pub fn take_news(&mut self) -> Option<tls::Facts> {
        match &mut self.security {
            Security::Tls(session) => session.take_news(),
            _ => None,
        }
    }

    /// What is known of TLS, if it is.
    pub fn tls(&self) -> Option<&tls::Facts> {
        match &self.security {
            Security::Tls(session) => Some(session.facts()),
            _ => None,
        }
    }

    fn on_top(&self, context: Context) -> Context {
        Context { tls: matches!(self.security, Security::Tls(_)), ..context }
    }

    /// A packet not later than those that brought what may still become messages of an earlier packet.
    pub fn held_since(&self) -> Option<u32> {
        let undecided = match &self.security {
            Security::Undecided(held) => held.iter().filter_map(Backlog::since).map(|stamp| stamp.packet).min(),
            Security::Tls(session) => session.held_since(),
            _ => None,
        };
        undecided.into_iter().chain(self.application.held_since()).min()
    }

    /// Bytes buffered.
    pub fn held_bytes(&self) -> usize {
        let below = match &self.security {
            Security::Tls(session) => session.held_bytes(),
            _ => 0,
        };
        below + self.application.held_bytes()
    }

    /// Bytes, by side, that belong to no message.
    pub fn undecoded(&self) -> [u64; 2] {
        self.application.undecoded()
    }

    /// What the connection carries.
    pub fn protocol(&self) -> Protocol {
        let is_tls = matches!(self.security, Security::Tls(_));
        match (self.application.is_ck(), self.application.is_grpc()) {
            (true, _) if is_tls => Protocol::CkTls,
            (true, _) => Protocol::Ck,
            (_, true) if is_tls => Protocol::GrpcTls,
            (_, true) => Protocol::Grpc,
            _ if is_tls => Protocol::Tls,
            _ => Protocol::Unknown,
        }
    }
}

/// Hands on what TLS carried.
fn decrypted<'a, 's>(
    application: &'a mut Application,
    context: Context,
    sink: &'a mut Sink<'s>,
) -> impl FnMut(Side, Piece<'_>) + use<'a, 's> {
    let context = Context { tls: true, ..context };
    move |side, piece| {
        sink.tap(Layer::Content, side, &piece);
        application.piece(side, piece, context, sink);
    }
}
