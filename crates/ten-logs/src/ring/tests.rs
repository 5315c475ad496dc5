use jiff::Timestamp;

use super::*;
use crate::Stream;

fn line(seq: u64, instance: &str, text: &str) -> Line {
    Line {
        seq,
        at: Timestamp::UNIX_EPOCH,
        instance: instance.parse().unwrap(),
        stream: Stream::Stdout,
        text: text.into(),
        continued: false,
    }
}

fn kept(ring: &Ring, instance: &str) -> Vec<u64> {
    let query = Query::newest(usize::MAX);
    ring.newest(&instance.parse().unwrap(), u64::MAX, &query, usize::MAX).map(|l| l.seq).collect()
}

#[test]
fn an_instance_keeps_its_newest_lines() {
    let mut ring = Ring::new(RING_BYTES, 3);
    for seq in 0..10 {
        ring.push(line(seq, "api:a", "x"));
    }
    ring.push(line(10, "api:b", "x"));
    assert_eq!(kept(&ring, "api:a"), [9, 8, 7]);
    assert_eq!(kept(&ring, "api:b"), [10]);
    assert_eq!((ring.usage().lines, ring.usage().dropped), (4, 7));
}

#[test]
fn the_largest_makes_room() {
    let cost = line(0, "api:a", "x").cost();
    let mut ring = Ring::new(5 * cost, 1000);
    ring.push(line(0, "api:quiet", "x"));
    for seq in 1..100 {
        ring.push(line(seq, "api:chatty", "x"));
    }
    assert_eq!(kept(&ring, "api:quiet"), [0]);
    assert_eq!(kept(&ring, "api:chatty"), [99, 98, 97, 96]);
    assert_eq!(ring.usage(), Usage { lines: 5, bytes: 5 * cost, dropped: 95 });
}

#[test]
fn what_has_no_line_is_forgotten() {
    let cost = line(0, "api:a", "x").cost();
    let mut ring = Ring::new(cost, 1000);
    for (seq, name) in ["api:a", "api:b", "api:c"].into_iter().enumerate() {
        ring.push(line(seq as u64, name, "x"));
    }
    assert_eq!(ring.tails.len(), 1);
    assert_eq!(ring.by_bytes.len(), 1);
    assert_eq!(ring.usage().bytes, cost);
}

#[test]
fn a_line_larger_than_the_ring_is_dropped() {
    let mut ring = Ring::new(10, 1000);
    ring.push(line(0, "api:a", "more than ten bytes"));
    assert_eq!(ring.usage(), Usage { lines: 0, bytes: 0, dropped: 1 });
}
