//! What must hold.

mod beforehand;
mod commands;
mod floods;
mod moving;
mod network;
mod shown;

use std::{fs, os::unix::net::UnixStream, path::PathBuf};

use rustix::process::Signal;
use ten_kernel::{Limits, Mount, Walls};
use ten_warden::Exit;

use crate::{
    front::{Line, Order},
    host::{Host, Level, Setting, signal_pid},
};

type Case = fn(&mut Host);
type CaseOfLevel = fn(&mut Host, Level);

pub(crate) const EACH_LEVEL: &[(&str, CaseOfLevel)] = &[
    ("kill_reaches_everyone", kill_reaches_everyone),
    ("the_end_of_main_is_the_end_of_all", the_end_of_main_is_the_end_of_all),
    ("a_stopped_process_hears_the_signal", a_stopped_process_hears_the_signal),
    ("a_flood_of_signals_hides_no_end_and_no_order", floods::of_signals),
    ("ends_are_reported_exactly", ends_are_reported_exactly),
    ("failures_name_step_and_reason", failures_name_step_and_reason),
    ("what_may_not_run_never_does", beforehand::what_may_not_run_never_does),
    ("the_environment_is_the_plans", the_environment_is_the_plans),
    ("no_descriptor_too_many", no_descriptor_too_many),
    ("activation", activation),
    ("a_process_keeps_forking", a_process_keeps_forking),
    ("init_is_closed", init_is_closed),
    ("a_killed_init_sets_nobody_free", a_killed_init_sets_nobody_free),
    ("a_front_that_dies_is_replaced", a_front_that_dies_is_replaced),
    ("a_launch_outlives_the_front_that_asked", a_launch_outlives_the_front_that_asked),
    ("kill_outruns_those_who_fork", kill_outruns_those_who_fork),
    ("a_killed_warden_leaves_nothing", a_killed_warden_leaves_nothing),
    ("a_front_that_dies_while_stopping", a_front_that_dies_while_stopping),
    ("scratch_lives_with_the_tree", scratch_lives_with_the_tree),
    ("commands_come_and_go", commands::come_and_go),
    ("commands_end_with_their_tree", commands::end_with_their_tree),
    ("commands_end_with_their_asker", commands::end_with_their_asker),
    ("a_killed_minder_sets_nobody_free", commands::a_killed_minder_sets_nobody_free),
];

pub(crate) const EACH_SETTING: &[(&str, Case)] = &[
    ("sees_only_itself", sees_only_itself),
    ("the_tree_is_read_only", the_tree_is_read_only),
    ("powerless", powerless),
    ("binds", binds),
    ("places_made_beforehand_are_like_any", beforehand::places_are_like_any),
    ("a_network_of_its_own", network::a_network_of_its_own),
    (
        "what_it_is_given_tells_of_no_other_network",
        network::what_it_is_given_tells_of_no_other_network,
    ),
    ("descriptors_in_flight_leave_room_for_ours", floods::of_descriptors),
    ("data_that_are_moved_hold_up_no_front", moving::hold_up_no_front),
    ("the_second_warden_is_refused", the_second_warden_is_refused),
    ("impossible_launches_are_refused", impossible_launches_are_refused),
    ("two_signals_stop_at_once", two_signals_stop_at_once),
    ("reload_is_passed_on", reload_is_passed_on),
    ("files_are_shown_as_they_are_now", shown::files_are_shown_as_they_are_now),
    ("limits_hold_or_fail_the_launch", limits_hold_or_fail_the_launch),
];

