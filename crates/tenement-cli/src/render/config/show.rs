//! Everything that is in force, defaults included, under the names of its keys.
//!
//! ```text
//! Config → tables of keys and values ─┬─► text: one line a key, what is empty left out
//!                                     └─► JSON: shaped as the file, in its units
//! ```
//!
//! Of the environment only the names: the values are secrets as often as not.

use std::{fmt::Write, path::Path, time::Duration};

use serde_json::{Map, json};
use ten_domain::Config;

use super::{super::visible, service, settings};

/// Columns of the keys; the longest has 25.
const KEY: usize = 26;

/// What a key has.
pub(super) enum Value {
    Text(String),
    List(Vec<String>),
    Count(u64),
    Flag(bool),
    Seconds(Duration),
    /// Seconds in the file, where 0 stands for none.
    SecondsOrNever(Option<Duration>),
}

/// The keys below one header.
pub(super) struct Table {
    /// The words of the header.
    pub(super) path: Vec<String>,
    pub(super) rows: Vec<(String, Value)>,
}

impl Table {
    pub(super) fn new(path: &[&str]) -> Self {
        let path = path.iter().map(|word| (*word).to_owned()).collect();
        Self { path, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, key: &str, value: impl Into<Value>) {
        self.rows.push((key.to_owned(), value.into()));
    }

    /// A key that is absent where it has no value.
    pub(super) fn row_given(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.row(key, value);
        }
    }
}

/// For people.
pub(crate) fn show(path: &Path, config: &Config) -> String {
    let mut text = format!("# {}\n", path.display());
    for table in tables(config) {
        writeln!(text, "\n[{}]", table.path.join(".")).expect("a String takes all");
        for (key, value) in &table.rows {
            if let Some(value) = value.text() {
                let (key, value) = (visible(key), visible(&value));
                writeln!(text, "{key:<KEY$} {value}").expect("a String takes all");
            }
        }
    }
    text
}

/// For programs.
pub(crate) fn show_json(path: &Path, config: &Config) -> serde_json::Value {
    let mut root = json!({ "path": path.display().to_string() });
    for table in tables(config) {
        let below = table.path.iter().fold(&mut root, |at, word| &mut at[word.as_str()]);
        let rows: Map<_, _> =
            table.rows.into_iter().map(|(key, value)| (key, value.json())).collect();
        *below = rows.into();
    }
    root
}

/// In the order of the file; a table comes before those below it.
fn tables(config: &Config) -> Vec<Table> {
    let mut tables = settings::tables(&config.settings);
    for spec in config.services.values() {
        tables.extend(service::tables(spec));
    }
    tables.extend(instances(config));
    tables.extend(routing(config));
    tables
}

fn instances(config: &Config) -> Option<Table> {
    let mut table = Table::new(&["instances"]);
    for instance in &config.instances {
        let service = instance.service.to_string();
        let id = instance.id.to_string();
        match table.rows.iter_mut().find(|(key, _)| *key == service) {
            Some((_, Value::List(ids))) => ids.push(id),
            _ => table.row(&service, vec![id]),
        }
    }
    (!table.rows.is_empty()).then_some(table)
}

fn routing(config: &Config) -> Vec<Table> {
    let routing = &config.routing;
    let mut top = Table::new(&["routing"]);
    top.row_given("default", routing.default.as_ref().map(ToString::to_string));
    let below = [("subdomain", &routing.subdomain), ("path", &routing.path)];
    let below = below.map(|(name, places)| {
        let rows = places.iter().map(|(from, to)| (from.clone(), to.to_string().into()));
        Table { rows: rows.collect(), ..Table::new(&["routing", name]) }
    });
    std::iter::once(top).chain(below).filter(|table| !table.rows.is_empty()).collect()
}

impl Value {
    /// On one line; `None`: there is nothing to show.
    fn text(&self) -> Option<String> {
        Some(match self {
            Self::Text(text) => text.clone(),
            Self::List(items) if items.is_empty() => return None,
            Self::List(items) => {
                items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(" ")
            }
            Self::Count(count) => count.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Seconds(time) => format!("{}s", time.as_secs_f64()),
            Self::SecondsOrNever(Some(time)) => format!("{}s", time.as_secs_f64()),
            Self::SecondsOrNever(None) => "never".to_owned(),
        })
    }

    fn json(self) -> serde_json::Value {
        match self {
            Self::Text(text) => text.into(),
            Self::List(items) => items.into(),
            Self::Count(count) => count.into(),
            Self::Flag(flag) => flag.into(),
            Self::Seconds(time) => seconds(time),
            Self::SecondsOrNever(time) => seconds(time.unwrap_or_default()),
        }
    }
}

/// Whole where they are.
fn seconds(time: Duration) -> serde_json::Value {
    if time.subsec_nanos() == 0 { time.as_secs().into() } else { time.as_secs_f64().into() }
}

/// In quotes where a reader could not tell where it begins and ends.
fn quoted(item: &str) -> String {
    let plain = !item.is_empty() && !item.contains(|c: char| c.is_whitespace() || c == '"');
    if plain { item.to_owned() } else { format!("{item:?}") }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<String>> for Value {
    fn from(items: Vec<String>) -> Self {
        Self::List(items)
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<u32> for Value {
    fn from(count: u32) -> Self {
        Self::Count(count.into())
    }
}

impl From<u16> for Value {
    fn from(count: u16) -> Self {
        Self::Count(count.into())
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<Duration> for Value {
    fn from(time: Duration) -> Self {
        Self::Seconds(time)
    }
}
