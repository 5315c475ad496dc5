//! Making a token: `ten token-gen`, with or without a running server.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use argon2::{Argon2, PasswordHash, PasswordHasher};
use jiff::Timestamp;
use ten_store::{Store, StoreError, Token};

use super::token;

/// Where the operator's newest token is kept for `ten` itself, inside the data dir.
pub const TOKEN_FILE: &str = "api_token";

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
    // As `ten serve` makes it.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(|source| IssueError::Save { path: data_dir.to_owned(), source })?;
    let store = Store::open(data_dir)?;
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
    if !store.insert_token(row).await? {
        return Err(IssueError::Taken);
    }
    match save(data_dir, &text) {
        Ok(saved) => Ok(Issued { token: text, saved }),
        Err(error) => {
            store.delete_token(prefix).await?;
            Err(error)
        }
    }
}

/// Replaces the token file in one step: a reader sees the old token or the new one, whole.
fn save(data_dir: &Path, text: &str) -> Result<PathBuf, IssueError> {
    let path = data_dir.join(TOKEN_FILE);
    let fresh = data_dir.join(format!(".{TOKEN_FILE}.{}", std::process::id()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        fs::rename(&fresh, &path)
    };
    match write() {
        Ok(()) => Ok(path),
        Err(source) => {
            // What is left of it may hold a token; where even that fails, the first error tells.
            let _ = fs::remove_file(&fresh);
            Err(IssueError::Save { path, source })
        }
    }
}
