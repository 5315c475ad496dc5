use std::{
    collections::VecDeque,
    io::Read,
    pin::pin,
    sync::mpsc::{SyncSender, sync_channel},
    task::{Context, Waker},
    thread,
};

use super::*;
use crate::probe::By;

type Reply = SyncSender<Lease>;

fn generation() -> (Arc<Generation>, mpsc::UnboundedReceiver<Notice>) {
    with_room_for(1000)
}

fn with_room_for(max: u32) -> (Arc<Generation>, mpsc::UnboundedReceiver<Notice>) {
    found_by(None, max)
}

fn found_by(
    spare: Option<UnixStream>,
    max: u32,
) -> (Arc<Generation>, mpsc::UnboundedReceiver<Notice>) {
    let (notices, seen) = mpsc::unbounded_channel();
    let address = Address::Tcp(([127, 0, 0, 1], 1).into());
    let name = "api:prod".parse().unwrap();
    let birth = Birth {
        instance: name,
        launch: LaunchId(7),
        reached: Reached { address, by: By::Address },
        protocol: Protocol::Http1,
        request_timeout: None,
        max,
        requests: Arc::default(),
        notices,
    };
    (Generation::new(birth, spare), seen)
}

/// One that was found by a connection, and the process's end of that.
fn found(max: u32) -> (Arc<Generation>, mpsc::UnboundedReceiver<Notice>, UnixStream) {
    let (ours, its) = UnixStream::pair().unwrap();
    its.set_nonblocking(true).unwrap();
    let (generation, seen) = found_by(Some(ours), max);
    (generation, seen, its)
}

fn is_closed(its: &UnixStream) -> bool {
    matches!((&*its).read(&mut [0]), Ok(0))
}

