//! The management API over the admin socket, as far as a measurement needs it.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use ten_api::{Instance, LogList, State, paths};
use ten_testkit::{Ten, wait_until};

use crate::{
    Failure,
    exchange::{ask, unix},
};

/// How long an instance may take from the end of its stop to being seen asleep.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

pub(crate) struct Admin {
    socket: PathBuf,
}

impl Admin {
    pub(crate) fn of(ten: &Ten) -> Self {
        Self { socket: ten.data_dir().join("ten.sock") }
    }

    /// Stops an instance, which keeps its data as one that falls asleep does, and waits until the
    /// server shows it as sleeping.
    pub(crate) fn put_to_sleep(&self, service: &str, id: &str) -> Result<(), Failure> {
        self.call("POST", &(paths::instance_stop(service, id) + "?keep_data=true"))?;
        let mut looked = Ok(());
        let asleep = wait_until(PATIENCE, || match self.instance(service, id) {
            Ok(instance) => instance.state == State::Sleeping,
            Err(failure) => {
                looked = Err(failure);
                true
            }
        });
        looked?;
        if asleep {
            return Ok(());
        }
        Err(Failure::Awake { instance: format!("{service}:{id}"), patience: PATIENCE })
    }

    /// Log lines of an instance that contain a word.
    pub(crate) fn lines_with(&self, service: &str, id: &str, word: &str) -> Result<usize, Failure> {
        let path = format!("{}?service={service}&id={id}&search={word}", paths::LOGS);
        let list: LogList = self.read(&path)?;
        Ok(list.lines.len())
    }

    pub(crate) fn instance(&self, service: &str, id: &str) -> Result<Instance, Failure> {
        self.read(&paths::instance(service, id))
    }

    fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let body = self.call("GET", path)?;
        serde_json::from_slice(&body)
            .map_err(|source| Failure::Unreadable { path: path.into(), source })
    }

    fn call(&self, method: &str, path: &str) -> Result<Vec<u8>, Failure> {
        let mut stream = unix(&self.socket)
            .map_err(|source| Failure::Path { path: self.socket.clone(), source })?;
        Ok(ask(&mut *stream, method, "localhost", path)?.body)
    }
}
