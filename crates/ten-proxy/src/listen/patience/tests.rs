//! A client that moves bytes on a schedule, on a clock that only moves when all is idle.

use std::future::poll_fn;

use tokio::time::{Interval, interval_at};

use super::*;

/// Moves `bytes` every `every`, of body `body`, as long as it is allowed to; for how long that
/// was, or `None` where it had not ended after `rounds`.
async fn drip(
    patience: &mut Patience,
    terms: Terms,
    body: u64,
    (bytes, every): (usize, Duration),
    rounds: u32,
) -> Option<Duration> {
    let start = Instant::now();
    let mut due: Interval = interval_at(start + every, every);
    for _ in 0..rounds {
        let moved = poll_fn(|cx| {
            let io = due.poll_tick(cx).map(|_| Ok(bytes));
            patience.with(body, terms, cx, io)
        });
        if let Err(error) = moved.await {
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            return Some(start.elapsed());
        }
    }
    None
}

const fn at(rate: u32) -> Terms {
    Terms { full: secs(60), rate }
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[tokio::test(start_paused = true)]
async fn a_byte_a_minute_is_not_enough() {
    let terms = at(240);
    let ended = drip(&mut Patience::default(), terms, 0, (1, secs(59)), 10).await.unwrap();
    assert!(ended >= secs(60) && ended < secs(62), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn who_keeps_the_rate_may_go_on_for_ever() {
    let terms = at(240);
    assert_eq!(drip(&mut Patience::default(), terms, 0, (240, secs(1)), 10_000).await, None);
    assert_eq!(drip(&mut Patience::default(), terms, 0, (240 * 50, secs(50)), 100).await, None);
}

#[tokio::test(start_paused = true)]
async fn half_the_rate_lasts_for_twice_the_patience() {
    let terms = at(240);
    let ended = drip(&mut Patience::default(), terms, 0, (120, secs(1)), 1000).await.unwrap();
    assert!(ended >= secs(118) && ended <= secs(122), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn patience_does_not_grow_beyond_its_beginning() {
    let (terms, mut patience) = (at(240), Patience::default());
    assert_eq!(drip(&mut patience, terms, 0, (1 << 20, secs(1)), 10).await, None);
    let ended = drip(&mut patience, terms, 0, (0, secs(100)), 10).await.unwrap();
    assert!(ended >= secs(60) && ended < secs(61), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_rate_any_byte_is_enough() {
    let terms = at(0);
    assert_eq!(drip(&mut Patience::default(), terms, 0, (1, secs(59)), 100).await, None);
    let ended = drip(&mut Patience::default(), terms, 0, (1, secs(61)), 100).await.unwrap();
    assert!(ended >= secs(60) && ended < secs(61), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn each_body_begins_anew() {
    let (terms, mut patience) = (at(240), Patience::default());
    for body in 1..10 {
        assert_eq!(drip(&mut patience, terms, body, (1, secs(59)), 1).await, None);
    }
}
