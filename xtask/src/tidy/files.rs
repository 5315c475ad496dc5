//! The shape of Rust files: a page that can be held, with a header that says what it is.

use super::Finding;
use crate::tree::{File, Tree};

/// Lines above which a file is a smell and needs a reason here.
const SMELL: usize = 500;
/// Lines that no file may have.
const NEVER: usize = 800;
/// Lines of a `main.rs` that only hands over.
const MAIN: usize = 40;
/// Files above [`SMELL`], each with why it is still one thing.
const LONG: [(&str, &str); 0] = [];
/// Programs whose `main.rs` may be longer, with the reason.
const LONG_MAIN: [(&str, &str); 2] = [
    ("crates/ten-testkit/src/bin/tenant/main.rs", "a tenant of 45 lines, with its ways to fail"),
    ("crates/ten-warden/tests/trees/main.rs", "the harness of processes that play three roles"),
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<Finding> = tree.rust().flat_map(check_file).collect();
    for (path, _) in LONG {
        if tree.file(path).is_none_or(|file| file.text.lines().count() <= SMELL) {
            findings.push(Finding::file(path, "is not long any more: take it off the list"));
        }
    }
    findings
}

fn check_file(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |what: String| findings.push(Finding::file(&file.path, what));
    let lines = file.text.lines().count();
    if lines > NEVER {
        found(format!("{lines} lines; {NEVER} is the end: split it"));
    } else if lines > SMELL && !is_listed(&LONG, &file.path) {
        found(format!("{lines} lines: split it, or give a reason in xtask/src/tidy/files.rs"));
    }
    if file.path.ends_with("/mod.rs") {
        found("a module is foo.rs beside foo/: editors then show its name".into());
    }
    if file.path.ends_with("/main.rs") && lines > MAIN && !is_listed(&LONG_MAIN, &file.path) {
        found(format!("{lines} lines; a main.rs above {MAIN} does more than hand over"));
    }
    if !file.text.starts_with("//!") && !is_inner_test(&file.path) {
        found("begins with no `//!`: say what it is for".into());
    }
    findings
}

/// `foo/tests.rs` is the end of `foo.rs`, which has the header.
fn is_inner_test(path: &str) -> bool {
    path.ends_with("/tests.rs")
}

fn is_listed(list: &[(&str, &str)], path: &str) -> bool {
    list.iter().any(|(listed, _)| *listed == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> String {
        let file = File { path: path.into(), text: text.into() };
        check_file(&file).iter().map(|finding| format!("{finding}\n")).collect()
    }

    #[test]
    fn shapes_are_checked() {
        assert_eq!(findings("crates/x/src/y.rs", "//! Y.\n"), "");
        assert!(findings("crates/x/src/y.rs", "fn y() {}\n").contains("//!"));
        assert!(findings("crates/x/src/y/mod.rs", "//! Y.\n").contains("beside"));
        let lines = |count: usize| format!("//! Y.\n{}", "\n".repeat(count));
        assert!(findings("crates/x/src/y.rs", &lines(600)).contains("reason"));
        assert!(findings("crates/x/src/y.rs", &lines(900)).contains("the end"));
        assert!(findings("crates/x/src/main.rs", &lines(50)).contains("hand over"));
    }
}
