//! The attempts. Each is harmless where it succeeds. "denied" means that the kernel refused, or
//! that what was sought is not there; "allowed" that it was done, or that only its arguments were
//! wrong.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        fd::{AsRawFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::net::{self, UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process, thread,
};

use libc::{c_int, c_long};
use ten_kernel::SockDiag;

/// Calls that are told from refused ones by what they complain of.
const CALLS: &[(&str, c_long)] = &[
    ("execute a program: execve", libc::SYS_execve),
    ("execute a program: execveat", libc::SYS_execveat),
    ("make a process: clone3", libc::SYS_clone3),
    ("read another's memory: process_vm_readv", libc::SYS_process_vm_readv),
    ("write another's memory: process_vm_writev", libc::SYS_process_vm_writev),
    ("take another's descriptor: pidfd_getfd", libc::SYS_pidfd_getfd),
    ("compare with another: kcmp", libc::SYS_kcmp),
    ("mount", libc::SYS_mount),
    ("mount: open_tree", libc::SYS_open_tree),
    ("mount: move_mount", libc::SYS_move_mount),
    ("mount: fsopen", libc::SYS_fsopen),
    ("unmount", libc::SYS_umount2),
    ("pivot_root", libc::SYS_pivot_root),
    ("chroot", libc::SYS_chroot),
    ("setns", libc::SYS_setns),
    ("init_module", libc::SYS_init_module),
    ("kexec_load", libc::SYS_kexec_load),
    ("bpf", libc::SYS_bpf),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("io_uring", libc::SYS_io_uring_setup),
    ("add_key", libc::SYS_add_key),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("set the clock", libc::SYS_clock_settime),
    ("set the host name", libc::SYS_sethostname),
    ("give a file away: fchownat", libc::SYS_fchownat),
    ("make a device: mknodat", libc::SYS_mknodat),
    ("make a link: linkat", libc::SYS_linkat),
];

type Attempt = (&'static str, Box<dyn Fn() -> io::Result<()>>);

pub(crate) struct Attempts {
    all: Vec<Attempt>,
}

impl Attempts {
    /// Before the cage is entered: what a front has open from then on is opened here.
    pub(crate) fn prepare(data: &Path) -> Self {
        let parent = std::os::unix::process::parent_id();
        let at = |name: &str| data.join(name);
        let outside = data.parent().unwrap().to_path_buf();
        let given: OwnedFd = ten_kernel::reach_socket(&outside.join("outside"), None).unwrap();
        let name = format!("ten-cage-{}", outside.display());
        let mut all: Vec<Attempt> = vec![
            ("start a thread", Box::new(start_a_thread)),
            ("write its own folder", Box::new(write_to(at(".state/new")))),
            ("read its own folder", Box::new(read_of(at(".state/ten.db")))),
            ("random numbers", Box::new(read_of("/dev/urandom".into()))),
            ("what its processors may do", Box::new(read_of("/proc/self/cgroup".into()))),
            (
                "connect to a socket that it was given",
                Box::new(move || {
                    UnixStream::connect(format!("/proc/self/fd/{}", given.as_raw_fd())).map(drop)
                }),
            ),
            ("connect to a port of this host", Box::new(connect_tcp)),
            ("ask who listens", Box::new(ask_who_listens)),
            ("hold a name in the abstract namespace", Box::new(hold_a_name)),
            ("make a process: clone", Box::new(fork)),
            ("user namespace", Box::new(|| call(libc::SYS_unshare, [libc::CLONE_NEWUSER, 0]))),
            (
                "trace another",
                Box::new(move || {
                    const SEIZE: c_int = 0x4206;
                    call(libc::SYS_ptrace, [SEIZE, parent as c_int])
                }),
            ),
            ("signal another: kill", Box::new(move || call(libc::SYS_kill, [parent as c_int, 0]))),
            (
                "signal another: tgkill",
                Box::new(move || {
                    let pid = c_long::from(parent as c_int);
                    // SAFETY: takes no pointers; signal 0 only asks.
                    answer(unsafe { libc::syscall(libc::SYS_tgkill, pid, pid, 0) })
                }),
            ),
            ("become root", Box::new(|| call(libc::SYS_setuid, [0, 0]))),
            ("take a capability", Box::new(|| call(libc::SYS_capset, [0, 0]))),
            ("see other processes", Box::new(see_others)),
            (
                "read another's environment",
                Box::new(read_of(format!("/proc/{parent}/environ").into())),
            ),
            (
                "read another's memory: /proc",
                Box::new(open_of(format!("/proc/{parent}/mem").into())),
            ),
            ("list the root of the host", Box::new(move || list(&format!("/proc/{parent}/root")))),
            ("list /", Box::new(|| list("/"))),
            ("list /root", Box::new(|| list("/root"))),
            ("list /run", Box::new(|| list("/run"))),
            ("read /etc/passwd", Box::new(read_of("/etc/passwd".into()))),
            ("read /etc/shadow", Box::new(read_of("/etc/shadow".into()))),
            ("read its own program", Box::new(read_of("/proc/self/exe".into()))),
            ("write /tmp", Box::new(write_to(format!("/tmp/ten-cage-{}", process::id()).into()))),
            (
                "write to a cgroup",
                Box::new(|| {
                    File::options().write(true).open("/sys/fs/cgroup/cgroup.procs").map(drop)
                }),
            ),
            ("read a tenant's file", Box::new(read_of(at("app/a/secret")))),
            ("list a tenant's folder", Box::new(list_of(at("app/a")))),
            ("list the data dir", Box::new(list_of(at("")))),
            ("open the ledger of users", Box::new(open_of(at("ten.users")))),
            ("connect to ten's admin socket", Box::new(connect_to(at("ten.sock")))),
            (
                "connect to a socket outside by its path",
                Box::new(connect_to(outside.join("outside"))),
            ),
            (
                "connect to an abstract socket outside",
                Box::new(move || {
                    let address = net::SocketAddr::from_abstract_name(&name)?;
                    UnixStream::connect_addr(&address).map(drop)
                }),
            ),
            ("raw socket", Box::new(|| socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP))),
            ("packet socket", Box::new(|| socket(libc::AF_PACKET, libc::SOCK_RAW, 0))),
            ("vsock", Box::new(|| socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0))),
        ];
        for (name, number) in CALLS {
            all.push((name, Box::new(|| call(*number, [-1, -1]))));
        }
        Self { all }
    }

    /// A line for each, then what the kernel says of this process.
    pub(crate) fn all(&self) -> String {
        let line = |(name, attempt): &Attempt| format!("{name}\t{}\n", outcome(attempt()));
        let attempts: String = self.all.iter().map(line).collect();
        attempts + &facts().map(|(name, fact)| format!("{name}\t{fact}\n")).concat()
    }
}

