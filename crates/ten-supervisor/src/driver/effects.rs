//! What the machine answers, carried out.

use std::{sync::Arc, time::Duration};

use ten_domain::{InstanceName, Listen, Network, Protocol, Refusal, Weight};
use ten_logs::{Logs, Stream};
use ten_store::Origin;
use ten_warden::{LaunchId, Output};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Alarm, Driver, Notice};
use crate::{
    Denied, Done, Order,
    gate::{Birth, Generation},
    instance::{Goal, Note, Process, Timer, Watch},
    machine::{Effect, Event, Phase, Why},
    ports::IN_A_NETWORK_OF_ITS_OWN,
    probe::{self, Found, Place},
    scribe::Fact,
};

/// Time for the end of a process to be reported, before it is looked for.
const EXIT_GRACE: Duration = Duration::from_millis(10);

impl Driver {
    pub(super) fn perform(&mut self, name: &InstanceName, effect: Effect) {
        match effect {
            Effect::Launch => self.launch(name),
            Effect::Watch => self.watch(name),
            Effect::Release => self.release(name),
            Effect::CloseGate => self.drain(name),
            Effect::Signal => self.signal(name),
            Effect::Kill => self.kill(name),
            Effect::Arm(after) => self.arm(name, after),
            Effect::Disarm => self.disarm(name),
            Effect::Started => self.tell(name, Goal::Up, || Ok(Done::Did)),
            // Before anybody hears of it, and before anything starts again.
            Effect::Stopped => {
                self.discard(name);
                self.tell(name, Goal::Down, || Ok(Done::Did));
            }
            Effect::Refuse(why) => self.refuse(name, why),
            Effect::WarnUnhealthy => self.warn_unhealthy(name),
            Effect::Forget => self.forget(name),
        }
    }

    fn launch(&mut self, name: &InstanceName) {
        if self.census.is_full() {
            // Others have come while it was down. That is not its fault.
            if let Some(instance) = self.instances.get_mut(name) {
                instance.last_failure = Some("as many run as there are open files for".into());
            }
            return self.pending.push_back((name.clone(), Event::NoRoom));
        }
        if let Err(reason) = self.try_launch(name) {
            if let Some(instance) = self.instances.get_mut(name) {
                instance.last_failure = Some(reason.into());
            }
            self.pending.push_back((name.clone(), Event::LaunchFailed));
        }
    }

    fn try_launch(&mut self, name: &InstanceName) -> Result<(), String> {
        let rules = self.spec(name).map(|spec| (self.rules(&spec), spec));
        let Some(instance) = self.instances.get_mut(name) else { return Ok(()) };
        if let Some((rules, spec)) = rules {
            // A new template holds from the next start on.
            instance.machine.set_rules(rules);
            instance.spec = spec;
        }
        let held = match instance.spec.network {
            Network::Host => {
                Some(self.ports.take().ok_or("no port between 30000 and 40000 is free")?)
            }
            Network::Private { .. } | Network::None => None,
        };
        let port = held.unwrap_or(IN_A_NETWORK_OF_ITS_OWN);
        let extra = &instance.extra_env;
        let outline = ten_runtime::outline(&self.parts.ground, &instance.spec, name, port);
        let outline = outline.map_err(|error| {
            if let Some(port) = held {
                self.ports.give_back(port);
            }
            error.to_string()
        })?;
        let launch = self.parts.next_launch;
        self.parts.next_launch = LaunchId(launch.0 + 1);
        let note = Note::of(name, held, &outline.listener, extra);
        let order = Order { name: name.clone(), port, env: extra.clone() };
        instance.folders = outline.folders;
        self.parts.warden.launch(launch, order.write(), note);
        instance.process = Some(Box::new(Process::new(launch, held, outline.listener)));
        self.launches.insert(launch, name.clone());
        self.census.got_process(&name.service);
        Ok(())
    }

    /// Reads what the process writes, until nothing is left of it.
    pub(super) fn record(&self, name: &InstanceName, output: Output, ended: CancellationToken) {
        for (stream, pipe) in [(Stream::Stdout, output.stdout), (Stream::Stderr, output.stderr)] {
            let (logs, name, ended): (Logs, _, _) =
                (self.parts.logs.clone(), name.clone(), ended.clone());
            tokio::spawn(async move {
                let recorded = ten_logs::record_stream(logs, name.clone(), stream, pipe, ended);
                if let Err(error) = recorded.await {
                    tracing::warn!(instance = %name, ?stream, "output lost: {error}");
                }
            });
        }
    }

