//! The config: the table of `ten config`, and everything that is in force.

use std::{fmt::Write, path::Path};

use ten_domain::{Config, Listen, OnDemand, RestartPolicy, ServiceSpec};

use super::{
    span,
    table::{self, Align, Cell},
    visible,
};

/// The services with their isolation.
pub(crate) fn services(config: &Config, width: Option<usize>) -> String {
    if config.services.is_empty() {
        return "the config has no [service.NAME] section\n".to_owned();
    }
    use Align::{Left, Right};
    let heading =
        [("SERVICE", Left), ("ISOLATION", Left), ("SLEEPS AFTER", Right), ("DESCRIPTION", Left)];
    let row = |spec: &ServiceSpec| {
        [
            Cell::new(&spec.name),
            Cell::new(spec.isolation.word()),
            Cell::new(idle(spec)),
            Cell::new(visible(spec.description.as_deref().unwrap_or_default())),
        ]
    };
    let rows: Vec<_> = config.services.values().map(|spec| row(spec)).collect();
    table::render(heading, &rows, width)
}

/// The services with their isolation, for programs.
pub(crate) fn services_json(config: &Config) -> serde_json::Value {
    let service = |spec: &ServiceSpec| {
        serde_json::json!({
            "service": spec.name.as_str(),
            "isolation": spec.isolation.word(),
            "idle_timeout_ms": spec.idle_timeout.map(|idle| idle.as_millis() as u64),
            "description": spec.description,
        })
    };
    let services: Vec<_> = config.services.values().map(|spec| service(spec)).collect();
    serde_json::json!({ "services": services })
}

/// Everything that is in force, defaults included. Of the environment only the names, since
/// values may be secret.
pub(crate) fn show(path: &Path, config: &Config) -> String {
    let mut text = format!("# {}\n\n[settings]\n", path.display());
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        writeln!(text, "{key:<22} {value}").expect("a String takes all");
    };
    line("data_dir", &config.settings.data_dir.display());
    if let Some(host) = &config.settings.admin_host {
        line("admin_host", host);
    }
    for spec in config.services.values() {
        text += &service(spec);
    }
    if !config.instances.is_empty() {
        text += "\n[instances]\n";
        for name in &config.instances {
            text += &format!("{name}\n");
        }
    }
    text += &routing(config);
    text
}

fn service(spec: &ServiceSpec) -> String {
    let mut text = format!("\n[service.{}]\n", spec.name);
    let health = spec.health.as_ref();
    let names = spec.env.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ");
    let rows = [
        ("isolation", Some(spec.isolation.word().to_owned())),
        ("listen", Some(listen(spec.listen).to_owned())),
        ("health", health.map(|check| check.path.clone())),
        ("health_interval", health.map(|check| millis(check.interval))),
        ("health_timeout", health.map(|check| millis(check.timeout))),
        ("startup_timeout", Some(millis(spec.startup_timeout))),
        ("idle_timeout", Some(idle(spec))),
        ("request_timeout", Some(spec.request_timeout.map_or_else(never, millis))),
        ("stop_timeout", Some(millis(spec.stop_timeout))),
        ("restart", Some(restart(spec.restart).to_owned())),
        ("on_demand", Some(on_demand(spec.on_demand).to_owned())),
        ("max_instances", Some(spec.max_instances.to_string())),
        ("max_known", Some(spec.max_known.to_string())),
        ("env", (!names.is_empty()).then_some(names)),
    ];
    for (key, value) in rows {
        if let Some(value) = value {
            text += &format!("{key:<22} {}\n", visible(&value));
        }
    }
    text
}

fn routing(config: &Config) -> String {
    let routing = &config.routing;
    let hosts = routing.subdomain.iter().map(|(label, to)| (format!("{label}.DOMAIN"), to));
    let paths = routing.path.iter().map(|(path, to)| (format!("DOMAIN{path}"), to));
    let default = routing.default.iter().map(|to| ("DOMAIN".to_owned(), to));
    let lines: String =
        hosts.chain(paths).chain(default).map(|(from, to)| format!("{from:<22} {to}\n")).collect();
    if lines.is_empty() { lines } else { format!("\n[routing]\n{lines}") }
}

fn idle(spec: &ServiceSpec) -> String {
    spec.idle_timeout.map_or_else(never, millis)
}

fn never() -> String {
    "never".to_owned()
}

fn millis(duration: std::time::Duration) -> String {
    span(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn listen(listen: Listen) -> &'static str {
    match listen {
        Listen::Auto => "auto",
        Listen::Port => "port",
        Listen::Socket => "socket",
        Listen::Activation => "activation",
        Listen::None => "none",
    }
}

fn restart(policy: RestartPolicy) -> &'static str {
    match policy {
        RestartPolicy::Always => "always",
        RestartPolicy::OnFailure => "on-failure",
        RestartPolicy::Never => "never",
    }
}

fn on_demand(policy: OnDemand) -> &'static str {
    match policy {
        OnDemand::Any => "any",
        OnDemand::Known => "known",
        OnDemand::Off => "off",
    }
}
