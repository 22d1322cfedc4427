//! Wires the stages: batches of packets in, a journal out.
//!
//! The contract: [`Analyzer::batch`] for every batch in capture order, then [`Analyzer::finish`] once. Nothing here
//! opens a file or reads a clock, and the journal is the same however the capture was cut into batches and however
//! many threads worked: packets are numbered and given to connections by one [`Front`], connections are spread over
//! workers, and what the workers find is put back into capture order before it is correlated.

mod allowance;
mod application;
mod front;
mod grpc;
mod layers;
mod order;
mod pair;
mod pool;
mod sink;
mod work;
mod worker;

use std::sync::Arc;

use crate::capture::{Batch, Block};
use crate::correlate::Correlator;
use crate::dissect::{Definitions, TextHasher};
use crate::framing::CommandCodes;
use crate::journal::{Closed, Connection, Journal, Side, Traffic};
use crate::packet::{Flags, Payload, Segment, Undecoded};
use crate::place::Place;
use crate::prefetch::AHEAD;
use crate::stream::{Located, Stamp};
use crate::time::{Span, Timestamp};
use crate::tls::{self, Secrets, SessionSecret};

use front::Found;
use order::Reorder;
use pool::Pool;
use work::{Output, SegmentTask, Task, Work};
use worker::{Wishes, Worker};

pub use front::{Front, Segments};
pub use work::{Layer, Part, Tap, Tapped};

/// Batches that may be under way in workers on threads of their own.
const MAX_UNDER_WAY: usize = 4;

/// What the analysis depends on.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the messages are called.
    pub definitions: Arc<Definitions>,
    /// TCP ports whose connections are Ck whatever they look like.
    pub ports: Vec<u16>,
    /// A request is unanswered after this much capture time.
    pub time_out: Span,
    /// Threads to use; 1 does everything in the caller's.
    pub threads: usize,
    /// TLS secrets.
    pub secrets: Secrets,
    /// More secrets may come by [`Analyzer::add_secrets`]: what lacks them waits, within bounds.
    pub waits_for_secrets: bool,
    /// Somebody looks at the journal before it is finished: what open connections are made of is kept up to date.
    pub is_watched: bool,
    /// Which bytes are wanted besides.
    pub tap: Tap,
}

impl Options {
    /// Q.4164, any port, 10 seconds, one thread.
    pub fn new(definitions: Arc<Definitions>) -> Self {
        Self {
            definitions,
            ports: Vec::new(),
            time_out: Span::from_secs(10),
            threads: 1,
            secrets: Secrets::default(),
            waits_for_secrets: false,
            is_watched: false,
            tap: Tap::Nothing,
        }
    }
}

/// From packets to procedures.
pub struct Analyzer {
    definitions: Arc<Definitions>,
    /// Reads the packets, unless it was detached.
    front: Front,
    /// What it read; empty between batches.
    segments: Segments,
    /// What could not be read in packets so far.
    undecoded: Undecoded,
    /// How far back messages may be placed.
    floor: (u32, u32),
    pool: Pool,
    reorder: Reorder,
    correlator: Correlator,
    journal: Journal,
    ports: Vec<u16>,
    secrets: Secrets,
    /// Secrets that were not needed so far.
    reserve: Option<Reserve>,
    /// TLS sessions that no worker was told yet.
    sessions: Vec<SessionSecret>,
    /// Secrets became known that no worker was told yet.
    has_news: bool,
    packets: u32,
    last: Timestamp,
    /// Everything before this packet was correlated.
    released: u32,
    under_way: usize,
    tapped: Vec<Tapped>,
    /// Outputs whose memory can be used again.
    spare: Vec<Output>,
}

/// Finds secrets.
type Reserve = Box<dyn FnOnce() -> Secrets + Send>;

