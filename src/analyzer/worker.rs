//! One worker: its share of the connections.

use std::collections::VecDeque;
use std::sync::Arc;

use super::allowance::Allowance;
use super::pair::Pair;
use super::sink::Sink;
use super::work::{Output, SegmentTask, Tap, Task, Work};
use crate::capture::Block;
use crate::dissect::{Definitions, Indexer, TextHasher};
use crate::framing::CommandCodes;
use crate::journal::Traffic;
use crate::prefetch::{AHEAD, prefetch};
use crate::stream::Stamp;
use crate::tls::Secrets;

/// Bytes that may wait behind holes on all connections, an equal part for each worker; beyond it holes are given up.
const MAX_HELD: usize = 256 << 20;

/// Bytes that may wait for secrets on connections that are over, an equal part for each worker.
const MAX_OVER: usize = 64 << 20;

/// Bytes that a connection takes besides what waits in it, roughly.
const LIVE: usize = 8 << 10;

/// A worker and its connections.
#[derive(Debug)]
pub struct Worker {
    tools: Tools,
    /// Connections are dealt out in turn, so a worker's own are every `share`-th.
    share: usize,
    /// Its first one.
    first: usize,
    /// What open connections are made of is told after each batch.
    is_watched: bool,
    slots: Vec<Slot>,
    /// Connections in which something waits.
    holding: Vec<u32>,
    /// Secrets became known with which nothing was tried yet.
    has_news: bool,
    /// Connections in which something waits for a secret.
    awaiting: Vec<u32>,
    /// Of those, the ones that are over, and the bytes that wait in them.
    over: VecDeque<(u32, usize)>,
    over_bytes: usize,
    /// A packet not later than any that brought what waits.
    since: Option<u32>,
    /// Segments since that was looked at.
    segments: usize,
    held: usize,
    /// Its part of [`MAX_HELD`].
    max_held: usize,
}

/// What a worker reads messages with.
#[derive(Debug)]
struct Tools {
    codes: Arc<CommandCodes>,
    indexer: Indexer,
    secrets: Secrets,
    waits_for_secrets: bool,
    allowance: Allowance,
    tap: Tap,
}

/// What is wanted of a worker besides messages.
pub struct Wishes {
    /// What lacks TLS secrets waits for them.
    pub waits_for_secrets: bool,
    /// What open connections are made of is told after each batch.
    pub is_watched: bool,
    /// Which bytes are wanted.
    pub tap: Tap,
}

impl Tools {
    /// Where what is found on `connection` at packet `now` goes.
    fn sink<'a>(&'a mut self, output: &'a mut Output, connection: u32, now: Stamp, floor: u32) -> Sink<'a> {
        let Self { codes, indexer, secrets, waits_for_secrets, allowance, tap } = self;
        let waits_for_secrets = *waits_for_secrets;
        Sink { codes, indexer, output, secrets, allowance, waits_for_secrets, tap, connection, now, floor }
    }
}

#[derive(Debug, Default)]
enum Slot {
    /// No payload seen.
    #[default]
    Idle,
    Live(Box<Pair>),
    /// Both sides ended.
    Over(Box<Traffic>),
}

impl Worker {
    pub fn new(
        codes: Arc<CommandCodes>,
        definitions: Arc<Definitions>,
        hasher: TextHasher,
        (first, share): (usize, usize),
        Wishes { waits_for_secrets, is_watched, tap }: Wishes,
    ) -> Self {
        let indexer = Indexer::new(definitions, hasher);
        Self {
            tools: Tools {
                codes,
                indexer,
                secrets: Secrets::default(),
                waits_for_secrets,
                allowance: Allowance::default(),
                tap,
            },
            share,
            first,
            is_watched,
            slots: Vec::new(),
            holding: Vec::new(),
            has_news: false,
            awaiting: Vec::new(),
            over: VecDeque::new(),
            over_bytes: 0,
            since: None,
            segments: 0,
            held: 0,
            max_held: MAX_HELD / share,
        }
    }

