//! Messages in the order of a column. What a message is sorted by is a number, found without a look at its payload, so
//! that millions are sorted while the user waits for it.

use std::collections::HashMap;

use super::names::Names;
use crate::journal::{Record, Side, View};

/// Sorts `messages`, which ascend, by the column called `key`; those that are equal there stay in their order.
pub fn sort(view: View<'_>, names: &Names, key: &str, messages: &mut Vec<u32>) {
    let ranks = match key {
        "source" | "destination" => peers(view, names),
        "message" => message_names(view, messages),
        _ => HashMap::new(),
    };
    let of = |index: u32| number(view.record(index), key, &ranks, index);
    let mut keyed: Vec<(i64, u32)> = messages.iter().map(|&index| (of(index), index)).collect();
    keyed.sort_unstable();
    messages.clear();
    messages.extend(keyed.into_iter().map(|(_, index)| index));
}

/// What a message is sorted by; names are given by their ranks.
fn number(record: &Record, key: &str, ranks: &HashMap<u64, i64>, index: u32) -> i64 {
    let rank = |name| ranks.get(&name).copied().unwrap_or(i64::MAX);
    match key {
        "time" => record.time.0,
        "finding" => record.worst.map_or(0, |severity| severity as i64 + 1),
        "source" => rank(peer(record.connection, record.side)),
        "destination" => rank(peer(record.connection, record.side.other())),
        "message" => rank(kind(record)),
        "id" => record.message_id.into(),
        "code" => record.code.0.into(),
        "length" => record.length.into(),
        "packet" => record.packet.into(),
        "connection" => record.connection.into(),
        "procedure" => record.procedure.into(),
        _ => index.into(),
    }
}

/// A side of a connection.
fn peer(connection: u32, side: Side) -> u64 {
    u64::from(connection) << 1 | side as u64
}

/// What messages of one name have in common.
fn kind(record: &Record) -> u64 {
    u64::from(record.code.0)
}

fn peers(view: View<'_>, names: &Names) -> HashMap<u64, i64> {
    let connections = 0..view.journal.connections.len() as u32;
    let sides = connections.flat_map(|connection| [(connection, Side::Initiator), (connection, Side::Responder)]);
    ranks(sides.map(|(connection, side)| (names.lane(view, connection, side).name, peer(connection, side))))
}

fn message_names(view: View<'_>, messages: &[u32]) -> HashMap<u64, i64> {
    let mut kinds: HashMap<u64, &str> = HashMap::new();
    for &index in messages {
        let record = view.record(index);
        kinds.entry(kind(record)).or_insert_with(|| view.name(record));
    }
    ranks(kinds.into_iter().map(|(kind, name)| (name, kind)))
}

/// By what has a name, the place of that name among all.
fn ranks<N: Ord>(named: impl Iterator<Item = (N, u64)>) -> HashMap<u64, i64> {
    let mut all: Vec<(N, u64)> = named.collect();
    all.sort_unstable();
    let (mut ranks, mut rank) = (HashMap::with_capacity(all.len()), 0);
    for (at, (name, what)) in all.iter().enumerate() {
        rank += i64::from(at > 0 && *name != all[at - 1].0);
        ranks.insert(*what, rank);
    }
    ranks
}
