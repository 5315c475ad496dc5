//! What of a service its requests meet: the health check, how many have their turn at a time,
//! and that a worker has none.

use std::time::Duration;

use ten_domain::{Concurrency, HealthCheck};

use super::Meaning;
use crate::{mistakes::Mistake, typed::Section};

pub(super) fn health(
    m: &mut Meaning<'_>,
    section: &Section,
    interval: Duration,
) -> Option<HealthCheck> {
    if section.place("health").is_none() {
        for key in ["health_interval", "health_timeout"] {
            let Some(at) = section.place(key) else { continue };
            m.mistakes.push(
                Mistake::at(at, format!("`{key}` has no effect without `health`"))
                    .help("add health = \"/health\", the path to ask for, or remove it"),
            );
        }
    }
    let text = section.text("health")?;
    let why = if !text.value.starts_with('/') {
        "does not start with `/`"
    } else if !text.value.bytes().all(|byte| byte.is_ascii_graphic()) {
        "has a space or another character that must be percent-encoded"
    } else if text.value.contains('#') {
        "has a `#`, which is never sent to a server"
    } else {
        return Some(HealthCheck {
            path: text.value.clone(),
            interval: section.seconds_given("health_interval").unwrap_or(interval),
            timeout: section.seconds("health_timeout"),
        });
    };
    m.mistakes.push(
        Mistake::at(text.span.clone(), "`health` is not a path")
            .label(why)
            .help("write the path alone: health = \"/health\""),
    );
    None
}

pub(super) fn concurrency(section: &Section) -> Concurrency {
    Concurrency {
        max: section.number("max_concurrency"),
        queue_limit: section.number("queue_limit"),
        queue_timeout: section.seconds("queue_timeout"),
    }
}

/// What a service without a listener cannot have. The spelt-out default does no harm.
pub(super) fn none_for_a_worker(m: &mut Meaning<'_>, section: &Section) {
    const NO_REQUESTS: &str = "a worker has no requests";
    let worker = section.place("listen").expect("listening nowhere is not the default");
    let keys = [
        ("health", "nothing could be asked", true),
        ("idle_timeout", "a worker is never idle", !section.seconds("idle_timeout").is_zero()),
        ("protocol", "nobody speaks to a worker", section.word("protocol") != "http1"),
        ("max_concurrency", NO_REQUESTS, true),
        ("queue_limit", NO_REQUESTS, true),
        ("queue_timeout", NO_REQUESTS, true),
        ("waking_page", "no browser waits for a worker", section.boolean("waking_page")),
        ("asleep", "nobody asks a worker", true),
    ];
    for (key, why, harms) in keys {
        let Some(at) = section.place(key).filter(|_| harms) else { continue };
        m.mistakes.push(
            Mistake::at(at, format!("`{key}` needs a listener"))
                .label(why)
                .also(worker.clone(), "this service has none")
                .help(format!("remove `{key}`, or let the service listen")),
        );
    }
}
