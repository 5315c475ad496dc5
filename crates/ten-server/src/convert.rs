//! Between the wire and the domain: the one place that knows both shapes.
//!
//! Nothing here decides anything, and nothing here fails but for words that are no names,
//! times or weights.

use std::{io, time::Duration};

use jiff::Timestamp;
use ten_api as api;
use ten_api::{Problem, ProblemType};
use ten_domain::{Config, Health, InstanceName, Listen, NameError, ServiceSpec, State, Weight};
use ten_kernel::{CommandLine, Terminal};
use ten_logs as logs;
use ten_supervisor::{Denied, Done, Ended, InstanceView, NotRun, Restored, Trashed};

/// Most log lines of one answer, and how many where nobody says.
const MAX_LINES: usize = 10_000;
const DEFAULT_LINES: usize = 100;

/// How browsers reach the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The scheme of its URLs.
    pub scheme: &'static str,
    /// The domain under which instances have their hostnames.
    pub domain: String,
    /// The port of that.
    pub port: u16,
}

impl Site {
    /// The URL of one instance.
    pub fn url(&self, name: &InstanceName) -> String {
        let host = format!("{}.{}.{}", name.id, name.service, self.domain);
        let scheme = self.scheme;
        match (scheme, self.port) {
            ("http", 80) | ("https", 443) => format!("{scheme}://{host}"),
            (_, port) => format!("{scheme}://{host}:{port}"),
        }
    }
}

pub(crate) fn instance(view: InstanceView, config: &Config, site: &Site) -> api::Instance {
    let (state, health) = state(view.state);
    let listens = |spec: &ServiceSpec| spec.listen != Listen::None;
    let reachable = config.services.get(&view.name.service).is_some_and(|spec| listens(spec));
    api::Instance {
        instance: view.name.to_string(),
        service: view.name.service.to_string(),
        id: view.name.id.to_string(),
        state,
        health,
        pid: view.pid,
        memory_bytes: view.usage.memory,
        cpu_ms: view.usage.cpu.map(millis),
        io_read_bytes: view.usage.io.map(|io| io.read_bytes),
        io_written_bytes: view.usage.io.map(|io| io.written_bytes),
        io_reads: view.usage.io.map(|io| io.reads),
        io_writes: view.usage.io.map(|io| io.writes),
        pids: view.usage.pids,
        storage_bytes: view.storage,
        storage_limit_bytes: view.storage_limit,
        uptime_ms: view.uptime.map(millis),
        idle_ms: view.idle.map(millis),
        restarts: view.restarts,
        in_flight: view.in_flight,
        requests: view.requests,
        weight: view.weight.get(),
        url: reachable.then(|| site.url(&view.name)),
        address: view.address.map(|address| address.to_string()),
        last_wake_ms: view.last_wake.map(millis),
        last_failure: view.last_failure,
    }
}

pub(crate) fn health(view: InstanceView) -> api::HealthReport {
    let (state, health) = state(view.state);
    api::HealthReport {
        instance: view.name.to_string(),
        state,
        health,
        checked_ms: view.health_checked.map(millis),
        failures: view.health_failures,
        last_failure: view.last_failure,
    }
}

/// A service, and how many of `views` are its instances.
pub(crate) fn service(spec: &ServiceSpec, views: &[InstanceView]) -> api::Service {
    let own = || views.iter().filter(|view| view.name.service == spec.name);
    api::Service {
        service: spec.name.to_string(),
        description: spec.description.clone(),
        isolation: spec.isolation.word().to_owned(),
        idle_timeout_ms: spec.idle_timeout.map(millis),
        running: own().filter(|view| view.state.has_process()).count(),
        known: own().count(),
    }
}

pub(crate) fn done(done: Done) -> api::Done {
    api::Done { changed: done == Done::Did }
}

pub(crate) fn ended(ended: Ended) -> api::Ended {
    api::Ended { changed: ended.done == Done::Did, trashed: ended.trashed.map(trashed) }
}

pub(crate) fn trashed(trashed: Trashed) -> api::Trashed {
    api::Trashed {
        entry: trashed.entry,
        instance: trashed.instance.to_string(),
        at: format!("{:.3}", trashed.at),
        until: format!("{:.3}", trashed.until),
        reason: trashed.reason.word().to_owned(),
        folders: trashed
            .folders
            .iter()
            .filter(|folder| !folder.starts_with(ten_kernel::IMAGES))
            .map(|folder| folder.display().to_string())
            .collect(),
    }
}