/// Whether leaves have controllers is up to the host; that nobody is started without what
/// was asked for is not.
fn limits_hold_or_fail_the_launch(host: &mut Host) {
    let (launch, mut plan) = host.plan(Level::Bare, "echo the-end");
    plan.limits = Limits { pids_max: Some(512), ..Limits::default() };
    host.finish(launch, plan);
    for (limits, file) in [
        (Limits { memory_max: Some(64 << 20), ..Limits::default() }, "memory.max to 67108864"),
        (Limits { cpu_max_percent: Some(50), ..Limits::default() }, "cpu.max to 50000 100000"),
        (Limits { pids_max: Some(9), pids_required: true, ..Limits::default() }, "pids.max to 10"),
    ] {
        let (launch, mut plan) = host.plan(Level::Bare, "exit 3");
        plan.limits = limits;
        host.launch(launch, plan);
        let answer = host.wait_for(|line| match line {
            Line::Failed { launch: l, reason } if *l == launch => Some(Err(reason.clone())),
            Line::Exited { launch: l, exit } if *l == launch => Some(Ok(*exit)),
            _ => None,
        });
        match answer {
            Ok(exit) => {
                assert!(host.setting() == Setting::RootWithCgroups, "no cgroup, but a limit");
                assert_eq!(exit, Exit::Code(3));
            }
            Err(reason) => {
                let (what, why) = reason.split_once(": ").unwrap();
                assert_eq!(what, format!("cannot set {file}"));
                assert!(why.contains("Delegate=yes"), "{why}");
            }
        }
    }
}

/// Orphans, sessions, deaf ones, stopped ones.
const STUBBORN: &str = "
    trap '' TERM HUP INT
    setsid sh -c 'sleep 1000' &
    (setsid sh -c 'sleep 1000 & sleep 1000 &' &)
    sh -c 'kill -STOP $$' &
    (sleep 1000 &)
    echo ready
";

fn kill_reaches_everyone(host: &mut Host, level: Level) {
    let (launch, _) = host.start_script(level, &format!("{STUBBORN} while :; do sleep 1000; done"));
    host.order(&Order::Signal { launch, signal: 15 });
    host.wait_for_processes(6);
    host.order(&Order::Kill { launch });
    assert_eq!(host.exit_of(launch), Exit::Signal(9));
    assert_eq!(host.processes(), [0; 0]);
}

fn the_end_of_main_is_the_end_of_all(host: &mut Host, level: Level) {
    let (launch, _) = host.start_script(level, &format!("{STUBBORN} exit 5"));
    assert_eq!(host.exit_of(launch), Exit::Code(5));
    assert_eq!(host.processes(), [0; 0]);
}

fn a_stopped_process_hears_the_signal(host: &mut Host, level: Level) {
    let (launch, _) = host
        .start_script(level, "trap 'exit 7' TERM; echo ready; kill -STOP $$; sleep 1000 & wait");
    host.order(&Order::Signal { launch, signal: 15 });
    assert_eq!(host.exit_of(launch), Exit::Code(7));
}

fn ends_are_reported_exactly(host: &mut Host, level: Level) {
    for (script, exit) in [
        ("exit 0", Exit::Code(0)),
        ("exit 255", Exit::Code(255)),
        ("kill -SEGV $$", Exit::Signal(11)),
        ("kill -KILL $$", Exit::Signal(9)),
        ("sleep 0 & exec sh -c 'exit 3'", Exit::Code(3)),
    ] {
        let (launch, plan) = host.plan(level, script);
        host.launch(launch, plan);
        assert_eq!(host.exit_of(launch), exit, "{script}");
    }
}

fn failures_name_step_and_reason(host: &mut Host, level: Level) {
    let (launch, mut plan) = host.plan(level, "");
    plan.program = "/nonexistent/program".into();
    host.launch(launch, plan);
    let reason = host.failure_of(launch);
    assert!(reason.starts_with("cannot execute: /nonexistent/program: No such file"), "{reason}");
    let (launch, mut plan) = host.plan(level, "");
    plan.workdir = "/etc/passwd".into();
    host.launch(launch, plan);
    let reason = host.failure_of(launch);
    assert!(
        reason.starts_with("cannot enter the working folder: /etc/passwd: Not a directory"),
        "{reason}"
    );
}

