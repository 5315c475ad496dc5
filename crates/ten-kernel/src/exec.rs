//! Starting a trusted program beside the trees: same user, same environment, same stdout
//! and stderr, one socket to talk over.

use std::os::{
    fd::{AsRawFd, OwnedFd, RawFd},
    unix::ffi::OsStrExt,
};
use std::{io::Write, path::Path};

use rustix::process::{Signal, set_parent_process_death_signal, setsid};

use crate::{
    child::{self, Child},
    failure::Failure,
    init::{close_range, exit},
    program::{NOT_EXECUTED, duplicate, execute},
    signals,
};

/// Where the program finds its socket.
const SOCKET_FD: RawFd = 3;

/// Starts `program` with `socket` as fd 3 and no other descriptor beyond stderr. It has its
/// own session, so that a terminal's Ctrl-C reaches only this process, and the kernel kills
/// it when this process dies: it holds sockets that a successor must be able to bind.
///
/// A program that cannot be executed says so on stderr and ends with status 126.
pub fn spawn(program: &Path, argv: &[String], socket: &OwnedFd) -> Result<Child, Failure> {
    match child::fork(0, None)? {
        Some(child) => Ok(child),
        None => become_program(program, argv, socket),
    }
}

fn become_program(program: &Path, argv: &[String], socket: &OwnedFd) -> ! {
    let prepared = set_parent_process_death_signal(Some(Signal::KILL))
        .and_then(|()| setsid())
        .and_then(|_| signals::reset())
        .and_then(|()| duplicate(socket.as_raw_fd(), SOCKET_FD))
        .and_then(|()| close_range(SOCKET_FD + 1, RawFd::MAX, libc::CLOSE_RANGE_CLOEXEC));
    let why = match prepared {
        Ok(()) => execute(program, argv, &environment()),
        Err(why) => why,
    };
    // Where stderr is closed there is nobody to tell; the status says it too.
    let _ = writeln!(std::io::stderr(), "cannot execute {}: {why}", program.display());
    exit(NOT_EXECUTED)
}

/// Variables that are not text cannot be passed on and mean nothing to ten.
fn environment() -> Vec<String> {
    std::env::vars_os()
        .filter_map(|(key, value)| {
            let mut line = key.into_encoded_bytes();
            line.push(b'=');
            line.extend_from_slice(value.as_bytes());
            String::from_utf8(line).ok()
        })
        .collect()
}
