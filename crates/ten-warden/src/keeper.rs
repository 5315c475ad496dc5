//! The keeper of tenants' data: what is done with their folders on behalf of the front, which
//! cannot reach them.
//!
//! ```text
//! front ── Request, reply socket (, pipe) ──► keeper ──► Trash, `ten archive`
//!   ▲                                           │
//!   └────────── the answer ◄── reply socket ◄───┘
//! ```
//!
//! A fork of the warden with root's rights over files, born and gone with its front; only what it
//! executes may mount, too, for an archive of what is in an image.
//! It knows no policy: which data go and come is the front's to say. It takes nothing from the
//! front but names, and none that leads out of the data folder or to what is ten's own.
//!
//! Each question brings the socket for its answer, and has a thread of its own there, so one that
//! takes long holds up no other. [`Keeper`] is the front's end; it waits, so it is for threads
//! that may, or for what takes no longer than a rename.

mod request;
mod serve;

use std::{
    io::{self, Read},
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use serde::de::DeserializeOwned;
use ten_kernel::{NewEntry, PutBackError};

pub(crate) use self::serve::start;
use self::{
    request::{Request, Wrong, WrongPutBack},
    serve::Desk,
};
use crate::{FrontCommand, Planner, wire};

/// What a keeper keeps.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// The folder that everything lies below.
    pub data_dir: PathBuf,
    /// Where it may put what it needs for a while.
    pub scratch: PathBuf,
    /// Who knows what may be executed inside of an instance, of those whose files are not the
    /// front's to see.
    pub planner: Arc<dyn Planner>,
    /// What packs (`pack SCRATCH DATA_DIR HOME FOLDER…`) and unpacks (`unpack FOLDER COUNT`) archives.
    pub archiver: FrontCommand,
}

/// The front's end.
#[derive(Debug)]
pub struct Keeper(OwnedFd);

/// An answer that has not come yet.
#[derive(Debug)]
pub struct Pending(UnixStream);

/// Takes a question back: what is being done for it is ended.
#[derive(Debug)]
pub struct Cancel(UnixStream);

