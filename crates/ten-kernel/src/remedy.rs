//! What an operator can do where the host does not let a launch through. Said after the failure
//! of every start, and by whoever asks beforehand: the same words, from here.

use rustix::io::Errno;

use crate::failure::{Failure, Step};

/// Where namespaces, or what is done inside them, are refused to whom is not root.
const NAMESPACES: &str = "run ten as root, or allow user namespaces (sysctl \
    kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0, \
    user.max_user_namespaces above 0; in a container, a seccomp profile that permits them), or \
    set isolation = \"process\"";
/// Where the kernel was built without.
const KERNEL: &str = "use a kernel that has it, or set isolation = \"process\"";

impl Failure {
    /// What to do about it; `None` where that depends on what is not known here.
    pub fn remedy(&self) -> Option<&'static str> {
        let errno = Errno::from_raw_os_error(self.errno);
        let refused = matches!(errno, Errno::PERM | Errno::ACCESS | Errno::NOSPC | Errno::USERS);
        let unknown = matches!(errno, Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP);
        let gone = matches!(errno, Errno::NOENT | Errno::NXIO | Errno::NODEV);
        match self.step {
            Step::Clone
            | Step::UserMap
            | Step::CgroupNamespace
            | Step::Hostname
            | Step::Loopback
            | Step::PrivateMounts
            | Step::ReadOnlyTree
            | Step::MountProc
            | Step::MountSys
            | Step::MountDevices
            | Step::MountPrivate
                if refused =>
            {
                Some(NAMESPACES)
            }
            Step::Clone | Step::Landlock | Step::Syscalls if unknown => Some(KERNEL),
            Step::Storage if refused => Some("run ten as root, or remove storage_quota_mb"),
            Step::StorageImage if errno == Errno::NOENT => Some("install e2fsprogs"),
            Step::StorageLimit if refused => Some(
                "to raise the limit of an image, ten needs CAP_SYS_RESOURCE; without it, take a \
                 backup, and restore it with --replace",
            ),
            Step::StorageLoop | Step::StorageMount if refused || unknown || gone => Some(
                "the kernel must have loop devices and ext4, and let ten use them: in a container, \
                 pass /dev/loop-control and CAP_SYS_ADMIN; or put data_dir on ext4 or XFS with \
                 project quotas",
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_host_is_told_how_to_open_it() {
        let closed = Failure::of(Step::Clone)(Errno::PERM).to_string();
        assert!(
            closed.contains("not permitted") && closed.contains("; run ten as root"),
            "{closed}"
        );
        let other = Failure::of(Step::Workdir)(Errno::NOENT).to_string();
        assert!(!other.contains(';'), "{other}");
    }
}