fn the_environment_is_the_plans(host: &mut Host, level: Level) {
    let (launch, mut plan) = host.plan(level, "");
    plan.program = "/usr/bin/env".into();
    plan.argv = ["env", "-u", "NOTHING", "sh", "-c", "env; echo the-end"].map(String::from).into();
    plan.env.push(("GREETING".into(), "hello = world".into()));
    let tag = plan.env[1].clone();
    let text = host.finish(launch, plan);
    let mut lines: Vec<_> =
        text.lines().filter(|line| !line.starts_with("PWD=") && !line.starts_with("_=")).collect();
    lines.sort_unstable();
    let tag = format!("{}={}", tag.0, tag.1);
    assert_eq!(lines, ["GREETING=hello = world", "PATH=/usr/bin:/bin", &tag]);
}

fn no_descriptor_too_many(host: &mut Host, level: Level) {
    // The fourth is the folder that ls itself reads.
    assert_eq!(host.output_of(level, "exec ls /proc/self/fd"), "0\n1\n2\n3\n");
    let limits = "ulimit -c; ulimit -n; umask; readlink /proc/self/fd/0";
    assert_eq!(host.output_of(level, limits), "0\n1024\n0022\n/dev/null\n");
    let status = host.output_of(level, "grep -E 'Sig(Blk|Ign)' /proc/self/status");
    assert!(status.lines().all(|line| line.ends_with("0000000000000000")), "{status}");
}

fn activation(host: &mut Host, level: Level) {
    let socket = host.folder().join("s".repeat(90)).join("app.sock");
    let (launch, mut plan) = host.plan(
        level,
        "ls /proc/self/fd; test $LISTEN_PID = $$ && echo listens $LISTEN_FDS; echo ready; read x < /dev/fd/9",
    );
    // A folder whose path with the name is longer than a socket's address may be.
    plan.folders = vec![socket.parent().unwrap().into()];
    plan.socket = Some(socket.clone());
    plan.activation = true;
    plan.argv[2] = plan.argv[2].replace("read x < /dev/fd/9", "exec sleep 1000");
    host.launch(launch, plan);
    let text = host.wait_for_text(launch, "ready");
    assert_eq!(text, "0\n1\n2\n3\n4\nlistens 1\nready\n");
    let folder = fs::File::open(socket.parent().unwrap()).unwrap();
    let short = PathBuf::from(format!(
        "/proc/self/fd/{}/app.sock",
        std::os::fd::AsRawFd::as_raw_fd(&folder)
    ));
    UnixStream::connect(short).unwrap();
    host.order(&Order::Kill { launch });
    host.exit_of(launch);
    assert!(!socket.exists());
}

fn a_process_keeps_forking(host: &mut Host, level: Level) {
    let text = host.output_of(level, "/bin/true; /bin/true; (sleep 0 &); ls /etc/passwd");
    assert_eq!(text, "/etc/passwd\n");
}

fn init_is_closed(host: &mut Host, level: Level) {
    let (launch, pid) = host.start_script(level, "echo ready; sleep 1000 & wait");
    let init = ten_kernel::procfs::parent(pid).unwrap();
    let comm = fs::read_to_string(format!("/proc/{init}/comm")).unwrap();
    assert_eq!(comm, "ten-init\n");
    let line = fs::read_to_string(format!("/proc/{init}/cmdline")).unwrap();
    assert!(line.starts_with("ten-init tree-"), "{line:?}");
    let links = || -> Vec<_> {
        let fds = fs::read_dir(format!("/proc/{init}/fd")).unwrap();
        fds.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok()).collect()
    };
    assert!(links().iter().all(|link| !link.ends_with("ten.lock")), "{:?}", links());
    // It may not have heard yet that its program was executed, and still listens for that.
    host.wait_until(|| links().len() <= 10, || format!("{:?}", links()));
    // Its launcher's heap is not its own: nor is what was there of other trees.
    let maps = || fs::read_to_string(format!("/proc/{init}/maps")).unwrap();
    host.wait_until(|| !maps().contains("[heap]"), maps);
    host.order(&Order::Kill { launch });
    host.exit_of(launch);
    if level == Level::Namespaces {
        let probe = "readlink -v /proc/1/exe /proc/1/fd/0; cat /proc/1/environ /proc/1/mem";
        let text = host.output_of(level, probe);
        assert_eq!(text.matches("Permission denied").count(), 4, "{text}");
        assert!(!text.contains("trees-"), "{text}");
    }
}

