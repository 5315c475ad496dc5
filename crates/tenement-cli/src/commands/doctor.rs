//! `ten doctor`: what this host can do, and what the config needs of it.

use clap::Args;
use ten_domain::TlsSettings;
use ten_runtime::doctor::{self, Inquiry, Lack};
use ten_server::Listen;

use super::serve::Where;
use crate::{args::Global, connect, failure::Failure, ground, output, render};

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    at: Where,
}

impl Doctor {
    /// On the thread that `main` has, and no other: trial starts fork.
    pub(crate) fn run(self, global: &Global) -> Result<(), Failure> {
        let data_dir = connect::data_dir(global)?;
        let config = connect::config(global)?;
        let ground = config.as_ref().map(|config| ground::of(config, &data_dir)).transpose();
        let mut ground = ground.map_err(|errors| {
            Failure::new("the config does not go with this data_dir")
                .why(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        let listen = self.at.listen(config.as_ref())?;
        let tls = match &listen {
            Listen::Plain(_) => None,
            Listen::Secure { tls, .. } => Some(tls),
        };
        if let Some(ground) = &mut ground {
            ground.key_file = tls.map(|tls| tls.key_file.clone());
        }
        let groups = doctor::examine(&Inquiry {
            services: config.as_ref().zip(ground.as_ref()),
            data_dir: data_dir.path(),
            socket: &connect::socket(&data_dir),
            listen: &listen.addresses(),
            certificate: tls.map(certificate),
        });
        if global.json {
            output::print_json(&render::doctor::json(&groups))?;
        } else {
            output::print(&render::doctor::text(&groups, output::width()))?;
        }
        let checks = groups.iter().flat_map(|group| &group.checks);
        match checks.filter(|check| check.is_lacking()).count() {
            0 => Ok(()),
            1 => Err(Failure::new("something that is needed is missing")),
            count => Err(Failure::new(format!("{count} things that are needed are missing"))),
        }
    }
}

/// Whether HTTPS can be served with these files.
fn certificate(tls: &TlsSettings) -> Result<(), Lack> {
    ten_server::check_certificate(tls).map_err(|error| {
        let fix = error.remedy().to_owned();
        Lack { detail: ten_server::with_causes(&error), fix }
    })
}
