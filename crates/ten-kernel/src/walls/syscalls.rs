//! The system calls that administer a kernel, refused: a seccomp filter (seccomp(2)) for
//! init and everything below it, which no process can take off again.
//!
//! ```text
//! other architecture or x32 ──► ENOSYS
//! in ABSENT                 ──► ENOSYS   programs probe for it and do without
//! in FORBIDDEN              ──► EPERM
//! clone, unshare            ──► EPERM    when a namespace is asked for
//! ioctl                     ──► EPERM    when it types into a terminal
//! ioctl                     ──► ENOTTY   when in ATTRIBUTES
//! socket, socketpair        ──► EAFNOSUPPORT  in a network of its own: unless in FAMILIES
//! ioctl                     ──► EPERM         in a network of its own: when in DEVICES
//! in PROGRAMS, clone        ──► EPERM         for who keeps threads: unless it makes a thread
//! anything else             ──► allowed
//! ```
//!
//! Most of these need a capability that nobody inside has. They are refused all the same:
//! what is never entered cannot be exploited. It is a list of what is denied, so it does
//! not promise that what is missing from it is harmless.

use std::{ops::Range, sync::LazyLock};

use libc::{BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W};
use libc::{c_int, c_long, sock_filter};
use rustix::io::Errno;

use crate::{child::last_errno, plan::Network};

/// What `struct seccomp_data` says of the calling convention (linux/audit.h).
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// x32 calls have the architecture of x86_64 and this bit in their number, and would pass a
/// list of plain numbers (seccomp(2)). No other architecture has numbers this high.
const X32: u32 = 0x4000_0000;

/// open_tree_attr(2), Linux 6.15, newer than libc's list.
const OPEN_TREE_ATTR: c_long = 467;

/// kexec_file_load(2), which libc does not know on every target.
#[cfg(target_arch = "x86_64")]
const KEXEC_FILE_LOAD: c_long = 320;
#[cfg(target_arch = "aarch64")]
const KEXEC_FILE_LOAD: c_long = 294;

/// file_setattr(2), Linux 6.17, does what ATTRIBUTES do.
const FILE_SETATTR: c_long = 469;

/// Answered as by a kernel that was built without them. clone3 keeps its flags in memory,
/// where no filter can look; libc then falls back to clone.
const ABSENT: &[c_long] = &[
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    FILE_SETATTR,
];

const FORBIDDEN: &[c_long] = &[
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    // Files by handle, past every path.
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    // The kernel itself.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    KEXEC_FILE_LOAD,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_syslog,
    libc::SYS_reboot,
    // The keyrings, which no namespace divides.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // The machine's clock, swap, names, quotas, accounting, terminal and ports.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_acct,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
];

/// What only those need who start programs, look into processes, or act for other users: refused
/// to whoever keeps nothing but its threads.
const PROGRAMS: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    libc::SYS_unshare,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    // Other users.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    // Files of other kinds and of other owners.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mknod,
    libc::SYS_mknodat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
    libc::SYS_symlinkat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    libc::SYS_linkat,
    libc::SYS_fanotify_init,
    // Memory and messages that are shared by name.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
    libc::SYS_personality,
];

/// Flags of clone(2) and unshare(2) that make a namespace.
const NEW_NAMESPACE: u32 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u32;
/// Of unshare(2) alone: in clone(2) this bit belongs to the exit signal.
const NEW_TIME: u32 = 0x80;

/// Requests of ioctl(2) that put characters into a terminal's input (TIOCSTI), or into a
/// virtual console's selection (TIOCLINUX).
const TYPES: [u32; 2] = [0x5412, 0x541c];

/// Requests of ioctl(2) by which the owner of a file takes it out of the count of its project:
/// its number (FS_IOC_FSSETXATTR), or whether files in a folder get it (FS_IOC_SETFLAGS, in both
/// sizes). Answered as by a filesystem without such attributes.
const ATTRIBUTES: [u32; 3] = [0x401c_5820, 0x4008_6602, 0x4004_6602];

/// Requests of ioctl(2) about network devices (netdevice(7)), the private and the wireless ones
/// included (linux/sockios.h, linux/wireless.h). They are answered from the network that a
/// socket was made in, also where it is a Unix socket that was passed in, or accepted from
/// somebody outside. Of its own devices a program learns by rtnetlink(7).
const DEVICES: Range<u32> = 0x8910..0x8c00;