    /// Finds out when the process is ready.
    pub(super) fn watch_start(&mut self, name: &InstanceName) {
        let notices = self.notices.clone();
        let Some(instance) = self.instances.get_mut(name) else { return };
        let health = instance.spec.health.clone();
        let protocol = instance.spec.protocol;
        let listens = instance.spec.listen != Listen::None;
        let Some(process) = instance.process.as_mut() else { return };
        let (name, launch) = (name.clone(), process.launch);
        let place = Place::of(process, &self.parts.warden);
        let task = tokio::spawn(async move {
            if !listens {
                return report(&notices, Notice::Ready(name, launch, None));
            }
            let mut found = probe::accepting(&place).await;
            if let Some(check) = health {
                // One that does one thing at a time would wait for what comes over the other.
                found.by = None;
                report(&notices, Notice::Accepting(name.clone(), launch, found.at.clone()));
                probe::healthy(&found.at, protocol, &check).await;
            }
            report(&notices, Notice::Ready(name, launch, Some(found)));
        });
        process.watch = Some(Watch(task.abort_handle()));
    }

    /// Its listener accepts: from now on it can be leased, as soon as it is admitted.
    pub(super) fn accepting(&mut self, name: &InstanceName, launch: LaunchId, found: Found) {
        let notices = self.notices.clone();
        let Some(instance) = self.instances.get_mut(name) else { return };
        if !instance.runs(launch) || instance.generation().is_some() {
            return;
        }
        let requests = Arc::clone(&instance.entry.requests);
        let (protocol, request_timeout) = (instance.spec.protocol, instance.spec.request_timeout);
        let max = instance.spec.concurrency.max;
        // Nobody is let in where it is to end by now. And where requests share a connection, who
        // comes second may open it first, and wait in vain beside one over which nothing comes.
        let starts = matches!(instance.machine.phase(), Phase::Starting { .. });
        let spare = found.by.filter(|_| starts && protocol == Protocol::Http1);
        let Some(process) = instance.process.as_mut() else { return };
        let birth = Birth {
            instance: name.clone(),
            launch,
            reached: found.at,
            protocol,
            request_timeout,
            max,
            requests,
            notices,
        };
        process.generation = Some(Generation::new(birth, spare));
    }

