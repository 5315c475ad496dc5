use super::*;

/// What the filter answers to a call: an interpreter of the few instructions it is made of.
fn answer_of(code: &[sock_filter], architecture: u32, number: u32, arguments: [u64; 2]) -> u32 {
    let mut data = [0u8; 64];
    data[0..4].copy_from_slice(&number.to_le_bytes());
    data[4..8].copy_from_slice(&architecture.to_le_bytes());
    data[16..24].copy_from_slice(&arguments[0].to_le_bytes());
    data[24..32].copy_from_slice(&arguments[1].to_le_bytes());
    let (mut at, mut loaded) = (0, 0);
    loop {
        let sock_filter { code, jt, jf, k } = code[at];
        let code = u32::from(code);
        let holds = match code & 0xf0 {
            BPF_JEQ => loaded == k,
            BPF_JGE => loaded >= k,
            BPF_JSET => loaded & k != 0,
            _ => false,
        };
        match code & 0x07 {
            BPF_LD => {
                let from = k as usize;
                loaded = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
            }
            BPF_JMP => at += usize::from(if holds { jt } else { jf }),
            BPF_RET => return k,
            other => panic!("no such instruction: {other}"),
        }
        at += 1;
    }
}

/// What it answers in either kind of network.
fn answer(architecture: u32, number: u32, arguments: [u64; 2]) -> u32 {
    let [host, own] = [Network::Host, Network::Loopback].map(|network| {
        answer_of(&filter(Keeps::Programs(network)), architecture, number, arguments)
    });
    assert_eq!(host, own);
    host
}

fn refused(errno: Errno) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno.raw_os_error().cast_unsigned()
}

fn answer_to(call: c_long, arguments: [u64; 2]) -> u32 {
    answer(ARCHITECTURE, number(call), arguments)
}

#[test]
fn every_listed_call_is_refused_and_the_usual_ones_pass() {
    for call in ABSENT {
        assert_eq!(answer_to(*call, [0; 2]), refused(Errno::NOSYS), "{call}");
    }
    for call in FORBIDDEN {
        assert_eq!(answer_to(*call, [0; 2]), refused(Errno::PERM), "{call}");
    }
    for call in [libc::SYS_read, libc::SYS_execve, libc::SYS_ptrace, libc::SYS_prctl] {
        assert_eq!(answer_to(call, [u64::MAX; 2]), libc::SECCOMP_RET_ALLOW, "{call}");
    }
}

#[test]
fn every_number_is_answered_as_it_is_listed() {
    let code =
        refusals(vec![(3, Errno::PERM), (9, Errno::NOSYS), (4, Errno::PERM), (8, Errno::PERM)]);
    let code = [vec![load(NUMBER)], code, vec![allow()]].concat();
    let answers: Vec<_> = (0..12).map(|number| answer_of(&code, 0, number, [0; 2])).collect();
    let (pass, perm, nosys) =
        (libc::SECCOMP_RET_ALLOW, refused(Errno::PERM), refused(Errno::NOSYS));
    let want = [pass, pass, pass, perm, perm, pass, pass, pass, perm, nosys, pass, pass];
    assert_eq!(answers, want);
    // A clone(2) of these arguments makes a process.
    let threads = [PROGRAMS, &[libc::SYS_clone]].concat();
    for (keeps, refuses) in [(Keeps::Programs(Network::Host), &[][..]), (Keeps::Threads, &threads)]
    {
        let code = filter(keeps);
        for call in 0..1024 {
            let want = match call {
                call if ABSENT.contains(&call) => nosys,
                call if FORBIDDEN.contains(&call) || refuses.contains(&call) => perm,
                // In its own network, or with threads alone, there are no sockets of no family.
                libc::SYS_socket | libc::SYS_socketpair if keeps == Keeps::Threads => continue,
                _ => pass,
            };
            let answer = answer_of(&code, ARCHITECTURE, number(call), [0; 2]);
            assert_eq!(answer, want, "{keeps:?} {call}");
        }
    }
}

#[test]
fn threads_and_forks_pass_and_namespaces_do_not() {
    let thread = (libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_THREAD) as u64;
    assert_eq!(answer_to(libc::SYS_clone, [thread, 0]), libc::SECCOMP_RET_ALLOW);
    assert_eq!(answer_to(libc::SYS_clone, [libc::SIGCHLD as u64, 0]), libc::SECCOMP_RET_ALLOW);
    assert_eq!(
        answer_to(libc::SYS_unshare, [libc::CLONE_FILES as u64, 0]),
        libc::SECCOMP_RET_ALLOW
    );
    for flag in (0..32).map(|bit| 1u64 << bit).filter(|bit| u64::from(NEW_NAMESPACE) & bit != 0) {
        assert_eq!(answer_to(libc::SYS_clone, [thread | flag, 0]), refused(Errno::PERM));
        assert_eq!(answer_to(libc::SYS_unshare, [flag, 0]), refused(Errno::PERM));
    }
    assert_eq!(answer_to(libc::SYS_unshare, [u64::from(NEW_TIME), 0]), refused(Errno::PERM));
}

