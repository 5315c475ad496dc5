//! Commands beside the program of a tree, run by minders that its init forks.

use ten_warden::Exit;

use crate::{
    front::{Line, Order},
    host::{Host, Level, signal_pid},
};

/// An init and its program. Not counted when a case begins: a process that is being executed has
/// no environment for a moment, by which it is known.
const ALONE: usize = 2;
/// A shell, three of its own, and a minder.
const CROWD: usize = 5;
const STUBBORN: &str = "trap '' HUP TERM; (setsid sleep 1000 &); sleep 1000 & sleep 1000 & wait";

fn run(host: &mut Host, launch: u64, script: &str) {
    let argv = ["sh", "-c", script].map(String::from).to_vec();
    host.order(&Order::Run { launch, argv });
}

fn outcome(host: &mut Host, launch: u64) -> String {
    host.take(|line| match line {
        Line::Ran { launch: l, text } if *l == launch => Some(text.clone()),
        _ => None,
    })
}

pub(super) fn come_and_go(host: &mut Host, level: Level) {
    let (launch, _) = host.start_script(level, "echo ready; exec sleep 1000");
    run(host, launch, "echo said; exit 3");
    assert_eq!(outcome(host, launch), "said\nSome(768)");
    run(host, launch, &format!("({STUBBORN}) >/dev/null & kill -TERM $$"));
    assert_eq!(outcome(host, launch), "Some(15)");
    host.order(&Order::Run { launch, argv: vec!["no-such-command".into()] });
    let why = outcome(host, launch);
    assert!(why.contains("cannot execute: no-such-command: No such file"), "{why}");
    host.wait_for_at_most(ALONE);
    host.order(&Order::Kill { launch });
    assert_eq!(host.exit_of(launch), Exit::Signal(9));
}

pub(super) fn end_with_their_tree(host: &mut Host, level: Level) {
    let (launch, _) = host.start_script(level, "echo ready; exec sleep 1000");
    run(host, launch, STUBBORN);
    host.wait_for_processes(ALONE + CROWD);
    host.order(&Order::Kill { launch });
    assert_eq!(host.exit_of(launch), Exit::Signal(9));
    assert_eq!(outcome(host, launch), "None");
    assert_eq!(host.processes(), [0; 0]);
}

pub(super) fn end_with_their_asker(host: &mut Host, level: Level) {
    let Line::Boot { pid: front, .. } = host.boot() else { unreachable!() };
    let (launch, _) = host.start_script(level, "echo ready; exec sleep 1000");
    run(host, launch, STUBBORN);
    host.wait_for_processes(ALONE + CROWD);
    signal_pid(front, 9);
    host.reconnect();
    host.wait_for_at_most(ALONE);
    run(host, launch, "echo again");
    assert_eq!(outcome(host, launch), "again\nSome(0)");
    host.order(&Order::Kill { launch });
    assert_eq!(host.exit_of(launch), Exit::Signal(9));
}

/// Whoever kills its minder sets a command free into the tree, and no further.
pub(super) fn a_killed_minder_sets_nobody_free(host: &mut Host, level: Level) {
    let (launch, _) = host.start_script(level, "echo ready; exec sleep 1000");
    run(host, launch, "kill -9 $PPID; exec sleep 1000 >/dev/null");
    // Before or after it could say that the command began.
    let end = outcome(host, launch);
    assert!(["None", "connection refused"].contains(&end.as_str()), "{end}");
    host.order(&Order::Kill { launch });
    assert_eq!(host.exit_of(launch), Exit::Signal(9));
    assert_eq!(host.processes(), [0; 0]);
}
