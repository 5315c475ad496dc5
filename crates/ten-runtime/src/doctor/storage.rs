//! The data folder, and what could limit its instances' folders.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use ten_kernel::Filesystem;

use super::{Check, SERVE, read};

pub(super) fn checks(data_dir: &Path) -> Vec<Check> {
    let mut above = data_dir.ancestors();
    let existing = above.find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    vec![folder(data_dir, existing), quotas(existing)]
}

fn folder(data_dir: &Path, existing: &Path) -> Check {
    let shown = data_dir.display();
    let is_there = existing == data_dir;
    let wrong = |why: String| {
        Check::missing("data_dir", why)
            .fix("run ten as the user that owns data_dir, or name another one")
            .needed_by(Some(SERVE.into()))
    };
    if !existing.is_dir() {
        return wrong(format!("{} is not a folder", existing.display()));
    }
    if !ten_kernel::is_writable(existing) {
        return wrong(format!("{} cannot be written to", existing.display()));
    }
    match fs::metadata(existing) {
        Ok(meta) if is_there && meta.uid() != ten_kernel::own_uid() => wrong(format!(
            "{shown} belongs to uid {}, and this is uid {}",
            meta.uid(),
            ten_kernel::own_uid()
        )),
        Ok(_) if is_there => Check::works("data_dir", format!("{shown} is writable")),
        Ok(_) => Check::works("data_dir", format!("{shown} is made at the first start")),
        Err(error) => wrong(format!("{shown}: {error}")),
    }
}

/// What would keep a folder below a size. Nothing does yet.
fn quotas(existing: &Path) -> Check {
    let name = "storage quotas";
    let later = "storage_quota_mb is not supported yet";
    let Ok(Filesystem { kind, mount_point, options }) = ten_kernel::filesystem(existing) else {
        return Check::missing(name, "it cannot be told what data_dir lies on");
    };
    let at = mount_point.display();
    let has = |names: &[&str]| options.iter().any(|option| names.contains(&option.as_str()));
    let loops = || ten_kernel::is_root() && Path::new("/dev/loop-control").exists();
    match kind.as_str() {
        "ext4" | "xfs" if has(&["prjquota", "pquota"]) => {
            Check::works(name, format!("project quotas of {kind} at {at}; {later}"))
        }
        "btrfs" if btrfs_counts() => {
            Check::works(name, format!("qgroups of btrfs at {at}; {later}"))
        }
        _ if loops() => Check::works(
            name,
            format!("{kind} at {at} has none, but can hold loop images; {later}"),
        ),
        "ext4" | "xfs" => {
            Check::missing(name, format!("{kind} at {at} has no project quotas; {later}")).fix(
                "tune2fs -O project,quota (ext4) while it is not mounted; mount it with prjquota",
            )
        }
        "btrfs" => Check::missing(name, format!("btrfs at {at} has no qgroups; {later}"))
            .fix(format!("btrfs quota enable {at}")),
        _ => Check::missing(
            name,
            format!("{kind} at {at} has none, and loop images need root; {later}"),
        )
        .fix("put data_dir on ext4, XFS or btrfs, or run ten as root"),
    }
}

/// Any of the mounted ones; they are named by their UUIDs (kernel: btrfs sysfs).
fn btrfs_counts() -> bool {
    let filesystems = fs::read_dir("/sys/fs/btrfs").into_iter().flatten().flatten();
    let mut counting = filesystems.map(|entry| read(entry.path().join("qgroups/enabled")));
    counting.any(|enabled| enabled.trim() == "1")
}
