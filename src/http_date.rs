//! Dates of HTTP headers, in all formats of RFC 9110.

use core::time::Duration;
use std::time::SystemTime;

const NANOS_PER_SEC: i128 = 1_000_000_000;
const SECS_PER_DAY: i128 = 86_400;

/// Returns the nanoseconds since 1970, which are negative before it. The nanoseconds of a `Duration` take 94 bits.
pub(crate) fn nanos_since_epoch(time: SystemTime) -> i128 {
    let nanos = |time: Duration| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => nanos(after),
        Err(before) => -nanos(before.duration()),
    }
}

const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Parses an HTTP date, in any of the formats of RFC 9110, section 5.6.7.
pub(crate) fn parse_date(value: &str) -> Option<Date> {
    let text = Text(value.as_bytes());
    imf_fixdate(text).or_else(|| rfc850_date(text)).or_else(|| asctime_date(text))
}

/// Parses `Sun, 06 Nov 1994 08:49:37 GMT`.
fn imf_fixdate(mut text: Text<'_>) -> Option<Date> {
    let weekday = text.one_of(&WEEKDAYS, 3)?;
    let day = text.literal(", ")?.number(2)?;
    let month = text.literal(" ")?.one_of(&MONTHS, 3)?;
    let year = Year::Whole(text.literal(" ")?.number(4)?);
    let time = text.literal(" ")?.time_of_day()?;
    text.literal(" GMT")?.end(Date { weekday, year, month, day, time })
}

/// Parses `Sunday, 06-Nov-94 08:49:37 GMT`.
fn rfc850_date(mut text: Text<'_>) -> Option<Date> {
    let weekday = text.one_of(&WEEKDAYS, usize::MAX)?;
    let day = text.literal(", ")?.number(2)?;
    let month = text.literal("-")?.one_of(&MONTHS, 3)?;
    let year = Year::OfTwoDigits(text.literal("-")?.number(2)?);
    let time = text.literal(" ")?.time_of_day()?;
    text.literal(" GMT")?.end(Date { weekday, year, month, day, time })
}

/// Parses `Sun Nov  6 08:49:37 1994`.
fn asctime_date(mut text: Text<'_>) -> Option<Date> {
    let weekday = text.one_of(&WEEKDAYS, 3)?;
    let month = text.literal(" ")?.one_of(&MONTHS, 3)?;
    text.literal(" ")?;
    let day = if text.literal(" ").is_some() { text.number(1)? } else { text.number(2)? };
    let time = text.literal(" ")?.time_of_day()?;
    let year = Year::Whole(text.literal(" ")?.number(4)?);
    text.end(Date { weekday, year, month, day, time })
}

/// The unread part of a date. A part that does not match is left unread.
#[derive(Clone, Copy)]
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn literal(&mut self, literal: &str) -> Option<&mut Self> {
        self.0 = self.0.strip_prefix(literal.as_bytes())?;
        Some(self)
    }

    fn number(&mut self, digits: usize) -> Option<i128> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = number.iter().all(u8::is_ascii_digit).then_some(rest)?;
        Some(number.iter().fold(0, |number, digit| number * 10 + i128::from(digit - b'0')))
    }

    /// Returns the index of the name, of which at most `len` letters are read.
    fn one_of(&mut self, names: &[&str], len: usize) -> Option<i128> {
        for (index, name) in (0..).zip(names) {
            if self.literal(name.get(..len).unwrap_or(name)).is_some() {
                return Some(index);
            }
        }
        None
    }

    /// Returns the seconds since midnight, up to the leap second 23:59:60.
    fn time_of_day(&mut self) -> Option<i128> {
        let hour = self.number(2)?;
        let minute = self.literal(":")?.number(2)?;
        let second = self.literal(":")?.number(2)?;
        let leap = (hour, minute, second) == (23, 59, 60);
        let valid = hour < 24 && minute < 60 && (second < 60 || leap);
        valid.then_some(hour * 3_600 + minute * 60 + second)
    }

    fn end(&self, date: Date) -> Option<Date> {
        self.0.is_empty().then_some(date)
    }
}

pub(crate) struct Date {
    /// The day of the week; 0 is Sunday.
    weekday: i128,
    year: Year,
    /// The month; 0 is January.
    month: i128,
    day: i128,
    /// The time in seconds since midnight.
    time: i128,
}

enum Year {
    Whole(i128),
    OfTwoDigits(i128),
}

impl Date {
    /// Returns the nanoseconds since 1970, or `None` if there is no such day or the weekday is wrong. `now` is
    /// called only for a two-digit year.
    pub(crate) fn nanos_since_epoch(&self, now: impl FnOnce() -> Option<i128>) -> Option<i128> {
        let year = match self.year {
            Year::Whole(year) => year,
            Year::OfTwoDigits(digits) => self.latest_year(digits, now()?),
        };
        let days = days_from_civil(year, self.month, self.day);
        let exists = civil_from_days(days) == (year, self.month, self.day);
        let weekday = (days + 4).rem_euclid(7); // 1970 began on a Thursday
        let valid = exists && weekday == self.weekday;
        valid.then_some((days * SECS_PER_DAY + self.time) * NANOS_PER_SEC)
    }

    /// Returns the latest year with these digits in which the date is at most 50 years after `now`.
    fn latest_year(&self, digits: i128, now: i128) -> i128 {
        let now = now.div_euclid(NANOS_PER_SEC);
        let (this_year, month, day) = civil_from_days(now.div_euclid(SECS_PER_DAY));
        let latest = (this_year + 50, month, day, now.rem_euclid(SECS_PER_DAY));
        let year = latest.0 - latest.0.rem_euclid(100) + digits;
        let ahead = (year, self.month, self.day, self.time) > latest;
        if ahead { year - 100 } else { year }
    }
}

/// Returns the days from 1 January 1970 to a day of the Gregorian calendar. Years begin in March here, so the leap
/// day is the last day of a year; 400 years have 146,097 days. Source: Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms".
fn days_from_civil(year: i128, month: i128, day: i128) -> i128 {
    let year = if month < 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 10) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Returns the year, month (from 0) and day: the inverse of [`days_from_civil`].
fn civil_from_days(days: i128) -> (i128, i128, i128) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    (era * 400 + year_of_era + i128::from(month < 2), month, day)
}
