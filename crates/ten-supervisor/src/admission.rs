//! Whether a request or an operator may start something, decided from numbers alone.

use std::{
    collections::HashMap,
    mem,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use ten_domain::{OnDemand, OpenFiles, Refusal, ServiceName, ServiceSpec};

use crate::Denied;

/// How many instances each service has.
#[derive(Debug)]
pub(crate) struct Census {
    of: HashMap<ServiceName, Count>,
    with_process: usize,
    /// With a process, of all services: for no more are there open files.
    most: usize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    known: usize,
    with_process: usize,
}

impl Census {
    /// Nobody yet.
    pub(crate) fn new(files: OpenFiles) -> Self {
        Self { of: HashMap::new(), with_process: 0, most: files.instances().max(1) }
    }

    pub(crate) fn became_known(&mut self, service: &ServiceName) {
        self.count(service).known += 1;
    }

    pub(crate) fn was_forgotten(&mut self, service: &ServiceName) {
        self.count(service).known -= 1;
    }

    pub(crate) fn got_process(&mut self, service: &ServiceName) {
        self.count(service).with_process += 1;
        self.with_process += 1;
    }

    pub(crate) fn lost_process(&mut self, service: &ServiceName) {
        self.count(service).with_process -= 1;
        self.with_process -= 1;
    }

    /// Whether as many have a process as there are open files for. Says also of one that restarts,
    /// who asks nobody whether it may.
    pub(crate) fn is_full(&self) -> bool {
        self.with_process >= self.most
    }

    /// Whether any instance of any service has a process.
    pub(crate) fn any_process(&self) -> bool {
        self.with_process > 0
    }

    fn count(&mut self, service: &ServiceName) -> &mut Count {
        self.of.entry(service.clone()).or_default()
    }

    fn get(&self, service: &ServiceName) -> Count {
        self.of.get(service).copied().unwrap_or_default()
    }

    /// Whether a request may make an instance known that was not.
    pub(crate) fn request_creates(&self, spec: &ServiceSpec) -> Result<(), Refusal> {
        let full = self.get(&spec.name).known >= spec.max_known;
        match spec.on_demand {
            OnDemand::Any if !full => Ok(()),
            OnDemand::Any | OnDemand::Known | OnDemand::Off => Err(Refusal::Unknown),
        }
    }

    /// Whether a request may start an instance that has no process.
    pub(crate) fn request_starts(&self, spec: &ServiceSpec) -> Result<(), Refusal> {
        if spec.on_demand == OnDemand::Off {
            return Err(Refusal::Asleep);
        }
        let full = self.get(&spec.name).with_process >= spec.max_instances;
        if full || self.is_full() { Err(Refusal::TooManyRunning) } else { Ok(()) }
    }

    /// Whether an operator may make an instance known that was not.
    pub(crate) fn operator_creates(&self, spec: &ServiceSpec) -> Result<(), Denied> {
        let limit = spec.max_known;
        if self.get(&spec.name).known >= limit {
            return Err(Denied::TooManyKnown { service: spec.name.clone(), limit });
        }
        Ok(())
    }

    /// Whether an operator may start an instance; one that `runs` already, in the place of its own
    /// process. That finds a place unless more were adopted than there are open files for now.
    pub(crate) fn operator_starts(&self, spec: &ServiceSpec, runs: bool) -> Result<(), Denied> {
        let limit = spec.max_instances;
        if !runs && self.get(&spec.name).with_process >= limit {
            return Err(Denied::TooManyRunning { service: spec.name.clone(), limit });
        }
        if self.with_process - usize::from(runs) >= self.most {
            return Err(Denied::TooManyFiles { limit: self.most });
        }
        Ok(())
    }
}

/// In which the limit on new instances counts.
const MINUTE: Duration = Duration::from_secs(60);
/// Addresses that are remembered at one time, in each of two halves. A flood from more than
/// these brings nothing new into being until they are forgotten, a minute later.
const MAX_NEWCOMERS: usize = 10_000;

/// How many instances requests from each address may still bring into being.
///
/// A token bucket per address, kept as one time: when the bucket will be full (the generic
/// cell rate algorithm, ITU-T I.371). A bucket fills within a minute, so an address that has
/// not been seen for one needs no memory: who is not seen while one half gives way to the
/// next is forgotten, without a timer and without looking for him.
#[derive(Debug)]
pub(crate) struct Newcomers {
    per_minute: u32,
    since: Option<Instant>,
    recent: HashMap<IpAddr, Instant>,
    earlier: HashMap<IpAddr, Instant>,
}

impl Newcomers {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute, since: None, recent: HashMap::new(), earlier: HashMap::new() }
    }

    /// Takes a token of the address, if it has one.
    pub(crate) fn admit(&mut self, from: IpAddr, now: Instant) -> Result<(), Refusal> {
        let refuse = |retry_after| Err(Refusal::TooManyNew { retry_after });
        let Some(interval) = MINUTE.checked_div(self.per_minute) else { return refuse(MINUTE) };
        self.forget_old(now);
        let network = network(from);
        let seen = self.recent.get(&network).or_else(|| self.earlier.get(&network)).copied();
        let full_at = seen.unwrap_or(now).max(now) + interval;
        let wait = full_at.saturating_duration_since(now + MINUTE);
        if !wait.is_zero() {
            return refuse(wait);
        }
        if !self.recent.contains_key(&network) && self.recent.len() >= MAX_NEWCOMERS {
            return refuse(MINUTE);
        }
        self.recent.insert(network, full_at);
        Ok(())
    }

    fn forget_old(&mut self, now: Instant) {
        if *self.since.get_or_insert(now) + MINUTE <= now {
            self.since = Some(now);
            self.earlier = mem::take(&mut self.recent);
        }
    }
}

