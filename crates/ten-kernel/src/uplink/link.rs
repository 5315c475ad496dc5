//! Pairs of devices (veth(4)), their addresses and routes (rtnetlink(7)).
//!
//! Both ends of a pair have the same hardware address, and neither asks for the other's
//! (IFF_NOARP): what one end sends is meant for the other, there is nobody else.

use std::{
    net::Ipv4Addr,
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::io::Errno;

use super::{UP, UP_INDEX};
use crate::{
    failure::{Failure, Step},
    netlink::{Attributes, Message, Netlink},
};

/// Of every device; a locally administered address. Each wire has two ends and no third.
const HARDWARE: [u8; 6] = [0x02, b't', b'e', b'n', 0, 1];
/// What a tree's own device is called: what programs expect.
const TREE_DEVICE: &str = "eth0";
/// After the loopback device, which is the first of every network.
const TREE_INDEX: u32 = 2;
/// The first number of trees' devices in the uplink's network.
const FIRST_INDEX: u32 = 16;
/// `VETH_INFO_PEER`.
const PEER: u16 = 1;
const SINGLE: u8 = 32;

/// One end of a pair.
struct End<'a> {
    name: &'a str,
    /// 0: the kernel numbers it.
    index: u32,
}

/// Makes the pair between the host, where it is not up yet, and the uplink.
pub(super) fn to_host(host: &Netlink, name: &str, uplink: &OwnedFd) -> Result<(), Failure> {
    let (near, far) = (End { name, index: 0 }, End { name: UP, index: UP_INDEX });
    carry_out(host, Step::Uplink, &[pair(&near, &far, uplink)])
}

/// Removes the host's end, and with it the other one; none there is no error.
pub(super) fn remove(host: &Netlink, name: &str) -> Result<(), Failure> {
    let message = Message::new(libc::RTM_DELLINK, flags(0), &link_header(0))
        .with(libc::IFLA_IFNAME, &text(name));
    match host.carry_out(&[message]) {
        Ok(()) | Err((_, Errno::NODEV)) => Ok(()),
        Err((_, errno)) => Err(Failure::on(Step::Uplink, name.as_ref())(errno)),
    }
}

/// Brings the host's end up, and says that the uplink is there. Fails with EEXIST where the
/// host has a route to that address already.
pub(super) fn route_to_uplink(host: &Netlink, index: u32, to: Ipv4Addr) -> Result<(), Failure> {
    carry_out(host, Step::Uplink, &[up(index), route(Some(to), index)])
}

/// Gives the uplink its address, and its way out.
pub(super) fn address_of_uplink(inside: &Netlink, own: Ipv4Addr) -> Result<(), Failure> {
    let steps = [up(UP_INDEX), address(own, UP_INDEX), route(None, UP_INDEX)];
    carry_out(inside, Step::Uplink, &steps)
}

/// Connects a tree's network to the uplink's.
pub(super) fn to_tree(
    uplink: &Netlink,
    tree: &Netlink,
    network: &OwnedFd,
    number: u16,
    own: Ipv4Addr,
) -> Result<(), Failure> {
    let (name, index) = (format!("t{number}"), FIRST_INDEX + u32::from(number));
    let near = End { name: &name, index };
    let far = End { name: TREE_DEVICE, index: TREE_INDEX };
    let made = [pair(&near, &far, network), up(index), route(Some(own), index)];
    carry_out(uplink, Step::Link, &made)?;
    let steps = [up(TREE_INDEX), address(own, TREE_INDEX), route(None, TREE_INDEX)];
    carry_out(tree, Step::Link, &steps)
}

fn carry_out(socket: &Netlink, step: Step, messages: &[Message]) -> Result<(), Failure> {
    socket.carry_out(messages).map_err(|(at, errno)| Failure {
        detail: format!("rtnetlink, message {at}"),
        ..Failure::of(step)(errno)
    })
}

/// Neither end is up yet: the kernel raises none that has no other. One queue each: the kernel would make as many as the machine has processors.
fn pair(near: &End<'_>, far: &End<'_>, network: &OwnedFd) -> Message {
    let one = 1u32.to_ne_bytes();
    let there = network.as_raw_fd().to_ne_bytes();
    let peer = Attributes::after(&link_header(far.index))
        .with(libc::IFLA_IFNAME, &text(far.name))
        .with(libc::IFLA_ADDRESS, &HARDWARE)
        .with(libc::IFLA_NUM_TX_QUEUES, &one)
        .with(libc::IFLA_NUM_RX_QUEUES, &one)
        .with(libc::IFLA_NET_NS_FD, &there);
    let kind = Attributes::default()
        .with(libc::IFLA_INFO_KIND, b"veth")
        .holding(libc::IFLA_INFO_DATA, Attributes::default().with(PEER, peer.bytes()));
    let exclusive = flags(libc::NLM_F_CREATE | libc::NLM_F_EXCL);
    Message::new(libc::RTM_NEWLINK, exclusive, &link_header(near.index))
        .with(libc::IFLA_IFNAME, &text(near.name))
        .with(libc::IFLA_ADDRESS, &HARDWARE)
        .with(libc::IFLA_NUM_TX_QUEUES, &one)
        .with(libc::IFLA_NUM_RX_QUEUES, &one)
        .holding(libc::IFLA_LINKINFO, kind)
}

/// An address without a network around it: nobody else is directly reachable.
fn address(address: Ipv4Addr, index: u32) -> Message {
    // struct ifaddrmsg: family, prefix, flags, scope, device.
    let mut header = [libc::AF_INET as u8, SINGLE, 0, libc::RT_SCOPE_UNIVERSE, 0, 0, 0, 0];
    header[4..].copy_from_slice(&index.to_ne_bytes());
    Message::new(libc::RTM_NEWADDR, flags(libc::NLM_F_CREATE | libc::NLM_F_EXCL), &header)
        .with(libc::IFA_LOCAL, &address.octets())
        .with(libc::IFA_ADDRESS, &address.octets())
}

/// To one address, or to all that no other route is for, directly through a device.
fn route(to: Option<Ipv4Addr>, index: u32) -> Message {
    // struct rtmsg: family, destination's prefix, source's, tos, table, protocol, scope, type,
    // and four bytes of flags.
    let header = [
        libc::AF_INET as u8,
        if to.is_some() { SINGLE } else { 0 },
        0,
        0,
        libc::RT_TABLE_MAIN,
        libc::RTPROT_STATIC,
        libc::RT_SCOPE_LINK,
        libc::RTN_UNICAST,
        0,
        0,
        0,
        0,
    ];
    let exclusive = flags(libc::NLM_F_CREATE | libc::NLM_F_EXCL);
    let mut route = Message::new(libc::RTM_NEWROUTE, exclusive, &header);
    if let Some(to) = to {
        route = route.with(libc::RTA_DST, &to.octets());
    }
    route.with(libc::RTA_OIF, &index.to_ne_bytes())
}

/// Without ARP, and ready.
fn up(index: u32) -> Message {
    let now = (libc::IFF_UP | libc::IFF_NOARP) as u32;
    let mut header = link_header(index);
    // The flags, and which of them are changed.
    header[8..12].copy_from_slice(&now.to_ne_bytes());
    header[12..].copy_from_slice(&now.to_ne_bytes());
    Message::new(libc::RTM_NEWLINK, flags(0), &header)
}

/// `struct ifinfomsg`.
fn link_header(index: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header
}

fn flags(flags: i32) -> u16 {
    (flags | libc::NLM_F_ACK) as u16
}

fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}
