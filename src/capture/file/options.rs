//! Options of pcapng blocks, and what an interface's options say about time.

use pcap_parser::nom::error::Error;
use pcap_parser::{OptionCode, parse_option_be, parse_option_le};

use super::fault::FaultKind;
use super::walker::Order;
use crate::time::Timestamp;

/// Code and length.
const OPTION_HEADER: usize = 4;

/// Hands each option's code and value to `visit`, up to the end-of-options mark or the end of `bytes`.
pub fn each_option<'a>(
    mut bytes: &'a [u8],
    order: Order,
    mut visit: impl FnMut(OptionCode, &'a [u8]),
) -> Result<(), FaultKind> {
    while !bytes.is_empty() {
        let parsed = if order.big { parse_option_be::<Error<_>>(bytes) } else { parse_option_le::<Error<_>>(bytes) };
        let Ok((rest, option)) = parsed else { return Err(too_long(bytes, order)) };
        if option.code == OptionCode::EndOfOpt {
            break;
        }
        let length = usize::from(option.len);
        visit(option.code, &bytes[OPTION_HEADER..OPTION_HEADER + length]);
        bytes = rest;
    }
    Ok(())
}

fn too_long(bytes: &[u8], order: Order) -> FaultKind {
    if bytes.len() < OPTION_HEADER {
        return FaultKind::HeaderCut { what: "option", expected: OPTION_HEADER, remain: bytes.len() };
    }
    let (code, claimed) = (order.u16(bytes, 0), order.u16(bytes, 2));
    FaultKind::OptionTooLong { code, claimed, remain: bytes.len() - OPTION_HEADER }
}

/// The name and the clock of an interface, from its options (draft-ietf-opsawg-pcapng 4.2).
pub fn interface(options: &[u8], order: Order) -> Result<(Option<String>, Clock), FaultKind> {
    let (mut name, mut resolution, mut offset) = (None, 6, 0);
    each_option(options, order, |code, value| match (code, value) {
        (OptionCode::IfName, _) if name.is_none() => name = Some(text(value)),
        (OptionCode::IfTsresol, &[byte]) => resolution = byte,
        (OptionCode::IfTsoffset, _) => offset = seconds(value, order).unwrap_or(offset),
        _ => (),
    })?;
    Ok((name, Clock::new(resolution, offset)))
}

/// A string as it should be, UTF-8, or nearly so; some writers end it with a zero byte.
fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_end_matches('\0').to_owned()
}

fn seconds(value: &[u8], order: Order) -> Option<i64> {
    let raw = value.try_into().ok()?;
    Some(if order.big { i64::from_be_bytes(raw) } else { i64::from_le_bytes(raw) })
}

/// Turns the ticks of an interface into nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    tick: Tick,
    /// Nanoseconds to add; more than an `i64` holds when a file says so.
    offset: i128,
}

/// How long a tick is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tick {
    /// So many nanoseconds.
    Nanoseconds(u64),
    /// A nanosecond has so many of them.
    PerNanosecond(u64),
    /// A second has 2 to this power of them.
    PerSecondLog2(u8),
    /// Shorter than a nanosecond by more than 64 bits can count.
    Vanishing,
}

const NANOSECONDS_PER_SECOND: i128 = 1_000_000_000;

impl Clock {
    /// A clock of the resolution `if_tsresol` and the offset `if_tsoffset` (seconds).
    pub fn new(if_tsresol: u8, if_tsoffset: i64) -> Self {
        let exponent = if_tsresol & 0x7f;
        let tick = match (if_tsresol & 0x80 != 0, exponent) {
            (true, _) => Tick::PerSecondLog2(exponent),
            (false, ..=9) => Tick::Nanoseconds(10u64.pow(9 - u32::from(exponent))),
            (false, 10..=28) => Tick::PerNanosecond(10u64.pow(u32::from(exponent) - 9)),
            (false, _) => Tick::Vanishing,
        };
        Self { tick, offset: i128::from(if_tsoffset) * NANOSECONDS_PER_SECOND }
    }

    /// The time of `ticks`, saturating at the ends of [`Timestamp`] (years 1677 and 2262).
    #[inline]
    pub fn time(&self, ticks: u64) -> Timestamp {
        let nanoseconds = match self.tick {
            Tick::Nanoseconds(each) => i128::from(ticks) * i128::from(each),
            Tick::PerNanosecond(count) => i128::from(ticks / count),
            Tick::PerSecondLog2(exponent) => (i128::from(ticks) * NANOSECONDS_PER_SECOND) >> exponent,
            Tick::Vanishing => 0,
        };
        Timestamp((nanoseconds + self.offset).clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_resolution() {
        for exponent in 0..=127u8 {
            let decimal = Clock::new(exponent, 0).time(1_000_000_000_000).0;
            let exact = match exponent {
                ..=21 => 1_000_000_000_000i128 * 10i128.pow(9) / 10i128.pow(exponent.into()),
                _ => 0,
            };
            assert_eq!(i128::from(decimal), exact.min(i64::MAX.into()), "10^-{exponent}");
            let binary = Clock::new(0x80 | exponent, 0).time(1 << 62).0;
            let exact = ((1i128 << 62) * 1_000_000_000) >> exponent;
            assert_eq!(i128::from(binary), exact.min(i64::MAX.into()), "2^-{exponent}");
        }
    }

    #[test]
    fn saturates_times_no_timestamp_can_hold() {
        assert_eq!(Clock::new(0, i64::MAX).time(u64::MAX), Timestamp(i64::MAX));
        assert_eq!(Clock::new(6, i64::MIN).time(0), Timestamp(i64::MIN));
    }

    #[test]
    fn adds_the_offset_in_seconds() {
        assert_eq!(Clock::new(6, -3).time(5_000_001), Timestamp(2_000_001_000));
    }
}
