//! What can be limited: cgroup controllers, open files; and whether there is swap.

use ten_domain::ServiceSpec;
use ten_kernel::{Controller, Foresight, Lack};

use super::{Check, Services, read};

pub(super) fn checks(services: Services<'_>, server: Option<u32>) -> Vec<Check> {
    let foresight = ten_kernel::foresee(server);
    let mut checks = vec![place(&foresight)];
    let controllers = foresight.controllers.into_iter();
    checks.extend(controllers.map(|(which, lack)| controller(services, which, lack)));
    checks.push(swap());
    checks.push(open_files(services, server));
    checks
}

/// Which cgroup holds those of the instances.
fn place(foresight: &Foresight) -> Check {
    let name = "cgroups";
    match foresight {
        Foresight { base: None, .. } => {
            Check::missing(name, Lack::Cgroup.to_string()).fix(Lack::Cgroup.remedy())
        }
        Foresight { base: Some(base), shared: None, .. } => {
            Check::works(name, format!("of instances, below ten's own, {}", base.display()))
        }
        Foresight { base: Some(base), shared: Some(shared), .. } => Check::works(
            name,
            format!(
                "of instances, at the top, {}: {} has other processes than ten",
                base.display(),
                shared.display()
            ),
        ),
    }
}

fn controller(services: Services<'_>, controller: Controller, lack: Option<Lack>) -> Check {
    type Asks = fn(&ServiceSpec) -> bool;
    let (keys, asks): (_, Asks) = match controller {
        Controller::Memory => ("memory_limit_mb and memory_swap_max_mb", |spec| {
            spec.limits.memory_limit_mb.is_some() || spec.limits.memory_swap_max_mb.is_some()
        }),
        Controller::Cpu => ("cpu_shares and cpu_max_percent", |spec| {
            spec.limits.cpu_shares.is_some() || spec.limits.cpu_max_percent.is_some()
        }),
        Controller::Pids => ("pids_limit", |spec| spec.limits.pids_asked),
        Controller::Io => ("io_weight", |spec| spec.limits.io_weight.is_some()),
    };
    let name = format!("cgroup {controller}");
    match lack {
        None => Check::works(name, format!("for {keys}")),
        Some(lack) => Check::missing(name, format!("{lack}, for {keys}"))
            .fix(lack.remedy())
            .needed_by(services.that(asks)),
    }
}

/// Of /proc/swaps (proc_swaps(5)): a heading, then a line each.
fn swap() -> Check {
    let table = read("/proc/swaps");
    let devices: Vec<_> = table.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    if devices.is_empty() {
        return Check::missing("swap", "memory that nobody uses stays where it is")
            .fix("add a swap file or zram: idle instances then cost less");
    }
    Check::works("swap", devices.join(", "))
}

fn open_files(services: Services<'_>, server: Option<u32>) -> Check {
    let process = server.map_or("self".to_owned(), |pid| pid.to_string());
    let limits = read(format!("/proc/{process}/limits"));
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let hard = line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or("unknown");
    let proxy = services
        .0
        .map_or(ten_domain::ProxySettings::DEFAULT, |config| config.settings.proxy.clone());
    let wanted = proxy.max_connections;
    let needed = ten_domain::OpenFiles::for_clients(wanted).0;
    match hard.parse::<u64>() {
        Ok(hard) if ten_domain::OpenFiles(hard).clients() < wanted => Check::missing(
            "open files",
            format!("the hard limit is {hard}; max_connections = {wanted} needs {needed}, so fewer are let in"),
        )
        .fix(format!("LimitNOFILE={needed} in the systemd unit, or `ulimit -Hn {needed}` as root")),
        Ok(hard) => {
            let instances = ten_domain::OpenFiles(hard).instances();
            let said = format!("the hard limit is {hard}, so {instances} instances may run");
            Check::works("open files", said)
        }
        Err(_) => Check::works("open files", format!("the hard limit is {hard}")),
    }
}
