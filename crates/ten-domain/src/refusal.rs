//! Asking for the use of an instance: of which one, and why not.

use std::time::Duration;

use crate::{InstanceName, ServiceName};

/// Who should answer a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// This instance.
    Instance(InstanceName),
    /// One instance of this service, by weight.
    Service(ServiceName),
}

/// Why a request gets no instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such instance and this request may not create it.
    #[error("no such instance")]
    Unknown,
    /// It sleeps, and its service lets no request wake it.
    #[error("asleep; requests do not wake it")]
    Asleep,
    /// It was started and did not become ready.
    #[error("did not become ready")]
    NotReady {
        /// When it makes sense to ask again.
        retry_after: Duration,
    },
    /// It crashed too often; only an operator starts it again.
    #[error("failed; an operator must restart it")]
    Failed,
    /// As many requests wait for it as may.
    #[error("too many requests wait for it")]
    QueueFull,
    /// It runs, and in all the time that a request may wait it had no room.
    #[error("busy for all of queue_timeout")]
    Busy,
    /// As many instances of its service run as may.
    #[error("too many instances run")]
    TooManyRunning,
    /// Requests from this client's address have brought enough instances into being for now.
    #[error("too many new instances from one address")]
    TooManyNew {
        /// When one more may be.
        retry_after: Duration,
    },
    /// The server is shutting down.
    #[error("shutting down")]
    ShuttingDown,
}
