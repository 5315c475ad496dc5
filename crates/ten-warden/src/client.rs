//! The front's end of the wire.
//!
//! [`connect`] listens to everything about the present and then leaves the connection to a
//! task. When the warden is gone the events end; there is no second attempt, because the
//! front lives and dies with its warden.

use std::{
    fs::File,
    io,
    net::TcpListener,
    os::{
        fd::OwnedFd,
        unix::{fs::FileExt, net::UnixListener},
    },
};

use ten_kernel::Door;
use tokio::{io::Interest, net::UnixDatagram, sync::mpsc};

use crate::{
    keeper::Keeper,
    protocol::{Cgroup, Exit, LaunchId, Runs, ToFront, ToWarden},
    wire::{self, Inbox, ReceiveError},
};

/// Events that may wait to be looked at. Past it the warden keeps them.
const EVENTS: usize = 1024;

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
    /// Whoever does what is to be done with the data of instances.
    pub keeper: Keeper,
    /// Trees that are there already.
    pub living: Vec<Living>,
}

/// A tree that an earlier front started.
#[derive(Debug)]
pub struct Living {
    /// Its name.
    pub launch: LaunchId,
    /// What the earlier front wrote down about it.
    pub note: Vec<u8>,
    /// `None` while its data are being moved: what follows is as after [`Event::Preparing`].
    pub running: Option<Running>,
}

/// What there is of a tree whose program was executed.
#[derive(Debug)]
pub struct Running {
    /// The pid of its main process.
    pub pid: u32,
    /// Its cgroup, where it has one.
    pub cgroup: Option<Cgroup>,
    /// Its output.
    pub output: Output,
    /// The way in.
    pub door: Door,
    /// What tells the use of its storage, where that is limited.
    pub meter: Option<OwnedFd>,
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
    /// Before the program is executed, its data are moved, which takes as long as there are data.
    Preparing {
        /// Which launch.
        launch: LaunchId,
    },
    /// The program was executed.
    Launched {
        /// Which launch.
        launch: LaunchId,
        /// What there is of it.
        running: Running,
    },
    /// Its Unix socket is there, which was asked for with [`WardenHandle::seek`].
    Found {
        /// Which launch.
        launch: LaunchId,
        /// The socket's file, for connecting to as `/proc/self/fd/N`.
        socket: OwnedFd,
    },
    /// It could not be started.
    LaunchFailed {
        /// Which launch.
        launch: LaunchId,
        /// Why, in one line.
        reason: String,
        /// Whether it is for want of room on the disk, and so no fault of what was launched.
        disk_full: bool,
    },
    /// Nothing of it is left.
    Exited {
        /// Which launch.
        launch: LaunchId,
        /// How its main process ended.
        exit: Exit,
    },
    /// The files that were asked for with [`WardenHandle::show`], in the order in which they were
    /// named at the start; or which of them cannot be opened, and why.
    Shown(Result<Vec<File>, String>),
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
    pub fn launch(&self, launch: LaunchId, order: Vec<u8>, note: Vec<u8>) {
        self.send(ToWarden::Launch { launch, order, note });
    }

    /// Has a tree's Unix socket looked for, or not any more.
    pub fn seek(&self, launch: LaunchId, wanted: bool) {
        self.send(ToWarden::Seek { launch, wanted });
    }

    /// Sends a signal to every process of a tree.
    pub fn signal(&self, launch: LaunchId, signal: i32) {
        self.send(ToWarden::Signal { launch, signal });
    }

    /// Kills a tree.
    pub fn kill(&self, launch: LaunchId) {
        self.send(ToWarden::Kill { launch });
    }

    /// Has the files opened that are shown to the front.
    pub fn show(&self) {
        self.send(ToWarden::Show);
    }

    /// Says that everything is stopped and stored. Nothing can be said after it, and the
    /// events end once it is said.
    pub fn farewell(&self) {
        self.send(ToWarden::Farewell);
    }

