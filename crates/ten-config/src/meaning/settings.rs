//! `[settings]`.

use std::time::Duration;

use ten_domain::{Backoff, CrashLimit, Host, Settings};

use super::{Meaning, proxy, tls};
use crate::{
    keys,
    mistakes::Mistake,
    typed::{Section, Text},
};

/// The settings, and the one of them that is a default of every service.
pub(super) struct Read {
    pub(super) meaning: Option<Settings>,
    pub(super) health_check_interval: Duration,
}

pub(super) fn settings(m: &mut Meaning<'_>, given: Option<&Section>) -> Read {
    let absent = Section::new(keys::SETTINGS);
    let section = given.unwrap_or(&absent);
    let data_dir = match section.text("data_dir") {
        Some(text) => m.path("data_dir", text),
        None => Some(section.default_text("data_dir").into()),
    };
    let admin_host = section.text("admin_host").and_then(|text| admin_host(m, text));
    let backoff = backoff(m, section);
    let proxy = proxy::proxy(m, section);
    let tls = section.table("tls").and_then(|table| tls::tls(m, table));
    let crash_limit = CrashLimit {
        max_restarts: section.number("max_restarts"),
        window: section.seconds("restart_window"),
    };
    Read {
        meaning: data_dir.map(|data_dir| Settings {
            data_dir,
            admin_host,
            backoff,
            crash_limit,
            trash_retention: section.seconds("trash_retention"),
            proxy,
            tls,
        }),
        health_check_interval: section.seconds("health_check_interval"),
    }
}

fn backoff(m: &mut Meaning<'_>, section: &Section) -> Backoff {
    let base = section.integer("backoff_base_ms");
    let max = section.integer("backoff_max_ms");
    if base > max {
        let place = |key| section.place(key);
        let (base_at, max_at) = (place("backoff_base_ms"), place("backoff_max_ms"));
        let title = format!("backoff_base_ms ({base}) is longer than backoff_max_ms ({max})");
        if let Some(at) = base_at.clone().or(max_at.clone()) {
            let mistake = Mistake::at(at, title)
                .help("the first delay is the shortest: raise backoff_max_ms");
            m.mistakes.push(match max_at.filter(|_| base_at.is_some()) {
                Some(max_at) => mistake.also(max_at, "the longest delay"),
                None => mistake,
            });
        }
    }
    Backoff { base: Duration::from_millis(base), max: Duration::from_millis(max) }
}

fn admin_host(m: &mut Meaning<'_>, text: &Text) -> Option<String> {
    let why = match Host::parse(&text.value) {
        _ if text.value.contains('/') => "it is a URL or has a path".into(),
        Ok(Host::Name(name)) if !text.value.contains(':') => return Some(name),
        Ok(Host::Name(_)) => "it has a port, and hosts are matched without".into(),
        Ok(Host::Ip(_)) => "it is an address, and must be a name".into(),
        Err(error) => error.to_string(),
    };
    m.mistakes.push(
        Mistake::at(text.span.clone(), "`admin_host` is not a host name")
            .label(why)
            .help("write a name alone: admin_host = \"ten.example.com\""),
    );
    None
}
