//! The lifecycle of one instance, as a value: an event and the time go in, effects come out.
//!
//! ```text
//!              Wake/Spawn/Restart              Ready
//!   Sleeping ─────────────────────▶ Starting ─────────▶ Running
//!      ▲  ▲                          ▲    │ Due          │   │ Stop/Restart/Remove/Unhealthy
//!      │  │ Stop                 Due │    ▼              │   ▼
//!      │  └───────────────────── Backoff  │         Idle │  Draining
//!      │                             ▲    │              │   │ Drained/Due
//!      │  Exited, then = Sleep       │    ▼              ▼   ▼
//!      └─────────────────────────────┼── Stopping ◀──────────┘
//!                      then = Crash  │
//!                      or Exited     └──▶ Failed (more than max_restarts)
//!
//!   Starting ──Preparing──▶ Preparing ──Executed──▶ Starting
//! ```
//!
//! `startup_timeout` is the program's: it counts from `Executed`, before which it only bounds what
//! should take no time.
//!
//! It never awaits, locks, logs or reads a clock. It knows no pid, no port and no request:
//! whoever drives it keeps those. `machine/table.txt` is the whole of it, every state with
//! every event, and a test compares it with the code.

use std::time::{Duration, Instant};

use ten_domain::{Backoff, CrashLimit, RestartPolicy};

/// How often the delay has doubled while the disk is full: with the default base, 8 s. Many
/// may wait for room, and each attempt costs a little.
const NO_ROOM_DOUBLINGS: u32 = 3;

/// How long moving an instance's data may take: hundreds of GB at the pace of a plain disk. Nothing
/// is held up by one that takes that long; what is worse than to wait for it is to begin again.
pub(crate) const PREPARATION: Duration = Duration::from_secs(6 * 60 * 60);

/// What happened to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A request wants it.
    Wake,
    /// An operator wants it to run.
    Spawn,
    /// An operator wants it to sleep.
    Stop,
    /// An operator wants a fresh process.
    Restart,
    /// An operator wants it forgotten.
    Remove,
    /// The server is shutting down.
    Shutdown,
    /// A process of it was found running that an earlier front had started.
    Adopted,
    /// Before its program is executed, its data are moved.
    Preparing,
    /// The program was executed.
    Executed,
    /// The program could not be executed.
    LaunchFailed,
    /// There was no room on the disk to start it, for which it cannot be blamed.
    NoRoom,
    /// Its listener accepts; its health is not known yet.
    Accepting,
    /// It can take requests.
    Ready,
    /// Its gate was closed because nobody had used it for `idle_timeout`.
    Idle,
    /// Its last request in flight ended, after its gate was closed.
    Drained,
    /// Three health checks in a row failed.
    Unhealthy,
    /// Nothing is left of its process tree. `clean`: its main process returned 0.
    Exited {
        /// Whether its main process returned 0.
        clean: bool,
    },
    /// The time that `Arm` asked for has passed.
    Due,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Start a process.
    Launch,
    /// Begin to watch idleness and health.
    Watch,
    /// Give leases to all who wait.
    Release,
    /// Close the gate: nobody gets a lease any more, who holds one is told that it should end,
    /// and `Drained` is reported once none is left.
    CloseGate,
    /// Send the stop signal to the tree.
    Signal,
    /// Kill the tree.
    Kill,
    /// Report `Due` after this long. Replaces what was armed before.
    Arm(Duration),
    /// Forget what was armed.
    Disarm,
    /// Tell the operators who wait for a start that its listener accepts.
    Started,
    /// Tell the operators who wait for an end that nothing is left.
    Stopped,
    /// Refuse all who wait for a lease, and the operators who wait for a start.
    Refuse(Why),
    /// Note that it became `Running` without ever having been healthy.
    WarnUnhealthy,
    /// It is not known any more.
    Forget,
}

