//! The paths of one instance: its folders, its socket, where it starts.

use std::path::{Component, Path, PathBuf};

use ten_domain::{InstanceName, ServiceSpec, Template, Variable, Variables};

use crate::{Ground, PlanError};

/// Every path of one instance, as it sees them itself.
#[derive(Debug)]
pub(crate) struct Places {
    name: String,
    id: String,
    data_dir: String,
    instance_dir: String,
    port: u16,
    /// `SOCKET_PATH`.
    pub(crate) socket: PathBuf,
    /// Where it starts.
    pub(crate) workdir: PathBuf,
    /// Its folders below the data folder; `{instance_dir}` first.
    pub(crate) folders: Vec<PathBuf>,
}

impl Places {
    pub(crate) fn new(
        ground: &Ground,
        spec: &ServiceSpec,
        name: &InstanceName,
        port: u16,
    ) -> Result<Self, PlanError> {
        let instance_dir = ground.data_dir.join(name.service.as_str()).join(name.id.as_str());
        let mut places = Self {
            name: name.service.to_string(),
            id: name.id.to_string(),
            data_dir: ground.data_dir.display().to_string(),
            instance_dir: instance_dir.display().to_string(),
            port,
            socket: PathBuf::new(),
            workdir: PathBuf::new(),
            folders: vec![instance_dir],
        };
        places.socket = places.expand(&spec.socket).into();
        places.workdir = ground.folder.join(places.expand(&spec.workdir));
        for (variable, template) in &spec.env {
            if let Some(folder) = places.folder_named_by(ground, variable, template)? {
                places.folders.push(folder);
            }
        }
        places.folders.dedup();
        Ok(places)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn instance_dir(&self) -> &str {
        &self.instance_dir
    }

    pub(crate) fn expand(&self, template: &Template) -> String {
        self.expand_with_id(template, &self.id)
    }

    /// Whether a path lies in one of the instance's own folders.
    pub(crate) fn owns(&self, path: &Path) -> bool {
        self.folders.iter().any(|folder| path.starts_with(folder))
    }

    fn expand_with_id(&self, template: &Template, id: &str) -> String {
        let socket = self.socket.display().to_string();
        template.expand(&Variables {
            name: &self.name,
            id,
            data_dir: &self.data_dir,
            instance_dir: &self.instance_dir,
            socket: &socket,
            port: self.port,
        })
    }

    /// The folder below the data folder that a variable's template names with `{id}`: up to
    /// and including the component in which the id stands. `{data_dir}/{id}/app.db` names
    /// `{data_dir}/{id}`.
    fn folder_named_by(
        &self,
        ground: &Ground,
        variable: &str,
        template: &Template,
    ) -> Result<Option<PathBuf>, PlanError> {
        // A NUL is in no path, so it marks the id's place without a doubt.
        let marked = PathBuf::from(self.expand_with_id(template, "\0"));
        let path = PathBuf::from(self.expand(template));
        if !template.mentions(Variable::Id) || self.owns(&path) {
            return Ok(None);
        }
        let Ok(below) = marked.strip_prefix(&ground.data_dir) else { return Ok(None) };
        let shared = |why: String| PlanError::SharedFolder {
            variable: variable.into(),
            path: path.clone(),
            why,
        };
        if below.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(shared("it climbs with '..'".into()));
        }
        let parts: Vec<_> = below.components().collect();
        let marks = |part: &Component<'_>| part.as_os_str().to_string_lossy().contains('\0');
        let Some(depth) = parts.iter().position(marks) else { return Ok(None) };
        let own: PathBuf = below.components().take(depth + 1).collect();
        let own = PathBuf::from(own.to_string_lossy().replace('\0', &self.id));
        if depth + 1 == parts.len() && own.extension().is_some() {
            return Err(shared(
                "a file needs a folder of its own, such as {data_dir}/{id}/".into(),
            ));
        }
        let first = own.components().next().map(|part| part.as_os_str().to_string_lossy());
        let first = first.unwrap_or_default();
        if ground.services.iter().any(|service| service.as_str() == first) {
            return Err(shared(format!("{first} is a service, whose instances live there")));
        }
        if first.starts_with('.') || first.starts_with("ten.") {
            return Err(shared(format!("{first} is ten's own")));
        }
        Ok(Some(ground.data_dir.join(own)))
    }
}
