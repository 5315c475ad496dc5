//! Every phase with every event. The table beside this file is the specification; run with
//! `UPDATE_TABLE=1` to write it anew, then read the difference.

use std::{fmt::Write as _, path::Path};

use super::*;

const EVENTS: [Event; 19] = [
    Event::Wake,
    Event::Spawn,
    Event::Stop,
    Event::Restart,
    Event::Remove,
    Event::Shutdown,
    Event::Adopted,
    Event::Preparing,
    Event::Executed,
    Event::LaunchFailed,
    Event::NoRoom,
    Event::Accepting,
    Event::Ready,
    Event::Idle,
    Event::Drained,
    Event::Unhealthy,
    Event::Exited { clean: true },
    Event::Exited { clean: false },
    Event::Due,
];

const PHASES: [Phase; 16] = [
    Phase::Sleeping,
    Phase::Starting { accepting: false },
    Phase::Starting { accepting: true },
    Phase::Preparing,
    Phase::Running,
    Phase::Draining(Then::Sleep),
    Phase::Draining(Then::Start),
    Phase::Draining(Then::Crash),
    Phase::Draining(Then::Remove),
    Phase::Stopping(Then::Sleep),
    Phase::Stopping(Then::Start),
    Phase::Stopping(Then::Crash),
    Phase::Stopping(Then::Remove),
    Phase::Backoff,
    Phase::Failed,
    Phase::Gone,
];

fn rules() -> Rules {
    Rules {
        startup_timeout: Duration::from_secs(10),
        stop_timeout: Duration::from_secs(5),
        restart: RestartPolicy::OnFailure,
        backoff: Backoff { base: Duration::from_secs(1), max: Duration::from_secs(60) },
        crash_limit: CrashLimit { max_restarts: 3, window: Duration::from_secs(300) },
    }
}

fn machine(phase: Phase) -> Machine {
    Machine { phase, ..Machine::new(rules(), false) }
}

/// All pairs, with where they lead and what they do.
fn pairs() -> Vec<(Phase, Event, Phase, Vec<Effect>)> {
    let now = Instant::now();
    let of = |phase| EVENTS.map(|event| (phase, event));
    PHASES
        .into_iter()
        .flat_map(of)
        .map(|(phase, event)| {
            let mut machine = machine(phase);
            let effects = machine.on(event, now, 0.0);
            (phase, event, machine.phase, effects)
        })
        .collect()
}

#[test]
fn the_table_is_the_code() {
    let mut table = String::new();
    for (phase, event, next, effects) in pairs() {
        if next == phase && effects.is_empty() {
            continue;
        }
        let effects: Vec<_> = effects.iter().map(|e| format!("{e:?}")).collect();
        let (phase, event, next) =
            (format!("{phase:?}"), format!("{event:?}"), format!("{next:?}"));
        writeln!(table, "{phase:30} {event:22} {next:30} {}", effects.join(", ")).unwrap();
    }
    let table = format!(
        "# phase, event, next phase, effects. A pair that is not listed changes nothing.\n{table}"
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/machine/table.txt");
    if std::env::var_os("UPDATE_TABLE").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written, table, "src/machine/table.txt does not say what the code does");
}

fn has_process(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Starting { .. }
            | Phase::Preparing
            | Phase::Running
            | Phase::Draining(_)
            | Phase::Stopping(_)
    )
}

#[test]
fn no_pair_breaks_an_invariant() {
    for (phase, event, next, effects) in pairs() {
        let at = format!("{phase:?} on {event:?} -> {next:?} {effects:?}");
        let ends = matches!(event, Event::Exited { .. } | Event::LaunchFailed | Event::NoRoom);
        let launches = effects.contains(&Effect::Launch);
        // One process at a time, and none is lost sight of.
        assert!(!launches || !has_process(phase) || ends, "launches beside a process: {at}");
        assert!(!has_process(phase) || has_process(next) || ends, "forgets a process: {at}");
        assert!(!launches || matches!(next, Phase::Starting { .. }), "launches unseen: {at}");
        // Who waits is always released, or will be: by a timer, an exit, or a start.
        let armed = effects.iter().any(|e| matches!(e, Effect::Arm(_)));
        if next != phase
            && matches!(next, Phase::Starting { .. } | Phase::Preparing | Phase::Backoff)
        {
            assert!(armed || matches!(phase, Phase::Starting { .. }), "waits without an end: {at}");
        }
        if next != phase && matches!(next, Phase::Draining(_) | Phase::Stopping(_)) {
            let redirected = std::mem::discriminant(&next) == std::mem::discriminant(&phase);
            assert!(armed || redirected, "stops without an end: {at}");
        }
        if next != phase && matches!(next, Phase::Failed | Phase::Gone) {
            assert!(effects.iter().any(|e| matches!(e, Effect::Refuse(_))), "leaves waiting: {at}");
        }
        if has_process(phase) && !has_process(next) && phase != Phase::Running {
            assert!(effects.contains(&Effect::Stopped), "ends untold: {at}");
        }
        // A removed instance never comes back.
        if matches!(phase, Phase::Draining(Then::Remove) | Phase::Stopping(Then::Remove)) {
            let removal =
                [Phase::Draining(Then::Remove), Phase::Stopping(Then::Remove), Phase::Gone];
            assert!(removal.contains(&next), "comes back: {at}");
        }
        // Requests are sent away only where nothing can serve them.
        if effects.contains(&Effect::Release) {
            assert_eq!(next, Phase::Running, "releases to nothing: {at}");
        }
    }
}

