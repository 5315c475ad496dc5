//! Making a token: `ten token-gen`, with or without a running server.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use argon2::{Argon2, PasswordHash, PasswordHasher};
use jiff::Timestamp;
use ten_store::{Store, StoreError, Token};

use super::token;
use crate::{convert::is_full, state};

/// Where the operator's newest token is kept for `ten` itself, inside the data dir.
pub const TOKEN_FILE: &str = "api_token";

/// What helps where the disk is full.
const FREE_SOME: &str = "free some space on the disk that holds data_dir, then try again";

/// A token that was just made.
#[derive(Debug)]
pub struct Issued {
    /// The token itself, which is in no other place than this and `saved`.
    pub token: String,
    /// The file it was saved to.
    pub saved: PathBuf,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The kernel has no random numbers.
    #[error("cannot get random numbers")]
    Random(#[from] getrandom::Error),
    /// The token cannot be hashed.
    #[error("cannot hash the token")]
    Hash(#[from] argon2::password_hash::Error),
    /// The hash cannot be stored.
    #[error("cannot store the token")]
    Store(#[from] StoreError),
    /// Another token has the same prefix already: 1 in 2 * 10^14.
    #[error("the token's prefix is taken")]
    Taken,
    /// The token cannot be saved for the operator. It is not valid, either.
    #[error("cannot write {}", path.display())]
    Save {
        /// The file.
        path: PathBuf,
        /// From the operating system.
        source: io::Error,
    },
}

impl IssueError {
    fn save(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Save { path, source }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Store(StoreError::Full { .. }) => FREE_SOME,
            Self::Save { source, .. } if is_full(source) => FREE_SOME,
            Self::Store(StoreError::Newer { .. } | StoreError::Corrupt { .. }) => {
                "nothing was changed; mend the database first"
            }
            Self::Store(
                StoreError::Open { .. } | StoreError::Sqlite { .. } | StoreError::Closed { .. },
            )
            | Self::Save { .. } => "run it as root or as the user of `ten serve`",
            Self::Random(_) | Self::Hash(_) | Self::Taken => "try again",
        }
    }
}

/// Makes an admin token, stores its hash, and saves the token as `{data_dir}/api_token`.
///
/// A running server accepts it at once. The saved file replaces the one before; tokens made
/// before stay valid.
pub async fn issue(
    data_dir: &Path,
    name: String,
    now: Timestamp,
    expires_at: Option<Timestamp>,
) -> Result<Issued, IssueError> {
    // As `ten serve` makes them.
    let state_dir = state::prepare(data_dir).map_err(IssueError::save(data_dir))?;
    let store = Store::open(&state_dir)?;
    let text = token::generate()?;
    let prefix = text[..token::PREFIX_LEN].to_owned();
    let hash: PasswordHash = Argon2::default().hash_password(text.as_bytes())?;
    let row = Token {
        prefix: prefix.clone(),
        hash: hash.to_string(),
        name,
        created_at: now,
        expires_at,
        last_used: None,
    };
    let path = data_dir.join(TOKEN_FILE);
    // Written first: a token that is valid and that nobody knows would stay for ever.
    let draft = Draft::write(data_dir, &text).map_err(IssueError::save(&path))?;
    if !store.insert_token(row).await? {
        return Err(IssueError::Taken);
    }
    match draft.put_in_place(&path) {
        Ok(()) => Ok(Issued { token: text, saved: path }),
        Err(source) => {
            store.delete_token(prefix).await?;
            Err(IssueError::save(&path)(source))
        }
    }
}

/// The token file to be, beside the one that it replaces in one step: a reader sees the old
/// token or the new one, whole. Dropped, it is removed.
struct Draft(PathBuf);

impl Draft {
    fn write(data_dir: &Path, text: &str) -> io::Result<Self> {
        let path = data_dir.join(format!(".{TOKEN_FILE}.{}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let draft = Self(path);
        writeln!(file, "{text}")?;
        file.sync_all()?;
        Ok(draft)
    }

    fn put_in_place(&self, path: &Path) -> io::Result<()> {
        fs::rename(&self.0, path)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // It is gone where it was put in place; where it cannot be removed, the token that
        // may be in it is not valid.
        let _ = fs::remove_file(&self.0);
    }
}