    /// Does its part of a batch.
    pub fn run(&mut self, mut work: Work) -> Output {
        let mut output = std::mem::take(&mut work.output);
        self.learn(&work, &mut output);
        let mut floors = work.floors.iter().copied().peekable();
        let mut floor = floors.next().map_or(0, |(_, floor)| floor);
        for index in 0..work.tasks.len() {
            self.prefetch(&work.tasks[index..]);
            let task = &work.tasks[index];
            let stamp = task.stamp();
            while let Some(&(from, next)) = floors.peek()
                && from <= stamp.packet
            {
                floor = next;
                floors.next();
            }
            match task {
                Task::Segment(task) => {
                    let sessions = output.sessions.len();
                    if self.segment(task, &work.blocks, floor, &mut output) {
                        self.await_secret(task.connection, task.stamp, floor, &mut output);
                    }
                    self.learn_sessions(sessions, task.stamp, floor, &mut output);
                }
                Task::Retire { connection, stamp } => self.retire(*connection, *stamp, floor, &mut output),
                Task::Retry { .. } => {}
                Task::Finish { stamp } => self.finish(*stamp, floor, &mut output),
            }
        }
        if self.is_watched {
            self.tell_traffic(&work.tasks, &mut output);
        }
        work.tasks.clear();
        output.held_since = self.held_since();
        output.done = work.tasks;
        output
    }

    /// Says what the connections that `tasks` are about are made of so far, those that are not over.
    fn tell_traffic(&self, tasks: &[Task], output: &mut Output) {
        let of = |task: &Task| if let Task::Segment(task) = task { Some(task.connection) } else { None };
        let mut touched: Vec<u32> = tasks.iter().filter_map(of).collect();
        touched.sort_unstable();
        touched.dedup();
        for connection in touched {
            if let Some(Slot::Live(pair)) = self.slots.get(slot_of(connection, self.share)) {
                output.traffic.push((connection, pair.traffic()));
            }
        }
    }

    /// Takes the secrets that became known; what waits for them is tried again.
    fn learn(&mut self, work: &Work, output: &mut Output) {
        let secrets = &mut self.tools.secrets;
        self.has_news |= secrets.renew(&work.secrets) | secrets.learn(&work.sessions);
        let Some(stamp) = work.tasks.first().map(Task::stamp).filter(|_| self.has_news) else { return };
        self.has_news = false;
        let floor = work.floors.first().map_or(0, |(_, floor)| *floor);
        self.retry(stamp, floor, output);
        self.learn_sessions(0, stamp, floor, output);
    }

    /// Takes the sessions found since `output` had so many; what waits for them is tried again, and may show more.
    fn learn_sessions(&mut self, mut from: usize, stamp: Stamp, floor: u32, output: &mut Output) {
        while from < output.sessions.len() {
            let news = self.tools.secrets.learn(&output.sessions[from..]);
            from = output.sessions.len();
            if news {
                self.retry(stamp, floor, output);
            }
        }
    }

    /// Tries again what waits for a secret.
    fn retry(&mut self, stamp: Stamp, floor: u32, output: &mut Output) {
        for connection in std::mem::take(&mut self.awaiting) {
            self.with_pair(connection, stamp, floor, output, Pair::retry);
        }
    }

