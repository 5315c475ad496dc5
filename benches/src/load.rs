//! wrk and h2load, and what they report.

use std::{fs, io::Write as _, process::Command};

use crate::Failure;

/// What is asked, again and again, on connections that stay open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A GET for a few bytes.
    Small,
    /// The same over HTTP/2, ten at a time on each connection.
    Streams,
    /// A GET for 10 MB.
    Download,
    /// A POST of 1 MB.
    Upload,
}

impl Ask {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Streams => "small over h2",
            Self::Download => "10 MB down",
            Self::Upload => "1 MB up",
        }
    }
}

/// What one run of the load has shown.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
    /// Half were answered within so many microseconds.
    pub(crate) p50: f64,
    /// 99 of 100 were.
    pub(crate) p99: f64,
}

/// Streams of a connection at one time.
const STREAMS: &str = "10";

/// Runs the load against this server with one thread for so long. `Err` holds its report where any request failed.
pub(crate) fn run(
    url: &str,
    host: &str,
    ask: Ask,
    connections: usize,
    seconds: u32,
) -> Result<Result<Load, String>, Failure> {
    if ask == Ask::Streams {
        return run_h2load(url, host, connections, seconds);
    }
    let mut wrk = Command::new("wrk");
    wrk.args(["--threads", "1", "--latency", "--timeout", "20"]);
    wrk.args(["--connections", &connections.to_string(), "--duration", &format!("{seconds}s")]);
    wrk.args(["--header", &format!("Host: {host}")]);
    let mut script = tempfile::NamedTempFile::new().map_err(Failure::Wrk)?;
    if ask == Ask::Upload {
        let lua = "wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", 1000000)\n";
        script.write_all(lua.as_bytes()).map_err(Failure::Wrk)?;
        wrk.arg("--script").arg(script.path());
    }
    let path = if ask == Ask::Download { "10MB" } else { "" };
    let output = wrk.arg(format!("{url}/{path}")).output().map_err(Failure::Wrk)?;
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(parse(&report).ok_or(report))
}

fn run_h2load(
    url: &str,
    host: &str,
    connections: usize,
    seconds: u32,
) -> Result<Result<Load, String>, Failure> {
    // Its report has no percentiles; its log has a line for each request.
    let log = tempfile::NamedTempFile::new().map_err(Failure::H2load)?;
    let output = Command::new("h2load")
        .args(["--threads", "1", "--max-concurrent-streams", STREAMS])
        .args(["--clients", &connections.to_string(), "--duration", &seconds.to_string()])
        .args(["--header", &format!(":authority: {host}")])
        .arg("--log-file")
        .arg(log.path())
        .arg(format!("{url}/"))
        .output()
        .map_err(Failure::H2load)?;
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = fs::read_to_string(log.path()).map_err(Failure::H2load)?;
    Ok(parse_h2load(&report, &log).ok_or(report))
}

/// `None` where requests failed or something is missing.
fn parse_h2load(report: &str, log: &str) -> Option<Load> {
    let requests = report.lines().find_map(|line| line.strip_prefix("requests: "))?;
    let number = |what: &str| {
        let part = requests.split(", ").find_map(|part| part.strip_suffix(what))?;
        part.trim().parse::<f64>().ok()
    };
    let finished = report.lines().find_map(|line| line.strip_prefix("finished in "))?;
    let per_second = finished.split(", ").find_map(|part| part.strip_suffix(" req/s"))?;
    let time = |line: &str| line.split('\t').nth(2)?.parse::<f64>().ok();
    let mut times = log.lines().map(time).collect::<Option<Vec<_>>>()?;
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied();
    (number("succeeded")? == number("done")? && number("failed")? == 0.0).then_some(())?;
    Some(Load {
        requests: number("done")?,
        per_second: per_second.parse().ok()?,
        p50: at(0.50)?,
        p99: at(0.99)?,
    })
}

/// `None` where requests failed or something is missing.
fn parse(report: &str) -> Option<Load> {
    if report.contains("Socket errors") || report.contains("Non-2xx") {
        return None;
    }
    let after = |word: &str| report.lines().find_map(|line| line.trim().strip_prefix(word));
    let requests = report.lines().find_map(|line| line.trim().split_once(" requests in "))?.0;
    Some(Load {
        requests: requests.parse().ok()?,
        per_second: after("Requests/sec:")?.trim().parse().ok()?,
        p50: microseconds(after("50%")?.trim())?,
        p99: microseconds(after("99%")?.trim())?,
    })
}

fn microseconds(text: &str) -> Option<f64> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "Running 1s test @ http://127.0.0.1:1/\n  Latency Distribution\n     50%  \
         371.00us\n     75%  500.00us\n     99%    1.50ms\n  30461 requests in 1.10s, 3.0MB read\n\
         Requests/sec:  27691.75\nTransfer/sec:      2.71MB\n";

    #[test]
    fn a_report_is_read_and_one_with_errors_is_not() {
        let load = parse(REPORT).unwrap();
        assert_eq!((load.requests, load.per_second), (30461.0, 27691.75));
        assert_eq!((load.p50, load.p99), (371.0, 1500.0));
        assert!(parse(&format!("{REPORT}  Non-2xx or 3xx responses: 3\n")).is_none());
        assert!(parse("").is_none());
    }

    #[test]
    fn so_is_one_of_h2load() {
        let report = "finished in 1.03s, 75900.00 req/s, 4.92MB/s\nrequests: 4 total, 5 started, \
             4 done, 4 succeeded, 0 failed, 0 errored, 0 timeout\n";
        let log = "1\t200\t40\n1\t200\t10\n1\t200\t20\n1\t200\t30\n";
        let load = parse_h2load(report, log).unwrap();
        assert_eq!((load.requests, load.per_second), (4.0, 75900.0));
        assert_eq!((load.p50, load.p99), (30.0, 40.0));
        assert!(parse_h2load(&report.replace("0 failed", "1 failed"), log).is_none());
        assert!(parse_h2load("", "").is_none());
    }
}
