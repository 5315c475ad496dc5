//! What [`check`](super) says of the mistakes it finds.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeString, DeValue},
};

use crate::{
    keys::{self, Key, Kind},
    mistakes::Mistake,
    suggest,
};

/// Why nothing smaller happens instead of a feature that is not built.
pub(super) const NOTHING_WEAKER: &str = "nothing weaker is done in its place";

/// The path of a key in a table, without brackets.
pub(super) fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path}.{name}") }
}

pub(super) fn unknown(path: &str, keys: &'static [Key], name: &Spanned<DeString<'_>>) -> Mistake {
    let typed: &str = name.get_ref();
    let place = if path.is_empty() { "at the top level".into() } else { format!("in [{path}]") };
    let mistake = Mistake::at(name.span(), format!("unknown key `{typed}` {place}"));
    if let Some(near) = suggest::nearest(typed, keys.iter().flat_map(Key::names)) {
        return mistake.label(format!("did you mean `{near}`?"));
    }
    if let Some(home) = keys::home_of(typed) {
        return mistake.label("not here").help(format!("`{typed}` belongs in {home}"));
    }
    let built = keys.iter().filter(|key| key.built).map(|key| key.name);
    mistake.label("no such key").help(format!("allowed here: {}", suggest::all(built)))
}

pub(super) fn not_built(path: &str, key: &Key, span: Range<usize>) -> Mistake {
    let (what, all) = match key.kind {
        Kind::Table(_) => (format!("[{}]", below(path, key.name)), "the whole table"),
        _ => (format!("`{}`", key.name), "it"),
    };
    Mistake::at(span, format!("{what} is not supported yet"))
        .help(format!("remove {all}; {NOTHING_WEAKER}"))
}

pub(super) fn twice(key: &Key, first: Range<usize>, second: Range<usize>) -> Mistake {
    let alias = key.alias.expect("only a second spelling gets past the parser");
    Mistake::at(second, format!("`{}` and `{alias}` are one key, given twice", key.name))
        .label("given again here")
        .also(first, "given here")
        .help(format!("keep `{}`", key.name))
}

/// What must be there is not. `header` is the name of the table that lacks it.
pub(super) fn missing(path: &str, key: &Key, header: Range<usize>) -> Mistake {
    let doc = key.doc[..1].to_ascii_lowercase() + &key.doc[1..];
    Mistake::at(header, format!("[{path}] has no `{}`", key.name))
        .label(format!("`{}` is missing here", key.name))
        .help(format!("add {} = \"…\": {doc}", key.name))
}

/// `what` has another type than it may have.
pub(super) fn mistyped(
    what: &str,
    kind: &Kind,
    found: &DeValue<'_>,
    span: Range<usize>,
) -> Mistake {
    let called = match found {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    let mistake = Mistake::at(span, format!("{what} must be {}", kind.expected()))
        .label(format!("this is {called}"));
    match rewritten(kind, found) {
        Some(right) => mistake.help(format!("write {right}")),
        None => mistake,
    }
}

/// The mistake with the advice to write a table as a table.
pub(super) fn with_header(mistake: Mistake, kind: &Kind, path: &str) -> Mistake {
    let name = if matches!(kind, Kind::Named(Kind::Table(_))) { ".NAME" } else { "" };
    mistake.help(format!("write its keys below a header of their own: [{path}{name}]"))
}

/// The value as it was probably meant, as TOML.
fn rewritten(kind: &Kind, found: &DeValue<'_>) -> Option<String> {
    match (kind, found) {
        (Kind::Seconds { .. }, DeValue::String(text)) => in_seconds(text).map(|s| s.to_string()),
        (Kind::Integer { .. }, DeValue::String(text)) => {
            text.parse::<i64>().ok().map(|number| number.to_string())
        }
        (Kind::Boolean, DeValue::String(text)) => {
            text.parse::<bool>().ok().map(|boolean| format!("{boolean}, without quotes"))
        }
        (Kind::Texts, DeValue::String(text)) => {
            shell_words::split(text).ok().map(|words| format!("a list: {words:?}"))
        }
        (Kind::Text, DeValue::Integer(number)) => Some(format!("\"{number}\"")),
        (Kind::Text, DeValue::Float(number)) => Some(format!("\"{number}\"")),
        (Kind::Text, DeValue::Boolean(boolean)) => Some(format!("\"{boolean}\"")),
        _ => None,
    }
}

/// `5m` as people write it elsewhere, in seconds.
fn in_seconds(text: &str) -> Option<f64> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[number.len()..].trim() {
        "ms" => 0.001,
        "" | "s" | "sec" | "seconds" => 1.0,
        "m" | "min" | "minutes" => 60.0,
        "h" | "hours" => 3600.0,
        "d" | "days" => 86_400.0,
        _ => return None,
    };
    let number: f64 = number.trim().parse().ok()?;
    number.is_finite().then_some(number * unit)
}