    /// Lets `act` move a connection that waits, and concludes it if it is over.
    fn with_pair(
        &mut self,
        connection: u32,
        stamp: Stamp,
        floor: u32,
        output: &mut Output,
        act: impl FnOnce(&mut Pair, &mut Sink<'_>),
    ) {
        let slot = &mut self.slots[slot_of(connection, self.share)];
        let Slot::Live(pair) = slot else { return };
        act(pair, &mut self.tools.sink(output, connection, stamp, floor));
        recount(&mut self.held, pair);
        output.tls.extend(pair.take_tls_news().map(|facts| (connection, facts)));
        pair.is_awaiting = pair.awaits_secret();
        if pair.is_awaiting {
            self.awaiting.push(connection);
        } else if pair.is_over() {
            self.held -= pair.counted;
            let traffic = pair.conclude(connection, output);
            *slot = Slot::Over(Box::new(traffic));
        }
    }

    /// Notes that something waits for a secret. What is over waits as long as there is room for it.
    fn await_secret(&mut self, connection: u32, stamp: Stamp, floor: u32, output: &mut Output) {
        let Some(Slot::Live(pair)) = self.slots.get_mut(slot_of(connection, self.share)) else { return };
        if !std::mem::replace(&mut pair.is_awaiting, true) {
            self.awaiting.push(connection);
        }
        if pair.has_ended() && self.over.back().is_none_or(|&(last, _)| last != connection) {
            let bytes = pair.held_bytes() + LIVE;
            self.over.push_back((connection, bytes));
            self.over_bytes += bytes;
        }
        while self.over_bytes > MAX_OVER / self.share {
            let Some((oldest, bytes)) = self.over.pop_front() else { return };
            self.over_bytes -= bytes;
            self.with_pair(oldest, stamp, floor, output, Pair::give_up_waiting);
        }
    }

    /// Asks for what the tasks that follow the first one will look at.
    fn prefetch(&self, tasks: &[Task]) {
        let slot = |ahead: usize| match tasks.get(ahead)? {
            Task::Segment(task) => self.slots.get(slot_of(task.connection, self.share)),
            _ => None,
        };
        if let Some(slot) = slot(2 * AHEAD) {
            prefetch(slot);
        }
        if let Some(Slot::Live(pair)) = slot(AHEAD) {
            prefetch(&**pair);
        }
    }

    /// Takes a segment; whether its connection now waits for a secret.
    fn segment(&mut self, task: &SegmentTask, blocks: &[Block], floor: u32, output: &mut Output) -> bool {
        self.segments += 1;
        let index = slot_of(task.connection, self.share);
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Slot::default);
        }
        let slot = &mut self.slots[index];
        let pair = match slot {
            Slot::Live(pair) => pair,
            Slot::Idle if task.length == 0 && task.missing == 0 => return false,
            Slot::Idle => {
                *slot = Slot::Live(Box::default());
                let Slot::Live(pair) = slot else { return false };
                pair
            }
            Slot::Over(traffic) => {
                if task.length > 0 {
                    traffic.retransmitted += 1;
                    output.traffic.push((task.connection, **traffic));
                }
                return false;
            }
        };
        let block = &blocks[task.block as usize];
        let start = task.offset as usize;
        let bytes = &block.bytes()[start..start + task.length as usize];
        let place = task.in_capture.then(|| block.place().plus(task.offset));
        let mut sink = self.tools.sink(output, task.connection, task.stamp, floor);
        pair.segment(task, bytes, place, &mut sink);
        recount(&mut self.held, pair);
        if self.held > self.max_held {
            pair.give_up_waiting(&mut sink);
            recount(&mut self.held, pair);
        }
        if let Some(facts) = pair.take_tls_news() {
            output.tls.push((task.connection, facts));
        }
        if pair.holds() && !pair.is_holding {
            pair.is_holding = true;
            self.holding.push(task.connection);
            self.since = [self.since, pair.held_since()].into_iter().flatten().min();
        }
        if pair.is_over() {
            self.held -= pair.counted;
            let traffic = pair.conclude(task.connection, output);
            *slot = Slot::Over(Box::new(traffic));
            return false;
        }
        pair.awaits_secret()
    }

    fn retire(&mut self, connection: u32, stamp: Stamp, floor: u32, output: &mut Output) {
        let Some(slot) = self.slots.get_mut(slot_of(connection, self.share)) else { return };
        let Slot::Live(pair) = slot else { return };
        self.held -= pair.counted;
        pair.retire(&mut self.tools.sink(output, connection, stamp, floor));
        let traffic = pair.conclude(connection, output);
        *slot = Slot::Over(Box::new(traffic));
    }

    /// Ends every connection without calling its requests unanswered: the capture ended, not they.
    fn finish(&mut self, stamp: Stamp, floor: u32, output: &mut Output) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Slot::Live(pair) = slot else { continue };
            let connection = (index * self.share + self.first) as u32;
            pair.flush(&mut self.tools.sink(output, connection, stamp, floor));
            pair.conclude(connection, output);
        }
    }

    /// A packet not later than any that brought something that waits. Looking at every connection that holds costs as
    /// much as there are, so it is done after as many segments only: a packet that is too early only lets others wait.
    fn held_since(&mut self) -> Option<u32> {
        if self.segments >= self.holding.len() {
            self.segments = 0;
            let Self { slots, holding, share, .. } = self;
            self.since = None;
            holding.retain(|&connection| {
                let Slot::Live(pair) = &mut slots[slot_of(connection, *share)] else { return false };
                let held = pair.held_since();
                pair.is_holding = held.is_some();
                self.since = [self.since, held].into_iter().flatten().min();
                pair.is_holding
            });
        }
        self.since
    }
}

/// Counts anew what waits in `pair`, which is a part of the `held` of its worker.
fn recount(held: &mut usize, pair: &mut Pair) {
    let bytes = pair.held_bytes();
    *held = *held - std::mem::replace(&mut pair.counted, bytes) + bytes;
}

/// Where a worker with every `share`-th connection has this one. It is asked for several times a segment, and a division
/// takes as long as a look into a cache.
#[inline]
fn slot_of(connection: u32, share: usize) -> usize {
    if share == 1 { connection as usize } else { connection as usize / share }
}
