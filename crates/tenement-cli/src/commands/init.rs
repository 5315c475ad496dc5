//! `ten init`: a commented config for the project in this folder.

use std::{fs::OpenOptions, io::Write, path::Path};

use clap::Args;
use ten_config::init;
use ten_domain::ServiceName;

use crate::{args::Global, failure::Failure, output};

/// The file that is written.
const FILE: &str = "tenement.toml";

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The service's name [default: the folder's]
    #[arg(long)]
    name: Option<ServiceName>,
    /// What starts it [default: what the project's files say]
    #[arg(long)]
    command: Option<String>,
}

impl Init {
    pub(crate) fn run(self, global: &Global) -> Result<(), Failure> {
        let folder = Path::new(".");
        let project = init::detect(folder);
        let name = match self.name {
            Some(name) => name,
            None => init::name_of(folder).map_err(|_| {
                Failure::new("cannot name the service")
                    .why("nothing of the folder's name is left in a-z, 0-9 and '-'")
                    .fix("pass --name")
            })?,
        };
        let command = self.command.or_else(|| project.command.clone()).ok_or_else(|| {
            Failure::new("cannot tell what starts this project")
                .why("no file of a project that is known here says it")
                .fix("pass --command, such as --command './app --port {port}'")
        })?;
        write(&init::render(&name, &command, &project))?;
        output::remark(global, format!("wrote {FILE}: service {name}, started by `{command}`"));
        if let Some(build) = &project.build {
            output::remark(global, format!("first   {build}"));
        }
        output::remark(global, "then    ten serve");
        output::remark(global, format!("and     curl http://demo.{name}.localhost:8080"));
        Ok(())
    }
}

/// Never over a file that is there.
fn write(text: &str) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).open(FILE);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let failure = Failure::new(format!("cannot write {FILE}"));
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            failure.why("there is one already").fix("move it away, or change it by hand")
        } else {
            failure.because(error)
        }
    })
}