impl Keeper {
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        // Asking waits until there is room.
        rustix::io::ioctl_fionbio(&socket, false)?;
        Ok(Self(socket))
    }

    /// A keeper in a thread of this process, with this process's rights.
    pub fn in_thread(keeping: &Keeping) -> io::Result<Self> {
        let (ours, theirs) = wire::pair()?;
        let desk = Desk::open(keeping)?;
        thread::Builder::new().name("ten-keeper".into()).spawn(move || desk.serve(&theirs))?;
        Self::new(ours)
    }

    /// [`Trash::prepare`](ten_kernel::Trash::prepare).
    pub fn prepare(&self, name: String, note: &[u8]) -> io::Result<NewEntry> {
        self.ask(&Request::Prepare { name, note: note.into() })
    }

    /// [`Trash::prepare_import`](ten_kernel::Trash::prepare_import).
    pub fn prepare_import(&self, name: String, note: &[u8]) -> io::Result<NewEntry> {
        self.ask(&Request::PrepareImport { name, note: note.into() })
    }

    /// [`Trash::complete`](ten_kernel::Trash::complete).
    pub fn complete(&self, entry: &NewEntry) -> io::Result<bool> {
        self.ask(&Request::Complete(entry.clone()))
    }

    /// [`Trash::abandon`](ten_kernel::Trash::abandon).
    pub fn abandon(&self, entry: &NewEntry) -> io::Result<()> {
        self.ask(&Request::Abandon(entry.clone()))
    }

    /// [`Trash::fill`](ten_kernel::Trash::fill).
    pub fn fill(&self, entry: &NewEntry, folders: &[PathBuf]) -> io::Result<bool> {
        self.ask(&Request::Fill { entry: entry.clone(), folders: folders.into() })
    }

    /// [`Trash::conclude`](ten_kernel::Trash::conclude).
    pub fn conclude(&self, entry: &NewEntry) -> io::Result<bool> {
        self.ask(&Request::Conclude(entry.clone()))
    }

    /// [`Trash::sync`](ten_kernel::Trash::sync).
    pub fn sync(&self, entry: &str, folders: &[PathBuf]) -> io::Result<()> {
        self.ask(&Request::Sync { entry: entry.into(), folders: folders.into() })
    }

    /// [`Trash::entries`](ten_kernel::Trash::entries).
    pub fn entries(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        self.ask(&Request::Entries)
    }

    /// [`Trash::put_back`](ten_kernel::Trash::put_back).
    pub fn put_back(&self, entry: &str, folders: &[PathBuf]) -> Result<(), PutBackError> {
        let request = Request::PutBack { entry: entry.into(), folders: folders.into() };
        let answer: Result<(), WrongPutBack> = self.ask(&request)?;
        answer.map_err(PutBackError::from)
    }

    /// [`Trash::purge`](ten_kernel::Trash::purge).
    pub fn purge(&self, entry: &str) -> io::Result<()> {
        self.ask(&Request::Purge { entry: entry.into() })
    }

    /// [`Trash::finish_purges`](ten_kernel::Trash::finish_purges).
    pub fn finish_purges(&self) -> io::Result<()> {
        self.ask(&Request::FinishPurges)
    }

    /// [`Trash::vacate`](ten_kernel::Trash::vacate); does not wait for it.
    pub fn vacate(&self, folders: &[PathBuf]) -> io::Result<()> {
        self.send(&Request::Vacate { folders: folders.into() }, None).map(drop)
    }

    /// [`Trash::holds_data`](ten_kernel::Trash::holds_data).
    pub fn holds_data(&self, folder: &Path) -> io::Result<bool> {
        self.ask(&Request::HoldsData { folder: folder.into() })
    }

    /// [`Trash::holds_image`](ten_kernel::Trash::holds_image).
    pub fn holds_image(&self, entry: &str) -> io::Result<bool> {
        self.ask(&Request::HoldsImage { entry: entry.into() })
    }

    /// [`Planner::why_not`].
    pub fn why_not(&self, order: Vec<u8>, command: String) -> io::Result<Option<String>> {
        self.ask(&Request::WhyNot { order, command })
    }

    /// Packs folders, or what the image at `home` holds of them, into an archive, which is written
    /// to a pipe. The answer is what was left out, a line each; the inner error is why it failed.
    pub fn pack(
        &self,
        home: PathBuf,
        folders: Vec<PathBuf>,
        archive: &OwnedFd,
    ) -> io::Result<Pending> {
        self.send(&Request::Pack { home, folders }, Some(archive.as_fd()))
    }

    /// Unpacks an archive, read from a pipe, into an entry that was prepared for an import. The
    /// answer is as for [`Keeper::pack`].
    pub fn unpack(
        &self,
        entry: &NewEntry,
        folders: usize,
        archive: &OwnedFd,
    ) -> io::Result<Pending> {
        self.send(&Request::Unpack { entry: entry.clone(), folders }, Some(archive.as_fd()))
    }

    fn ask<T: DeserializeOwned>(&self, request: &Request) -> io::Result<T> {
        self.send(request, None)?.answer()
    }

    fn send(&self, request: &Request, pipe: Option<BorrowedFd<'_>>) -> io::Result<Pending> {
        let (ours, theirs) = UnixStream::pair()?;
        let bytes = wire::encode(request).map_err(io::Error::other)?;
        let fds: Vec<_> = [Some(theirs.as_fd()), pipe].into_iter().flatten().collect();
        wire::send(&self.0, &bytes, &fds).map_err(|_| gone())?;
        Ok(Pending(ours))
    }
}

impl Pending {
    /// A way to take the question back while somebody waits.
    pub fn cancel(&self) -> io::Result<Cancel> {
        self.0.try_clone().map(Cancel)
    }

    /// Waits for what became of an archive.
    pub fn wait(self) -> io::Result<Result<Vec<String>, String>> {
        self.answer()
    }

    fn answer<T: DeserializeOwned>(mut self) -> io::Result<T> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Err(gone());
        }
        let answer: Result<T, Wrong> = postcard::from_bytes(&bytes).map_err(io::Error::other)?;
        Ok(answer?)
    }
}

impl Cancel {
    /// Ends it.
    pub fn cancel(self) {
        // It is over already where this fails.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

fn gone() -> io::Error {
    io::Error::other("the keeper of the data has gone")
}
