//! The handle, and the thread behind it that owns the connection.
//!
//! An answer means *committed*: it is on the disk. Requests that have queued up meanwhile
//! share one transaction and so one wait for the disk; if that fails, each is tried alone, so
//! that everyone gets the answer that is his.
//!
//! Two stores on one file do not hurt each other: SQLite locks, and each waits for the other.
//! That there is one *server* per data dir is not decided here but by the lock of the data
//! dir; `ten token-gen` beside a running server is legal.

use std::{
    fs::{OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use ten_domain::{InstanceName, Weight};
use tokio::sync::{mpsc, oneshot};

use crate::{
    KnownInstance, Origin, StoreError, Token, room,
    rows::{self, Write},
    schema,
};

/// The database's name in the data dir.
pub const FILE_NAME: &str = "ten.db";

/// Requests that wait for the thread; more wait for a place. Also the most that share one
/// transaction.
const MAILBOX: usize = 256;

/// How long to wait for another process that writes. `ten token-gen` needs milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Owner only: it holds token hashes. SQLite gives its `-wal` and `-shm` the same mode.
const MODE: u32 = 0o600;

/// A handle on the database. Cheap to clone; the last one to go closes it.
#[derive(Debug, Clone)]
pub struct Store {
    path: Arc<PathBuf>,
    requests: mpsc::Sender<Request>,
}

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

#[derive(Debug)]
enum Request {
    Write(Write, Reply<bool>),
    Instances(Reply<Vec<KnownInstance>>),
    Tokens(Reply<Vec<Token>>),
    FindToken(String, Reply<Option<Token>>),
}

impl Store {
    /// Opens `ten.db` in this folder, makes it where it is missing, and brings an older one
    /// up to date. Blocks.
    ///
    /// # Errors
    ///
    /// Every variant of [`StoreError`] but `Closed`. A file that cannot be used is left as
    /// it is.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let path = Arc::new(data_dir.join(FILE_NAME));
        let database = Database::open(&path)?;
        let (requests, inbox) = mpsc::channel(MAILBOX);
        thread::Builder::new()
            .name("ten-store".into())
            .spawn(move || database.serve(inbox))
            .map_err(|source| cannot_open(&path, source))?;
        Ok(Self { path, requests })
    }

    /// Asked before something is done that must be remembered, so that it is not half done
    /// where the disk is full.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] where hardly any room is left.
    pub fn check_room(&self) -> Result<(), StoreError> {
        match room::is_used_up(&self.path) {
            true => Err(StoreError::Full { path: self.path.to_path_buf() }),
            false => Ok(()),
        }
    }

    /// Remembers an instance. One that is known already keeps its `created_at`.
    pub async fn remember(
        &self,
        name: InstanceName,
        weight: Weight,
        origin: Origin,
    ) -> Result<(), StoreError> {
        self.write(Write::Remember(name, weight, origin)).await.map(drop)
    }

    /// Forgets an instance; `false` where it was not known.
    pub async fn forget(&self, name: InstanceName) -> Result<bool, StoreError> {
        self.write(Write::Forget(name)).await
    }

    /// Sets the weight of a known instance; `false` where it is not known.
    pub async fn set_weight(&self, name: InstanceName, weight: Weight) -> Result<bool, StoreError> {
        self.write(Write::SetWeight(name, weight)).await
    }

    /// Every known instance, sorted by name.
    pub async fn all(&self) -> Result<Vec<KnownInstance>, StoreError> {
        self.ask(Request::Instances).await
    }

    /// Remembers a token; `false`, and nothing is changed, where its prefix is taken.
    pub async fn insert_token(&self, token: Token) -> Result<bool, StoreError> {
        self.write(Write::InsertToken(token)).await
    }

    /// The token with this prefix, expired or not.
    pub async fn find_token(&self, prefix: String) -> Result<Option<Token>, StoreError> {
        self.ask(|reply| Request::FindToken(prefix, reply)).await
    }

    /// Every token, the oldest first.
    pub async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.ask(Request::Tokens).await
    }

    /// Notes when a token was last used; `false` where there is none.
    pub async fn touch_token(&self, prefix: String, at: Timestamp) -> Result<bool, StoreError> {
        self.write(Write::TouchToken { prefix, at }).await
    }

    /// Deletes a token; `false` where there is none.
    pub async fn delete_token(&self, prefix: String) -> Result<bool, StoreError> {
        self.write(Write::DeleteToken { prefix }).await
    }

    async fn write(&self, write: Write) -> Result<bool, StoreError> {
        self.ask(|reply| Request::Write(write, reply)).await
    }

    /// A caller that leaves while it waits does not undo what it has asked for.
    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, StoreError> {
        let closed = || StoreError::Closed { path: self.path.to_path_buf() };
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

/// The connection and the name of its file, in the thread that owns them.
#[derive(Debug)]
struct Database {
    path: Arc<PathBuf>,
    connection: Connection,
}

impl Database {
    fn open(path: &Arc<PathBuf>) -> Result<Self, StoreError> {
        make_private(path).map_err(|source| cannot_open(path, source))?;
        let failed = |error| StoreError::from_sqlite(path.to_path_buf(), error);
        let mut connection = Connection::open(&**path).map_err(failed)?;
        // Looked at before anything is written, so that a newer or damaged file stays as it is.
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        let found = schema::version(&connection).map_err(failed)?;
        if found > schema::VERSION {
            let path = path.to_path_buf();
            return Err(StoreError::Newer { path, found, known: schema::VERSION });
        }
        check(&connection).map_err(failed)?;
        configure(&connection).map_err(failed)?;
        schema::migrate(&mut connection).map_err(failed)?;
        Ok(Self { path: Arc::clone(path), connection })
    }

    fn serve(mut self, mut inbox: mpsc::Receiver<Request>) {
        let mut requests = Vec::new();
        let mut writes = Vec::new();
        while inbox.blocking_recv_many(&mut requests, MAILBOX) > 0 {
            for request in requests.drain(..) {
                if let Request::Write(write, reply) = request {
                    writes.push((write, reply));
                    continue;
                }
                // A reader sees every write that was asked for before it.
                self.commit(&mut writes);
                self.read(request);
            }
            self.commit(&mut writes);
        }
    }

    fn read(&self, request: Request) {
        let db = &self.connection;
        match request {
            Request::Write(..) => {}
            Request::Instances(reply) => {
                answer(reply, self.told(rows::instances(db)));
                // Asked for once, at the start. All that was read for it is in the cache now, for
                // nobody. That it is given up cannot matter to anyone, and if it cannot be, neither.
                let _ = db.execute_batch("PRAGMA shrink_memory");
            }
            Request::Tokens(reply) => answer(reply, self.told(rows::tokens(db))),
            Request::FindToken(prefix, reply) => {
                answer(reply, self.told(rows::find_token(db, &prefix)));
            }
        }
    }

    fn commit(&mut self, writes: &mut Vec<(Write, Reply<bool>)>) {
        match self.transact(writes.iter().map(|(write, _)| write)) {
            Ok(changed) => {
                for ((_, reply), changed) in writes.drain(..).zip(changed) {
                    answer(reply, Ok(changed));
                }
            }
            Err(_) => {
                for (write, reply) in writes.drain(..) {
                    let result = self.transact([&write]).map(|changed| changed == [true]);
                    answer(reply, self.told(result));
                }
            }
        }
    }

    /// All of these, or none.
    fn transact<'a>(
        &mut self,
        writes: impl IntoIterator<Item = &'a Write, IntoIter: ExactSizeIterator>,
    ) -> rusqlite::Result<Vec<bool>> {
        let writes = writes.into_iter();
        if writes.len() == 0 {
            return Ok(Vec::new());
        }
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let changed = writes.map(|write| write.execute(&tx)).collect::<Result<_, _>>()?;
        tx.commit()?;
        Ok(changed)
    }

    fn told<T>(&self, result: rusqlite::Result<T>) -> Result<T, StoreError> {
        result.map_err(|error| StoreError::from_sqlite(self.path.to_path_buf(), error))
    }
}

/// A caller that has left does not need its answer.
fn answer<T>(reply: Reply<T>, result: Result<T, StoreError>) {
    let _ = reply.send(result);
}

fn cannot_open(path: &Path, source: io::Error) -> StoreError {
    let path = path.to_path_buf();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { path },
        _ => StoreError::Open { path, source: Arc::new(source) },
    }
}

/// Makes the file where it is missing; nobody but its owner may read it in either case.
fn make_private(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().append(true).create(true).mode(MODE).open(path)?;
    file.set_permissions(Permissions::from_mode(MODE))
}

/// Finds damage now rather than in the middle of a command. Reads the whole file: 1 MB for
/// 10,000 instances.
fn check(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_query(None, "quick_check", |row| match row.get_ref(0)?.as_str() {
        Ok("ok") => Ok(()),
        finding => Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            finding.ok().map(str::to_owned),
        )),
    })
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    // A commit survives a power cut: in WAL mode only FULL syncs at every commit
    // (https://www.sqlite.org/pragma.html#pragma_synchronous).
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // With a mapped file a failing disk would be a SIGBUS instead of an error.
    connection.pragma_update(None, "mmap_size", 0)
}

#[cfg(test)]
mod tests;
