//! Imports go down only, and some crates must not know of some others at all.
//!
//! ```text
//! edge      tenement-cli
//! wiring    ten-server
//! control   ten-supervisor ─► ten-warden     data   ten-proxy
//! means     ten-archive  ten-client  ten-config  ten-logs  ten-runtime  ten-store
//! ground    ten-api  ten-domain  ten-kernel
//! ```

use toml::{Table, Value};

use super::Finding;
use crate::{
    failure::Failure,
    tree::{File, Tree},
};

/// Every crate with its height. A crate imports only lower ones.
const HEIGHTS: [(&str, u8); 14] = [
    ("ten-api", 0),
    ("ten-domain", 0),
    ("ten-kernel", 0),
    ("ten-archive", 1),
    ("ten-client", 1),
    ("ten-config", 1),
    ("ten-logs", 1),
    ("ten-runtime", 1),
    ("ten-store", 1),
    ("ten-proxy", 2),
    ("ten-warden", 2),
    ("ten-supervisor", 3),
    ("ten-server", 4),
    ("tenement-cli", 5),
];

/// Beside the product: nothing above imports them but in its tests.
const BESIDE: [&str; 6] =
    ["ten-benches", "ten-conformance", "ten-e2e", "ten-machine", "ten-testkit", "xtask"];

/// Imports that height would allow and that are wrong all the same: who, what, why.
const FORBIDDEN: [(&str, &[&str], &str); 7] = [
    (
        "ten-proxy",
        &["ten-config", "ten-kernel", "ten-runtime", "ten-store", "ten-logs", "ten-warden"],
        "the data plane asks a trait for leases; it knows no process and no configuration",
    ),
    (
        "ten-warden",
        &["ten-domain", "ten-config", "ten-api", "ten-store", "ten-runtime", "ten-logs"],
        "the warden is mechanism: it knows no service, no instance and no policy",
    ),
    (
        "ten-supervisor",
        &["ten-proxy", "ten-api", "ten-config", "ten-client"],
        "policy knows neither how requests arrive nor how commands are spelled",
    ),
    ("ten-config", &["ten-kernel", "ten-api"], "what was typed means domain values, nothing else"),
    ("ten-store", &["ten-kernel", "ten-api"], "rows are not wire shapes"),
    ("ten-client", &["ten-kernel"], "a client may run on a host that serves nothing"),
    (
        "tenement-cli",
        &["ten-supervisor", "ten-proxy", "ten-warden", "ten-store"],
        "the command \
     line asks a server; it knows nothing of how an instance lives",
    ),
];

pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| is_manifest(&file.path)) {
        let manifest: Table = file.text.parse().map_err(|error: toml::de::Error| {
            Failure::new(format!("{} is no TOML", file.path)).with(error)
        })?;
        check_manifest(file, &manifest, &mut findings);
    }
    Ok(findings)
}

fn is_manifest(path: &str) -> bool {
    path.ends_with("/Cargo.toml")
}

fn check_manifest(file: &File, manifest: &Table, findings: &mut Vec<Finding>) {
    let name = manifest["package"]["name"].as_str().unwrap_or_default();
    let mut found = |what: String| findings.push(Finding::file(&file.path, what));
    if !inherits_lints(manifest) && name != "ten-kernel" {
        found("must inherit the lints, `[lints] workspace = true`: they forbid unsafe".into());
    }
    let Some(height) = height(name) else {
        if !BESIDE.contains(&name) {
            found(format!("{name} has no place in xtask/src/tidy/layers.rs"));
        }
        if name == "ten-testkit" && imports(manifest, "dependencies").any(|own| own != name) {
            found("the testkit sees ten from outside, as a user does".into());
        }
        return;
    };
    for import in imports(manifest, "dependencies").chain(imports(manifest, "build-dependencies")) {
        match self::height(import) {
            Some(other) if other < height => {}
            _ => found(format!("{name} imports {import}, which is not below it")),
        }
        let why = |(who, what, _): &&(&str, &[&str], &str)| *who == name && what.contains(&import);
        if let Some((.., why)) = FORBIDDEN.iter().find(why) {
            found(format!("{name} imports {import}: {why}"));
        }
    }
}

fn height(name: &str) -> Option<u8> {
    HEIGHTS.iter().find(|(known, _)| *known == name).map(|(_, height)| *height)
}

/// Crates of ours that are imported.
fn imports<'a>(manifest: &'a Table, section: &str) -> impl Iterator<Item = &'a str> {
    let names = manifest.get(section).and_then(Value::as_table).into_iter().flat_map(Table::keys);
    names.map(String::as_str).filter(|name| height(name).is_some() || BESIDE.contains(name))
}

fn inherits_lints(manifest: &Table) -> bool {
    manifest.get("lints").and_then(|lints| lints.get("workspace")?.as_bool()) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(manifest: &str) -> String {
        let file = File { path: "crates/x/Cargo.toml".into(), text: manifest.into() };
        let found = check(&Tree { files: vec![file] }).unwrap();
        found.iter().map(|finding| format!("{finding}\n")).collect()
    }

    fn manifest(name: &str, import: &str) -> String {
        format!(
            "[package]\nname = \"{name}\"\n[dependencies]\n{import}.workspace = true\n\
             [lints]\nworkspace = true"
        )
    }

    #[test]
    fn imports_go_down_only() {
        assert_eq!(findings(&manifest("ten-config", "ten-domain")), "");
        assert!(findings(&manifest("ten-domain", "ten-config")).contains("not below"));
        assert!(findings(&manifest("ten-domain", "ten-api")).contains("not below"));
        assert!(findings(&manifest("ten-server", "ten-testkit")).contains("not below"));
    }

    #[test]
    fn the_data_plane_knows_no_warden() {
        assert!(findings(&manifest("ten-proxy", "ten-kernel")).contains("data plane"));
        assert!(findings(&manifest("ten-proxy", "ten-supervisor")).contains("not below"));
    }

    #[test]
    fn unsafe_stays_where_it_is() {
        let manifest = "[package]\nname = \"ten-config\"\n";
        assert!(findings(manifest).contains("forbid unsafe"));
    }
}
