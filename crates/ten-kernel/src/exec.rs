//! Starting what is ten's own beside the trees: same user, same environment, same stdout and
//! stderr, one socket to talk over.

use std::{
    ffi::CStr,
    io::Write,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use rustix::{
    io::Errno,
    process::{Signal, set_parent_process_death_signal, setsid},
};

use crate::{
    child::{self, Child, NOT_EXECUTED},
    failure::Failure,
    init::{close_range, exit},
    program::{duplicate, execute},
    signals, title,
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

/// The same without another program: `work` is done by a fork of this one, and what it returns is
/// its status. It may start threads. `name` is what ps(1) shows.
pub fn fork_servant(
    name: &CStr,
    socket: &OwnedFd,
    work: impl FnOnce(OwnedFd) -> i32,
) -> Result<Child, Failure> {
    if let Some(child) = child::fork(0, None)? {
        return Ok(child);
    }
    let worked = catch_unwind(AssertUnwindSafe(|| {
        prepare(socket)?;
        close_range(SOCKET_FD + 1, RawFd::MAX, 0)?;
        title::set(name, &name.to_string_lossy());
        // SAFETY: `prepare` has just made it, and whoever owned this number before is in a part
        // of this process's memory that is never returned to.
        Ok::<_, Errno>(work(unsafe { OwnedFd::from_raw_fd(SOCKET_FD) }))
    }));
    exit(worked.ok().and_then(Result::ok).unwrap_or(NOT_EXECUTED))
}

/// What every servant is, wherever it goes from here.
fn prepare(socket: &OwnedFd) -> Result<(), Errno> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    setsid()?;
    signals::reset()?;
    duplicate(socket.as_raw_fd(), SOCKET_FD)
}

fn become_program(program: &Path, argv: &[String], socket: &OwnedFd) -> ! {
    let prepared = prepare(socket)
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
