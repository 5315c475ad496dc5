//! What comes in, turned into events.

use std::{net::IpAddr, sync::Arc};

use ten_domain::{InstanceName, Refusal, ResourceLimits, ServiceName, ServiceSpec, Weight};
use ten_store::Origin;
use ten_warden::{Event as WardenEvent, Exit, LaunchId, Living, Running};
use tokio::{sync::oneshot, time::Instant};

use super::{Command, Driver, Notice, Verb};
use crate::{
    Denied, Done,
    commands::{Entered, Stay},
    instance::{Adopted, Goal, Instance, Note, Operator, Watch},
    machine::{Event, PREPARATION, Phase},
    probe::Reached,
    queue::Waiter,
    storage,
};

/// Most instances that one request for a service's host wakes. A canary and what it replaces
/// are two; hundreds would be woken by a passing crawler.
const WAKE_TOGETHER: usize = 8;

impl Driver {
    pub(super) fn on_command(&mut self, command: Command) {
        match command {
            Command::Wake { name, from, waiter } => self.wake(&name, from, waiter),
            Command::Operate { name, verb, wait, reply } => self.operate(&name, verb, wait, reply),
            // Whoever asked may have gone: what it would have got ends with it.
            Command::Enter { name, reply } => drop(reply.send(self.enter(&name))),
            Command::SetWeight { name, weight, reply } => self.set_weight(&name, weight, reply),
            Command::Restore { name, back, reply } => self.restore(&name, back, reply),
            Command::WakeService { service } => self.wake_service(&service),
            Command::Shutdown { reply } => self.shutdown(reply),
        }
    }

    fn wake(&mut self, name: &InstanceName, from: IpAddr, waiter: Waiter) {
        match self.queue_up(name, from, waiter) {
            Ok(()) => self.step(name, Event::Wake),
            Err((waiter, refusal)) => waiter.answer(Err(refusal)),
        }
    }

    /// Puts a request into the queue of its instance, or says why it may not wait there.
    fn queue_up(
        &mut self,
        name: &InstanceName,
        from: IpAddr,
        waiter: Waiter,
    ) -> Result<(), (Waiter, Refusal)> {
        if self.closing.is_some() {
            return Err((waiter, Refusal::ShuttingDown));
        }
        let Some(spec) = self.spec(name) else { return Err((waiter, Refusal::Unknown)) };
        if !self.instances.contains_key(name) {
            if let Err(refusal) = self.request_creates(&spec, from) {
                return Err((waiter, refusal));
            }
            self.create(Arc::clone(&spec), name, Weight::NONE, true);
        }
        let Some(instance) = self.instances.get_mut(name) else { return Ok(()) };
        match (instance.machine.phase(), &instance.timer) {
            (Phase::Sleeping, _) => {
                if let Err(refusal) = self.census.request_starts(&spec) {
                    return Err((waiter, refusal));
                }
            }
            (Phase::Backoff, Some(timer)) if timer.due > waiter.since + spec.startup_timeout => {
                let retry_after = timer.due.saturating_duration_since(Instant::now());
                return Err((waiter, Refusal::NotReady { retry_after }));
            }
            _ => {}
        }
        let places = instance.places();
        let joined = instance.queue.join(waiter, places);
        joined.map_err(|waiter| (waiter, Refusal::QueueFull))
    }

    /// Whether a request may make an instance known and start it; if so, it counts for its
    /// client.
    fn request_creates(&mut self, spec: &ServiceSpec, from: IpAddr) -> Result<(), Refusal> {
        self.census.request_creates(spec)?;
        self.census.request_starts(spec)?;
        self.newcomers.admit(from, Instant::now().into_std())
    }

    /// Wakes those who share a service's traffic, heaviest first, so that the next requests
    /// find them all.
    fn wake_service(&mut self, service: &ServiceName) {
        let Some(pool) = self.parts.published.pool(service) else { return };
        for entry in pool.to_wake().take(WAKE_TOGETHER) {
            let sleeps = |instance: &Instance| instance.machine.phase() == Phase::Sleeping;
            let Some(instance) = self.instances.get(&entry.name).filter(|i| sleeps(i)) else {
                continue;
            };
            if self.closing.is_none() && self.census.request_starts(&instance.spec).is_ok() {
                self.step(&entry.name, Event::Wake);
            }
        }
    }

