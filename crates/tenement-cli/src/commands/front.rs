//! `ten front`: the unprivileged half of the server. The warden starts it, no person does.

use std::process::ExitCode;

use clap::Args;

use crate::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct Front {}

impl Front {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        ten_server::telemetry::start();
        ten_server::front().map_err(|error| Failure::new("the front failed").because(error))
    }
}