fn a_killed_init_sets_nobody_free(host: &mut Host, level: Level) {
    let (launch, pid) =
        host.start_script(level, &format!("{STUBBORN} while :; do sleep 1000; done"));
    signal_pid(ten_kernel::procfs::parent(pid).unwrap(), 9);
    assert_eq!(host.exit_of(launch), Exit::Lost);
    assert_eq!(host.processes(), [0; 0]);
}

fn a_front_that_dies_is_replaced(host: &mut Host, level: Level) {
    let Line::Boot { pid: front, note, listeners, living, .. } = host.boot() else {
        unreachable!()
    };
    assert_eq!((note.as_slice(), living.as_slice()), (&b"a note"[..], &[][..]));
    let script =
        "echo ready; while ! test -e \"$GO\"; do sleep 0.01; done; echo later; exec sleep 1000";
    let (launch, mut plan) = host.plan(level, script);
    let go = host.folder().join("go");
    if let Walls::Namespaces { mounts, .. } = &mut plan.walls {
        let from = host.folder().to_path_buf();
        mounts.push(Mount::Bind { at: from.clone(), from, writable: false });
    }
    plan.env.push(("GO".into(), go.to_str().unwrap().into()));
    host.launch(launch, plan);
    host.wait_for_text(launch, "ready");
    let pid = host.wait_for(|line| match line {
        Line::Launched { pid, .. } => Some(*pid),
        _ => None,
    });
    signal_pid(front, 9);
    fs::write(&go, "").unwrap();
    host.reconnect();
    let Line::Boot { pid: second, living, listeners: now, next_launch, .. } = host.boot() else {
        unreachable!()
    };
    assert_ne!(second, front);
    assert_eq!(now, listeners);
    assert_eq!(living, [(launch, Some(pid))]);
    assert_eq!(next_launch, launch + 1);
    host.wait_for_text(launch, "later");
    host.order(&Order::Kill { launch });
    assert_eq!(host.exit_of(launch), Exit::Signal(9));
}

/// Whether it was decided before, while or after the front died: the next one knows of it,
/// or it was never asked for.
fn a_launch_outlives_the_front_that_asked(host: &mut Host, level: Level) {
    for _ in 0..4 {
        let Line::Boot { pid: front, .. } = host.boot() else { unreachable!() };
        let (launch, plan) = host.plan(level, "exec sleep 1000");
        host.launch(launch, plan);
        signal_pid(front, 9);
        host.reconnect();
        let Line::Boot { living, .. } = host.boot() else { unreachable!() };
        if living.is_empty() {
            assert_eq!(host.processes(), [0; 0]);
            continue;
        }
        assert_eq!(living[0].0, launch);
        host.order(&Order::Kill { launch });
        assert_eq!(host.exit_of(launch), Exit::Signal(9));
    }
}

fn kill_outruns_those_who_fork(host: &mut Host, level: Level) {
    let forks =
        "trap '' TERM; f() { while :; do (setsid sleep 0.01 &); done; }; f & f & echo ready; f";
    let (launch, _) = host.start_script(level, forks);
    host.order(&Order::Signal { launch, signal: 15 });
    host.wait_for_processes(5);
    host.order(&Order::Kill { launch });
    assert_eq!(host.exit_of(launch), Exit::Signal(9));
    assert_eq!(host.processes(), [0; 0]);
}

