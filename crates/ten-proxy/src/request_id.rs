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

    pub(crate) fn next(&self) -> RequestId {
        let count = self.next.fetch_add(1, Relaxed);
        let mut id = [0; 32];
        for (number, digits) in [self.process, count].into_iter().zip(id.chunks_exact_mut(16)) {
            for (place, digit) in digits.iter_mut().rev().enumerate() {
                *digit = b"0123456789abcdef"[(number >> (4 * place)) as usize & 0xf];
            }
        }
        RequestId::Own(id)
    }
}

/// The id of one request.
#[derive(Debug, Clone)]
pub(crate) enum RequestId {
    Own([u8; 32]),
    /// By a proxy before us that is trusted.
    Given(Box<str>),
}

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Own(id) => str::from_utf8(id).unwrap_or_default(),
            Self::Given(id) => id,
        }
    }

    /// For an answer's head.
    pub(crate) fn to_header(&self) -> HeaderValue {
        HeaderValue::from_str(self.as_str()).unwrap_or(HeaderValue::from_static("0"))
    }
}
