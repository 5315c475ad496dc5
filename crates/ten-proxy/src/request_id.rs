//! Ids of requests: unique, cheap, and telling a stranger nothing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::HeaderValue;

/// Gives each request an id of 32 hexadecimal digits: 16 that are random per process, 16 that
/// count, starting anywhere.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        // Without randomness (a kernel before its first entropy) ids are unique still, but for
        // those of other processes.
        let process = getrandom::u64().unwrap_or_default();
        let next = AtomicU64::new(getrandom::u64().unwrap_or_default());
        Self { process, next }
    }

    pub(crate) fn next(&self) -> HeaderValue {
        let count = self.next.fetch_add(1, Relaxed);
        let id = format!("{:016x}{count:016x}", self.process);
        HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("0"))
    }
}
