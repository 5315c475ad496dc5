//! The way out of trees whose network is their own (`Network::Uplink`): one more network that
//! all of them are connected to, and that alone is connected to the host's.
//!
//! ```text
//!  a tree's network          the uplink's network               the host's network
//! ┌──────────────────┐      ┌──────────────────────────┐      ┌─────────────────────────┐
//! │ eth0 198.18.0.1 ─┼──────┼─ t1                      │      │                         │
//! └──────────────────┘ veth │   filter, masquerade  up ┼──────┼─ ten-1a2b3c4d    filter,│──► out
//! ┌──────────────────┐      │              198.19.7.9  │ veth │              masquerade │
//! │ eth0 198.18.0.2 ─┼──────┼─ t2                      │      └─────────────────────────┘
//! └──────────────────┘      └──────────────────────────┘
//! ```
//!
//! What must not be reached is filtered where it is known: other trees, link-local addresses
//! and the like in the uplink's network, whatever addresses the host has at the moment in the
//! host's (`rules.rs`). There is no process in the uplink's network. It lives as long as
//! somebody holds it: the launcher, and the init of every tree that is connected. The same
//! hands hold the filters in the host's network, so that neither outlives the other, and
//! nothing is left once all of them have gone.
//!
//! No packet is ever addressed on a wire: each pair of devices has two ends with one hardware
//! address and without ARP, so there is nobody to pretend to be. IPv4 only.

mod link;
mod nft;
mod rules;

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs, io,
    net::Ipv4Addr,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    path::Path,
    rc::Rc,
};

use rustix::{
    fs::{Mode, OFlags, open},
    io::Errno,
    net::{AddressFamily, SocketType, netdevice::name_to_index, socket},
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe},
};

pub use self::rules::uplink_reaches;
use self::rules::{INSTANCES, UPLINKS};
use crate::{
    failure::{Failure, Step},
    netlink::Netlink,
    walls::raise_loopback,
};

/// Longest name of a network device (netdevice(7): IFNAMSIZ, one for the NUL).
const NAME_MAX: usize = 15;
/// The highest number of a tree. With the highest of all it would have a broadcast address.
const NUMBER_MAX: u16 = u16::MAX - 1;
/// The end in the uplink's network, and its number there, which no other has yet.
const UP: &str = "up";
const UP_INDEX: u32 = 2;
/// Where each network namespace shows itself to the thread in it.
const OWN_NETWORK: &str = "/proc/thread-self/ns/net";

/// The uplink's network, ready for trees to be connected to it. Made by root alone.
#[derive(Debug)]
pub struct Uplink {
    name: String,
    shared: Rc<Shared>,
}

/// What must be held for packets to pass.
#[derive(Debug)]
struct Shared {
    network: OwnedFd,
    /// Changes that network.
    routes: Netlink,
    filters: OwnedFd,
    numbers: RefCell<Numbers>,
}

/// Numbers of trees. One that was given back is the last to be given again: the device that
/// it names may still be on its way out.
#[derive(Debug, Default)]
struct Numbers {
    taken: BTreeSet<u16>,
    last: u16,
}

/// A network for one tree, connected to an uplink. Its place there is given back when this is
/// dropped.
#[derive(Debug)]
pub struct Link {
    network: OwnedFd,
    place: Place,
}

/// One tree's number.
#[derive(Debug)]
struct Place {
    number: u16,
    shared: Rc<Shared>,
}

