//! What is said over the machine's serial console, said and understood in one place.

/// Begins every line that is about a case.
const MARK: &str = "@machine";

/// Where nothing more will be said.
pub(crate) const END: &str = "@machine over";

/// What became of one case.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) passed: bool,
    pub(crate) output: String,
}

pub(crate) fn begins(name: &str) -> String {
    format!("{MARK} begins {name}")
}

pub(crate) fn ended(name: &str, passed: bool) -> String {
    format!("{MARK} {} {name}", if passed { "passed" } else { "failed" })
}

/// Finds a case in all that was said. One that never ended did not pass, and what came
/// after it is its output.
pub(crate) fn case(said: &str, name: &str) -> Outcome {
    let lines = || said.lines().map(|line| line.trim_end_matches('\r'));
    let (begins, passed, failed) = (begins(name), ended(name, true), ended(name, false));
    let ends = |line: &&str| *line == passed || *line == failed;
    let from = match lines().any(|line| line == begins) {
        true => begins.as_str(),
        // The machine did not get that far; all it said is why.
        false => return Outcome { passed: false, output: said.into() },
    };
    let after = || lines().skip_while(|line| *line != from).skip(1);
    Outcome {
        passed: after().any(|line| line == passed),
        output: after().take_while(|line| !ends(line)).collect::<Vec<_>>().join("\n"),
    }
}
