//! What strangers write, in every combination that a generator finds: hosts, where they lead,
//! and headers.
//!
//! Each property is tried on some thousand inputs; `PROPTEST_CASES=1000000` tries as many as
//! that. What reads bytes has its properties beside it: `framing`,
//! `listen/opening/proxy_protocol`, `tunnel/frames`.

mod bytes;
mod headers;
mod hosts;

use proptest::prelude::*;

/// So many cases take a second or two.
fn cases(number: u32) -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(number),
    }
}
