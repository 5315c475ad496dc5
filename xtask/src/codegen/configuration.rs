//! The reference of `tenement.toml`, from its JSON Schema: every key with its type, default
//! and meaning; keys that are not built yet in a list of their own.

use serde_json::Value;

/// What the schema does not say.
const HEAD: &str = include_str!("configuration.md");
/// How the schema marks a key that is known and refused.
const LATER: &str = "Not supported yet. ";

/// The page.
pub(crate) fn render() -> String {
    let schema = ten_config::schema();
    let tables = &schema["properties"];
    let mut page = HEAD.to_owned();
    let (settings, service) = (&tables["settings"], &tables["service"]["additionalProperties"]);
    page += &section("[settings]", settings);
    page += &section("[settings.proxy]", &settings["properties"]["proxy"]);
    page += &section("[settings.tls]", &settings["properties"]["tls"]);
    page += &section("[service.NAME]", service);
    page += &section("[service.NAME.asleep]", &service["properties"]["asleep"]);
    page += &section("[routing]", &tables["routing"]);
    let instances = description(&tables["instances"]);
    page += &format!("\n## `[instances]`\n\n{instances}\n");
    page
}

fn section(title: &str, table: &Value) -> String {
    let mut rows = String::new();
    let mut later = Vec::new();
    for (name, key) in table["properties"].as_object().into_iter().flatten() {
        match description(key).strip_prefix(LATER) {
            Some(_) => later.push(format!("`{name}`")),
            None => {
                let (kind, default) = (cell(&kind(key)), cell(&default(table, name, key)));
                rows += &format!("| `{name}` | {kind} | {default} | {} |\n", description(key));
            }
        }
    }
    let mut text =
        format!("\n## `{title}`\n\n| key | value | default | meaning |\n|---|---|---|---|\n{rows}");
    if !later.is_empty() {
        text += &format!("\nKnown, and refused because not built yet: {}.\n", later.join(", "));
    }
    text
}

fn description(key: &Value) -> &str {
    key["description"].as_str().unwrap_or_default()
}

fn kind(key: &Value) -> String {
    if let Some(words) = key["enum"].as_array() {
        let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
        return words.join(" ");
    }
    match key["type"].as_str() {
        Some("integer") => format!("{} to {}", key["minimum"], key["maximum"]),
        Some("number") => format!("seconds, from {}", trimmed(&key["minimum"])),
        Some("array") => "list of strings".into(),
        Some("boolean") => "true or false".into(),
        Some("object") if key.get("properties").is_some() => "table, below".into(),
        Some("object") => match &key["additionalProperties"] {
            number if number["type"] == "integer" => format!("table of numbers, {}", kind(number)),
            _ => "table of strings".into(),
        },
        _ => "string".into(),
    }
}

fn default(table: &Value, name: &str, key: &Value) -> String {
    let required = table["required"].as_array().is_some_and(|all| all.iter().any(|k| k == name));
    match key.get("default") {
        Some(default) => format!("`{}`", trimmed(default)),
        None if required => "required".into(),
        None => String::new(),
    }
}

/// Without the `.0` of a whole number.
fn trimmed(value: &Value) -> String {
    let text = value.to_string();
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

/// A `|` would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
