//! Running programs: shown before, judged after.

use std::{
    io,
    process::{Command, Stdio},
};

use anstyle::Style;

use crate::{failure::Failure, tree};

/// Runs a program in the root of the repository, its output where ours goes.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<(), Failure> {
    let faint = Style::new().dimmed();
    let line = format!("{program} {}", args.join(" "));
    anstream::eprintln!("{faint}$ {line}{faint:#}");
    let status = command(program, args).status().map_err(Failure::io(format!("run {program}")))?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::new(format!("`{line}` ended with {status}"))),
    }
}

/// What a program prints.
pub(crate) fn capture(program: &str, args: &[&str]) -> Result<String, Failure> {
    let output = command(program, args).stdin(Stdio::null()).output();
    let output = output.map_err(Failure::io(format!("run {program}")))?;
    if !output.status.success() {
        let line = format!("`{program} {}` ended with {}", args.join(" "), output.status);
        return Err(Failure::new(line).with(String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program is there and answers these arguments.
pub(crate) fn works(program: &str, args: &[&str]) -> Result<bool, Failure> {
    let mut probe = command(program, args);
    match probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) => Ok(status.success()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::io(format!("run {program}"))(error)),
    }
}

/// cargo itself, the one that runs us.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(tree::root());
    command
}
