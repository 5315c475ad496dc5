//! The date of an answer that has none (RFC 9110, section 6.6.1), put into words once a second.

use std::cell::RefCell;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::headers::Headers;

thread_local! {
    /// The second, and its words.
    static NOW: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
}

/// Adds `Date`.
pub(crate) fn push_date(out: &mut impl Headers) {
    // The time of the last tick of the kernel's clock: exact to some milliseconds, and cheap.
    let now = clock_gettime(ClockId::RealtimeCoarse).tv_sec;
    NOW.with_borrow_mut(|(second, words)| {
        if *second != now {
            (*second, *words) = (now, words_of(now));
        }
        out.add(b"date", &[words.as_bytes()]);
    });
}

/// IMF-fixdate (RFC 9110, section 5.6.7).
fn words_of(second: i64) -> String {
    let time = Timestamp::from_second(second).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_as_http_has_it() {
        assert_eq!(words_of(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
