//! The inputs of `http_desync_guardian` (github.com/aws/http-desync-guardian), read from the
//! crate's own files. `cargo xtask test` has cargo fetch them into `target/corpus/inputs`.
//!
//! The files are a small part of YAML: lists of `key: value` with three depths and quotes.

use std::{fs, path::Path};

use crate::echo::HOST;

/// A request head, piece by piece, as wrong as it is.
#[derive(Debug, Default, Clone)]
pub struct Input {
    /// File and name.
    pub name: String,
    /// What its authors say: `Compliant`, `Acceptable`, `Ambiguous` or `Severe`.
    pub tier: String,
    /// And why.
    pub reason: String,
    method: Vec<u8>,
    uri: Vec<u8>,
    version: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// All of them.
///
/// # Panics
///
/// When they have not been fetched, or hold something that this does not understand.
pub fn inputs() -> Vec<Input> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/corpus/inputs");
    let entries = fs::read_dir(&folder);
    let entries = entries.unwrap_or_else(|error| {
        panic!("{}: {error}: cargo xtask test fetches it", folder.display())
    });
    let paths = entries.map(|entry| entry.expect("the corpus").path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    paths.sort();
    let files = paths.iter().flat_map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        read(&name, &fs::read_to_string(path).expect("the corpus is text"))
    });
    files.collect()
}

impl Input {
    /// The head, for our host: one is put in where there is none, and one that names another
    /// host, and nothing else, is changed.
    pub fn head(&self) -> Vec<u8> {
        let mut head = [&self.method[..], b" ", &self.uri, b" ", &self.version, b"\r\n"].concat();
        if self.version.is_empty() {
            head = [&self.method[..], b" ", &self.uri, b"\r\n"].concat();
        }
        let hosts = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"host"));
        let host = format!("Host: {HOST}\r\n");
        if hosts.count() == 0 {
            head.extend_from_slice(host.as_bytes());
        }
        for (name, value) in &self.headers {
            let plain = value.iter().all(|b| b.is_ascii_alphanumeric() || b".-:".contains(b));
            if name == b"Host" && plain {
                head.extend_from_slice(host.as_bytes());
            } else {
                head.extend_from_slice(&[&name[..], b": ", value, b"\r\n"].concat());
            }
        }
        [&head[..], b"\r\n"].concat()
    }
}

fn read(file: &str, text: &str) -> Vec<Input> {
    let mut inputs: Vec<Input> = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let depth = line.len() - line.trim_start().len();
        let Some((key, value)) = pair(line) else { continue };
        if depth == 0 && key == "name" {
            let name = format!("{file}: {}", value.escape_ascii());
            inputs.push(Input { name, ..Input::default() });
            continue;
        }
        let input = inputs.last_mut().unwrap_or_else(|| panic!("{file}: {line:?} comes too early"));
        let text = || String::from_utf8_lossy(&value).into_owned();
        match (depth, key) {
            (2, "uri") => input.uri = value,
            (2, "method") => input.method = value,
            (2, "version") => input.version = value,
            (2, "headers" | "expected") => {}
            (4, "- name" | "name") => input.headers.push((value, Vec::new())),
            (6, "value") => input.headers.last_mut().expect("a header").1 = value,
            (6, "tier") | (4, "required_message_items") => {}
            (4, "tier") => input.tier = text(),
            (4, "reason") => input.reason = text(),
            _ => panic!("{file}: {line:?} is not understood"),
        }
    }
    inputs
}

/// Key and value of a line; none where it is an item of a list.
fn pair(line: &str) -> Option<(&str, Vec<u8>)> {
    let line = line.trim();
    let plain = line.strip_prefix("- ").unwrap_or(line);
    if plain.is_empty() || plain.starts_with(['"', '\'']) {
        return None;
    }
    let (key, value) = plain.split_once(':')?;
    Some((key.trim(), scalar(value.trim())))
}

fn scalar(text: &str) -> Vec<u8> {
    if let Some(quoted) = text.strip_prefix('"') {
        return unescaped(quoted.rsplit_once('"').map_or(quoted, |(inside, _)| inside));
    }
    if let Some(quoted) = text.strip_prefix('\'') {
        let inside = quoted.rsplit_once('\'').map_or(quoted, |(inside, _)| inside);
        return inside.replace("''", "'").into();
    }
    text.split(" #").next().unwrap_or_default().trim_end().into()
}

/// `\xNN` is that byte: the files write bytes, not characters.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'x') => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                let hex =
                    str::from_utf8(&hex).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                hex.unwrap_or_else(|| panic!("{text:?}: \\x without two digits"))
            }
            Some(other @ (b'"' | b'\\' | b'/')) => other,
            other => panic!("{text:?}: an unknown escape {other:?}"),
        });
    }
    bytes
}
