//! `ten exec`: a command inside an instance's walls.

use std::{
    convert::Infallible,
    io::{self, Read, Write},
    process::ExitCode,
    thread,
};

use clap::Args;
use ten_api::{ExecEnd, ExecExit, ExecRequest, ProblemType};
use ten_client::{Error, ExecInput, ExecOutput, Said};
use ten_domain::InstanceName;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::{
    args::Global,
    connect,
    failure::Failure,
    instance, output,
    terminal::{self, Ending, Raw, SIGNALLED},
};

/// What shells return for a command that cannot be executed, and for one that is not there.
const NOT_EXECUTED: u8 = 126;
const NOT_FOUND: u8 = 127;
/// SIGKILL, with which the processes of an instance end that does.
const KILLED: u8 = 9;
/// Bytes read from stdin at once, and how many of such blocks may wait.
const BLOCK: usize = 16 * 1024;
const BLOCKS: usize = 4;

#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// Give it pipes also where `ten` itself has a terminal
    #[arg(short = 'T', long)]
    no_tty: bool,
    /// The instance, as service:id
    #[arg(value_name = "SERVICE:ID")]
    instance: String,
    /// The command and its arguments; it is not passed through a shell
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
}

impl Exec {
    pub(crate) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        let name = instance::name(&self.instance, None)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let start = |error| Failure::new("cannot start").because(error);
        let end = runtime.map_err(start)?.block_on(self.converse(&name, global))?;
        if let Some(hint) = end.hint {
            output::remark(global, format!("ten: this may be why: {hint}"));
        }
        match end.exit {
            ExecExit::Code(code) => Ok(ExitCode::from(code)),
            ExecExit::Signal(signal) => Ok(ExitCode::from(SIGNALLED.saturating_add(signal))),
            ExecExit::Instance => Err(Failure::new("the command was ended")
                .why(format!("{name} ended, and the command with it"))
                .fix(format!("`ten logs {name}` and `ten ps -a` show what became of it"))
                .code(SIGNALLED + KILLED)),
        }
    }

    /// Carries everything both ways until the command has ended.
    async fn converse(self, name: &InstanceName, global: &Global) -> Result<ExecEnd, Failure> {
        let terminal = terminal::own().filter(|_| !self.no_tty);
        let has_terminal = terminal.is_some();
        let program = self.command.first().cloned().unwrap_or_default();
        let request = ExecRequest { argv: self.command, terminal };
        let (mut input, mut output) = connect::client(global)?
            .exec(name, &request)
            .await
            .map_err(|error| not_run(&program, name, error))?;
        if !has_terminal {
            return tokio::select! {
                end = listen(&mut output, &program, name) => end,
                never = speak(&mut input) => match never {},
            };
        }
        let cannot = |error| Failure::new("cannot use this terminal").because(error);
        let ending = Ending::take().map_err(cannot)?;
        let raw = Raw::enter().map_err(cannot)?;
        tokio::select! {
            end = listen(&mut output, &program, name) => end,
            never = speak_and_resize(&mut input, &raw) => match never.map_err(cannot)? {},
            never = ending.wait() => match never {},
        }
    }
}

fn not_run(program: &str, name: &InstanceName, error: Error) -> Failure {
    let code = match &error {
        Error::Problem(problem) if problem.kind == ProblemType::CommandNotFound => Some(NOT_FOUND),
        Error::Problem(problem) if problem.kind == ProblemType::NotExecuted => Some(NOT_EXECUTED),
        _ => None,
    };
    let failure = Failure::call(format!("cannot run {program} in {name}"), error);
    match code {
        Some(code) => failure.code(code),
        None => failure,
    }
}

/// Writes what the command says to where it belongs, until its end.
async fn listen(
    output: &mut ExecOutput,
    program: &str,
    name: &InstanceName,
) -> Result<ExecEnd, Failure> {
    let lost = |error| Failure::call(format!("{program} in {name} was lost"), error);
    loop {
        match output.next().await.map_err(lost)? {
            Said::Stdout(bytes) => show(&mut io::stdout().lock(), &bytes)?,
            Said::Stderr(bytes) => show(&mut io::stderr().lock(), &bytes)?,
            Said::End(end) => return Ok(end),
        }
    }
}

fn show(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

/// Passes on what comes on stdin, and its end.
async fn speak(input: &mut ExecInput) -> Infallible {
    let mut blocks = stdin();
    while let Some(block) = blocks.recv().await {
        if input.write(&block).await.is_err() {
            return deaf().await;
        }
    }
    let _ = input.end().await;
    deaf().await
}

/// The same from a terminal, which may change its size; and which a shell may take and give back.
async fn speak_and_resize(input: &mut ExecInput, raw: &Raw) -> io::Result<Infallible> {
    let mut resized = signal(SignalKind::window_change())?;
    let mut continued = signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?;
    let mut blocks = stdin();
    // As it is by now: it may have changed since it was asked for.
    let mut told = input.resize(terminal::size()).await;
    while told.is_ok() {
        told = tokio::select! {
            Some(block) = blocks.recv() => input.write(&block).await,
            Some(()) = resized.recv() => input.resize(terminal::size()).await,
            Some(()) = continued.recv() => {
                raw.again()?;
                input.resize(terminal::size()).await
            }
        };
    }
    Ok(deaf().await)
}

/// Nobody listens any more. Why is heard, not said.
async fn deaf() -> Infallible {
    std::future::pending().await
}

/// What comes on stdin, read by a thread that nobody waits for: it may never hear anything.
fn stdin() -> mpsc::Receiver<Vec<u8>> {
    let (blocks, receiver) = mpsc::channel(BLOCKS);
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut block = vec![0; BLOCK];
        loop {
            match stdin.read(&mut block) {
                Ok(read @ 1..) if blocks.blocking_send(block[..read].to_vec()).is_ok() => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    });
    receiver
}
