//! What passes an uplink and what does not.
//!
//! ```text
//! tree ──► DENIED, or not by `up` ──► refused
//!     └──► anything else ──► masquerade ──► host ──► one of its own addresses ──► refused
//!                                               └──► anything else ──► masquerade ──► out
//! outside ──► only answers
//! ```
//!
//! Refused means told at once: a TCP reset, else an ICMP message. The host's own filters have
//! their say beside these, which accept nothing that another table drops.

use std::net::Ipv4Addr;

use rustix::io::Errno;

use super::{
    UP_INDEX,
    nft::{self, Hook, Owner, Table},
};
use crate::{
    failure::{Failure, Step},
    netlink::Netlink,
};

/// Addresses and the bits of them that count.
pub(super) type Network = (Ipv4Addr, u8);

/// Addresses of trees, which mean something in the uplink's network alone. They and those of
/// uplinks are from the block for benchmarks (RFC 2544), which nobody's host has.
pub(super) const INSTANCES: Network = (Ipv4Addr::new(198, 18, 0, 0), 16);
/// Addresses of uplinks in the host's network.
pub(super) const UPLINKS: Network = (Ipv4Addr::new(198, 19, 0, 0), 16);

/// What no tree reaches, whatever the host's routes are.
const DENIED: [Network; 8] = [
    // This network, loopback, multicast, reserved and broadcast (RFC 6890).
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
    // Link-local: where most clouds tell a machine its secrets.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // Where others do: Alibaba, Oracle, Azure.
    (Ipv4Addr::new(100, 100, 100, 200), 32),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    // Other trees and other uplinks.
    (Ipv4Addr::new(198, 18, 0, 0), 15),
];

/// Whether packets to this address pass an uplink. Those to an address of the host itself do,
/// and are refused there.
pub fn uplink_reaches(address: Ipv4Addr) -> bool {
    let within = |(network, prefix): Network| {
        (address.to_bits() ^ network.to_bits()).checked_shr(32 - u32::from(prefix)).unwrap_or(0)
            == 0
    };
    !DENIED.into_iter().any(within)
}

/// `NF_INET_*` and the priorities of nft(8).
const PREROUTING: i32 = 0;
const INPUT: i32 = 1;
const FORWARD: i32 = 2;
const POSTROUTING: i32 = 4;
const FILTER: i32 = 0;
const SOURCE_NAT: i32 = 100;
/// Before any destination is changed, as container engines do for ports that they publish on
/// the host's addresses.
const BEFORE_DESTINATION_NAT: i32 = -150;

const REFUSE: &str = "refuse";

/// Connections that one tree may have to the outside at a time, those included that have ended
/// and that the kernel remembers for two minutes. The host remembers all of them too, in a
/// table of limited size (nf_conntrack_max, 65,536 on a small machine): one tree must not fill it.
const CONNECTIONS_MAX: u32 = 4096;
const CONNECTIONS: &str = "connections";

/// In the network that this thread is in: the uplink's own.
pub(super) fn for_uplink() -> Result<(), Failure> {
    let filter = |number| Some(Hook { kind: "filter", number, priority: FILTER, drops: true });
    let mut table = Table::new("tenement", Owner::Anybody)
        .counters(CONNECTIONS, u32::from(u16::MAX))
        .chain(REFUSE, None)
        .chain("forward", filter(FORWARD))
        .chain("input", filter(INPUT))
        .chain("postrouting", Some(source_nat()))
        .rule(REFUSE, &[nft::is_tcp(), nft::reset()])
        .rule(REFUSE, &[nft::prohibit()])
        .rule("forward", &[nft::is_answer(), nft::accept()])
        .rule("forward", &[nft::is_astray(), nft::drop()])
        .rule("forward", &[nft::from_index(UP_INDEX), nft::drop()])
        .rule("forward", &[nft::not_to_index(UP_INDEX), nft::go_to(REFUSE)]);
    for network in DENIED {
        table = table.rule("forward", &[nft::to(network), nft::go_to(REFUSE)]);
    }
    let too_many = nft::has_more_than(CONNECTIONS_MAX, CONNECTIONS);
    let table = table
        .rule("forward", &[too_many, nft::go_to(REFUSE)])
        .rule("forward", &[nft::accept()])
        .rule("input", &[nft::go_to(REFUSE)])
        .rule("postrouting", &[nft::to_index(UP_INDEX), nft::masquerade()]);
    put_up(table).map(drop)
}

/// In the network that this thread is in: the host's, where the uplink is the device `name` and
/// has this address. They are there as long as what is returned.
pub(super) fn for_host(name: &str, address: Ipv4Addr) -> Result<Netlink, Failure> {
    let own = || nft::from_device(name);
    let early =
        Hook { kind: "filter", number: PREROUTING, priority: BEFORE_DESTINATION_NAT, drops: false };
    let table = Table::new(name, Owner::Socket)
        .chain("prerouting", Some(early))
        .chain("postrouting", Some(source_nat()))
        .rule("prerouting", &[own(), nft::not_of(address), nft::drop()])
        .rule("prerouting", &[own(), nft::not_to_others(), nft::is_tcp(), nft::reset()])
        .rule("prerouting", &[own(), nft::not_to_others(), nft::prohibit()])
        .rule("postrouting", &[nft::of(address), nft::masquerade()]);
    put_up(table)
}

fn source_nat() -> Hook {
    Hook { kind: "nat", number: POSTROUTING, priority: SOURCE_NAT, drops: false }
}

fn put_up(table: Table) -> Result<Netlink, Failure> {
    let socket = Netlink::filters().map_err(Failure::of(Step::UplinkRules))?;
    socket.carry_out(&table.messages()).map_err(|(at, errno)| {
        let failure = Failure::of(Step::UplinkRules)(errno);
        // The first after the beginning makes the table: somebody has one of that name.
        match (at, errno) {
            (1, Errno::EXIST | Errno::PERM) => failure,
            _ => Failure { detail: format!("nf_tables, message {at}"), ..failure },
        }
    })?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_reached_as_the_filter_does() {
        let reached = |text: &str| uplink_reaches(text.parse().unwrap());
        for address in ["1.1.1.1", "10.0.0.1", "192.168.1.1", "169.253.0.1", "198.17.255.255"] {
            assert!(reached(address), "{address}");
        }
        for address in [
            "127.0.0.53",
            "169.254.169.254",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "255.255.255.255",
            "0.0.0.0",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
        ] {
            assert!(!reached(address), "{address}");
        }
    }
}