/// Whether its holder has been told that the process only waits for it.
fn is_told(lease: &Lease) -> bool {
    pin!(lease.draining()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn a_used_gate_cannot_be_closed_for_idleness() {
    let (generation, _seen) = generation();
    let lease = generation.enter().unwrap();
    assert!(!generation.close_if_unused());
    drop(lease);
    assert!(generation.close_if_unused());
    assert!(generation.enter().is_none());
}

#[test]
fn the_last_lease_of_a_closed_gate_reports_once() {
    let (generation, mut seen) = generation();
    let (one, two) = (generation.enter().unwrap(), generation.enter().unwrap());
    generation.close();
    drop(one);
    assert!(seen.try_recv().is_err());
    drop(two);
    assert!(matches!(seen.try_recv(), Ok(Notice::Drained(_, LaunchId(7)))));
    assert!(seen.try_recv().is_err());
}

#[test]
fn closing_an_unused_gate_reports_at_once() {
    let (generation, mut seen) = generation();
    generation.close();
    assert!(matches!(seen.try_recv(), Ok(Notice::Drained(..))));
}

#[tokio::test]
async fn a_drain_is_told_to_all_who_hold_a_lease() {
    let (generation, mut seen) = generation();
    let (one, two) = (generation.enter().unwrap(), generation.enter().unwrap());
    let waiting = async {
        one.draining().await;
        drop(one);
    };
    let begins = async {
        assert!(!is_told(&two));
        generation.drain();
    };
    // The first waits for it already when it begins.
    tokio::join!(waiting, begins);
    assert!(is_told(&two));
    assert!(seen.try_recv().is_err());
    generation.drain();
    drop(two);
    assert!(matches!(seen.try_recv(), Ok(Notice::Drained(_, LaunchId(7)))));
    assert!(seen.try_recv().is_err());
}

/// One was found not to accept, and accepts again; the other is gone.
#[test]
fn who_holds_a_lease_is_told_of_nothing_but_a_drain() {
    let (before, _seen) = generation();
    let old = before.enter().unwrap();
    old.report_unreachable();
    assert!(!is_told(&old));
    let after = before.moved(before.reached().clone());
    after.reopen();
    after.nobody_waits();
    let new = after.enter().unwrap();
    assert!(!is_told(&old) && !is_told(&new));
    after.close();
    assert!(!is_told(&old) && !is_told(&new));
    after.drain();
    assert!(is_told(&old) && is_told(&new), "they use the same process");
}

#[test]
fn an_unreachable_process_gives_no_lease_any_more() {
    let (generation, mut seen) = generation();
    let lease = generation.enter().unwrap();
    lease.report_unreachable();
    lease.report_unreachable();
    assert!(matches!(seen.try_recv(), Ok(Notice::Unreachable(_, LaunchId(7)))));
    assert!(seen.try_recv().is_err(), "reported twice");
    assert!(generation.enter().is_none());
}

#[test]
fn requests_and_the_reaper_never_both_win() {
    let (generation, _seen) = generation();
    let racers: Vec<_> = (0..4)
        .map(|_| {
            let generation = Arc::clone(&generation);
            thread::spawn(move || {
                for _ in 0..20_000 {
                    if let Some(lease) = generation.enter() {
                        assert!(!generation.close_if_unused(), "closed under a lease");
                        drop(lease);
                    }
                }
            })
        })
        .collect();
    racers.into_iter().for_each(|racer| racer.join().unwrap());
    assert_eq!(generation.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn idleness_is_counted_from_the_end_of_the_last_use() {
    let (generation, _seen) = generation();
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(generation.unused_for(), Duration::from_secs(5));
    let lease = generation.enter().unwrap();
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(generation.unused_for(), Duration::ZERO);
    drop(lease);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(generation.unused_for(), Duration::from_secs(2));
}

#[test]
fn a_full_gate_gives_no_lease_until_one_ends() {
    let (generation, mut seen) = with_room_for(2);
    let (one, _two) = (generation.enter().unwrap(), generation.enter().unwrap());
    assert!(generation.enter().is_none());
    drop(one);
    assert!(seen.try_recv().is_err(), "nobody waited");
    assert!(generation.enter().is_some());
}

#[test]
fn nobody_overtakes_who_waits() {
    let (generation, mut seen) = with_room_for(1);
    let held = generation.enter().unwrap();
    assert!(generation.next_turn().is_none());
    drop(held);
    assert!(matches!(seen.try_recv(), Ok(Notice::Room(_, LaunchId(7)))));
    assert!(generation.enter().is_none(), "overtook");
    assert!(!generation.close_if_unused(), "slept while somebody waited");
    drop(generation.next_turn().unwrap());
    assert!(matches!(seen.try_recv(), Ok(Notice::Room(..))), "others may wait");
    generation.nobody_waits();
    assert!(generation.enter().is_some());
}

#[test]
fn a_closed_gate_gives_no_turn_and_is_drained_whoever_waits() {
    let (generation, mut seen) = with_room_for(1);
    let held = generation.enter().unwrap();
    assert!(generation.next_turn().is_none());
    generation.close();
    drop(held);
    assert!(matches!(seen.try_recv(), Ok(Notice::Drained(..))));
    assert!(seen.try_recv().is_err());
    assert!(generation.next_turn().is_none());
}

/// Requests on threads against a driver on another, for every request a fresh chance of
/// each race that the header of the gate argues about.
#[test]
fn racing_requests_never_exceed_the_room_and_all_get_their_turn() {
    const MAX: u32 = 3;
    const RACERS: usize = 8;
    const ROUNDS: usize = 5_000;
    let (generation, mut seen) = with_room_for(MAX);
    let (queue, mut queued) = mpsc::unbounded_channel::<Reply>();
    let inside = Arc::new(AtomicU64::new(0));
    let racers: Vec<_> = (0..RACERS)
        .map(|racer| {
            let (generation, queue) = (Arc::clone(&generation), queue.clone());
            let inside = Arc::clone(&inside);
            thread::spawn(move || {
                for round in 0..ROUNDS {
                    let lease = generation.enter().or_else(|| {
                        let (reply, turn) = sync_channel(1);
                        queue.send(reply).unwrap();
                        // Some leave at once, some before their turn comes.
                        (!(racer + round).is_multiple_of(5)).then(|| turn.recv().unwrap())
                    });
                    let Some(lease) = lease else { continue };
                    assert!(inside.fetch_add(1, Ordering::AcqRel) < u64::from(MAX), "too many");
                    inside.fetch_sub(1, Ordering::AcqRel);
                    drop(lease);
                }
            })
        })
        .collect();
    drop(queue);
    // The driver: who comes is queued, and after each event all turns that there are are given.
    let mut waiting = VecDeque::new();
    let turns = |waiting: &mut VecDeque<Reply>| {
        while !waiting.is_empty() {
            let Some(lease) = generation.next_turn() else { return };
            // Who has gone gives its lease back.
            drop(waiting.pop_front().map(|reply| reply.send(lease)));
        }
        generation.nobody_waits();
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        loop {
            tokio::select! {
                reply = queued.recv() => match reply {
                    Some(reply) => waiting.push_back(reply),
                    None if waiting.is_empty() => break,
                    None => { seen.recv().await; }
                },
                _ = seen.recv() => {}
            }
            turns(&mut waiting);
        }
    });
    racers.into_iter().for_each(|racer| racer.join().unwrap());
    assert_eq!(generation.in_flight(), 0);
    assert!(generation.close_if_unused(), "the gate remembers a queue that is gone");
}

#[test]
fn a_process_that_is_reached_elsewhere_keeps_its_count() {
    let (before, mut seen) = with_room_for(2);
    let old = before.enter().unwrap();
    old.report_unreachable();
    assert!(matches!(seen.try_recv(), Ok(Notice::Unreachable(..))));
    let address = Address::Tcp(([127, 0, 0, 1], 2).into());
    let after = before.moved(Reached { address: address.clone(), by: By::Address });
    assert!(after.enter().is_none(), "used before it was shown");
    after.reopen();
    assert!(after.enter().is_none(), "overtook who waited for it to be found");
    after.nobody_waits();
    let lease = after.enter().unwrap();
    assert_eq!(lease.address(), &address);
    assert!(after.enter().is_none(), "three use a process that has room for two");
    drop(lease);
    assert!(!after.close_if_unused(), "closed under a lease that is older than the move");
    drop(old);
    assert!(after.close_if_unused());
}

#[test]
fn the_first_who_waits_gets_the_connection_by_which_it_was_found() {
    let (generation, _seen, _its) = found(9);
    let overtakes = generation.enter().unwrap();
    assert!(overtakes.connection().is_none());
    let (first, second) = (generation.next_turn().unwrap(), generation.next_turn().unwrap());
    assert!(second.connection().is_none());
    assert!(first.connection().is_some());
    assert!(first.connection().is_none(), "it is had once");
}

#[test]
fn a_connection_that_nobody_waits_for_is_closed() {
    // Also where somebody waited, and left without having used it.
    for waits in [false, true] {
        let (generation, _seen, its) = found(9);
        assert!(!is_closed(&its));
        if waits {
            drop(generation.next_turn().unwrap());
        }
        generation.nobody_waits();
        assert!(is_closed(&its));
    }
}

#[test]
fn who_overtakes_the_first_does_not_wait_for_its_connection() {
    let (generation, _seen, its) = found(1);
    let _overtook = generation.enter().unwrap();
    assert!(!is_closed(&its));
    assert!(generation.next_turn().is_none());
    assert!(is_closed(&its));
}
