//! Data that are moved before the program runs: that time is not the program's.

use tokio::time::Instant;

use super::*;
use crate::machine::PREPARATION;

/// A house whose tenants' data take minutes, with a `startup_timeout` of seconds.
async fn house() -> House {
    let house = House::new(|_| {}).await;
    house.script(Script { moving_takes: 5 * MINUTE, ..Script::default() });
    house
}

/// A request wakes it, and is not served. A clock that stands still jumps ahead while a thread is
/// waited for, and an operator's word waits for the store.
async fn wake_in_vain(house: &House) {
    let since = Instant::now();
    let refused = house.fleet.lease(&target("api:a"), HERE).await;
    assert!(matches!(refused, Err(Refusal::NotReady { .. })), "{refused:?}");
    assert_eq!(since.elapsed().as_secs(), 10, "startup_timeout");
    assert_eq!(house.state("api:a"), Some(State::Starting), "a request that left stopped it");
}

#[tokio::test(start_paused = true)]
async fn data_may_take_longer_to_move_than_a_program_to_start() {
    let house = house().await;
    let before = Instant::now();
    assert_eq!(house.fleet.spawn(name("api:a"), vec![], true).await, Ok(Done::Did));
    assert_eq!(before.elapsed(), 5 * MINUTE);
    assert_eq!(house.launches(), 1);
    assert!(house.fleet.lease(&target("api:a"), HERE).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_them_no_longer_than_for_a_start() {
    let house = house().await;
    let ask = async |after: Duration| {
        pass(after).await;
        wake_in_vain(&house).await;
    };
    let seconds = Duration::from_secs;
    tokio::join!(ask(seconds(0)), ask(seconds(7)), ask(seconds(60)), ask(seconds(64)));
    // Who comes just before the end goes in.
    pass(5 * MINUTE - seconds(74 + 4)).await;
    assert!(house.fleet.lease(&target("api:a"), HERE).await.is_ok());
    assert_eq!(house.launches(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_program_has_its_whole_time_after_them() {
    let house = house().await;
    house.script(Script { listens: false, moving_takes: 5 * MINUTE, ..Script::default() });
    let before = Instant::now();
    let denied = house.fleet.spawn(name("api:a"), vec![], true).await.unwrap_err();
    assert_eq!(before.elapsed(), 5 * MINUTE + Duration::from_secs(10));
    assert!(denied.to_string().contains("(startup_timeout)"), "{denied}");
}

/// A signal would not be heard before the program is there.
#[tokio::test(start_paused = true)]
async fn an_operator_may_end_it_at_once() {
    for verb in ["stop", "rm", "shutdown"] {
        let house = house().await;
        let _reader = house.read_data().await;
        wake_in_vain(&house).await;
        pass(10 * MINUTE).await;
        let before = Instant::now();
        match verb {
            "stop" => assert_eq!(house.fleet.stop(name("api:a")).await, Ok(Done::Did)),
            "rm" => assert_eq!(house.fleet.remove(name("api:a")).await, Ok(Done::Did)),
            _ => house.fleet.shutdown().await,
        }
        assert_eq!(before.elapsed(), Duration::ZERO, "{verb}");
        assert_eq!(house.launches(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn another_front_lets_it_go_on() {
    let house = house().await;
    let reader = house.read_data().await;
    wake_in_vain(&house).await;
    pass(10 * MINUTE).await;
    let house = house.front_dies().await;
    wake_in_vain(&house).await;
    drop(reader);
    house.reaches("api:a", State::Running(Health::Unknown)).await;
    assert_eq!(house.launches(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_never_ends_is_ended() {
    let house = house().await;
    house.script(Script { moving_takes: 2 * PREPARATION, ..Script::default() });
    let before = Instant::now();
    let denied = house.fleet.spawn(name("api:a"), vec![], true).await.unwrap_err();
    assert_eq!(before.elapsed(), PREPARATION);
    assert!(denied.to_string().contains("not in its image within 21600 s"), "{denied}");
}
