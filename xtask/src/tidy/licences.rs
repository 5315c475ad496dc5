//! Licences, bans and sources of everything that is compiled in, from deny.toml.
//!
//! The same lists that cargo-deny reads. It also knows advisories, for which it needs the
//! network; this check needs nothing, and so runs everywhere.

use std::collections::BTreeSet;

use serde_json::Value;
use spdx::{Expression, ParseMode};
use toml::Table;

use super::Finding;
use crate::{failure::Failure, shell, tree};

const RULES: &str = "deny.toml";
/// Where crates may come from.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// What is built for; dependencies of other systems are never compiled.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

pub(crate) fn check() -> Result<Vec<Finding>, Failure> {
    let rules = std::fs::read_to_string(tree::root().join(RULES));
    let rules = rules.map_err(Failure::io(format!("read {RULES}")))?;
    let rules: Table = rules.parse().map_err(|error: toml::de::Error| {
        Failure::new(format!("{RULES} is no TOML")).with(error)
    })?;
    let mut findings = Vec::new();
    for target in TARGETS {
        let args = ["metadata", "--format-version", "1", "--locked", "--filter-platform", target];
        let text = shell::capture(&shell::cargo(), &args)?;
        let metadata: Value = serde_json::from_str(&text)
            .map_err(|error| Failure::new(format!("cargo metadata printed no JSON: {error}")))?;
        findings.extend(check_packages(&rules, &metadata));
    }
    findings.sort_by_key(ToString::to_string);
    findings.dedup_by_key(|finding| finding.to_string());
    Ok(findings)
}

fn check_packages(rules: &Table, metadata: &Value) -> Vec<Finding> {
    let allowed = texts(&rules["licenses"]["allow"]);
    let banned = rules["bans"]["deny"].as_array().into_iter().flatten();
    let banned: Vec<(&str, &str)> = banned
        .filter_map(|ban| Some((ban.get("crate")?.as_str()?, ban.get("reason")?.as_str()?)))
        .collect();
    let nodes = metadata["resolve"]["nodes"].as_array().into_iter().flatten();
    let used: BTreeSet<&str> = nodes.filter_map(|node| node["id"].as_str()).collect();
    let mut findings = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let id = package["id"].as_str().unwrap_or_default();
        let name = package["name"].as_str().unwrap_or_default();
        if !used.contains(id) {
            continue;
        }
        let mut found = |what: String| findings.push(Finding::file(RULES, what));
        let licence = package["license"].as_str().unwrap_or("no licence");
        if !is_allowed(licence, &allowed) {
            found(format!("{name} has the licence {licence}, which is not allowed"));
        }
        // Ours have no source: they are folders of the workspace.
        if package["source"].as_str().is_some_and(|source| source != CRATES_IO) {
            found(format!("{name} does not come from crates.io"));
        }
        if let Some((_, why)) = banned.iter().find(|(banned, _)| *banned == name) {
            found(format!("{name} is banned: {why}"));
        }
    }
    findings
}

/// Whether an SPDX expression can be satisfied by what is allowed.
fn is_allowed(licence: &str, allowed: &[&str]) -> bool {
    let Ok(expression) = Expression::parse_mode(licence, ParseMode::LAX) else { return false };
    expression.evaluate(|requirement| allowed.contains(&requirement.to_string().as_str()))
}

fn texts(value: &toml::Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(toml::Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_understood() {
        let allowed = ["Apache-2.0", "MIT", "Unicode-3.0"];
        for fine in ["MIT", "MIT/Apache-2.0", "GPL-3.0-only OR MIT", "(MIT) AND Unicode-3.0"] {
            assert!(is_allowed(fine, &allowed), "{fine}");
        }
        for bad in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "no licence", ""] {
            assert!(!is_allowed(bad, &allowed), "{bad}");
        }
    }
}
