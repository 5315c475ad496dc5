//! The keeper's own side: answers one question after the other, each in a thread of its own.

use std::{
    fs,
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use rustix::event::{PollFd, PollFlags, poll};
use serde::Serialize;
use ten_kernel::{Child, Failure, Trash, fork_servant, give_back_free_heap, keep_rights_of_keeper};

use super::{
    Keeping,
    request::{Request, Wrong, WrongPutBack},
};
use crate::wire::{self, Inbox};

/// As much as is listened to of what an archiver complains of, in bytes.
const COMPLAINTS: u64 = 64 * 1024;

/// Starts a keeper, and returns it with the front's end of it.
pub(crate) fn start(keeping: &Keeping) -> Result<(Child, OwnedFd), Failure> {
    let (ours, theirs) = wire::pair().map_err(|errno| Failure {
        step: ten_kernel::Step::Descriptors,
        errno: errno.raw_os_error(),
        detail: String::new(),
    })?;
    let child = fork_servant(c"ten-keeper", &theirs, |socket| {
        let opened = keep_rights_of_keeper().and_then(|()| Desk::open(keeping));
        match opened {
            Ok(desk) => desk.serve(&socket),
            Err(error) => {
                tracing::error!(%error, "nobody can keep the data of instances");
                1
            }
        }
    })?;
    Ok((child, ours))
}

/// Where questions are answered.
#[derive(Debug, Clone)]
pub(super) struct Desk(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    keeping: Keeping,
    trash: Trash,
    /// Scratch folders so far.
    number: AtomicU64,
}

impl Desk {
    /// Opens the trash, and makes the scratch folder anew.
    pub(super) fn open(keeping: &Keeping) -> io::Result<Self> {
        let trash = Trash::open(&keeping.data_dir)?;
        match fs::remove_dir_all(&keeping.scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&keeping.scratch)?,
        }
        let parts = Parts { keeping: keeping.clone(), trash, number: AtomicU64::new(0) };
        Ok(Self(Arc::new(parts)))
    }

    /// Until nobody is left who could ask; the status to end with.
    pub(super) fn serve(&self, socket: &OwnedFd) -> i32 {
        if let Err(error) = rustix::io::ioctl_fionbio(socket, false) {
            tracing::error!(%error, "nobody can keep the data of instances");
            return 1;
        }
        let mut inbox = Inbox::new();
        loop {
            let (request, fds) = match inbox.receive::<Request>(socket) {
                Ok(Some(asked)) => asked,
                Ok(None) => return 0,
                Err(error) => {
                    tracing::error!(%error, "cannot understand what is asked of the data");
                    return 1;
                }
            };
            let mut fds = fds.into_iter();
            let Some(reply) = fds.next().map(UnixStream::from) else { continue };
            let (desk, pipe) = (self.clone(), fds.next());
            // Nobody waits for it, so it is done before anything else is heard, such as the end.
            if let Request::Vacate { .. } = request {
                desk.answer(request, &reply, pipe);
                continue;
            }
            let work = move || {
                desk.answer(request, &reply, pipe);
                drop(reply);
                // The next question may come in a month.
                give_back_free_heap();
            };
            // Who asked then hears that nobody answers.
            if let Err(error) = thread::Builder::new().name("ten-keeper".into()).spawn(work) {
                tracing::error!(%error, "cannot answer what is asked of the data");
            }
        }
    }

    fn answer(&self, request: Request, reply: &UnixStream, pipe: Option<OwnedFd>) {
        if let Some(wrong) = request.fault() {
            tracing::error!(?request, "refused");
            return say::<()>(reply, Err(wrong));
        }
        let trash = &self.0.trash;
        match request {
            Request::Prepare { name, note } => say(reply, trash.prepare(name, &note)),
            Request::PrepareImport { name, note } => say(reply, trash.prepare_import(name, &note)),
            Request::Complete(entry) => say(reply, trash.complete(&entry)),
            Request::Abandon(entry) => say(reply, trash.abandon(&entry)),
            Request::Fill { entry, folders } => say(reply, trash.fill(&entry, &folders)),
            Request::Conclude(entry) => say(reply, trash.conclude(&entry)),
            Request::Sync { entry, folders } => say(reply, trash.sync(&entry, &folders)),
            Request::Entries => say(reply, trash.entries()),
            Request::PutBack { entry, folders } => {
                let put_back = trash.put_back(&entry, &folders).map_err(WrongPutBack::from);
                say(reply, io::Result::Ok(put_back));
            }
            Request::Purge { entry } => say(reply, trash.purge(&entry)),
            Request::FinishPurges => say(reply, trash.finish_purges()),
            Request::Vacate { folders } => say(reply, trash.vacate(&folders)),
            Request::HoldsData { folder } => say(reply, trash.holds_data(&folder)),
            Request::HoldsImage { entry } => say(reply, trash.holds_image(&entry)),
            Request::WhyNot { order, command } => {
                say(reply, io::Result::Ok(self.0.keeping.planner.why_not(&order, &command)));
            }
            Request::Pack { home, folders } => {
                say(reply, self.pack(&home, &folders, reply, pipe));
            }
            Request::Unpack { entry, folders } => {
                say(reply, self.unpack(&trash.path(&entry), folders, reply, pipe));
            }
        }
    }

    fn pack(
        &self,
        home: &Path,
        folders: &[PathBuf],
        asker: &UnixStream,
        pipe: Option<OwnedFd>,
    ) -> io::Result<Archived> {
        let Keeping { data_dir, scratch, .. } = &self.0.keeping;
        let scratch = scratch.join(self.0.number.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&scratch)?;
        let scratch = Scratch(scratch);
        let mut command = self.archiver("pack");
        command.args([&scratch.0, data_dir, &data_dir.join(home)]);
        command.args(folders.iter().map(|folder| data_dir.join(folder)));
        command.stdin(Stdio::null()).stdout(pipe.ok_or(io::ErrorKind::InvalidInput)?);
        run(command, asker)
    }

    fn unpack(
        &self,
        into: &Path,
        folders: usize,
        asker: &UnixStream,
        pipe: Option<OwnedFd>,
    ) -> io::Result<Archived> {
        let mut command = self.archiver("unpack");
        command.arg(into).arg(folders.to_string());
        command.stdin(pipe.ok_or(io::ErrorKind::InvalidInput)?).stdout(Stdio::null());
        run(command, asker)
    }

    fn archiver(&self, verb: &str) -> Command {
        let archiver = &self.0.keeping.archiver;
        let mut command = Command::new(&archiver.program);
        command.args(archiver.argv.iter().skip(1)).arg(verb).stderr(Stdio::piped());
        command
    }
}

