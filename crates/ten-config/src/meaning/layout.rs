//! The folders that variables name: whose they are must not depend on which ids there are. The
//! rule is [`ten_domain::Layout`]'s; here are its words for who writes the config.

use std::{collections::BTreeMap, ops::Range, path::Path, sync::Arc};

use ten_domain::{Layout, LayoutFault, Named, Overlap, ServiceName, ServiceSpec};

use super::Meaning;
use crate::{
    mistakes::Mistake,
    typed::{Section, Typed},
};

const OWN_FOLDER: &str = "begin it with {instance_dir}, which is each instance's own";

/// Adds what is wrong with the folders of these services below this data folder.
pub(super) fn check(
    m: &mut Meaning<'_>,
    root: &Section,
    services: &BTreeMap<ServiceName, Arc<ServiceSpec>>,
    data_dir: &Path,
) {
    let errors = Layout::of(services.values().map(AsRef::as_ref), &[data_dir]).err();
    for error in errors.into_iter().flatten() {
        let Some(at) = place(root, &error.named) else { continue };
        let mistake = Mistake::at(at, title(&error.named, &error.fault));
        m.mistakes.push(match error.fault {
            LayoutFault::Meets { other, overlap } => {
                let folder = &error.named.folder;
                let mistake = mistake.label(format!("names {folder}")).help(help(folder, &overlap));
                match place(root, &other) {
                    Some(at) => mistake.also(at, format!("names {}", other.folder)),
                    None => mistake,
                }
            }
            LayoutFault::Climbs
            | LayoutFault::Twice
            | LayoutFault::Changes
            | LayoutFault::Ours(_) => mistake.help(OWN_FOLDER),
            LayoutFault::File => mistake.help(
                "put it into a folder, such as {data_dir}/{id}/app.db or {instance_dir}/app.db",
            ),
        });
    }
}

fn title(named: &Named, fault: &LayoutFault) -> String {
    let what = format!("`{}`", named.variable.as_deref().unwrap_or("{instance_dir}"));
    match fault {
        LayoutFault::Climbs => format!("{what} climbs with `..` before {{id}}"),
        LayoutFault::Twice => format!("{what} has {{id}} in one name twice"),
        LayoutFault::File => format!("{what} names a file where others have a folder"),
        LayoutFault::Changes => format!("{what} names another folder at each start, by the port"),
        LayoutFault::Ours(name) => {
            format!("{what} would be where tenement keeps its own `{name}`")
        }
        LayoutFault::Meets { other, overlap: Overlap::Same } => {
            format!("`{}` and `{}` would share folders", other.service, named.service)
        }
        LayoutFault::Meets { overlap: Overlap::Holds(instance), .. } => {
            format!("the folder of `{instance}` would hold those of other instances")
        }
        LayoutFault::Meets { overlap: Overlap::Alike, .. } => {
            "some instances would share a folder".into()
        }
    }
}

fn help(folder: &str, overlap: &Overlap) -> String {
    match overlap {
        Overlap::Holds(instance) => format!(
            "{OWN_FOLDER}, or rename `{id}` to what no id can be, such as `_{id}`",
            id = instance.id
        ),
        Overlap::Same => OWN_FOLDER.into(),
        Overlap::Alike => {
            let bare = folder.replace("-{id}", "_{id}").replace("{id}-", "{id}_");
            match bare == folder {
                true => OWN_FOLDER.into(),
                false => format!("{OWN_FOLDER}, or write `_`, which no id has: {bare}"),
            }
        }
    }
}

/// Where something is named.
fn place(root: &Section, named: &Named) -> Option<Range<usize>> {
    let mut services = root.named("service").iter();
    let (name, table) = services.find(|(name, _)| name.value == named.service.as_str())?;
    let Some(variable) = &named.variable else { return Some(name.span.clone()) };
    let Some(Typed::Table(section)) = table else { return None };
    let mut variables = section.named("env").iter();
    match variables.find(|(name, _)| name.value == *variable)? {
        (_, Some(Typed::Text(text))) => Some(text.span.clone()),
        (name, _) => Some(name.span.clone()),
    }
}
