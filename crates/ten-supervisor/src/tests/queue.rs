//! `max_concurrency`: turns, places, patience, and what a queue lives through.

use std::sync::Mutex;

use tokio::task::{JoinHandle, yield_now};

use super::{house::pass, *};
use crate::Lease;

/// A house in which one request at a time is served.
async fn narrow(change: impl FnOnce(&mut ServiceSpec)) -> House {
    House::new(|spec| {
        spec.concurrency = Concurrency { max: 1, queue_limit: 10, queue_timeout: 10 * MINUTE };
        change(spec);
    })
    .await
}

type Asked = JoinHandle<Result<Lease, Refusal>>;

/// A request that has taken its place in the queue, or has its answer.
async fn ask(house: &House) -> Asked {
    let fleet = house.fleet.clone();
    let asked = tokio::spawn(async move { fleet.lease(&target("api:a"), HERE).await });
    // The clock is paused: it moves on only once everybody has done what there was to do.
    pass(Duration::from_millis(1)).await;
    asked
}

#[tokio::test(start_paused = true)]
async fn there_are_never_more_than_max_and_turns_come_in_order() {
    let house = narrow(|spec| (spec.concurrency.max, spec.concurrency.queue_limit) = (2, 50)).await;
    let order = Arc::new(Mutex::new(vec![]));
    let mut requests = JoinSet::new();
    for request in 0..50 {
        let (fleet, order) = (house.fleet.clone(), Arc::clone(&order));
        requests.spawn(async move {
            let lease = fleet.lease(&target("api:a"), HERE).await.unwrap();
            order.lock().unwrap().push(request);
            let in_flight = fleet.get(lease.instance()).unwrap().in_flight;
            pass(Duration::from_secs(1)).await;
            in_flight
        });
        yield_now().await;
    }
    let before = Instant::now();
    let most = requests.join_all().await.into_iter().max();
    assert_eq!(most, Some(2));
    assert_eq!(before.elapsed().as_secs(), 25, "there was room that nobody used");
    assert!(order.lock().unwrap().is_sorted(), "{order:?}");
    assert!(house.fleet.try_lease(&target("api:a")).is_some(), "the queue is over");
}

