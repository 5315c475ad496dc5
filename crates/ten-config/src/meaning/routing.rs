//! `[routing]` and `[instances]`: everything that refers to a service.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::Range,
};

use ten_domain::{InstanceName, Listen, Routing, ServiceName};

use super::{Declared, Meaning};
use crate::{
    mistakes::Mistake,
    typed::{Section, Text, Typed},
};

pub(super) fn instances(
    m: &mut Meaning<'_>,
    root: &Section,
    declared: &Declared,
) -> Vec<InstanceName> {
    let mut instances = Vec::new();
    for (service, ids) in root.named("instances") {
        let service = m.service_named(service, declared);
        let Some(Typed::Texts(ids)) = ids else { continue };
        let mut places = BTreeMap::<&str, &Range<usize>>::new();
        for id in ids {
            if let Some(first) = places.insert(&id.value, &id.span) {
                m.mistakes.push(
                    Mistake::at(id.span.clone(), format!("the id {:?} is listed twice", id.value))
                        .label("again")
                        .also(first.clone(), "listed here")
                        .help("an instance is spawned once; remove one"),
                );
            }
            let id = m.name(id, "id");
            let service = service.as_ref().map(|(name, _)| name.clone());
            instances.extend(service.zip(id).map(|(name, id)| InstanceName::new(name, id)));
        }
    }
    instances
}

pub(super) fn routing(
    m: &mut Meaning<'_>,
    section: Option<&Section>,
    declared: &Declared,
) -> Routing {
    let Some(section) = section else { return Routing::default() };
    Routing {
        default: section.text("default").and_then(|text| target(m, text, declared)),
        subdomain: table(m, section.named("subdomain"), declared, |m, name| {
            subdomain(m, name, declared)
        }),
        path: table(m, section.named("path"), declared, path),
    }
}

/// The service that requests are led to. A worker is none.
fn target(m: &mut Meaning<'_>, text: &Text, declared: &Declared) -> Option<ServiceName> {
    let (name, listen) = m.service_named(text, declared)?;
    if listen == Listen::None {
        m.mistakes.push(
            Mistake::at(text.span.clone(), format!("`{name}` cannot answer requests"))
                .label("it has listen = \"none\"")
                .help("lead this to a service that listens"),
        );
    }
    Some(name)
}

/// A table of places, each of which leads to a service; `normal` brings a place into the one
/// spelling that is compared.
fn table<'m, 'a>(
    m: &mut Meaning<'m>,
    entries: &'a [(Text, Option<Typed>)],
    declared: &Declared,
    normal: impl Fn(&mut Meaning<'m>, &Text) -> Option<String>,
) -> BTreeMap<String, ServiceName> {
    let mut places = BTreeMap::<String, &'a Text>::new();
    let mut routes = BTreeMap::new();
    for (from, to) in entries {
        let place = normal(m, from);
        let to = match to {
            Some(Typed::Text(text)) => target(m, text, declared),
            _ => None,
        };
        let Some(place) = place else { continue };
        match places.entry(place.clone()) {
            Entry::Vacant(free) => _ = free.insert(from),
            Entry::Occupied(taken) => {
                let first = taken.get();
                let title = format!("{:?} and {:?} are the same", first.value, from.value);
                m.mistakes.push(
                    Mistake::at(from.span.clone(), title)
                        .label("again")
                        .also(first.span.clone(), "given here")
                        .help("keep one of them"),
                );
            }
        }
        routes.extend(to.map(|to| (place, to)));
    }
    routes
}

fn subdomain(m: &mut Meaning<'_>, text: &Text, declared: &Declared) -> Option<String> {
    let lower = Text { value: text.value.to_ascii_lowercase(), span: text.span.clone() };
    if let Some((one, _)) = lower.value.split_once('.') {
        m.mistakes.push(
            Mistake::at(text.span.clone(), format!("the subdomain {:?} has a dot", text.value))
                .label("more than one label")
                .help(format!("write what stands before {{domain}} alone, such as {one:?}")),
        );
        return None;
    }
    let name: ServiceName = m.name(&lower, "subdomain")?;
    if declared.contains_key(name.as_str()) {
        m.mistakes.push(
            Mistake::at(text.span.clone(), format!("the subdomain `{name}` is a service's own"))
                .label(format!("{name}.{{domain}} leads to the service `{name}`"))
                .help("choose another subdomain, or remove this line"),
        );
    }
    Some(lower.value)
}

/// A path prefix without its trailing slash.
fn path(m: &mut Meaning<'_>, text: &Text) -> Option<String> {
    let typed = text.value.as_str();
    let bare = typed.trim_end_matches('/');
    let why = if !typed.starts_with('/') {
        "does not start with `/`"
    } else if typed.contains("//") {
        "has an empty segment"
    } else if bare.split('/').any(|segment| matches!(segment, "." | "..")) {
        "has a `.` or `..` segment, which no request has"
    } else if typed.contains(['*', '?', '#']) {
        "is no plain prefix"
    } else if !typed.bytes().all(|byte| byte.is_ascii_graphic()) {
        "has a space or another character that must be percent-encoded"
    } else {
        return Some(if bare.is_empty() { "/".into() } else { bare.into() });
    };
    m.mistakes.push(
        Mistake::at(text.span.clone(), format!("{typed:?} is not a path prefix"))
            .label(why)
            .help("write a path such as \"/api\"; it covers /api and everything below it"),
    );
    None
}