/// Why waiters are sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// A start failed; the next one may come after this long.
    NotReady(Duration),
    /// It crashed too often.
    Failed,
    /// An operator stopped it meanwhile. Requests are not refused for this: they wake it again.
    Superseded,
    /// It was removed.
    Removed,
    /// The server is shutting down.
    ShuttingDown,
}

/// What a service says about its instances' lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) startup_timeout: Duration,
    pub(crate) stop_timeout: Duration,
    pub(crate) restart: RestartPolicy,
    pub(crate) backoff: Backoff,
    pub(crate) crash_limit: CrashLimit,
}

/// What follows once nothing is left of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Sleep,
    Start,
    Crash,
    Remove,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Sleeping,
    /// `accepting`: its listener accepts, but it has not been found healthy.
    Starting {
        accepting: bool,
    },
    /// Its data are being moved, and its program does not run yet.
    Preparing,
    Running,
    Draining(Then),
    Stopping(Then),
    Backoff,
    Failed,
    /// Not known any more. Nothing leads out of here.
    Gone,
}

/// One instance's lifecycle.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    phase: Phase,
    rules: Rules,
    /// Created by a request and never ready so far: forgotten rather than kept at rest.
    provisional: bool,
    /// Within the window, in order of time.
    crashes: Vec<Instant>,
    restarts: u32,
}

