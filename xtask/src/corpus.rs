//! The inputs of `http_desync_guardian`, which its crate carries as test data. They are not
//! ours to copy: cargo fetches the crate as it fetches every other, nothing compiles it, and
//! `target/corpus/inputs` leads to it.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use serde_json::Value;

use crate::{failure::Failure, shell, tree};

const NAME: &str = "http_desync_guardian";
const FOLDER: &str = "target/corpus";
/// A package that imports it, in a workspace of its own.
const MANIFEST: &str = r#"# Made by `cargo xtask test`.
[workspace]
[package]
name = "corpus"
version = "0.0.0"
edition = "2024"
[lib]
path = "none.rs"
[dependencies]
http_desync_guardian = { version = "=0.1.3", default-features = false }
"#;

/// Fetches the inputs, unless they are there.
pub(crate) fn ensure() -> Result<(), Failure> {
    let folder = tree::root().join(FOLDER);
    let inputs = folder.join("inputs");
    if inputs.join("severe.yaml").is_file() {
        return Ok(());
    }
    let manifest = folder.join("Cargo.toml");
    fs::create_dir_all(&folder).map_err(Failure::io(format!("create {FOLDER}")))?;
    for (path, text) in [(&manifest, MANIFEST), (&folder.join("none.rs"), "")] {
        fs::write(path, text).map_err(Failure::io(format!("write {}", path.display())))?;
    }
    let tests = fetch(&manifest.to_string_lossy())?.join("tests");
    // A link that leads nowhere is in the way of a new one.
    let _ = fs::remove_file(&inputs);
    symlink(&tests, &inputs).map_err(Failure::io(format!("link {}", inputs.display())))
}

/// Has cargo download the crate, and says where it put its source.
fn fetch(manifest: &str) -> Result<PathBuf, Failure> {
    let args = ["metadata", "--format-version", "1", "--manifest-path", manifest];
    let text = shell::capture(&shell::cargo(), &args)?;
    let metadata: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("cargo metadata printed no JSON: {error}")))?;
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    let package = packages.find(|package| package["name"] == NAME);
    let path = package.and_then(|package| package["manifest_path"].as_str()).map(PathBuf::from);
    let source = path.and_then(|path| Some(path.parent()?.to_owned()));
    source.ok_or_else(|| Failure::new(format!("cargo metadata does not say where {NAME} is")))
}
