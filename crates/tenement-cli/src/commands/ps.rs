//! `ten ps`: the instances.

use clap::Args;
use ten_api::{Instance, InstanceList, State};
use ten_domain::ServiceName;

use crate::{args::Global, connect, failure::Failure, output, render};

/// On a terminal that is too narrow, columns are left out from the right
#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Also those that sleep or failed
    #[arg(long, short)]
    all: bool,
    /// Only those of this service
    #[arg(long)]
    service: Option<ServiceName>,
}

impl Ps {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let instances = connect::client(global)?.instances().await;
        let mut instances =
            instances.map_err(|error| Failure::call("cannot list the instances", error))?;
        instances.retain(|instance| self.wants(instance));
        if global.json {
            return output::print_json(&InstanceList { instances });
        }
        output::print(&render::instances::list(&instances, self.all, output::width()))
    }

    fn wants(&self, instance: &Instance) -> bool {
        let awake = !matches!(instance.state, State::Sleeping | State::Failed);
        let own = self.service.as_ref().is_none_or(|name| name.as_str() == instance.service);
        (self.all || awake) && own
    }
}
