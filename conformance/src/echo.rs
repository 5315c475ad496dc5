//! A server of ten whose one service is `echo-backend`, and what reached that.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use ten_testkit::Ten;

use crate::{
    programs::{program, service},
    raw::{self, Answer},
    strict::{self, Request, Rest},
};

/// The host of the instance.
pub const HOST: &str = "a.echo.localhost";

/// Silence after which the server must be waiting for more of a request.
const SILENCE: Duration = Duration::from_millis(300);

/// A running server and its backend's record.
#[derive(Debug)]
pub struct Echo {
    ten: Ten,
    /// For each of the backend's connections, how many bytes of it have been looked at.
    seen: BTreeMap<PathBuf, usize>,
    asked: u64,
}

/// What reached the backend on one connection since the last look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Whole requests.
    pub requests: Vec<Request>,
    /// What is behind them.
    pub rest: Rest,
}

impl Echo {
    /// Starts the server, and wakes the backend. `settings` go in front of the service.
    pub fn start(settings: &str, keys: &str) -> Self {
        let command = program("echo-backend").display().to_string();
        let config = format!("{settings}\n{}", service("echo", &command, keys));
        let ten = Ten::with_config(&config).start();
        let mut echo = Self { ten, seen: BTreeMap::new(), asked: 0 };
        echo.settle();
        echo
    }

    /// The server.
    pub fn ten(&self) -> &Ten {
        &self.ten
    }

    /// Sends bytes on a connection of their own, in pieces of at most `piece` of them, and
    /// returns what came back and what reached the backend.
    pub fn exchange(&mut self, bytes: &[u8], piece: usize) -> (Answer, Vec<Arrival>) {
        let answer = raw::exchange(self.ten.address(), bytes, piece, SILENCE);
        let arrivals = self.settle();
        (answer, arrivals)
    }

    /// What has reached the backend since the last look, once a further request of another
    /// client has gone through. That one gets the answer to its own question, whatever was
    /// sent before it.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn settle(&mut self) -> Vec<Arrival> {
        self.asked += 1;
        let path = format!("/settled/{}", self.asked);
        let answer = self.ten.get(HOST, &path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let line = format!("GET {path} HTTP/1.1\r\n");
        assert!(answer.text().starts_with(&line), "{path} got the answer to {}", answer.text());
        let mut arrivals = self.look();
        for arrival in &mut arrivals {
            arrival.requests.retain(|request| request.target != path.as_bytes());
        }
        arrivals.retain(|arrival| !arrival.requests.is_empty() || arrival.rest != Rest::Nothing);
        arrivals
    }

    fn look(&mut self) -> Vec<Arrival> {
        let folder = self.ten.data_dir().join("echo/a/connections");
        let entries = fs::read_dir(&folder).expect("the backend's record");
        let mut arrivals = Vec::new();
        for entry in entries {
            let path = entry.expect("the backend's record").path();
            let bytes = fs::read(&path).expect("a connection's record");
            let seen = self.seen.entry(path).or_default();
            let (requests, rest) = strict::requests(&bytes[*seen..]);
            *seen = bytes.len();
            arrivals.push(Arrival { requests, rest });
        }
        arrivals
    }
}
