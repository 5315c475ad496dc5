//! The whole supervisor with a warden of our own making and a paused clock: no process, no
//! root, no waiting.

pub(crate) mod house;
mod moving;
mod queue;

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use ten_domain::*;
use ten_warden::Exit;
use tokio::{task::JoinSet, time::Instant};

use crate::{Denied, Done};
use house::{House, Script, name, pass};

const MINUTE: Duration = Duration::from_secs(60);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn target(text: &str) -> Target {
    Target::Instance(name(text))
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_at_once_share_one_start() {
    let house = House::new(|_| {}).await;
    let mut requests = JoinSet::new();
    for _ in 0..1000 {
        let fleet = house.fleet.clone();
        requests.spawn(async move { fleet.lease(&target("api:a"), HERE).await.map(drop) });
    }
    let answers = requests.join_all().await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(house.launches(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_sleeps_when_idle_and_only_then() {
    let house = House::new(|spec| spec.idle_timeout = Some(MINUTE)).await;
    let lease = house.fleet.lease(&target("api:a"), HERE).await.unwrap();
    tokio::time::sleep(10 * MINUTE).await;
    assert!(matches!(house.state("api:a"), Some(State::Running(_))), "slept under a request");
    let before = Instant::now();
    drop(lease);
    house.reaches("api:a", State::Sleeping).await;
    let after = before.elapsed();
    assert!(after >= MINUTE && after < 2 * MINUTE, "slept after {after:?}");
    house.fleet.lease(&target("api:a"), HERE).await.unwrap();
    assert_eq!(house.launches(), 2);
}

#[tokio::test(start_paused = true)]
async fn requests_that_come_while_it_goes_to_sleep_wake_it_again() {
    let house = House::new(|spec| spec.idle_timeout = Some(MINUTE)).await;
    house.script(Script { stop_takes: Duration::from_secs(3), ..Script::default() });
    drop(house.fleet.lease(&target("api:a"), HERE).await.unwrap());
    house.reaches("api:a", State::Stopping).await;
    let lease = house.fleet.lease(&target("api:a"), HERE).await;
    assert!(lease.is_ok(), "{lease:?}");
    assert_eq!(house.launches(), 2);
    assert_eq!(house.most_at_once(), 1, "two processes on one data folder");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_racing_the_reaper_all_get_their_lease() {
    let house = House::new(|spec| spec.idle_timeout = Some(Duration::from_millis(1))).await;
    let mut racers = JoinSet::new();
    for racer in 0..8u64 {
        let fleet = house.fleet.clone();
        racers.spawn(async move {
            for round in 0..1250u64 {
                let lease = fleet.lease(&target("api:a"), HERE).await.expect("a lease");
                drop(lease);
                // Around the idle time, now shorter, now longer.
                tokio::time::sleep(Duration::from_micros((racer * 397 + round * 131) % 3000)).await;
            }
        });
    }
    racers.join_all().await;
    assert!(house.launches() > 50, "the reaper never won: {} launches", house.launches());
    assert_eq!(house.most_at_once(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_start_is_refused_in_time_and_tried_again_with_backoff() {
    let house = House::new(|_| {}).await;
    house.script(Script { listens: false, ..Script::default() });
    let before = Instant::now();
    let refused = house.fleet.lease(&target("api:a"), HERE).await;
    assert!(matches!(refused, Err(Refusal::NotReady { .. })), "{refused:?}");
    assert_eq!(before.elapsed().as_secs(), 10, "startup_timeout");
    house.script(Script::default());
    // In backoff a request waits for the next start.
    house.reaches("api:a", State::Backoff).await;
    assert!(house.fleet.lease(&target("api:a"), HERE).await.is_ok());
    assert_eq!(house.launches(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_end_by_lack_of_memory_names_the_limit() {
    let house = House::new(|spec| spec.limits.memory_limit_mb = Some(64)).await;
    house.fleet.spawn(name("api:a"), vec![], true).await.unwrap();
    house.exit("api:a", Exit::OutOfMemory);
    house.reaches("api:a", State::Backoff).await;
    let view = house.fleet.get(&name("api:a")).unwrap();
    let said = "killed: out of memory (memory_limit_mb = 64)";
    assert_eq!(view.last_failure.as_deref(), Some(said));
}

#[tokio::test(start_paused = true)]
async fn it_fails_after_max_restarts_until_an_operator_speaks() {
    let house = House::new(|_| {}).await;
    house.fleet.spawn(name("api:a"), vec![], true).await.unwrap();
    house.script(Script { dies_at_once: Some(Exit::Code(3)), ..Script::default() });
    house.exit("api:a", Exit::Signal(9));
    house.reaches("api:a", State::Failed).await;
    assert_eq!(house.launches(), 4, "the first and max_restarts = 3 more");
    assert_eq!(house.fleet.lease(&target("api:a"), HERE).await.unwrap_err(), Refusal::Failed);
    let view = house.fleet.get(&name("api:a")).unwrap();
    assert_eq!(view.last_failure.as_deref(), Some("exited with status 3"));
    let denied = house.fleet.spawn(name("api:a"), vec![], true).await.unwrap_err();
    assert!(matches!(denied, Denied::NotStarted { .. }), "{denied}");
    house.script(Script::default());
    assert_eq!(house.fleet.spawn(name("api:a"), vec![], true).await, Ok(Done::Did));
}

#[tokio::test(start_paused = true)]
async fn restart_holds_requests_and_never_runs_two() {
    let house = House::new(|_| {}).await;
    let lease = house.fleet.lease(&target("api:a"), HERE).await.unwrap();
    let fleet = house.fleet.clone();
    let restart = tokio::spawn(async move { fleet.restart(name("api:a")).await });
    house.reaches("api:a", State::Draining).await;
    let fleet = house.fleet.clone();
    let request = tokio::spawn(async move { fleet.lease(&target("api:a"), HERE).await.map(drop) });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!restart.is_finished() && !request.is_finished(), "did not wait for the drain");
    drop(lease);
    assert_eq!(restart.await.unwrap(), Ok(Done::Did));
    request.await.unwrap().unwrap();
    assert_eq!((house.launches(), house.most_at_once()), (2, 1));
}

/// What never ends by itself has to know when to.
#[tokio::test(start_paused = true)]
async fn who_uses_an_instance_is_told_that_it_is_to_end() {
    for verb in ["stop", "restart", "rm", "shutdown"] {
        let house = House::new(|_| {}).await;
        let lease = house.fleet.lease(&target("api:a"), HERE).await.unwrap();
        let ends_itself = tokio::spawn(async move { lease.draining().await });
        pass(MINUTE).await;
        assert!(!ends_itself.is_finished(), "{verb}: told too early");
        let before = Instant::now();
        match verb {
            "stop" => assert_eq!(house.fleet.stop(name("api:a")).await, Ok(Done::Did)),
            "restart" => assert_eq!(house.fleet.restart(name("api:a")).await, Ok(Done::Did)),
            "rm" => assert_eq!(house.fleet.remove(name("api:a")).await, Ok(Done::Did)),
            _ => house.fleet.shutdown().await,
        }
        assert_eq!(before.elapsed().as_secs(), 0, "{verb} waited for stop_timeout");
        ends_itself.await.unwrap();
    }
}

/// Its last words may be on their way still: nobody may stop listening to them.
#[tokio::test(start_paused = true)]
async fn who_uses_an_instance_that_dies_is_told_nothing() {
    let house = House::new(|_| {}).await;
    let lease = house.fleet.lease(&target("api:a"), HERE).await.unwrap();
    house.exit("api:a", Exit::Signal(9));
    house.until("started again", |house| house.launches() == 2).await;
    assert_eq!(house.fleet.stop(name("api:a")).await, Ok(Done::Did));
    assert!(tokio::time::timeout(MINUTE, lease.draining()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_ignores_the_stop_signal_is_killed() {
    let house = House::new(|_| {}).await;
    house.script(Script { ignores_signals: true, ..Script::default() });
    house.fleet.spawn(name("api:a"), vec![], true).await.unwrap();
    let before = Instant::now();
    assert_eq!(house.fleet.stop(name("api:a")).await, Ok(Done::Did));
    assert_eq!(before.elapsed().as_secs(), 5, "stop_timeout");
    assert_eq!(house.fleet.stop(name("api:a")).await, Ok(Done::AlreadySo));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_frees_its_place() {
    let house = House::new(|spec| spec.idle_timeout = Some(MINUTE)).await;
    house.script(Script { start_takes: Duration::from_secs(5), ..Script::default() });
    let fleet = house.fleet.clone();
    let request = tokio::spawn(async move { fleet.lease(&target("api:a"), HERE).await.map(drop) });
    house.reaches("api:a", State::Starting).await;
    request.abort();
    house.reaches("api:a", State::Running(Health::Unknown)).await;
    assert_eq!(house.fleet.get(&name("api:a")).unwrap().in_flight, 0);
    house.reaches("api:a", State::Sleeping).await;
}

#[tokio::test(start_paused = true)]
async fn limits_are_kept() {
    let house = House::new(|spec| (spec.max_instances, spec.max_known) = (1, 2)).await;
    let held = house.fleet.lease(&target("api:a"), HERE).await.unwrap();
    let second = house.fleet.lease(&target("api:b"), HERE).await;
    assert_eq!(second.unwrap_err(), Refusal::TooManyRunning);
    assert!(house.fleet.get(&name("api:b")).is_none(), "a refused request made it known");
    let denied = house.fleet.spawn(name("api:b"), vec![], true).await.unwrap_err();
    assert!(matches!(denied, Denied::TooManyRunning { limit: 1, .. }), "{denied}");
    drop(held);
    house.fleet.stop(name("api:a")).await.unwrap();
    drop(house.fleet.lease(&target("api:b"), HERE).await.unwrap());
    house.fleet.stop(name("api:b")).await.unwrap();
    assert_eq!(house.fleet.lease(&target("api:c"), HERE).await.unwrap_err(), Refusal::Unknown);
}

#[tokio::test(start_paused = true)]
async fn on_demand_decides_who_may_wake() {
    for (on_demand, unknown, known) in [
        (OnDemand::Any, None, None),
        (OnDemand::Known, Some(Refusal::Unknown), None),
        (OnDemand::Off, Some(Refusal::Unknown), Some(Refusal::Asleep)),
    ] {
        let house = House::new(|spec| spec.on_demand = on_demand).await;
        house.fleet.spawn(name("api:known"), vec![], true).await.unwrap();
        house.fleet.stop(name("api:known")).await.unwrap();
        let of = |got: Result<crate::Lease, Refusal>| got.err();
        assert_eq!(of(house.fleet.lease(&target("api:new"), HERE).await), unknown, "{on_demand:?}");
        assert_eq!(of(house.fleet.lease(&target("api:known"), HERE).await), known, "{on_demand:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_request_named_in_vain_is_forgotten() {
    let house = House::new(|_| {}).await;
    house.script(Script { dies_at_once: Some(Exit::Code(1)), ..Script::default() });
    assert!(house.fleet.lease(&target("api:ghost"), HERE).await.is_err());
    house.until("forgotten", |house| house.fleet.get(&name("api:ghost")).is_none()).await;
    assert!(house.stored().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_service_host_is_shared_by_weight_among_those_who_run() {
    let house = House::new(|_| {}).await;
    for (id, weight) in [("api:v1", 75), ("api:v2", 25)] {
        house.fleet.spawn(name(id), vec![], true).await.unwrap();
        house.fleet.set_weight(name(id), Weight::new(weight).unwrap()).await.unwrap();
    }
    // A customer's copy has no share.
    drop(house.fleet.lease(&target("api:customer"), HERE).await.unwrap());
    let service = Target::Service("api".parse().unwrap());
    let mut seen = vec![];
    for _ in 0..8 {
        seen.push(house.fleet.lease(&service, HERE).await.unwrap().instance().id.to_string());
    }
    assert_eq!(seen, ["v1", "v1", "v1", "v2", "v1", "v1", "v1", "v2"]);
    for id in ["api:v1", "api:v2", "api:customer"] {
        house.fleet.stop(name(id)).await.unwrap();
    }
    let lease = house.fleet.lease(&service, HERE).await.unwrap();
    assert_eq!(lease.instance(), &name("api:v1"), "the heaviest is woken first");
    house.reaches("api:v2", State::Running(Health::Unknown)).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_known_survives_and_what_runs_is_adopted() {
    let house = House::new(|_| {}).await;
    house.fleet.spawn(name("api:a"), vec![], true).await.unwrap();
    drop(house.fleet.lease(&target("api:b"), HERE).await.unwrap());
    house.fleet.set_weight(name("api:b"), Weight::new(40).unwrap()).await.unwrap();
    let house = house.front_dies().await;
    house.reaches("api:a", State::Running(Health::Unknown)).await;
    house.reaches("api:b", State::Running(Health::Unknown)).await;
    assert_eq!(house.launches(), 2, "started again what was running");
    let lease = house.fleet.lease(&target("api:b"), HERE).await.unwrap();
    assert_eq!(house.fleet.get(lease.instance()).unwrap().weight.get(), 40);
    // Its end is seen by the new front too.
    house.exit("api:a", Exit::Signal(9));
    house.until("started again", |house| house.launches() == 3).await;
    let ids: HashSet<_> = house.stored().await.into_iter().map(|k| k.name).collect();
    assert_eq!(ids, [name("api:a"), name("api:b")].into());
}

#[tokio::test(start_paused = true)]
async fn shutdown_stops_all_and_refuses_everyone() {
    let house = Arc::new(House::new(|_| {}).await);
    house.script(Script { stop_takes: Duration::from_secs(2), ..Script::default() });
    for id in ["api:a", "api:b", "api:c"] {
        house.fleet.spawn(name(id), vec![], true).await.unwrap();
    }
    let before = Instant::now();
    house.fleet.shutdown().await;
    assert_eq!(before.elapsed().as_secs(), 2, "in parallel");
    assert_eq!(house.fleet.lease(&target("api:a"), HERE).await.unwrap_err(), Refusal::ShuttingDown);
    let denied = house.fleet.spawn(name("api:a"), vec![], true).await;
    assert_eq!(denied, Err(Denied::ShuttingDown));
}

// With a clock that runs: a paused one jumps over a check's timeout while its answer is on
// the way through the kernel.
#[tokio::test]
async fn three_failed_health_checks_restart_it() {
    let check = HealthCheck {
        path: "/health".into(),
        interval: Duration::from_millis(20),
        timeout: Duration::from_secs(1),
    };
    let house = House::new(|spec| spec.health = Some(check.clone())).await;
    house.fleet.spawn(name("api:a"), vec![], true).await.unwrap();
    house.reaches("api:a", State::Running(Health::Healthy)).await;
    let lease = house.fleet.lease(&target("api:a"), HERE).await.unwrap();
    let ends_itself = tokio::spawn(async move { lease.draining().await });
    house.set_healthy(false);
    house.reaches("api:a", State::Running(Health::Degraded)).await;
    assert!(!ends_itself.is_finished());
    house.until("restarted", |house| house.launches() == 2).await;
    house.set_healthy(true);
    house.reaches("api:a", State::Running(Health::Healthy)).await;
    assert_eq!(house.fleet.get(&name("api:a")).unwrap().restarts, 1);
}

/// It accepts, but its health path refuses: nobody may pass yet, neither the request that
/// woke it nor one that comes later.
#[tokio::test]
async fn nobody_passes_before_it_is_healthy() {
    let check = HealthCheck {
        path: "/health".into(),
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
    };
    let house = House::new(|spec| spec.health = Some(check.clone())).await;
    house.script(Script { healthy: false, ..Script::default() });
    let ask = || {
        let fleet = house.fleet.clone();
        tokio::spawn(async move { fleet.lease(&target("api:a"), HERE).await.map(drop) })
    };
    let first = ask();
    house.until("its health was asked for", |house| house.health_checks() > 1).await;
    let second = ask();
    let so_far = house.health_checks();
    house.until("and again", |house| house.health_checks() > so_far + 3).await;
    assert!(!first.is_finished() && !second.is_finished(), "it was used before it was healthy");
    house.set_healthy(true);
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (Ok(()), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn one_request_for_the_service_host_does_not_wake_everybody() {
    let house = House::new(|_| {}).await;
    for i in 0..30 {
        house.fleet.spawn(name(&format!("api:i{i}")), vec![], true).await.unwrap();
        house.fleet.stop(name(&format!("api:i{i}"))).await.unwrap();
    }
    let launches = house.launches();
    let service = Target::Service("api".parse().unwrap());
    drop(house.fleet.lease(&service, HERE).await.unwrap());
    assert!(house.launches() - launches <= 8, "{} were woken", house.launches() - launches);
    let requests: u64 = house.fleet.list().iter().map(|view| view.requests).sum();
    assert_eq!(requests, 1, "waking others is no request");
}

#[tokio::test(start_paused = true)]
async fn a_failed_instance_does_not_answer_for_its_service() {
    let house = House::new(|_| {}).await;
    for id in ["api:good", "api:bad"] {
        house.fleet.spawn(name(id), vec![], true).await.unwrap();
    }
    house.fleet.set_weight(name("api:good"), Weight::new(1).unwrap()).await.unwrap();
    house.fleet.stop(name("api:good")).await.unwrap();
    house.script(Script { dies_at_once: Some(Exit::Code(1)), ..Script::default() });
    house.exit("api:bad", Exit::Code(1));
    house.reaches("api:bad", State::Failed).await;
    house.script(Script::default());
    let lease = house.fleet.lease(&Target::Service("api".parse().unwrap()), HERE).await.unwrap();
    assert_eq!(lease.instance(), &name("api:good"));
}

#[tokio::test(start_paused = true)]
async fn a_running_instance_takes_no_new_variables() {
    let house = House::new(|_| {}).await;
    house.fleet.spawn(name("api:a"), vec![], true).await.unwrap();
    let again = house.fleet.spawn(name("api:a"), vec![("A".into(), "1".into())], true).await;
    assert_eq!(again, Err(Denied::RunsAlready(name("api:a"))));
    assert_eq!(house.fleet.spawn(name("api:a"), vec![], true).await, Ok(Done::AlreadySo));
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_listener_is_ready_once_it_runs_and_never_idle() {
    let house = House::new(|spec| {
        spec.listen = Listen::None;
        spec.idle_timeout = Some(MINUTE);
    })
    .await;
    house.script(Script { listens: false, ..Script::default() });
    house.fleet.spawn(name("api:a"), vec![], true).await.unwrap();
    tokio::time::sleep(10 * MINUTE).await;
    assert!(matches!(house.state("api:a"), Some(State::Running(_))));
    assert_eq!(house.fleet.lease(&target("api:a"), HERE).await.unwrap_err(), Refusal::Unknown);
    assert_eq!(house.fleet.stop(name("api:a")).await, Ok(Done::Did));
}
