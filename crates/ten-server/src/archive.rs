//! Backups: data of an instance as a stream, and back.
//!
//! ```text
//! GET data ◀─ pipe ─ ten archive pack    (a process that can reach these folders only)
//! PUT data ──▶ pipe ─▶ ten archive unpack ──▶ an entry of the trash ──▶ put back
//! ```
//!
//! Tenants may change their folders while they are read, and a database of theirs is opened by
//! SQLite. So it is done by a process of its own, which gives up the rest of the file tree
//! before it looks at anything ([`ten_kernel::seclude`]); the keeper of the data starts it, for the
//! front may not. Nothing here holds more than a block in memory.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::StreamBody;
use hyper::body::Frame;
use rustix::pipe::{PipeFlags, pipe_with};
use ten_api::BACKUP_FAILURE;
use ten_domain::InstanceName;
use ten_kernel::Storage;
use ten_supervisor::{Fleet, Import};
use ten_warden::Cancel;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};

/// The hidden verb that does the work.
pub const ARCHIVE_VERB: &str = "archive";
/// Backups at a time, there and back; more wait. Each takes a processor.
const AT_ONCE: usize = 2;
/// Bytes that are passed on at once.
const BLOCK: usize = 64 * 1024;

/// What `ten archive` is told.
#[derive(Debug, Clone)]
pub enum Archive {
    /// Write an archive of these data to stdout.
    Pack {
        /// For a copy of one database at a time.
        scratch: PathBuf,
        /// What the folders lie in.
        data_dir: PathBuf,
        /// Where an image would be that holds them.
        home: PathBuf,
        /// In the order of their numbers.
        folders: Vec<PathBuf>,
    },
    /// Unpack an archive from stdin.
    Unpack {
        /// Where the folders get their numbers as names.
        into: PathBuf,
        /// How many there may be.
        folders: usize,
    },
}

/// Does it, after giving up all but the folders in question. The process must have one thread.
pub fn archive(what: &Archive) -> ExitCode {
    let done = match what {
        Archive::Pack { scratch, data_dir, home, folders } => {
            let (data_dir, home, folders) = (data_dir.clone(), home.clone(), folders.clone());
            pack(scratch, &Storage { data_dir, folders, home, limit: None })
        }
        Archive::Unpack { into, folders } => {
            ten_kernel::seclude(std::slice::from_ref(into)).map_err(secluded).and_then(|()| {
                let unpacked = ten_archive::unpack(io::stdin().lock(), into, *folders);
                unpacked.map(|()| Vec::new()).map_err(|error| ten_kernel::with_causes(&error))
            })
        }
    };
    let (lines, code) = match done {
        Ok(left_out) => (left_out, ExitCode::SUCCESS),
        Err(why) => (vec![why], ExitCode::FAILURE),
    };
    for line in lines {
        // Whoever does not listen has gone.
        let _ = writeln!(io::stderr(), "{line}");
    }
    code
}

/// What was left out.
fn pack(scratch: &Path, storage: &Storage) -> Result<Vec<String>, String> {
    let seen = ten_kernel::look_into(storage).map_err(|failure| failure.to_string())?;
    let there = seen.folders.iter().filter(|folder| folder.is_dir());
    let reachable: Vec<_> = there.cloned().chain([scratch.to_owned()]).collect();
    ten_kernel::seclude(&reachable).map_err(secluded)?;
    let left_out = ten_archive::pack(&seen.folders, scratch, io::stdout().lock());
    let lines = left_out.map(|all| all.iter().map(ToString::to_string).collect());
    lines.map_err(|error| ten_kernel::with_causes(&error))
}

fn secluded(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::Unsupported => {
            "this kernel has no Landlock, without which tenants could mislead a backup".into()
        }
        _ => format!("cannot give up the rest of the file tree: {error}"),
    }
}

/// How many archives are made and read at a time.
#[derive(Debug)]
pub struct Archives(Arc<Semaphore>);

/// With nobody at work.
impl Default for Archives {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Archives {
    /// The data as a stream, or why there is nothing of it. Where packing fails later, the stream
    /// ends with the reason as a trailer for who takes `trailers`, else it breaks off.
    pub(crate) async fn pack(
        &self,
        fleet: &Fleet,
        name: &InstanceName,
        storage: &Storage,
        trailers: bool,
    ) -> io::Result<Result<Body, String>> {
        let place = self.place().await?;
        let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        let pending = fleet.pack(storage, &theirs)?;
        // The keeper's is the only one left, so its end is the archive's.
        drop(theirs);
        let archive = pipe::Receiver::from_owned_fd(ours)?;
        let cancel = Unwanted(Some(pending.cancel()?));
        let ended = tokio::task::spawn_blocking(move || pending.wait());
        let packing = Packing {
            name: name.clone(),
            archive,
            ended,
            trailers,
            _cancel: cancel,
            _place: place,
        };
        packing.into_body().await
    }