/// Plays events one second apart and returns the phase after each.
fn play(machine: &mut Machine, events: &[Event]) -> Vec<Phase> {
    let start = Instant::now();
    let at = |second: usize| start + Duration::from_secs(second as u64);
    let step = |(i, event): (usize, &Event)| {
        machine.on(*event, at(i), 0.0);
        machine.phase
    };
    events.iter().enumerate().map(step).collect()
}

const CRASH: Event = Event::Exited { clean: false };

#[test]
fn crashing_too_often_fails_until_an_operator_speaks() {
    let mut machine = machine(Phase::Running);
    let events = [CRASH, Event::Due, CRASH, Event::Due, CRASH, Event::Due, CRASH];
    play(&mut machine, &events);
    assert_eq!((machine.phase, machine.restarts), (Phase::Failed, 3));
    assert_eq!(machine.on(Event::Wake, Instant::now(), 0.0), [Effect::Refuse(Why::Failed)]);
    play(&mut machine, &[Event::Spawn, CRASH]);
    assert_eq!((machine.phase, machine.restarts), (Phase::Backoff, 0));
}

/// However long the data take, the program has its whole `startup_timeout` after them.
#[test]
fn what_moving_data_takes_is_not_the_programs_time() {
    let mut machine = machine(Phase::Sleeping);
    let timeout = Effect::Arm(rules().startup_timeout);
    let now = Instant::now();
    let mut on = |event| machine.on(event, now, 0.0);
    assert_eq!(on(Event::Wake), [Effect::Launch, timeout]);
    assert_eq!(on(Event::Preparing), [Effect::Arm(PREPARATION)]);
    assert_eq!(on(Event::Wake), []);
    assert_eq!(on(Event::Executed), [timeout]);
    assert_eq!(on(Event::Due)[1..], [Effect::Signal, Effect::Arm(rules().stop_timeout)]);
}

#[test]
fn a_full_disk_is_held_against_nobody() {
    let mut machine = machine(Phase::Sleeping);
    let rounds = [[Event::Wake, Event::NoRoom], [Event::Due, Event::NoRoom]].concat();
    for _ in 0..10 {
        assert_eq!(play(&mut machine, &rounds).last(), Some(&Phase::Backoff));
    }
    assert_eq!(play(&mut machine, &[Event::Due, Event::Ready]).last(), Some(&Phase::Running));
}

#[test]
fn delays_double_with_each_crash() {
    let mut machine = machine(Phase::Running);
    let now = Instant::now();
    let mut delays = vec![];
    for _ in 0..3 {
        let effects = machine.on(CRASH, now, 0.0);
        delays.extend(effects.iter().filter_map(|e| match e {
            Effect::Arm(delay) => Some(delay.as_secs()),
            _ => None,
        }));
        machine.on(Event::Due, now, 0.0);
    }
    assert_eq!(delays, [1, 2, 4]);
}

#[test]
fn the_restart_policy_decides_what_follows_an_exit() {
    for (restart, clean, want) in [
        (RestartPolicy::Always, true, Phase::Backoff),
        (RestartPolicy::Always, false, Phase::Backoff),
        (RestartPolicy::OnFailure, true, Phase::Sleeping),
        (RestartPolicy::OnFailure, false, Phase::Backoff),
        (RestartPolicy::Never, true, Phase::Sleeping),
        (RestartPolicy::Never, false, Phase::Sleeping),
    ] {
        let mut machine = machine(Phase::Running);
        machine.set_rules(Rules { restart, ..rules() });
        machine.on(Event::Exited { clean }, Instant::now(), 0.0);
        assert_eq!(machine.phase, want, "{restart:?} clean={clean}");
    }
}

#[test]
fn even_with_restart_never_a_crash_loop_of_requests_ends_in_failed() {
    let mut machine = machine(Phase::Sleeping);
    machine.set_rules(Rules { restart: RestartPolicy::Never, ..rules() });
    let phases = play(&mut machine, &[Event::Wake, CRASH].repeat(4));
    assert_eq!(phases.last(), Some(&Phase::Failed));
}

#[test]
fn what_only_a_request_named_is_forgotten_unless_it_became_ready() {
    let loops = [Event::Wake, CRASH, Event::Due, CRASH, Event::Due, CRASH, Event::Due, CRASH];
    let mut provisional = Machine::new(rules(), true);
    assert_eq!(play(&mut provisional, &loops).last(), Some(&Phase::Gone));
    let mut ready = Machine::new(rules(), true);
    play(&mut ready, &[Event::Wake, Event::Ready]);
    assert_eq!(play(&mut ready, &loops[1..]).last(), Some(&Phase::Failed));
}
