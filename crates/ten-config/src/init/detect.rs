//! Which kind of project a folder holds, and what starts it. A table of markers, first match
//! wins: what names a tool (a lock file) comes before what names a language.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use toml::Table;

use super::{Language, Project};

/// Where Python apps usually start, most usual first.
const PYTHON_ENTRIES: [&str; 4] = ["app.py", "main.py", "server.py", "run.py"];
/// Where JavaScript and TypeScript apps usually start.
const SCRIPT_ENTRIES: [&str; 8] =
    ["server.js", "index.js", "app.js", "main.js", "server.ts", "index.ts", "app.ts", "main.ts"];

type Detect = fn(&Path) -> Project;

/// Marker files, each with what it means.
const MARKERS: [(&str, Detect); 12] = [
    ("uv.lock", uv),
    ("bun.lock", bun),
    ("bun.lockb", bun),
    ("bunfig.toml", bun),
    ("deno.json", deno),
    ("deno.jsonc", deno),
    ("package.json", node),
    ("go.mod", go),
    ("Cargo.toml", rust),
    ("pyproject.toml", pyproject),
    ("requirements.txt", pip),
    ("", python_alone),
];

/// Looks at a folder. Files that cannot be read or parsed count as empty: a guess is made
/// from what is left, for the user to correct.
pub fn detect(folder: &Path) -> Project {
    let (_, found) = MARKERS
        .iter()
        .find(|(marker, _)| folder.join(marker).exists())
        .expect("the last marker is the folder itself");
    found(folder)
}

fn project(language: Language, command: Option<String>) -> Project {
    Project { language, command, build: None }
}

fn uv(folder: &Path) -> Project {
    let command = entry(folder, &PYTHON_ENTRIES).map(|file| format!("uv run python {file}"));
    project(Language::PythonUv, command)
}

fn pyproject(folder: &Path) -> Project {
    let toml = table(&folder.join("pyproject.toml"));
    let has_uv = toml.get("tool").and_then(|tool| tool.get("uv")).is_some();
    if has_uv { uv(folder) } else { pip(folder) }
}

fn pip(folder: &Path) -> Project {
    let venv = [".venv/bin/python", "venv/bin/python"];
    let python = venv.into_iter().find(|python| folder.join(python).exists());
    let program = python.map_or("python3".into(), |python| format!("./{python}"));
    let command = entry(folder, &PYTHON_ENTRIES).map(|file| format!("{program} {file}"));
    project(Language::PythonPip, command)
}

fn python_alone(folder: &Path) -> Project {
    match entry(folder, &PYTHON_ENTRIES) {
        Some(file) => project(Language::Python, Some(format!("python3 {file}"))),
        None => project(Language::Unknown, None),
    }
}

fn node(folder: &Path) -> Project {
    let package = json(&folder.join("package.json"));
    let main = || package["main"].as_str().filter(|file| is_plain(file)).map(str::to_string);
    let command = match package["scripts"]["start"].as_str() {
        // Without npm in between there is one process less, and signals arrive.
        Some(start) if start.starts_with("node ") && is_plain(start) => Some(start.into()),
        Some(_) => Some("npm start".into()),
        None => {
            main().or_else(|| entry(folder, &SCRIPT_ENTRIES)).map(|file| format!("node {file}"))
        }
    };
    project(Language::Node, command)
}

fn bun(folder: &Path) -> Project {
    let package = json(&folder.join("package.json"));
    let command = match package["scripts"]["start"].as_str() {
        Some(_) => Some("bun run start".into()),
        None => entry(folder, &SCRIPT_ENTRIES).map(|file| format!("bun run {file}")),
    };
    project(Language::Bun, command)
}

fn deno(folder: &Path) -> Project {
    let has_start = ["deno.json", "deno.jsonc"]
        .iter()
        .any(|file| json(&folder.join(file))["tasks"]["start"].is_string());
    let permissions = "--allow-net --allow-env --allow-read --allow-write";
    let command = if has_start {
        Some("deno task start".into())
    } else {
        entry(folder, &SCRIPT_ENTRIES).map(|file| format!("deno run {permissions} {file}"))
    };
    project(Language::Deno, command)
}

fn go(folder: &Path) -> Project {
    let text = fs::read_to_string(folder.join("go.mod")).unwrap_or_default();
    let module = text.lines().find_map(|line| line.trim().strip_prefix("module "));
    let base = module.and_then(|module| module.trim().rsplit('/').next());
    let name = base.filter(|name| is_plain(name)).unwrap_or("app");
    Project {
        language: Language::Go,
        command: Some(format!("./{name}")),
        build: Some(format!("go build -o {name} .")),
    }
}

fn rust(folder: &Path) -> Project {
    let manifest = table(&folder.join("Cargo.toml"));
    let package = |key: &str| manifest.get("package")?.get(key)?.as_str();
    let first_bin = || manifest.get("bin")?.get(0)?.get("name")?.as_str();
    let name = package("default-run").or_else(first_bin).or_else(|| package("name"));
    Project {
        language: Language::Rust,
        command: name.filter(|name| is_plain(name)).map(|n| format!("./target/release/{n}")),
        build: Some("cargo build --release".into()),
    }
}

fn entry(folder: &Path, usual: &[&str]) -> Option<String> {
    usual.iter().find(|file| folder.join(file).is_file()).map(|file| file.to_string())
}

/// Whether a text means the same to a shell, to a template and to us.
fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || " ./_-=:@+,".contains(c);
    !text.is_empty() && text.chars().all(plain)
}

fn json(path: &PathBuf) -> Value {
    let text = fs::read_to_string(path).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn table(path: &PathBuf) -> Table {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.parse().unwrap_or_default()
}
