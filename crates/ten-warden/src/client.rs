//! The front's end of the wire.

use std::{net::TcpListener, os::fd::OwnedFd, os::unix::net::UnixListener};

use ten_kernel::LaunchPlan;
use tokio::sync::mpsc;

use crate::protocol::{Exit, LaunchId, ToWarden};

/// What the front is born with.
#[derive(Debug)]
pub struct Boot {
    /// Sockets for requests; bound before the front existed and kept when it dies.
    pub listeners: Vec<TcpListener>,
    /// The socket for operators.
    pub admin: UnixListener,
    /// The lowest launch id that was never used.
    pub next_launch: LaunchId,
    /// What `ten serve` decided before it became the warden.
    pub note: Vec<u8>,
    /// Trees that run already.
    pub living: Vec<Living>,
}

/// A tree that an earlier front started.
#[derive(Debug)]
pub struct Living {
    /// Its name.
    pub launch: LaunchId,
    /// The pid of its main process.
    pub pid: u32,
    /// What the earlier front wrote down about it.
    pub note: Vec<u8>,
    /// Its output.
    pub output: Output,
}

/// The read ends of a tree's output, non-blocking.
#[derive(Debug)]
pub struct Output {
    /// Its stdout.
    pub stdout: OwnedFd,
    /// Its stderr.
    pub stderr: OwnedFd,
}

/// What the warden has to say, in its order.
#[derive(Debug)]
pub enum Event {
    /// The program was executed.
    Launched {
        /// Which launch.
        launch: LaunchId,
        /// The pid of its main process.
        pid: u32,
        /// Its output.
        output: Output,
    },
    /// It could not be started.
    LaunchFailed {
        /// Which launch.
        launch: LaunchId,
        /// Why, in one line.
        reason: String,
    },
    /// Nothing of it is left.
    Exited {
        /// Which launch.
        launch: LaunchId,
        /// How its main process ended.
        exit: Exit,
    },
    /// Stop everything, then say farewell.
    Terminate,
    /// Read the config again.
    Reload,
}

/// Where the front puts what it asks of the warden. Asking never waits: the queue holds at
/// most a few messages per instance, whose number is limited.
#[derive(Debug, Clone)]
pub struct WardenHandle(mpsc::UnboundedSender<ToWarden>);

impl WardenHandle {
    /// A handle whose messages come out of the other end of `sender`.
    pub fn new(sender: mpsc::UnboundedSender<ToWarden>) -> Self {
        Self(sender)
    }

    /// Starts a tree.
    pub fn launch(&self, launch: LaunchId, plan: LaunchPlan, note: Vec<u8>) {
        self.send(ToWarden::Launch { launch, plan: Box::new(plan), note });
    }

    /// Sends a signal to every process of a tree.
    pub fn signal(&self, launch: LaunchId, signal: i32) {
        self.send(ToWarden::Signal { launch, signal });
    }

    /// Kills a tree.
    pub fn kill(&self, launch: LaunchId) {
        self.send(ToWarden::Kill { launch });
    }

    /// Says that everything is stopped and stored.
    pub fn farewell(&self) {
        self.send(ToWarden::Farewell);
    }

    /// A warden that is gone takes the front with it (its connection task ends the
    /// process), so a message that finds nobody is not an error of the caller's.
    fn send(&self, message: ToWarden) {
        let _ = self.0.send(message);
    }
}