impl Analyzer {
    /// An analyzer that has seen nothing.
    pub fn new(options: Options) -> Self {
        let definitions = options.definitions;
        let codes = Arc::new(CommandCodes::new(
            definitions.messages.iter().map(|message| message.code.0),
            definitions.directions.iter().map(|&(prefix, _)| prefix),
        ));
        let workers = options.threads.saturating_sub(1).max(1);
        let hasher = TextHasher::default();
        let make = |index| {
            let (codes, definitions) = (Arc::clone(&codes), Arc::clone(&definitions));
            let wishes = Wishes {
                waits_for_secrets: options.waits_for_secrets,
                is_watched: options.is_watched,
                tap: options.tap.clone(),
            };
            Worker::new(codes, definitions, hasher.clone(), (index, workers), wishes)
        };
        Self {
            front: Front::new(),
            segments: Segments::default(),
            undecoded: Undecoded::default(),
            floor: (0, 0),
            pool: Pool::new((0..workers).map(make).collect(), options.threads > 1),
            reorder: Reorder::default(),
            correlator: Correlator::new(&definitions, options.time_out),
            journal: Journal::new(Arc::clone(&definitions), hasher.clone()),
            definitions,
            ports: options.ports,
            secrets: options.secrets,
            reserve: None,
            sessions: Vec::new(),
            has_news: false,
            packets: 0,
            last: Timestamp::default(),
            released: 0,
            under_way: 0,
            tapped: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Says where secrets can be found that need not be looked for unless there is TLS: `find` is called before the
    /// first segment is taken that looks like it. What was given otherwise overrides them.
    pub fn reserve_secrets(&mut self, find: impl FnOnce() -> Secrets + Send + 'static) {
        self.reserve = Some(Box::new(find));
    }

    /// Takes more TLS secrets, as an NSS key log has them; they hold from the next batch on.
    pub fn add_secrets(&mut self, key_log: &[u8]) -> tls::Added {
        let added = self.secrets.add(key_log);
        self.has_news |= added.secrets > 0;
        added
    }

    /// Takes the next packets.
    pub fn batch(&mut self, batch: &Batch) {
        let mut segments = std::mem::take(&mut self.segments);
        self.front.read(batch, &mut segments);
        self.segments(&mut segments, &batch.blocks);
        self.segments = segments;
    }

    /// Gives away what reads the packets, for another thread to run: from now on [`Analyzer::segments`] takes what it
    /// makes of the batches, in order, and [`Analyzer::batch`] is not called any more.
    pub fn detach(&mut self) -> Front {
        std::mem::replace(&mut self.front, Front::new())
    }

    /// Takes the segments of the next batch, which lie in `blocks`.
    pub fn segments(&mut self, segments: &mut Segments, blocks: &[Block]) {
        if self.packets == 0 {
            self.journal.start = segments.first;
        }
        (self.packets, self.last, self.floor) = (segments.packets, segments.last, segments.floor);
        if let Some(undecoded) = segments.undecoded.take() {
            self.undecoded = undecoded;
        }
        if segments.has_tls {
            self.use_reserve();
        }
        self.note_comments(segments, blocks);
        let mut works = self.works(blocks);
        let known = |found: &Found| self.journal.connections.get(found.located.connection as usize);
        segments.found.iter().filter_map(known).for_each(Connection::prefetch);
        segments.found.iter_mut().for_each(|found| self.segment(found, &mut works));
        self.submit(works);
        while self.under_way > self.pool.pipeline() {
            self.collect();
        }
    }

    /// Keeps what the capture says of the packets of connections.
    fn note_comments(&mut self, segments: &mut Segments, blocks: &[Block]) {
        for (packet, comment) in segments.comments.drain(..) {
            if let Ok(at) = segments.found.binary_search_by_key(&packet, |found| found.stamp.packet) {
                let connection = segments.found[at].located.connection;
                self.journal.comments.keep(connection, packet, &comment.text(blocks));
            }
        }
    }

    /// Tries what waits for TLS secrets with those that became known, without waiting for the next packets.
    pub fn retry(&mut self) {
        self.settle_secrets(Stamp { packet: self.packets, time: self.last });
    }

    /// Calls requests unanswered whose time-out has passed, instead of when the next message on their connection comes:
    /// for who looks at the journal while it grows. Waits for nothing, so it does so only where nothing is under way.
    pub fn expire(&mut self) {
        if self.under_way == 0 && self.released > self.packets {
            self.correlator.expire(&mut self.journal, self.last);
        }
    }

    /// The capture is over. The journal is final after this.
    pub fn finish(&mut self) -> &Journal {
        self.close();
        self.settle();
        &self.journal
    }

    /// The capture is over: the journal has all that there is, the last of it behind what was there before.
    pub fn close(&mut self) {
        let stamp = Stamp { packet: self.packets, time: self.last };
        self.settle_secrets(stamp);
        let mut works = self.works(&[]);
        works.iter_mut().for_each(|work| work.tasks.push(Task::Finish { stamp }));
        self.submit(works);
        while self.under_way > 0 {
            self.collect();
        }
        self.release(u32::MAX);
        self.correlator.finish(&mut self.journal, self.last);
    }

    /// Puts the journal of a capture that is over into its final order.
    pub fn settle(&mut self) {
        self.journal.settle();
    }

    /// Lets every worker know all secrets before the end, for one's may open another's.
    fn settle_secrets(&mut self, stamp: Stamp) {
        loop {
            while self.under_way > 0 {
                self.collect();
            }
            if !self.has_news {
                return;
            }
            let mut works = self.works(&[]);
            works.iter_mut().for_each(|work| work.tasks.push(Task::Retry { stamp }));
            self.submit(works);
        }
    }

    fn use_reserve(&mut self) {
        if let Some(find) = self.reserve.take() {
            let mut secrets = find();
            secrets.extend(&self.secrets);
            self.secrets = secrets;
        }
    }

    /// What was found so far.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The journal, for keeps.
    pub fn into_journal(self) -> Journal {
        self.journal
    }

    /// What could not be read in packets, by reason.
    pub fn undecoded(&self) -> Undecoded {
        self.undecoded.clone()
    }

    /// The TLS secrets known so far.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Takes what was tapped since the last call: of each connection in the order in which it was captured.
    pub fn take_tapped(&mut self) -> Vec<Tapped> {
        std::mem::take(&mut self.tapped)
    }

    fn works(&mut self, blocks: &[Block]) -> Vec<Work> {
        let floor = self.floor;
        let sessions = Arc::new(std::mem::take(&mut self.sessions));
        self.has_news = false;
        let work = |_| {
            let mut output = self.spare.pop().unwrap_or_default();
            output.reuse();
            let (tasks, secrets) = (std::mem::take(&mut output.done), self.secrets.clone());
            let sessions = Arc::clone(&sessions);
            Work { tasks, blocks: blocks.to_vec(), secrets, sessions, output, floors: vec![floor] }
        };
        (0..self.pool.workers()).map(work).collect()
    }

    fn segment(&mut self, found: &mut Found, works: &mut [Work]) {
        let Found { segment, located, stamp, floor, block, offset } = found;
        let (located, stamp, floor) = (*located, *stamp, *floor);
        let length = segment.payload.length();
        if let Some(replaced) = located.replaces {
            let index = worker_of(replaced, works.len());
            works[index].tasks.push(Task::Retire { connection: replaced, stamp });
        }
        self.note_connection(segment, located, stamp);
        if located.is_idle {
            // There is nothing to put into order yet.
            return;
        }
        let index = worker_of(located.connection, works.len());
        let work = &mut works[index];
        if work.floors.last() != Some(&floor) {
            work.floors.push(floor);
        }
        let (block, offset, place) = match &mut segment.payload {
            Payload::InPacket { offset: within, .. } => (*block, *offset + u64::from(*within), true),
            Payload::Reassembled(bytes) => {
                work.blocks.push(Block::new(std::mem::take(bytes), Place::default()));
                (work.blocks.len() as u16 - 1, 0, false)
            }
        };
        let insist = !self.ports.is_empty()
            && (self.ports.contains(&segment.source.port) || self.ports.contains(&segment.destination.port));
        work.tasks.push(Task::Segment(SegmentTask {
            connection: located.connection,
            side: if located.from_initiator { Side::Initiator } else { Side::Responder },
            initial: located.initial,
            swaps_sides: located.swaps_sides,
            sequence: segment.sequence,
            acknowledgment: segment.flags.has(Flags::ACK).then_some(segment.acknowledgment),
            flags: segment.flags,
            stamp,
            offset,
            length,
            missing: segment.missing,
            block,
            in_capture: place,
            insist,
        }));
    }

    fn note_connection(&mut self, segment: &Segment, located: Located, stamp: Stamp) {
        if located.is_new {
            self.journal.connections.push(Connection {
                ends: [segment.source, segment.destination],
                start: stamp.time,
                end: stamp.time,
                packets: 0,
                messages: 0,
                closed: None,
                fins: 0,
                km: None,
                traffic: Traffic::default(),
            });
        }
        let connection = &mut self.journal.connections[located.connection as usize];
        // Only a SYN changes who that is, once the first packet was seen.
        if located.is_new || segment.flags.has(Flags::SYN) {
            let initiator = if located.from_initiator { segment.source } else { segment.destination };
            if connection.ends[0] != initiator {
                connection.swap_sides();
            }
        }
        connection.packets += 1;
        connection.note_time(stamp.time);
        if segment.flags.has(Flags::FIN) {
            connection.fins |= 1 << u8::from(!located.from_initiator);
        }
        if segment.flags.has(Flags::RST) {
            connection.closed = connection.closed.or(Some(Closed::Rst));
        } else if connection.fins == 3 {
            connection.closed = connection.closed.or(Some(Closed::Fin));
        }
    }

    fn submit(&mut self, works: Vec<Work>) {
        self.pool.submit(works);
        self.under_way += 1;
        self.reorder.expect(self.packets, self.floor.1);
    }

    /// Takes what the workers made of the oldest batch.
    fn collect(&mut self) {
        self.under_way -= 1;
        let mut outputs = self.pool.collect();
        for output in &mut outputs {
            self.has_news |= !output.sessions.is_empty() && self.pool.workers() > 1;
            self.sessions.append(&mut output.sessions);
            for (connection, facts) in &output.tls {
                self.journal.tls.insert(*connection, facts.clone());
            }
            for (connection, trouble) in &output.troubles {
                self.journal.note_trouble(*connection, trouble.clone());
            }
            for &(connection, traffic) in &output.traffic {
                self.journal.connections[connection as usize].traffic = traffic;
            }
        }
        let until = self.reorder.add(outputs, &mut self.tapped);
        self.release(until);
    }

    /// Correlates everything that comes before `until` in capture order.
    fn release(&mut self, until: u32) {
        self.released = until;
        let Self { reorder, correlator, journal, definitions, spare, .. } = self;
        reorder.release(until, spare, |event, later, outputs| {
            correlator.prefetch(journal, |ahead| later.get(ahead).map(|event| event.connection));
            if let Some(next) = later.get(2 * AHEAD) {
                next.prefetch(outputs.of(next));
            }
            if let Some(next) = later.get(AHEAD)
                && let Some(seen) = next.message(outputs.of(next))
            {
                correlator.prefetch_texts(journal, seen, &outputs.of(next).texts);
            }
            event.apply(outputs.of(event), correlator, definitions, journal);
        });
    }
}

/// Which of the workers has this connection. Most often there is one, and a division takes as long as a look into a
/// cache.
#[inline]
fn worker_of(connection: u32, workers: usize) -> usize {
    if workers == 1 { 0 } else { connection as usize % workers }
}
