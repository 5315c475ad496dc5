//! `[service.NAME.env]`, `env_file` and `env_pass`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use ten_domain::{EnvPattern, Template, Variable};

use super::Meaning;
use crate::{
    dotenv,
    mistakes::Mistake,
    template::is_variable_name,
    typed::{Section, Text, Typed},
};

/// Largest dotenv file that is read: the kernel gives a program at most this much environment
/// (a quarter of the usual 8 MiB stack, execve(2)).
const MAX_ENV_FILE: u64 = 2 * 1024 * 1024;

/// Where an instance is reached and what it is called is ten's to say: with another value it
/// would listen where nobody asks.
const RESERVED: [&str; 5] =
    ["PORT", "SOCKET_PATH", "TENEMENT_INSTANCE", "LISTEN_FDS", "LISTEN_PID"];

/// Both sources of variables; `env` wins. Sorted by name.
pub(super) fn env(m: &mut Meaning<'_>, section: &Section) -> Vec<(String, Template)> {
    let mut variables = BTreeMap::new();
    if let Some(text) = section.text("env_file") {
        let literals = env_file(m, text).into_iter();
        variables.extend(literals.map(|(name, value)| (name, Template::literal(value))));
    }
    for (name, value) in section.named("env") {
        let valid = is_name(m, name);
        let Some(Typed::Text(text)) = value else { continue };
        if let Some(template) = m.template(&name.value, text, &Variable::ALL).filter(|_| valid) {
            variables.insert(name.value.clone(), template);
        }
    }
    variables.into_iter().collect()
}

fn is_name(m: &mut Meaning<'_>, name: &Text) -> bool {
    let at = name.span.clone();
    m.mistakes.push(if RESERVED.contains(&name.value.as_str()) {
        Mistake::at(at, format!("`{}` is set by tenement itself", name.value))
            .help("remove it; each instance gets its own value")
    } else if !is_variable_name(&name.value) {
        Mistake::at(at, format!("{:?} cannot be the name of a variable", name.value))
            .help("a name has letters, digits and `_`, and starts with no digit")
    } else {
        return true;
    });
    false
}

fn env_file(m: &mut Meaning<'_>, text: &Text) -> Vec<(String, String)> {
    let Some(path) = m.path("env_file", text) else { return Vec::new() };
    let at = text.span.clone();
    let content = match read(&path) {
        Ok(content) => content,
        Err(error) => {
            let help = match error.kind() {
                io::ErrorKind::NotFound => format!("create {}, or remove it", path.display()),
                _ => format!("it is looked for at {}", path.display()),
            };
            let title = format!("cannot read env_file {:?}: {}", text.value, why(&error));
            m.mistakes.push(Mistake::at(at, title).help(help));
            return Vec::new();
        }
    };
    let variables = match dotenv::parse(&content) {
        Ok(variables) => variables,
        Err(bad) => {
            m.mistakes.extend(bad.into_iter().map(|bad| {
                let title = format!("line {} of {:?} {}", bad.line, text.value, bad.why);
                Mistake::at(at.clone(), title).help("each line is NAME=value or # a comment")
            }));
            return Vec::new();
        }
    };
    for (name, _) in &variables {
        if RESERVED.contains(&name.as_str()) {
            let title = format!("{:?} sets `{name}`, which tenement itself sets", text.value);
            m.mistakes.push(
                Mistake::at(at.clone(), title)
                    .help("remove it from the file; each instance gets its own value"),
            );
        }
    }
    variables
}

fn read(path: &Path) -> io::Result<String> {
    // Asked before opening: opening a FIFO would wait for its writer.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    File::open(path)?.take(MAX_ENV_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_ENV_FILE {
        return Err(io::Error::other("it is larger than 2 MiB"));
    }
    Ok(text)
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it does not exist".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::InvalidData => "it is not UTF-8 text".into(),
        _ => error.to_string(),
    }
}

pub(super) fn env_pass(m: &mut Meaning<'_>, section: &Section) -> Vec<EnvPattern> {
    let texts = section.texts("env_pass").unwrap_or_default();
    texts.iter().filter_map(|text| pattern(m, text)).collect()
}

fn pattern(m: &mut Meaning<'_>, text: &Text) -> Option<EnvPattern> {
    match text.value.strip_suffix('*') {
        None if is_variable_name(&text.value) => return Some(EnvPattern::Name(text.value.clone())),
        Some(prefix) if is_variable_name(prefix) => return Some(EnvPattern::Prefix(prefix.into())),
        _ => {}
    }
    m.mistakes.push(
        Mistake::at(text.span.clone(), format!("`env_pass` cannot pass {:?}", text.value))
            .help("name a variable (\"NAME\") or the start of several (\"PREFIX_*\")"),
    );
    None
}
