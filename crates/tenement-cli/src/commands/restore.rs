//! `ten restore`: bring data back from the trash.

use std::{
    fs::File,
    io::Seek,
    path::{Path, PathBuf},
};

use clap::Args;
use jiff::{Timestamp, tz::TimeZone};
use ten_api::{RestoreRequest, Restored, TrashList};
use ten_client::TransferError;
use ten_domain::InstanceName;

use crate::{args::Global, connect, failure::Failure, instance, output, render, time};

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The instance, as service:id
    #[arg(value_name = "SERVICE:ID", required_unless_present = "list")]
    instance: Option<String>,
    /// A file of `ten backup`; without one, the trash
    #[arg(value_name = "FILE", conflicts_with_all = ["list", "at"])]
    file: Option<PathBuf>,
    /// The id, where it is not written after the service
    #[arg(long, requires = "instance")]
    id: Option<String>,
    /// Show what can be brought back, of this instance or of all
    #[arg(long, conflicts_with_all = ["at", "replace"])]
    list: bool,
    /// Not the newest, but what was given up at this time or last before it: 5m (ago), a date, a
    /// time, or an entry of --list
    #[arg(long, value_name = "TIME|ENTRY")]
    at: Option<String>,
    /// First move the data that it has now to the trash
    #[arg(long)]
    replace: bool,
}

impl Restore {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let typed = self.instance.as_deref();
        let name = typed.map(|typed| instance::name(typed, self.id.as_deref())).transpose()?;
        match name {
            Some(name) if !self.list => self.restore(&name, global).await,
            name => list(name.as_ref(), global).await,
        }
    }

    async fn restore(&self, name: &InstanceName, global: &Global) -> Result<(), Failure> {
        if let Some(file) = &self.file {
            return self.restore_backup(name, file, global).await;
        }
        let at = self.at.as_deref().map(|typed| moment(typed, name)).transpose()?;
        let request = RestoreRequest { at: at.map(|at| at.to_string()), replace: self.replace };
        let restored = connect::client(global)?.restore(name, &request).await;
        let restored =
            restored.map_err(|error| Failure::call(format!("cannot restore {name}"), error))?;
        if global.json {
            return output::print_json(&restored);
        }
        let at = render::data::moment(&restored.restored.at, &TimeZone::system());
        output::remark(global, format!("{name} has the data again that it had at {at}"));
        tell_replaced(&restored, global);
        Ok(())
    }
}

impl Restore {
    async fn restore_backup(
        &self,
        name: &InstanceName,
        file: &Path,
        global: &Global,
    ) -> Result<(), Failure> {
        let cannot = |error| Failure::new(format!("cannot read {}", file.display())).because(error);
        let opened = File::open(file).map_err(cannot)?;
        let missing = ten_archive::missing(&opened).map_err(cannot)?.unwrap_or_default();
        (&opened).rewind().map_err(cannot)?;
        let restored = connect::client(global)?.restore_backup(name, opened, self.replace).await;
        let restored = restored.map_err(|error| match error {
            TransferError::Call(error) | TransferError::BrokenOff(error) => {
                Failure::call(format!("cannot restore {name}"), error)
            }
            TransferError::Failed(why) => Failure::new(format!("cannot restore {name}")).why(why),
            TransferError::File(error) => cannot(error),
        })?;
        if global.json {
            return output::print_json(&restored);
        }
        output::remark(global, format!("{name} has the data of {}", file.display()));
        let lost = missing.iter().filter(|it| it.is_loss);
        for it in lost {
            output::remark(global, render::visible(&format!("the backup does not have {it}")));
        }
        tell_replaced(&restored, global);
        Ok(())
    }
}

fn tell_replaced(restored: &Restored, global: &Global) {
    if let Some(replaced) = &restored.replaced {
        let what = "what it had since";
        output::remark(global, render::data::trashed(replaced, what, &TimeZone::system()));
    }
}

/// An entry has its moment in its name.
fn moment(typed: &str, name: &InstanceName) -> Result<Timestamp, Failure> {
    let time = match typed.rsplit_once('@') {
        Some((instance, time)) if instance == name.to_string() => time,
        Some((instance, _)) => {
            return Err(Failure::usage(format!("this is an entry of {instance}, not of {name}")));
        }
        None => typed,
    };
    time::moment(time, Timestamp::now(), &TimeZone::system())
        .map_err(|why| Failure::usage("cannot tell what --at means").why(why))
}

async fn list(of: Option<&InstanceName>, global: &Global) -> Result<(), Failure> {
    let trash = connect::client(global)?.trash().await;
    let mut trash = trash.map_err(|error| Failure::call("cannot list the trash", error))?;
    trash.retain(|trashed| of.is_none_or(|name| trashed.instance == name.to_string()));
    if global.json {
        return output::print_json(&TrashList { trash });
    }
    output::print(&render::data::list(&trash, &TimeZone::system(), output::width()))
}
