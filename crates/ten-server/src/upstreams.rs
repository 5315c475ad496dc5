//! The proxy's wish for leases, fulfilled by the fleet.

use std::{io, net::IpAddr, os::unix::net::UnixStream, sync::Arc, time::Duration};

use ten_domain::{Address, InstanceName, Protocol, Refusal, RouteTable, ServiceSpec, Target};
use ten_proxy::{Lease, Slot, Upstreams};
use ten_supervisor::Fleet;
use tokio::net::TcpSocket;

/// The fleet, as the proxy sees it.
#[derive(Debug, Clone)]
pub(crate) struct ToFleet {
    fleet: Fleet,
    routes: Arc<RouteTable>,
}

impl ToFleet {
    pub(crate) fn new(fleet: Fleet, routes: Arc<RouteTable>) -> Self {
        Self { fleet, routes }
    }
}

impl Upstreams for ToFleet {
    type Lease = FleetLease;

    fn routes(&self) -> Arc<RouteTable> {
        Arc::clone(&self.routes)
    }

    fn try_lease(&self, target: &Target) -> Option<FleetLease> {
        self.fleet.try_lease(target).map(FleetLease)
    }

    async fn lease(&self, target: &Target, from: IpAddr) -> Result<FleetLease, Refusal> {
        self.fleet.lease(target, from).await.map(FleetLease)
    }

    fn service(&self, target: &Target) -> Option<Arc<ServiceSpec>> {
        self.fleet.service(target)
    }

    fn runs(&self, target: &Target) -> bool {
        self.fleet.runs(target)
    }

    fn sleeps(&self, target: &Target) -> bool {
        self.fleet.sleeps(target)
    }
}

/// A lease of the supervisor's.
#[derive(Debug)]
pub(crate) struct FleetLease(ten_supervisor::Lease);

impl Lease for FleetLease {
    fn instance(&self) -> &InstanceName {
        self.0.instance()
    }

    fn process(&self) -> u64 {
        self.0.process()
    }

    fn address(&self) -> &Address {
        self.0.address()
    }

    fn connection(&self) -> Option<UnixStream> {
        self.0.connection()
    }

    async fn socket(&self) -> io::Result<TcpSocket> {
        self.0.socket().await
    }

    fn protocol(&self) -> Protocol {
        self.0.protocol()
    }

    fn request_timeout(&self) -> Option<Duration> {
        self.0.request_timeout()
    }

    fn max_requests(&self) -> u32 {
        self.0.max_requests()
    }

    fn draining(&self) -> impl Future<Output = ()> + Send {
        self.0.draining()
    }

    fn slot(&self) -> &Slot {
        self.0.slot()
    }

    fn report_unreachable(&self) {
        self.0.report_unreachable();
    }
}