fn facts() -> [(&'static str, String); 7] {
    use rustix::thread as own;
    let sets = own::capabilities(None).unwrap();
    let held = sets.effective | sets.permitted | sets.inheritable;
    let each = || (0..64).map(|bit| own::CapabilitySet::from_bits_retain(1 << bit));
    // The kernel knows no further one where it is asked in vain.
    let bounding = each().any(|one| own::capability_is_in_bounding_set(one).unwrap_or(false));
    let ambient = each().any(|one| own::capability_is_in_ambient_set(one).unwrap_or(false));
    let word = |some| if some { "some" } else { "none" }.to_owned();
    let uid = rustix::process::getuid().as_raw();
    let user = if uid == crate::house::user() { "its own" } else { "its operator's" };
    [
        ("its user", user.into()),
        ("groups beside its own", word(!rustix::process::getgroups().unwrap().is_empty())),
        ("capabilities", word(!held.is_empty() || ambient)),
        ("capabilities that it could ever get", word(bounding)),
        ("no_new_privs", own::no_new_privs().unwrap().to_string()),
        ("seccomp", format!("{:?}", own::secure_computing_mode().unwrap())),
        ("dumpable", format!("{:?}", rustix::process::dumpable_behavior().unwrap())),
    ]
}

fn outcome(done: io::Result<()>) -> &'static str {
    const DENIED: [i32; 8] = [
        libc::EPERM,
        libc::EACCES,
        libc::ENOSYS,
        libc::EROFS,
        libc::ENOENT,
        libc::ESRCH,
        libc::EAFNOSUPPORT,
        libc::ECONNREFUSED,
    ];
    match done {
        Err(error) if error.raw_os_error().is_none_or(|errno| DENIED.contains(&errno)) => "denied",
        _ => "allowed",
    }
}

fn answer(result: c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// With two numbers, and null pointers where more are looked at.
fn call(number: c_long, [a, b]: [c_int; 2]) -> io::Result<()> {
    // SAFETY: what these calls take as pointers is null or -1, where nothing is mapped: they fail
    // without reading or writing anything.
    answer(unsafe { libc::syscall(number, c_long::from(a), c_long::from(b), 0, 0, 0, 0) })
}

fn socket(family: c_int, kind: c_int, protocol: c_int) -> io::Result<()> {
    // SAFETY: takes no pointers. The descriptor goes with this process.
    answer(unsafe { libc::socket(family, kind, protocol) }.into())
}

fn start_a_thread() -> io::Result<()> {
    thread::Builder::new().spawn(|| ())?.join().map_err(|_| ErrorKind::Other.into())
}

fn fork() -> io::Result<()> {
    // SAFETY: fork(2) by its number: this process has one thread, and the child only ends.
    match unsafe { libc::syscall(libc::SYS_clone, c_long::from(libc::SIGCHLD), 0, 0, 0, 0) } {
        // SAFETY: takes a number and does not return.
        0 => unsafe { libc::_exit(0) },
        pid => answer(pid),
    }
}

fn connect_tcp() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    TcpStream::connect(listener.local_addr()?).map(drop)
}

fn ask_who_listens() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at: SocketAddr = listener.local_addr()?;
    SockDiag::open()?.listening(at)?.map(drop).ok_or(ErrorKind::Other.into())
}

fn hold_a_name() -> io::Result<()> {
    let name = format!("ten-cage-own-{}", process::id());
    UnixListener::bind_addr(&net::SocketAddr::from_abstract_name(name)?).map(drop)
}

fn see_others() -> io::Result<()> {
    let pids = fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    match pids.filter(|pid| *pid != process::id()).count() {
        0 => Err(ErrorKind::NotFound.into()),
        _ => Ok(()),
    }
}

fn list(path: &str) -> io::Result<()> {
    fs::read_dir(path).map(drop)
}

fn list_of(path: PathBuf) -> impl Fn() -> io::Result<()> {
    move || fs::read_dir(&path).map(drop)
}

fn open_of(path: PathBuf) -> impl Fn() -> io::Result<()> {
    move || File::open(&path).map(drop)
}

fn read_of(path: PathBuf) -> impl Fn() -> io::Result<()> {
    move || io::Read::read_exact(&mut File::open(&path)?, &mut [0])
}

fn write_to(path: PathBuf) -> impl Fn() -> io::Result<()> {
    move || fs::write(&path, "x").and_then(|()| fs::remove_file(&path))
}

fn connect_to(path: PathBuf) -> impl Fn() -> io::Result<()> {
    move || UnixStream::connect(&path).map(drop)
}
