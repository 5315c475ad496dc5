//! `ten config`: what the config says, whether it is right, and what it may say.

use std::env;

use clap::{Args, Subcommand};
use ten_config::Source;

use crate::{args::Global, connect, failure::Failure, output, render};

#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Show every mistake in it
    Check,
    /// Show what is in force, defaults included
    Show,
    /// Print its JSON Schema, for editors
    Schema,
}

impl Config {
    pub(crate) fn run(self, global: &Global) -> Result<(), Failure> {
        if matches!(self.part, Some(Part::Schema)) {
            return output::print_json(&ten_config::schema());
        }
        let path = connect::locate(global)?;
        let config = parse(&connect::read(&path)?, &|name| env::var(name).ok())?;
        match self.part {
            Some(Part::Check) => {
                output::remark(global, format!("{} is right", path.display()));
                Ok(())
            }
            Some(Part::Show) if global.json => {
                output::print_json(&render::config::show_json(&path, &config))
            }
            Some(Part::Show) => output::print(&render::config::show(&path, &config)),
            _ if global.json => output::print_json(&render::config::services_json(&config)),
            _ => output::print(&render::config::services(&config, output::width())),
        }
    }
}

/// What a config means. Where it has mistakes, all of them are printed here.
pub(crate) fn parse(
    source: &Source,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<ten_domain::Config, Failure> {
    ten_config::parse(source, lookup).map_err(|mistakes| {
        anstream::eprint!("{}", mistakes.render(true));
        let count = mistakes.mistakes().len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        Failure::new(format!("{} has {count} {noun}", source.path().display()))
    })
}