/// Who is taken to be one client: an IPv4 address, or the /64 that an IPv6 host is given
/// whole (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(bits).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_run_than_there_are_open_files_for() {
        let specs =
            ["a", "b"].map(|name| ServiceSpec { max_instances: 9, ..ServiceSpec::plain(name) });
        let mut census = Census::new(OpenFiles(36));
        for spec in specs.iter().cycle().take(3) {
            assert_eq!(census.request_starts(spec), Ok(()));
            assert!(census.operator_starts(spec, false).is_ok());
            census.got_process(&spec.name);
        }
        assert_eq!(census.request_starts(&specs[0]), Err(Refusal::TooManyRunning));
        let denied = census.operator_starts(&specs[1], false);
        assert!(matches!(denied, Err(Denied::TooManyFiles { limit: 3 })), "{denied:?}");
        assert!(census.operator_starts(&specs[1], true).is_ok());
        // Adopted, from a server that had more open files.
        census.got_process(&specs[1].name);
        let denied = census.operator_starts(&specs[1], true);
        assert!(matches!(denied, Err(Denied::TooManyFiles { limit: 3 })), "{denied:?}");
        census.lost_process(&specs[1].name);
        census.lost_process(&specs[0].name);
        assert_eq!(census.request_starts(&specs[1]), Ok(()));
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_a_minute() {
        let (mut newcomers, start) = (Newcomers::new(3), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        let one = address("192.0.2.1");
        (0..3).for_each(|_| newcomers.admit(one, at(0)).unwrap());
        let refused = newcomers.admit(one, at(5)).unwrap_err();
        assert_eq!(refused, Refusal::TooManyNew { retry_after: Duration::from_secs(15) });
        assert!(newcomers.admit(address("192.0.2.2"), at(5)).is_ok(), "another's tokens");
        assert!(newcomers.admit(one, at(20)).is_ok());
        assert!(newcomers.admit(one, at(21)).is_err());
        // Remembered across the halves, forgotten when the bucket is full.
        assert!(newcomers.admit(one, at(61)).is_ok());
        (0..2).for_each(|_| newcomers.admit(one, at(100)).unwrap());
        assert!(newcomers.admit(one, at(100)).is_ok(), "the second half of a minute");
        assert!(newcomers.admit(one, at(101)).is_err());
        (0..3).for_each(|_| newcomers.admit(one, at(400)).unwrap());
        assert!(newcomers.admit(one, at(400)).is_err());
    }

    #[test]
    fn an_ipv6_client_is_its_64_and_a_mapped_ipv4_is_itself() {
        let (mut newcomers, now) = (Newcomers::new(1), Instant::now());
        newcomers.admit(address("2001:db8::1"), now).unwrap();
        assert!(newcomers.admit(address("2001:db8::ffff:2"), now).is_err());
        newcomers.admit(address("2001:db8:0:1::1"), now).unwrap();
        newcomers.admit(address("::ffff:192.0.2.1"), now).unwrap();
        assert!(newcomers.admit(address("192.0.2.1"), now).is_err());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut newcomers, now) = (Newcomers::new(1), Instant::now());
        let of = |n: usize| IpAddr::from((n as u32).to_be_bytes());
        (0..MAX_NEWCOMERS).for_each(|n| newcomers.admit(of(n), now).unwrap());
        assert!(newcomers.admit(of(MAX_NEWCOMERS), now).is_err());
        let later = now + MINUTE;
        newcomers.admit(of(MAX_NEWCOMERS), later).unwrap();
        assert!(newcomers.admit(of(0), later).is_ok());
    }

    #[test]
    fn none_a_minute_is_none() {
        assert!(Newcomers::new(0).admit(address("192.0.2.1"), Instant::now()).is_err());
    }
}