impl Uplink {
    /// Makes the network, and connects it to the one that this process is in by a device of
    /// this name. A device that has the name already is one of an earlier uplink, and removed.
    ///
    /// The calling process must have one thread.
    ///
    /// # Errors
    ///
    /// Where this process may not, where its network passes no packets on
    /// (`net.ipv4.ip_forward`), or where the kernel lacks what it takes.
    pub fn open(name: &str) -> Result<Self, Failure> {
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(Failure::on(Step::Uplink, name.as_ref())(Errno::NAMETOOLONG));
        }
        check_forwarding(name)?;
        let host = Netlink::routes().map_err(Failure::of(Step::Uplink))?;
        link::remove(&host, name)?;
        let (network, routes) = in_a_new_network(|| {
            forward_and_check_sources()?;
            rules::for_uplink()?;
            let routes = Netlink::routes().map_err(Failure::of(Step::Uplink))?;
            Ok((own_network().map_err(Failure::of(Step::Uplink))?, routes))
        })?;
        link::to_host(&host, name, &network)?;
        let connected = connect(name, &host, &routes);
        let filters = match connected {
            Ok(filters) => filters,
            Err(failure) => {
                link::remove(&host, name)?;
                return Err(failure);
            }
        };
        let shared = Shared { network, routes, filters, numbers: RefCell::default() };
        Ok(Self { name: name.into(), shared: Rc::new(shared) })
    }

    /// Makes a network for one more tree, which takes the kernel about a millisecond, and connects
    /// it.
    ///
    /// The calling process must have one thread.
    pub fn link(&self) -> Result<Link, Failure> {
        let failed = || Failure::of(Step::Link);
        let number = self.shared.numbers.borrow_mut().take();
        let number = number.ok_or(Errno::ADDRNOTAVAIL).map_err(failed())?;
        let place = Place { number, shared: Rc::clone(&self.shared) };
        let (network, inside) = in_a_new_network(|| {
            raise_loopback()?;
            without_ipv6()?;
            let inside = Netlink::routes().map_err(failed())?;
            Ok((own_network().map_err(failed())?, inside))
        })?;
        link::to_tree(&self.shared.routes, &inside, &network, number, place.address())?;
        Ok(Link { network, place })
    }

    /// Takes it down, and returns once the host's device is gone.
    pub fn remove(self) -> Result<(), Failure> {
        link::remove(&Netlink::routes().map_err(Failure::of(Step::Uplink))?, &self.name)
    }
}

impl Numbers {
    fn take(&mut self) -> Option<u16> {
        let next = |number: u16| if number >= NUMBER_MAX { 1 } else { number + 1 };
        let first = next(self.last);
        let mut number = first;
        while !self.taken.insert(number) {
            number = next(number);
            if number == first {
                return None;
            }
        }
        self.last = number;
        Some(number)
    }
}

impl Link {
    /// The tree's address in its own network.
    pub fn address(&self) -> Ipv4Addr {
        self.place.address()
    }

    /// What its init holds, so that neither the network nor the filters go before it does.
    pub(crate) fn holds(&self) -> [RawFd; 3] {
        let Shared { network, filters, .. } = &*self.place.shared;
        [&self.network, network, filters].map(AsRawFd::as_raw_fd)
    }

    /// Enters the network. Called by the tree's init, as root.
    pub(crate) fn enter(&self) -> Result<(), Failure> {
        enter(&self.network).map_err(Failure::of(Step::Link))
    }
}

impl Place {
    fn address(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(INSTANCES.0.to_bits() + u32::from(self.number))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.numbers.borrow_mut().taken.remove(&self.number);
    }
}

/// Gives the uplink an address that nobody has yet, and puts up the host's filters; then, and
/// only then, packets may pass.
fn connect(name: &str, host: &Netlink, inside: &Netlink) -> Result<OwnedFd, Failure> {
    let device = Path::new(CONF).join(name);
    sysctl(&device.join("forwarding"))?;
    without_ipv6_at(&Path::new(CONF6).join(name))?;
    let index = index_of(name).map_err(Failure::on(Step::Uplink, name.as_ref()))?;
    for candidate in candidates(name) {
        let filters = rules::for_host(name, candidate)?;
        match link::route_to_uplink(host, index, candidate) {
            Err(Failure { errno, .. }) if errno == Errno::EXIST.raw_os_error() => {}
            Err(failure) => return Err(failure),
            Ok(()) => {
                link::address_of_uplink(inside, candidate)?;
                return Ok(filters.into());
            }
        }
    }
    Err(Failure::of(Step::Uplink)(Errno::ADDRNOTAVAIL))
}

/// Addresses for an uplink, in an order that depends on its name, so that two servers of one
/// host seldom meet.
fn candidates(name: &str) -> impl Iterator<Item = Ipv4Addr> {
    const TRIES: u16 = 256;
    // FNV-1a: the same in every run.
    let hash = name
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let first = (hash >> 16 ^ hash) as u16;
    let hosts =
        (0..TRIES).map(move |n| first.wrapping_add(n)).filter(|n| (1..u16::MAX).contains(n));
    hosts.map(|n| Ipv4Addr::from_bits(UPLINKS.0.to_bits() + u32::from(n)))
}

