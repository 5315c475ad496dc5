//! `ten archive`: packs and unpacks backups for the server. Not for people.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Archive {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write an archive of folders to stdout
    Pack { scratch: PathBuf, folders: Vec<PathBuf> },
    /// Unpack an archive from stdin
    Unpack { into: PathBuf, folders: usize },
}

impl Archive {
    pub(crate) fn run(self) -> ExitCode {
        ten_server::archive(&match self.what {
            What::Pack { scratch, folders } => ten_server::Archive::Pack { scratch, folders },
            What::Unpack { into, folders } => ten_server::Archive::Unpack { into, folders },
        })
    }
}
