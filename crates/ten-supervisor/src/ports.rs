//! The ports that instances are given.
//!
//! Ports below the kernel's ephemeral range (32768-60999, ip(7), `ip_local_port_range`)
//! come first: nothing else takes one by chance, and a connection attempt to a port on
//! which nobody listens yet cannot connect to itself.
//!
//! Between the moment when a port is found free and the moment when its tenant listens,
//! another server of this host could give the same one away, and then answer the other's
//! requests. So each port that is given away is also held as a name in the abstract Unix
//! namespace (unix(7)), which lives exactly as long as the port and is shared by the same
//! processes: those of one network namespace.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    path::Path,
};

use ten_runtime::INSTANCE_PORTS;

/// The ports of instances that are below the ephemeral ones, then the rest.
const LOW: std::ops::Range<u16> = *INSTANCE_PORTS.start()..32768;
const HIGH: std::ops::RangeInclusive<u16> = 32768..=*INSTANCE_PORTS.end();

/// The port of every instance that has a network of its own, where it is nobody else's.
pub(crate) const IN_A_NETWORK_OF_ITS_OWN: u16 = LOW.start;

/// Which ports are given out, and where to look next.
#[derive(Debug)]
pub(crate) struct Ports {
    /// Each with the name that holds it; without one where it was taken over from a front
    /// whose name has not gone yet.
    taken: HashMap<u16, Option<UnixDatagram>>,
    next: u16,
}

impl Ports {
    /// Servers of one host begin at different ports, so that they seldom look at the same.
    pub(crate) fn new(data_dir: &Path) -> Self {
        let mut hasher = DefaultHasher::new();
        data_dir.hash(&mut hasher);
        let offset = hasher.finish() % u64::from(LOW.end - LOW.start);
        Self { taken: HashMap::new(), next: LOW.start + offset as u16 }
    }

    /// A port that no instance of this host has and on which nobody listens; `None` where
    /// there is none in the whole range. It is free when given: a stranger may still take it.
    pub(crate) fn take(&mut self) -> Option<u16> {
        let candidates = (self.next..LOW.end).chain(LOW.start..self.next).chain(HIGH);
        let (port, name) = candidates
            .filter(|port| !self.taken.contains_key(port))
            .find_map(|port| Some((port, hold(port).filter(|_| is_free(port))?)))?;
        self.taken.insert(port, Some(name));
        // A port that was just given back is used last: connections to it may linger.
        self.next = if LOW.contains(&(port + 1)) { port + 1 } else { LOW.start };
        Some(port)
    }

    /// Notes a port that an instance has already.
    pub(crate) fn adopt(&mut self, port: u16) {
        self.taken.insert(port, hold(port));
    }

    pub(crate) fn give_back(&mut self, port: u16) {
        self.taken.remove(&port);
    }
}

fn hold(port: u16) -> Option<UnixDatagram> {
    let name = SocketAddr::from_abstract_name(format!("tenement-port-{port}")).ok()?;
    UnixDatagram::bind_addr(&name).ok()
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("0.0.0.0", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_gives_a_port_twice_or_one_that_is_in_use() {
        let mut ports = Ports::new(Path::new("/one"));
        let first = ports.take().unwrap();
        assert!(LOW.contains(&first));
        let second = ports.take().unwrap();
        assert_ne!(first, second);
        let in_use = TcpListener::bind(("127.0.0.1", second)).unwrap();
        ports.give_back(second);
        ports.next = second;
        assert_ne!(ports.take(), Some(second));
        drop(in_use);
    }

    #[test]
    fn two_servers_never_give_the_same_port() {
        let (mut one, mut other) = (Ports::new(Path::new("/a")), Ports::new(Path::new("/b")));
        let port = one.take().unwrap();
        other.next = port;
        assert_ne!(other.take(), Some(port), "nobody listens yet, but it is given away");
        one.give_back(port);
        other.next = port;
        assert_eq!(other.take(), Some(port));
    }
}