/// What an archiver said, a line each, or why it failed.
type Archived = Result<Vec<String>, String>;

/// Runs an archiver until it ends, or until who asked for it has gone.
fn run(mut command: Command, asker: &UnixStream) -> io::Result<Archived> {
    let mut child = command.spawn()?;
    // Ours are the archiver's alone from here on, so that its end ends the pipe.
    drop(command);
    let said = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let listening = thread::Builder::new().name("ten-keeper".into()).spawn(move || {
        let mut text = String::new();
        let read = said.take(COMPLAINTS).read_to_string(&mut text);
        read.map(|_| text)
    })?;
    let process = Child::open(child.id())?;
    let mut events = [PollFd::new(&process, PollFlags::IN), PollFd::new(asker, PollFlags::RDHUP)];
    while let Err(rustix::io::Errno::INTR) = poll(&mut events, None) {}
    if events[0].revents().is_empty() {
        child.kill()?;
    }
    let ended = child.wait()?;
    let text = listening.join().map_err(|_| io::ErrorKind::BrokenPipe)??;
    Ok(match ended.success() {
        true => Ok(text.lines().map(str::to_owned).collect()),
        false if text.trim().is_empty() => Err(format!("it ended with {ended}")),
        false => Err(text.trim().to_owned()),
    })
}

/// A folder that goes with its archive.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!("cannot remove {}: {error}", self.0.display());
        }
    }
}

fn say<T: Serialize>(mut reply: &UnixStream, answer: Result<T, impl Into<Wrong>>) {
    let answer = answer.map_err(Into::into);
    match postcard::to_stdvec(&answer) {
        // Who asked may have gone.
        Ok(bytes) => drop(reply.write_all(&bytes)),
        Err(error) => tracing::error!(%error, "an answer about data cannot be said"),
    }
}
