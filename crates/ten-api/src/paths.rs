//! Where each endpoint lives: the patterns that the server routes, and the functions that
//! fill them in for the client.

/// `GET`: whether the server serves. Needs no authentication.
pub const HEALTH: &str = "/health";
/// `GET` lists, `POST` spawns.
pub const INSTANCES: &str = "/api/instances";
/// `GET` shows, `DELETE` stops and forgets (with [`KeepData`](crate::KeepData) in the query).
pub const INSTANCE: &str = "/api/instances/{service}/{id}";
/// `POST`: drain and stop (with [`KeepData`](crate::KeepData) in the query).
pub const INSTANCE_STOP: &str = "/api/instances/{service}/{id}/stop";
/// `POST`: stop and start again while requests wait.
pub const INSTANCE_RESTART: &str = "/api/instances/{service}/{id}/restart";
/// `PUT`: set the share of its service's traffic.
pub const INSTANCE_WEIGHT: &str = "/api/instances/{service}/{id}/weight";
/// `GET`: a backup of its data, a tar compressed with zstd. `PUT`: bring them back from one (with
/// [`Replace`](crate::Replace) in the query).
pub const INSTANCE_DATA: &str = "/api/instances/{service}/{id}/data";
/// `POST`: bring data back from the trash.
pub const INSTANCE_RESTORE: &str = "/api/instances/{service}/{id}/restore";
/// `POST`, upgraded to [`EXEC_PROTOCOL`](crate::EXEC_PROTOCOL): run a command inside. Over the
/// admin socket alone.
pub const INSTANCE_EXEC: &str = "/api/instances/{service}/{id}/exec";
/// `GET`: its health.
pub const INSTANCE_HEALTH: &str = "/api/instances/{service}/{id}/health";
/// `GET` lists the services of the config.
pub const SERVICES: &str = "/api/services";
/// `GET`: what is in the trash.
pub const TRASH: &str = "/api/trash";
/// `GET`: log lines that were written already.
pub const LOGS: &str = "/api/logs";
/// `GET`: log lines as they are written, as server-sent events.
pub const LOGS_STREAM: &str = "/api/logs/stream";

/// [`INSTANCE`] of one instance. Names need no escaping: they are DNS labels.
pub fn instance(service: &str, id: &str) -> String {
    fill(INSTANCE, service, id)
}

/// [`INSTANCE_STOP`] of one instance.
pub fn instance_stop(service: &str, id: &str) -> String {
    fill(INSTANCE_STOP, service, id)
}

/// [`INSTANCE_RESTART`] of one instance.
pub fn instance_restart(service: &str, id: &str) -> String {
    fill(INSTANCE_RESTART, service, id)
}

/// [`INSTANCE_DATA`] of one instance.
pub fn instance_data(service: &str, id: &str) -> String {
    fill(INSTANCE_DATA, service, id)
}

/// [`INSTANCE_RESTORE`] of one instance.
pub fn instance_restore(service: &str, id: &str) -> String {
    fill(INSTANCE_RESTORE, service, id)
}

/// [`INSTANCE_EXEC`] of one instance.
pub fn instance_exec(service: &str, id: &str) -> String {
    fill(INSTANCE_EXEC, service, id)
}

/// [`INSTANCE_WEIGHT`] of one instance.
pub fn instance_weight(service: &str, id: &str) -> String {
    fill(INSTANCE_WEIGHT, service, id)
}

/// [`INSTANCE_HEALTH`] of one instance.
pub fn instance_health(service: &str, id: &str) -> String {
    fill(INSTANCE_HEALTH, service, id)
}

fn fill(pattern: &str, service: &str, id: &str) -> String {
    pattern.replace("{service}", service).replace("{id}", id)
}
