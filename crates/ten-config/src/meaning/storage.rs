//! `storage_quota_mb`: what a limit of one instance's folders needs to mean anything.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use ten_domain::{Isolation, ServiceName, ServiceSpec, Template, Variable, Variables};

use super::Meaning;
use crate::{
    mistakes::Mistake,
    typed::{Section, Typed},
};

const KEY: &str = "storage_quota_mb";

/// Stands for the id of an instance: no path has it.
const ID: &str = "\u{1}";

/// Without walls an instance may do what ten may, and take its files out of every count.
pub(super) fn needs_walls(m: &mut Meaning<'_>, section: &Section, isolation: Isolation) {
    if isolation == Isolation::Process
        && let Some(place) = section.place(KEY)
    {
        m.mistakes.push(
            Mistake::at(place, format!("`{KEY}` needs walls"))
                .label("at isolation = \"process\", an instance can lift it")
                .help(format!("set isolation = \"namespace\", or remove `{KEY}`")),
        );
    }
}

/// What two instances write to cannot be counted for one of them.
pub(super) fn no_shared_folders(
    m: &mut Meaning<'_>,
    root: &Section,
    services: &BTreeMap<ServiceName, Arc<ServiceSpec>>,
) {
    for (typed, table) in root.named("service") {
        let Some((name, spec)) = services.get_key_value(typed.value.as_str()) else { continue };
        let Some(Typed::Table(section)) = table else { continue };
        let Some(place) = section.place(KEY) else { continue };
        let own: Vec<_> = folders(spec).collect();
        let others = services.values().filter(|other| other.name != *name);
        let overlap = |other: &&Arc<ServiceSpec>| {
            folders(other).any(|theirs| {
                own.iter().any(|own| own.starts_with(&theirs) || theirs.starts_with(own))
            })
        };
        if let Some(other) = others.into_iter().find(overlap) {
            let title = format!("`{name}` and `{}` share a folder", other.name);
            m.mistakes.push(
                Mistake::at(place, title)
                    .label("cannot be counted for one of them")
                    .help(format!("put {{name}} into the path in `env`, or remove `{KEY}`")),
            );
        }
    }
}

/// The folders below the data folder that variables name with the id of an instance.
fn folders(spec: &ServiceSpec) -> impl Iterator<Item = PathBuf> {
    spec.env.iter().filter_map(|(_, template)| folder(spec.name.as_str(), template))
}

fn folder(name: &str, template: &Template) -> Option<PathBuf> {
    let instance_dir = format!("/{name}/{ID}");
    let path = template.expand(&Variables {
        name,
        id: ID,
        data_dir: "",
        instance_dir: &instance_dir,
        socket: "",
        port: 1,
    });
    let path = Path::new(&path);
    if !template.mentions(Variable::Id) || !template.mentions(Variable::DataDir) {
        return None;
    }
    let parts: Vec<_> = path.components().collect();
    let depth = parts.iter().position(|part| part.as_os_str().to_string_lossy().contains(ID))?;
    let own: PathBuf = parts.into_iter().take(depth + 1).collect();
    (!own.starts_with(&instance_dir)).then_some(own)
}
