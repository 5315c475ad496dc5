//! Whether the disk has room for one more fact. Nothing is reserved here: others may fill it
//! in between, and then the write itself says so.

use std::path::Path;

use rustix::{fs::statvfs, process::geteuid};

/// What one transaction may take: a few pages of the write-ahead log, and as many of the
/// database where it is the turn of a checkpoint.
const ROOM_BYTES: u64 = 64 * 1024;

/// Whether there is less left for this process than a transaction may take. A disk that does
/// not say, or has no limit, is not full.
pub(crate) fn is_used_up(database: &Path) -> bool {
    let Ok(disk) = statvfs(database) else { return false };
    // Some blocks are for root alone (statvfs(3): f_bavail).
    let blocks = if geteuid().is_root() { disk.f_bfree } else { disk.f_bavail };
    disk.f_blocks > 0 && blocks.saturating_mul(disk.f_frsize) < ROOM_BYTES
}
