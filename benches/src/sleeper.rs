//! A server of which all instances sleep, and ways to wake them.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use ten_testkit::Ten;

use crate::{
    Failure,
    admin::Admin,
    at_once::at_once,
    exchange::{Answer, Stream, ask, tcp},
    program::{Level, Program},
};

/// A crowd is one client that asks for many instances that nobody knows yet.
const PROXY: &str = "[settings.proxy]\nmax_new_instances_per_ip = 1000000\n";

/// A server with a service for each program at each level.
pub(crate) struct Sleeper {
    ten: Ten,
    pub(crate) admin: Admin,
    /// Open all the time, as a browser's or a front proxy's would be.
    connection: Box<dyn Stream>,
}

impl Sleeper {
    pub(crate) fn start(programs: &[Program]) -> Result<Self, Failure> {
        let sections = programs.iter().flat_map(|p| Level::ALL.map(|level| p.section(level)));
        let config = PROXY.to_owned() + &sections.collect::<String>();
        let ten = Ten::with_config(&config).start();
        let (admin, connection) = (Admin::of(&ten), connect(ten.address())?);
        Ok(Self { ten, admin, connection })
    }

    /// From a request for a sleeping instance to the first byte of its answer. Afterwards it
    /// sleeps again.
    pub(crate) fn wake(&mut self, service: &str) -> Result<Duration, Failure> {
        let id = "one";
        let start = Instant::now();
        let answer = get(&mut *self.connection, service, id)?;
        self.admin.put_to_sleep(service, id)?;
        Ok(answer.first_byte - start)
    }

    /// A request for each of these ids at the same moment, each on a connection of its own:
    /// the time until the last was answered, and what failed. Nothing is put to sleep..
    pub(crate) fn wake_at_once(
        &self,
        service: &str,
        ids: &[String],
    ) -> Result<(Duration, Vec<Failure>), Failure> {
        let address = self.ten.address();
        let (took, answers) = at_once(
            ids.len(),
            |_| connect(address),
            |i, connection| get(&mut *connection?, service, &ids[i]),
        );
        Ok((took, answers.into_iter().filter_map(Result::err).collect()))
    }
}

fn connect(address: SocketAddr) -> Result<Box<dyn Stream>, Failure> {
    tcp(address).map_err(|source| Failure::Unanswered { host: address.to_string(), source })
}

fn get(stream: &mut dyn Stream, service: &str, id: &str) -> Result<Answer, Failure> {
    ask(stream, "GET", &format!("{id}.{service}.localhost"), "/")
}
