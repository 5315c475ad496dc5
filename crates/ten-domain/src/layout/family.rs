//! A folder for every id: names above, and a last one with the id in it.

use std::path::{Component, Path, PathBuf};

use super::{LayoutError, LayoutFault, Named, Overlap, is_ours};
use crate::{InstanceId, InstanceName, ServiceName, ServiceSpec, Template, Variable, Variables};

/// Stands for the id. No path has it, so it marks the id's place without a doubt.
const MARK: char = '\0';
/// Two ports, for templates that change with the port.
const PORTS: [u16; 2] = [1, 2];

/// Folders that are called the same but for the id.
#[derive(Debug, Clone)]
pub(super) struct Family {
    service: ServiceName,
    variable: Option<String>,
    shape: Shape,
}

/// How the folders are called, below the data folder: `above/…/{before}{id}{after}`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shape {
    above: Vec<String>,
    before: String,
    after: String,
}

/// Whether both are the same folders of the same instances, whatever names them.
impl PartialEq for Family {
    fn eq(&self, other: &Self) -> bool {
        self.service == other.service && self.shape == other.shape
    }
}

impl Eq for Family {}

impl Family {
    /// Each instance's `{instance_dir}`.
    pub(super) fn instance_dir(service: &ServiceName) -> Self {
        let above = vec![service.to_string()];
        let shape = Shape { above, before: String::new(), after: String::new() };
        Self { service: service.clone(), variable: None, shape }
    }

    /// What a variable names below the data folder with `{id}`, up to and including the name in
    /// which the id stands first: `{data_dir}/{id}/app.db` names `{data_dir}/{id}`.
    pub(super) fn named(
        spec: &ServiceSpec,
        variable: &str,
        template: &Template,
        data_dir: &[&Path],
    ) -> Result<Option<Self>, LayoutError> {
        if !template.mentions(Variable::Id) {
            return Ok(None);
        }
        let fault = |fault| {
            let folder = template.to_string();
            let (service, variable) = (spec.name.clone(), Some(variable.into()));
            Err(LayoutError { named: Named { service, variable, folder }, fault })
        };
        let path = |port| PathBuf::from(marked(spec, template, data_dir[0], port));
        let path = PORTS.map(path);
        let below = |path: &Path| {
            let below = data_dir.iter().find_map(|top| path.strip_prefix(top).ok())?;
            let parts = below.components().map(|part| match part {
                Component::Normal(part) => Some(part.to_string_lossy().into_owned()),
                _ => None,
            });
            Some(parts.collect::<Option<Vec<_>>>())
        };
        let parts = match below(&path[0]) {
            None => return Ok(None),
            Some(None) => return fault(LayoutFault::Climbs),
            Some(Some(parts)) => parts,
        };
        let Some(depth) = parts.iter().position(|part| part.contains(MARK)) else {
            return Ok(None);
        };
        if below(&path[1]).flatten().is_none_or(|other| other[..=depth] != parts[..=depth]) {
            return fault(LayoutFault::Changes);
        }
        let (before, after) = parts[depth].split_once(MARK).unwrap_or_default();
        if after.contains(MARK) {
            return fault(LayoutFault::Twice);
        }
        let is_last = depth + 1 == parts.len();
        if is_last && Path::new(&format!("{before}id{after}")).extension().is_some() {
            return fault(LayoutFault::File);
        }
        let (before, after) = (before.into(), after.into());
        let shape = Shape { above: parts[..depth].to_vec(), before, after };
        Self { service: spec.name.clone(), variable: Some(variable.into()), shape }
            .sound()
            .map(Some)
    }

    /// Itself, unless its folders lie where ten keeps its own, whatever the id.
    fn sound(self) -> Result<Self, LayoutError> {
        let first = self.shape.above.first().unwrap_or(&self.shape.before);
        if is_ours(first) {
            let fault = LayoutFault::Ours(first.clone());
            return Err(LayoutError { named: self.as_named(), fault });
        }
        Ok(self)
    }

    pub(super) fn service(&self) -> &ServiceName {
        &self.service
    }