    fn operate(
        &mut self,
        name: &InstanceName,
        verb: Verb,
        wait: bool,
        reply: oneshot::Sender<Result<Done, Denied>>,
    ) {
        // Whoever asked may have stopped waiting.
        let tell = |reply: oneshot::Sender<_>, result| drop(reply.send(result));
        if let Err(denied) = self.prepare(name, &verb) {
            return tell(reply, Err(denied));
        }
        let Some(instance) = self.instances.get_mut(name) else { return };
        let phase = instance.machine.phase();
        let (event, goal, already) = match verb {
            Verb::Spawn { env } => {
                if instance.process.is_none() {
                    instance.extra_env = env.into_iter().collect();
                } else if !env.is_empty() {
                    return tell(reply, Err(Denied::RunsAlready(name.clone())));
                }
                (Event::Spawn, Goal::Up, phase == Phase::Running)
            }
            Verb::Enter => (Event::Spawn, Goal::Up, phase == Phase::Running),
            Verb::Restart => (Event::Restart, Goal::Up, false),
            Verb::Stop(discard) => {
                let already = phase == Phase::Sleeping && discard.is_none();
                instance.discards.extend(discard);
                (Event::Stop, Goal::Down, already)
            }
            Verb::Remove(discard) => {
                instance.discards.extend(discard);
                (Event::Remove, Goal::Down, false)
            }
        };
        if already || !wait {
            tell(reply, Ok(if already { Done::AlreadySo } else { Done::Did }));
        } else {
            instance.operators.push(Operator { goal, reply });
        }
        if matches!(event, Event::Spawn) {
            self.write_down(name, Origin::Operator);
        }
        self.step(name, event);
    }

    /// Whether an operator's word can be followed; makes the instance known where it creates it.
    fn prepare(&mut self, name: &InstanceName, verb: &Verb) -> Result<(), Denied> {
        if self.closing.is_some() {
            return Err(Denied::ShuttingDown);
        }
        let unknown = || Denied::UnknownService(name.service.clone());
        let spec = self.spec(name).ok_or_else(unknown)?;
        let known = self.instances.get(name);
        let starts = matches!(verb, Verb::Spawn { .. } | Verb::Restart | Verb::Enter);
        if starts {
            let runs = known.is_some_and(|instance| instance.process.is_some());
            self.census.operator_starts(&spec, runs)?;
        }
        match verb {
            _ if known.is_some() => Ok(()),
            Verb::Spawn { .. } => {
                self.census.operator_creates(&spec)?;
                self.create(spec, name, Weight::FULL, false);
                Ok(())
            }
            Verb::Stop(_) | Verb::Restart | Verb::Enter | Verb::Remove(_) => {
                Err(Denied::UnknownInstance(name.clone()))
            }
        }
    }

    fn set_weight(
        &mut self,
        name: &InstanceName,
        weight: Weight,
        reply: oneshot::Sender<Result<Done, Denied>>,
    ) {
        let Some(instance) = self.instances.get_mut(name) else {
            return drop(reply.send(Err(Denied::UnknownInstance(name.clone()))));
        };
        let before = instance.entry.status.load_full();
        let done = if before.weight == weight { Done::AlreadySo } else { Done::Did };
        let mut after = (*before).clone();
        after.weight = weight;
        instance.entry.status.store(Arc::new(after));
        self.write_down(name, Origin::Operator);
        self.parts.published.refresh_pool(&name.service);
        // Whoever asked may have stopped waiting.
        let _ = reply.send(Ok(done));
    }

