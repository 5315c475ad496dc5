//! `user`, `bind`, `network` and `nameservers`: what of the host an instance is, and what of it it sees.

use std::{
    net::Ipv4Addr,
    path::{Component, Path, PathBuf},
};

use ten_domain::{Bind, Isolation, Network, User, Variable};

use super::{Meaning, words};
use crate::{
    mistakes::Mistake,
    typed::{Section, Text},
};

/// Places whose content each instance gets anew; the host's would break its walls.
const NEVER: [&str; 2] = ["/proc", "/sys"];

/// Who it runs as; `None`: what the level and ten's own user make the default.
pub(super) fn user(m: &mut Meaning<'_>, section: &Section, isolation: Isolation) -> Option<User> {
    let text = section.text("user")?;
    let user = match text.value.as_str() {
        "inherit" => return Some(User::Inherit),
        "dynamic" => User::Dynamic,
        other => other.parse().map_or_else(|_| User::Name(other.into()), User::Uid),
    };
    if let User::Uid(uid) = user
        && User::OF_TEN.contains(&uid)
    {
        m.mistakes.push(
            Mistake::at(text.span.clone(), format!("{uid} is not a user of its own"))
                .label("ten gives these to instances: some other one has it, or will")
                .help("\"dynamic\" is a user for each instance; or name one of this host"),
        );
    }
    // Without walls it would have to pass through ten's own folders to reach its own.
    if isolation == Isolation::Process {
        m.mistakes.push(
            Mistake::at(text.span.clone(), "`user` needs walls")
                .label("at isolation = \"process\", only \"inherit\", ten's own user")
                .help("set isolation = \"namespace\", or remove `user`"),
        );
    }
    Some(user)
}

pub(super) fn network(m: &mut Meaning<'_>, section: &Section, isolation: Isolation) -> Network {
    let mut network = words::network(section.word("network"));
    let asked = nameservers(m, section);
    match &mut network {
        Network::Private { nameservers } => *nameservers = asked,
        Network::Host | Network::None => {
            if let Some(place) = section.place("nameservers") {
                m.mistakes.push(
                    Mistake::at(place, "`nameservers` needs a private network")
                        .label(format!("with network = {:?} it has no effect", network.word()))
                        .help("set network = \"private\", or remove `nameservers`"),
                );
            }
        }
    }
    if isolation == Isolation::Process
        && network != Network::Host
        && let Some(place) = section.place("network")
    {
        m.mistakes.push(
            Mistake::at(place, "`network` needs walls")
                .label("at isolation = \"process\", only \"host\"")
                .help("set isolation = \"namespace\", or remove `network`"),
        );
    }
    network
}

fn nameservers(m: &mut Meaning<'_>, section: &Section) -> Option<Vec<Ipv4Addr>> {
    let texts = section.texts("nameservers")?;
    let address = |text: &Text| {
        let parsed = text.value.parse();
        if parsed.is_err() {
            m.mistakes.push(
                Mistake::at(text.span.clone(), format!("{:?} is no IPv4 address", text.value))
                    .label("private networks have no IPv6")
                    .help("write addresses: nameservers = [\"9.9.9.9\"]"),
            );
        }
        parsed.ok()
    };
    Some(texts.iter().filter_map(address).collect())
}

pub(super) fn bind(m: &mut Meaning<'_>, section: &Section, isolation: Isolation) -> Vec<Bind> {
    let texts = section.texts("bind").unwrap_or_default();
    if isolation == Isolation::Process
        && let Some(first) = texts.first()
    {
        m.mistakes.push(
            Mistake::at(first.span.clone(), "`bind` has no effect at isolation = \"process\"")
                .label("everything is visible there")
                .help("set isolation = \"namespace\", or remove `bind`"),
        );
    }
    texts.iter().filter_map(|text| one(m, text)).collect()
}

/// `PATH` or `PATH:ro`; `~` is the home of whoever runs ten.
fn one(m: &mut Meaning<'_>, text: &Text) -> Option<Bind> {
    let (typed, writable) = match text.value.strip_suffix(":ro") {
        Some(path) => (path, false),
        None => (text.value.strip_suffix(":rw").unwrap_or(&text.value), true),
    };
    let home = (typed == "~" || typed.starts_with("~/")).then(|| (m.lookup)("HOME"));
    let path = match home {
        Some(None) => return refuse(m, text, "ten has no HOME, so `~` stands for nothing"),
        Some(Some(home)) => Path::new(&home).join(typed[1..].trim_start_matches('/')),
        None => {
            let part = Text { value: typed.into(), span: text.span.clone() };
            let expanded = m.template("bind", &part, &[] as &[Variable])?;
            if typed.is_empty() {
                return refuse(m, text, "it names no path");
            }
            m.source.folder().join(expanded.expand(&super::NOTHING))
        }
    };
    let path = normal(&path);
    if path == Path::new("/") {
        return refuse(m, text, "the whole host cannot be shown");
    }
    if let Some(never) = NEVER.iter().find(|never| path.starts_with(never)) {
        return refuse(m, text, &format!("each instance has a {never} of its own"));
    }
    Some(Bind { path, writable })
}

fn refuse<T>(m: &mut Meaning<'_>, text: &Text, why: &str) -> Option<T> {
    m.mistakes.push(
        Mistake::at(text.span.clone(), format!("`bind` cannot show {:?}", text.value))
            .label(why)
            .help("name a file or folder of the host, with :ro to keep it from being changed"),
    );
    None
}

/// Without `.` and, as far as the text tells, without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}
