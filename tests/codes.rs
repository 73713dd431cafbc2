//! The tables of `codes`, row by row, and its parsers. The parsers are compared with `httpdate`,
//! and read inputs that broke other parsers. `PROPTEST_CASES` sets the number of cases for each
//! property.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use retry_ext::codes::{
    is_transient_grpc_code, is_transient_http_status, is_transient_mysql_errno,
    is_transient_sqlite_code, is_transient_sqlstate, parse_retry_after, parse_retry_after_ms,
    transient_io_within,
};

const SQLSTATES: [&str; 12] = [
    "40001", "40P01", "55P03", "53300", "57P01", "57P02", "57P03", "08000", "08001", "08003",
    "08004", "08006",
];

#[test]
fn the_tables_hold_these_rows_and_no_others() {
    let statuses: Vec<u16> = (0..=u16::MAX).filter(|row| is_transient_http_status(*row)).collect();
    assert_eq!(statuses, [408, 425, 429, 502, 503, 504, 520, 521, 522, 523, 524, 529]);
    let errnos: Vec<u16> = (0..=u16::MAX).filter(|row| is_transient_mysql_errno(*row)).collect();
    assert_eq!(errnos, [1040, 1053, 1203, 1205, 1213, 2002, 2003, 2006, 2013, 3572]);
    let codes: Vec<i32> = (-300..1_000).filter(|row| is_transient_grpc_code(*row)).collect();
    assert_eq!(codes, [14]);
    let codes: Vec<i32> = (-1_000..1_100).filter(|row| is_transient_sqlite_code(*row)).collect();
    assert_eq!(codes, [5, 261, 262, 517, 773, 1029]);
    for code in [i32::MIN, i32::MAX, 0] {
        assert!(!is_transient_grpc_code(code) && !is_transient_sqlite_code(code), "{code}");
    }
}

#[test]
fn an_sqlstate_is_a_row_or_it_is_out() {
    let characters = ('0'..='9').chain('A'..='Z').chain(['p', ' ', 'é']);
    let characters: Vec<char> = characters.collect();
    for row in SQLSTATES {
        assert!(is_transient_sqlstate(row), "{row}");
        for (at, _) in row.char_indices() {
            for character in &characters {
                let neighbour = format!("{}{character}{}", &row[..at], &row[at + 1..]);
                let expected = SQLSTATES.contains(&neighbour.as_str());
                assert_eq!(is_transient_sqlstate(&neighbour), expected, "{neighbour}");
            }
        }
        for other in [&row[..4], &format!("{row}0"), &format!(" {row}")] {
            assert!(!is_transient_sqlstate(other), "{other}");
        }
    }
    assert!(!is_transient_sqlstate(""));
}

#[test]
fn the_tables_can_be_used_in_constants() {
    const ROWS: [bool; 5] = [
        is_transient_http_status(503),
        is_transient_grpc_code(14),
        is_transient_sqlstate("40001"),
        is_transient_mysql_errno(1213),
        is_transient_sqlite_code(517),
    ];
    assert_eq!(ROWS, [true; 5]);
}

#[derive(Debug)]
struct Layer(Box<dyn Error + 'static>);

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("layer")
    }
}