#[test]
fn a_terminal_is_not_typed_into_even_with_high_bits() {
    for request in TYPES {
        for request in [u64::from(request), u64::from(request) | 1 << 40] {
            assert_eq!(answer_to(libc::SYS_ioctl, [0, request]), refused(Errno::PERM));
        }
    }
    let window_size = 0x5413;
    assert_eq!(answer_to(libc::SYS_ioctl, [0, window_size]), libc::SECCOMP_RET_ALLOW);
}

#[test]
fn no_file_leaves_the_count_of_its_project() {
    let ioctl = |request: u64| answer_to(libc::SYS_ioctl, [0, request]);
    for request in ATTRIBUTES.map(u64::from) {
        assert_eq!(ioctl(request), refused(Errno::NOTTY), "{request:x}");
        assert_eq!(ioctl(request | 1 << 40), refused(Errno::NOTTY), "{request:x}");
    }
    // To look is free (FS_IOC_FSGETXATTR, FS_IOC_GETFLAGS), and so is to share blocks (FICLONE).
    for request in [0x801c_581f, 0x8008_6601, 0x4004_9409] {
        assert_eq!(ioctl(request), libc::SECCOMP_RET_ALLOW, "{request:x}");
    }
    assert_eq!(answer_to(FILE_SETATTR, [0; 2]), refused(Errno::NOSYS));
}

#[test]
fn other_conventions_do_not_pass() {
    let i386 = 0x4000_0003;
    assert_eq!(answer(i386, 21, [0; 2]), refused(Errno::NOSYS));
    let x32_mount = X32 | number(libc::SYS_mount);
    assert_eq!(answer(ARCHITECTURE, x32_mount, [0; 2]), refused(Errno::NOSYS));
}

#[test]
fn in_a_network_of_ones_own_only_its_families_have_sockets() {
    for call in [libc::SYS_socket, libc::SYS_socketpair] {
        let answer = |network, family: u64| {
            answer_of(&filter(Keeps::Programs(network)), ARCHITECTURE, number(call), [family, 0])
        };
        for family in 0..64 {
            let known = FAMILIES.map(|known| known as u64).contains(&family);
            let own = if known { libc::SECCOMP_RET_ALLOW } else { refused(Errno::AFNOSUPPORT) };
            assert_eq!(answer(Network::Host, family), libc::SECCOMP_RET_ALLOW);
            assert_eq!(answer(Network::Loopback, family), own, "{family}");
            assert_eq!(answer(Network::Loopback, family | 1 << 40), own, "the kernel sees 32 bits");
        }
    }
}

#[test]
fn in_a_network_of_ones_own_no_socket_is_asked_about_devices() {
    let answer = |network, request: u64| {
        answer_of(
            &filter(Keeps::Programs(network)),
            ARCHITECTURE,
            number(libc::SYS_ioctl),
            [0, request],
        )
    };
    // SIOCATMARK, FIONREAD and what is next to the devices.
    for request in [0x8905, 0x541b, 0x890f, 0x8c00] {
        assert_eq!(answer(Network::Loopback, request), libc::SECCOMP_RET_ALLOW, "{request:x}");
    }
    // SIOCGIFNAME, SIOCGIFCONF, SIOCGIFHWADDR, SIOCETHTOOL, SIOCGSKNS, SIOCGIWNAME and the last.
    for request in [0x8910, 0x8912, 0x8927, 0x8946, 0x894c, 0x8b01, 0x8bff] {
        assert_eq!(answer(Network::Host, request), libc::SECCOMP_RET_ALLOW, "{request:x}");
        for request in [request, request | 1 << 40] {
            assert_eq!(answer(Network::Loopback, request), refused(Errno::PERM), "{request:x}");
        }
    }
}

#[test]
fn who_keeps_threads_starts_no_program_and_no_process() {
    let code = filter(Keeps::Threads);
    let answer = |call, first: u64| answer_of(&code, ARCHITECTURE, number(call), [first, 0]);
    for call in PROGRAMS.iter().chain(FORBIDDEN) {
        assert_eq!(answer(*call, 0), refused(Errno::PERM), "{call}");
    }
    let thread = libc::CLONE_THREAD as u64 | libc::CLONE_VM as u64;
    assert_eq!(answer(libc::SYS_clone, thread), libc::SECCOMP_RET_ALLOW);
    for not_a_thread in [0, libc::SIGCHLD as u64, thread | libc::CLONE_NEWUSER as u64] {
        assert_eq!(answer(libc::SYS_clone, not_a_thread), refused(Errno::PERM), "{not_a_thread:x}");
    }
    for call in [libc::SYS_read, libc::SYS_futex, libc::SYS_connect, libc::SYS_tgkill] {
        assert_eq!(answer(call, u64::MAX), libc::SECCOMP_RET_ALLOW, "{call}");
    }
    let family = |family: i32| answer(libc::SYS_socket, family as u64);
    assert_eq!(family(libc::AF_INET), libc::SECCOMP_RET_ALLOW);
    assert_eq!(family(libc::AF_VSOCK), refused(Errno::AFNOSUPPORT));
}
