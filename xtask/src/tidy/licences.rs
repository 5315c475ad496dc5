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
    let banned: Vec<Ban<'_>> = banned.filter_map(Ban::read).collect();
    let nodes = || metadata["resolve"]["nodes"].as_array().into_iter().flatten();
    let used: BTreeSet<&str> = nodes().filter_map(|node| node["id"].as_str()).collect();
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
        let Some(ban) = banned.iter().find(|ban| ban.name == name) else { continue };
        let depends = |node: &&Value| {
            let all = node["dependencies"].as_array().into_iter().flatten();
            all.filter_map(Value::as_str).any(|dependency| dependency == id)
        };
        let users = nodes().filter(depends).filter_map(|node| node["id"].as_str());
        if users.map(name_of).any(|user| !ban.wrappers.contains(&user)) {
            found(format!("{name} is banned: {}", ban.reason));
        }
    }
    findings
}

/// A crate that nobody may use but its wrappers.
struct Ban<'a> {
    name: &'a str,
    wrappers: Vec<&'a str>,
    reason: &'a str,
}

impl<'a> Ban<'a> {
    fn read(ban: &'a toml::Value) -> Option<Self> {
        let text = |key| ban.get(key)?.as_str();
        let wrappers = ban.get("wrappers").map(texts).unwrap_or_default();
        Some(Self { name: text("crate")?, wrappers, reason: text("reason")? })
    }
}

/// The name in a package's id (cargo's `PackageIdSpec`): `…#name@version`, or `…/name#version`.
fn name_of(id: &str) -> &str {
    let (path, fragment) = id.rsplit_once('#').unwrap_or(("", id));
    match fragment.split_once('@') {
        Some((name, _)) => name,
        None => path.rsplit('/').next().unwrap_or(path),
    }
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
    fn a_wrapper_may_use_what_is_banned_and_nobody_else() {
        let rules = "licenses.allow = [\"MIT\"]\n[bans]\n\
                     deny = [{ crate = \"a\", wrappers = [\"b\"], reason = \"why\" }]";
        let id = |name: &str| format!("registry+https://example.com#{name}@1.0.0");
        let package = |name: &str| serde_json::json!({"id": id(name), "name": name, "license": "MIT", "source": null});
        let node =
            |name: &str, uses: &[String]| serde_json::json!({"id": id(name), "dependencies": uses});
        for (user, findings) in [("b", 0), ("c", 1)] {
            let metadata = serde_json::json!({
                "packages": [package("a"), package(user)],
                "resolve": {"nodes": [node("a", &[]), node(user, &[id("a")])]},
            });
            let rules: Table = rules.parse().unwrap();
            assert_eq!(check_packages(&rules, &metadata).len(), findings, "{user}");
        }
        assert_eq!(name_of("path+file:///x/ten-proxy#0.1.0"), "ten-proxy");
    }

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
