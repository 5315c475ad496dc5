//! How the limit of open files of a server (RLIMIT_NOFILE, getrlimit(2)) is shared out.
//!
//! ```text
//! 256 for the server itself │ 5/12 for instances that run │ the rest for clients, two each
//! ```

/// A limit of open files, of each of a server's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFiles(pub u64);

impl OpenFiles {
    /// For what is neither a client nor an instance: the store, listeners, operators.
    pub const RESERVED: u64 = 256;
    /// What a running instance takes of the process that needs most for it: its output, what is
    /// known of its process, its cgroup, its sockets. Of the other it takes [`Self::OF_FRONT`].
    const OF_WARDEN: u64 = 6;
    /// What it takes of the one that serves clients.
    const OF_FRONT: u64 = 5;

    /// How many instances may run at a time. Their starts never want for files, however many clients
    /// there are.
    pub const fn instances(self) -> usize {
        (self.0 / (2 * Self::OF_WARDEN)) as usize
    }

    /// How many clients may be served at a time, with one file for each and one for its
    /// connection to an instance.
    pub const fn clients(self) -> usize {
        let of_instances = Self::OF_FRONT * self.instances() as u64;
        (self.0.saturating_sub(Self::RESERVED + of_instances) / 2) as usize
    }

    /// The lowest limit with which so many clients may be served.
    pub const fn for_clients(clients: usize) -> Self {
        let (whole, of_clients) = (2 * Self::OF_WARDEN, 2 * Self::OF_WARDEN - Self::OF_FRONT);
        Self((2 * clients as u64 + Self::RESERVED).div_ceil(of_clients) * whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_out_is_there() {
        for limit in [0, 100, 256, 1024, 4096, 35_000, 524_288, 1 << 30] {
            let files = OpenFiles(limit);
            let (instances, clients) = (files.instances() as u64, files.clients() as u64);
            assert!(OpenFiles::OF_WARDEN * instances + OpenFiles::RESERVED / 2 <= limit.max(256));
            let front = OpenFiles::OF_FRONT * instances + 2 * clients;
            assert!(clients == 0 || front + OpenFiles::RESERVED <= limit, "{limit}");
        }
        assert_eq!((OpenFiles(1024).instances(), OpenFiles(1024).clients()), (85, 171));
    }

    #[test]
    fn what_clients_need_is_enough_for_them() {
        for clients in [1, 7, 1000, 10_000, 1_000_000] {
            let files = OpenFiles::for_clients(clients);
            assert!(files.clients() >= clients, "{clients}: {files:?}");
            assert!(OpenFiles(files.0 * 9 / 10).clients() < clients, "{clients}: {files:?}");
        }
    }
}
