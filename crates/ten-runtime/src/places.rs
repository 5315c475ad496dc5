//! The paths of one instance: its folders, its socket, where it starts.

use std::path::{Path, PathBuf};

use ten_domain::{InstanceName, ServiceSpec, Template, Variables};

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
        let folders = ground.layout.folders(name)?;
        let instance_dir = ground.data_dir.join(name.service.as_str()).join(name.id.as_str());
        let mut places = Self {
            name: name.service.to_string(),
            id: name.id.to_string(),
            data_dir: ground.data_dir.display().to_string(),
            instance_dir: instance_dir.display().to_string(),
            port,
            socket: PathBuf::new(),
            workdir: PathBuf::new(),
            folders: folders.iter().map(|folder| ground.data_dir.join(folder)).collect(),
        };
        places.socket = places.expand(&spec.socket).into();
        places.workdir = ground.folder.join(places.expand(&spec.workdir));
        Ok(places)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn instance_dir(&self) -> &str {
        &self.instance_dir
    }

    pub(crate) fn expand(&self, template: &Template) -> String {
        let socket = self.socket.display().to_string();
        template.expand(&Variables {
            name: &self.name,
            id: &self.id,
            data_dir: &self.data_dir,
            instance_dir: &self.instance_dir,
            socket: &socket,
            port: self.port,
        })
    }

    /// Whether a path lies in one of the instance's own folders.
    pub(crate) fn owns(&self, path: &Path) -> bool {
        self.folders.iter().any(|folder| path.starts_with(folder))
    }

    /// Whether nothing leads out of the data folder to what the walls do not hide.
    pub(crate) fn are_no_links(&self, data_dir: &Path) -> Result<(), PlanError> {
        for folder in &self.folders {
            let on_the_way = folder.ancestors().take_while(|step| *step != data_dir);
            if let Some(link) = on_the_way.filter(|step| step.is_symlink()).last() {
                return Err(PlanError::Linked { link: link.into() });
            }
        }
        Ok(())
    }
}
