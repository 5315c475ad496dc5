//! The table of keys as a JSON Schema (draft 2020-12), for editors. It refuses what is not
//! built yet, as parsing does, so that an editor never offers what ten then rejects.

use serde_json::{Map, Value, json};
use ten_domain::StopSignal;

use crate::keys::{Default, Key, Kind, ROOT, YEAR};

/// The schema of `tenement.toml`.
pub fn schema() -> Value {
    let mut schema = table(ROOT);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("tenement.toml");
    schema
}

fn table(keys: &[Key]) -> Value {
    let properties: Map<_, _> = keys
        .iter()
        .flat_map(|key| key.names().map(|name| (name.into(), property(key, name))))
        .collect();
    let required: Vec<_> = keys
        .iter()
        .filter(|key| matches!(key.default, Default::Required))
        .map(|key| key.name)
        .collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn property(key: &Key, name: &str) -> Value {
    let mut schema = kind(&key.kind);
    let mut doc = key.doc.to_string();
    if name != key.name {
        doc = format!("The same as `{}`. {doc}", key.name);
    }
    if !key.built {
        doc = format!("Not supported yet. {doc}");
        schema["not"] = json!({});
    }
    schema["description"] = doc.into();
    match key.default {
        Default::Required | Default::Absent => {}
        Default::Text(text) => schema["default"] = json!(text),
        Default::Number(number) => schema["default"] = json!(number),
        Default::Boolean(boolean) => schema["default"] = json!(boolean),
    }
    schema
}

fn kind(kind: &Kind) -> Value {
    match kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Integer { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Seconds { min } => json!({"type": "number", "minimum": min, "maximum": YEAR}),
        Kind::Word { words, .. } => json!({"enum": words}),
        Kind::Signal => {
            let short = StopSignal::names().filter_map(|name| name.strip_prefix("SIG"));
            json!({"enum": StopSignal::names().chain(short).collect::<Vec<_>>()})
        }
        Kind::User => json!({"type": ["string", "integer"], "minLength": 1, "minimum": 0}),
        Kind::Table(keys) => table(keys),
        Kind::Named(inner) => json!({"type": "object", "additionalProperties": self::kind(inner)}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_complete(keys: &[Key], schema: &Value) {
        for key in keys {
            for name in key.names() {
                let property = &schema["properties"][name];
                let description = property["description"].as_str();
                assert!(description.is_some_and(|text| text.contains(key.doc)), "{name}");
                assert_eq!(property.get("not").is_some(), !key.built, "{name}");
                match key.kind {
                    Kind::Table(inner) => assert_complete(inner, property),
                    Kind::Named(Kind::Table(inner)) => {
                        assert_complete(inner, &property["additionalProperties"]);
                    }
                    _ => {}
                }
            }
        }
        let count: usize = keys.iter().map(|key| key.names().count()).sum();
        assert_eq!(schema["properties"].as_object().unwrap().len(), count);
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn every_key_is_in_it_with_its_doc() {
        assert_complete(ROOT, &schema());
    }

    #[test]
    fn says_types_ranges_words_and_defaults() {
        let schema = schema();
        let service = &schema["properties"]["service"]["additionalProperties"];
        assert_eq!(service["required"], json!(["command"]));
        assert_eq!(service["properties"]["isolation"]["enum"], json!(["process", "namespace"]));
        assert_eq!(service["properties"]["startup_timeout"]["default"], 10);
        assert_eq!(service["properties"]["idle_timeout"]["minimum"], 0.0);
        assert_eq!(service["properties"]["cpu_shares"]["maximum"], 10_000);
    }
}
