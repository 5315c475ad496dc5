//! What the data plane asks of whoever runs the instances: a lease.
//!
//! The proxy knows no supervisor, no process and no state machine. It asks for a lease and
//! waits; holding the lease is what keeps the instance awake, dropping it is what lets it sleep.

use std::{any::Any, future::Future, sync::Arc, sync::OnceLock, time::Duration};

use ten_domain::{Address, InstanceName, RouteTable};
pub use ten_domain::{Refusal, Target};

/// Gives out leases on instances, waking them where needed.
pub trait Upstreams: Clone + Send + Sync + 'static {
    /// The lease it gives.
    type Lease: Lease;

    /// The routes as of now.
    fn routes(&self) -> Arc<RouteTable>;

    /// Leases an instance. Ready at once where it runs; else wakes it, together with
    /// everyone else who asks, and waits for as long as its service allows. Dropping the
    /// future gives the place in the queue back.
    fn lease(&self, target: &Target) -> impl Future<Output = Result<Self::Lease, Refusal>> + Send;
}

/// The use of one instance by one request. Dropping it ends the use.
pub trait Lease: Send + Sync + 'static {
    /// Which instance.
    fn instance(&self) -> &InstanceName;
    /// Which process of the instance: no two that it ever has are the same.
    fn process(&self) -> u64;
    /// Where it listens.
    fn address(&self) -> &Address;
    /// How long it may take to the response head; `None`: as long as it likes.
    fn request_timeout(&self) -> Option<Duration>;
    /// A place for what the proxy keeps of this process of the instance (its pool of
    /// connections). It dies with the process: nothing leaks into its successor.
    fn slot(&self) -> &Slot;
    /// Says that nobody accepts at its address. The next lease is then given once somebody
    /// does again: the same process, or its successor.
    fn report_unreachable(&self);
}

/// Room for one value of the proxy's own.
pub type Slot = OnceLock<Box<dyn Any + Send + Sync>>;
