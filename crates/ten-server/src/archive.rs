//! Backups: data of an instance as a stream, and back.
//!
//! ```text
//! GET data ◀─ stdout ─ ten archive pack    (a process that can reach these folders only)
//! PUT data ──▶ stdin ─▶ ten archive unpack ──▶ an entry of the trash ──▶ put back
//! ```
//!
//! Tenants may change their folders while they are read, and a database of theirs is opened by
//! SQLite. So it is done by a process of its own, which gives up the rest of the file tree
//! before it looks at anything ([`ten_kernel::seclude`]). Nothing here holds more than a block
//! in memory.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use ten_domain::InstanceName;
use ten_kernel::Storage;
use ten_supervisor::Import;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
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
                unpacked.map(|()| Vec::new()).map_err(|error| with_causes(&error))
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
    left_out.map_err(|error| with_causes(&error))
}

fn secluded(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::Unsupported => {
            "this kernel has no Landlock, without which tenants could mislead a backup".into()
        }
        _ => format!("cannot give up the rest of the file tree: {error}"),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Where archives are made.
#[derive(Debug)]
pub struct Archives {
    /// A folder for each that is being packed.
    folder: PathBuf,
    number: AtomicU64,
    places: Arc<Semaphore>,
}

impl Archives {
    /// Makes the scratch folder anew.
    pub fn open(run_dir: &Path) -> io::Result<Self> {
        let folder = run_dir.join("archives");
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&folder)?,
        }
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Ok(Self { folder, number: AtomicU64::new(0), places })
    }

    /// The data as a stream, which breaks off where packing fails.
    pub(crate) async fn pack(&self, name: &InstanceName, storage: Storage) -> io::Result<Body> {
        let place = self.place().await?;
        let scratch = self.folder.join(self.number.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&scratch)?;
        let scratch = Scratch(scratch);
        let mut command = command();
        let Storage { data_dir, folders, home, limit: _ } = storage;
        command.arg("pack").args([&scratch.0, &data_dir, &home]).args(folders);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let taken = child.stdout.take().zip(child.stderr.take());
        let (archive, said) = taken.ok_or(io::ErrorKind::BrokenPipe)?;
        tokio::spawn(tell(name.clone(), said));
        let packing = Packing { child, archive, over: false, _scratch: scratch, _place: place };
        Ok(Body::from_stream(stream::unfold(packing, Packing::next)))
    }

    /// Unpacks a stream; the inner error is what is wrong with it.
    pub(crate) async fn unpack(
        &self,
        import: &Import,
        archive: Body,
    ) -> io::Result<Result<(), String>> {
        let _place = self.place().await?;
        let mut command = command();
        command.arg("unpack").arg(import.path()).arg(import.folders().to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let taken = child.stdin.take().zip(child.stderr.take());
        let (input, said) = taken.ok_or(io::ErrorKind::BrokenPipe)?;
        let said: JoinHandle<io::Result<String>> = tokio::spawn(async move {
            let mut text = String::new();
            said.take(BLOCK as u64).read_to_string(&mut text).await?;
            Ok(text)
        });
        let fed = feed(archive.into_data_stream(), input).await;
        if let Err(broken) = fed {
            // Half an archive must not look like a whole one.
            child.kill().await?;
            return Ok(Err(broken.to_string()));
        }
        let ended = child.wait().await?;
        let said = said.await.map_err(io::Error::other)??;
        Ok(if ended.success() { Ok(()) } else { Err(said.trim().to_owned()) })
    }

    async fn place(&self) -> io::Result<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)
    }
}

fn command() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(ARCHIVE_VERB).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Passes a body on until it ends; whoever reads may have enough before.
async fn feed(mut body: BodyDataStream, mut input: ChildStdin) -> Result<(), axum::Error> {
    while let Some(block) = body.next().await {
        if input.write_all(&block?).await.is_err() {
            // Why is told by its end.
            return Ok(());
        }
    }
    Ok(())
}

/// What was left out of a backup, a line each.
async fn tell(name: InstanceName, said: ChildStderr) {
    let mut lines = BufReader::new(said).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::warn!(instance = %name, "backup: {line}");
    }
}

/// A folder that goes with its backup.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// An archive on its way out.
struct Packing {
    child: Child,
    archive: ChildStdout,
    over: bool,
    _scratch: Scratch,
    _place: OwnedSemaphorePermit,
}

impl Packing {
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        if self.over {
            return None;
        }
        let mut block = BytesMut::with_capacity(BLOCK);
        let end = match self.archive.read_buf(&mut block).await {
            Ok(0) => match self.child.wait().await {
                Ok(status) if status.success() => return None,
                Ok(status) => io::Error::other(format!("packing ended with {status}")),
                Err(error) => error,
            },
            Ok(_) => return Some((Ok(block.freeze()), self)),
            Err(error) => error,
        };
        self.over = true;
        Some((Err(end), self))
    }
}
