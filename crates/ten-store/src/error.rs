//! Why something could not be remembered or recalled.

use std::{io, path::PathBuf, sync::Arc};

use rusqlite::ErrorCode;

use crate::room;

/// What went wrong, and with which file.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be created or made private, or the thread cannot be started.
    #[error("cannot open the database {}", path.display())]
    Open {
        /// The database.
        path: PathBuf,
        /// From the operating system.
        #[source]
        source: Arc<io::Error>,
    },
    /// A later version of ten has written it.
    #[error(
        "the database {} has version {found}, this ten knows versions up to {known}; \
         use the newer ten, or a data dir of its own for this one",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The latest version that this build knows.
        known: i64,
    },
    /// It is damaged, or not a database of ten. It is left as it is.
    #[error(
        "the database {} is damaged or not one of ten's; it was not changed: \
         move it away together with its -wal file, or put back a copy",
        path.display()
    )]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// From SQLite, or from a row that means nothing.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// There is no room to write. Nothing was changed; reading goes on.
    #[error("no room is left for the database {}", path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// Anything else that SQLite reports: locked for too long, read-only, a failing disk.
    #[error("the database {} cannot be used", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// From SQLite.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// The thread that owns the database is gone.
    #[error("the database {} is closed", path.display())]
    Closed {
        /// The database.
        path: PathBuf,
    },
}

impl StoreError {
    pub(crate) fn from_sqlite(path: PathBuf, error: rusqlite::Error) -> Self {
        let source = Arc::new(error);
        match &*source {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..) => Self::Corrupt { path, source },
            error => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    Self::Corrupt { path, source }
                }
                Some(ErrorCode::DiskFull) => Self::Full { path },
                // What SQLite says where its index of the log (-shm) finds no room, or where
                // a quota is used up.
                Some(ErrorCode::SystemIoFailure) if room::is_used_up(&path) => Self::Full { path },
                _ => Self::Sqlite { path, source },
            },
        }
    }
}
