//! The supervisor's face: what requests, operators and readers call.

use ten_domain::{InstanceName, Weight};

use crate::view::{Denied, Done, InstanceView};

/// A handle on everything that runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet {}

impl Fleet {
    /// Every known instance, sorted by name.
    pub fn list(&self) -> Vec<InstanceView> {
        todo!()
    }

    /// One instance.
    pub fn get(&self, _name: &InstanceName) -> Option<InstanceView> {
        todo!()
    }

    /// Starts an instance, creating it where it is not known. `env` is added to its
    /// environment until it is next spawned. With `wait`, ends when its listener accepts.
    pub async fn spawn(
        &self,
        _name: InstanceName,
        _env: Vec<(String, String)>,
        _wait: bool,
    ) -> Result<Done, Denied> {
        todo!()
    }

    /// Drains and stops; it is `sleeping` afterwards. Ends when nothing of it is left.
    pub async fn stop(&self, _name: InstanceName) -> Result<Done, Denied> {
        todo!()
    }

    /// Stops and starts again; requests meanwhile wait. Ends when it is ready.
    pub async fn restart(&self, _name: InstanceName) -> Result<Done, Denied> {
        todo!()
    }

    /// Stops and forgets. Its data stay. Ends when nothing of it is left.
    pub async fn remove(&self, _name: InstanceName) -> Result<Done, Denied> {
        todo!()
    }

    /// Sets its share of its service's traffic. Ends when it is stored.
    pub async fn set_weight(&self, _name: InstanceName, _weight: Weight) -> Result<Done, Denied> {
        todo!()
    }
}