pub(crate) fn restored(restored: Restored) -> api::Restored {
    let Restored { restored, replaced } = restored;
    api::Restored { restored: trashed(restored), replaced: replaced.map(trashed) }
}

pub(crate) fn line(line: logs::Line) -> api::LogLine {
    api::LogLine {
        time: format!("{:.3}", line.at),
        instance: line.instance.to_string(),
        stream: match line.stream {
            logs::Stream::Stdout => api::Stream::Stdout,
            logs::Stream::Stderr => api::Stream::Stderr,
        },
        text: line.text.to_string(),
        continued: line.continued,
    }
}

pub(crate) fn query(query: api::LogQuery) -> Result<logs::Query, Problem> {
    let limit = query.limit.unwrap_or(DEFAULT_LINES);
    if limit > MAX_LINES {
        let detail = format!("limit is {limit}; it is at most {MAX_LINES}");
        return Err(Problem::new(ProblemType::BadRequest, detail));
    }
    Ok(logs::Query {
        service: query.service.map(|text| name(&text)).transpose()?,
        id: query.id.map(|text| name(&text)).transpose()?,
        stream: query.level.map(|stream| match stream {
            api::Stream::Stdout => logs::Stream::Stdout,
            api::Stream::Stderr => logs::Stream::Stderr,
        }),
        search: query.search,
        since: query.since.map(|text| moment("since", &text)).transpose()?,
        until: query.until.map(|text| moment("until", &text)).transpose()?,
        limit,
    })
}

pub(crate) fn instance_name(service: &str, id: &str) -> Result<InstanceName, Problem> {
    Ok(InstanceName::new(name(service)?, name(id)?))
}

pub(crate) fn weight(weight: api::Weight) -> Result<Weight, Problem> {
    Weight::new(weight.weight).ok_or_else(|| {
        let detail = format!("weight is {}; it is 0 to 100", weight.weight);
        Problem::new(ProblemType::BadRequest, detail)
    })
}

/// Every reason for which a command is not carried out, and how the caller hears of it.
pub(crate) fn denied(denied: Denied) -> Problem {
    let problem = |kind| Problem::new(kind, &denied);
    match &denied {
        Denied::UnknownService(_) => problem(ProblemType::UnknownService)
            .with_hint("`ten config` lists the services; a new one needs a section in the config"),
        Denied::UnknownInstance(_) => problem(ProblemType::UnknownInstance)
            .with_hint("`ten ps -a` lists what is known; `ten spawn` makes a new one"),
        Denied::TooManyRunning { service, .. } => problem(ProblemType::TooManyRunning)
            .with_hint(format!("stop one, or raise max_instances in [service.{service}]")),
        Denied::TooManyFiles { .. } => problem(ProblemType::TooManyRunning).with_hint(
            "stop one, or raise the hard limit of open files (LimitNOFILE=) to twelve for each that is to run",
        ),
        Denied::TooManyKnown { service, .. } => problem(ProblemType::TooManyKnown)
            .with_hint(format!("`ten rm` one, or raise max_known in [service.{service}]")),
        Denied::NotStarted { instance, .. } => problem(ProblemType::NotStarted)
            .with_hint(format!("`ten logs {instance}` shows what it said")),
        Denied::RunsAlready(instance) => problem(ProblemType::RunsAlready)
            .with_hint(format!("`ten stop {instance}` first, then spawn it with its variables")),
        Denied::Superseded(instance) => problem(ProblemType::Superseded)
            .with_hint(format!("`ten ps -a` shows what {instance} does now; ask again")),
        Denied::Awake(instance) => problem(ProblemType::Awake).with_hint(format!(
            "`ten stop --keep-data {instance}` first; its present data stay then"
        )),
        Denied::HasData(instance) => problem(ProblemType::HasData).with_hint(format!(
            "`ten restore {instance} --replace` moves its present data to the trash first"
        )),
        Denied::NotInTrash(instance) => problem(ProblemType::NotInTrash)
            .with_hint(format!("`ten restore --list {instance}` shows what there is")),
        Denied::NotMoved { .. } => problem(ProblemType::NotMoved)
            .with_hint("they are where they were; `--keep-data` leaves them there"),
        Denied::NoTrash(_) => {
            problem(ProblemType::NotMoved).with_hint("look at `.trash` in data_dir, then ask again")
        }
        Denied::NoRoom(_) => problem(ProblemType::NoRoom)
            .with_hint("free some space on the disk that holds data_dir, then ask again"),
        Denied::NotStored { full: true, .. } => problem(ProblemType::NoRoom).with_hint(
            "free some space on the disk that holds data_dir; it is stored as soon as it can be",
        ),
        Denied::NotStored { full: false, .. } => problem(ProblemType::NotStored)
            .with_hint("look at the disk that holds data_dir; it is stored as soon as it can be"),
        Denied::ShuttingDown => {
            problem(ProblemType::ShuttingDown).with_hint("ask again once the server is back")
        }
    }
}

