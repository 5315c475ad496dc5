use std::time::Duration;

use futures_now::now_or_never;

use super::*;
use crate::{FOLLOWER_BYTES, Followed};

/// Polling once, for what must be ready without waiting.
mod futures_now {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    pub(super) fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }
}

fn name(text: &str) -> InstanceName {
    text.parse().unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn piece(text: &str) -> Piece {
    Piece { text: text.into(), continued: false }
}

fn texts(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|line| &*line.text).collect()
}

/// Four lines of three instances, a second apart.
fn some_logs() -> Logs {
    let logs = Logs::new();
    logs.record(&name("api:a"), Stream::Stdout, at(0), piece("Hello"));
    logs.record(&name("api:b"), Stream::Stderr, at(1), piece("ÉTÉ hello"));
    logs.record(&name("web:a"), Stream::Stdout, at(2), piece("bye"));
    logs.record(&name("api:a"), Stream::Stderr, at(3), piece("HELLO again"));
    logs
}

#[test]
fn a_query_restricts_by_what_it_names() {
    let logs = some_logs();
    let all = || Query::newest(100);
    let found = |query: Query| -> Vec<u64> { logs.query(&query).iter().map(|l| l.seq).collect() };
    assert_eq!(found(all()), [0, 1, 2, 3]);
    assert_eq!(found(Query { service: Some("api".parse().unwrap()), ..all() }), [0, 1, 3]);
    assert_eq!(found(Query { id: Some("a".parse().unwrap()), ..all() }), [0, 2, 3]);
    assert_eq!(found(Query::of(&name("api:a"), 100)), [0, 3]);
    assert_eq!(found(Query::of(&name("api:none"), 100)), [] as [u64; 0]);
    assert_eq!(found(Query { stream: Some(Stream::Stderr), ..all() }), [1, 3]);
    assert_eq!(found(Query { since: Some(at(1)), until: Some(at(3)), ..all() }), [1, 2]);
    assert_eq!(found(Query { search: Some("hElLo".into()), ..all() }), [0, 1, 3]);
    assert_eq!(found(Query { search: Some("été".into()), ..all() }), [1]);
    assert_eq!(found(Query { search: Some(String::new()), ..all() }), [0, 1, 2, 3]);
}

#[test]
fn the_limit_keeps_the_newest_in_order() {
    let logs = some_logs();
    assert_eq!(texts(&logs.query(&Query::newest(2))), ["bye", "HELLO again"]);
    let search = Query { search: Some("hello".into()), ..Query::newest(2) };
    assert_eq!(texts(&logs.query(&search)), ["ÉTÉ hello", "HELLO again"]);
    assert_eq!(texts(&logs.last(&name("api:a"), 1)), ["HELLO again"]);
    assert!(logs.query(&Query::newest(0)).is_empty());
}

#[tokio::test]
async fn a_follower_gets_the_old_lines_then_the_new_ones() {
    let logs = some_logs();
    let mut follower = logs.follow(Query {
        service: Some("api".parse().unwrap()),
        search: Some("hello".into()),
        ..Query::newest(1)
    });
    logs.record(&name("web:a"), Stream::Stdout, at(4), piece("hello web"));
    logs.record(&name("api:a"), Stream::Stdout, at(4), piece("something else"));
    logs.record(&name("api:c"), Stream::Stdout, at(4), piece("hello c"));
    for want in ["HELLO again", "hello c"] {
        let Followed::Line(line) = follower.next().await else { panic!("no gap") };
        assert_eq!(&*line.text, want);
    }
    assert_eq!(now_or_never(follower.next()), None);
}

#[tokio::test]
async fn a_waiting_follower_is_woken() {
    let logs = Logs::new();
    let mut follower = logs.follow(Query::newest(0));
    let reader = tokio::spawn(async move { follower.next().await });
    tokio::task::yield_now().await;
    logs.record(&name("api:a"), Stream::Stdout, at(0), piece("x"));
    let followed = tokio::time::timeout(Duration::from_secs(5), reader).await.unwrap().unwrap();
    assert!(matches!(followed, Followed::Line(line) if &*line.text == "x"));
}

#[tokio::test]
async fn a_slow_follower_sees_where_lines_are_missing() {
    let logs = Logs::new();
    let mut follower = logs.follow(Query::newest(0));
    let half = "x".repeat(FOLLOWER_BYTES / 2 - 1000);
    let api = name("api:a");
    for text in [&half, &half, &half, &half] {
        logs.record(&api, Stream::Stdout, at(0), piece(text));
    }
    assert!(matches!(follower.next().await, Followed::Line(line) if line.seq == 0));
    logs.record(&api, Stream::Stdout, at(0), piece("after"));
    assert!(matches!(follower.next().await, Followed::Line(line) if line.seq == 1));
    assert_eq!(follower.next().await, Followed::Missed(2));
    assert!(matches!(follower.next().await, Followed::Line(line) if line.seq == 4));
    assert_eq!(now_or_never(follower.next()), None);
}

#[test]
fn a_dropped_follower_costs_nothing_more() {
    let logs = some_logs();
    drop(logs.follow(Query::newest(0)));
    let _kept = logs.follow(Query::newest(0));
    assert_eq!(logs.state().followers.len(), 1);
}

#[tokio::test]
async fn following_loses_and_doubles_nothing_under_load() {
    const LINES: u64 = 5_000;
    let logs = Logs::bounded(RING_BYTES, LINES as usize);
    let writer = std::thread::spawn({
        let logs = logs.clone();
        move || {
            for i in 0..LINES {
                logs.record(&name("api:a"), Stream::Stdout, at(0), piece(&i.to_string()));
            }
        }
    });
    let mut follower = logs.follow(Query::newest(usize::MAX));
    let mut next = 0;
    while next < LINES {
        match follower.next().await {
            Followed::Line(line) => {
                assert_eq!(line.seq, next);
                next += 1;
            }
            Followed::Missed(count) => next += count,
        }
    }
    writer.join().unwrap();
}
