//! `ten backup`: the data of an instance to a file.

use std::{fs, io, path::PathBuf};

use clap::Args;
use jiff::Timestamp;

use crate::{args::Global, connect, failure::Failure, instance, output, render};

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The instance, as service:id
    #[arg(value_name = "SERVICE:ID")]
    instance: String,
    /// The file to write: a tar, compressed with zstd
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

impl Backup {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let name = instance::name(&self.instance, None)?;
        let cannot = |error: io::Error| {
            Failure::new(format!("cannot write {}", self.file.display())).because(error)
        };
        if !self.force && self.file.exists() {
            let failure = Failure::new(format!("{} is there already", self.file.display()));
            return Err(failure.fix("name another file, or say --force"));
        }
        let draft = Draft(
            self.file.with_added_extension(format!("{}.part", Timestamp::now().as_microsecond())),
        );
        let client = connect::client(global)?;
        let mut file = draft.open().map_err(cannot)?;
        let size = client.backup(&name, &mut file).await;
        let size = size.map_err(|error| match error {
            ten_client::TransferError::Call(error) => {
                Failure::call(format!("cannot back up {name}"), error)
            }
            ten_client::TransferError::File(error) => cannot(error),
        })?;
        file.sync_all().and_then(|()| fs::rename(&draft.0, &self.file)).map_err(cannot)?;
        if global.json {
            let file = self.file.display().to_string();
            return output::print_json(&serde_json::json!({ "file": file, "bytes": size }));
        }
        let (file, size) = (self.file.display(), render::size(size));
        output::remark(global, format!("{name} is backed up in {file} ({size})"));
        Ok(())
    }
}

/// A file that is not whole yet, and is removed where it does not become so.
struct Draft(PathBuf);

impl Draft {
    /// For its owner alone: it holds what its tenant knows.
    fn open(&self) -> io::Result<fs::File> {
        use std::os::unix::fs::OpenOptionsExt;
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.0)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Renamed, it is gone; else nothing more can be done.
        let _ = fs::remove_file(&self.0);
    }
}
