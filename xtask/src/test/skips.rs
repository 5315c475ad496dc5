//! What tests could not do on this machine: the lines `SKIP reason` that they print, as
//! nextest keeps them in its JUnit report.

use std::{fs, io, path::PathBuf};

use crate::{
    failure::Failure,
    tree::{self, Tree},
};

/// Where `.config/nextest.toml` has the report written to.
const REPORT: &str = "target/nextest/default/junit.xml";
/// How such a line begins.
const MARK: &str = "SKIP ";

/// Removes the report of an earlier run.
pub(crate) fn forget() -> Result<(), Failure> {
    match fs::remove_file(path()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::io(format!("remove {REPORT}"))(error))
        }
        _ => Ok(()),
    }
}

/// Every skip of the last run, with its test.
pub(crate) fn read() -> Result<Vec<String>, Failure> {
    let report = fs::read_to_string(path());
    Ok(skips(&report.map_err(Failure::io(format!("read {REPORT}")))?))
}

/// Tests that are not run by themselves, with their reasons: `#[ignore = "…"]`.
pub(crate) fn ignored(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for file in tree.rust() {
        for line in file.text.lines() {
            let reason = line.trim().strip_prefix("#[ignore = \"");
            if let Some(reason) = reason.and_then(|rest| rest.strip_suffix("\"]")) {
                found.push(format!("{}: {reason}", file.path));
            }
        }
    }
    found
}

fn path() -> PathBuf {
    tree::root().join(REPORT)
}

fn skips(report: &str) -> Vec<String> {
    let mut test = String::new();
    let mut found = Vec::new();
    for line in report.lines() {
        if let Some((_, rest)) = line.split_once("<testcase name=\"") {
            test = plain(rest.split('"').next().unwrap_or_default());
        }
        // The first line of an output follows its tag.
        let said = line.rsplit_once("<system-out>").map_or(line, |(_, said)| said);
        let said = said.rsplit_once("<system-err>").map_or(said, |(_, said)| said);
        // libtest leaves its own line, `test NAME ... `, open while the test runs.
        let said = said.split_once(" ... ").map_or(said, |(_, said)| said);
        if let Some(reason) = said.strip_prefix(MARK) {
            let reason = reason.split("</system-").next().unwrap_or_default();
            found.push(format!("{test}: {}", plain(reason)));
        }
    }
    found
}

/// Text without the escapes of XML.
fn plain(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    text.replace("&apos;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_are_found_with_their_tests() {
        let report = "<testsuite>\n\
            <testcase name=\"walls::hold\" time=\"0.1\">\n\
            <system-out>running 1 test\ntest walls::hold ... SKIP no cgroup v2 &amp; no root\n\
            ok</system-out>\n\
            </testcase>\n\
            <testcase name=\"other\">\n<system-err>SKIP no kvm</system-err>\n</testcase>";
        assert_eq!(skips(report), ["walls::hold: no cgroup v2 & no root", "other: no kvm"]);
    }
}