    /// Unpacks a stream; the inner error is what is wrong with it.
    pub(crate) async fn unpack(
        &self,
        import: &Import,
        archive: Body,
    ) -> io::Result<Result<(), String>> {
        let _place = self.place().await?;
        let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC)?;
        let pending = import.unpack(&theirs)?;
        drop(theirs);
        let cancel = pending.cancel()?;
        let _unwanted = Unwanted(Some(pending.cancel()?));
        let ended = tokio::task::spawn_blocking(move || pending.wait());
        let input = pipe::Sender::from_owned_fd(ours)?;
        let fed = feed(archive.into_data_stream(), input, cancel).await;
        let ended = ended.await.map_err(io::Error::other)?;
        if let Err(broken) = fed {
            return Ok(Err(broken.to_string()));
        }
        Ok(ended?.map(drop))
    }

    async fn place(&self) -> io::Result<OwnedSemaphorePermit> {
        Arc::clone(&self.0).acquire_owned().await.map_err(io::Error::other)
    }
}

/// Passes a body on until it ends; whoever reads may have enough before. One that breaks off is
/// taken back before its pipe ends: half an archive must not look like a whole one.
async fn feed(
    mut body: BodyDataStream,
    mut input: pipe::Sender,
    cancel: Cancel,
) -> Result<(), axum::Error> {
    while let Some(block) = body.next().await {
        match block {
            // Why is told by its end.
            Ok(block) if input.write_all(&block).await.is_err() => return Ok(()),
            Ok(_) => {}
            Err(broken) => {
                cancel.cancel();
                return Err(broken);
            }
        }
    }
    Ok(())
}

/// What an archiver said, or why it failed, once it has ended.
type Ended = JoinHandle<io::Result<Result<Vec<String>, String>>>;

/// An archive on its way out. Dropped before its end, because its client has left, it takes the
/// archiver with it, whatever that waits for.
struct Packing {
    name: InstanceName,
    archive: pipe::Receiver,
    ended: Ended,
    trailers: bool,
    _cancel: Unwanted,
    _place: OwnedSemaphorePermit,
}

/// Ends an archiver when it is dropped: it has ended already, or nobody wants it any more.
struct Unwanted(Option<Cancel>);

impl Drop for Unwanted {
    fn drop(&mut self) {
        if let Some(cancel) = self.0.take() {
            cancel.cancel();
        }
    }
}

/// What comes next of an archive.
enum Next {
    Block(Bytes),
    /// It is whole.
    End,
    /// It will never be, and this is why.
    Failed(String),
}

impl Packing {
    /// Looks at the first block before anything is answered: what keeps an archive from being made
    /// at all is known by then.
    async fn into_body(mut self) -> io::Result<Result<Body, String>> {
        let first = match self.next().await? {
            Next::Failed(why) => return Ok(Err(why)),
            first => first,
        };
        let frames = stream::unfold(Some((first, self)), async |at| {
            let (next, mut packing) = at?;
            match next {
                Next::End => None,
                Next::Failed(why) if packing.trailers => Some((Ok(trailer(&why)), None)),
                Next::Failed(why) => Some((Err(io::Error::other(why)), None)),
                Next::Block(block) => {
                    let following = packing.next().await;
                    let following =
                        following.unwrap_or_else(|error| Next::Failed(error.to_string()));
                    Some((Ok(Frame::data(block)), Some((following, packing))))
                }
            }
        });
        Ok(Ok(Body::new(StreamBody::new(frames))))
    }

    async fn next(&mut self) -> io::Result<Next> {
        let mut block = BytesMut::with_capacity(BLOCK);
        if self.archive.read_buf(&mut block).await? > 0 {
            return Ok(Next::Block(block.freeze()));
        }
        let ended = (&mut self.ended).await.map_err(io::Error::other)??;
        let (next, lines) = match ended {
            Ok(left_out) => (Next::End, left_out),
            Err(why) => (Next::Failed(why.clone()), vec![why]),
        };
        for line in lines {
            tracing::warn!(instance = %self.name, "backup: {line}");
        }
        Ok(next)
    }
}

/// The reason as the one trailer, without what no header can hold.
fn trailer(why: &str) -> Frame<Bytes> {
    let line = why.replace(|c: char| c.is_control(), " ");
    let line = HeaderValue::from_bytes(line.trim().as_bytes()).expect("no control characters");
    Frame::trailers(HeaderMap::from_iter([(HeaderName::from_static(BACKUP_FAILURE), line)]))
}

#[cfg(test)]
mod tests;