fn a_killed_warden_leaves_nothing(host: &mut Host, level: Level) {
    host.start_script(level, &format!("{STUBBORN} while :; do sleep 1000; done"));
    host.wait_for_processes(6);
    host.kill_warden();
    assert!(host.processes().len() >= 6);
    host.restart_warden();
    host.boot();
    assert_eq!(host.processes(), [0; 0]);
}

fn a_front_that_dies_while_stopping(host: &mut Host, level: Level) {
    let Line::Boot { pid: front, .. } = host.boot() else { unreachable!() };
    host.start_script(level, "trap 'exit 0' TERM; echo ready; sleep 1000 & wait");
    host.signal_warden(15);
    host.wait_for(|line| (*line == Line::Terminate).then_some(()));
    signal_pid(front, 9);
    assert!(host.wait_warden().success());
}

fn scratch_lives_with_the_tree(host: &mut Host, level: Level) {
    let scratch = host.folder().join("scratch");
    fs::create_dir(&scratch).unwrap();
    if host.setting() == Setting::Nobody {
        std::os::unix::fs::chown(&scratch, Some(65534), Some(65534)).unwrap();
    }
    fs::write(scratch.join("old"), "").unwrap();
    let kept = host.folder().join("kept/deep");
    let (launch, mut plan) = host.plan(level, "echo ready; exec sleep 1000");
    plan.scratch = Some(scratch.clone());
    plan.folders = vec![kept.clone()];
    host.launch(launch, plan);
    host.wait_for_text(launch, "ready");
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
    host.order(&Order::Kill { launch });
    host.exit_of(launch);
    assert!(!scratch.exists() && kept.is_dir());
}

fn sees_only_itself(host: &mut Host) {
    let (other, _) = host.start_script(Level::Namespaces, "echo ready; exec sleep 1000");
    let script = "cd /proc; for p in [0-9]*; do cat $p/comm; done; uname -n; cut -d: -f3 /proc/self/cgroup | tail -n1";
    let text = host.output_of(Level::Namespaces, script);
    let mut lines: Vec<_> = text.lines().collect();
    let cgroup = lines.pop().unwrap();
    assert_eq!(lines.pop(), Some("inside"));
    lines.retain(|comm| *comm != "sh");
    assert_eq!(lines[0], "ten-init");
    assert!(lines[1..].iter().all(|comm| *comm == "cat"), "{text}");
    assert!(lines.len() < 4, "{text}");
    if host.setting() == Setting::RootWithCgroups {
        assert_eq!(cgroup, "/");
    }
    host.order(&Order::Kill { launch: other });
    host.exit_of(other);
}

fn the_tree_is_read_only(host: &mut Host) {
    let script = "touch /etc/x /usr/x /var/tmp/x; touch /tmp/x /dev/y; cat /dev/null; \
                  echo 1 > /dev/null; echo x > /proc/sys/kernel/core_pattern; \
                  ls /tmp /dev; ls -ld /tmp";
    let text = host.output_of(Level::Namespaces, script);
    assert_eq!(text.matches("Read-only file system").count(), 4, "{text}");
    assert!(text.contains("/dev:\nnull\ny\n") && text.contains("/tmp:\nx\n"), "{text}");
    assert!(text.contains("drwxrwxrwt"), "{text}");
}

fn powerless(host: &mut Host) {
    let status = host.output_of(Level::Namespaces, "grep -E 'Cap|NoNewPrivs' /proc/self/status");
    let (privs, caps): (Vec<_>, Vec<_>) =
        status.lines().partition(|line| line.starts_with("NoNewPrivs"));
    assert_eq!(privs, ["NoNewPrivs:\t1"]);
    assert_eq!(caps.len(), 5);
    assert!(caps.iter().all(|line| line.ends_with("\t0000000000000000")), "{status}");
    let refused = host
        .output_of(Level::Namespaces, "mount -t tmpfs none /mnt; umount /tmp; hostname x; true");
    assert!(!refused.is_empty());
    assert_eq!(
        host.output_of(Level::Namespaces, "stat -f -c %T /tmp; uname -n"),
        "tmpfs\ninside\n"
    );
    assert_eq!(
        host.output_of(Level::Bare, "grep NoNewPrivs /proc/self/status"),
        "NoNewPrivs:\t1\n"
    );
}