    /// A warden that is gone takes the front with it (the kernel kills it), so a message
    /// that finds nobody is not an error of the caller's.
    fn send(&self, message: ToWarden) {
        let _ = self.0.send(message);
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The socket cannot be used.
    #[error("cannot use the warden's socket")]
    Socket(#[source] io::Error),
    /// The warden hung up before it had said everything.
    #[error("the warden is gone")]
    Gone,
    /// It said something that cannot be understood.
    #[error("cannot understand the warden")]
    Receive(#[from] ReceiveError),
    /// It said something out of order.
    #[error("the warden said {got} where {expected} was due")]
    Unexpected {
        /// What it said.
        got: String,
        /// What was due.
        expected: &'static str,
    },
}

/// Connects over the socket that the front was born with. Returns once the warden has told
/// everything about the present.
pub async fn connect(
    socket: OwnedFd,
) -> Result<(Boot, WardenHandle, mpsc::Receiver<Event>), ConnectError> {
    // To tokio it is a socket of messages like any other: it waits, rustix sends and receives.
    let socket = UnixDatagram::from_std(socket.into()).map_err(ConnectError::Socket)?;
    let mut inbox = Inbox::new();
    let mut boot = match receive(&socket, &mut inbox).await?.ok_or(ConnectError::Gone)? {
        (ToFront::Boot { tcp_listeners, next_launch, note_len }, fds) => {
            unpack_boot(tcp_listeners, next_launch, note_len, fds)?
        }
        (other, _) => return Err(unexpected(&other, "Boot")),
    };
    loop {
        match receive(&socket, &mut inbox).await?.ok_or(ConnectError::Gone)? {
            (ToFront::BootDone, _) => break,
            (ToFront::Living { launch, runs, note }, fds) => {
                let running = runs.map(|runs| unpack_running(runs, fds)).transpose()?;
                boot.living.push(Living { launch, note, running });
            }
            (other, _) => return Err(unexpected(&other, "Living or BootDone")),
        }
    }
    let (say, to_say) = mpsc::unbounded_channel();
    let (events, receiver) = mpsc::channel(EVENTS);
    tokio::spawn(async move {
        if let Err(error) = converse(&socket, &mut inbox, to_say, events).await {
            tracing::error!(%error, "the connection to the warden ended");
        }
    });
    Ok((boot, WardenHandle::new(say), receiver))
}

/// Carries messages both ways until the farewell is said or one side is gone. Waiting for room to say something is
/// no danger: the warden never waits, so it always listens.
async fn converse(
    socket: &UnixDatagram,
    inbox: &mut Inbox,
    mut to_say: mpsc::UnboundedReceiver<ToWarden>,
    events: mpsc::Sender<Event>,
) -> Result<(), ConnectError> {
    loop {
        let event = tokio::select! {
            message = to_say.recv() => match message {
                Some(message) => {
                    let last = message == ToWarden::Farewell;
                    let event = say(socket, message).await?;
                    if last {
                        return Ok(());
                    }
                    event
                }
                None => return Ok(()),
            },
            received = receive(socket, inbox) => match received? {
                Some((message, fds)) => Some(event(message, fds)?),
                None => return Ok(()),
            },
        };
        if let Some(event) = event
            && events.send(event).await.is_err()
        {
            return Ok(());
        }
    }
}

/// Says it. A launch that is too long to be said has failed, and that is the event.
async fn say(socket: &UnixDatagram, message: ToWarden) -> Result<Option<Event>, ConnectError> {
    let bytes = match (wire::encode(&message), message) {
        (Ok(bytes), _) => bytes,
        (Err(error), ToWarden::Launch { launch, .. }) => {
            let reason = format!("cannot send the order: {error}");
            return Ok(Some(Event::LaunchFailed { launch, reason, disk_full: false }));
        }
        (Err(error), message) => {
            tracing::error!(%error, ?message, "cannot be said");
            return Ok(None);
        }
    };
    let sent = socket.async_io(Interest::WRITABLE, || Ok(wire::send(socket, &bytes, &[])?)).await;
    match sent {
        // What it still has to say can be read, and then the end of it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(None),
        other => other.map(|()| None).map_err(ConnectError::Socket),
    }
}

async fn receive(
    socket: &UnixDatagram,
    inbox: &mut Inbox,
) -> Result<Option<(ToFront, Vec<OwnedFd>)>, ConnectError> {
    // Errors of the socket are tokio's to see (it waits for more), all others are values.
    let received = socket
        .async_io(Interest::READABLE, || match inbox.receive(socket) {
            Err(ReceiveError::Socket(errno)) => Err(errno.into()),
            other => Ok(other),
        })
        .await;
    Ok(received.map_err(ConnectError::Socket)??)
}

fn event(message: ToFront, fds: Vec<OwnedFd>) -> Result<Event, ConnectError> {
    Ok(match message {
        ToFront::Preparing { launch } => Event::Preparing { launch },
        ToFront::Launched { launch, runs } => {
            Event::Launched { launch, running: unpack_running(runs, fds)? }
        }
        ToFront::Found { launch } => {
            let [socket] =
                <[OwnedFd; 1]>::try_from(fds).map_err(|fds| wrong_fds(fds.len(), "a socket"))?;
            Event::Found { launch, socket }
        }
        ToFront::LaunchFailed { launch, reason, disk_full } => {
            Event::LaunchFailed { launch, reason, disk_full }
        }
        ToFront::Exited { launch, exit } => Event::Exited { launch, exit },
        ToFront::Shown { lacks } => Event::Shown(match lacks {
            Some(why) => Err(why),
            None => Ok(fds.into_iter().map(File::from).collect()),
        }),
        ToFront::Terminate => Event::Terminate,
        ToFront::Reload => Event::Reload,
        other @ (ToFront::Boot { .. } | ToFront::Living { .. } | ToFront::BootDone) => {
            return Err(unexpected(&other, "an event"));
        }
    })
}

fn unpack_boot(
    tcp_listeners: usize,
    next_launch: LaunchId,
    note_len: usize,
    mut fds: Vec<OwnedFd>,
) -> Result<Boot, ConnectError> {
    if fds.len() != tcp_listeners.saturating_add(3) {
        return Err(wrong_fds(
            fds.len(),
            "the listeners, the admin socket, the note and the keeper",
        ));
    }
    let rest = fds.split_off(tcp_listeners);
    let Ok([admin, file, keeper]) = <[OwnedFd; 3]>::try_from(rest) else {
        return Err(wrong_fds(0, "the admin socket, the note and the keeper"));
    };
    let mut note = vec![0; note_len];
    File::from(file).read_exact_at(&mut note, 0).map_err(ConnectError::Socket)?;
    Ok(Boot {
        listeners: fds.into_iter().map(TcpListener::from).collect(),
        admin: UnixListener::from(admin),
        next_launch,
        note,
        keeper: Keeper::new(keeper).map_err(ConnectError::Socket)?,
        living: Vec::new(),
    })
}

fn unpack_running(runs: Runs, mut fds: Vec<OwnedFd>) -> Result<Running, ConnectError> {
    let Runs { pid, cgroup, limited } = runs;
    let count = fds.len();
    let meter = if limited { fds.pop() } else { None };
    match <[OwnedFd; 3]>::try_from(fds) {
        Ok([stdout, stderr, door]) => {
            let (output, door) = (Output { stdout, stderr }, Door::from(door));
            Ok(Running { pid, cgroup, output, door, meter })
        }
        Err(_) => Err(wrong_fds(count, "stdout, stderr, a door and perhaps a meter")),
    }
}

fn unexpected(got: &ToFront, expected: &'static str) -> ConnectError {
    ConnectError::Unexpected { got: format!("{got:?}"), expected }
}

fn wrong_fds(count: usize, expected: &'static str) -> ConnectError {
    ConnectError::Unexpected { got: format!("{count} descriptors"), expected }
}
