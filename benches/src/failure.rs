//! Why something could not be measured.

use std::{
    error::Error,
    io,
    path::PathBuf,
    process::{ExitCode, ExitStatus},
    time::Duration,
};

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
    /// The load generator could not be run.
    #[error("cannot run wrk; on Debian it is the package of that name")]
    Wrk(#[source] io::Error),
    /// The load generator for HTTP/2 could not be run.
    #[error("cannot run h2load; on Debian it is in the package nghttp2-client")]
    H2load(#[source] io::Error),
    /// The load met an error, or its report has another form.
    #[error("{peer}, {case}: the load said:\n{report}")]
    Load {
        /// Who was asked.
        peer: &'static str,
        /// In which case.
        case: String,
        /// All that it wrote.
        report: String,
    },
    /// What a process has used cannot be read.
    #[error("cannot read what process {pid} of {peer} has used")]
    Usage {
        /// Whose process.
        peer: &'static str,
        /// Which.
        pid: u32,
        /// Why not.
        source: io::Error,
    },
    /// The instances that a server is to know cannot be written down for it.
    #[error("cannot write instances into the store")]
    Seed(#[source] ten_store::StoreError),
    /// The measurement cannot have a network of its own.
    #[error("cannot measure in a network of its own, which needs root, unshare and ip")]
    OwnNetwork(#[source] io::Error),
    /// Nothing to compare with.
    #[error("nginx is not installed; on Debian it is the package nginx-light")]
    NoNginx,
}

/// How a measuring program ends: with its failure in words, causes included.
pub fn exit(result: Result<(), Failure>) -> ExitCode {
    let Err(failure) = result else { return ExitCode::SUCCESS };
    eprintln!("error: {failure}");
    let mut cause = failure.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    ExitCode::FAILURE
}
