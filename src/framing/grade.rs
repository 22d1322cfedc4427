//! Whether bytes look like a PDU of Ck over TCP, and how much: what detection and resynchronisation go by.

use super::header::{CommandCodes, HEADER, Header, MAX_LENGTH};
use super::json;

/// Payload bytes of a PDU that is found by the header behind it, at most: one that is no object is short, and this much
/// is looked at again with each segment.
const MAX_CHAINED: usize = 1024;

/// What ends a line of HTTP (RFC 9112 2.1): behind it, in a stream joined midway, a message is likely to be the body of
/// something else.
pub const END_OF_LINE: &[u8] = b"\r\n";

/// How a sender departs from Figure I.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Habits {
    /// Writes its header in little-endian order.
    pub little_endian: bool,
    /// Counts the header in Length.
    pub counts_header: bool,
}

/// How well the beginning of some bytes looks like a PDU.
pub enum Grade {
    /// A known code, and one object that ends where Length says.
    Strong(Habits),
    /// A known code or prefix with an odd payload of this length.
    Medium(Habits, usize),
    /// An unknown code with one object that ends where Length says, or a known code or prefix with a payload of this
    /// length that is no JSON.
    Weak(usize),
    /// The payload is not whole yet, and begins as an object or follows a known code.
    Partial(Habits, Named),
    /// No PDU.
    None,
}

/// Whether a definition names the command code.
pub type Named = bool;

/// Byte orders of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As Figure I.1 means it.
    Network,
    /// As a careless peer writes it.
    Little,
}

/// The byte order in which the header at the beginning of `bytes` names a known code.
pub fn known_order(codes: &CommandCodes, bytes: &[u8]) -> Option<Order> {
    let header = bytes.first_chunk::<HEADER>()?;
    if codes.is_known(Header::read(header, false).code) {
        Some(Order::Network)
    } else {
        codes.is_known(Header::read(header, true).code).then_some(Order::Little)
    }
}

/// Where a payload ends whose Length counts the header: `Some` if its object closes ten bytes early, at the end of
/// what is there or before another header.
pub fn length_without_header(codes: &CommandCodes, rest: &[u8], claimed: usize, little_endian: bool) -> Option<usize> {
    let length = claimed.checked_sub(HEADER)?;
    if length == 0 || rest.get(length - 1) != Some(&b'}') {
        return None;
    }
    let after = &rest[length..];
    let another = after.first_chunk().is_some_and(|header| codes.is_known(Header::read(header, little_endian).code));
    ((after.is_empty() || another) && json::is_whole_object(&rest[..length])).then_some(length)
}

/// How well the beginning of `bytes`, which hold a header, looks like a PDU.
pub fn grade(codes: &CommandCodes, bytes: &[u8]) -> Grade {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return Grade::None };
    let big = Header::read(header, false);
    let little = Header::read(header, true);
    let little_endian = !codes.is_known(big.code) && codes.is_known(little.code);
    let header = if little_endian { little } else { big };
    let named = codes.is_known(header.code);
    let habits = Habits { little_endian, counts_header: false };
    let claimed = usize::from(header.length);
    if named && length_without_header(codes, rest, claimed, little_endian).is_some() {
        return Grade::Strong(Habits { little_endian, counts_header: true });
    }
    let Some(payload) = rest.get(..claimed) else {
        let promising = json::may_begin_object(rest) || (named && !little_endian);
        return if promising { Grade::Partial(habits, named) } else { Grade::None };
    };
    let whole = json::is_whole_object(payload);
    match (named, whole) {
        (true, true) => Grade::Strong(habits),
        (true, false) if little_endian => Grade::None,
        (true, false) if payload.is_empty() || json::begins_value(payload) => Grade::Medium(habits, claimed),
        (false, true) if codes.is_of_a_family(header.code) => Grade::Medium(habits, claimed),
        (false, true) => Grade::Weak(claimed),
        // Says little by itself; what follows where its Length ends may say more.
        (true, false) => Grade::Weak(claimed),
        (false, false) if codes.is_of_a_family(header.code) => Grade::Weak(claimed),
        (false, false) => Grade::None,
    }
}

/// Whether a PDU with an object begins at `start`, where the header names a known code.
pub enum Sighting {
    /// It does.
    Pdu(Habits),
    /// More bytes will tell.
    Open,
    /// It does not.
    None,
}

/// Looks for an object behind the header at `start`; what it searched is taken from `budget`.
pub fn object_at(codes: &CommandCodes, bytes: &[u8], start: usize, certain: bool, budget: &mut u32) -> Sighting {
    let payload = &bytes[start + HEADER..];
    if !json::may_begin_object(payload) {
        return Sighting::None;
    }
    let graded = grade(codes, &bytes[start..]);
    if !json::begins_object(payload) {
        return if matches!(graded, Grade::Partial(..)) { Sighting::Open } else { Sighting::None };
    }
    // What is not whole yet was not searched.
    if !matches!(graded, Grade::Partial(..)) {
        *budget = budget.saturating_sub(payload.len().min(MAX_LENGTH) as u32);
    }
    match graded {
        Grade::Strong(habits) if certain || !bytes[..start].ends_with(END_OF_LINE) => Sighting::Pdu(habits),
        Grade::Medium(habits, _) | Grade::Partial(habits, _) if certain => Sighting::Pdu(habits),
        Grade::Partial(..) => Sighting::Open,
        _ => Sighting::None,
    }
}

/// Whether headers follow each other where their Lengths end.
pub enum Chain {
    /// They do; the length of the first PDU.
    Holds(usize),
    /// More bytes will tell.
    Open,
    /// They do not.
    Broken,
}

/// Follows `links` PDUs at the beginning of `bytes`, each of a known code, to one more such header, or to the end if it
/// is the `last`. Two or more must have something of JSON among them.
pub fn chain(codes: &CommandCodes, bytes: &[u8], habits: Habits, links: usize, last: bool) -> Chain {
    let unknown = if last { Chain::Broken } else { Chain::Open };
    let (mut at, mut first, mut has_value) = (0, 0, links == 1);
    for _ in 0..links {
        let Some((header, payload)) = bytes[at..].split_first_chunk::<HEADER>() else { return unknown };
        let header = Header::read(header, habits.little_endian);
        let counted = if habits.counts_header { HEADER } else { 0 };
        let length = usize::from(header.length).saturating_sub(counted);
        if !codes.is_known(header.code) || length > MAX_CHAINED {
            return Chain::Broken;
        }
        let Some(payload) = payload.get(..length) else { return unknown };
        has_value |= json::begins_value(payload);
        at += HEADER + length;
        first = if first == 0 { at } else { first };
    }
    match bytes[at..].first_chunk::<HEADER>() {
        Some(header) if !codes.is_known(Header::read(header, habits.little_endian).code) => Chain::Broken,
        None if !(last && at == bytes.len()) => unknown,
        _ if has_value => Chain::Holds(first),
        _ => Chain::Broken,
    }
}

/// Where the object ends that a payload begins with, if another PDU stands behind it, which a Length that is too large
/// would swallow.
pub fn swallower(codes: &CommandCodes, payload: &[u8], habits: Habits) -> Option<usize> {
    let end = json::object_end(payload)?;
    let behind = &payload[end..];
    let (header, another) = behind.split_first_chunk::<HEADER>()?;
    let is_pdu = || json::begins_object(another) || matches!(chain(codes, behind, habits, 1, true), Chain::Holds(_));
    (codes.is_known(Header::read(header, habits.little_endian).code) && is_pdu()).then_some(end)
}