/// Folders below a private place come back where they were, writable or not.
fn binds(host: &mut Host) {
    let (work, data) = (host.folder().join("work"), host.folder().join("data-of-it"));
    for folder in [&work, &data] {
        fs::create_dir(folder).unwrap();
        std::os::unix::fs::chown(folder, Some(65534), None).unwrap();
        fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    fs::write(work.join("app"), "the app\n").unwrap();
    let single = host.folder().join("single");
    fs::write(&single, "a file\n").unwrap();
    let script = format!(
        "exec 2>&1; cat app; cat {0}; touch app; touch {1}/kept; ls {2}; echo the-end",
        single.display(),
        data.display(),
        host.folder().display()
    );
    let (launch, mut plan) = host.plan(Level::Namespaces, &script);
    plan.workdir = work.clone();
    let Walls::Namespaces { mounts, .. } = &mut plan.walls else { unreachable!() };
    for (path, writable) in [(&work, false), (&data, true), (&single, false)] {
        mounts.push(Mount::Bind { from: path.clone(), at: path.clone(), writable });
    }
    let text = host.finish(launch, plan);
    assert!(text.contains("the app\na file\n"), "{text}");
    assert!(text.contains("data-of-it\nsingle\nwork\n"), "{text}");
    assert!(data.join("kept").exists());
    let (launch, mut plan) = host.plan(Level::Namespaces, "");
    let Walls::Namespaces { mounts, .. } = &mut plan.walls else { unreachable!() };
    mounts.push(Mount::Bind { from: "/missing".into(), at: "/missing".into(), writable: false });
    host.launch(launch, plan);
    let reason = host.failure_of(launch);
    assert!(
        reason.starts_with("cannot open what is to be shown: /missing: No such file"),
        "{reason}"
    );
}

fn the_second_warden_is_refused(host: &mut Host) {
    host.boot();
    let second = host.second_warden();
    let text = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success());
    assert!(text.contains(&format!("another ten (pid {})", host.warden_pid())), "{text}");
}

fn impossible_launches_are_refused(host: &mut Host) {
    for name in ["", "..", "a/b", "/abs", "a\0b"] {
        let (launch, mut plan) = host.plan(Level::Bare, "");
        plan.name = name.into();
        host.launch(launch, plan);
        assert!(host.failure_of(launch).contains("cannot name a tree"), "{name}");
    }
    let (first, _) = host.start_script(Level::Bare, "echo ready; exec sleep 1000");
    let (launch, mut plan) = host.plan(Level::Bare, "");
    plan.name = format!("tree-{first}");
    host.launch(launch, plan);
    assert!(host.failure_of(launch).contains("is still there"));
    let (launch, mut plan) = host.plan(Level::Bare, "");
    plan.argv.push("x".repeat(ten_warden::MESSAGE_MAX));
    host.launch(launch, plan);
    assert!(host.failure_of(launch).contains("at most 131072 can be sent"));
    host.order(&Order::Kill { launch: first });
    host.exit_of(first);
}

fn two_signals_stop_at_once(host: &mut Host) {
    host.start_script(Level::Namespaces, &format!("{STUBBORN} while :; do sleep 1000; done"));
    host.start_script(Level::Bare, &format!("{STUBBORN} while :; do sleep 1000; done"));
    host.signal_warden(Signal::TERM.as_raw());
    host.wait_for(|line| (*line == Line::Terminate).then_some(()));
    host.signal_warden(Signal::INT.as_raw());
    assert!(host.wait_warden().success());
    assert_eq!(host.processes(), [0; 0]);
}

fn reload_is_passed_on(host: &mut Host) {
    host.boot();
    host.signal_warden(Signal::HUP.as_raw());
    host.wait_for(|line| (*line == Line::Reload).then_some(()));
}
