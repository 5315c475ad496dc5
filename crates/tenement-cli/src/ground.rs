//! What `ten serve` would plan with, were it started from here: for the commands that say
//! beforehand how a start would end.

use std::env;

use ten_domain::{Config, InstanceId, Layout, LayoutError};
use ten_runtime::{Ground, HostEnvironment};
use ten_server::DataDir;

/// Where a server of this data dir keeps what lives only as long as a process.
const RUN_DIR: &str = ".run";
/// An instance that stands for all of its service.
const EXAMPLE: &str = "example";

pub(crate) fn of(config: &Config, data_dir: &DataDir) -> Result<Ground, Vec<LayoutError>> {
    let services = config.services.values().map(AsRef::as_ref);
    Ok(Ground {
        folder: config.folder.clone(),
        data_dir: data_dir.path().into(),
        run_dir: data_dir.path().join(RUN_DIR),
        environment: HostEnvironment::new(env::vars_os()),
        layout: Layout::of(services, &data_dir.names())?,
        key_file: None,
    })
}

/// The id of no instance in particular.
pub(crate) fn example() -> InstanceId {
    EXAMPLE.parse().expect("a valid id")
}