impl Machine {
    /// An instance that sleeps. `provisional`: only a request has named it so far.
    pub(crate) fn new(rules: Rules, provisional: bool) -> Self {
        Self { phase: Phase::Sleeping, rules, provisional, crashes: Vec::new(), restarts: 0 }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Starts after a crash since it was last asked to start.
    pub(crate) fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Takes new rules; they hold from the next event on.
    pub(crate) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// The one way in which anything changes. `jitter`, in 0..=1, is used where a delay is chosen.
    pub(crate) fn on(&mut self, event: Event, now: Instant, jitter: f64) -> Vec<Effect> {
        if matches!(event, Event::Spawn) {
            self.provisional = false;
        }
        match self.phase {
            Phase::Sleeping | Phase::Backoff | Phase::Failed => self.at_rest(event),
            Phase::Starting { accepting } => self.starting(accepting, event, now, jitter),
            Phase::Preparing => self.preparing(event, now, jitter),
            Phase::Running => self.running(event, now, jitter),
            Phase::Draining(then) => self.draining(then, event, now, jitter),
            Phase::Stopping(then) => self.stopping(then, event, now, jitter),
            Phase::Gone => vec![],
        }
    }

    /// Without a process: `Sleeping`, `Backoff`, `Failed`.
    fn at_rest(&mut self, event: Event) -> Vec<Effect> {
        match (self.phase, event) {
            (Phase::Sleeping, Event::Wake) => self.launch(),
            (Phase::Backoff, Event::Due) => {
                self.restarts += 1;
                self.launch()
            }
            (Phase::Failed, Event::Wake) => vec![Effect::Refuse(Why::Failed)],
            (_, Event::Spawn | Event::Restart) => {
                self.forgive();
                self.launch()
            }
            (_, Event::Adopted) => {
                self.phase = Phase::Starting { accepting: false };
                vec![Effect::Arm(self.rules.startup_timeout)]
            }
            (_, Event::Stop) => {
                self.forgive();
                self.phase = Phase::Sleeping;
                vec![Effect::Disarm, Effect::Stopped]
            }
            (_, Event::Shutdown) => {
                vec![Effect::Disarm, Effect::Refuse(Why::ShuttingDown), Effect::Stopped]
            }
            (_, Event::Remove) => self.forget(Why::Removed),
            _ => vec![],
        }
    }

    fn starting(
        &mut self,
        accepting: bool,
        event: Event,
        now: Instant,
        jitter: f64,
    ) -> Vec<Effect> {
        match event {
            Event::Preparing if !accepting => {
                self.phase = Phase::Preparing;
                vec![Effect::Arm(PREPARATION)]
            }
            Event::Executed if !accepting => vec![Effect::Arm(self.rules.startup_timeout)],
            Event::Accepting => {
                self.phase = Phase::Starting { accepting: true };
                vec![Effect::Started]
            }
            Event::Ready => self.admit(),
            // It accepts but is not healthy: from here on that is for the health policy.
            Event::Due if accepting => {
                let mut effects = self.admit();
                effects.push(Effect::WarnUnhealthy);
                effects
            }
            Event::Due => self.refusing(Why::NotReady(self.rules.backoff.base), |machine| {
                machine.stop(Then::Crash)
            }),
            Event::LaunchFailed | Event::Exited { .. } => self.failed_start(now, jitter),
            Event::NoRoom => self.no_room(jitter),
            Event::Stop => self.refusing(Why::Superseded, |machine| machine.stop(Then::Sleep)),
            Event::Restart => self.stop(Then::Start),
            Event::Remove => self.refusing(Why::Removed, |machine| machine.stop(Then::Remove)),
            Event::Shutdown => {
                self.refusing(Why::ShuttingDown, |machine| machine.stop(Then::Sleep))
            }
            _ => vec![],
        }
    }

    /// Nothing accepts before it is executed; all else is as in a start.
    fn preparing(&mut self, event: Event, now: Instant, jitter: f64) -> Vec<Effect> {
        match event {
            Event::Executed => {
                self.phase = Phase::Starting { accepting: false };
                vec![Effect::Arm(self.rules.startup_timeout)]
            }
            Event::Preparing | Event::Accepting | Event::Ready => vec![],
            event => self.starting(false, event, now, jitter),
        }
    }

    fn running(&mut self, event: Event, now: Instant, jitter: f64) -> Vec<Effect> {
        match event {
            // A request that found the gate closed just before it opened.
            Event::Wake => vec![Effect::Release],
            Event::Spawn => vec![Effect::Started],
            Event::Idle => self.stop(Then::Sleep),
            Event::Stop | Event::Shutdown => self.drain(Then::Sleep),
            Event::Restart => self.drain(Then::Start),
            Event::Remove => self.drain(Then::Remove),
            Event::Unhealthy => self.drain(Then::Crash),
            Event::Exited { clean } => match (self.rules.restart, clean) {
                (RestartPolicy::OnFailure | RestartPolicy::Never, true) => self.rest(),
                _ => self.crashed(now, jitter),
            },
            _ => vec![],
        }
    }

    fn draining(&mut self, then: Then, event: Event, now: Instant, jitter: f64) -> Vec<Effect> {
        match event {
            Event::Drained | Event::Due => self.stop(then),
            Event::Exited { .. } => self.ended(then, now, jitter),
            _ => {
                self.phase = Phase::Draining(changed_mind(then, event));
                vec![]
            }
        }
    }

    fn stopping(&mut self, then: Then, event: Event, now: Instant, jitter: f64) -> Vec<Effect> {
        match event {
            Event::Due => vec![Effect::Kill],
            // A launch that was told to stop before it was known to have failed.
            Event::Exited { .. } | Event::LaunchFailed | Event::NoRoom => {
                self.ended(then, now, jitter)
            }
            _ => {
                self.phase = Phase::Stopping(changed_mind(then, event));
                vec![]
            }
        }
    }

    fn launch(&mut self) -> Vec<Effect> {
        self.phase = Phase::Starting { accepting: false };
        vec![Effect::Launch, Effect::Arm(self.rules.startup_timeout)]
    }

    fn admit(&mut self) -> Vec<Effect> {
        self.provisional = false;
        self.phase = Phase::Running;
        vec![Effect::Disarm, Effect::Started, Effect::Release, Effect::Watch]
    }

    fn drain(&mut self, then: Then) -> Vec<Effect> {
        self.phase = Phase::Draining(then);
        vec![Effect::Arm(self.rules.stop_timeout), Effect::CloseGate]
    }

    fn stop(&mut self, then: Then) -> Vec<Effect> {
        let end = match self.phase {
            // There is no program yet to hear a signal, and data that are being moved are whole at
            // each moment.
            Phase::Preparing => Effect::Kill,
            _ => Effect::Signal,
        };
        self.phase = Phase::Stopping(then);
        vec![end, Effect::Arm(self.rules.stop_timeout)]
    }

    /// Nothing is left of a process that had been told to go.
    fn ended(&mut self, then: Then, now: Instant, jitter: f64) -> Vec<Effect> {
        match then {
            Then::Sleep => self.rest(),
            Then::Crash => self.crashed(now, jitter),
            Then::Remove => self.forget(Why::Removed),
            Then::Start => {
                self.forgive();
                let mut effects = vec![Effect::Stopped];
                effects.extend(self.launch());
                effects
            }
        }
    }

    /// Nothing is left of a process that should still be there. Requests that wait meanwhile
    /// go on waiting: it comes back.
    fn crashed(&mut self, now: Instant, jitter: f64) -> Vec<Effect> {
        self.rules.crash_limit.forget_old(&mut self.crashes, now);
        self.crashes.push(now);
        if self.rules.crash_limit.exceeded(&self.crashes) {
            if self.provisional {
                return self.forget(Why::Failed);
            }
            self.phase = Phase::Failed;
            return vec![Effect::Disarm, Effect::Refuse(Why::Failed), Effect::Stopped];
        }
        if self.rules.restart == RestartPolicy::Never {
            return self.rest();
        }
        let earlier = self.crashes.len() as u32 - 1;
        self.phase = Phase::Backoff;
        vec![Effect::Stopped, Effect::Arm(self.rules.backoff.delay(earlier, jitter))]
    }

    /// A start failed: whoever waited for it is sent away, with the time of the next one.
    fn failed_start(&mut self, now: Instant, jitter: f64) -> Vec<Effect> {
        let mut effects = self.crashed(now, jitter);
        let next = effects.iter().find_map(|effect| match effect {
            Effect::Arm(delay) => Some(*delay),
            _ => None,
        });
        effects.insert(0, Effect::Refuse(Why::NotReady(next.unwrap_or_default())));
        effects
    }

    /// Nothing counts against it, so it is never given up: it starts once there is room.
    fn no_room(&mut self, jitter: f64) -> Vec<Effect> {
        let delay = self.rules.backoff.delay(NO_ROOM_DOUBLINGS, jitter);
        self.refusing(Why::NotReady(delay), |machine| {
            if machine.provisional || machine.rules.restart == RestartPolicy::Never {
                return machine.rest();
            }
            machine.phase = Phase::Backoff;
            vec![Effect::Stopped, Effect::Arm(delay)]
        })
    }

    fn refusing(&mut self, why: Why, then: impl Fn(&mut Self) -> Vec<Effect>) -> Vec<Effect> {
        let mut effects = vec![Effect::Refuse(why)];
        effects.extend(then(self));
        effects
    }

    /// Comes to rest: sleeps, or is forgotten where only a failed request ever named it.
    fn rest(&mut self) -> Vec<Effect> {
        if self.provisional {
            return self.forget(Why::NotReady(self.rules.backoff.base));
        }
        self.phase = Phase::Sleeping;
        vec![Effect::Disarm, Effect::Stopped]
    }

    /// `why` is what those are told who wait for it.
    fn forget(&mut self, why: Why) -> Vec<Effect> {
        self.phase = Phase::Gone;
        vec![Effect::Disarm, Effect::Refuse(why), Effect::Stopped, Effect::Forget]
    }

    /// An operator's word clears the past.
    fn forgive(&mut self) {
        self.crashes.clear();
        self.restarts = 0;
    }
}

/// What an operator's word, coming while an instance is on its way down, makes of its future.
/// Removal is final, and so is shutdown.
fn changed_mind(then: Then, event: Event) -> Then {
    match (then, event) {
        (Then::Remove, _) | (_, Event::Remove) => Then::Remove,
        (_, Event::Stop | Event::Shutdown) => Then::Sleep,
        (_, Event::Spawn | Event::Restart) => Then::Start,
        (then, _) => then,
    }
}

#[cfg(test)]
mod tests;