pub(crate) fn command_line(request: api::ExecRequest) -> CommandLine {
    let terminal = |api::ExecTerminal { size, kind }| Terminal {
        rows: size.rows,
        columns: size.columns,
        kind,
    };
    CommandLine { argv: request.argv, terminal: request.terminal.map(terminal) }
}

/// Every reason for which a command does not run inside an instance.
pub(crate) fn not_run(not_run: &NotRun) -> Problem {
    let problem = |kind| Problem::new(kind, not_run);
    match not_run {
        NotRun::Unsayable(_) => problem(ProblemType::BadRequest),
        NotRun::Failed { failure, .. } if failure.is_missing_file() => {
            problem(ProblemType::CommandNotFound)
        }
        NotRun::Failed { failure, .. } if failure.is_for_want_of_processes() => {
            problem(ProblemType::NotExecuted)
                .with_hint("the instance has as many processes as it may (pids_limit)")
        }
        NotRun::Failed { .. } => problem(ProblemType::NotExecuted),
        NotRun::Gone => problem(ProblemType::Superseded)
            .with_hint("`ten ps -a` shows what it does now; ask again"),
        NotRun::Io(error) => internal(error),
    }
}

/// Work on files that failed.
pub(crate) fn failed(error: &io::Error) -> Problem {
    if !is_full(error) {
        return internal(error);
    }
    tracing::error!("no room on the disk: {error}");
    Problem::new(ProblemType::NoRoom, format!("the disk is full: {error}"))
        .with_hint("free some space on the disk that holds data_dir, then ask again")
}

/// Whether the disk, or what this user may have of it, is used up.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The caller learns nothing of paths and causes; the log does.
pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Problem {
    tracing::error!(error, "a request failed");
    Problem::new(ProblemType::Internal, "the server failed at its own work")
        .with_hint("the server's log says how")
}

fn name<T: std::str::FromStr<Err = NameError>>(text: &str) -> Result<T, Problem> {
    text.parse()
        .map_err(|rule: NameError| Problem::new(ProblemType::BadName, format!("{text:?} {rule}")))
}

pub(crate) fn moment(key: &str, text: &str) -> Result<Timestamp, Problem> {
    text.parse().map_err(|_| {
        Problem::new(ProblemType::BadRequest, format!("{key} is {text:?}; it is a time"))
            .with_hint("write it as RFC 3339 says: 2026-01-31T12:00:00Z")
    })
}

fn state(state: State) -> (api::State, api::Health) {
    match state {
        State::Sleeping => (api::State::Sleeping, api::Health::Unknown),
        State::Starting => (api::State::Starting, api::Health::Unknown),
        State::Running(health) => (api::State::Running, verdict(health)),
        State::Backoff => (api::State::Backoff, api::Health::Unknown),
        State::Draining => (api::State::Draining, api::Health::Unknown),
        State::Stopping => (api::State::Stopping, api::Health::Unknown),
        State::Failed => (api::State::Failed, api::Health::Unknown),
    }
}

fn verdict(health: Health) -> api::Health {
    match health {
        Health::Unknown => api::Health::Unknown,
        Health::Healthy => api::Health::Healthy,
        Health::Degraded => api::Health::Degraded,
        Health::Unhealthy => api::Health::Unhealthy,
    }
}

/// Whole milliseconds. No duration here is near the 584 million years where this saturates.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