const CONF: &str = "/proc/sys/net/ipv4/conf";
const CONF6: &str = "/proc/sys/net/ipv6/conf";
const NOT_FORWARDING: &str = "net.ipv4.ip_forward is 0";

/// Whether this network passes packets on from any device but its loopback and ours: answers
/// from outside must be, so that of our own device is not enough. That changes what a host is,
/// and so it is the operator's to switch on.
pub(crate) fn check_forwarding(own: &str) -> Result<(), Failure> {
    let devices = fs::read_dir(CONF).into_iter().flatten().flatten();
    let devices = devices.filter(|entry| {
        let name = entry.file_name();
        !["lo", "default", own].iter().any(|other| name == *other)
    });
    let on = |path: &Path| fs::read_to_string(path).is_ok_and(|text| text.trim() == "1");
    match devices.into_iter().any(|entry| on(&entry.path().join("forwarding"))) {
        true => Ok(()),
        false => Err(Failure::on(Step::Forwarding, NOT_FORWARDING.as_ref())(Errno::NETUNREACH)),
    }
}

/// What makes this new network pass packets on, but none whose sender is not where it came
/// from (rp_filter in the kernel's ip-sysctl).
fn forward_and_check_sources() -> Result<(), Failure> {
    forward()?;
    sysctl(&Path::new(CONF).join("all/rp_filter"))?;
    sysctl(&Path::new(CONF).join("default/rp_filter"))?;
    without_ipv6_at(&Path::new(CONF6).join("all"))?;
    without_ipv6()
}

/// Has the network that this thread is in pass packets on.
pub(crate) fn forward() -> Result<(), Failure> {
    sysctl("/proc/sys/net/ipv4/ip_forward".as_ref())
}

/// For devices to come. Those that are there keep it, such as the loopback device.
fn without_ipv6() -> Result<(), Failure> {
    without_ipv6_at(&Path::new(CONF6).join("default"))
}

fn without_ipv6_at(conf: &Path) -> Result<(), Failure> {
    // A kernel without IPv6 needs no switch.
    if conf.exists() { sysctl(&conf.join("disable_ipv6")) } else { Ok(()) }
}

/// Switches something on in the network that this thread is in.
fn sysctl(path: &Path) -> Result<(), Failure> {
    fs::write(path, "1").map_err(|why: io::Error| {
        Failure::on(Step::Uplink, path)(Errno::from_io_error(&why).unwrap_or(Errno::IO))
    })
}

fn index_of(name: &str) -> Result<u32, Errno> {
    name_to_index(socket(AddressFamily::INET, SocketType::DGRAM, None)?, name)
}

fn own_network() -> Result<OwnedFd, Errno> {
    open(OWN_NETWORK, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn enter(network: &OwnedFd) -> Result<(), Errno> {
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
}

/// Does something in a network that did not exist before, and comes back.
fn in_a_new_network<T>(act: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let own = own_network().map_err(Failure::of(Step::Uplink))?;
    // SAFETY: a network namespace is about sockets that are yet to be made, and no memory,
    // descriptor or credential of this process.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.map_err(Failure::of(Step::Uplink))?;
    let done = act();
    // Who may make a network may enter another (setns(2)); in the wrong one nothing that
    // follows would be right.
    enter(&own).expect("there is a way back");
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_given_again_only_after_all_others() {
        let mut numbers = Numbers::default();
        assert_eq!((numbers.take(), numbers.take()), (Some(1), Some(2)));
        numbers.taken.remove(&1);
        assert_eq!(numbers.take(), Some(3));
        numbers.last = NUMBER_MAX;
        assert_eq!((numbers.take(), numbers.take()), (Some(1), Some(4)));
        while numbers.take().is_some() {}
        assert_eq!(numbers.taken.len(), usize::from(NUMBER_MAX));
        numbers.taken.remove(&77);
        assert_eq!(numbers.take(), Some(77));
    }

    #[test]
    fn servers_begin_at_addresses_of_their_own() {
        let first = |name: &str| candidates(name).next().unwrap();
        assert_ne!(first("ten-00000001"), first("ten-00000002"));
        assert!(candidates("tenement").count() > 200);
        assert!(candidates("tenement").all(|address| address.octets()[..2] == [198, 19]));
    }
}
