//! Captures of any size, for benchmarks: all 13 messages, properly tied, over many connections to one controller.
//! In: how many of each, and a seed. Out: pcapng, streamed. Nothing here waits for an answer: an exchange
//! knows its messages beforehand, and a packet is a prebuilt block with a few bytes replaced.

mod exchange;
mod template;

use std::io::{self, BufWriter, Write};

use self::exchange::{Exchange, Kind};
use self::template::{Flow, Templates};
use super::link::Link;
use super::random::Random;
use super::setup::START;
use crate::capture::spool::{Interface, Spool};
use crate::time::{Span, Timestamp};

/// What to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bulk {
    /// Ck messages, at least 2; every request among them is answered.
    pub messages: u64,
    /// TCP connections, at most half of `messages`: each carries at least a request and its answer.
    pub connections: u32,
    /// Decides everything else.
    pub seed: u64,
}

/// What cannot be generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BulkError {
    /// A request and its answer are two.
    #[error("at least 2 messages are needed: a request and its answer")]
    TooFewMessages,
    /// Some connection would carry nothing.
    #[error("connections must be at least 1 and at most half of the messages, and at most {MOST_CONNECTIONS}")]
    Connections,
}

/// KMs whose connections share the work; their addresses are 192.0.2.11 and on.
const KMS: u32 = 240;

/// As many ports as each KM dials from.
const PORTS: u32 = 50_000;

/// Connections that addresses and ports suffice for.
const MOST_CONNECTIONS: u32 = KMS * PORTS;

/// Exchanges under way at one time.
const AT_ONCE: usize = 64;

/// Bytes handed on at once: large enough that writing costs no more than copying.
const BUFFER: usize = 1 << 20;

impl Bulk {
    /// Writes the capture.
    pub fn write(&self, out: impl Write) -> io::Result<()> {
        self.check().map_err(io::Error::other)?;
        let mut spool = Spool::new(BufWriter::with_capacity(BUFFER, out), "ckscope lab")?;
        let interface = Interface { link: Link::Ethernet.link_type(), snaplen: 0, name: "lab0".to_owned() };
        spool.interface(&interface)?;
        let mut generator = Generator::new(self, spool.into_inner());
        generator.run()?;
        generator.out.flush()
    }

    /// Whether it can be generated.
    pub fn check(&self) -> Result<(), BulkError> {
        if self.messages < 2 {
            return Err(BulkError::TooFewMessages);
        }
        let connections = u64::from(self.connections);
        let possible = 1..=u64::from(MOST_CONNECTIONS).min(self.messages / 2);
        if possible.contains(&connections) { Ok(()) } else { Err(BulkError::Connections) }
    }
}

struct Generator<W> {
    out: W,
    templates: Templates,
    random: Random,
    now: Timestamp,
    flows: Vec<Flow>,
    /// Flows from here on have not been opened.
    unopened: u32,
    /// Messages that no exchange has been begun for.
    left: u64,
    exchanges: Vec<Exchange>,
    /// Exchanges begun so far, from which request IDs are made.
    begun: u64,
}

impl<W: Write> Generator<W> {
    fn new(bulk: &Bulk, out: W) -> Self {
        let mut random = Random::new(bulk.seed);
        let flows = (0..bulk.connections).map(|number| Flow::new(number % KMS, number / KMS, &mut random)).collect();
        Self {
            out,
            templates: Templates::new(),
            random,
            now: START,
            flows,
            unopened: 0,
            left: bulk.messages,
            exchanges: Vec::with_capacity(AT_ONCE),
            begun: 0,
        }
    }

    /// Keeps [`AT_ONCE`] exchanges under way, and lets a random one of them take its next step.
    fn run(&mut self) -> io::Result<()> {
        loop {
            while self.left > 0 && self.exchanges.len() < AT_ONCE {
                let exchange = self.begin()?;
                self.exchanges.push(exchange);
            }
            if self.exchanges.is_empty() {
                return Ok(());
            }
            let at = self.random.below(self.exchanges.len() as u64) as usize;
            self.step(at)?;
            if self.exchanges[at].is_done() {
                self.exchanges.swap_remove(at);
            }
        }
    }

    fn begin(&mut self) -> io::Result<Exchange> {
        let kind = self.choose();
        self.left -= kind.messages();
        self.begun += 1;
        let mut flows = [0; 3];
        for flow in &mut flows[..kind.connections()] {
            *flow = self.flow()?;
        }
        let target = self.random.below(u64::from(KMS)) as u32;
        let kms = flows.map(|flow| self.flows[flow as usize].km);
        Ok(Exchange::new(kind, flows, kms, target, self.random.bits(), self.begun))
    }

    /// A kind after which the rest of the messages can still be used up, and the rest of the connections reached.
    fn choose(&mut self) -> Kind {
        let unopened = self.flows.len() as u64 - u64::from(self.unopened);
        let mixed = Kind::MIX[self.random.below(Kind::MIX.len() as u64) as usize];
        let fits = |kind: Kind| kind.messages() == self.left || kind.messages() + 2 <= self.left;
        let scarce = unopened > 0 && self.left < 2 * unopened + mixed.messages();
        match mixed {
            kind if fits(kind) && !scarce => kind,
            _ if self.left == 3 && unopened <= 1 => Kind::Relay,
            _ => Kind::Hop,
        }
    }

    /// The next unopened connection, opened; else any.
    fn flow(&mut self) -> io::Result<u32> {
        if (self.unopened as usize) == self.flows.len() {
            return Ok(self.random.below(self.flows.len() as u64) as u32);
        }
        let flow = self.unopened;
        self.unopened += 1;
        for template in &mut self.templates.handshake {
            self.now = self.now + Span(20_000 + (self.random.bits() & 0x7fff) as i64);
            template.write(&mut self.out, self.now, &mut self.flows[flow as usize])?;
        }
        Ok(flow)
    }

    fn step(&mut self, at: usize) -> io::Result<()> {
        self.now = self.now + Span(2_000 + (self.random.bits() & 0x3fff) as i64);
        let exchange = &mut self.exchanges[at];
        let (flow, kind) = exchange.next();
        let flow = &mut self.flows[flow as usize];
        let template = &mut self.templates.messages[kind];
        exchange.fill(template, flow);
        template.write(&mut self.out, self.now, flow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(messages: u64, connections: u32, seed: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        Bulk { messages, connections, seed }.write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn writes_the_same_bytes_for_the_same_seed() {
        assert_eq!(bytes(1000, 30, 7), bytes(1000, 30, 7));
        assert_ne!(bytes(1000, 30, 7), bytes(1000, 30, 8));
    }

    #[test]
    fn refuses_what_cannot_be() {
        let check = |messages, connections| Bulk { messages, connections, seed: 0 }.check();
        assert_eq!(check(1, 1), Err(BulkError::TooFewMessages));
        assert_eq!(check(10, 6), Err(BulkError::Connections));
        assert_eq!(check(10, 0), Err(BulkError::Connections));
        assert_eq!(check(10, 5), Ok(()));
    }
}
