//! `ten init`: a commented config for the project in this folder.

use std::{
    env,
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

use clap::Args;
use ten_config::{Source, init};
use ten_domain::{InstanceName, ServiceName};
use ten_server::DataDir;

use crate::{args::Global, failure::Failure, ground, output};

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
        let text = |bind: &[String]| init::render(&name, &command, &project, bind);
        let bind = bind_lines(&text(&[]));
        write(&text(&bind))?;
        output::remark(global, format!("wrote {FILE}: service {name}, started by `{command}`"));
        for shown in &bind {
            output::remark(global, format!("bind    {shown}, which the walls would hide"));
        }
        if let Some(build) = &project.build {
            output::remark(global, format!("first   {build}"));
        }
        output::remark(global, "then    ten serve");
        output::remark(global, format!("and     curl http://demo.{name}.localhost:8080"));
        Ok(())
    }
}

/// What `bind` needs to name before the one service of this config can be started here; nothing
/// where the config is not right, which `ten config check` says better.
fn bind_lines(text: &str) -> Vec<String> {
    let lookup = |name: &str| env::var(name).ok();
    let Ok(source) = Source::from_text(Path::new(FILE), text) else { return Vec::new() };
    let Ok(config) = ten_config::parse(&source, &lookup) else { return Vec::new() };
    let Ok(data_dir) = DataDir::at(&config.settings.data_dir) else { return Vec::new() };
    let Ok(ground) = ground::of(&config, &data_dir) else { return Vec::new() };
    let home = lookup("HOME").filter(|home| home.starts_with('/'));
    let hidden = config.services.values().flat_map(|spec| {
        let name = InstanceName { service: spec.name.clone(), id: ground::example() };
        ten_runtime::missing_binds(&ground, spec, &name)
    });
    let spelt = |path: PathBuf| {
        let below = home.as_ref().and_then(|home| path.strip_prefix(home).ok());
        below.map_or(format!("{}:ro", path.display()), |below| format!("~/{}:ro", below.display()))
    };
    hidden.map(spelt).collect()
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
