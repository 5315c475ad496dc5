//! `[service.NAME.asleep]`: answers that need no process, so that each is whole by itself and
//! none hides another.

use std::collections::BTreeMap;

use ten_domain::Asleep;

use super::Meaning;
use crate::{
    keys,
    mistakes::Mistake,
    typed::{Section, Text, Typed},
};

pub(super) fn asleep(m: &mut Meaning<'_>, service: &Section) -> Asleep {
    let absent = Section::new(keys::ASLEEP);
    let section = service.table("asleep").unwrap_or(&absent);
    let asleep = Asleep {
        health: health(m, service, section),
        robots: section.text("robots").and_then(|text| robots(m, text)),
        favicon: section.boolean("favicon"),
        paths: paths(m, section.named("paths")),
    };
    no_path_twice(m, section, &asleep);
    asleep
}

/// The path of the health check. Requests are told apart by their path alone.
fn health(m: &mut Meaning<'_>, service: &Section, section: &Section) -> Option<String> {
    if !section.boolean("health") {
        return None;
    }
    if service.place("health").is_none() {
        let at = section.place("health").expect("it is not the default");
        m.mistakes.push(
            Mistake::at(at, "`asleep.health` has no effect without the service's `health`")
                .label("there is no path to answer")
                .help("add health = \"/health\" to the service, or remove this"),
        );
    }
    let path = &service.text("health")?.value;
    Some(path.split('?').next().unwrap_or(path).to_owned())
}

/// Lines of `field: value` (RFC 9309, section 2.2): what has none is a file name or a misread.
fn robots(m: &mut Meaning<'_>, text: &Text) -> Option<String> {
    let means_something = |line: &str| line.trim_start().starts_with('#') || line.contains(':');
    let lines = || text.value.lines().filter(|line| !line.trim().is_empty());
    if lines().all(means_something) {
        return Some(text.value.clone());
    }
    m.mistakes.push(
        Mistake::at(text.span.clone(), "`robots` is not the text of a robots.txt")
            .label("has a line without `:`")
            .help("write the text itself: robots = \"User-agent: *\\nDisallow: /\\n\""),
    );
    None
}

fn paths(m: &mut Meaning<'_>, entries: &[(Text, Option<Typed>)]) -> BTreeMap<String, u16> {
    let entries = entries.iter().filter_map(|(path, status)| {
        let is_path = is_path(m, path);
        let Some(Typed::Integer(status)) = status else { return None };
        let status = u16::try_from(*status).ok().filter(|status| stands_alone(m, path, *status))?;
        is_path.then(|| (path.value.clone(), status))
    });
    entries.collect()
}

fn is_path(m: &mut Meaning<'_>, text: &Text) -> bool {
    let why = if !text.value.starts_with('/') {
        "does not start with `/`"
    } else if text.value.contains(['?', '#']) {
        "has a query or a fragment, and only the path is compared"
    } else if !text.value.bytes().all(|byte| byte.is_ascii_graphic()) {
        "has a space or another character that must be percent-encoded"
    } else {
        return true;
    };
    m.mistakes.push(
        Mistake::at(text.span.clone(), format!("{:?} is not a path", text.value))
            .label(why)
            .help("write the whole path of the request, such as \"/status\""),
    );
    false
}

/// Whether a status says all there is to say. Others need a header or a request of a special
/// kind (RFC 9110, section 15).
fn stands_alone(m: &mut Meaning<'_>, path: &Text, status: u16) -> bool {
    let why = match status {
        206 => "206 answers a request for a range",
        304 => "304 answers a question about a copy",
        300..=399 => "a redirect needs a place to lead to",
        401 | 407 => "it needs a header that says how to log in",
        405 => "405 needs a header that says what is allowed",
        426 => "426 needs a header that says what to upgrade to",
        _ => return true,
    };
    m.mistakes.push(
        Mistake::at(
            path.span.clone(),
            format!("{:?} cannot be answered with {status}", path.value),
        )
        .label(why)
        .help("use a status that stands alone, such as 200, 204, 404 or 503"),
    );
    false
}

/// A path of `paths` that another key answers as well would silence that key.
fn no_path_twice(m: &mut Meaning<'_>, section: &Section, asleep: &Asleep) {
    let others = [
        ("health", asleep.health.as_deref()),
        ("robots", asleep.robots.as_ref().map(|_| "/robots.txt")),
        ("favicon", asleep.favicon.then_some("/favicon.ico")),
    ];
    for (path, _) in section.named("paths") {
        let same = others.iter().filter(|(_, other)| *other == Some(path.value.as_str()));
        for (key, _) in same {
            let also = section.place(key).expect("it is not the default");
            m.mistakes.push(
                Mistake::at(path.span.clone(), format!("{:?} is answered twice", path.value))
                    .label("again")
                    .also(also, "answered here")
                    .help("keep one of them"),
            );
        }
    }
}
