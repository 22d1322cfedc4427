//! Values as written in a filter: numbers, durations, times, addresses.

use std::cmp::Ordering;
use std::net::IpAddr;

use jiff::Zoned;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use crate::time::{Span, Timestamp};

/// A number: exact where it has no fraction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Integer(i128),
    Real(f64),
}

impl Number {
    /// `7`, `-7`, `0x1401`, `0b11`, `2.5`, `1e3`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let digits = digits.strip_prefix('+').filter(|_| !negative).unwrap_or(digits);
        if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return None;
        }
        let radix = |prefix: [&str; 2], radix| {
            let digits = prefix.iter().find_map(|prefix| digits.strip_prefix(prefix))?;
            i128::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with(['+', '-']))
        };
        let integer = radix(["0x", "0X"], 16).or_else(|| radix(["0b", "0B"], 2)).or_else(|| digits.parse().ok());
        if let Some(integer) = integer {
            return Some(Self::Integer(if negative { -integer } else { integer }));
        }
        let real: f64 = digits.parse().ok().filter(|real: &f64| real.is_finite())?;
        Some(Self::Real(if negative { -real } else { real }))
    }

    pub(super) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(&b),
            // No NaN is ever parsed.
            (a, b) => a.real().total_cmp(&b.real()),
        }
    }

    fn real(self) -> f64 {
        match self {
            Self::Integer(integer) => integer as f64,
            Self::Real(real) => real,
        }
    }
}

/// Units of durations, in nanoseconds; longer names first, so that `ms` is not `m`.
const UNITS: [(&str, i64); 6] = [
    ("min", 60_000_000_000),
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("h", 3_600_000_000_000),
    ("s", 1_000_000_000),
];

/// `2s`, `1.5ms`, `10min`; without a unit, seconds.
pub(super) fn duration(text: &str) -> Option<Span> {
    let unit = UNITS.iter().find(|(unit, _)| text.ends_with(unit) && text.len() > unit.len());
    let (number, nanoseconds) =
        unit.map_or((text, 1_000_000_000), |(unit, size)| (&text[..text.len() - unit.len()], *size));
    decimal(number, nanoseconds).map(Span)
}

/// A decimal number times `unit`, rounded down to an integer: exact, where a float of nanoseconds since 1970 is not.
fn decimal(text: &str, unit: i64) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanoseconds = whole.checked_mul(i128::from(unit))?;
    let mut place = i128::from(unit);
    // 13 digits of a fraction of an hour are below a nanosecond.
    let kept = &fraction[..fraction.len().min(18)];
    if !kept.is_empty() {
        place *= kept.parse::<i128>().ok()?;
        nanoseconds += place / 10_i128.pow(kept.len() as u32);
    }
    i64::try_from(if negative { -nanoseconds } else { nanoseconds }).ok()
}

/// Wireshark's forms of a time without a zone: of the reader's clock.
const CIVIL: [&str; 6] = [
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%b %d, %Y %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%b %d, %Y %H:%M",
];

/// RFC 3339, Wireshark's forms in the reader's time zone, a date, or seconds since 1970.
pub(super) fn time(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if let Some(seconds) = decimal(text, 1_000_000_000) {
        return Some(Timestamp(seconds));
    }
    let utc = text.strip_suffix(" UTC").or_else(|| text.strip_suffix(" Z"));
    let (text, zone) = utc.map_or((text, zone.clone()), |text| (text, TimeZone::UTC));
    if let Ok(exact) = text.parse::<jiff::Timestamp>() {
        return nanoseconds(exact);
    }
    let civil = CIVIL.iter().find_map(|form| DateTime::strptime(form, text).ok());
    let date = || Date::strptime("%Y-%m-%d", text).or_else(|_| Date::strptime("%b %d, %Y", text)).ok();
    let civil = civil.or_else(|| date().map(|date| DateTime::from_parts(date, Time::midnight())))?;
    nanoseconds(civil.to_zoned(zone).ok().as_ref().map(Zoned::timestamp)?)
}

