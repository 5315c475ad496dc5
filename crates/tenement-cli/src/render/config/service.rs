//! `[service.NAME]` and `[service.NAME.asleep]`, key by key.

use ten_domain::{Bind, EnvPattern, Network, ServiceSpec, User};

use super::show::{Table, Value};

pub(super) fn tables(spec: &ServiceSpec) -> Vec<Table> {
    let mut table = Table::new(&["service", spec.name.as_str()]);
    program(&mut table, spec);
    listener(&mut table, spec);
    life(&mut table, spec);
    walls(&mut table, spec);
    std::iter::once(table).chain(asleep(spec)).collect()
}

/// The command as it came out of splitting: the program, and its arguments.
fn program(table: &mut Table, spec: &ServiceSpec) {
    table.row_given("description", spec.description.clone());
    let mut argv = spec.argv.iter().map(ToString::to_string);
    table.row_given("command", argv.next());
    table.row("args", argv.collect::<Vec<_>>());
    table.row("workdir", spec.workdir.to_string());
    table.row("socket", spec.socket.to_string());
    table.row("env", spec.env.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    table.row("env_pass", spec.env_pass.iter().map(pattern).collect::<Vec<_>>());
}

fn listener(table: &mut Table, spec: &ServiceSpec) {
    table.row("listen", spec.listen.word());
    table.row("protocol", spec.protocol.word());
    if let Some(health) = &spec.health {
        table.row("health", health.path.as_str());
        table.row("health_interval", health.interval);
        table.row("health_timeout", health.timeout);
    }
    table.row("request_timeout", Value::SecondsOrNever(spec.request_timeout));
    table.row("max_concurrency", spec.concurrency.max);
    table.row("queue_limit", spec.concurrency.queue_limit);
    table.row("queue_timeout", spec.concurrency.queue_timeout);
}

fn life(table: &mut Table, spec: &ServiceSpec) {
    table.row("on_demand", spec.on_demand.word());
    table.row("startup_timeout", spec.startup_timeout);
    table.row("waking_page", spec.waking_page);
    table.row("idle_timeout", Value::SecondsOrNever(spec.idle_timeout));
    table.row("restart", spec.restart.word());
    table.row("stop_signal", spec.stop_signal.to_string());
    table.row("stop_timeout", spec.stop_timeout);
    table.row("max_instances", spec.max_instances);
    table.row("max_known", spec.max_known);
}

fn walls(table: &mut Table, spec: &ServiceSpec) {
    table.row("isolation", spec.isolation.word());
    table.row("network", spec.network.word());
    if let Network::Private { nameservers: Some(addresses) } = &spec.network {
        table.row("nameservers", addresses.iter().map(ToString::to_string).collect::<Vec<_>>());
    }
    table.row_given("user", spec.user.as_ref().map(user));
    table.row("bind", spec.bind.iter().map(bind).collect::<Vec<_>>());
    let limits = &spec.limits;
    table.row_given("memory_limit_mb", limits.memory_limit_mb);
    table.row_given("memory_swap_max_mb", limits.memory_swap_max_mb);
    table.row_given("cpu_shares", limits.cpu_shares);
    table.row_given("cpu_max_percent", limits.cpu_max_percent);
    table.row_given("io_weight", limits.io_weight);
    table.row("pids_limit", limits.pids_limit);
    table.row_given("storage_quota_mb", limits.storage_quota_mb);
    table.row("storage_persist", spec.storage_persist);
}

/// Only where something is answered at all.
fn asleep(spec: &ServiceSpec) -> Vec<Table> {
    let (name, asleep) = (spec.name.as_str(), &spec.asleep);
    if *asleep == Default::default() {
        return Vec::new();
    }
    let mut table = Table::new(&["service", name, "asleep"]);
    table.row("health", asleep.health.is_some());
    table.row_given("robots", asleep.robots.clone());
    table.row("favicon", asleep.favicon);
    if asleep.paths.is_empty() {
        return vec![table];
    }
    let mut paths = Table::new(&["service", name, "asleep", "paths"]);
    for (path, status) in &asleep.paths {
        paths.row(path, *status);
    }
    vec![table, paths]
}

fn pattern(pattern: &EnvPattern) -> String {
    match pattern {
        EnvPattern::Name(name) => name.clone(),
        EnvPattern::Prefix(prefix) => format!("{prefix}*"),
    }
}

fn user(user: &User) -> Value {
    match user {
        User::Inherit => "inherit".into(),
        User::Dynamic => "dynamic".into(),
        User::Uid(uid) => (*uid).into(),
        User::Name(name) => name.as_str().into(),
    }
}

fn bind(bind: &Bind) -> String {
    let ending = if bind.writable { "" } else { ":ro" };
    format!("{}{ending}", bind.path.display())
}
