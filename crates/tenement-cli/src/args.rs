//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    archive, backup, completions, config, doctor, exec, front, health, init, logs, ps, restart,
    restore, rm, serve, spawn, stop, token_gen, weight,
};

/// One server, thousands of rarely active services, each in its own walls.
#[derive(Debug, Parser)]
#[command(name = "ten", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The config [default: $TENEMENT_CONFIG, ./tenement.toml, /etc/tenement/tenement.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the server keeps everything [default: what the config says]
    #[arg(long, global = true, value_name = "DIR", env = "TENEMENT_DATA_DIR", hide_env = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Talk to this server instead of the one on this host
    #[arg(long, global = true, value_name = "URL", env = "TENEMENT_SERVER", hide_env = true)]
    pub(crate) server: Option<String>,
    /// The token for --server [default: the one in DATA_DIR/api_token]
    #[arg(long, global = true, env = "TENEMENT_TOKEN", hide_env = true)]
    pub(crate) token: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print only what was asked for, and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Print without colours, as with NO_COLOR
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the server in the foreground
    Serve(serve::Serve),
    /// The unprivileged half of the server; started by `ten serve`
    #[command(hide = true)]
    Front(front::Front),
    /// Packs and unpacks for the server, which starts it
    #[command(hide = true)]
    Archive(archive::Archive),
    /// Start an instance
    Spawn(spawn::Spawn),
    /// Drain and stop an instance; its data go to the trash
    ///
    /// The next request wakes it again, WITH AN EMPTY FOLDER: its data are moved to the trash, from
    /// where `ten restore` brings them back for as long as `trash_retention` says (a day).
    /// --keep-data leaves them where they are, and so does `storage_persist = true` in the
    /// service. Sleeping, crashing and restarting never touch data.
    Stop(stop::Stop),
    /// Stop an instance and start it again, while its requests wait
    Restart(restart::Restart),
    /// Stop an instance and forget it; its data go to the trash
    ///
    /// `ten restore` brings them back, and the instance with them, for as long as
    /// `trash_retention` says (a day). --keep-data leaves them where they are, and so does
    /// `storage_persist = true` in the service.
    Rm(rm::Rm),
    /// Run a command inside an instance's walls
    ///
    /// It sees, may and has what the instance's own program does: walls, user, limits, environment,
    /// working folder. An instance that sleeps is spawned first, and none goes to sleep
    /// before the command has ended. It ends with the instance, and with this `ten`, and takes
    /// with it what it started. Exits with the command's own code, with 128 and the number of the
    /// signal that ended it, with 127 where there is no such command, and with 126 where it cannot
    /// be executed.
    Exec(exec::Exec),
    /// Write the data of an instance to a file, whether it runs or sleeps
    ///
    /// SQLite databases are as they were at one moment, also where they are written to. Links are
    /// kept as links, holes as holes; FIFOs and sockets are left out and named. Where a file cannot be
    /// read, or a database not be copied, the rest is written all the same; what is missing is
    /// named, and the exit code is 1.
    Backup(backup::Backup),
    /// Bring data back from the trash, or from a backup
    ///
    /// What `ten stop` and `ten rm` moved to the trash can be brought back for as long as
    /// `trash_retention` says (a day); with a FILE of `ten backup`, the data in it. An instance
    /// that is not known is known afterwards. It must sleep, and must have no data now, or else
    /// say --replace.
    Restore(restore::Restore),
    /// List running instances
    #[command(visible_alias = "ls")]
    Ps(ps::Ps),
    /// Show what instances write to stdout and stderr
    Logs(logs::Logs),
    /// Show the health of an instance
    Health(health::Health),
    /// Set an instance's share of its service's traffic
    Weight(weight::Weight),
    /// Show the services of the config, check it, or print its schema
    Config(config::Config),
    /// Write a tenement.toml for the project in this folder
    Init(init::Init),
    /// Show what this host can do, and what the config needs of it
    ///
    /// Each thing is `ok` or `missing`, with what to do about it. What can be tried without
    /// changing anything is tried, as whoever runs this command: run it as the user of `ten serve`,
    /// where it will be served. Exits with 1 if something is missing that the config, or
    /// `ten serve` itself, cannot do without.
    Doctor(doctor::Doctor),
    /// Make a token for the HTTP API
    TokenGen(token_gen::TokenGen),
    /// Print completions for a shell
    Completions(completions::Completions),
}

#[cfg(test)]
mod tests;
