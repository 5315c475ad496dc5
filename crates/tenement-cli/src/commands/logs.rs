//! `ten logs`: what instances wrote, and write.

use clap::{Args, ValueEnum};
use jiff::{Timestamp, tz::TimeZone};
use ten_api::{LogLine, LogQuery, Stream};
use ten_client::{Client, Followed};
use ten_domain::{InstanceName, NameError, ServiceName};

use crate::{args::Global, connect, failure::Failure, output, render, time};

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Only this service or instance
    #[arg(value_name = "SERVICE[:ID]")]
    of: Option<String>,
    /// Go on with what is written from now on
    #[arg(long, short)]
    follow: bool,
    /// Only lines that contain this text, whatever its case
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only lines of this stream
    #[arg(long, value_enum)]
    level: Option<Level>,
    /// Only lines since then: 5m, 2h, 2026-01-31 12:00
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only lines until then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only the newest so many lines
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    limit: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Level {
    Stdout,
    Stderr,
}

impl Logs {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let zone = TimeZone::system();
        let query = self.query(Timestamp::now(), &zone)?;
        let client = connect::client(global)?;
        if self.follow {
            return follow(&client, &query, global, &zone).await;
        }
        let lines = client.logs(&query).await;
        let lines = lines.map_err(|error| Failure::call("cannot read the logs", error))?;
        if lines.is_empty() {
            output::remark(global, "no such lines");
        }
        lines.iter().try_for_each(|line| print(line, global, &zone))
    }

    fn query(&self, now: Timestamp, zone: &TimeZone) -> Result<LogQuery, Failure> {
        let (service, id) = match self.of.as_deref() {
            Some(text) => of(text)?,
            None => (None, None),
        };
        let moment = |flag: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => match time::moment(text, now, zone) {
                Ok(moment) => Ok(Some(moment.to_string())),
                Err(why) => Err(Failure::usage(format!("cannot use {flag}")).why(why)),
            },
        };
        Ok(LogQuery {
            service,
            id,
            level: self.level.map(|level| match level {
                Level::Stdout => Stream::Stdout,
                Level::Stderr => Stream::Stderr,
            }),
            search: self.search.clone(),
            since: moment("--since", &self.since)?,
            until: moment("--until", &self.until)?,
            limit: Some(self.limit),
        })
    }
}

/// Until the server ends the stream, or the reader of the output goes.
async fn follow(
    client: &Client,
    query: &LogQuery,
    global: &Global,
    zone: &TimeZone,
) -> Result<(), Failure> {
    let failure = |error| Failure::call("cannot follow the logs", error);
    let mut following = client.follow_logs(query).await.map_err(failure)?;
    while let Some(followed) = following.next().await.map_err(failure)? {
        match followed {
            Followed::Line(line) => print(&line, global, zone)?,
            Followed::Missed(count) => output::remark(global, render::logs::missed(count).trim()),
        }
    }
    output::remark(global, "the server is shutting down");
    Ok(())
}

fn print(line: &LogLine, global: &Global, zone: &TimeZone) -> Result<(), Failure> {
    if global.json {
        return output::print_json_line(line);
    }
    output::print(&render::logs::line(line, zone))
}

fn of(text: &str) -> Result<(Option<String>, Option<String>), Failure> {
    let wrong = |rule: NameError| {
        Failure::usage(format!("{text:?} is no service and no instance"))
            .why(format!("it {rule}"))
            .fix("write SERVICE or SERVICE:ID, such as api or api:prod")
    };
    if text.contains(':') {
        let name: InstanceName = text.parse().map_err(wrong)?;
        return Ok((Some(name.service.to_string()), Some(name.id.to_string())));
    }
    let service: ServiceName = text.parse().map_err(wrong)?;
    Ok((Some(service.to_string()), None))
}
