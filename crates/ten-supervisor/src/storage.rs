//! How full the storage of a running instance is, told to the log before it is full.
//!
//! Nothing here limits anything: the kernel does. A look is one statvfs(3), which waits for no
//! disk; who sleeps is not looked at.

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ten_domain::InstanceName;
use ten_kernel::storage_used;
use tokio::time::sleep;

/// In percent of the limit: where it is said, and below which it may be said again.
const NEARLY_FULL: u64 = 80;
const ROOM_AGAIN: u64 = 75;
/// Time between two looks.
const EVERY: Duration = Duration::from_secs(30);

pub(crate) const MIB: u64 = 1024 * 1024;

/// Looks for as long as it is let live. `told` outlives the process, so that one that often
/// sleeps and wakes is told of once.
pub(crate) async fn watch(
    name: InstanceName,
    meter: Arc<OwnedFd>,
    limit_mb: u64,
    told: Arc<AtomicBool>,
) {
    loop {
        match storage_used(&meter) {
            Ok(used) if turns(&told, used, limit_mb) => tracing::warn!(
                instance = %name,
                "its storage is nearly full: {} of {limit_mb} MiB (storage_quota_mb)",
                used.div_ceil(MIB),
            ),
            Ok(_) => {}
            Err(error) => {
                return tracing::warn!(instance = %name, "cannot tell how full its storage is: {error}");
            }
        }
        sleep(EVERY).await;
    }
}

/// Of one whose data are in an image, and whose limit is gone from the config.
pub(crate) fn say_that_it_stays(name: &InstanceName, told: &AtomicBool) {
    if !told.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            instance = %name,
            "its data stay in an image, which limits them, although storage_quota_mb is gone; a \
             backup that is restored with --replace brings them out",
        );
    }
}

/// Whether this is news.
fn turns(told: &AtomicBool, used: u64, limit_mb: u64) -> bool {
    let percent = used / (limit_mb.saturating_mul(MIB) / 100).max(1);
    if percent < ROOM_AGAIN {
        told.store(false, Ordering::Relaxed);
    }
    percent >= NEARLY_FULL && !told.swap(true, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_each_time_that_it_fills() {
        let told = AtomicBool::default();
        let said = |mib| turns(&told, mib * MIB, 100);
        let news = [10, 79, 80, 99, 100, 78, 81, 74, 79, 85].map(said);
        assert_eq!(news, [false, false, true, false, false, false, false, false, false, true]);
        assert!(!turns(&told, u64::MAX, u64::MAX));
    }
}
