//! Waiting for something that shows itself only to those who look.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Looks until `condition` holds, and says whether it did within `deadline`. It is looked at
/// least once.
pub fn wait_until(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(PAUSE);
    }
}