    pub(super) fn variable(&self) -> Option<&str> {
        self.variable.as_deref()
    }

    /// The names above the one that has the id in it.
    pub(super) fn above(&self) -> &[String] {
        &self.shape.above
    }

    /// One of the folders, name by name.
    pub(super) fn folder(&self, id: &str) -> Vec<String> {
        let Shape { above, before, after } = &self.shape;
        above.iter().cloned().chain([format!("{before}{id}{after}")]).collect()
    }

    /// Whether a path, name by name, holds, is, or lies in one of the folders.
    pub(super) fn touches(&self, path: &[String]) -> bool {
        match path.strip_prefix(self.above()) {
            None => self.above().starts_with(path),
            Some([]) => true,
            Some([name, ..]) => self.shape.id(name).is_some(),
        }
    }

    /// What is wrong where folders of two instances would be the same or lie in each other. An id
    /// that is spelt like a service is no fault of either.
    pub(super) fn meets(&self, other: &Self) -> Option<LayoutError> {
        if self.variable.is_none() && other.variable.is_none() {
            return None;
        }
        let (upper, lower) = match self.above().len() <= other.above().len() {
            true => (self, other),
            false => (other, self),
        };
        let is_deeper = lower.above().len() > upper.above().len();
        if is_deeper && lower.variable.is_none() {
            return None;
        }
        let below = lower.above().strip_prefix(upper.above())?;
        let overlap = match below.first() {
            None if upper.shape == lower.shape => Overlap::Same,
            None => upper.shape.may_be(&lower.shape).then_some(Overlap::Alike)?,
            Some(name) => {
                Overlap::Holds(InstanceName::new(upper.service.clone(), upper.shape.id(name)?))
            }
        };
        // Its author can change a variable, and not where instances live.
        let (at, other) = if self.variable.is_some() { (self, other) } else { (other, self) };
        let fault = LayoutFault::Meets { other: other.as_named(), overlap };
        Some(LayoutError { named: at.as_named(), fault })
    }

    fn as_named(&self) -> Named {
        let folder = format!("{{data_dir}}/{}", self.folder("{id}").join("/"));
        Named { service: self.service.clone(), variable: self.variable.clone(), folder }
    }
}

impl Shape {
    /// The id with which the last name is this one.
    fn id(&self, name: &str) -> Option<InstanceId> {
        name.strip_prefix(&self.before)?.strip_suffix(&self.after)?.parse().ok()
    }

    /// Whether the last names of both, which differ in what stands around the id, can be one. Where
    /// that is hard to tell, yes.
    fn may_be(&self, other: &Self) -> bool {
        // What the one has more than the other, before and after the id.
        let (more, less) = by_length(&self.before, &other.before);
        let Some(before) = more.strip_prefix(less) else { return false };
        let (more, less) = by_length(&self.after, &other.after);
        let Some(after) = more.strip_suffix(less) else { return false };
        let one_has_both = before.is_empty()
            || after.is_empty()
            || (self.before.len() > other.before.len()) == (self.after.len() > other.after.len());
        // Then all of it would have to be part of the other's id.
        let in_id = |c: char| c == '-' || c.is_ascii_lowercase() || c.is_ascii_digit();
        !one_has_both || before.chars().chain(after.chars()).all(in_id)
    }
}

/// The longer one first.
fn by_length<'a>(one: &'a str, two: &'a str) -> (&'a str, &'a str) {
    if one.len() >= two.len() { (one, two) } else { (two, one) }
}

/// What a template stands for, with [`MARK`] for the id.
fn marked(spec: &ServiceSpec, template: &Template, data_dir: &Path, port: u16) -> String {
    let mark = MARK.to_string();
    let data_dir = data_dir.display().to_string();
    let instance_dir = format!("{data_dir}/{}/{mark}", spec.name);
    let mut values = Variables {
        name: spec.name.as_str(),
        id: &mark,
        data_dir: &data_dir,
        instance_dir: &instance_dir,
        socket: "",
        port,
    };
    let socket = spec.socket.expand(&values);
    values.socket = &socket;
    template.expand(&values)
}
