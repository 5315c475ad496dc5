//! Whether a token is valid: Argon2id once, a keyed hash from then on.
//!
//! ```text
//! text ─ form? ─ in memory? ─ prefix stored? ─ Argon2id (one at a time, 19 ms) ─► valid
//!          no │     yes │ keyed hash     │ no                │ wrong
//!             ▼         ▼ equal: valid   ▼                   ▼
//!           invalid                    invalid            invalid
//! ```
//!
//! Plain tokens are not kept. What is in memory grows with the number of valid tokens,
//! never with the number of attempts.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use blake2::{
    Blake2sMac256,
    digest::{KeyInit, Mac},
};
use jiff::{SignedDuration, Timestamp};
use subtle::ConstantTimeEq;
use ten_api::Problem;
use ten_store::{Store, Token};
use tokio::sync::Semaphore;

use super::token;
use crate::convert::internal;

/// `last_used` is for people who clean up old tokens; more exact would only cost writes.
const TOUCH_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// Checks tokens against the store.
#[derive(Debug)]
pub struct Verifier {
    store: Store,
    key: [u8; 32],
    verified: Mutex<HashMap<String, Verified>>,
    /// Whoever knows a prefix can ask for Argon2, which takes a core and 19 MiB: at most one
    /// core is theirs.
    argon2: Semaphore,
}

#[derive(Debug)]
struct Verified {
    mac: [u8; 32],
    expires_at: Option<Timestamp>,
    touched_at: Timestamp,
}

enum Remembered {
    Valid { touch: bool },
    Expired,
    No,
}

impl Verifier {
    /// A verifier that has verified nothing yet. Fails where the kernel has no random numbers.
    pub fn new(store: Store) -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self { store, key, verified: Mutex::default(), argon2: Semaphore::new(1) })
    }

    /// The public part of this token if it is valid at `now`. The error is the server's own.
    pub(super) async fn verify(
        &self,
        text: &str,
        now: Timestamp,
    ) -> Result<Option<String>, Problem> {
        let Some(prefix) = token::prefix(text) else {
            return Ok(None);
        };
        let mac = self.mac(text);
        match self.remembered(prefix, &mac, now) {
            Remembered::Valid { touch: false } => return Ok(Some(prefix.to_owned())),
            Remembered::Expired => return Ok(None),
            Remembered::Valid { touch: true } => {}
            Remembered::No => {
                let found = self
                    .store
                    .find_token(prefix.to_owned())
                    .await
                    .map_err(|error| internal(&error))?;
                let Some(stored) = found.filter(|stored| !expired(stored.expires_at, now)) else {
                    return Ok(None);
                };
                if !self.matches(text, &stored).await? {
                    return Ok(None);
                }
                let expires_at = stored.expires_at;
                let verified = Verified { mac, expires_at, touched_at: now };
                self.verified().insert(prefix.to_owned(), verified);
            }
        }
        if let Err(error) = self.store.touch_token(prefix.to_owned(), now).await {
            // The token is valid all the same; a full disk must not lock operators out.
            tracing::warn!(%error, prefix, "cannot note the use of a token");
        }
        Ok(Some(prefix.to_owned()))
    }

    fn remembered(&self, prefix: &str, mac: &[u8; 32], now: Timestamp) -> Remembered {
        let mut all = self.verified();
        let Some(verified) = all.get_mut(prefix) else {
            return Remembered::No;
        };
        if !bool::from(verified.mac.ct_eq(mac)) {
            return Remembered::No;
        }
        if expired(verified.expires_at, now) {
            return Remembered::Expired;
        }
        let touch = now.duration_since(verified.touched_at) >= TOUCH_EVERY;
        if touch {
            verified.touched_at = now;
        }
        Remembered::Valid { touch }
    }

    /// Argon2id verification, which compares in constant time.
    async fn matches(&self, text: &str, stored: &Token) -> Result<bool, Problem> {
        let _turn = self.argon2.acquire().await;
        let (text, hash) = (text.to_owned(), stored.hash.clone());
        let verify = move || {
            let hash = PasswordHash::new(&hash)?;
            Argon2::default().verify_password(text.as_bytes(), &hash)
        };
        match tokio::task::spawn_blocking(verify).await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(argon2::password_hash::Error::PasswordInvalid)) => Ok(false),
            Ok(Err(error)) => Err(internal(&error)),
            Err(error) => Err(internal(&error)),
        }
    }

    fn mac(&self, text: &str) -> [u8; 32] {
        let mac = Blake2sMac256::new(&self.key.into());
        mac.chain_update(text).finalize().into_bytes().into()
    }

    fn verified(&self) -> MutexGuard<'_, HashMap<String, Verified>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn expired(expires_at: Option<Timestamp>, now: Timestamp) -> bool {
    expires_at.is_some_and(|at| at <= now)
}

#[cfg(test)]
mod tests;
