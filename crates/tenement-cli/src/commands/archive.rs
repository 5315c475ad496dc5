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
    /// Write an archive of folders, or of what an image holds of them, to stdout
    Pack { scratch: PathBuf, data_dir: PathBuf, home: PathBuf, folders: Vec<PathBuf> },
    /// Unpack an archive from stdin
    Unpack { into: PathBuf, folders: usize },
}

impl Archive {
    pub(crate) fn run(self) -> ExitCode {
        ten_server::archive(&match self.what {
            What::Pack { scratch, data_dir, home, folders } => {
                ten_server::Archive::Pack { scratch, data_dir, home, folders }
            }
            What::Unpack { into, folders } => ten_server::Archive::Unpack { into, folders },
        })
    }
}
