//! Debian's kernel for machines in a cloud, unpacked into the target folder: nothing is
//! installed, and the host's own /boot stays as it is.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Depends on the newest kernel of its kind.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// Not built into that kernel, in the order in which they need each other.
const MODULES: [&str; 37] = [
    // Through these ten asks whose a listening socket is.
    "net/ipv4/inet_diag.ko",
    "net/ipv4/tcp_diag.ko",
    "net/unix/unix_diag.ko",
    "lib/libcrc32c.ko",
    // Of these private networks are made.
    "net/ipv4/netfilter/nf_defrag_ipv4.ko",
    "net/ipv6/netfilter/nf_defrag_ipv6.ko",
    "net/netfilter/nf_conntrack.ko",
    "net/netfilter/nf_nat.ko",
    "net/netfilter/nfnetlink.ko",
    "net/netfilter/nf_tables.ko",
    "net/netfilter/nft_chain_nat.ko",
    "net/netfilter/nft_masq.ko",
    "net/netfilter/nft_ct.ko",
    "net/netfilter/nft_fib.ko",
    "net/ipv4/netfilter/nft_fib_ipv4.ko",
    "net/ipv4/netfilter/nf_reject_ipv4.ko",
    "net/netfilter/nft_reject.ko",
    "net/ipv4/netfilter/nft_reject_ipv4.ko",
    "net/netfilter/nf_conncount.ko",
    "net/netfilter/nft_connlimit.ko",
    "drivers/net/veth.ko",
    // Disks, and images.
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "drivers/block/virtio_blk.ko",
    "drivers/block/loop.ko",
    // What is on them; ext4 is built in, but not how it keeps quotas.
    "fs/quota/quota_tree.ko",
    "fs/quota/quota_v2.ko",
    "fs/xfs/xfs.ko",
    "crypto/xor.ko",
    "lib/raid6/raid6_pq.ko",
    "lib/zstd/zstd_compress.ko",
    "crypto/blake2b_generic.ko",
    "crypto/xxhash_generic.ko",
    "fs/btrfs/btrfs.ko",
];

/// A kernel on the host's disk.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) image: PathBuf,
    pub(crate) modules: Vec<PathBuf>,
}

/// `target/machine`: a test runs as `target/PROFILE/deps/NAME-HASH`.
pub(crate) fn folder() -> PathBuf {
    let test = env::current_exe().expect("a test knows where it is");
    test.ancestors().nth(3).expect("a target folder").join("machine")
}

/// Finds the kernel, and fetches it where it is not there yet. The inner error is why there
/// is none to be had.
pub(crate) fn get(folder: &Path) -> io::Result<Result<Kernel, String>> {
    let unpacked = folder.join("kernel");
    if !unpacked.exists()
        && let Err(reason) = fetch(folder, &unpacked)?
    {
        return Ok(Err(format!("{PACKAGE} cannot be had: {reason}")));
    }
    let release = only_entry(&unpacked.join("lib/modules"))?;
    let name = release.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Ok(Kernel {
        image: unpacked.join("boot").join(format!("vmlinuz-{name}")),
        modules: MODULES.map(|module| release.join("kernel").join(module)).into(),
    }))
}

fn fetch(folder: &Path, unpacked: &Path) -> io::Result<Result<(), String>> {
    let draft = folder.join("kernel.draft");
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    fs::create_dir_all(&draft)?;
    let depends = match run(Command::new("apt-cache").args(["depends", PACKAGE])) {
        Ok(text) => text,
        Err(reason) => return Ok(Err(reason)),
    };
    let image = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
    let Some(image) = image else {
        return Ok(Err("apt does not know it; `apt-get update` may help".into()));
    };
    let image = format!("linux-image-{image}");
    let fetched = run(Command::new("apt-get").args(["download", &image]).current_dir(&draft));
    if let Err(reason) = fetched {
        return Ok(Err(reason));
    }
    let package = only_entry(&draft)?;
    let root = draft.join("root");
    if let Err(reason) = run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&root)) {
        return Ok(Err(reason));
    }
    fs::rename(root, unpacked)?;
    fs::remove_dir_all(draft)?;
    Ok(Ok(()))
}

/// What a command writes, or what it complains about.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(output) => {
            let complaint = String::from_utf8_lossy(&output.stderr);
            Err(format!("{program}: {}", complaint.trim()))
        }
        Err(error) => Err(format!("{program}: {error}")),
    }
}

fn only_entry(folder: &Path) -> io::Result<PathBuf> {
    let mut entries = fs::read_dir(folder)?;
    let entry = entries.next().ok_or_else(|| io::Error::other(format!("{folder:?} is empty")))?;
    Ok(entry?.path())
}
