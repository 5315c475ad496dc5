//! `cargo xtask tidy`: rules of the house that a machine can check. Also run as a test.
//!
//! A file per kind of rule. Each reads the tree and reports; none changes anything, and each
//! finding says why the rule is there or what to do.

mod docs;
mod files;
mod layers;
mod licences;
mod waits;
mod words;

use std::fmt;

use crate::{
    codegen::{self, Generated},
    failure::Failure,
    tree::Tree,
};

/// A rule that does not hold, and where.
#[derive(Debug)]
pub(crate) struct Finding {
    path: String,
    line: Option<usize>,
    what: String,
}

impl Finding {
    fn file(path: &str, what: impl fmt::Display) -> Self {
        Self { path: path.into(), line: None, what: what.to_string() }
    }

    fn line(path: &str, line: usize, what: impl fmt::Display) -> Self {
        Self { path: path.into(), line: Some(line), what: what.to_string() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.what),
            None => write!(f, "{}: {}", self.path, self.what),
        }
    }
}

pub(crate) fn run() -> Result<(), Failure> {
    let tree = Tree::read()?;
    let mut findings = Vec::new();
    findings.extend(layers::check(&tree)?);
    findings.extend(files::check(&tree));
    findings.extend(words::check(&tree));
    findings.extend(waits::check(&tree));
    findings.extend(docs::check(&tree));
    findings.extend(generated(&tree));
    findings.extend(licences::check()?);
    if findings.is_empty() {
        println!("tidy: {} files", tree.files.len());
        return Ok(());
    }
    let lines: Vec<_> = findings.iter().map(Finding::to_string).collect();
    Err(Failure::new(format!("{} findings", lines.len())).with(lines.join("\n")))
}

/// Generated files are what their generators would write.
fn generated(tree: &Tree) -> Vec<Finding> {
    let differs =
        |(path, render): &Generated| tree.file(path).is_none_or(|file| file.text != render());
    let stale = codegen::GENERATED.iter().filter(|generated| differs(generated));
    stale.map(|(path, _)| Finding::file(path, "is out of date: cargo xtask codegen")).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tree_is_tidy() {
        if let Err(failure) = super::run() {
            failure.report();
            panic!("the tree is not tidy; the findings are above");
        }
    }
}
