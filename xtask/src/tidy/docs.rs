//! Documents: links lead somewhere, commands exist, decisions are numbered, the changelog is
//! open.

use std::path::{Component, Path, PathBuf};

use super::Finding;
use crate::tree::{self, File, Tree};

/// Where decisions are.
const DECISIONS: &str = "docs/decisions/";
/// Documents that a newcomer looks for.
const REQUIRED: [&str; 5] =
    ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/operating.md"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let missing = REQUIRED.iter().filter(|path| tree.file(path).is_none());
    findings.extend(missing.map(|path| Finding::file(path, "is missing")));
    for file in tree.ending("md") {
        findings.extend(dead_links(file));
        findings.extend(unknown_commands(file, tree));
        findings.extend(unknown_constants(file, tree));
    }
    findings.extend(changelog(tree));
    findings.extend(decisions(tree));
    findings
}

/// Relative links to files that are not there.
fn dead_links(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
    for (number, line) in file.lines() {
        for (at, _) in line.match_indices("](") {
            let target = line[at + 2..].split(')').next().unwrap_or_default();
            let path = target.split('#').next().unwrap_or_default();
            let elsewhere = path.is_empty() || path.contains("://") || path.starts_with("mailto:");
            if !elsewhere && !tree::root().join(normal(&folder.join(path))).exists() {
                let what = format!("links to {path}, which is not there");
                findings.push(Finding::line(&file.path, number, what));
            }
        }
    }
    findings
}

/// Without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            other => normal.push(other),
        }
    }
    normal
}

/// `cargo xtask VERB` and `ten VERB` in blocks of shell code.
fn unknown_commands(file: &File, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut shell = false;
    for (number, line) in file.lines() {
        if let Some(language) = line.strip_prefix("```") {
            shell = !shell && language.trim() == "sh";
            continue;
        }
        if !shell {
            continue;
        }
        let words: Vec<_> = line.split_whitespace().collect();
        let source = match words[..] {
            ["cargo", "xtask", verb, ..] => format!("xtask/src/{verb}.rs"),
            ["ten", verb, ..] if !verb.starts_with('-') => {
                let file = verb.replace('-', "_");
                format!("crates/tenement-cli/src/commands/{file}.rs")
            }
            _ => continue,
        };
        if tree.file(&source).is_none() {
            let what = format!("`{}`: there is no {source}", line.trim());
            findings.push(Finding::line(&file.path, number, what));
        }
    }
    findings
}

/// `NAME` in `crates/…`: limits that documents name are where they say.
fn unknown_constants(file: &File, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in file.lines() {
        let Some((before, after)) = line.split_once("` in `crates/") else { continue };
        let name = before.rsplit('`').next().unwrap_or_default();
        let source = format!("crates/{}", after.split('`').next().unwrap_or_default());
        let declared = format!("const {name}: ");
        if tree.file(&source).is_none_or(|source| !source.text.contains(&declared)) {
            let what = format!("there is no {name} in {source}");
            findings.push(Finding::line(&file.path, number, what));
        }
    }
    findings
}

fn changelog(tree: &Tree) -> Option<Finding> {
    let file = tree.file("CHANGELOG.md")?;
    let open = file.text.lines().any(|line| line == "## Unreleased");
    (!open).then(|| Finding::file(&file.path, "has no `## Unreleased`"))
}

/// 001, 002, … without gaps or doubles.
fn decisions(tree: &Tree) -> Vec<Finding> {
    let names = tree.ending("md").filter_map(|file| file.path.strip_prefix(DECISIONS));
    let mut findings = Vec::new();
    for (index, name) in names.enumerate() {
        let expected = format!("{:03}-", index + 1);
        if !name.starts_with(&expected) {
            let what = format!("should begin with {expected}: decisions are numbered in a row");
            findings.push(Finding::file(&format!("{DECISIONS}{name}"), what));
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
    fn dead_links_are_found() {
        let text = "[a](README.md) [b](docs/nowhere.md#x)\n[c](https://example.com) [d](#d)\n";
        let found = dead_links(&file("X.md", text));
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().contains("docs/nowhere.md"));
        assert!(dead_links(&file("docs/x.md", "[a](../README.md)")).is_empty());
    }

    #[test]
    fn unknown_commands_are_found() {
        let tree = Tree { files: vec![file("crates/tenement-cli/src/commands/token_gen.rs", "")] };
        let text = "```sh\nten token-gen\nten fly\ncargo xtask nothing\n```\nten talk\n";
        let found = unknown_commands(&file("X.md", text), &tree);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn unknown_constants_are_found() {
        let source = file("crates/x/src/y.rs", "const MAILBOX: usize = 1;\n");
        let tree = Tree { files: vec![source] };
        let text = "`MAILBOX` in `crates/x/src/y.rs`\n`OTHER` in `crates/x/src/y.rs`\n";
        assert_eq!(unknown_constants(&file("X.md", text), &tree).len(), 1);
    }

    #[test]
    fn gaps_between_decisions_are_found() {
        let paths = ["docs/decisions/001-a.md", "docs/decisions/003-c.md"];
        let tree = Tree { files: paths.map(|path| file(path, "")).into() };
        assert_eq!(decisions(&tree).len(), 1);
    }
}
