//! Every kind of mistake with the exact text that it is answered with: `broken/NN-name.toml`
//! and `broken/NN-name.txt`. `UPDATE_FIXTURES=1` writes the texts anew, to be read and judged
//! as a newcomer would.

use std::{fs, path::Path};

use ten_config::{Source, parse};

/// Fewest kinds of mistakes that must be covered.
const FEWEST: usize = 45;

fn report(path: &Path) -> String {
    let source = Source::read(path).unwrap();
    let lookup = |name: &str| (name == "SET").then(|| "value".to_string());
    match parse(&source, &lookup) {
        Ok(_) => panic!("{} was accepted", path.display()),
        Err(errors) => errors.render(false).replace(env!("CARGO_MANIFEST_DIR"), "/srv"),
    }
}

#[test]
fn every_mistake_has_its_message() {
    let update = std::env::var_os("UPDATE_FIXTURES").is_some();
    // Relative, as someone would type it: tests start in the folder of the package.
    let mut paths: Vec<_> = fs::read_dir("tests/broken")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    paths.sort();
    assert!(paths.len() >= FEWEST, "only {} fixtures", paths.len());
    let mut differ = String::new();
    for path in paths {
        let expected = path.with_extension("txt");
        let got = report(&path);
        if update {
            fs::write(&expected, &got).unwrap();
        } else if fs::read_to_string(&expected).ok().as_deref() != Some(got.as_str()) {
            differ += &format!("--- {} should hold:\n{got}\n", expected.display());
        }
    }
    assert!(differ.is_empty(), "{differ}");
}

#[test]
fn colour_adds_only_escapes() {
    let source = Source::from_text(Path::new("tenement.toml"), "[servise.api]\n").unwrap();
    let errors = parse(&source, &|_| None).unwrap_err();
    let colored = errors.render(true);
    assert!(colored.contains("\x1b["));
    let mut plain = String::new();
    for (i, part) in colored.split("\x1b[").enumerate() {
        plain += if i == 0 { part } else { part.split_once('m').unwrap().1 };
    }
    assert_eq!(plain, errors.to_string());
}

#[test]
fn a_flood_of_mistakes_is_cut() {
    let text: String =
        (0..9_000).map(|n| format!("unknown{n} = \"{}\"\n", "x".repeat(400))).collect();
    let source = Source::from_text(Path::new("tenement.toml"), text).unwrap();
    let errors = parse(&source, &|_| None).unwrap_err();
    assert_eq!(errors.mistakes().len(), 9_000);
    assert!(errors.to_string().ends_with("9000 mistakes in tenement.toml, 8950 not shown\n"));
}
