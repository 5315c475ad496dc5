//! The environment of one instance, built from nothing.

use std::{collections::BTreeMap, ffi::OsString};

use ten_domain::{InstanceName, ServiceSpec};

use crate::{Ground, PlanError, person::Person, places::Places};

/// Variables of ten's own environment that every instance gets. Besides these, `LC_*`.
const PASSED: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR"];

/// The PATH of an instance where ten itself has none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// ten's own environment, as text. A variable that is not UTF-8 cannot be named in a config
/// and is not part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostEnvironment(BTreeMap<String, String>);

impl HostEnvironment {
    /// Takes what is text from a process's environment.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(variables.into_iter().filter_map(text).collect())
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

pub(crate) fn build(
    ground: &Ground,
    spec: &ServiceSpec,
    name: &InstanceName,
    places: &Places,
    person: &Person,
    extra: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, PlanError> {
    let passes = |name: &str| {
        PASSED.contains(&name)
            || name.starts_with("LC_")
            || spec.env_pass.iter().any(|pattern| pattern.matches(name))
    };
    let mut env: BTreeMap<String, String> = ground
        .environment
        .0
        .iter()
        .filter(|(name, _)| passes(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    env.entry("PATH".into()).or_insert_with(|| DEFAULT_PATH.into());
    for (name, value) in [("HOME", &person.home), ("USER", &person.name)] {
        match value.as_deref() {
            None => {}
            // Nobody is better than somebody else.
            Some("") => drop(env.remove(name)),
            Some(value) => drop(env.insert(name.into(), value.into())),
        }
    }
    for (name, value) in [
        ("PORT", places.port().to_string()),
        ("SOCKET_PATH", places.socket.display().to_string()),
        ("DATA_DIR", places.instance_dir().into()),
        ("TENEMENT_INSTANCE", name.to_string()),
    ] {
        env.insert(name.into(), value);
    }
    for (name, template) in &spec.env {
        env.insert(name.clone(), places.expand(template));
    }
    for (name, value) in extra {
        env.insert(name.clone(), value.clone());
    }
    env.iter().try_for_each(|(name, value)| check(name, value))?;
    Ok(env)
}

fn check(name: &str, value: &str) -> Result<(), PlanError> {
    let why = if name.is_empty() {
        "it has no name"
    } else if name.contains(['=', '\0']) {
        "its name contains '=' or NUL"
    } else if value.contains('\0') {
        "its value contains NUL"
    } else {
        return Ok(());
    };
    Err(PlanError::Variable { name: name.into(), why })
}
