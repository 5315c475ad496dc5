//! The config: the table of `ten config`, and everything that is in force.

mod service;
mod settings;
mod show;

use std::time::Duration;

use ten_domain::{Config, ServiceSpec};

pub(crate) use show::{show, show_json};

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

fn idle(spec: &ServiceSpec) -> String {
    let millis = |idle: Duration| span(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX));
    spec.idle_timeout.map_or_else(|| "never".to_owned(), millis)
}

#[cfg(test)]
mod tests;
