//! A file per verb. Each holds what can be typed after the verb, and what it does.

pub(crate) mod archive;
pub(crate) mod backup;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod exec;
pub(crate) mod front;
pub(crate) mod health;
pub(crate) mod init;
pub(crate) mod logs;
pub(crate) mod ps;
pub(crate) mod restart;
pub(crate) mod restore;
pub(crate) mod rm;
pub(crate) mod serve;
pub(crate) mod spawn;
pub(crate) mod stop;
pub(crate) mod token_gen;
pub(crate) mod weight;

use std::process::ExitCode;

use crate::{
    args::{Cli, Verb},
    failure::Failure,
};

/// Does what was typed. The servers say themselves how they ended.
pub(crate) fn run(Cli { global, verb }: Cli) -> Result<ExitCode, Failure> {
    let done = match verb {
        Verb::Serve(verb) => return verb.run(&global),
        Verb::Front(verb) => return verb.run(),
        Verb::Archive(verb) => return Ok(verb.run()),
        Verb::Exec(verb) => return verb.run(&global),
        Verb::Spawn(verb) => block_on(verb.run(&global)),
        Verb::Stop(verb) => block_on(verb.run(&global)),
        Verb::Restart(verb) => block_on(verb.run(&global)),
        Verb::Backup(verb) => block_on(verb.run(&global)),
        Verb::Restore(verb) => block_on(verb.run(&global)),
        Verb::Rm(verb) => block_on(verb.run(&global)),
        Verb::Ps(verb) => block_on(verb.run(&global)),
        Verb::Logs(verb) => block_on(verb.run(&global)),
        Verb::Health(verb) => block_on(verb.run(&global)),
        Verb::Weight(verb) => block_on(verb.run(&global)),
        Verb::Config(verb) => verb.run(&global),
        Verb::Init(verb) => verb.run(&global),
        Verb::Doctor(verb) => verb.run(&global),
        Verb::TokenGen(verb) => block_on(verb.run(&global)),
        Verb::Completions(verb) => verb.run(),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let start = |error| Failure::new("cannot start").because(error);
    runtime.map_err(start)?.block_on(work)
}
