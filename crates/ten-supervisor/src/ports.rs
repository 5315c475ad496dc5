//! The ports that instances are given.
//!
//! Ports below the kernel's ephemeral range (32768-60999, ip(7), `ip_local_port_range`)
//! come first: nothing else takes one by chance, and a connection attempt to a port on
//! which nobody listens yet cannot connect to itself.

use std::{collections::HashSet, net::TcpListener, ops::RangeInclusive};

/// The range of SPEC 2.
const RANGE: RangeInclusive<u16> = 30000..=40000;

/// Which ports are given out, and where to look next.
#[derive(Debug)]
pub(crate) struct Ports {
    taken: HashSet<u16>,
    next: u16,
}

impl Ports {
    pub(crate) fn new() -> Self {
        Self { taken: HashSet::new(), next: *RANGE.start() }
    }

    /// A port that no instance has and on which nobody listens; `None` where there is none
    /// in the whole range. It is free when given: nothing keeps others from taking it.
    pub(crate) fn take(&mut self) -> Option<u16> {
        let ephemeral = 32768;
        let low = (self.next..ephemeral).chain(*RANGE.start()..self.next.min(ephemeral));
        let candidates = low.chain(ephemeral..=*RANGE.end());
        let port = candidates
            .filter(|port| !self.taken.contains(port))
            .find(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok())?;
        self.taken.insert(port);
        // A port that was just given back is used last: connections to it may linger.
        self.next = if port + 1 < ephemeral { port + 1 } else { *RANGE.start() };
        Some(port)
    }

    /// Notes a port that an instance has already.
    pub(crate) fn adopt(&mut self, port: u16) {
        self.taken.insert(port);
    }

    pub(crate) fn give_back(&mut self, port: u16) {
        self.taken.remove(&port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_gives_a_port_twice_or_one_that_is_in_use() {
        let mut ports = Ports::new();
        let first = ports.take().unwrap();
        assert!(RANGE.contains(&first));
        let second = ports.take().unwrap();
        assert_ne!(first, second);
        let in_use = TcpListener::bind(("127.0.0.1", second)).unwrap();
        ports.give_back(second);
        ports.next = second;
        assert_ne!(ports.take(), Some(second));
        drop(in_use);
    }
}
