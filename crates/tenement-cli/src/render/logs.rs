//! One line of a log.

use jiff::{Timestamp, tz::TimeZone};
use ten_api::{LogLine, Stream};

use super::{FAINT, WARN, visible};

/// `2026-01-31 12:00:00.123 api:prod  text`, in the time of `zone`. What went to stderr is
/// coloured.
pub(crate) fn line(line: &LogLine, zone: &TimeZone) -> String {
    let time = match line.time.parse::<Timestamp>() {
        Ok(moment) => format!("{:.3}", moment.to_zoned(zone.clone()).datetime()).replace('T', " "),
        Err(_) => visible(&line.time),
    };
    let text = visible(&line.text);
    let more = if line.continued { "…" } else { "" };
    let text = match line.stream {
        Stream::Stdout => format!("{more}{text}"),
        Stream::Stderr => format!("{WARN}{more}{text}{WARN:#}"),
    };
    format!("{FAINT}{time}{FAINT:#} {}  {text}\n", line.instance)
}

/// In the place of lines that came faster than they were read.
pub(crate) fn missed(count: u64) -> String {
    format!("{WARN}({count} lines came too fast and are left out){WARN:#}\n")
}
