//! The programs that are measured, each described once for both sides: as an argv with an
//! environment, and as a service of a config.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::Failure;

/// How long a program may take to accept, one of a crowd too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A level of isolation that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// No walls.
    Process,
    /// Namespaces as the product has them now, on the host's network.
    Namespace,
    /// The same in a network of its own.
    OwnNetwork,
    /// The same in one that leads out.
    Private,
}

impl Level {
    /// Every level, weakest first.
    pub const ALL: [Self; 4] = [Self::Process, Self::Namespace, Self::OwnNetwork, Self::Private];

    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Namespace => "namespace",
            Self::OwnNetwork => "own-net",
            Self::Private => "private",
        }
    }

    /// The keys that make it.
    fn keys(self) -> &'static str {
        match self {
            Self::Process => "isolation = \"process\"",
            Self::Namespace => "isolation = \"namespace\"",
            Self::OwnNetwork => "isolation = \"namespace\"\nnetwork = \"none\"",
            Self::Private => "isolation = \"namespace\"\nnetwork = \"private\"\nnameservers = []",
        }
    }
}

/// Where a program listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listen {
    Socket,
    Port,
}

impl Listen {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Port => "port",
        }
    }
}

/// A program and what it needs.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) listen: Listen,
    pub(crate) argv: Vec<String>,
    pub(crate) workdir: PathBuf,
    /// Time between two attempts to connect to it where it is spawned bare. An attempt costs
    /// the program that it waits for about 7 µs (measured), a pause on average half of itself:
    /// the sum is smallest near the square root of 14 µs times the time that it starts in.
    pub(crate) pause: Duration,
    /// The path that ten asks for its health; without one only the listener is waited for, as
    /// on the other side.
    pub(crate) health: Option<&'static str>,
    /// In addition to what every instance has. `{instance_dir}` is its own folder.
    pub(crate) env: Vec<(&'static str, &'static str)>,
}

impl Program {
    /// The testkit's tenant: a small binary that listens about a millisecond after its start.
    pub(crate) fn tenant(listen: Listen) -> Self {
        let binary = ten_testkit::tenant_binary().display().to_string();
        Self {
            name: "tenant",
            listen,
            argv: vec![binary, "--listen".into(), listen.name().into()],
            workdir: "/".into(),
            pause: Duration::from_micros(50),
            health: None,
            env: Vec::new(),
        }
    }

    /// The example of a Python app with a SQLite file.
    pub(crate) fn notes() -> Result<Self, Failure> {
        Ok(Self {
            name: "notes",
            listen: Listen::Port,
            // Without what somebody has put beside the standard library (site-packages): where that is
            // in a home folder, the walls hide it, and the two sides would start differently.
            argv: vec![interpreter()?, "-S".into(), "app.py".into()],
            workdir: Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/notes"),
            pause: Duration::from_millis(1),
            health: None,
            env: vec![("DATABASE_PATH", "{instance_dir}/notes.db")],
        })
    }

    /// The service that runs it at this level.
    pub(crate) fn service(&self, level: Level) -> String {
        format!("{}-{}-{}", self.name, self.listen.name(), level.name())
    }

    /// That service as a section of a config.
    pub(crate) fn section(&self, level: Level) -> String {
        let service = self.service(level);
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut text = format!(
            "[service.{service}]\ncommand = {}\nworkdir = {}\nlisten = {}\n{}\n\
             socket = \"{{instance_dir}}/s\"\nstartup_timeout = {}\n{}[service.{service}.env]\n",
            quoted(&self.argv.join(" ")),
            quoted(&self.workdir.display().to_string()),
            quoted(self.listen.name()),
            level.keys(),
            PATIENCE.as_secs(),
            self.health.map_or_else(String::new, |path| format!("health = {}\n", quoted(path))),
        );
        for (name, value) in &self.env {
            text.push_str(&format!("{name} = {}\n", quoted(value)));
        }
        text
    }
}

/// The interpreter itself. What `python3` names may be a script of a version manager, which
/// takes longer than Python does and would be measured in its place.
fn interpreter() -> Result<String, Failure> {
    let program = "python3";
    let print = "import os, sys; print(os.path.realpath(sys.executable), end='')";
    let output = Command::new(program).args(["-c", print]).output();
    let output = output.map_err(|source| Failure::Spawn { program, source })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
