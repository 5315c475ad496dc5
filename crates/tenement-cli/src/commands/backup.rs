//! `ten backup`: the data of an instance to a file.

use std::{fs, io, path::PathBuf};

use clap::Args;
use jiff::Timestamp;
use ten_archive::Missing;
use ten_domain::InstanceName;

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
            ten_client::TransferError::Failed(why) => {
                Failure::new(format!("cannot back up {name}"))
                    .why(why)
                    .fix("mend that, then take another; nothing was changed")
            }
            ten_client::TransferError::BrokenOff(error) => {
                Failure::call(format!("cannot back up {name}"), error)
                    .fix("the server's log says why, in a line with `backup:`, if the server lives")
            }
            ten_client::TransferError::File(error) => cannot(error),
        })?;
        let missing = ten_archive::missing(&file).map_err(cannot)?.ok_or_else(|| {
            Failure::new(format!("cannot back up {name}"))
                .why("what came is no whole backup")
                .fix("check that `ten --version` is the server's")
        })?;
        file.sync_all().and_then(|()| fs::rename(&draft.0, &self.file)).map_err(cannot)?;
        self.tell(&name, size, &missing, global)
    }

    /// Says what was written, and what was not. A backup that lacks data is kept, and is a failure.
    fn tell(
        &self,
        name: &InstanceName,
        size: u64,
        missing: &[Missing],
        global: &Global,
    ) -> Result<(), Failure> {
        let file = self.file.display();
        if global.json {
            let missing: Vec<_> = missing
                .iter()
                .map(|it| serde_json::json!({ "path": it.path, "why": it.why, "lost": it.is_loss }))
                .collect();
            let told =
                serde_json::json!({ "file": file.to_string(), "bytes": size, "missing": missing });
            output::print_json(&told)?;
        }
        let size = render::size(size);
        output::remark(global, format!("{name} is backed up in {file} ({size})"));
        for it in missing.iter().filter(|it| !it.is_loss) {
            output::remark(global, render::visible(&format!("left out: {it}")));
        }
        let lost: Vec<_> =
            missing.iter().filter(|it| it.is_loss).map(ToString::to_string).collect();
        if lost.is_empty() {
            return Ok(());
        }
        let more = lost.len().saturating_sub(SHOWN);
        let mut why = lost[..lost.len() - more].join("; ");
        if more > 0 {
            why += &format!("; and {more} more (--json names all)");
        }
        Err(Failure::new(format!("the backup of {name} in {file} is not complete"))
            .why(why)
            .fix("mend that and take another; all else is in this one"))
    }
}

/// Most things that a person is told of, one by one.
const SHOWN: usize = 10;

/// A file that is not whole yet, and is removed where it does not become so.
struct Draft(PathBuf);

impl Draft {
    /// For its owner alone: it holds what its tenant knows.
    fn open(&self) -> io::Result<fs::File> {
        use std::os::unix::fs::OpenOptionsExt;
        fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&self.0)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Renamed, it is gone; else nothing more can be done.
        let _ = fs::remove_file(&self.0);
    }
}