    fn shutdown(&mut self, reply: oneshot::Sender<()>) {
        self.closing.get_or_insert_default().push(reply);
        let names: Vec<_> = self.instances.keys().cloned().collect();
        for name in names {
            if let Some(instance) = self.instances.get_mut(&name) {
                instance.queue.refuse_all(Refusal::ShuttingDown);
            }
            self.step(&name, Event::Shutdown);
        }
        self.tell_closed();
    }

    pub(super) fn on_warden(&mut self, event: WardenEvent) {
        match event {
            WardenEvent::Preparing { launch } => {
                self.with_process(launch, |driver, name| driver.preparing(name));
            }
            WardenEvent::Launched { launch, running } => {
                self.with_process(launch, |driver, name| driver.launched(name, running));
            }
            WardenEvent::Found { launch, socket } => self.with_process(launch, |driver, name| {
                let process = driver.instances.get(name).and_then(|found| found.process.as_ref());
                if let Some(process) = process {
                    process.socket.send_replace(Some(Arc::new(socket)));
                }
            }),
            WardenEvent::LaunchFailed { launch, reason, disk_full } => {
                self.with_process(launch, |driver, name| {
                    driver.process_ended(name, launch, reason);
                    driver.step(name, if disk_full { Event::NoRoom } else { Event::LaunchFailed });
                });
            }
            WardenEvent::Exited { launch, exit } => self.with_process(launch, |driver, name| {
                let limits = driver.instances.get(name).map(|instance| instance.spec.limits);
                driver.process_ended(name, launch, describe(exit, limits));
                driver.step(name, Event::Exited { clean: exit == Exit::Code(0) });
            }),
            // They are for whoever runs the server, not for one instance.
            WardenEvent::Shown(_) | WardenEvent::Terminate | WardenEvent::Reload => {}
        }
    }

    fn with_process(&mut self, launch: LaunchId, then: impl FnOnce(&mut Self, &InstanceName)) {
        if let Some(name) = self.launches.get(&launch).cloned() {
            then(self, &name);
        }
    }

