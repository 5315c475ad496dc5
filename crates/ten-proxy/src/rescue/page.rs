//! What ten says in an instance's place: each page's status, state and words.
//!
//! Words say what a visitor can act on, and name no path, pid, address or cause.

use std::time::Duration;

use http::StatusCode;

/// When to come back where nothing better is known: a queue or a limit may have room in a second.
const SOON: Duration = Duration::from_secs(1);
/// When to come back for what is not over by itself: an operator has to see to it, or what is slow
/// or broken needs a while.
const LATER: Duration = Duration::from_secs(30);

/// In what state the instance was (SPEC 4), for a client's programmer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Waking,
    Asleep,
    Failed,
    Unknown,
}

impl State {
    /// As `X-Ten-State` has it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Waking => "waking",
            Self::Asleep => "asleep",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// One answer of ten's own.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) state: State,
    /// The last part of the problem's `type`, and the name of the file that may stand in.
    pub(crate) kind: &'static str,
    pub(crate) title: &'static str,
    pub(crate) detail: &'static str,
    /// When it makes sense to ask again, where the fault does not say.
    pub(crate) retry_after: Option<Duration>,
    /// The connection cannot be used again.
    pub(crate) closes: bool,
}

impl Page {
    const fn new(
        status: StatusCode,
        state: State,
        kind: &'static str,
        title: &'static str,
        detail: &'static str,
    ) -> Self {
        Self { status, state, kind, title, detail, retry_after: None, closes: false }
    }

    const fn soon(mut self) -> Self {
        self.retry_after = Some(SOON);
        self
    }

    const fn later(mut self) -> Self {
        self.retry_after = Some(LATER);
        self
    }

    const fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// Whether anything has gone wrong.
    pub(crate) fn is_failure(&self) -> bool {
        self.kind != WAKING.kind
    }
}

/// Every page.
pub(crate) const ALL: [&Page; 22] = [
    &TARGET_TOO_LONG,
    &HEADERS_TOO_LARGE,
    &MALFORMED_REQUEST,
    &MALFORMED_BODY,
    &HEAD_TIMEOUT,
    &BODY_TIMEOUT,
    &CLIENT_LEFT,
    &NOT_FOUND,
    &MISDIRECTED,
    &ASLEEP,
    &WAKING,
    &NOT_READY,
    &FAILED,
    &QUEUE_FULL,
    &BUSY,
    &NO_FILES,
    &TOO_MANY_RUNNING,
    &TOO_MANY_NEW,
    &CROWDED,
    &SHUTTING_DOWN,
    &BAD_GATEWAY,
    &TIMEOUT,
];

pub(crate) const TARGET_TOO_LONG: Page = Page::new(
    StatusCode::URI_TOO_LONG,
    State::Unknown,
    "target-too-long",
    "Address too long",
    "The address of the request is longer than is allowed here.",
)
.closing();

pub(crate) const HEADERS_TOO_LARGE: Page = Page::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    State::Unknown,
    "headers-too-large",
    "Headers too large",
    "The request has more or longer headers than are allowed here.",
)
.closing();

pub(crate) const MALFORMED_REQUEST: Page = Page::new(
    StatusCode::BAD_REQUEST,
    State::Unknown,
    "malformed-request",
    "Malformed request",
    "The request breaks a rule of HTTP that is enforced here.",
)
.closing();

pub(crate) const MALFORMED_BODY: Page = Page::new(
    StatusCode::BAD_REQUEST,
    State::Unknown,
    "malformed-body",
    "Malformed request body",
    "The body of the request was cut short or is not framed as HTTP wants it.",
)
.closing();

pub(crate) const HEAD_TIMEOUT: Page = Page::new(
    StatusCode::REQUEST_TIMEOUT,
    State::Unknown,
    "head-timeout",
    "Too slow",
    "The head of the request took too long.",
)
.closing();

pub(crate) const BODY_TIMEOUT: Page = Page::new(
    StatusCode::REQUEST_TIMEOUT,
    State::Unknown,
    "body-timeout",
    "Too slow",
    "The body of the request stood still for too long.",
)
.closing();

/// For clients that have only closed their writing side.
pub(crate) const CLIENT_LEFT: Page = Page::new(
    StatusCode::BAD_REQUEST,
    State::Unknown,
    "client-left",
    "Gone",
    "The connection was closed from the client's side before the request had its turn.",
)
.closing();

pub(crate) const NOT_FOUND: Page = Page::new(
    StatusCode::NOT_FOUND,
    State::Unknown,
    "not-found",
    "Not found",
    "There is nothing at this address.",
);

