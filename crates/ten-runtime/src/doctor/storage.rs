//! The data folder, and what could limit its instances' folders.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use ten_kernel::{Filesystem, Mechanism};

use super::{Check, SERVE, Services};

pub(super) fn checks(services: Services<'_>, data_dir: &Path) -> Vec<Check> {
    let mut above = data_dir.ancestors();
    let existing = above.find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    vec![folder(data_dir, existing), quotas(services, existing)]
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

/// What keeps the folders of an instance below a size. What cannot be seen from here, such as
/// a container that forbids mounts, the first start tells.
fn quotas(services: Services<'_>, existing: &Path) -> Check {
    let name = "storage quotas";
    let needed_by = services.that(|spec| spec.limits.storage_quota_mb.is_some());
    let Ok(Filesystem { kind, mount_point, .. }) = ten_kernel::filesystem(existing) else {
        return Check::missing(name, "it cannot be told what data_dir lies on")
            .needed_by(needed_by);
    };
    let at = mount_point.display();
    let lacking =
        |why: &str, fix: &str| Check::missing(name, why).fix(fix).needed_by(needed_by.clone());
    if !ten_kernel::is_root() {
        return lacking("ten must be root to set them", "run ten as root");
    }
    match ten_kernel::mechanism(existing) {
        Ok(Mechanism::Project) => Check::works(name, format!("project quotas of {kind} at {at}")),
        Ok(Mechanism::Image) if !Path::new("/dev/loop-control").exists() => lacking(
            &format!("{kind} at {at} has no project quotas, and there are no loop devices"),
            "modprobe loop; in a container, pass /dev/loop-control",
        ),
        Ok(Mechanism::Image) if ten_kernel::mkfs().is_none() => lacking(
            &format!("{kind} at {at} has no project quotas, and there is no mkfs.ext4 for images"),
            "install e2fsprogs",
        ),
        Ok(Mechanism::Image) => Check::works(
            name,
            format!("an image for each instance, as {kind} at {at} has no project quotas"),
        ),
        Err(why) => lacking(&format!("{}: {why}", existing.display()), "mount it"),
    }
}