/// Offsets in `struct seccomp_data`. Of an argument only the low half is looked at, which is
/// all that the kernel looks at too, so high bits cannot hide a value (CVE-2019-10063).
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: [u32; 2] = [16, 24];

/// The address families of sockets that belong to a network, or to the file tree. Others, such
/// as vsock(7), reach past every network namespace. AF_PACKET needs a capability anyway, and
/// its absence is better told by the kernel.
const FAMILIES: [c_int; 5] =
    [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_PACKET];

/// What a filter leaves to whoever gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// All that programs need, in this network.
    Programs(Network),
    /// Threads: no program is ever executed, no process made.
    Threads,
}

static FILTER: LazyLock<Vec<sock_filter>> =
    LazyLock::new(|| filter(Keeps::Programs(Network::Host)));
static FILTER_OF_OWN_NETWORK: LazyLock<Vec<sock_filter>> =
    LazyLock::new(|| filter(Keeps::Programs(Network::Loopback)));
static FILTER_OF_THREADS: LazyLock<Vec<sock_filter>> = LazyLock::new(|| filter(Keeps::Threads));

/// Makes the filters, which every later fork has. Called before the first.
pub(crate) fn prepare() {
    LazyLock::force(&FILTER);
    LazyLock::force(&FILTER_OF_OWN_NETWORK);
    LazyLock::force(&FILTER_OF_THREADS);
}

/// Puts the filter on this process. Needs no_new_privs.
pub(crate) fn refuse(keeps: Keeps) -> Result<(), Errno> {
    let filter = match keeps {
        Keeps::Programs(Network::Host) => &FILTER,
        Keeps::Programs(Network::Loopback | Network::Uplink) => &FILTER_OF_OWN_NETWORK,
        Keeps::Threads => &FILTER_OF_THREADS,
    };
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::TOOBIG)?,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies `len` instructions from `filter`, which is that long and
    // lives forever, and writes nothing.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

fn filter(keeps: Keeps) -> Vec<sock_filter> {
    let mut code = vec![
        load(ARCH),
        jump(BPF_JEQ, ARCHITECTURE, 1, 0),
        fail(Errno::NOSYS),
        load(NUMBER),
        jump(BPF_JGE, X32, 0, 1),
        fail(Errno::NOSYS),
    ];
    let programs = if keeps == Keeps::Threads { PROGRAMS } else { &[] };
    let lists = [(ABSENT, Errno::NOSYS), (FORBIDDEN, Errno::PERM), (programs, Errno::PERM)];
    let rows = lists.iter().flat_map(|(calls, errno)| calls.iter().map(|call| (*call, *errno)));
    code.extend(refusals(rows.collect()));
    if keeps == Keeps::Threads {
        code.extend(only_threads());
    }
    for (call, flags) in
        [(libc::SYS_clone, NEW_NAMESPACE), (libc::SYS_unshare, NEW_NAMESPACE | NEW_TIME)]
    {
        code.extend([
            jump(BPF_JEQ, number(call), 0, 4),
            load(ARGUMENTS[0]),
            jump(BPF_JSET, flags, 0, 1),
            fail(Errno::PERM),
            allow(),
        ]);
    }
    if keeps != Keeps::Programs(Network::Host) {
        code.extend([libc::SYS_socket, libc::SYS_socketpair].into_iter().flat_map(only_families));
        code.extend(no_devices());
    }
    code.extend([
        jump(BPF_JEQ, number(libc::SYS_ioctl), 0, 8),
        load(ARGUMENTS[1]),
        jump(BPF_JEQ, TYPES[0], 5, 0),
        jump(BPF_JEQ, TYPES[1], 4, 0),
        jump(BPF_JEQ, ATTRIBUTES[0], 2, 0),
        jump(BPF_JEQ, ATTRIBUTES[1], 1, 0),
        jump(BPF_JEQ, ATTRIBUTES[2], 0, 2),
        fail(Errno::NOTTY),
        fail(Errno::PERM),
        allow(),
    ]);
    code
}

/// Where a number leads.
#[derive(Debug, Clone, Copy)]
enum Way {
    Test(usize),
    Fail(Errno),
    Pass,
}

