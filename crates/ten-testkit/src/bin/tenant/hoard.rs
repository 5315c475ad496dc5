//! What a tenant does to its disk, and how the kernel answers: with how much there is of it.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{FileExt, symlink},
    path::Path,
    process::Command,
};

use rustix::fs::{
    CWD, FallocateFlags, FileType, IFlags, Mode, fallocate, fsync, ioctl_getflags, ioctl_setflags,
    mknodat,
};

/// Bytes that are written at once.
const BLOCK: usize = 64 * 1024;
/// The size of what has holes.
const SPARSE: u64 = 1 << 40;

/// Does one of these things below a folder or with a file.
pub(crate) fn hoard(kind: &str, path: &str, amount: u64) -> io::Result<String> {
    let path = Path::new(path);
    match kind {
        "bytes" => bytes(path, amount),
        "files" => files(path, amount),
        "sparse" => {
            let file = File::create(path)?;
            file.set_len(SPARSE)?;
            file.write_all_at(b"end", SPARSE - 3)?;
            Ok("made".into())
        }
        "reserve" => {
            let file = File::create(path)?;
            fallocate(&file, FallocateFlags::empty(), 0, amount)?;
            Ok("reserved".into())
        }
        "clear" => fs::remove_dir_all(path).map(|()| "removed".into()),
        "odd" => odd(path),
        "links" => links(path),
        "project" => {
            let done = Command::new("chattr").args(["-p", "0"]).arg(path).output()?;
            match done.status.success() {
                true => Ok("changed".into()),
                false => Err(io::Error::other(String::from_utf8_lossy(&done.stderr).into_owned())),
            }
        }
        "flags" => {
            let file = File::open(path)?;
            let flags = ioctl_getflags(&file)?;
            ioctl_setflags(&file, flags & !IFlags::from_bits_retain(PROJECT_FLAG))?;
            Ok("changed".into())
        }
        other => Err(io::Error::other(format!("no such thing: {other}"))),
    }
}

/// FS_PROJINHERIT_FL: whether what is made in a folder is counted with it.
const PROJECT_FLAG: u32 = 0x2000_0000;

/// Writes until it has written so much or may write no more; says how much that was, and why
/// not more.
fn bytes(path: &Path, amount: u64) -> io::Result<String> {
    let mut file = File::create(path)?;
    let block = vec![b'x'; BLOCK];
    let mut written = 0;
    while written < amount {
        let next = usize::try_from(amount - written).unwrap_or(BLOCK).min(BLOCK);
        match file.write(&block[..next]) {
            Ok(count) => written += count as u64,
            Err(error) => return Ok(format!("{written} {}", number(&error))),
        }
    }
    match fsync(&file) {
        Ok(()) => Ok(format!("{written} 0")),
        Err(errno) => Ok(format!("{written} {}", errno.raw_os_error())),
    }
}

/// Makes empty files in a folder beside those that it has made there before, likewise.
fn files(path: &Path, amount: u64) -> io::Result<String> {
    fs::create_dir_all(path)?;
    let there = fs::read_dir(path)?.count() as u64;
    for made in 0..amount {
        if let Err(error) = File::create(path.join((there + made).to_string())) {
            return Ok(format!("{made} {}", number(&error)));
        }
    }
    Ok(format!("{amount} 0"))
}

/// What blocks whoever opens it, and what leads elsewhere.
fn odd(path: &Path) -> io::Result<String> {
    fs::create_dir_all(path)?;
    mknodat(CWD, path.join("fifo"), FileType::Fifo, Mode::RWXU, 0)?;
    mknodat(CWD, path.join("socket"), FileType::Socket, Mode::RWXU, 0)?;
    links(path)
}

fn links(path: &Path) -> io::Result<String> {
    fs::create_dir_all(path)?;
    symlink("/etc/shadow", path.join("link"))?;
    symlink(path, path.join("loop"))?;
    fs::write(path.join("file"), "text")?;
    fs::hard_link(path.join("file"), path.join("hard"))?;
    Ok("made".into())
}

fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(-1)
}