    /// Gives leases to those who wait, as long as there is room, and sees to it that who goes
    /// on waiting does not wait too long.
    pub(super) fn release(&mut self, name: &InstanceName) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        // A worker has no gate; nobody waits for it.
        let Some(generation) = instance.generation().cloned() else { return };
        while let Some(first) = instance.queue.first() {
            let due = first.since + instance.spec.concurrency.queue_timeout;
            // Full; or closed again: found unreachable, and being sought.
            let Some(lease) = generation.next_turn() else { return self.time_turn(name, due) };
            let Some(waiter) = instance.queue.pop() else { return };
            waiter.answer(Ok(lease));
        }
        generation.nobody_waits();
    }

    /// Asks to be told when the first in the queue has waited too long, unless somebody has
    /// asked already: who was first then had the earlier time.
    fn time_turn(&mut self, name: &InstanceName, due: Instant) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        if !std::mem::replace(&mut instance.turn_is_timed, true) {
            self.timers.insert_at(Alarm::Turn(name.clone()), due);
        }
    }

    /// Who waits while data are moved does not wait longer than for a program that starts: sees to
    /// it that the first is sent away in time.
    pub(super) fn time_start(&mut self, name: &InstanceName) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        let patience = instance.spec.startup_timeout;
        if let Some(first) = instance.queue.first() {
            let due = first.since + patience;
            self.time_turn(name, due);
        }
    }

    /// It runs: from here on it may become idle, or ill.
    fn watch(&mut self, name: &InstanceName) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        let Some(process) = instance.process.as_mut() else { return };
        if !process.adopted {
            instance.last_wake = Some(process.launched.elapsed());
        }
        instance.queue.count_from(Instant::now());
        process.watch = None;
        let generation = process.generation.clone();
        let idle = instance.spec.idle_timeout;
        if !instance.stored {
            self.write_down(name, Origin::Request);
        }
        let Some(generation) = generation else { return };
        self.watch_health(name, &generation);
        if let Some(idle) = idle {
            self.arm(name, idle);
        }
    }

    pub(super) fn watch_health(&mut self, name: &InstanceName, generation: &Arc<Generation>) {
        let notices = self.notices.clone();
        let Some(instance) = self.instances.get_mut(name) else { return };
        let Some(check) = instance.spec.health.clone() else { return };
        let protocol = instance.spec.protocol;
        let Some(process) = instance.process.as_mut() else { return };
        if !process.never_healthy {
            process.health.record(true);
            process.health_checked = Some(Instant::now());
        }
        let (name, launch, reached) =
            (name.clone(), generation.launch(), generation.reached().clone());
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(check.interval).await;
                let passed = probe::passes(&reached, protocol, &check).await;
                report(&notices, Notice::Checked(name.clone(), launch, passed));
            }
        });
        process.watch = Some(Watch(task.abort_handle()));
    }

    /// A request found that nobody accepts. Mostly its process has just died, and that will
    /// be reported in a moment; else it gets as long as a start to accept again.
    pub(super) fn seek(&mut self, name: &InstanceName, launch: LaunchId) {
        let notices = self.notices.clone();
        let Some(instance) = self.instances.get_mut(name) else { return };
        let patience = instance.spec.startup_timeout;
        let Some(process) = instance.process.as_mut().filter(|p| p.launch == launch) else {
            return;
        };
        let (name, place) = (name.clone(), Place::of(process, &self.parts.warden));
        let task = tokio::spawn(async move {
            // A process that is just dying may still have an open socket.
            tokio::time::sleep(EXIT_GRACE).await;
            let found = tokio::time::timeout(patience, probe::accepting(&place)).await.ok();
            report(&notices, Notice::Sought(name, launch, found.map(|found| found.at)));
        });
        process.seek = Some(Watch(task.abort_handle()));
    }

    fn drain(&mut self, name: &InstanceName) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        if let Some(process) = instance.process.as_mut() {
            process.watch = None;
            match &process.generation {
                Some(generation) => generation.drain(),
                None => self.pending.push_back((name.clone(), Event::Drained)),
            }
        }
    }

    fn signal(&mut self, name: &InstanceName) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        let signal = instance.spec.stop_signal.number();
        if let Some(process) = instance.process.as_mut() {
            process.watch = None;
            self.parts.warden.signal(process.launch, signal);
        }
    }

    fn kill(&mut self, name: &InstanceName) {
        let process = self.instances.get(name).and_then(|instance| instance.process.as_ref());
        if let Some(process) = process {
            self.parts.warden.kill(process.launch);
        }
    }

    pub(super) fn arm(&mut self, name: &InstanceName, after: Duration) {
        self.disarm(name);
        let Some(instance) = self.instances.get_mut(name) else { return };
        let due = Instant::now() + after;
        let key = self.timers.insert_at(Alarm::Due(name.clone()), due);
        instance.timer = Some(Timer { key, due });
    }

    fn disarm(&mut self, name: &InstanceName) {
        let armed = self.instances.get_mut(name).and_then(|instance| instance.timer.take());
        if let Some(timer) = armed {
            self.timers.remove(&timer.key);
        }
    }

    fn tell(&mut self, name: &InstanceName, goal: Goal, result: impl Fn() -> Result<Done, Denied>) {
        // Who is told so must also see it so.
        self.publish(name);
        if let Some(instance) = self.instances.get_mut(name) {
            instance.tell(goal, result);
        }
    }

    fn refuse(&mut self, name: &InstanceName, why: Why) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        let reason = instance.last_failure.as_deref().unwrap_or("it ended").to_owned();
        let not_started = || Denied::NotStarted { instance: name.clone(), reason: reason.clone() };
        let (refusal, denied) = match why {
            Why::NotReady(retry_after) => (Some(Refusal::NotReady { retry_after }), not_started()),
            Why::Failed => (Some(Refusal::Failed), not_started()),
            Why::Superseded => (None, Denied::Superseded(name.clone())),
            Why::Removed => (Some(Refusal::Unknown), Denied::Superseded(name.clone())),
            Why::ShuttingDown => (Some(Refusal::ShuttingDown), Denied::ShuttingDown),
        };
        if let Some(refusal) = refusal {
            instance.queue.refuse_all(refusal);
        }
        instance.tell(Goal::Up, || Err(denied.clone()));
    }

    fn warn_unhealthy(&mut self, name: &InstanceName) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        if let Some(process) = instance.process.as_mut() {
            process.never_healthy = true;
        }
        let path = instance.spec.health.as_ref().map_or("", |check| check.path.as_str());
        let why = format!("{path} did not answer 2xx within startup_timeout");
        tracing::warn!(instance = %name, "accepts, but did not become healthy in time: {why}");
        instance.last_failure = Some(why.into());
    }

    /// Writes down that an instance is known.
    pub(super) fn write_down(&mut self, name: &InstanceName, origin: Origin) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        instance.stored = true;
        let weight = instance.entry.status.load().weight;
        self.parts.scribe.write(name, Fact::Known { weight, origin });
    }

    fn forget(&mut self, name: &InstanceName) {
        let stored = self.instances.get(name).is_some_and(|instance| instance.stored);
        if stored {
            self.parts.scribe.write(name, Fact::Forgotten);
        }
        // Empty, they say nothing to anybody; else they hold data, and stay.
        if let Some(instance) = self.instances.get(name).filter(|found| !found.folders.is_empty()) {
            self.parts.data.vacate(&instance.folders);
        }
        let shown = self.parts.published.get(name);
        self.parts.published.remove(name);
        // Most have no share: what a request brought into being costs its service no new pool.
        if shown.is_some_and(|entry| entry.status.load().weight > Weight::NONE) {
            self.parts.published.refresh_pool(&name.service);
        }
    }
}

/// The driver may be gone already when the server ends; then nobody needs to know.
fn report(notices: &mpsc::UnboundedSender<Notice>, notice: Notice) {
    let _ = notices.send(notice);
}