impl Error for Layer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("opaque")]
struct Opaque(#[source] io::Error);

#[test]
fn a_transient_io_error_is_found_in_every_layer() {
    let reset = || io::Error::from(ErrorKind::ConnectionReset);
    let denied = || io::Error::from(ErrorKind::PermissionDenied);
    assert!(transient_io_within(&reset()));
    assert!(transient_io_within(&Layer(Box::new(Layer(Box::new(reset()))))));
    assert!(!transient_io_within(&denied()));
    assert!(!transient_io_within(&Layer(Box::new(Layer(Box::new(denied()))))));
    // The error is inside an `io::Error`, whose `source` would leave its content out.
    assert!(transient_io_within(&io::Error::other(reset())));
    assert!(transient_io_within(&io::Error::other(Opaque(reset()))));
    assert!(transient_io_within(&io::Error::new(ErrorKind::InvalidData, Opaque(reset()))));
    assert!(!transient_io_within(&io::Error::other(Opaque(denied()))));
    assert!(!transient_io_within(&fmt::Error));
}

/// Sunday, 6 November 1994, 08:49:37: the date of RFC 9110, section 5.6.7.
const DATE: u64 = 784_111_777;

fn at(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(secs)
}

#[expect(clippy::unnecessary_wraps, reason = "a hint is compared with it")]
fn secs(secs: u64) -> Option<Duration> {
    Some(Duration::from_secs(secs))
}

#[test]
fn hints_in_seconds_are_exact_and_rounded_up() {
    let parsed = |value: &str| parse_retry_after(value, at(DATE));
    assert_eq!(parsed("0"), secs(0));
    assert_eq!(parsed("120"), secs(120));
    assert_eq!(parsed("007"), secs(7));
    assert_eq!(parsed("0.493"), Some(Duration::from_millis(493)));
    assert_eq!(parsed("1.5"), Some(Duration::from_millis(1_500)));
    assert_eq!((parsed(".5"), parsed("5.")), (Some(Duration::from_millis(500)), secs(5)));
    assert_eq!(parsed("0.000000001"), Some(Duration::from_nanos(1)));
    assert_eq!(parsed("0.0000000001"), Some(Duration::from_nanos(1)));
    assert_eq!(parsed("0.0000000010000001"), Some(Duration::from_nanos(2)));
    assert_eq!(parsed("0.0000000010000000"), Some(Duration::from_nanos(1)));
    assert_eq!(parsed("0.9999999999"), secs(1));
}

#[test]
fn a_hint_in_seconds_that_is_too_large_saturates() {
    let parsed = |value: &str| parse_retry_after(value, at(DATE));
    assert_eq!(parsed("18446744073709551615"), secs(u64::MAX));
    assert_eq!(parsed("18446744073709551615.999999999"), Some(Duration::MAX));
    assert_eq!(parsed("18446744073709551615.9999999991"), Some(Duration::MAX));
    assert_eq!(parsed("18446744073709551616"), Some(Duration::MAX));
    assert_eq!(parsed("99999999999999999999"), Some(Duration::MAX));
    assert_eq!(parsed(&"9".repeat(10_000)), Some(Duration::MAX));
    assert_eq!(parsed(&format!("{}7", "0".repeat(10_000))), secs(7));
    assert_eq!(parse_retry_after_ms("18446744073709551615999.999999"), Some(Duration::MAX));
    assert_eq!(parse_retry_after_ms("18446744073709551616000"), Some(Duration::MAX));
    assert_eq!(parse_retry_after_ms("18446744073709551615000"), secs(u64::MAX));
}

#[test]
fn hints_in_milliseconds_are_exact_and_rounded_up() {
    assert_eq!(parse_retry_after_ms("0"), secs(0));
    assert_eq!(parse_retry_after_ms("250"), Some(Duration::from_millis(250)));
    assert_eq!(parse_retry_after_ms("1500.25"), Some(Duration::from_micros(1_500_250)));
    assert_eq!(parse_retry_after_ms("0.0000001"), Some(Duration::from_nanos(1)));
    assert_eq!(parse_retry_after_ms("Sun, 06 Nov 1994 08:49:37 GMT"), None);
}

#[test]
fn nonsense_is_no_hint() {
    let nonsense = [
        "",
        " ",
        ".",
        "..",
        "1.2.3",
        "-1",
        "-5",
        "-0",
        "+5",
        "1e3",
        "1E3",
        "0x10",
        "inf",
        "Infinity",
        "nan",
        "1m0s",
        "5s",
        "5 s",
        "1,5",
        "1_000",
        "120, 60",
        "120;x",
        "\u{663}",
        "\u{ff15}",
        "5\n",
        "5\u{a0}",
        "\u{2003}5",
        "soon",
        "2026-01-01T00:00:00Z",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT.",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994  08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov   6 08:49:37 1994",
        "Sun Nov  6 08:49:37 94",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sun, 06 Növ 1994 08:49:37 GMT",
        "Sun, 0",
        "Sun",
        "Sunday,",
    ];
    for value in nonsense {
        assert_eq!(parse_retry_after(value, at(0)), None, "{value:?}");
        assert_eq!(parse_retry_after_ms(value), None, "{value:?}");
    }
}

#[test]
fn the_three_formats_of_a_date_are_the_same_hint() {
    let formats = [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun Nov 06 08:49:37 1994",
    ];
    for date in formats {
        assert_eq!(parse_retry_after(date, at(DATE - 30)), secs(30), "{date}");
        assert_eq!(parse_retry_after(&format!(" \t{date}\t "), at(DATE - 30)), secs(30), "{date}");
        // The date has passed, just now or long ago.
        assert_eq!(parse_retry_after(date, at(DATE)), secs(0), "{date}");
        assert_eq!(parse_retry_after(date, at(DATE + 7)), secs(0), "{date}");
        // A fraction of a second is left until the date.
        let just_before = at(DATE) - Duration::from_nanos(1);
        assert_eq!(parse_retry_after(date, just_before), Some(Duration::from_nanos(1)), "{date}");
    }
}

#[test]
fn whitespace_around_a_hint_is_ignored() {
    assert_eq!(parse_retry_after("\t 120 \t", at(DATE)), secs(120));
    assert_eq!(parse_retry_after_ms(" 120\t"), Some(Duration::from_millis(120)));
    assert_eq!(parse_retry_after("1 20", at(DATE)), None);
}

#[test]
fn days_that_do_not_exist_are_no_hint() {
    let invalid = [
        "Mon, 31 Feb 1994 00:00:00 GMT",
        "Thu, 03 Mar 1994 00:00:00 GMT", // the same day, rightly named
        "Tue, 29 Feb 1994 00:00:00 GMT",
        "Wed, 00 Nov 1994 00:00:00 GMT",
        "Sun, 31 Nov 1994 00:00:00 GMT",
        "Sun, 32 Dec 1994 00:00:00 GMT",
        "Sun, 99 Nov 1994 00:00:00 GMT",
        "Thu, 29 Feb 1900 00:00:00 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
    ];
    for date in invalid {
        let expected = date.starts_with("Thu, 03 Mar").then_some(Duration::ZERO);
        assert_eq!(parse_retry_after(date, at(DATE)), expected, "{date}");
    }
    assert_eq!(parse_retry_after("Tue, 29 Feb 2000 00:00:00 GMT", at(951_782_399)), secs(1));
}

#[test]
fn a_wrong_weekday_is_no_hint() {
    for date in [
        "Mon, 06 Nov 1994 08:49:37 GMT",
        "Saturday, 06-Nov-94 08:49:37 GMT",
        "Tue Nov  6 08:49:37 1994",
    ] {
        assert_eq!(parse_retry_after(date, at(DATE - 30)), None, "{date}");
    }
}

#[test]
fn a_leap_second_is_the_following_midnight() {
    // 31 December 2016, 23:59:58.
    let now = at(1_483_228_798);
    for (date, hint) in [
        ("Sat, 31 Dec 2016 23:59:59 GMT", secs(1)),
        ("Sat, 31 Dec 2016 23:59:60 GMT", secs(2)),
        ("Sun, 01 Jan 2017 00:00:00 GMT", secs(2)),
        ("Saturday, 31-Dec-16 23:59:60 GMT", secs(2)),
        ("Sat Dec 31 23:59:60 2016", secs(2)),
        ("Sat, 31 Dec 2016 23:59:61 GMT", None),
        ("Sat, 31 Dec 2016 23:58:60 GMT", None),
        ("Sat, 31 Dec 2016 22:59:60 GMT", None),
    ] {
        assert_eq!(parse_retry_after(date, now), hint, "{date}");
    }
}

#[test]
fn a_year_of_two_digits_is_at_most_fifty_years_ahead() {
    let parse = |date: &str| httpdate::parse_http_date(date).expect("a date");
    let now = parse("Fri, 15 May 2026 12:00:00 GMT");
    let ahead = |date: &str| parse_retry_after(date, now);
    let between = |date: &str| parse(date).duration_since(now).ok();
    // The first date is exactly 50 years ahead. A second more means 50 years ago.
    assert_eq!(ahead("Friday, 15-May-76 12:00:00 GMT"), between("Fri, 15 May 2076 12:00:00 GMT"));
    assert_eq!(ahead("Friday, 15-May-76 12:00:01 GMT"), None); // a Saturday in 1976
    assert_eq!(ahead("Saturday, 15-May-76 12:00:01 GMT"), secs(0));
    assert_eq!(ahead("Saturday, 15-May-76 12:00:00 GMT"), None); // a Friday in 2076
    assert_eq!(ahead("Sunday, 16-May-76 00:00:00 GMT"), secs(0));
    assert_eq!(ahead("Tuesday, 01-Jun-76 00:00:00 GMT"), secs(0));
    assert_eq!(ahead("Thursday, 30-Apr-76 23:59:59 GMT"), between("Thu, 30 Apr 2076 23:59:59 GMT"));
    assert_eq!(ahead("Thursday, 31-Dec-26 00:00:00 GMT"), between("Thu, 31 Dec 2026 00:00:00 GMT"));
    // At the end of a century, the next century is near.
    let eve = at(4_102_444_799); // 31 December 2099, 23:59:59
    assert_eq!(parse_retry_after("Friday, 01-Jan-00 00:00:00 GMT", eve), secs(1));
}

#[test]
fn clocks_far_away_are_no_trouble() {
    let date = "Fri, 31 Dec 9999 23:59:59 GMT";
    let before_1970 = UNIX_EPOCH - Duration::from_millis(500);
    assert_eq!(
        parse_retry_after("Thu, 01 Jan 1970 00:00:01 GMT", before_1970),
        Some(Duration::from_millis(1_500))
    );
    assert_eq!(parse_retry_after(date, at(0)), secs(253_402_300_799));
    assert_eq!(parse_retry_after("Sat, 01 Jan 0000 00:00:00 GMT", at(0)), secs(0));
    let farthest = (0..64).rev().fold(UNIX_EPOCH, |time, bit| {
        time.checked_add(Duration::from_secs(1 << bit)).unwrap_or(time)
    });
    let earliest = (0..64).rev().fold(UNIX_EPOCH, |time, bit| {
        time.checked_sub(Duration::from_secs(1 << bit)).unwrap_or(time)
    });
    for now in [farthest, earliest] {
        for year in ["00", "49", "99"] {
            for weekday in ["Sunday", "Monday", "Tuesday"] {
                let _ = parse_retry_after(&format!("{weekday}, 06-Nov-{year} 08:49:37 GMT"), now);
            }
        }
    }
    assert_eq!(parse_retry_after(date, farthest), secs(0));
    assert!(parse_retry_after(date, earliest) > secs(253_402_300_799));
}

#[test]
fn every_day_of_four_hundred_years_is_read() {
    // The calendar repeats itself after 146,097 days.
    for day in 0..146_097 {
        let date = httpdate::fmt_http_date(at(day * 86_400));
        assert_eq!(parse_retry_after(&date, UNIX_EPOCH), secs(day * 86_400), "{date}");
    }
}

const WEEKDAYS: [&str; 8] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Someday"];
const MONTHS: [&str; 13] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Nul"];

/// The second at which a window of 100 years ends in 2069, as `httpdate`'s window always does.
const END_OF_2019: u64 = 1_577_836_799;

/// Returns a date in the three formats, given the first format.
fn formats(date: &str) -> [String; 3] {
    let parts: Vec<&str> = date.split([' ', ',']).collect();
    let [weekday, "", day, month, year, time, "GMT"] = parts[..] else {
        unreachable!("{date} is in the first format")
    };
    let full = WEEKDAYS.iter().find(|name| name.starts_with(weekday)).expect("a weekday");
    let padded = day.strip_prefix('0').map_or(day.to_owned(), |digit| format!(" {digit}"));
    [
        date.to_owned(),
        format!("{full}, {day}-{month}-{} {time} GMT", &year[2..]),
        format!("{weekday} {month} {padded} {time} {year}"),
    ]
}

/// Returns the delay by `httpdate`, if it accepts the date.
fn peer(date: &str, now: SystemTime) -> Option<Duration> {
    let date = httpdate::parse_http_date(date).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

proptest! {
    #[test]
    fn dates_are_read_as_by_httpdate(date in 0_u64..253_402_300_800, now in 0_u64..253_402_300_800) {
        let [imf, _, asctime] = formats(&httpdate::fmt_http_date(at(date)));
        let expected = secs(date.saturating_sub(now));
        prop_assert_eq!(parse_retry_after(&imf, at(now)), expected);
        prop_assert_eq!(parse_retry_after(&asctime, at(now)), expected);
        prop_assert_eq!((peer(&imf, at(now)), peer(&asctime, at(now))), (expected, expected));
    }

    #[test]
    fn dates_with_two_digits_of_the_year_are_read_as_by_httpdate(date in 0_u64..3_155_760_000) {
        let [_, rfc850, _] = formats(&httpdate::fmt_http_date(at(date)));
        let expected = secs(date.saturating_sub(END_OF_2019));
        prop_assert_eq!(parse_retry_after(&rfc850, at(END_OF_2019)), expected);
        prop_assert_eq!(peer(&rfc850, at(END_OF_2019)), expected);
    }

    #[test]
    fn two_digits_of_the_year_are_enough_for_dates_near_by(
        now in 3_155_760_000_u64..200_000_000_000,
        ahead in 0_u64..49 * 365 * 86_400,
    ) {
        let [_, rfc850, _] = formats(&httpdate::fmt_http_date(at(now + ahead)));
        prop_assert_eq!(parse_retry_after(&rfc850, at(now)), secs(ahead));
        let [_, rfc850, _] = formats(&httpdate::fmt_http_date(at(now - ahead)));
        prop_assert_eq!(parse_retry_after(&rfc850, at(now)), secs(0));
    }

    #[test]
    fn dates_that_may_not_exist_are_taken_or_refused_as_by_httpdate(
        weekday in 0..WEEKDAYS.len(),
        right in any::<bool>(),
        day in 0_u32..34,
        month in 0..MONTHS.len(),
        year in 1970_u32..2070,
        (hour, minute, second) in (0_u32..26, 0_u32..62, 0_u32..62),
        format in 0..3_usize,
    ) {
        prop_assume!((hour, minute, second) != (23, 59, 60)); // refused by `httpdate`
        let write = |weekday: &str| {
            let (short, month, time) =
                (&weekday[..3], MONTHS[month], format!("{hour:02}:{minute:02}:{second:02}"));
            match format {
                0 => format!("{short}, {day:02} {month} {year} {time} GMT"),
                1 => format!("{weekday}, {day:02}-{month}-{:02} {time} GMT", year % 100),
                _ => format!("{short} {month} {day:2} {time} {year}"),
            }
        };
        // The weekday is the right one if there is one, or else any.
        let taken = WEEKDAYS.iter().find(|name| httpdate::parse_http_date(&write(name)).is_ok());
        let date = write(taken.filter(|_| right).unwrap_or(&WEEKDAYS[weekday]));
        let now = at(END_OF_2019);
        prop_assert_eq!(parse_retry_after(&date, now), peer(&date, now), "{}", date);
    }

    #[test]
    fn no_text_panics_and_both_parsers_agree_on_numbers(
        value in prop_oneof![".*", "[ \t]*[0-9]{0,30}\\.?[0-9]{0,30}[ \t]*", "[0-9A-Za-z:,. -]{0,32}"],
        now in 0_u64..253_402_300_800,
    ) {
        let in_secs = parse_retry_after(&value, at(now));
        if let Some(in_ms) = parse_retry_after_ms(&value) {
            let in_secs = in_secs.expect("a number of milliseconds is one of seconds");
            let thousandfold = in_ms.checked_mul(1_000);
            prop_assert!(thousandfold.is_none_or(|time| in_secs <= time));
            let more = thousandfold.map(|time| time.saturating_sub(in_secs));
            prop_assert!(more.is_none_or(|time| time < Duration::from_micros(1)));
        }
    }
}