    fn preparing(&mut self, name: &InstanceName) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        instance.queue.count_from(Instant::now());
        self.step(name, Event::Preparing);
    }

    fn launched(&mut self, name: &InstanceName, running: Running) {
        let Running { pid, cgroup, output, door, meter } = running;
        let Some(instance) = self.instances.get_mut(name) else { return };
        let Some(process) = instance.process.as_mut() else { return };
        process.pid = Some(pid);
        process.cgroup = cgroup;
        process.door = Some(Arc::new(door));
        process.meter = meter.map(Arc::new);
        let told = &instance.storage_told;
        match (&process.meter, instance.spec.limits.storage_quota_mb) {
            (Some(meter), Some(mb)) => {
                let watch = storage::watch(name.clone(), Arc::clone(meter), mb, Arc::clone(told));
                process.storage_watch = Some(Watch(tokio::spawn(watch).abort_handle()));
            }
            (Some(_), None) => storage::say_that_it_stays(name, told),
            (None, _) => {}
        }
        let ended = process.ended.clone();
        self.record(name, output, ended);
        self.watch_start(name);
        self.step(name, Event::Executed);
    }

    /// Nothing is left of a process.
    fn process_ended(&mut self, name: &InstanceName, launch: LaunchId, how: String) {
        self.launches.remove(&launch);
        let Some(instance) = self.instances.get_mut(name) else { return };
        let Some(process) = instance.process.take() else { return };
        process.ended.cancel();
        if let Some(generation) = &process.generation {
            generation.close();
        }
        if let Some(port) = process.port {
            self.ports.give_back(port);
        }
        self.census.lost_process(&name.service);
        // An end that was asked for says nothing, however it came.
        if !matches!(instance.machine.phase(), Phase::Draining(_) | Phase::Stopping(_)) {
            instance.last_failure = Some(how.into());
        }
    }

    pub(super) fn on_notice(&mut self, notice: Notice) {
        let (name, launch, event) = match notice {
            Notice::Drained(name, launch) => {
                let in_use = |instance: &Instance| {
                    instance.generation().is_some_and(|generation| generation.in_flight() > 0)
                };
                // Said of an earlier time at which its gate was closed.
                if self.instances.get(&name).is_some_and(|it| in_use(it)) {
                    return;
                }
                (name, launch, Event::Drained)
            }
            Notice::Room(name, launch) => (name, launch, Event::Wake),
            Notice::Accepting(name, launch, reached) => {
                self.accepting(&name, launch, reached.into());
                (name, launch, Event::Accepting)
            }
            Notice::Ready(name, launch, found) => {
                if let Some(found) = found {
                    self.accepting(&name, launch, found);
                }
                (name, launch, Event::Ready)
            }
            Notice::Left(name, launch) => return self.left(&name, launch),
            Notice::Unreachable(name, launch) => return self.seek(&name, launch),
            Notice::Sought(name, launch, found) => return self.sought(&name, launch, found),
            Notice::Checked(name, launch, passed) => return self.checked(&name, launch, passed),
        };
        if self.instances.get(&name).is_some_and(|instance| instance.runs(launch)) {
            self.step(&name, event);
        }
    }

    fn checked(&mut self, name: &InstanceName, launch: LaunchId, passed: bool) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        if !instance.runs(launch) {
            return;
        }
        let Some(process) = instance.process.as_mut() else { return };
        let verdict = process.health.record(passed);
        process.never_healthy &= !passed;
        process.health_checked = Some(Instant::now());
        if verdict == ten_domain::Health::Unhealthy {
            instance.last_failure = Some("three health checks in a row failed".into());
            return self.step(name, Event::Unhealthy);
        }
        self.settle(name);
    }

    pub(super) fn on_timer(&mut self, name: InstanceName) {
        let Some(instance) = self.instances.get_mut(&name) else { return };
        instance.timer = None;
        match instance.machine.phase() {
            Phase::Running => self.idle_check(&name),
            phase => {
                match phase {
                    Phase::Starting { accepting: false } => {
                        instance.last_failure = Some(never_accepted(instance));
                    }
                    Phase::Preparing => instance.last_failure = Some(never_moved()),
                    _ => {}
                }
                self.step(&name, Event::Due);
            }
        }
    }

    /// The first in the queue may have waited too long for its turn, or for data that are being
    /// moved. While nobody is given a turn, because the instance is on its way down or up or is
    /// being sought, that does not count; the next `Release` sets a time anew.
    pub(super) fn on_turn(&mut self, name: &InstanceName) {
        let retry_after = self.parts.config.settings.backoff.base;
        let Some(instance) = self.instances.get_mut(name) else { return };
        instance.turn_is_timed = false;
        let now = Instant::now();
        let is_open = instance.generation().is_some_and(|generation| generation.is_open());
        match instance.machine.phase() {
            Phase::Running if is_open => {
                instance.queue.expire(instance.spec.concurrency.queue_timeout, now, Refusal::Busy);
                self.release(name);
            }
            Phase::Preparing => {
                let refusal = Refusal::NotReady { retry_after };
                instance.queue.expire(instance.spec.startup_timeout, now, refusal);
                self.time_start(name);
            }
            _ => {}
        }
    }

    /// The idle time may have passed; looks, and looks again when it will have.
    fn idle_check(&mut self, name: &InstanceName) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        let Some(idle_timeout) = instance.spec.idle_timeout else { return };
        let Some(generation) = instance.generation().cloned() else { return };
        let Some(process) = &instance.process else { return };
        let left = idle_timeout.saturating_sub(process.unused_for(&generation));
        if !left.is_zero() {
            return self.arm(name, left);
        }
        if generation.close_if_unused() {
            return self.step(name, Event::Idle);
        }
        // Somebody came in between, or it is unreachable and that is being looked into.
        self.arm(name, idle_timeout);
    }

    /// A way into a process that runs, also where it is not ready: an operator may want to find
    /// out why. One that is on its way down is none.
    fn enter(&mut self, name: &InstanceName) -> Option<Entered> {
        let notices = self.notices.clone();
        let instance = self.instances.get_mut(name)?;
        if !matches!(instance.machine.phase(), Phase::Starting { .. } | Phase::Running) {
            return None;
        }
        let process = instance.process.as_mut()?;
        let door = Arc::clone(process.door.as_ref()?);
        process.commands.running += 1;
        let stay = Stay::new(name.clone(), process.launch, notices);
        let port = process.port;
        let extra_env = instance.extra_env.clone();
        Some(Entered { door, stay, port, extra_env })
    }

    fn left(&mut self, name: &InstanceName, launch: LaunchId) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        let Some(process) = instance.process.as_mut().filter(|it| it.launch == launch) else {
            return;
        };
        process.commands.running -= 1;
        process.commands.last_end = Some(Instant::now());
    }

    fn sought(&mut self, name: &InstanceName, launch: LaunchId, found: Option<Reached>) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        if !instance.runs(launch) || instance.machine.phase() != Phase::Running {
            return;
        }
        let Some(reached) = found else {
            instance.last_failure = Some("does not accept connections any more".into());
            return self.step(name, Event::Unhealthy);
        };
        let Some(process) = instance.process.as_mut() else { return };
        let Some(before) = process.generation.take() else { return };
        // What accepts now may be another socket than before: nothing that was learnt of the
        // old one, no connection and no descriptor, is used for it.
        let generation = before.moved(reached);
        process.generation = Some(Arc::clone(&generation));
        instance.queue.count_from(Instant::now());
        // Shown before it is opened, so that nobody goes to the old one any more.
        self.publish(name);
        generation.reopen();
        self.watch_health(name, &generation);
        self.step(name, Event::Wake);
    }

    pub(super) fn adopt_one(&mut self, living: Living) {
        let Living { launch, note, running } = living;
        let known = Note::read(launch, &note)
            .and_then(|adopted| Some((self.spec(&adopted.name)?, adopted)));
        let Some((spec, Adopted { name, process, extra_env })) = known else {
            let pid = running.map(|running| running.pid);
            tracing::warn!(pid, "a process of a service that is not configured any more: killed");
            return self.parts.warden.kill(launch);
        };
        if !self.instances.contains_key(&name) {
            self.create(spec, &name, Weight::NONE, true);
        }
        if let Some(port) = process.port {
            self.ports.adopt(port);
        }
        self.census.got_process(&name.service);
        self.launches.insert(launch, name.clone());
        let Some(instance) = self.instances.get_mut(&name) else { return };
        instance.process = Some(Box::new(process));
        instance.extra_env = extra_env;
        self.step(&name, Event::Adopted);
        match running {
            Some(running) => self.launched(&name, running),
            None => self.preparing(&name),
        }
    }
}

