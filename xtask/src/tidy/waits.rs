//! Tests wait for conditions, not for time: a test that sleeps is slow on a fast machine and
//! wrong on a slow one.

use super::Finding;
use crate::tree::{File, Tree};

/// Files that may sleep, each with the reason.
const MAY: [(&str, &str); 5] = [
    ("e2e/tests/e2e/sleep.rs", "every pause is a phase of the race that the test is about"),
    ("crates/ten-supervisor/src/tests.rs", "tokio's clock is paused: sleeping costs no time"),
    ("crates/ten-supervisor/src/tests/house.rs", "tokio's clock is paused"),
    ("crates/ten-proxy/src/tests/limits.rs", "proves that a limit has not fired for so long"),
    ("crates/ten-testkit/src/wait.rs", "the one place that looks, pauses and looks again"),
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust().flat_map(check_file).collect()
}

fn check_file(file: &File) -> Vec<Finding> {
    let own = file.path.starts_with("xtask/") || MAY.iter().any(|(path, _)| *path == file.path);
    // The tenant that is told to be slow.
    let tenant = file.path.starts_with("crates/ten-testkit/src/bin/");
    if own || tenant {
        return Vec::new();
    }
    let mut in_tests = file.is_test() || file.path.starts_with("crates/ten-testkit/");
    let mut findings = Vec::new();
    for (number, line) in file.lines() {
        in_tests |= line.trim() == "#[cfg(test)]";
        let calls = line.contains("sleep(") && !line.contains("fn ") && !line.contains("asleep(");
        if in_tests && calls {
            let what = "a test that sleeps: wait for the condition with a deadline";
            findings.push(Finding::line(&file.path, number, what));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check_file(&File { path: path.into(), text: text.into() }).len()
    }

    #[test]
    fn tests_that_sleep_are_found() {
        let source = "thread::sleep(SECOND);\n#[cfg(test)]\nmod tests {\nsleep(SECOND).await;\n}";
        assert_eq!(findings("crates/x/src/y.rs", source), 1);
        assert_eq!(findings("crates/x/tests/y.rs", source), 2);
        assert_eq!(findings("e2e/tests/y.rs", source), 2);
        assert_eq!(findings("crates/ten-supervisor/src/tests.rs", source), 0);
    }
}
