//! `storage_quota_mb`: what a limit of one instance's folders needs to mean anything.

use ten_domain::Isolation;

use super::Meaning;
use crate::{mistakes::Mistake, typed::Section};

const KEY: &str = "storage_quota_mb";

/// Without walls an instance may do what ten may, and take its files out of every count.
pub(super) fn needs_walls(m: &mut Meaning<'_>, section: &Section, isolation: Isolation) {
    if isolation == Isolation::Process
        && let Some(place) = section.place(KEY)
    {
        m.mistakes.push(
            Mistake::at(place, format!("`{KEY}` needs walls"))
                .label("at isolation = \"process\", an instance can lift it")
                .help(format!("set isolation = \"namespace\", or remove `{KEY}`")),
        );
    }
}
