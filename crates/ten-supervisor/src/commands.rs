//! Commands that operators run inside instances.
//!
//! ```text
//! Fleet::enter ─► Inside (holds the instance awake) ─ run ─► Running ─ ended ─► status
//! ```
//!
//! They are made by the instance's init, behind its walls; see `ten_kernel::CommandLine`.
//! Dropping any of these ends what it stands for. Nothing here reads or writes a stream.

use std::{collections::BTreeMap, io, sync::Arc};

use ten_domain::InstanceName;
use ten_kernel::{CommandLine, CommandLineError, Door, Failure, Streams, take_end, take_start};
use ten_warden::{Keeper, LaunchId};
use tokio::{io::Interest, net::UnixDatagram, sync::mpsc};

use crate::{Order, driver::Notice, inside, ports::IN_A_NETWORK_OF_ITS_OWN};

/// The right to be in a process of an instance, which does not sleep meanwhile.
#[derive(Debug)]
pub(crate) struct Stay {
    instance: InstanceName,
    launch: LaunchId,
    notices: mpsc::UnboundedSender<Notice>,
}

impl Stay {
    pub(crate) fn new(
        instance: InstanceName,
        launch: LaunchId,
        notices: mpsc::UnboundedSender<Notice>,
    ) -> Self {
        Self { instance, launch, notices }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        // The driver may be gone already when the server ends; then nobody needs to know.
        let _ = self.notices.send(Notice::Left(self.instance.clone(), self.launch));
    }
}

/// A process of an instance, as the driver lets somebody in.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) door: Arc<Door>,
    pub(crate) stay: Stay,
    pub(crate) port: Option<u16>,
    pub(crate) extra_env: BTreeMap<String, String>,
}

/// The inside of an instance, for one command.
#[derive(Debug)]
pub struct Inside {
    name: InstanceName,
    door: Arc<Door>,
    _stay: Stay,
    port: u16,
    extra_env: BTreeMap<String, String>,
    keeper: Arc<Keeper>,
}

/// Why a command does not run.
#[derive(Debug, thiserror::Error)]
pub enum NotRun {
    /// It cannot be passed on.
    #[error("this command cannot be passed on: {0}")]
    Unsayable(CommandLineError),
    /// It could not be executed.
    #[error("{}", why.clone().unwrap_or_else(|| failure.to_string()))]
    Failed {
        /// What the kernel says.
        failure: Failure,
        /// What is behind that, as far as it is seen from outside.
        why: Option<String>,
    },
    /// Its instance ended, or whoever was to run it was killed in there.
    #[error("its instance ended before it")]
    Gone,
    /// It cannot be asked for.
    #[error("the instance's init cannot be asked: {0}")]
    Io(#[from] io::Error),
}

impl Inside {
    pub(crate) fn new(name: InstanceName, entered: Entered, keeper: Arc<Keeper>) -> Self {
        let Entered { door, stay, port, extra_env } = entered;
        let port = port.unwrap_or(IN_A_NETWORK_OF_ITS_OWN);
        Self { name, door, _stay: stay, port, extra_env, keeper }
    }

    /// Runs a command, which has the environment, the working folder, the walls and the limits
    /// of the instance's program. Ends once it was executed.
    pub async fn run(self, line: &CommandLine) -> Result<Running, NotRun> {
        let end = inside::command(&self.door, line).await.map_err(not_asked)?;
        let started = end.async_io(Interest::READABLE, || take_start(&end)).await;
        let program = line.argv.first().cloned().unwrap_or_default();
        match started.map_err(not_asked)? {
            Ok(streams) => Ok(Running { streams, end: Outcome { end, inside: self, program } }),
            Err(failure) => Err(NotRun::Failed { failure, why: self.why_not(&program).await }),
        }
    }

    /// Asks whoever sees the instance's files.
    async fn why_not(&self, program: &str) -> Option<String> {
        let Self { name, port, extra_env, keeper, .. } = self;
        let order = Order { name: name.clone(), port: *port, env: extra_env.clone() }.write();
        let (keeper, program) = (Arc::clone(keeper), program.to_owned());
        let asked = tokio::task::spawn_blocking(move || keeper.why_not(order, program)).await;
        match asked.map_err(io::Error::other).flatten() {
            Ok(why) => why,
            Err(error) => {
                tracing::warn!(%error, "nobody can say why a command does not run");
                None
            }
        }
    }
}

/// A command that runs. Dropping its end ends it.
#[derive(Debug)]
pub struct Running {
    /// What it reads and writes.
    pub streams: Streams,
    /// What becomes of it.
    pub end: Outcome,
}

/// What becomes of a command.
#[derive(Debug)]
pub struct Outcome {
    end: UnixDatagram,
    inside: Inside,
    program: String,
}

impl Outcome {
    /// Waits until nothing is left of it; the raw status with which it ended (wait(2)), or
    /// `None` where its instance ended before it. What it wrote can be read then without
    /// waiting. May be given up and called again.
    pub async fn status(&self) -> io::Result<Option<i32>> {
        self.end.async_io(Interest::READABLE, || take_end(&self.end)).await
    }

    /// What a command may have stumbled over that ended because something could not be
    /// executed: where `#!` names `env`, the kernel finds nothing wrong with it.
    pub async fn why_not(&self) -> Option<String> {
        self.inside.why_not(&self.program).await
    }
}

/// The door is closed once the tree has ended.
fn not_asked(error: io::Error) -> NotRun {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<CommandLineError>());
    match inner {
        Some(unsayable) => NotRun::Unsayable(*unsayable),
        None if error.kind() == io::ErrorKind::ConnectionRefused => NotRun::Gone,
        None => NotRun::Io(error),
    }
}
