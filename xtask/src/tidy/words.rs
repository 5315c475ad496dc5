//! Words: those of the lexicon, and those that must not be in code.
//!
//! One thing has one word. The lexicon is in ARCHITECTURE.md; here are the words that people
//! reach for instead.

use super::Finding;
use crate::tree::{File, Tree};

/// Words for things that are called otherwise here: the word in lower case, what to say.
const LEXICON: [(&str, &str); 7] = [
    ("hibernat", "an idle instance sleeps"),
    ("scale to zero", "an idle instance sleeps"),
    ("cold start", "a request wakes an instance"),
    ("autostart", "a request wakes, an operator spawns"),
    ("microservice", "a service is a template, its copies are instances"),
    ("replica", "the copies of a service are instances"),
    ("blazing", "say what was measured"),
];

/// Where such a word is right: path, word, why.
const RIGHT: [(&str, &str, &str); 2] = [
    (
        "crates/ten-config/src/keys/service.rs",
        "cold start",
        "a Python or JVM start, nothing of ten's",
    ),
    ("xtask/src/tidy/words.rs", "", "the list itself"),
];

/// Code that must not be there: text, below which folder, why. Where a folder is named, tests
/// are free to do it.
const BANNED: [(&str, &str, &str); 8] = [
    ("todo!(", "", "what is not built is refused with a message"),
    ("unimplemented!(", "", "what is not built is refused with a message"),
    ("dbg!(", "", "left from looking for something"),
    ("#[ignore]", "", "say why: `#[ignore = \"…\"]`, which the end of a test run repeats"),
    ("\"SKIP:", "", "the end of a test run lists `SKIP reason`, without a colon"),
    ("Command::new(", "crates/", "processes are started by the warden, from a launch plan"),
    ("std::env::var", "crates/ten-domain/", "the domain reads nothing; values are arguments"),
    ("Instant::now(", "crates/ten-domain/", "time is an argument"),
];
/// Where such code is right: path, text, why.
const ALLOWED: [(&str, &str, &str); 2] = [
    (
        "crates/ten-warden/src/keeper/serve.rs",
        "Command::new(",
        "it starts no tenant but ten itself, for a backup, and it ends with its stream",
    ),
    (
        "crates/ten-kernel/src/quota/image/fill.rs",
        "Command::new(",
        "an init waits for mkfs.ext4, which ends with it as all of its namespace does",
    ),
];
/// Folders in `crates` that are no part of ten.
const BESIDE: [&str; 2] = ["crates/ten-testkit/", "/examples/"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let lexicon = tree.files.iter().filter(|file| !file.path.ends_with(".toml"));
    let mut findings: Vec<Finding> = lexicon.flat_map(check_lexicon).collect();
    findings.extend(tree.rust().flat_map(check_code));
    findings
}

fn check_lexicon(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in file.lines() {
        let lower = line.to_lowercase();
        for (word, instead) in LEXICON {
            let right = |(path, only, _): &(&str, &str, &str)| {
                *path == file.path && (only.is_empty() || *only == word)
            };
            if lower.contains(word) && !RIGHT.iter().any(right) {
                let word = word.trim();
                findings.push(Finding::line(&file.path, number, format!("{word:?}: {instead}")));
            }
        }
    }
    findings
}

fn check_code(file: &File) -> Vec<Finding> {
    if file.path == "xtask/src/tidy/words.rs" {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut product = !file.is_test() && !BESIDE.iter().any(|own| file.path.contains(own));
    for (number, line) in file.lines() {
        product &= line.trim() != "#[cfg(test)]";
        let comment = line.trim_start().starts_with("//");
        for (text, folder, why) in BANNED {
            let here = folder.is_empty() || product && file.path.starts_with(folder);
            let allowed = ALLOWED.iter().any(|(path, own, _)| *path == file.path && *own == text);
            if here && !comment && !allowed && line.contains(text) {
                findings.push(Finding::line(&file.path, number, format!("`{text}`: {why}")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn other_words_are_found() {
        let found = check_lexicon(&file("docs/x.md", "It hibernates.\nIt sleeps.\n"));
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().starts_with("docs/x.md:1: \"hibernat\""));
    }

    #[test]
    fn code_that_must_not_be_there_is_found() {
        let source = "fn f() { todo!() }\n";
        assert_eq!(check_code(&file("crates/x/src/y.rs", source)).len(), 1);
        let source = "Command::new(\"sh\")\n";
        assert_eq!(check_code(&file("crates/x/src/y.rs", source)).len(), 1);
        assert!(check_code(&file("crates/x/tests/y.rs", source)).is_empty());
        assert!(check_code(&file("xtask/src/y.rs", source)).is_empty());
        let source = "println!(\"SKIP: no root\");\nprintln!(\"SKIP no root\");\n";
        assert_eq!(check_code(&file("crates/x/tests/y.rs", source)).len(), 1);
    }
}
