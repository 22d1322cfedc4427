//! What is said on stderr, once captures are read, about what could not be read.

use super::say;
use crate::capture::file::Reader;
use crate::journal::{Journal, MAX_EXCHANGE, Protocol};
use crate::packet::Undecoded;

/// Says what could not be read; whether there was anything.
pub fn report(reader: &Reader, undecoded: &Undecoded) -> bool {
    let problems = problems(reader, undecoded);
    problems.iter().for_each(say);
    !problems.is_empty()
}

/// What could not be read, a sentence each.
pub fn problems(reader: &Reader, undecoded: &Undecoded) -> Vec<String> {
    let damages = reader.files().iter().filter_map(|file| Some(format!("{}: {}", file.name, file.damage.as_ref()?)));
    damages.chain(undecoded.to_string().lines().map(str::to_owned)).collect()
}

/// Says what of a capture could not be decoded, or is not shown; whether that is a problem.
pub fn report_journal(journal: &Journal) -> bool {
    report_comments(journal);
    report_ties(journal);
    report_leftovers(journal) | report_undecoded(journal)
}

/// Says how many bytes on Ck connections belong to no message, if any do: a peer's fault or ours, never to be passed
/// over.
fn report_leftovers(journal: &Journal) -> bool {
    let left = journal.connections.iter().map(|connection| connection.traffic.undecoded.iter().sum::<u64>());
    let (bytes, connections) = left.filter(|&bytes| bytes > 0).fold((0, 0), |(all, n), bytes| (all + bytes, n + 1));
    match (bytes, connections) {
        (0, _) => {}
        (bytes, 1) => {
            say(format_args!("{bytes} bytes of 1 Ck connection belong to no message (ckscope connections lists it)"))
        }
        (bytes, connections) => say(format_args!(
            "{bytes} bytes of {connections} Ck connections belong to no message (ckscope connections lists them)"
        )),
    }
    bytes > 0
}

/// Says which comments are not kept, which is no fault of the capture.
fn report_comments(journal: &Journal) {
    let (omitted, known) = (journal.comments.omitted(), journal.comments.known());
    if omitted > 0 {
        say(format_args!("{omitted} comments from packet {} on are not shown: they are too many", known + 1));
    }
}

/// Says how many procedures are not shown as related that are, which is no fault of the capture either.
fn report_ties(journal: &Journal) {
    let omitted = journal.omitted_ties();
    let (ties, are) = if omitted == 1 { ("tie", "is") } else { ("ties", "are") };
    if omitted > 0 {
        say(format_args!(
            "{omitted} {ties} between procedures {are} not shown: at most {MAX_EXCHANGE} procedures are shown as related"
        ));
    }
}

/// Says what TLS stays closed and what gRPC could not be named; whether that concerns a connection that carries Ck.
///
/// A connection of which nothing is known need not be Ck, so that it stays closed is no fault of the capture.
fn report_undecoded(journal: &Journal) -> bool {
    let closed = journal.tls.values().filter(|facts| !facts.decrypted && facts.undecrypted() > 0).count();
    if closed > 0 {
        let connections = if closed == 1 { "connection is" } else { "connections are" };
        say(format_args!("{closed} TLS {connections} not decrypted (ckscope connections tells why)"));
    }
    let mut problems = false;
    let partly = journal.tls.values().filter(|facts| facts.decrypted && facts.undecrypted() > 0);
    let records: u64 = partly.map(|facts| facts.undecrypted()).sum();
    if records > 0 {
        say(format_args!("{records} TLS records are not decrypted (ckscope connections tells where and why)"));
        problems = true;
    }
    for index in 0..journal.connections.len() as u32 {
        problems |= report_troubles(journal, index);
    }
    problems
}

/// Says what could not be decoded on a connection; of one that carries no Ck, only that it may be Ck after all.
fn report_troubles(journal: &Journal, index: u32) -> bool {
    let protocol = journal.connections[index as usize].traffic.protocol;
    let carries_ck = matches!(protocol, Protocol::Grpc | Protocol::GrpcTls);
    // A call that failed was read whole.
    let told = |kind: &str| match kind {
        "failed-call" => false,
        "unknown-method" | "unnamed-message" => true,
        _ => carries_ck,
    };
    let mut troubles = journal.troubles(index).iter().filter(|trouble| told(trouble.kind)).peekable();
    let any = troubles.peek().is_some();
    for trouble in troubles {
        let times = if trouble.count > 1 { format!(" (and {} times more)", trouble.count - 1) } else { String::new() };
        say(format_args!("connection {}, packet {}: {}{times}", index + 1, trouble.packet, trouble.text));
    }
    any && carries_ck
}
