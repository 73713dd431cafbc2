//! Invariants of every `Retry-After` header.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use retry_ext::codes::{parse_retry_after, parse_retry_after_ms};

const SECOND: Duration = Duration::from_secs(1);

/// Checks a header. The bytes are the response's time in seconds since 1970, a newline, and the
/// header.
pub fn retry_after(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Some((now, value)) = text.split_once('\n') else { return };
    let Some(now) = now.parse().ok().and_then(since_epoch) else { return };

    let hint = parse_retry_after(value, now);
    let in_ms = parse_retry_after_ms(value);
    let trimmed = value.trim_matches([' ', '\t']);
    assert_eq!(parse_retry_after(trimmed, now), hint, "without the whitespace");
    assert_eq!(parse_retry_after_ms(trimmed), in_ms, "without the whitespace");
    if is_number(trimmed) {
        is_that_number(trimmed, hint.expect("a number is a hint"), 1.0);
        is_that_number(trimmed, in_ms.expect("a number is a hint"), 1e-3);
        assert_eq!(parse_retry_after(trimmed, UNIX_EPOCH), hint, "whatever the time is");
        let one_more = format!("{trimmed}{}1", if trimmed.contains('.') { "" } else { "." });
        assert!(parse_retry_after(&one_more, now) >= hint, "with one more digit");
    } else {
        assert_eq!(in_ms, None, "is not a number");
        if let Some(hint) = hint {
            is_a_date(trimmed, hint, now);
        }
    }
}

fn since_epoch(secs: i64) -> Option<SystemTime> {
    let time = Duration::from_secs(secs.unsigned_abs());
    if secs < 0 { UNIX_EPOCH.checked_sub(time) } else { UNIX_EPOCH.checked_add(time) }
}

fn is_number(value: &str) -> bool {
    let (mut digits, mut points) = (0, 0);
    for character in value.chars() {
        match character {
            '0'..='9' => digits += 1,
            '.' => points += 1,
            _ => return false,
        }
    }
    digits > 0 && points <= 1
}

/// Checks that the hint is the number as the standard library parses it, up to a float's precision.
fn is_that_number(value: &str, hint: Duration, unit: f64) {
    let expected = (value.parse::<f64>().expect("a number") * unit).min(2_f64.powi(64));
    let difference = (hint.as_secs_f64() - expected).abs();
    assert!(difference <= expected * 1e-12 + 1e-9, "{hint:?} is not {expected}");
}

/// Checks that a date is a fixed time: a second later, its hint is a second shorter.
fn is_a_date(value: &str, hint: Duration, now: SystemTime) {
    assert!(value.is_ascii() && (24..=33).contains(&value.len()), "has a format of HTTP");
    let Some(later) = now.checked_add(SECOND) else { return };
    let later = parse_retry_after(value, later);
    if value.contains('-') {
        // A year of two digits may now mean the next century, in which the date has another
        // weekday.
        let a_century = Duration::from_hours(36_524 * 24);
        let near = later.is_none_or(|later| later < a_century);
        assert!(near && hint < a_century, "a year of two digits is near");
    } else {
        assert_eq!(later, Some(hint.saturating_sub(SECOND)), "a second later");
    }
}
