//! Talking to the server: requests, and commands of the CLI. Each goes into the history.

use std::{
    io,
    process::{Command, Stdio},
};

use super::Ten;
use crate::{Connection, Request, Response, binaries, http};

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliOutput {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Ten {
    /// The URL of a path on a host of the server.
    pub fn url(&self, host: &str, path: &str) -> String {
        format!("{}://{host}:{}{path}", self.scheme, self.address().port())
    }

    /// A connection to the server.
    pub fn connect(&self) -> Connection {
        Connection::open(self.address()).expect("the server accepts")
    }

    /// Sends a request on a connection of its own.
    pub fn send(&self, request: &Request) -> io::Result<Response> {
        let result = http::send(self.address(), request);
        let outcome = match &result {
            Ok(response) => response.status.to_string(),
            Err(error) => error.to_string(),
        };
        self.history.add("test", format_args!("{request} → {outcome}"));
        result
    }

    /// Gets a path from a host.
    ///
    /// # Panics
    ///
    /// When there is no response.
    pub fn get(&self, host: &str, path: &str) -> Response {
        let response = self.send(&Request::get(host, path));
        response.unwrap_or_else(|error| panic!("GET {path} from {host}: {error}"))
    }

    /// Sends `n` requests at the same moment; see [`http::burst`].
    pub fn burst(
        &self,
        n: usize,
        request: impl Fn(usize) -> Request + Sync,
    ) -> Vec<io::Result<Response>> {
        self.history.add("test", format_args!("sends {n} requests at once"));
        let responses = http::burst(self.address(), n, request);
        let failed = responses.iter().filter(|response| response.is_err()).count();
        self.history.add("test", format_args!("has {n} answers, {failed} of them errors"));
        responses
    }

    /// `ten`, ready to talk to this server through its admin socket.
    pub fn command(&self) -> Command {
        let mut command = Command::new(binaries::ten_binary());
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"TENEMENT_") {
                command.env_remove(name);
            }
        }
        command.env("TENEMENT_DATA_DIR", self.data_dir());
        command.env("TENEMENT_CONFIG", self.config_path());
        command.current_dir(&self.path);
        command
    }

    /// Runs `ten` with these arguments to its end.
    pub fn cli(&self, args: &[&str]) -> CliOutput {
        let output = self.command().args(args).stdin(Stdio::null()).output().expect("ten starts");
        let output = CliOutput {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        let code = output.code;
        self.history.add("test", format_args!("ten {} → {code:?}", args.join(" ")));
        output
    }

    /// What `ten` with these arguments writes, which must be JSON.
    ///
    /// # Panics
    ///
    /// When it fails or writes something else.
    pub fn cli_json(&self, args: &[&str]) -> serde_json::Value {
        let output = self.cli(args);
        assert_eq!(output.code, Some(0), "ten {}: {output:?}", args.join(" "));
        serde_json::from_str(&output.stdout)
            .unwrap_or_else(|error| panic!("ten {}: {error}: {output:?}", args.join(" ")))
    }
}
