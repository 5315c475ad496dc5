//! Moments and spans as they are typed: `5m`, `90d`, `2026-01-31 12:00`.

use jiff::{Span, Timestamp, civil::DateTime, tz::TimeZone};

/// A moment: so long before `now`, or a date and time. Without an offset it is in `zone`.
pub(crate) fn moment(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, String> {
    if let Some(span) = span(text) {
        return shift(now, -span);
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let wrong = || format!("{text:?} is neither a span such as 5m nor a time");
    let local: DateTime = text.parse().map_err(|_| wrong())?;
    Ok(zone.to_zoned(local).map_err(|_| wrong())?.timestamp())
}

/// The moment so long after `now`.
pub(crate) fn after(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    match span(text) {
        Some(span) => shift(now, span),
        None => Err(format!("{text:?} is not a span such as 90d or 12h")),
    }
}

/// A span forwards in time. `5m` is five minutes.
fn span(text: &str) -> Option<Span> {
    text.parse().ok().filter(|span: &Span| span.is_positive())
}

/// Days are 24 hours here, as they are in UTC.
fn shift(now: Timestamp, span: Span) -> Result<Timestamp, String> {
    let moved = now.to_zoned(TimeZone::UTC).checked_add(span);
    moved.map(|zoned| zoned.timestamp()).map_err(|_| "is too far away".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_times_are_read() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        for (text, want) in [
            ("5m", "2026-01-31T11:55:00Z"),
            ("1h30m", "2026-01-31T10:30:00Z"),
            ("2d", "2026-01-29T12:00:00Z"),
            ("2026-01-31T09:00:00Z", "2026-01-31T09:00:00Z"),
            ("2026-01-31T09:00:00+01:00", "2026-01-31T08:00:00Z"),
            ("2026-01-31 09:00", "2026-01-31T07:00:00Z"),
            ("2026-01-31", "2026-01-30T22:00:00Z"),
        ] {
            let read = moment(text, now, &zone);
            assert_eq!(read, Ok(want.parse().unwrap()), "{text}");
        }
        assert_eq!(after("90d", now), Ok("2026-05-01T12:00:00Z".parse().unwrap()));
    }

    #[test]
    fn others_are_refused() {
        let now = Timestamp::UNIX_EPOCH;
        for bad in ["", "5", "yesterday", "-5m", "0s", "9999999y"] {
            assert!(moment(bad, now, &TimeZone::UTC).is_err(), "{bad:?}");
            assert!(after(bad, now).is_err(), "{bad:?}");
        }
    }
}