fn nanoseconds(time: jiff::Timestamp) -> Option<Timestamp> {
    i64::try_from(time.as_nanosecond()).ok().map(Timestamp)
}

/// Addresses with the same first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// `192.0.2.1`, `10.0.0.0/8`, `2001:db8::/32`, also in brackets of a URL.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().ok().filter(|bits| *bits <= most)?
            }
            Some(_) => return None,
        };
        Some(Self { address, bits })
    }

    /// Whether it is more than one address.
    pub(super) fn is_range(self) -> bool {
        self.bits < if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// How `address` compares with it, equal if it lies in it; `None` between IPv4 and IPv6.
    pub(super) fn compare(self, address: IpAddr) -> Option<Ordering> {
        let (mine, other, width) = match (self.address, address) {
            (IpAddr::V4(mine), IpAddr::V4(other)) => (u128::from(mine.to_bits()), u128::from(other.to_bits()), 32),
            (IpAddr::V6(mine), IpAddr::V6(other)) => (mine.to_bits(), other.to_bits(), 128),
            _ => return None,
        };
        let masked = |bits: u128| bits.checked_shr(width - u32::from(self.bits)).unwrap_or(0);
        Some(masked(other).cmp(&masked(mine)))
    }
}

/// Whether `text` is a boolean's name.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" => Some(true),
        "0" => Some(false),
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact_and_have_units() {
        let read = |text: &str| duration(text).map(|span| span.0);
        assert_eq!(read("2s"), Some(2_000_000_000));
        assert_eq!(read("2"), Some(2_000_000_000));
        assert_eq!(read("1.5ms"), Some(1_500_000));
        assert_eq!(read("-3us"), Some(-3_000));
        assert_eq!(read("7ns"), Some(7));
        assert_eq!(read("10min"), Some(600_000_000_000));
        assert_eq!(read(".5h"), Some(1_800_000_000_000));
        assert_eq!(read("0.000000001"), Some(1));
        for wrong in ["", "s", "-", "2 s", "2x", "1e3s", "99999999999999h", "1..2s", "0x2s"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_have_the_forms_of_rfc_3339_and_of_wireshark() {
        let berlin = TimeZone::fixed(jiff::tz::offset(1));
        let read = |text: &str| time(text, &berlin).map(|time| time.to_string());
        let expected = Some("2026-11-22T10:00:00.500000000Z".to_owned());
        for text in [
            "2026-11-22T10:00:00.5Z",
            "2026-11-22T11:00:00.5+01:00",
            "2026-11-22 11:00:00.5",
            "2026-11-22 10:00:00.5 UTC",
            "Nov 22, 2026 11:00:00.500000000",
            "1795341600.5",
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        assert_eq!(read("2026-11-22"), Some("2026-11-21T23:00:00.000000000Z".to_owned()));
        assert_eq!(read("2026-11-22 11:00"), Some("2026-11-22T10:00:00.000000000Z".to_owned()));
        for wrong in ["", "yesterday", "2026-13-01", "2026-11-22 25:00:00", "99999-01-01"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn networks_hold_their_addresses() {
        let lies_in = |network: &str, address: &str| {
            Network::parse(network).unwrap().compare(address.parse().unwrap()) == Some(Ordering::Equal)
        };
        assert!(lies_in("10.0.0.0/8", "10.255.0.1"));
        assert!(!lies_in("10.0.0.0/8", "11.0.0.1"));
        assert!(lies_in("0.0.0.0/0", "11.0.0.1"));
        assert!(!lies_in("0.0.0.0/0", "::1"));
        assert!(lies_in("2001:db8::/32", "2001:db8:1::7"));
        assert!(lies_in("::/0", "::1"));
        for wrong in ["10.0.0.0/33", "10.0.0", "::1/129", "10.0.0.0/-1", "10.0.0.0/+8", "KMA-1", "/8"] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }
}
