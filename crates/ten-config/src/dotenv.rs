//! `env_file`: one `NAME=value` a line, as dotenv files are usually written.
//!
//! ```text
//! # comment             export NAME=value     NAME=value # comment
//! NAME='as it is'       NAME="with \n \t \r \" \\ \$"
//! ```
//!
//! Values are literal: nothing in them is expanded. A quoted value ends on its line. Of two
//! lines with one name the last counts. Messages never show a value: it may be a secret.

use crate::template::is_variable_name;

/// A line that is none of these.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    /// From 1.
    pub(crate) line: usize,
    /// What is wrong, to follow "line 3".
    pub(crate) why: String,
}

/// All variables of the file, else every bad line.
pub(crate) fn parse(text: &str) -> Result<Vec<(String, String)>, Vec<BadLine>> {
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut bad = Vec::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        match parse_line(line.trim()) {
            Ok(None) => {}
            Ok(Some((name, value))) => {
                variables.retain(|(other, _)| *other != name);
                variables.push((name, value));
            }
            Err(why) => bad.push(BadLine { line: number + 1, why }),
        }
    }
    if bad.is_empty() { Ok(variables) } else { Err(bad) }
}

fn parse_line(line: &str) -> Result<Option<(String, String)>, String> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=').ok_or("has no `=`")?;
    let name = name.trim();
    if !is_variable_name(name) {
        return Err(format!("has the name {name:?}; a name has letters, digits and `_`"));
    }
    if value.contains('\0') {
        return Err("contains a NUL character".into());
    }
    let quoted = value.trim_start();
    let value = match quoted.chars().next() {
        Some('\'') => single_quoted(&quoted[1..])?,
        Some('"') => double_quoted(&quoted[1..])?,
        _ => value.split_once(" #").map_or(value, |(value, _)| value).trim().into(),
    };
    Ok(Some((name.into(), value)))
}

fn single_quoted(rest: &str) -> Result<String, String> {
    let (value, after) = rest.split_once('\'').ok_or("has no closing `'`")?;
    nothing_follows(after)?;
    Ok(value.into())
}

fn double_quoted(rest: &str) -> Result<String, String> {
    let mut value = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next() {
            None => return Err("has no closing `\"`".into()),
            Some('"') => break,
            Some('\\') => match chars.next() {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some(same @ ('"' | '\\' | '$' | '\'')) => value.push(same),
                // As in a shell, a backslash before anything else is a backslash.
                Some(other) => value.extend(['\\', other]),
                None => return Err("has no closing `\"`".into()),
            },
            Some(other) => value.push(other),
        }
    }
    nothing_follows(chars.as_str())?;
    Ok(value)
}

fn nothing_follows(after: &str) -> Result<(), String> {
    match after.trim_start() {
        rest if rest.is_empty() || rest.starts_with('#') => Ok(()),
        _ => Err("goes on after the closing quote".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_dotenv_files_hold() {
        let text = "# c\n\nA=1\nexport B = two words \nC='$x # \"'\r\nD=\"a\\n\\\"b\\\" \\d\" # c\n\
                    E=a#b # c\nF=\nG={id}\nH= # c\nA=2";
        let want = [
            ("B", "two words"),
            ("C", "$x # \""),
            ("D", "a\n\"b\" \\d"),
            ("E", "a#b"),
            ("F", ""),
            ("G", "{id}"),
            ("H", ""),
            ("A", "2"),
        ];
        let want: Vec<_> = want.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        assert_eq!(parse(text), Ok(want));
    }

    #[test]
    fn counts_bad_lines_and_shows_no_value() {
        let text = "A=1\nsecret\n1B=secret\nC='secret\nD=\"secret\nE='a' secret\nF=sec\0ret";
        let bad = parse(text).unwrap_err();
        assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7]);
        assert!(bad.iter().all(|bad| !bad.why.contains("sec")), "{bad:?}");
    }
}
