//! Instances: the table of `ten ps`, and the words of the other verbs.

use anstyle::Style;
use ten_api::{Health, HealthReport, Instance, State};

use super::{
    BAD, FAINT, GOOD, PLAIN, WARN, size, span,
    table::{self, Align, Cell},
    visible,
};

/// In percent of the limit, from where on it is shown as a warning, as the server's log has it.
const NEARLY_FULL: u64 = 80;

/// The table of `ten ps`; a sentence where nothing is there to list.
pub(crate) fn list(instances: &[Instance], all: bool, width: Option<usize>) -> String {
    if instances.is_empty() {
        return if all {
            "nothing is known; a request or `ten spawn` makes an instance\n".to_owned()
        } else {
            "nothing runs; a request or `ten spawn` starts an instance\n".to_owned()
        };
    }
    use Align::{Left, Right};
    let heading = [
        ("INSTANCE", Left),
        ("STATE", Left),
        ("HEALTH", Left),
        ("PID", Right),
        ("UPTIME", Right),
        ("IDLE", Right),
        ("RESTARTS", Right),
        ("MEM", Right),
        ("STORAGE", Right),
        ("REQS", Right),
        ("WEIGHT", Right),
        ("ADDRESS", Left),
    ];
    let rows: Vec<_> = instances.iter().map(row).collect();
    if instances.iter().any(|instance| instance.storage_bytes.is_some()) {
        return table::render(heading, &rows, width);
    }
    // A column that says nothing of anyone.
    let rows: Vec<_> = rows.into_iter().map(without_storage).collect();
    table::render(without_storage(heading), &rows, width)
}

fn without_storage<T>(columns: [T; 12]) -> [T; 11] {
    let [a, b, c, d, e, f, g, h, _storage, i, j, k] = columns;
    [a, b, c, d, e, f, g, h, i, j, k]
}

fn storage(instance: &Instance) -> Cell {
    let Some(used) = instance.storage_bytes else { return Cell::new("-") };
    match instance.storage_limit_bytes {
        Some(limit) if used >= limit / 100 * NEARLY_FULL => Cell::styled(size(used), WARN),
        _ => Cell::new(size(used)),
    }
}

fn row(instance: &Instance) -> [Cell; 12] {
    [
        Cell::new(&instance.instance),
        Cell::styled(instance.state, state_style(instance.state)),
        match (instance.state, instance.health) {
            (State::Running, health) => Cell::styled(health, health_style(health)),
            _ => Cell::new("-"),
        },
        Cell::maybe(instance.pid),
        Cell::maybe(instance.uptime_ms.map(span)),
        Cell::maybe(instance.idle_ms.map(span)),
        match instance.restarts {
            0 => Cell::new(0),
            crashes => Cell::styled(crashes, WARN),
        },
        Cell::maybe(instance.memory_bytes.map(size)),
        storage(instance),
        Cell::new(instance.requests),
        Cell::new(instance.weight),
        Cell::maybe(instance.address.as_deref()),
    ]
}

/// After `ten spawn`: what it does, and where it is found.
pub(crate) fn spawned(instance: &Instance, changed: bool) -> String {
    let style = state_style(instance.state);
    let mut text = format!("{} is {style}{}{style:#}", instance.instance, instance.state);
    match instance.last_wake_ms {
        _ if !changed => text += " already\n",
        Some(millis) if instance.state == State::Running => text += &format!(" ({millis} ms)\n"),
        _ => text.push('\n'),
    }
    if let Some(url) = &instance.url {
        text += &format!("  url      {url}\n");
    }
    if let Some(address) = &instance.address {
        text += &format!("  address  {address}\n");
    }
    if matches!(instance.health, Health::Degraded | Health::Unhealthy) {
        let style = health_style(instance.health);
        text += &format!("  health   {style}{}{style:#}\n", instance.health);
    }
    text
}

/// The block of `ten health`.
pub(crate) fn health(report: &HealthReport, said: &[String]) -> String {
    let style = state_style(report.state);
    let mut text = format!("{}\n  state     {style}{}{style:#}\n", report.instance, report.state);
    let style = health_style(report.health);
    text += &format!("  health    {style}{}{style:#}\n", report.health);
    let checked = match report.checked_ms {
        Some(millis) => format!("{} ago", span(millis)),
        None => "never".to_owned(),
    };
    text += &format!("  checked   {checked}\n  failures  {} in a row\n", report.failures);
    if let Some(failure) = &report.last_failure {
        text += &format!("  last end  {}\n", visible(failure));
    }
    if !said.is_empty() {
        text += "  it said last\n";
        said.iter().for_each(|line| text += &format!("    {}\n", visible(line)));
    }
    text
}

fn state_style(state: State) -> Style {
    match state {
        State::Running => GOOD,
        State::Starting | State::Backoff | State::Draining | State::Stopping => WARN,
        State::Failed => BAD,
        State::Sleeping => FAINT,
    }
}

fn health_style(health: Health) -> Style {
    match health {
        Health::Unknown => PLAIN,
        Health::Healthy => GOOD,
        Health::Degraded => WARN,
        Health::Unhealthy => BAD,
    }
}