fn never_accepted(instance: &Instance) -> Arc<str> {
    let seconds = instance.spec.startup_timeout.as_secs_f64();
    let places = instance.process.as_ref().map(|process| &process.listener);
    let tcp = places.and_then(|l| l.tcp).map(|at| format!("port {}", at.port()));
    let unix = places.and_then(|l| l.unix.as_ref()).map(|at| format!("socket {}", at.display()));
    let at = [tcp, unix].into_iter().flatten().collect::<Vec<_>>().join(" or ");
    format!("did not accept on {at} within {seconds} s (startup_timeout)").into()
}

fn never_moved() -> Arc<str> {
    format!("its data were not in its image within {} s", PREPARATION.as_secs()).into()
}

/// How a process ended, for logs and operators.
fn describe(exit: Exit, limits: Option<ResourceLimits>) -> String {
    match exit {
        Exit::OutOfMemory => match limits.and_then(|limits| limits.memory_limit_mb) {
            Some(mb) => format!("killed: out of memory (memory_limit_mb = {mb})"),
            None => "killed: the machine is out of memory".into(),
        },
        Exit::Code(code) => format!("exited with status {code}"),
        Exit::Signal(signal) => format!("killed by signal {signal}"),
        Exit::Lost => "vanished: its init was killed from outside".into(),
    }
}
