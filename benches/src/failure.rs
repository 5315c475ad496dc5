//! Why something could not be measured.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

/// A measurement that has no result.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// cargo could not be run.
    #[error("cannot run {cargo:?}")]
    Cargo {
        /// The program that was tried.
        cargo: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What is to be measured does not compile.
    #[error("cargo build ended with {status}")]
    Build {
        /// How cargo ended.
        status: ExitStatus,
    },
    /// A file or folder that the measurement needs.
    #[error("cannot use {path:?}")]
    Path {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The program without ten did not start.
    #[error("cannot spawn {program} bare")]
    Spawn {
        /// Which program.
        program: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The program without ten never accepted.
    #[error("{program}, spawned bare, did not accept within {patience:?}")]
    NeverAccepted {
        /// Which program.
        program: &'static str,
        /// How long it was waited for.
        patience: Duration,
    },
    /// A request had no answer.
    #[error("{host} did not answer")]
    Unanswered {
        /// Who was asked.
        host: String,
        /// Why not.
        source: io::Error,
    },
    /// A request had the wrong answer.
    #[error("{host} answered {status}: {text}")]
    Refused {
        /// Who was asked.
        host: String,
        /// With which status.
        status: u16,
        /// In which words.
        text: String,
    },
    /// The management API answered something else than it promises.
    #[error("{path} answered something that cannot be read")]
    Unreadable {
        /// Of which endpoint.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// An instance did not go to sleep.
    #[error("{instance} was stopped and is not sleeping {patience:?} later")]
    Awake {
        /// Which instance.
        instance: String,
        /// How long it was waited for.
        patience: Duration,
    },
}
