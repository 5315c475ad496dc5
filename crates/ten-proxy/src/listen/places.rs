//! Who may be connected, and who has to leave when there is no room.
//!
//! ```text
//! accept ─▶ room? ──▶ too many of its network? ─no─▶ a place ─▶ silent ⇄ busy ─▶ end
//!            │ none              └─yes─▶ closed                    │
//!            └─▶ those that have been silent longest are closed ◀──┘
//! ```
//!
//! Silent is a client before its first request and between two of them. Nothing is lost with
//! such a connection, so whoever opens many and says nothing keeps nobody else out. A client in
//! the middle of a request, or in a tunnel, is never closed to make room.
//!
//! The table is locked as a connection begins and as it ends, and for the requests that share a
//! connection of HTTP/2 with others; never for one that has its connection to itself.

mod guest;

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::process::{Resource, getrlimit};
use ten_domain::{OpenFiles, ProxySettings};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use self::guest::SPARED;
pub(super) use self::guest::{Guest, dismissed};
use crate::{complaint::Complaint, files::Files};

/// How many are closed at once. Finding them is a look at every connection, so this is not done
/// for each newcomer anew (nginx closes up to 32 as well).
const LEAVING: usize = 32;
/// How long a request waits for a place that others leave: longer than they are [`SPARED`].
const ROOM_TIMEOUT: Duration = Duration::from_secs(3);

/// The places for clients.
#[derive(Debug)]
pub(crate) struct Places {
    room: Arc<Semaphore>,
    /// Held by whoever waits for room: one at a time has others dismissed for it, in their order.
    waiting: tokio::sync::Mutex<()>,
    files: Arc<Files>,
    most_per_network: usize,
    taken: Mutex<Taken>,
    full: Complaint,
    crowded: Complaint,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    guests: HashMap<u64, Arc<Guest>>,
    /// How many of them are of each network, but for trusted proxies.
    networks: HashMap<IpAddr, usize>,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    network: Option<IpAddr>,
    guest: Arc<Guest>,
    _room: OwnedSemaphorePermit,
}

/// A place for one more request on a connection that has some under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Further {
    _joined: Joined,
    _room: OwnedSemaphorePermit,
}

/// One more of a network.
#[derive(Debug)]
struct Joined {
    places: Arc<Places>,
    network: Option<IpAddr>,
}

/// There is no place for a client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Crowded {
    /// Its network has as many as it may.
    #[error("{0} has as many places as it may (max_connections_per_ip)")]
    Network(IpAddr),
    /// All have.
    #[error("all places are taken (max_connections)")]
    Everywhere,
}

impl Places {
    /// As many as `settings` allow, and as have descriptors.
    pub(crate) fn new(settings: &ProxySettings) -> Arc<Self> {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let most = OpenFiles(limit).clients().clamp(1, Semaphore::MAX_PERMITS);
        let most = most.min(settings.max_connections);
        if most < settings.max_connections {
            tracing::warn!(
                "max_connections is {most} instead of {}: the limit of open files is {limit}",
                settings.max_connections
            );
        }
        Arc::new(Self {
            room: Arc::new(Semaphore::new(most)),
            waiting: tokio::sync::Mutex::default(),
            files: Files::new(most),
            most_per_network: settings.max_connections_per_ip,
            taken: Mutex::default(),
            full: Complaint::default(),
            crowded: Complaint::default(),
        })
    }

