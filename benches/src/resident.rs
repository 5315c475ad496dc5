//! What a process holds in memory, as the kernel counts it: proc_pid_smaps_rollup(5) and, for
//! the page tables, `VmPTE` of proc_pid_status(5).
//!
//! What the kernel keeps for a process besides its page tables (stacks, sockets, namespaces) is
//! counted by no file of the process, so it is not here.

use std::{fs, io, iter::Sum, ops::Add};

/// Memory of a process or of several, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Resident {
    /// Resident pages, a page that several processes have counted for each.
    pub rss: u64,
    /// Resident pages, a page that several processes have divided among them: summed over
    /// processes, each page counts once.
    pub pss: u64,
    /// Of `pss`, what is not a file's: heap, stacks and written data.
    pub anonymous: u64,
    /// Page tables.
    pub tables: u64,
}

/// Of one process.
pub(crate) fn of(pid: u32) -> io::Result<Resident> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(Resident {
        rss: bytes(&rollup, "Rss:")?,
        pss: bytes(&rollup, "Pss:")?,
        anonymous: bytes(&rollup, "Pss_Anon:")?,
        tables: bytes(&status, "VmPTE:")?,
    })
}

/// The value of a line `NAME:   123 kB`.
fn bytes(text: &str, name: &str) -> io::Result<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let number = value.and_then(|value| value.trim().strip_suffix("kB")?.trim().parse().ok());
    let kibibytes: u64 = number.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("there is no line {name}"))
    })?;
    Ok(kibibytes * 1024)
}

impl Add for Resident {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            rss: self.rss + other.rss,
            pss: self.pss + other.pss,
            anonymous: self.anonymous + other.anonymous,
            tables: self.tables + other.tables,
        }
    }
}

impl Sum for Resident {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_holds_something_and_a_missing_line_is_named() {
        let own = of(std::process::id()).unwrap();
        assert!(own.rss >= own.pss && own.pss > own.anonymous && own.tables > 0, "{own:?}");
        assert_eq!(bytes("Rss:  12 kB\n", "Rss:").unwrap(), 12 * 1024);
        assert_eq!(bytes("Rss: 12 kB\n", "Pss:").unwrap_err().to_string(), "there is no line Pss:");
    }
}