/// Whether a number is at least this, and where it leads if so, and if not.
struct Test {
    at_least: u32,
    ways: [Way; 2],
}

/// Refuses each of these calls. Neighbours are one step of a search by halves: the kernel translates
/// a filter each time that it is put on, and tries it with each number that there is
/// (seccomp_cache_prepare), so a list of rows takes as long as several mounts.
fn refusals(mut rows: Vec<(c_long, Errno)>) -> Vec<sock_filter> {
    rows.sort_unstable_by_key(|(call, _)| *call);
    // The numbers at which the answer changes, and the answer from there on.
    let mut steps = vec![(0, None)];
    for (call, errno) in rows {
        let call = number(call);
        steps.pop_if(|(at, _)| *at == call);
        steps.extend([(call, Some(errno)), (call + 1, None)]);
    }
    steps.dedup_by_key(|(_, answer)| *answer);
    let mut tests = Vec::new();
    halve(&steps, &mut tests);
    let fails = [Errno::NOSYS, Errno::PERM];
    let skips = |from: usize, way| {
        let to = match way {
            Way::Test(index) => index,
            Way::Fail(errno) => {
                let known = fails.iter().position(|fail| *fail == errno);
                tests.len() + known.expect("one of two answers")
            }
            Way::Pass => tests.len() + fails.len(),
        };
        u8::try_from(to - from - 1).expect("a filter is short")
    };
    let tested = tests.iter().enumerate().map(|(index, Test { at_least, ways: [yes, no] })| {
        jump(BPF_JGE, *at_least, skips(index, *yes), skips(index, *no))
    });
    tested.chain(fails.map(fail)).collect()
}

fn halve(steps: &[(u32, Option<Errno>)], tests: &mut Vec<Test>) -> Way {
    let (below, above) = steps.split_at(steps.len() / 2);
    let ([_, ..], [(at_least, _), ..]) = (below, above) else {
        return steps[0].1.map_or(Way::Pass, Way::Fail);
    };
    let index = tests.len();
    tests.push(Test { at_least: *at_least, ways: [Way::Pass; 2] });
    let no = halve(below, tests);
    tests[index].ways = [halve(above, tests), no];
    Way::Test(index)
}

/// What follows looks at clone(2) again.
fn only_threads() -> [sock_filter; 5] {
    [
        jump(BPF_JEQ, number(libc::SYS_clone), 0, 4),
        load(ARGUMENTS[0]),
        jump(BPF_JSET, libc::CLONE_THREAD as u32, 1, 0),
        fail(Errno::PERM),
        load(NUMBER),
    ]
}

fn only_families(call: c_long) -> Vec<sock_filter> {
    let last = FAMILIES.len() as u8;
    let mut code = vec![jump(BPF_JEQ, number(call), 0, last + 3), load(ARGUMENTS[0])];
    code.extend(
        (0..last)
            .zip(FAMILIES)
            .map(|(index, family)| jump(BPF_JEQ, family.cast_unsigned(), last - index, 0)),
    );
    code.extend([fail(Errno::AFNOSUPPORT), allow()]);
    code
}

fn no_devices() -> [sock_filter; 6] {
    [
        jump(BPF_JEQ, number(libc::SYS_ioctl), 0, 5),
        load(ARGUMENTS[1]),
        jump(BPF_JGE, DEVICES.start, 0, 2),
        jump(BPF_JGE, DEVICES.end, 1, 0),
        fail(Errno::PERM),
        // Other requests are looked at by number again.
        load(NUMBER),
    ]
}

fn number(call: c_long) -> u32 {
    u32::try_from(call).expect("the number of a system call is small")
}

fn load(offset: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, offset)
}

/// Skips so many instructions when the test is true, or when it is false.
fn jump(test: u32, value: u32, when_true: u8, when_false: u8) -> sock_filter {
    sock_filter { jt: when_true, jf: when_false, ..instruction(BPF_JMP | test | BPF_K, value) }
}

fn fail(errno: Errno) -> sock_filter {
    instruction(BPF_RET | BPF_K, libc::SECCOMP_RET_ERRNO | errno.raw_os_error().cast_unsigned())
}

fn allow() -> sock_filter {
    instruction(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW)
}

fn instruction(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

#[cfg(test)]
mod tests;
