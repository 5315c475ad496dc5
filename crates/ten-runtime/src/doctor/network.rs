//! Ports: of the server, of the web, of the instances.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use ten_kernel::{Holder, procfs};

use super::{Check, Lack, SERVE, read};
use crate::INSTANCE_PORTS;

/// Where the web is expected.
const WEB: [u16; 2] = [80, 443];

pub(super) fn checks(
    listen: &[SocketAddr],
    usable: Option<&Result<(), Lack>>,
    server: Option<u32>,
) -> Vec<Check> {
    let own = listen.iter().map(|address| port(*address, server).needed_by(Some(SERVE.into())));
    let others = WEB.into_iter().filter(|port| listen.iter().all(|own| own.port() != *port));
    let web = others.map(|web| port((Ipv4Addr::UNSPECIFIED, web).into(), server));
    own.chain(web).chain(usable.map(certificate)).chain([instances()]).collect()
}

fn certificate(usable: &Result<(), Lack>) -> Check {
    let name = "certificate";
    match usable {
        Ok(()) => Check::works(name, "cert_file and key_file belong together"),
        Err(Lack { detail, fix }) => {
            Check::missing(name, detail).fix(fix).needed_by(Some(SERVE.into()))
        }
    }
}

fn port(address: SocketAddr, server: Option<u32>) -> Check {
    let name = format!("port {}", address.port());
    let is_ours = |Holder { pid, .. }: &Holder| {
        server.is_some_and(|server| *pid == server || procfs::parent(*pid) == Some(server))
    };
    let holder = ten_kernel::holder(address.port());
    if holder.as_ref().is_some_and(is_ours) {
        return Check::works(name, "the server listens on it");
    }
    let error = match TcpListener::bind(address) {
        Ok(_) => return Check::works(name, format!("{} is free", address.ip())),
        Err(error) => error,
    };
    match (error.kind(), holder) {
        (ErrorKind::AddrInUse, Some(Holder { pid, name: who })) => {
            Check::missing(name, format!("{who} (pid {pid}) listens on it"))
                .fix("stop it, choose another port, or let it pass requests on to ten")
        }
        (ErrorKind::AddrInUse, None) => Check::missing(name, "somebody listens on it")
            .fix("`ss -ltnp` as root says who; stop it, or choose another port"),
        (ErrorKind::PermissionDenied, _) => Check::missing(name, "only root may listen on it")
            .fix("AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit, or sysctl net.ipv4.ip_unprivileged_port_start=80"),
        _ => Check::missing(name, format!("cannot listen on {address}: {error}"))
            .fix("name an address of this host with --bind"),
    }
}

/// What the kernel gives to outgoing connections should not be what instances are given.
fn instances() -> Check {
    let name = "instances' ports";
    let (first, last) = (INSTANCE_PORTS.start(), INSTANCE_PORTS.end());
    let range = read("/proc/sys/net/ipv4/ip_local_port_range");
    let Some(low) = range.split_whitespace().next().and_then(|low| low.parse::<u16>().ok()) else {
        return Check::works(name, format!("{first} to {last}"));
    };
    if low > *first {
        let clear = low.min(last.saturating_add(1)) - first;
        return Check::works(
            name,
            format!("{first} to {last}, of which {clear} lie below those of outgoing connections"),
        );
    }
    Check::missing(
        name,
        format!("{first} to {last} are given to outgoing connections, too, from {low} on"),
    )
    .fix("sysctl net.ipv4.ip_local_port_range=\"32768 60999\"")
}
