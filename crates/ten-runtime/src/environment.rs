//! The environment of one instance, built from nothing.

use std::{collections::BTreeMap, ffi::OsString, io};

use ten_domain::{InstanceName, ServiceSpec, User};
use ten_kernel::HostUser;

use crate::{Ground, PlanError, person::Person, places::Places};

/// Variables of ten's own environment that every instance gets. Besides these, `LC_*`.
const PASSED: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR"];

/// The PATH of an instance where ten itself has none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// ten's own environment, as text, and users of its host. A variable that is not UTF-8 cannot be named
/// in a config and is not part of it.
#[derive(Debug, Clone, Default)]
pub struct HostEnvironment {
    variables: BTreeMap<String, String>,
    pub(crate) users: Vec<(User, HostUser)>,
}

impl HostEnvironment {
    /// Takes what is text from a process's environment.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let variables = variables.into_iter().filter_map(text).collect();
        Self { variables, users: Vec::new() }
    }

    /// Looks up the users that services name. That may take as long as whoever keeps them likes
    /// (nsswitch.conf(5)), so it is for the start of a server and not for that of an instance. Who is
    /// not found is looked for again each time.
    pub fn knowing_users_of<'a>(
        mut self,
        services: impl IntoIterator<Item = &'a ServiceSpec>,
    ) -> Self {
        for spec in services {
            if let Some(user) = &spec.user
                && let Ok(Some(found)) = self.user(user)
            {
                self.users.push((user.clone(), found));
            }
        }
        self
    }

    /// The user of the host that is meant, if there is one.
    pub(crate) fn user(&self, user: &User) -> io::Result<Option<HostUser>> {
        if let Some((_, known)) = self.users.iter().find(|(known, _)| known == user) {
            return Ok(Some(known.clone()));
        }
        Ok(match user {
            User::Inherit | User::Dynamic => None,
            User::Uid(uid) => HostUser::with_uid(*uid)?,
            User::Name(name) => HostUser::named(name)?,
        })
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
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
        .variables
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
