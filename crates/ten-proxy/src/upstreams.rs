//! What the data plane asks of whoever runs the instances: a lease.
//!
//! The proxy knows no supervisor, no process and no state machine. It asks for a lease and
//! waits; holding the lease is what keeps the instance awake, dropping it is what lets it sleep.

use std::{
    any::Any, future::Future, io, net::IpAddr, os::unix::net::UnixStream, sync::Arc,
    sync::OnceLock, time::Duration,
};

use ten_domain::{Address, InstanceName, Protocol, RouteTable, ServiceSpec};
pub use ten_domain::{Refusal, Target};
use tokio::net::TcpSocket;

/// Gives out leases on instances, waking them where needed.
pub trait Upstreams: Clone + Send + Sync + 'static {
    /// The lease it gives.
    type Lease: Lease;

    /// The routes as of now.
    fn routes(&self) -> Arc<RouteTable>;

    /// A lease on an instance that runs and has room for one more request, at once; `None`
    /// where that takes a wait or a wake.
    fn try_lease(&self, target: &Target) -> Option<Self::Lease>;

    /// Leases an instance. Where none runs, wakes one, together with everyone else who asks,
    /// and waits for as long as its service allows. Dropping the future gives the place in the
    /// queue back. `from` is who asks: how many new instances one address may bring into being
    /// is bounded.
    fn lease(
        &self,
        target: &Target,
        from: IpAddr,
    ) -> impl Future<Output = Result<Self::Lease, Refusal>> + Send;

    /// The service of a target, if there is one.
    fn service(&self, target: &Target) -> Option<Arc<ServiceSpec>>;

    /// Whether an instance of it runs, though perhaps without room for one more request.
    fn runs(&self, target: &Target) -> bool;

    /// Whether a request for this target would find nothing started, and wake it.
    fn sleeps(&self, target: &Target) -> bool;
}

/// The use of one instance by one request. Dropping it ends the use.
pub trait Lease: Send + Sync + 'static {
    /// Which instance.
    fn instance(&self) -> &InstanceName;
    /// Which process of the instance: no two that it ever has are the same.
    fn process(&self) -> u64;
    /// Where it listens.
    fn address(&self) -> &Address;
    /// A connection to there that nobody has used, where the lease came with one; non-blocking, and
    /// given once.
    fn connection(&self) -> Option<UnixStream>;
    /// A socket to connect to that address with, where it is [`Address::Private`].
    fn socket(&self) -> impl Future<Output = io::Result<TcpSocket>> + Send;
    /// What it speaks.
    fn protocol(&self) -> Protocol;
    /// How long it may take to the response head; `None`: as long as it likes.
    fn request_timeout(&self) -> Option<Duration>;
    /// Most requests that it gets at one time.
    fn max_requests(&self) -> u32;
    /// Ready once the process is to end as soon as nobody uses it: a use that would never end by
    /// itself should come to its end then. Never, where the process just vanishes.
    fn draining(&self) -> impl Future<Output = ()> + Send;
    /// A place for what the proxy keeps of this process of the instance (its pool of
    /// connections). It dies with the process: nothing leaks into its successor.
    fn slot(&self) -> &Slot;
    /// Says that nobody accepts at its address. The next lease is then given once somebody
    /// does again: the same process, or its successor.
    fn report_unreachable(&self);
}

/// Room for one value of the proxy's own.
pub type Slot = OnceLock<Box<dyn Any + Send + Sync>>;