    /// Room for one more, made where there is none.
    pub(super) async fn room(&self) -> OwnedSemaphorePermit {
        if let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
            return room;
        }
        let _first = self.waiting.lock().await;
        loop {
            if let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
                return room;
            }
            let leaving = self.make_room(Instant::now());
            if let Some(times) = self.full.due() {
                tracing::warn!(times, leaving, "as many clients as may be (max_connections)");
            }
            let leaves = Arc::clone(&self.room).acquire_owned();
            if let Ok(Ok(room)) = tokio::time::timeout(SPARED, leaves).await {
                return room;
            }
        }
    }

    /// A place in that room; of `address` one more, where that counts.
    ///
    /// # Errors
    /// If it has too many.
    pub(super) fn take(
        self: &Arc<Self>,
        room: OwnedSemaphorePermit,
        stream: Arc<TcpStream>,
        address: Option<IpAddr>,
    ) -> Result<Place, Crowded> {
        let network = address.map(network);
        let mut taken = self.taken();
        if let Err(crowded) = taken.join(network, self.most_per_network) {
            drop(taken);
            return Err(self.refuse(crowded));
        }
        let guest = Arc::new(Guest::new(stream));
        let number = taken.next;
        taken.next += 1;
        taken.guests.insert(number, Arc::clone(&guest));
        drop(taken);
        Ok(Place { places: Arc::clone(self), number, network, guest, _room: room })
    }

    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    fn refuse(&self, crowded: Crowded) -> Crowded {
        if let Some(times) = self.crowded.due() {
            tracing::warn!(times, "client refused: {crowded}");
        }
        crowded
    }

    /// Dismisses some of those that have been silent longest; how many. As many fewer as are about
    /// to leave: their places are as good as free.
    fn make_room(&self, now: Instant) -> usize {
        let taken = self.taken();
        let leaving = taken.guests.values().filter(|guest| guest.is_about_to_leave(now)).count();
        let most = LEAVING.saturating_sub(leaving);
        let silent = |guest| Some((Guest::silent_since(guest)?, guest));
        let mut silent: Vec<(Instant, &Guest)> =
            taken.guests.values().map(AsRef::as_ref).filter_map(silent).collect();
        silent.retain(|(since, _)| now.duration_since(*since) >= SPARED);
        if silent.len() > most {
            silent.select_nth_unstable_by_key(most, |(since, _)| *since);
            silent.truncate(most);
        }
        silent.iter().for_each(|(_, guest)| guest.dismiss());
        silent.len()
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Nothing under the lock panics half-way.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn networks(&self) -> usize {
        self.taken().networks.len()
    }
}

impl Place {
    /// From now on it is one of `address`, as the proxy before it says.
    ///
    /// # Errors
    /// If that has too many.
    pub(super) fn belongs_to(&mut self, address: IpAddr) -> Result<(), Crowded> {
        let network = Some(network(address));
        let joined = self.places.taken().join(network, self.places.most_per_network);
        joined.map_err(|crowded| self.places.refuse(crowded))?;
        let before = std::mem::replace(&mut self.network, network);
        self.places.taken().leave(before);
        Ok(())
    }

    /// A place for one more request. Connections of HTTP/2 carry many, each of which costs as much
    /// as a connection of HTTP/1 does: so they count alike, and those that are silent make room.
    ///
    /// # Errors
    /// If nobody made room in time, or its network has too many.
    pub(super) async fn further(&self) -> Result<Further, Crowded> {
        let places = &self.places;
        let joined = places.taken().join(self.network, places.most_per_network);
        joined.map_err(|crowded| places.refuse(crowded))?;
        let joined = Joined { places: Arc::clone(places), network: self.network };
        let room = tokio::time::timeout(ROOM_TIMEOUT, places.room()).await;
        let room = room.map_err(|_| places.refuse(Crowded::Everywhere))?;
        Ok(Further { _joined: joined, _room: room })
    }

    /// The descriptors that it has a share of.
    pub(super) fn files(&self) -> &Arc<Files> {
        &self.places.files
    }

    pub(super) fn guest(&self) -> &Arc<Guest> {
        &self.guest
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.guests.remove(&self.number);
        taken.leave(self.network);
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.places.taken().leave(self.network);
    }
}

impl Taken {
    fn join(&mut self, network: Option<IpAddr>, most: usize) -> Result<(), Crowded> {
        let Some(network) = network else { return Ok(()) };
        let of_network = self.networks.entry(network).or_insert(0);
        if *of_network >= most {
            return Err(Crowded::Network(network));
        }
        *of_network += 1;
        Ok(())
    }

    fn leave(&mut self, network: Option<IpAddr>) {
        let Some(network) = network else { return };
        if let Some(left) = self.networks.get_mut(&network) {
            *left -= 1;
            if *left == 0 {
                self.networks.remove(&network);
            }
        }
    }
}

/// Whose address it is: an IPv6 client has a whole /64 to itself (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_client_is_its_prefix() {
        let of = |address: &str| network(address.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
