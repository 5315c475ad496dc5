//! Commands inside instances: `ten exec`.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Output, Stdio},
    time::Instant,
};

use rustix::process::Signal;
use ten_testkit::{Ten, http::Request, process};

use crate::service::{LEVELS, PATIENCE, app};

const TERMINAL: &str = include_str!("exec/terminal.py");
const HOST: &str = "a.app.localhost";

fn at(level: &str, keys: &str) -> Ten {
    let ten = Ten::with_config(&app("", &format!("isolation = \"{level}\"\n{keys}"))).start();
    assert_eq!(ten.get(HOST, "/").text(), "app:a");
    ten
}

/// `ten exec app:a -- WORDS`, whose streams are pipes.
fn exec(ten: &Ten, words: &[&str]) -> Command {
    let mut command = ten.command();
    command.args(["exec", "app:a", "--"]).args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(ten: &Ten, words: &[&str]) -> Output {
    exec(ten, words).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts a shell that says "ready", and waits until it has.
fn begin(ten: &Ten, script: &str) -> Child {
    let mut child = exec(ten, &["sh", "-c", script]).spawn().unwrap();
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    assert_eq!(&ready, b"ready\n");
    child
}

/// The pid of the one process of the instance with this word among its arguments.
fn pid_of(ten: &Ten, word: &str) -> u32 {
    let mut found = ten.processes_of("app:a");
    found.retain(|process| process.argv.iter().any(|arg| arg.contains(word)));
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].pid
}

/// What the host knows of a process: where it is, who it is, and what it may.
fn surroundings(pid: u32) -> BTreeMap<String, String> {
    let of = |file: &str| format!("/proc/{pid}/{file}");
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(of("ns")).unwrap().flatten() {
        let namespace = fs::read_link(entry.path()).unwrap();
        all.insert(entry.file_name().display().to_string(), namespace.display().to_string());
    }
    for link in ["root", "cwd"] {
        all.insert(link.into(), fs::read_link(of(link)).unwrap().display().to_string());
    }
    for file in ["cgroup", "limits", "mountinfo", "oom_score_adj"] {
        all.insert(file.into(), fs::read_to_string(of(file)).unwrap());
    }
    let kept = ["Uid", "Gid", "Groups", "Umask", "NoNewPrivs", "Seccomp", "Seccomp_filters"];
    let status = fs::read_to_string(of("status")).unwrap();
    let lines = status.lines().filter_map(|line| line.split_once(':'));
    for (name, value) in lines.filter(|(name, _)| name.starts_with("Cap") || kept.contains(name)) {
        all.insert(name.into(), value.trim().into());
    }
    let environment = fs::read(of("environ")).unwrap();
    let mut variables: Vec<_> = environment.split(|byte| *byte == 0).collect();
    variables.sort_unstable();
    all.insert("environment".into(), String::from_utf8_lossy(&variables.join(&b'\n')).into());
    all
}

#[test]
fn a_command_is_where_the_program_is() {
    for keys in ["", "network = \"none\"", "user = \"inherit\"", "isolation = \"process\""] {
        let ten = Ten::with_config(&app("", keys)).start();
        ten.get(HOST, "/");
        let program = pid_of(&ten, "tenant");
        let mut child = exec(&ten, &["cat", "/dev/stdin"]).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        assert_eq!(surroundings(pid_of(&ten, "/dev/stdin")), surroundings(program), "{keys}");
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn its_streams_are_kept_apart_and_its_code_is_tens() {
    for level in LEVELS {
        let ten = at(level, "");
        let output = run(&ten, &["sh", "-c", "echo out; echo err >&2; exit 7"]);
        assert_eq!((said(&output), complained(&output)), ("out\n".into(), "err\n".into()));
        assert_eq!(output.status.code(), Some(7));
        assert_eq!(run(&ten, &["sh", "-c", "kill -TERM $$"]).status.code(), Some(128 + 15));
        // What it opens again is its own.
        let again = run(&ten, &["sh", "-c", "echo a >/dev/stdout; echo b >/dev/stderr"]);
        assert_eq!((said(&again), complained(&again)), ("a\n".into(), "b\n".into()));
        // Who says nothing more on stdin has ended it; who reads nothing hinders nobody.
        assert_eq!(said(&run(&ten, &["wc", "-c"])).trim(), "0");
        let mut deaf = exec(&ten, &["sh", "-c", "exec <&-; sleep 0.1; echo on"]).spawn().unwrap();
        let _ = deaf.stdin.take().unwrap().write_all(&[b'x'; 1 << 20]);
        assert_eq!(said(&deaf.wait_with_output().unwrap()), "on\n");
    }
}

#[test]
fn much_goes_both_ways_at_once() {
    let ten = at("namespace", "");
    let mut child = exec(&ten, &["tee", "/dev/stderr"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent: Vec<u8> = (0..8_000_000_u32).flat_map(|n| [n as u8, (n >> 8) as u8]).collect();
    let writer = std::thread::spawn({
        let sent = sent.clone();
        move || stdin.write_all(&sent).unwrap()
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.stdout == sent && output.stderr == sent && output.status.success());
}

#[test]
fn who_sleeps_is_woken_and_stays_awake() {
    let ten = at("namespace", "idle_timeout = 1");
    let sleeps = || ten.processes_of("app:a").is_empty();
    ten.wait_until("it sleeps", PATIENCE, sleeps);
    let child = begin(&ten, "echo ready; read line; echo $line");
    let pid = pid_of(&ten, "tenant");
    let since = Instant::now();
    ten.wait_until("three idle times have passed", PATIENCE, || since.elapsed().as_secs() >= 3);
    assert_eq!(pid_of(&ten, "tenant"), pid);
    let mut child = child;
    child.stdin.take().unwrap().write_all(b"awake\n").unwrap();
    assert_eq!(said(&child.wait_with_output().unwrap()), "awake\n");
    ten.wait_until("it sleeps again", PATIENCE, sleeps);
}

#[test]
fn an_extra_variable_outlives_a_command() {
    let ten = Ten::with_config(&app("", "idle_timeout = 1")).start();
    assert_eq!(ten.cli(&["spawn", "app:a", "--env", "EXTRA=yes"]).code, Some(0));
    ten.wait_until("it sleeps", PATIENCE, || ten.processes_of("app:a").is_empty());
    assert_eq!(said(&run(&ten, &["sh", "-c", "echo $EXTRA"])), "yes\n");
}

/// A program that is never ready is looked at from inside.
#[test]
fn who_is_being_started_is_entered_at_once() {
    let config = app("--listen none", "listen = \"port\"\nstartup_timeout = 60");
    let ten = Ten::with_config(&config).start();
    assert_eq!(ten.cli(&["spawn", "app:a", "--no-wait"]).code, Some(0));
    ten.wait_until("it has a process", PATIENCE, || {
        ten.processes_of("app:a").iter().any(|p| p.argv.iter().any(|arg| arg == "--listen"))
    });
    assert_eq!(said(&run(&ten, &["echo", "here"])), "here\n");
    assert_eq!(ten.cli(&["stop", "app:a"]).code, Some(0));
}

#[test]
fn nothing_outlives_its_asker() {
    for level in LEVELS {
        let ten = at(level, "");
        let before: Vec<_> = ten.processes_of("app:a").iter().map(|p| p.pid).collect();
        let tenant = ten_testkit::tenant_binary().display().to_string();
        let relatives = ["stubborn", "setsid", "daemon", "stopped"]
            .map(|kind| format!("{tenant} --relative {kind} >/dev/null &"))
            .join(" ");
        let script = format!("trap '' HUP; {relatives} echo ready; while :; do sleep 1000; done");
        let mut child = begin(&ten, &script);
        ten.wait_until("its relatives are there", PATIENCE, || {
            ten.processes_of("app:a")
                .iter()
                .filter(|p| p.argv.iter().any(|a| a == "--relative"))
                .count()
                >= 4
        });
        child.kill().unwrap();
        child.wait().unwrap();
        ten.wait_until("the program is alone", PATIENCE, || {
            ten.processes_of("app:a").iter().map(|p| p.pid).eq(before.iter().copied())
        });
        assert_eq!(ten.get(HOST, "/count").text(), "2");
    }
}

/// Also while what it sent waits for a command that does not read.
#[test]
fn an_asker_that_goes_is_noticed() {
    let ten = at("namespace", "");
    let mut child = exec(&ten, &["sleep", "1000"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || while stdin.write_all(&[b'x'; 1 << 16]).is_ok() {});
    ten.wait_until("it runs", PATIENCE, || ten.processes_of("app:a").len() > 1);
    let pid = pid_of(&ten, "sleep");
    // The pipe to the command is full, and so is the way there.
    let waits = || fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap();
    let mut before = String::new();
    ten.wait_until("nothing moves", PATIENCE, || std::mem::replace(&mut before, waits()) == before);
    child.kill().unwrap();
    child.wait().unwrap();
    writer.join().unwrap();
    ten.wait_until("it has ended", PATIENCE, || !process::is_alive(pid));
}

#[test]
fn a_command_takes_with_it_what_it_started() {
    for level in LEVELS {
        let ten = at(level, "");
        let before = ten.processes_of("app:a").len();
        let tenant = ten_testkit::tenant_binary().display().to_string();
        let script = format!("{tenant} --relative daemon; echo started");
        assert!(said(&run(&ten, &["sh", "-c", &script])).contains("started\n"));
        assert_eq!(ten.processes_of("app:a").len(), before);
    }
}

/// It neither delays a stop nor survives it.
#[test]
fn a_stop_ends_it() {
    for level in LEVELS {
        let ten = at(level, "stop_timeout = 60");
        let child = begin(&ten, "trap '' TERM HUP; echo ready; while :; do sleep 1000; done");
        let since = Instant::now();
        assert_eq!(ten.cli(&["stop", "app:a"]).code, Some(0));
        assert!(since.elapsed().as_secs() < 30, "a command held up a stop");
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(137), "{}", complained(&output));
        assert!(complained(&output).contains("app:a ended"), "{}", complained(&output));
    }
}

#[test]
fn a_front_that_dies_ends_it_and_no_tenant() {
    for level in LEVELS {
        let ten = at(level, "");
        let program = pid_of(&ten, "tenant");
        let child = begin(&ten, "echo ready; sleep 1000");
        ten.signal(ten.front().unwrap(), Signal::KILL);
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(3));
        ten.wait_until("the program is alone", PATIENCE, || ten.processes_of("app:a").len() <= 2);
        ten.wait_until("another front", PATIENCE, || ten.front().is_some());
        assert_eq!(said(&run(&ten, &["echo", "again"])), "again\n");
        assert_eq!(pid_of(&ten, "tenant"), program);
    }
}

#[test]
fn what_cannot_be_run_is_told_why() {
    let folder = tempfile::Builder::new().prefix("ten-exec-").tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    let tool = write("tool", "#!/bin/sh\n", 0o755);
    let ten = at("namespace", "");
    let own = ten.data_dir().join("app/a");
    let script = |name: &str, text: &str| {
        fs::write(own.join(name), text).unwrap();
        fs::set_permissions(own.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        own.join(name).display().to_string()
    };
    let bind = format!("add bind = [\"{}:ro\"]", folder.path().display());
    let cases: [(&str, i32, &[&str]); 7] = [
        ("no-such-command", 127, &["is in no folder of PATH"]),
        ("/no/such/command", 127, &["cannot be executed", "No such file"]),
        (&tool, 127, &["is not visible inside the walls", &bind]),
        (&script("hidden", &format!("#!{tool}\n")), 127, &["is not visible", &bind]),
        ("/etc/passwd", 126, &["not an executable file"]),
        (&script("binary", "neither"), 126, &["Exec format error"]),
        ("/root", 126, &["cannot be executed"]),
    ];
    for (command, code, words) in cases {
        let output = run(&ten, &[command]);
        let told = complained(&output);
        assert_eq!(output.status.code(), Some(code), "{command}: {told}");
        assert!(words.iter().all(|word| told.contains(word)), "{command}: {told}");
    }
    // Its own /tmp has what nobody sees from outside, and that counts.
    let made = "printf '#!/bin/sh\\necho own\\n' > /tmp/made; chmod +x /tmp/made";
    assert!(run(&ten, &["sh", "-c", made]).status.success());
    assert_eq!(said(&run(&ten, &["/tmp/made"])), "own\n");
    // The kernel finds nothing wrong with env, which finds nothing.
    let _ = fs::remove_file(own.join("env"));
    let by_env = script("env", &format!("#!/usr/bin/env -S {tool}\n"));
    let output = run(&ten, &[&by_env]);
    assert_eq!(output.status.code(), Some(127));
    assert!(complained(&output).contains(&bind), "{}", complained(&output));
}

#[test]
fn nobody_is_let_in_who_should_not_be() {
    let ten = at("namespace", "");
    let unknown = ten.cli(&["exec", "app:nobody", "--", "id"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("no instance is called app:nobody"), "{}", unknown.stderr);
    assert_eq!(ten.cli(&["exec", "app:a"]).code, Some(2));
    let token = ten.cli(&["token-gen"]).stdout;
    let server = format!("http://{}", ten.address());
    let far = ten.cli(&["--server", &server, "--token", token.trim(), "exec", "app:a", "--", "id"]);
    assert_eq!(far.code, Some(1));
    assert!(far.stderr.contains("over the admin socket alone"), "{}", far.stderr);
    assert_eq!(
        ten.send(&Request::post("localhost", "/api/instances/app/a/exec", "{}")).unwrap().status,
        401
    );
}

/// Descriptors of a process, but for mounts that are attached nowhere: those are what the warden has
/// made for the next tree, and have no path but their own root.
fn open_files(pid: u32) -> usize {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    fds.filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() != "/")).count()
}

#[test]
fn nothing_is_left_of_a_command() {
    for level in LEVELS {
        let ten = at(level, "");
        let init = process::read(pid_of(&ten, "tenant")).unwrap().parent;
        run(&ten, &["true"]);
        let pids = [ten.warden(), ten.front().unwrap(), init];
        let before = pids.map(open_files);
        for _ in 0..20 {
            run(&ten, &["sh", "-c", "sleep 0 & echo x"]);
            run(&ten, &["no-such-command"]);
            let mut child = begin(&ten, "echo ready; sleep 1000");
            child.kill().unwrap();
            child.wait().unwrap();
        }
        ten.wait_until("all descriptors are closed", PATIENCE, || {
            pids.map(open_files).iter().zip(before).all(|(now, before)| *now <= before)
        });
        // Zombies are among them.
        let children = format!("/proc/{init}/task/{init}/children");
        ten.wait_until("init has one child", PATIENCE, || {
            fs::read_to_string(&children).unwrap().split_whitespace().count() == 1
        });
    }
}

/// A program in a terminal, and what is typed there. Its exit code.
fn in_terminal(ten: &Ten, words: &[&str], steps: &[&str]) -> String {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", TERMINAL]).arg(ten_testkit::ten_binary()).args(["exec", "app:a", "--"]);
    command.args(words).env("TERM", "xterm-test");
    command.env("TENEMENT_DATA_DIR", ten.data_dir());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all((steps.join("\n") + "\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", complained(&output));
    said(&output).trim().to_owned()
}

#[test]
fn a_terminal_is_one() {
    for level in LEVELS {
        let ten = at(level, "");
        let steps = [
            "expect 'ready> '",
            "raw",
            "type 'tty; stty size; echo =$TERM=\\n'",
            "expect '/dev/pts/'",
            "expect '33 77'",
            "expect '=xterm-test='",
            // Ctrl-C is for the command, and the shell around it goes on. It is the command itself that
            // says that it has the terminal.
            "type 'sh -c \"printf be%sn gu; exec sleep 1000\"\\n'",
            "expect 'begun'",
            "type '\\x03'",
            "type 'echo ended with $?\\n'",
            "expect 'ended with 130'",
            "type 'exit 9\\n'",
            "end",
        ];
        assert_eq!(in_terminal(&ten, &["env", "PS1=ready> ", "sh", "-i"], &steps), "9", "{level}");
        // Who is in the foreground hears of a new size, and of Ctrl-C.
        let script = "trap 'stty size' WINCH; echo begun; while :; do sleep 0.01; done";
        let steps = ["expect 'begun'", "size 50 120", "expect '50 120'", "type '\\x03'", "end"];
        assert_eq!(in_terminal(&ten, &["sh", "-c", script], &steps), "130");
        // Ctrl-D ends its input.
        let steps = ["raw", "type 'line\\n'", "expect 'line\\r\\nline'", "type '\\x04'", "end"];
        assert_eq!(in_terminal(&ten, &["cat"], &steps), "0");
        // -T: what is typed is not passed on key by key.
        let mut words = vec!["-c", "test -t 0 || echo none"];
        words.insert(0, "sh");
        assert_eq!(in_terminal(&ten, &words, &["end"]), "0");
    }
}

#[test]
fn a_terminal_is_given_back() {
    let ten = at("namespace", "");
    for signal in [1, 2, 3, 15] {
        let signal_step = format!("signal {signal}");
        let steps = ["raw", &signal_step, "cooked", "end"];
        assert_eq!(in_terminal(&ten, &["sleep", "1000"], &steps), (128 + signal).to_string());
    }
    assert_eq!(in_terminal(&ten, &["sh", "-c", "kill -9 $$"], &["cooked", "end"]), "137");
    ten.wait_until("the program is alone", PATIENCE, || ten.processes_of("app:a").len() <= 2);
}
