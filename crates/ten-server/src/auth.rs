//! Who is calling the management API, and whether they may.
//!
//! ```text
//! admin socket ─ Peer{uid}, put there by the listener ─► 0 or ten's own uid ─► Caller::Operator
//! HTTP         ─ Authorization: Bearer ten_… ──────────► Verifier ───────────► Caller::Token
//! either, not GET or HEAD ─ Sec-Fetch-Site, Origin ────► own origin only
//! ```
//!
//! There are no sessions here and no scopes: every token is an admin token. Which `Host`
//! leads to the API at all (DNS rebinding) is decided before, by routing.

mod issue;
mod origin;
mod token;
mod verifier;

use std::{fmt, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};
use jiff::Timestamp;
use ten_api::{Problem, ProblemType};

pub use issue::{IssueError, Issued, TOKEN_FILE, issue};
pub use verifier::Verifier;

use crate::handlers::Refused;

/// The process at the other end of an admin-socket connection (`SO_PEERCRED`, unix(7)).
///
/// The listener of the admin socket puts it into the extensions of each request. No other
/// listener may: whoever has it needs no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The uid it had when it connected.
    pub uid: u32,
}

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Someone on this host, over the admin socket.
    Operator {
        /// As whom.
        uid: u32,
    },
    /// The bearer of a token.
    Token {
        /// The public part of the token, `ten_` and eight characters.
        prefix: String,
    },
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator { uid } => write!(f, "uid {uid}"),
            Self::Token { prefix } => write!(f, "token {prefix}"),
        }
    }
}

/// What callers are measured against.
#[derive(Debug)]
pub struct Auth {
    own_uid: u32,
    verifier: Verifier,
}

impl Auth {
    /// `own_uid` is the uid that `ten serve` was started as.
    pub fn new(own_uid: u32, verifier: Verifier) -> Self {
        Self { own_uid, verifier }
    }

    async fn caller(&self, peer: Option<Peer>, headers: &HeaderMap) -> Result<Caller, Problem> {
        match peer {
            Some(Peer { uid }) if uid == 0 || uid == self.own_uid => Ok(Caller::Operator { uid }),
            Some(Peer { uid }) => Err(stranger(uid, self.own_uid)),
            None => {
                let token = bearer(headers).ok_or_else(unauthenticated)?;
                let prefix = self.verifier.verify(token, Timestamp::now()).await?;
                Ok(Caller::Token { prefix: prefix.ok_or_else(unauthenticated)? })
            }
        }
    }
}

/// Lets a request through to its handler if its caller may make it, and notes who changed what.
pub(crate) async fn authenticate(
    State(auth): State<Arc<Auth>>,
    request: Request,
    next: Next,
) -> Response {
    if origin::is_foreign(&request) {
        return Refused(cross_site()).into_response();
    }
    let peer = request.extensions().get::<Peer>().copied();
    let caller = match auth.caller(peer, request.headers()).await {
        Ok(caller) => caller,
        Err(problem) => return Refused(problem).into_response(),
    };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    if !method.is_safe() {
        tracing::info!(%caller, %method, path, status = response.status().as_u16(), "command");
    }
    response
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750, section 2.1). The scheme's case does
/// not matter (RFC 9110, section 11.1). Two such fields are none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let (field, None) = (fields.next()?, fields.next()) else {
        return None;
    };
    let (scheme, token) = field.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The same for a missing, a malformed, an unknown, a wrong and an expired token.
fn unauthenticated() -> Problem {
    Problem::new(ProblemType::Unauthenticated, "the request carries no valid token")
        .with_hint("`ten token-gen` makes a token; send it as `Authorization: Bearer ten_…`")
}

fn stranger(uid: u32, own_uid: u32) -> Problem {
    Problem::new(
        ProblemType::Forbidden,
        format!("uid {uid} may not operate this server, which runs as uid {own_uid}"),
    )
    .with_hint(format!("run `ten` as root or as uid {own_uid}, or use --server and --token"))
}

fn cross_site() -> Problem {
    Problem::new(
        ProblemType::CrossSite,
        "a page of another origin sent this request (Sec-Fetch-Site or Origin)",
    )
}

#[cfg(test)]
mod tests;
