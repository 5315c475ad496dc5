//! What an operator can do where the host does not let a launch through. Said after the failure
//! of every start, and by whoever asks beforehand: the same words, from here.

use rustix::io::Errno;

use crate::failure::{Failure, Step};

/// Where namespaces, or what is done inside them, are refused to whom is not root.
const NAMESPACES: &str = "run ten as root, or allow user namespaces (sysctl \
    kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0, \
    user.max_user_namespaces above 0; in a container, a seccomp profile that permits them), or \
    set isolation = \"process\"";
/// Where root is not allowed what the front's cage takes, as in most containers.
const FRONT: &str = "run ten as an ordinary user, or as a root that may mount and change its \
    user (in a container: --cap-add SYS_ADMIN and a seccomp and AppArmor profile that permit it)";
/// Where a host keeps what it receives to itself.
const FORWARDING: &str = "sysctl net.ipv4.ip_forward=1, and write the same into a file of \
    /etc/sysctl.d to keep it; or set network = \"none\" or \"host\"";
/// Where networks cannot be made or connected.
const NETWORKS: &str = "run ten as root; in a container, with CAP_NET_ADMIN, CAP_SYS_ADMIN and a \
    writable /proc/sys/net; or set network = \"none\" or \"host\"";
/// Where the kernel was built without what those take.
const NETWORK_MODULES: &str = "use a kernel with veth, nf_tables, nf_nat, nft_masq, nft_fib_ipv4, \
    nft_ct and nft_reject_ipv4; or set network = \"none\" or \"host\"";
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
            Step::FrontTree | Step::FrontUser if refused => Some(FRONT),
            Step::Forwarding => Some(FORWARDING),
            Step::Link | Step::Uplink | Step::UplinkRules if refused || errno == Errno::ROFS => {
                Some(NETWORKS)
            }
            Step::Link | Step::Uplink | Step::UplinkRules
                if unknown
                    || matches!(
                        errno,
                        Errno::NOENT | Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT
                    ) =>
            {
                Some(NETWORK_MODULES)
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
