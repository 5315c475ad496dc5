//! Whether the disk has room for one more fact. Nothing is reserved here: others may fill it
//! in between, and then the write itself says so.

use std::path::Path;

use rustix::{fs::statvfs, process::geteuid};

/// What one transaction may take: a few pages of the write-ahead log, and as many of the
/// database where it is the turn of a checkpoint.
const ROOM_BYTES: u64 = 64 * 1024;

/// Files that what the fact is about may take: a folder with its record, or an entry of the trash.
const ROOM_FILES: u64 = 4;

/// Whether there is less left for this process than a transaction may take, or than what it is about.
/// A disk that does not say, or has no limit, is not full.
pub(crate) fn is_used_up(database: &Path) -> bool {
    let Ok(disk) = statvfs(database) else { return false };
    // Some blocks are for root alone (statvfs(3): f_bavail).
    let blocks = if geteuid().is_root() { disk.f_bfree } else { disk.f_bavail };
    let no_bytes = disk.f_blocks > 0 && blocks.saturating_mul(disk.f_frsize) < ROOM_BYTES;
    no_bytes || disk.f_files > 0 && disk.f_ffree < ROOM_FILES
}
