//! Capture time: the only clock the analysis knows.

use std::fmt;
use std::ops::{Add, Sub};

/// A point in time as captured: nanoseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// A length of capture time in nanoseconds; negative when a capture's clock ran backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub i64);

impl Span {
    /// A span of whole seconds.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds * 1_000_000_000)
    }

    /// A span of whole milliseconds.
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self(milliseconds * 1_000_000)
    }

    /// This span in milliseconds, with its fraction.
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl Sub for Timestamp {
    type Output = Span;
    fn sub(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Timestamp {
    type Output = Timestamp;
    fn add(self, span: Span) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }
}

/// A date and a time of day, of whichever zone the reader chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Year of the Gregorian calendar.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 to 999,999,999.
    pub nanosecond: u32,
}

impl Timestamp {
    /// Date and time of day at `offset` seconds east of UTC.
    ///
    /// Counted here because a line is printed for each of millions of messages: this takes a few nanoseconds, a
    /// calendar library two hundred.
    pub fn civil(self, offset: i32) -> Civil {
        let seconds = self.0.div_euclid(1_000_000_000) + i64::from(offset);
        let (days, second_of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400) as u32);
        // Eras of 400 years that begin on 1 March, so that the leap day is the last of its year (H. Hinnant,
        // "chrono-compatible low-level date algorithms", civil_from_days).
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        Civil {
            year: (year_of_era + era * 400 + i64::from(month <= 2)) as i32,
            month: month as u8,
            day: (day_of_year - (153 * march_month + 2) / 5 + 1) as u8,
            hour: (second_of_day / 3600) as u8,
            minute: (second_of_day / 60 % 60) as u8,
            second: (second_of_day % 60) as u8,
            nanosecond: self.0.rem_euclid(1_000_000_000) as u32,
        }
    }
}

impl Timestamp {
    /// RFC 3339 in UTC with nine decimals, in ASCII.
    pub fn rfc3339(self) -> [u8; 30] {
        self.civil(0).digits()
    }
}

impl Civil {
    /// `2026-11-22T11:20:56.450513048Z`, in ASCII, whatever the zone.
    pub fn digits(self) -> [u8; 30] {
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        digits(&mut text[0..4], self.year as u32);
        digits(&mut text[5..7], u32::from(self.month));
        digits(&mut text[8..10], u32::from(self.day));
        digits(&mut text[11..13], u32::from(self.hour));
        digits(&mut text[14..16], u32::from(self.minute));
        digits(&mut text[17..19], u32::from(self.second));
        digits(&mut text[20..29], self.nanosecond);
        text
    }
}

/// RFC 3339 in UTC with nine decimals: `2026-11-22T23:56:55.000000001Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.rfc3339()).expect("digits are ASCII"))
    }
}

/// Timestamps as [`Timestamp::rfc3339`] has them, for many that follow each other: those of one second differ in their
/// decimals only.
#[derive(Clone, Debug, Default)]
pub struct Rfc3339 {
    /// The second of the last one, and its text.
    last: Option<(i64, [u8; 30])>,
}

impl Rfc3339 {
    /// The text of `time`.
    pub fn of(&mut self, time: Timestamp) -> &[u8; 30] {
        let second = time.0.div_euclid(1_000_000_000);
        if self.last.is_none_or(|(last, _)| last != second) {
            self.last = None;
        }
        let (_, text) = self.last.get_or_insert_with(|| (second, time.rfc3339()));
        digits(&mut text[20..29], time.0.rem_euclid(1_000_000_000) as u32);
        text
    }
}

/// Writes the last decimal digits of `value`, as many as `place` has room for.
pub fn digits(place: &mut [u8], mut value: u32) {
    let mut pairs = place.rchunks_exact_mut(2);
    for pair in &mut pairs {
        pair.copy_from_slice(&PAIRS[(value % 100) as usize]);
        value /= 100;
    }
    if let [digit] = pairs.into_remainder() {
        *digit = b'0' + (value % 10) as u8;
    }
}

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut value = 0;
    while value < 100 {
        pairs[value] = [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        value += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc_3339_with_nine_decimals() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(Timestamp(951_782_400_000_000_001).to_string(), "2000-02-29T00:00:00.000000001Z");
        assert_eq!(Timestamp(1_795_346_456_450_513_048).to_string(), "2026-11-22T11:20:56.450513048Z");
        assert_eq!(Timestamp(i64::MAX).to_string(), "2262-04-11T23:47:16.854775807Z");
        assert_eq!(Timestamp(i64::MIN).to_string(), "1677-09-21T00:12:43.145224192Z");
    }

    #[test]
    fn counts_days_as_a_calendar_library_does() {
        for step in -40_000..40_000_i64 {
            let time = Timestamp(step * 197_123_456_789_012);
            let expected = jiff::Timestamp::from_nanosecond(i128::from(time.0)).unwrap();
            assert_eq!(time.to_string(), format!("{expected:.9}"));
        }
    }

    #[test]
    fn many_timestamps_read_as_each_by_itself() {
        let mut texts = Rfc3339::default();
        for nanos in [0, 999_999_999, 1_000_000_000, 5, -1, -1_000_000_000, i64::MIN, i64::MAX, 0] {
            assert_eq!(texts.of(Timestamp(nanos)), &Timestamp(nanos).rfc3339(), "{nanos}");
        }
    }

    #[test]
    fn a_zone_shifts_the_clock() {
        let civil = Timestamp(1_795_346_456_450_513_048).civil(-12 * 3600);
        assert_eq!((civil.year, civil.month, civil.day, civil.hour), (2026, 11, 21, 23));
    }
}
