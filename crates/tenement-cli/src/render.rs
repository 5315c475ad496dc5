//! From values to text. Pure: no terminal is asked and no clock is read; colours are always
//! there, and are taken out on the way to anything that is no terminal.

pub(crate) mod config;
pub(crate) mod data;
pub(crate) mod doctor;
pub(crate) mod instances;
pub(crate) mod logs;
pub(crate) mod table;

use anstyle::{AnsiColor, Style};

/// What is fine.
pub(crate) const GOOD: Style = colour(AnsiColor::Green);
/// What is on its way, or needs an eye.
pub(crate) const WARN: Style = colour(AnsiColor::Yellow);
/// What needs a hand.
pub(crate) const BAD: Style = colour(AnsiColor::Red);
/// What matters less.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// Nothing in particular.
pub(crate) const PLAIN: Style = Style::new();

const fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(anstyle::Color::Ansi(colour)))
}

/// A span to about two digits of meaning: `340ms`, `12s`, `5m12s`, `3h5m`, `12d4h`.
pub(crate) fn span(millis: u64) -> String {
    let seconds = millis / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match millis {
        0..1_000 => format!("{millis}ms"),
        1_000..60_000 => format!("{seconds}s"),
        60_000..3_600_000 => format!("{minutes}m{}", unless_zero(seconds % 60, 's')),
        3_600_000..86_400_000 => format!("{hours}h{}", unless_zero(minutes % 60, 'm')),
        _ => format!("{days}d{}", unless_zero(hours % 24, 'h')),
    }
}

/// Bytes as people say them, rounded up, in the unit of `memory_limit_mb` where there is one whole.
pub(crate) fn size(bytes: u64) -> String {
    const KB: u64 = 1024;
    const MB: u64 = 1024 * KB;
    match bytes {
        0..KB => format!("{bytes}B"),
        KB..MB => format!("{}KB", bytes.div_ceil(KB)),
        _ => format!("{}MB", bytes.div_ceil(MB)),
    }
}

fn unless_zero(number: u64, unit: char) -> String {
    if number == 0 { String::new() } else { format!("{number}{unit}") }
}

/// Text of others with its control characters made visible, so that a tenant cannot drive the
/// operator's terminal (escape sequences, ECMA-48). Tabs stay.
pub(crate) fn visible(text: &str) -> String {
    let show = |c: char| match c {
        '\t' => '\t',
        // U+2400 and on are the pictures of U+0000 and on.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        '\u{80}'..='\u{9f}' => '\u{fffd}',
        other => other,
    };
    text.chars().map(show).collect()
}

#[cfg(test)]
mod tests;
