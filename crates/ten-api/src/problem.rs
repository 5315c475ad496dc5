//! How a request that was not carried out is answered: RFC 9457 problem documents.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A problem document: `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What kind of problem it is. Programs decide by this; it never changes its meaning.
    #[serde(rename = "type")]
    pub kind: ProblemType,
    /// The kind in words.
    pub title: String,
    /// The HTTP status it came with.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// What the caller can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// The media type of a problem document.
    pub const MEDIA_TYPE: &str = "application/problem+json";

    /// A problem of this kind, with what happened this time.
    pub fn new(kind: ProblemType, detail: impl fmt::Display) -> Self {
        Self {
            kind,
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: detail.to_string(),
            hint: None,
        }
    }

    /// Adds what the caller can do about it.
    pub fn with_hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }
}

macro_rules! problem_types {
    ($($(#[$doc:meta])* $name:ident = $urn:literal, $status:literal, $title:literal;)*) => {
        /// Every kind of problem. Its wire form is a URN: RFC 9457, section 3.1.1 wants a URI,
        /// and a URN does not pretend that there is a page behind it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum ProblemType {
            $($(#[$doc])* #[serde(rename = $urn)] $name,)*
        }

        impl ProblemType {
            /// The kind in words; the same for every problem of the kind.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// The HTTP status that it comes with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

problem_types! {
    /// The body or the query string is not what the endpoint takes.
    BadRequest = "urn:tenement:problem:bad-request", 400, "The request is not valid";
    /// What was sent as a backup is none, or was changed.
    BadArchive = "urn:tenement:problem:bad-archive", 400, "The backup cannot be used";
    /// A service name or an id breaks the rule for names.
    BadName = "urn:tenement:problem:bad-name", 400, "This is not a name";
    /// No token, or none that is valid.
    Unauthenticated = "urn:tenement:problem:unauthenticated", 401, "A valid token is needed";
    /// The caller is known, and may not do this.
    Forbidden = "urn:tenement:problem:forbidden", 403, "This caller may not do this";
    /// A page of another origin sent the request.
    CrossSite = "urn:tenement:problem:cross-site", 403, "Another site may not do this";
    /// No such endpoint.
    UnknownPath = "urn:tenement:problem:unknown-path", 404, "There is no such path";
    /// No such section in the config.
    UnknownService = "urn:tenement:problem:unknown-service", 404, "There is no such service";
    /// Neither running nor remembered.
    UnknownInstance = "urn:tenement:problem:unknown-instance", 404, "There is no such instance";
    /// No such data in the trash.
    NotInTrash = "urn:tenement:problem:not-in-trash", 404, "There are no such data in the trash";
    /// The endpoint exists, the method does not.
    BadMethod = "urn:tenement:problem:bad-method", 405, "The path does not take this method";
    /// It runs, and variables were to be added to its environment.
    RunsAlready = "urn:tenement:problem:runs-already", 409, "The instance runs already";
    /// It runs, or is about to; its data must rest for this.
    Awake = "urn:tenement:problem:awake", 409, "The instance does not sleep";
    /// Data are to come back where there are others.
    HasData = "urn:tenement:problem:has-data", 409, "The instance has data already";
    /// Another command on the same instance came in between.
    Superseded = "urn:tenement:problem:superseded", 409, "Another command came in between";
    /// `max_instances` is reached.
    TooManyRunning = "urn:tenement:problem:too-many-running", 409, "Too many instances run";
    /// `max_known` is reached.
    TooManyKnown = "urn:tenement:problem:too-many-known", 409, "Too many instances are known";
    /// As many commands run inside instances as may at one time.
    TooManyCommands = "urn:tenement:problem:too-many-commands", 409, "Too many commands run";
    /// No file of that name, as its instance sees the host.
    CommandNotFound = "urn:tenement:problem:command-not-found", 422, "There is no such command";
    /// The command is there, and cannot be executed inside its instance.
    NotExecuted = "urn:tenement:problem:not-executed", 422, "The command cannot be executed";
    /// The endpoint works over a connection of another protocol (RFC 9110, section 15.5.22).
    UpgradeRequired = "urn:tenement:problem:upgrade-required", 426, "An upgrade is needed";
    /// The server failed at its own work; its log says how.
    Internal = "urn:tenement:problem:internal", 500, "The server failed";
    /// What must be remembered could not be written down.
    NotStored = "urn:tenement:problem:not-stored", 500, "The change could not be stored";
    /// Data could not be moved to the trash or back.
    NotMoved = "urn:tenement:problem:not-moved", 500, "The data could not be moved";
    /// No whole backup of its data came about.
    NotBackedUp = "urn:tenement:problem:not-backed-up", 500, "The data could not be backed up";
    /// It was started and did not become ready.
    NotStarted = "urn:tenement:problem:not-started", 502, "The instance did not start";
    /// What the change needs on the disk finds no room there (RFC 4918, section 11.5).
    NoRoom = "urn:tenement:problem:no-room", 507, "The disk is full";
    /// The server is shutting down.
    ShuttingDown = "urn:tenement:problem:shutting-down", 503, "The server is shutting down";
}