#[tokio::test(start_paused = true)]
async fn a_wake_is_no_stampede() {
    let house = narrow(|_| {}).await;
    house.script(Script { start_takes: Duration::from_secs(5), ..Script::default() });
    let (first, second) = (ask(&house).await, ask(&house).await);
    let lease = first.await.unwrap().unwrap();
    pass(MINUTE).await;
    assert!(!second.is_finished());
    assert!(house.fleet.try_lease(&target("api:a")).is_none());
    drop(lease);
    assert!(second.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn more_than_queue_limit_are_refused_running_or_not() {
    let house = narrow(|spec| spec.concurrency.queue_limit = 2).await;
    house.script(Script { start_takes: Duration::from_secs(5), ..Script::default() });
    // One of the three will be let in at once.
    let (first, second, third) = (ask(&house).await, ask(&house).await, ask(&house).await);
    let refused = Some(Refusal::QueueFull);
    assert_eq!(ask(&house).await.await.unwrap().err(), refused);
    let lease = first.await.unwrap().unwrap();
    assert_eq!(ask(&house).await.await.unwrap().err(), refused);
    // Who leaves makes room for another.
    third.abort();
    let fourth = ask(&house).await;
    assert!(!fourth.is_finished());
    drop(lease);
    drop(second.await.unwrap().unwrap());
    assert!(fourth.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_limit_holds_for_those_who_came_before_it_was_known() {
    let house = narrow(|spec| spec.concurrency.queue_limit = 3).await;
    let mut requests = JoinSet::new();
    for _ in 0..50 {
        let fleet = house.fleet.clone();
        requests.spawn(async move { fleet.lease(&target("api:a"), HERE).await.map(drop) });
    }
    let answers = requests.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1 + 3, "{answers:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_turn_longer_than_queue_timeout() {
    let timeout = Duration::from_secs(10);
    let house = narrow(|spec| spec.concurrency.queue_timeout = timeout).await;
    house.script(Script { start_takes: Duration::from_secs(7), ..Script::default() });
    let woke = Instant::now();
    let (first, second) = (ask(&house).await, ask(&house).await);
    let lease = first.await.unwrap().unwrap();
    pass(Duration::from_secs(5)).await;
    let third = ask(&house).await;
    assert_eq!(second.await.unwrap().err(), Some(Refusal::Busy));
    assert_eq!(woke.elapsed().as_secs(), 17, "counts from the end of the start");
    assert_eq!(third.await.unwrap().err(), Some(Refusal::Busy));
    assert_eq!(woke.elapsed().as_secs(), 22);
    drop(lease);
    assert!(house.fleet.lease(&target("api:a"), HERE).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_turn_of_who_has_just_gone_goes_on_to_the_next() {
    // At each step of the turn's way to who leaves.
    for steps in 0..8 {
        let house = narrow(|_| {}).await;
        let lease = house.fleet.lease(&target("api:a"), HERE).await.unwrap();
        let (gone, next) = (ask(&house).await, ask(&house).await);
        drop(lease);
        for _ in 0..steps {
            yield_now().await;
        }
        gone.abort();
        drop(gone);
        assert!(next.await.unwrap().is_ok(), "lost after {steps} steps");
        let free = |house: &House| house.fleet.try_lease(&target("api:a")).is_some();
        house.until("the queue is over", free).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_outlives_the_process_that_it_waits_for() {
    let ends: [fn(&House); 3] = [
        |house| house.exit("api:a", Exit::Signal(9)),
        |house| house.exit("api:a", Exit::Code(0)),
        |house| {
            let fleet = house.fleet.clone();
            tokio::spawn(async move { fleet.restart(name("api:a")).await });
        },
    ];
    for end in ends {
        let house = narrow(|_| {}).await;
        let held = house.fleet.lease(&target("api:a"), HERE).await.unwrap();
        let (first, second) = (ask(&house).await, ask(&house).await);
        end(&house);
        // The dead process's lease holds no place of its successor's.
        let lease = first.await.unwrap().unwrap();
        assert_ne!(lease.process(), held.process());
        pass(Duration::from_secs(1)).await;
        assert!(!second.is_finished(), "its successor has room for one too");
        drop(lease);
        assert!(second.await.unwrap().is_ok());
        assert_eq!((house.launches(), house.most_at_once()), (2, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn it_sleeps_once_its_queue_has_been_served() {
    let house = narrow(|spec| spec.idle_timeout = Some(MINUTE)).await;
    let lease = house.fleet.lease(&target("api:a"), HERE).await.unwrap();
    let waits = [ask(&house).await, ask(&house).await];
    waits.iter().for_each(|asked| asked.abort());
    drop(lease);
    house.reaches("api:a", State::Sleeping).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_the_reaper_through_a_narrow_gate_all_get_their_turn() {
    let house = narrow(|spec| {
        spec.idle_timeout = Some(Duration::from_millis(1));
        spec.concurrency.max = 2;
    })
    .await;
    let mut racers = JoinSet::new();
    for racer in 0..8u64 {
        let fleet = house.fleet.clone();
        racers.spawn(async move {
            for round in 0..500u64 {
                let lease = fleet.lease(&target("api:a"), HERE).await.expect("a lease");
                assert!(fleet.get(lease.instance()).unwrap().in_flight <= 2);
                drop(lease);
                // Around the idle time, now shorter, now longer.
                pass(Duration::from_micros((racer * 397 + round * 131) % 3000)).await;
            }
        });
    }
    racers.join_all().await;
    assert_eq!(house.most_at_once(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_address_brings_only_so_many_instances_into_being() {
    let house = House::with_settings(|_| {}, |proxy| proxy.max_new_instances_per_ip = 2).await;
    let ask = async |id: &str, from: IpAddr| house.fleet.lease(&target(id), from).await.map(drop);
    let elsewhere = IpAddr::from([192, 0, 2, 1]);
    assert_eq!(ask("api:a", HERE).await, Ok(()));
    assert_eq!(ask("api:b", HERE).await, Ok(()));
    let refused = ask("api:c", HERE).await;
    assert!(matches!(refused, Err(Refusal::TooManyNew { .. })), "{refused:?}");
    assert!(house.fleet.get(&name("api:c")).is_none());
    for known in ["api:a", "api:b"] {
        house.fleet.stop(name(known)).await.unwrap();
        assert_eq!(ask(known, HERE).await, Ok(()), "known ones never count");
    }
    assert_eq!(ask("api:c", elsewhere).await, Ok(()));
    pass(MINUTE).await;
    assert_eq!(ask("api:d", HERE).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn asleep_is_what_a_request_would_wake() {
    let service = Target::Service("api".parse().unwrap());
    for (on_demand, unknown, known) in
        [(OnDemand::Any, true, true), (OnDemand::Known, false, true), (OnDemand::Off, false, false)]
    {
        let house = House::new(|spec| (spec.on_demand, spec.max_known) = (on_demand, 2)).await;
        assert_eq!(house.fleet.sleeps(&target("api:a")), unknown, "{on_demand:?}");
        assert!(!house.fleet.sleeps(&service), "nobody shares its traffic");
        assert!(house.fleet.list().is_empty(), "asking brought it into being");
        house.fleet.spawn(name("api:a"), vec![], true).await.unwrap();
        assert!(!house.fleet.sleeps(&target("api:a")) && !house.fleet.sleeps(&service));
        house.fleet.stop(name("api:a")).await.unwrap();
        assert_eq!(house.fleet.sleeps(&target("api:a")), known, "{on_demand:?}");
        assert_eq!(house.fleet.sleeps(&service), known, "{on_demand:?}");
        house.fleet.spawn(name("api:b"), vec![], true).await.unwrap();
        assert!(!house.fleet.sleeps(&target("api:c")), "past max_known it is 404");
        house.fleet.remove(name("api:b")).await.unwrap();
        assert_eq!(house.fleet.sleeps(&target("api:c")), unknown, "{on_demand:?}");
    }
    let worker = House::new(|spec| spec.listen = Listen::None).await;
    assert!(!worker.fleet.sleeps(&target("api:a")));
}

#[tokio::test(start_paused = true)]
async fn a_request_never_undoes_a_stop_of_what_requests_may_not_start() {
    let house = narrow(|spec| spec.on_demand = OnDemand::Off).await;
    house.fleet.spawn(name("api:a"), vec![], true).await.unwrap();
    let held = house.fleet.lease(&target("api:a"), HERE).await.unwrap();
    let before = ask(&house).await;
    let fleet = house.fleet.clone();
    let stopped = tokio::spawn(async move { fleet.stop(name("api:a")).await });
    let during = ask(&house).await;
    assert_eq!(house.state("api:a"), Some(State::Draining));
    drop(held);
    assert_eq!(stopped.await.unwrap(), Ok(Done::Did));
    for asked in [before, during] {
        assert_eq!(asked.await.unwrap().err(), Some(Refusal::Asleep));
    }
    assert_eq!((house.state("api:a"), house.launches()), (Some(State::Sleeping), 1));
}

#[tokio::test(start_paused = true)]
async fn whoever_would_be_served_awake_is_served_after_a_wake() {
    let house = narrow(|spec| (spec.concurrency.max, spec.concurrency.queue_limit) = (3, 2)).await;
    house.script(Script { start_takes: Duration::from_secs(5), ..Script::default() });
    for round in ["unknown", "asleep", "starting again"] {
        let mut asked = vec![];
        for _ in 0..6 {
            asked.push(ask(&house).await);
        }
        let refused = asked.pop().unwrap().await.unwrap();
        assert_eq!(refused.err(), Some(Refusal::QueueFull), "{round}");
        for asked in asked {
            drop(asked.await.unwrap().expect(round));
        }
        match round {
            "unknown" => drop(house.fleet.stop(name("api:a")).await.unwrap()),
            _ => house.exit("api:a", Exit::Signal(9)),
        }
        house.until("it is down", |house| house.fleet.try_lease(&target("api:a")).is_none()).await;
    }
}

/// Asks as the proxy does: first for what is there at once.
async fn ask_service(house: &House) -> Asked {
    let fleet = house.fleet.clone();
    let asked = tokio::spawn(async move {
        let service = Target::Service("api".parse().unwrap());
        match fleet.try_lease(&service) {
            Some(lease) => Ok(lease),
            None => fleet.lease(&service, HERE).await,
        }
    });
    pass(Duration::from_millis(1)).await;
    asked
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_one_instance_while_another_of_the_service_has_room() {
    let house = narrow(|_| {}).await;
    for id in ["api:v1", "api:v2"] {
        house.fleet.spawn(name(id), vec![], true).await.unwrap();
    }
    let v1 = house.fleet.lease(&target("api:v1"), HERE).await.unwrap();
    for _ in 0..4 {
        let asked = ask_service(&house).await;
        assert!(asked.is_finished(), "v2 has room");
        assert_eq!(asked.await.unwrap().unwrap().instance(), &name("api:v2"));
    }
    // Both are full: who waits is spread over them.
    let v2 = house.fleet.lease(&target("api:v2"), HERE).await.unwrap();
    let (one, two) = (ask_service(&house).await, ask_service(&house).await);
    drop((v1, v2));
    let (one, two) = (one.await.unwrap().unwrap(), two.await.unwrap().unwrap());
    assert_ne!(one.instance(), two.instance());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_instance_that_is_forgotten_unborn_is_not_told_that_there_is_none() {
    let house = narrow(|_| {}).await;
    house.script(Script { start_takes: Duration::from_secs(5), ..Script::default() });
    let asked = ask(&house).await;
    house.fleet.stop(name("api:a")).await.unwrap();
    let refused = asked.await.unwrap().err();
    assert!(matches!(refused, Some(Refusal::NotReady { .. })), "{refused:?}");
}
