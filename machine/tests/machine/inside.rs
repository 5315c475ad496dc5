//! Inside: the first process of the machine, and the cases.
//!
//! It makes the machine a place where ten can run, runs one case after the other in a process
//! each, and says on the console how each ended.

mod cgroups;
mod delegation;
mod limits;
mod network;
mod quota;
mod unit;
mod usage;
mod walls;

use std::{
    fs::{self, File},
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitCode},
    time::Duration,
};

use rustix::{
    mount::{MountFlags, mount, mount_bind, mount_move},
    net::{AddressFamily, SendFlags, SocketType, send, socket},
    process::{Pid, Signal, WaitOptions, chdir, chroot, kill_process_group, wait},
    system::{RebootCommand, finit_module, reboot},
};
use ten_testkit::wait_until;

use crate::{console, image};

/// What must hold. It fails by panic.
pub(crate) type Case = fn();

/// In the order in which they run.
pub(crate) const CASES: &[(&str, Case)] = &[
    ("a_memory_hog_dies_alone", limits::a_memory_hog_dies_alone),
    ("a_fork_bomb_stops_at_its_limit", limits::a_fork_bomb_stops_at_its_limit),
    ("cpu_max_holds", limits::cpu_max_holds),
    ("cpu_shares_divide_a_busy_cpu", limits::cpu_shares_divide_a_busy_cpu),
    ("limits_survive_every_restart", limits::limits_survive_every_restart),
    ("a_leaf_dies_with_its_tree", limits::a_leaf_dies_with_its_tree),
    ("usage_is_what_the_kernel_counts", usage::usage_is_what_the_kernel_counts),
    ("a_quota_holds_on_ext4", quota::on_ext4),
    ("a_quota_holds_on_xfs", quota::on_xfs),
    ("a_quota_holds_on_btrfs", quota::on_btrfs),
    ("a_quota_holds_in_memory", quota::on_tmpfs),
    // Before systemd, which makes what is missing in /dev.
    ("nobody_gets_further_than_the_table_says", walls::nobody_gets_further_than_the_table_says),
    ("others_in_a_session_are_left_alone", delegation::others_in_a_session_are_left_alone),
    ("a_container_is_divided", delegation::a_container_is_divided),
    ("a_shared_container_says_what_to_do", delegation::a_shared_container_says_what_to_do),
    ("a_unit_of_systemd_is_divided", unit::a_unit_of_systemd_is_divided),
    ("a_private_network_can_be_made", network::a_private_network_can_be_made),
];

/// One case may take this long, in the machine's time.
const CASE_DEADLINE: Duration = Duration::from_secs(90);

/// The life of process 1. It must not return: the kernel would panic, which ends the
/// machine too, but says less.
pub(crate) fn init() -> ! {
    match prepare() {
        Ok(()) => run_all(),
        Err(error) => println!("cannot prepare the machine: {error}"),
    }
    println!("{}", console::END);
    let error = reboot(RebootCommand::Restart);
    panic!("cannot end the machine: {error:?}");
}

fn prepare() -> io::Result<()> {
    // The first root of all cannot be exchanged for another (pivot_root(2)); what is mounted
    // over it can.
    mount_bind("/", "/mnt")?;
    chdir("/mnt")?;
    mount_move("/mnt", "/")?;
    chroot(".")?;
    for (kind, at) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/tmp"),
        ("cgroup2", "/sys/fs/cgroup"),
        ("debugfs", "/sys/kernel/debug"),
    ] {
        let mounted = mount(kind, at, kind, MountFlags::empty(), None);
        mounted.map_err(|errno| io::Error::other(format!("{at}: {errno}")))?;
    }
    let mut modules: Vec<_> = fs::read_dir(image::MODULES)?.collect::<io::Result<Vec<_>>>()?;
    modules.sort_by_key(fs::DirEntry::file_name);
    for module in modules {
        finit_module(File::open(module.path())?, c"", 0)?;
    }
    raise_loopback()
}

/// `ip link set lo up`: one RTM_NEWLINK (rtnetlink(7)).
fn raise_loopback() -> io::Result<()> {
    const LENGTH: u32 = 32;
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST: u16 = 1;
    const LOOPBACK: u32 = 1;
    const IFF_UP: u32 = 1;
    let mut message = Vec::new();
    // nlmsghdr: length, type, flags, sequence, port.
    message.extend(LENGTH.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    // ifinfomsg: family and type, index, flags, which of them to change.
    message.extend([0; 4]);
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    let route = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    send(&route, &message, SendFlags::empty())?;
    Ok(())
}

fn run_all() {
    for (name, _) in CASES {
        println!("{}", console::begins(name));
        let passed = run_one(name).unwrap_or_else(|error| {
            println!("cannot run it: {error}");
            false
        });
        println!("{}", console::ended(name, passed));
    }
}

/// In a process, and a process group, of its own.
fn run_one(name: &str) -> io::Result<bool> {
    let mut command = Command::new("/bin/machine");
    command.args(["case", name]).env("PATH", "/bin").env("HOME", "/root").process_group(0);
    let case = command.spawn()?;
    let pid = Pid::from_child(&case);
    let mut ended = None;
    // Whoever else has ended is an orphan, and reaped as process 1 must.
    wait_until(CASE_DEADLINE, || {
        while let Ok(Some((reaped, status))) = wait(WaitOptions::NOHANG) {
            if reaped == pid {
                ended = Some(status.exit_status() == Some(0));
            }
        }
        ended.is_some()
    });
    if ended.is_none() {
        println!("it did not end within {CASE_DEADLINE:?}");
        kill_process_group(pid, Signal::KILL)?;
    }
    Ok(ended == Some(true))
}

/// The life of a case.
pub(crate) fn run(name: &str) -> ExitCode {
    let case = CASES.iter().find(|(own, _)| *own == name);
    let (_, case) = case.unwrap_or_else(|| panic!("no case is called {name}"));
    case();
    ExitCode::SUCCESS
}

/// Executes a command inside a cgroup.
pub(crate) fn enter(cgroup: &str, command: &[&str]) -> ExitCode {
    let entered = fs::write(Path::new(cgroup).join("cgroup.procs"), "0");
    entered.unwrap_or_else(|error| panic!("{cgroup}: {error}"));
    let (program, args) = command.split_first().expect("a command");
    let error = Command::new(program).args(args).exec();
    panic!("{program}: {error}");
}

/// Executes a command as the first process of a container, for which unshare(1) has made the
/// namespaces.
pub(crate) fn contained(command: &[&str]) -> ExitCode {
    delegation::contain().unwrap_or_else(|errno| panic!("no container: {errno}"));
    let (program, args) = command.split_first().expect("a command");
    // As systemd asks of whoever makes containers.
    let error = Command::new(program).args(args).env("container", "machine").exec();
    panic!("{program}: {error}");
}
