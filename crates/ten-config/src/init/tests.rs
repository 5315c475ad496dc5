use std::{fs, path::Path};

use super::*;
use crate::{Source, parse};

/// Files of a folder, what it is and what starts it.
type Case = (&'static [(&'static str, &'static str)], Language, Option<&'static str>);

const CASES: &[Case] = &[
    (&[("uv.lock", ""), ("main.py", "")], Language::PythonUv, Some("uv run python main.py")),
    (
        &[("pyproject.toml", "[tool.uv]\n"), ("app.py", "")],
        Language::PythonUv,
        Some("uv run python app.py"),
    ),
    (
        &[("pyproject.toml", "[project]\n"), ("app.py", "")],
        Language::PythonPip,
        Some("python3 app.py"),
    ),
    (
        &[("requirements.txt", ""), (".venv/bin/python", ""), ("server.py", "")],
        Language::PythonPip,
        Some("./.venv/bin/python server.py"),
    ),
    (&[("app.py", "")], Language::Python, Some("python3 app.py")),
    (
        &[("package.json", r#"{"scripts": {"start": "node server.js"}}"#)],
        Language::Node,
        Some("node server.js"),
    ),
    (
        &[("package.json", r#"{"scripts": {"start": "A=1 next start && x"}}"#)],
        Language::Node,
        Some("npm start"),
    ),
    (&[("package.json", r#"{"main": "lib/x.js"}"#)], Language::Node, Some("node lib/x.js")),
    (&[("package.json", "broken"), ("index.js", "")], Language::Node, Some("node index.js")),
    (
        &[("bun.lock", ""), ("package.json", r#"{"scripts": {"start": "x"}}"#)],
        Language::Bun,
        Some("bun run start"),
    ),
    (&[("bunfig.toml", ""), ("index.ts", "")], Language::Bun, Some("bun run index.ts")),
    (&[("deno.json", r#"{"tasks": {"start": "x"}}"#)], Language::Deno, Some("deno task start")),
    (
        &[("deno.jsonc", "// c"), ("main.ts", "")],
        Language::Deno,
        Some("deno run --allow-net --allow-env --allow-read --allow-write main.ts"),
    ),
    (&[("go.mod", "module example.com/my/notes\n")], Language::Go, Some("./notes")),
    (&[("go.mod", "module {id}\n")], Language::Go, Some("./app")),
    (
        &[("Cargo.toml", "[package]\nname = \"notes\"\n")],
        Language::Rust,
        Some("./target/release/notes"),
    ),
    (
        &[("Cargo.toml", "[package]\nname = \"a\"\n[[bin]]\nname = \"b\"\n")],
        Language::Rust,
        Some("./target/release/b"),
    ),
    (&[("uv.lock", "")], Language::PythonUv, None),
    (&[("README.md", "")], Language::Unknown, None),
];

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn accept(text: &str) {
    let source = Source::from_text(Path::new("/srv/app/tenement.toml"), text).unwrap();
    if let Err(errors) = parse(&source, &|_| None) {
        panic!("{errors}\n{text}");
    }
}

#[test]
fn every_detection_renders_a_config_that_is_accepted() {
    let name = "notes".parse().unwrap();
    for (files, language, command) in CASES {
        let project = detect(folder(files).path());
        assert_eq!(project.language, *language, "{files:?}");
        assert_eq!(project.command.as_deref(), *command, "{files:?}");
        let command = project.command.as_deref().unwrap_or("./app --port {port}");
        accept(&render(&name, command, &project, &[]));
    }
}

#[test]
fn what_the_comments_offer_is_accepted_too() {
    let project = Project { language: Language::Unknown, command: None, build: None };
    let text = render(&"notes".parse().unwrap(), "sh -c 'echo \"$PORT\"'", &project, &[]);
    let offered = |line: &str| line.contains(" = ") || line.starts_with("# [");
    let uncommented: Vec<_> = text
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|_| offered(line)).unwrap_or(line))
        .collect();
    assert!(uncommented.contains(&"health = \"/health\""));
    accept(&uncommented.join("\n"));
}

#[test]
fn what_the_command_needs_is_shown() {
    let project = Project { language: Language::Bun, command: None, build: None };
    let bind = ["/opt/a \"b\":ro".to_owned(), "/home/me/.bun:ro".to_owned()];
    let text = render(&"notes".parse().unwrap(), "bun run start", &project, &bind);
    let source = Source::from_text(Path::new("/srv/app/tenement.toml"), &text).unwrap();
    let config = parse(&source, &|_| None).unwrap();
    let shown: Vec<_> = config.services.values().flat_map(|spec| &spec.bind).collect();
    let paths = shown.iter().map(|bind| bind.path.to_str().unwrap());
    assert_eq!(paths.collect::<Vec<_>>(), ["/opt/a \"b\"", "/home/me/.bun"]);
    assert!(shown.iter().all(|bind| !bind.writable));
}

#[test]
fn names_come_from_folders() {
    let name = |folder: &str| name_of(Path::new(folder)).map(|name| name.to_string());
    assert_eq!(name("/srv/My App_2").as_deref(), Ok("my-app-2"));
    assert_eq!(name("/srv/--x--").as_deref(), Ok("x"));
    assert_eq!(name(&format!("/{}", "ab-".repeat(40))).unwrap().len(), 62);
    assert_eq!(name("/srv/日本"), Err(NameError::Empty));
    assert_eq!(name("/"), Err(NameError::Empty));
}
