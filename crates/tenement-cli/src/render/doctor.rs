//! What `ten doctor` found: a line for each thing, and how to fix what is missing.
//!
//! ```text
//! isolation
//!   ok       namespace     a trial start behind these walls worked, as root
//!   missing  sandbox       runsc is in no folder of PATH; no level uses it yet
//!                     fix  install gVisor: …
//! ```

use std::fmt::Write;

use serde_json::{Value, json};
use ten_runtime::doctor::{Check, Group, Verdict};

use super::{BAD, FAINT, GOOD, WARN, visible};

/// Columns before the name.
const VERDICT: usize = 11;
/// Words are broken into lines no narrower than this.
const MIN_DETAIL: usize = 24;

/// For people.
pub(crate) fn text(groups: &[Group], width: Option<usize>) -> String {
    let checks = || groups.iter().flat_map(|group| &group.checks);
    let names = checks().map(|check| visible(&check.name).chars().count()).max().unwrap_or(0);
    let indent = VERDICT + names + 2;
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(MIN_DETAIL));
    let mut text = String::new();
    for group in groups.iter().filter(|group| !group.checks.is_empty()) {
        let gap = if text.is_empty() { "" } else { "\n" };
        let bold = anstyle::Style::new().bold();
        writeln!(text, "{gap}{bold}{}{bold:#}", group.name).expect("a String takes all");
        let mut above = None;
        for check in &group.checks {
            text += &one(check, above, names, room);
            above = Some(check);
        }
    }
    text
}

fn one(check: &Check, above: Option<&Check>, names: usize, room: usize) -> String {
    let (word, style) = match &check.verdict {
        Verdict::Works => ("ok", GOOD),
        Verdict::Missing { needed_by: None, .. } => ("missing", WARN),
        Verdict::Missing { needed_by: Some(_), .. } => ("missing", BAD),
    };
    let name = visible(&check.name);
    let label = format!("  {style}{word:<7}{style:#}  {name:<names$}  ");
    let mut text = hang(&label, names, room, &check.detail);
    if let Verdict::Missing { needed_by, .. } = &check.verdict {
        // A service is needed by itself.
        let needed_by = needed_by.as_deref().filter(|who| *who != check.name);
        let fix = fix(check).map(|fix| match above.and_then(self::fix) {
            Some(same) if same == fix => "as above",
            _ => fix,
        });
        for (label, said) in [("needed by", needed_by), ("fix", fix)] {
            let label = format!("{:VERDICT$}{FAINT}{label:>names$}{FAINT:#}  ", "");
            text += &said.map(|said| hang(&label, names, room, said)).unwrap_or_default();
        }
    }
    text
}

fn fix(check: &Check) -> Option<&str> {
    match &check.verdict {
        Verdict::Works => None,
        Verdict::Missing { fix, .. } => fix.as_deref(),
    }
}

/// A label of `VERDICT + names + 2` columns, and beside it text in lines of `room` columns.
fn hang(label: &str, names: usize, room: usize, text: &str) -> String {
    let indent = " ".repeat(VERDICT + names + 2);
    let lines = lines(&visible(text), room);
    let line =
        |(i, line): (usize, &String)| format!("{}{line}\n", if i == 0 { label } else { &indent });
    lines.iter().enumerate().map(line).collect()
}

/// Words into lines of at most `room` columns; longer words stand alone.
fn lines(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= room {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// For programs.
pub(crate) fn json(groups: &[Group]) -> Value {
    let check = |check: &Check| {
        let (ok, needed_by) = match &check.verdict {
            Verdict::Works => (true, None),
            Verdict::Missing { needed_by, .. } => (false, needed_by.as_deref()),
        };
        let (Check { name, detail, .. }, fix) = (check, fix(check));
        json!({ "name": name, "ok": ok, "detail": detail, "fix": fix, "needed_by": needed_by })
    };
    let group = |group: &Group| {
        let checks: Vec<_> = group.checks.iter().map(check).collect();
        json!({ "name": group.name, "checks": checks })
    };
    let groups: Vec<_> = groups.iter().map(group).collect();
    json!({ "groups": groups })
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    fn groups() -> Vec<Group> {
        let check = |name: &str, verdict, detail: &str| Check {
            name: name.to_owned(),
            verdict,
            detail: detail.to_owned(),
        };
        let missing = Verdict::Missing {
            fix: Some("run it as root, or so".to_owned()),
            needed_by: Some("api, web".to_owned()),
        };
        let kernel = vec![
            check("seccomp", Verdict::Works, "filters can refuse"),
            check("cgroup memory", missing, "none\x1b"),
        ];
        vec![
            Group { name: "kernel", checks: kernel },
            Group { name: "services", checks: Vec::new() },
        ]
    }

    #[test]
    fn a_line_for_each_and_the_fix_below() {
        let text = strip_str(&text(&groups(), Some(52))).to_string();
        let want = "\
kernel
  ok       seccomp        filters can refuse
  missing  cgroup memory  none\u{241b}
               needed by  api, web
                     fix  run it as root, or so
";
        assert_eq!(text, want);
    }

    #[test]
    fn words_are_kept_whole() {
        assert_eq!(lines("a bc d", 4), ["a bc", "d"]);
        assert_eq!(lines("abcdef g", 4), ["abcdef", "g"]);
        assert_eq!(lines("", 4), [""]);
    }

    #[test]
    fn programs_read_the_same() {
        let json = json(&groups());
        let check = &json["groups"][0]["checks"][1];
        assert_eq!((&check["ok"], &check["needed_by"]), (&json!(false), &json!("api, web")));
        assert_eq!(json["groups"][0]["checks"][0]["fix"], Value::Null);
    }
}