pub(crate) const MISDIRECTED: Page = Page::new(
    StatusCode::MISDIRECTED_REQUEST,
    State::Unknown,
    "misdirected",
    "Misdirected request",
    "The connection was made for another host.",
);

pub(crate) const ASLEEP: Page = Page::new(
    StatusCode::SERVICE_UNAVAILABLE,
    State::Asleep,
    "asleep",
    "Asleep",
    "This address sleeps, and requests do not wake it.",
)
.later();

/// For a browser whose wake takes a while; it comes back by itself.
pub(crate) const WAKING: Page = Page::new(
    StatusCode::SERVICE_UNAVAILABLE,
    State::Waking,
    "waking",
    "Waking up",
    "It was asleep and is starting. This page goes on by itself as soon as it is ready.",
)
.soon();

pub(crate) const NOT_READY: Page = Page::new(
    StatusCode::SERVICE_UNAVAILABLE,
    State::Waking,
    "not-ready",
    "Not ready yet",
    "It was started and is not ready. Try again shortly.",
);

pub(crate) const FAILED: Page = Page::new(
    StatusCode::SERVICE_UNAVAILABLE,
    State::Failed,
    "failed",
    "Out of order",
    "It failed to start several times and waits for its operator.",
)
.later();

pub(crate) const QUEUE_FULL: Page = Page::new(
    StatusCode::SERVICE_UNAVAILABLE,
    State::Waking,
    "queue-full",
    "Too many are waiting",
    "More requests wait for it than may. Try again shortly.",
)
.soon();

pub(crate) const BUSY: Page = Page::new(
    StatusCode::SERVICE_UNAVAILABLE,
    State::Unknown,
    "busy",
    "Busy",
    "It had no room for this request in time. Try again shortly.",
)
.soon();

pub(crate) const NO_FILES: Page = Page::new(
    StatusCode::SERVICE_UNAVAILABLE,
    State::Unknown,
    "no-open-files",
    "Busy",
    "The server had no room for this request in time. Try again shortly.",
)
.soon();

pub(crate) const TOO_MANY_RUNNING: Page = Page::new(
    StatusCode::SERVICE_UNAVAILABLE,
    State::Asleep,
    "too-many-running",
    "No room to wake it",
    "As many as may run are running. Try again shortly.",
)
.soon();

pub(crate) const TOO_MANY_NEW: Page = Page::new(
    StatusCode::TOO_MANY_REQUESTS,
    State::Asleep,
    "too-many-new",
    "Too many new addresses",
    "Requests from your network have asked for too many new addresses. Try again shortly.",
);

pub(crate) const CROWDED: Page = Page::new(
    StatusCode::TOO_MANY_REQUESTS,
    State::Unknown,
    "crowded",
    "Too many requests at a time",
    "Your connection asks for more at a time than there is room for. Try again shortly.",
)
.soon();

pub(crate) const SHUTTING_DOWN: Page = Page::new(
    StatusCode::SERVICE_UNAVAILABLE,
    State::Unknown,
    "shutting-down",
    "Shutting down",
    "The server is shutting down. Try again shortly.",
)
.soon()
.closing();

pub(crate) const BAD_GATEWAY: Page = Page::new(
    StatusCode::BAD_GATEWAY,
    State::Unknown,
    "bad-gateway",
    "Bad gateway",
    "It did not give a usable answer.",
)
.soon();

pub(crate) const TIMEOUT: Page = Page::new(
    StatusCode::GATEWAY_TIMEOUT,
    State::Unknown,
    "timeout",
    "Too slow",
    "It did not answer in time.",
)
.later();

#[cfg(test)]
mod tests {
    use super::*;

    /// An operator who finds a status in a log looks it up there.
    #[test]
    fn the_documents_have_a_row_for_every_page_and_no_other() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operating.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, table) = text.split_once("| status | kind | `X-Ten-State` | cause |\n").unwrap();
        let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
        let mut told: Vec<[&str; 3]> = Vec::new();
        for row in rows {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            let [status, kind, state, cause] = cells[..] else { panic!("{row}") };
            assert!(!cause.is_empty(), "{row}");
            told.push([status, kind.trim_matches('`'), state.trim_matches('`')]);
        }
        let mut pages = ALL.map(|page| [page.status.as_str(), page.kind, page.state.word()]);
        told.sort_unstable();
        pages.sort_unstable();
        assert_eq!(told, pages);
    }
}
