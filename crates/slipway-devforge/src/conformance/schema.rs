//! From OpenAPI 3.0 and Swagger 2.0 to JSON Schema.
//!
//! Both are dialects of an old draft: `nullable` is no keyword of JSON Schema, and references point
//! into a document of many megabytes. [`closed`] makes a schema that stands alone: the part asked
//! for, with everything it refers to and nothing else.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// A draft-07 schema for `root` with all that it refers to inside `document`.
pub(super) fn closed(document: &Value, root: &Value) -> Value {
    let mut wanted = Vec::new();
    let converted = convert(root, &mut wanted);
    let mut schema = json!({ "$schema": "http://json-schema.org/draft-07/schema#", "allOf": [converted] });
    let mut done = BTreeSet::new();
    while let Some(pointer) = wanted.pop() {
        if !done.insert(pointer.clone()) {
            continue;
        }
        if let Some(target) = document.pointer(&pointer) {
            let target = convert(target, &mut wanted);
            insert(&mut schema, &pointer, target);
        }
    }
    schema
}

/// Puts `value` at a JSON pointer, making the objects on the way.
pub(super) fn insert(schema: &mut Value, pointer: &str, value: Value) {
    let mut at = schema;
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[part];
    }
    *at = value;
}

/// Rewrites one schema and notes which references it makes.
fn convert(schema: &Value, wanted: &mut Vec<String>) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(|item| convert(item, wanted)).collect(),
        Value::Object(map) => convert_object(map, wanted),
        other => other.clone(),
    }
}

/// Keywords that hold data or prose, not schemas.
const NOT_SCHEMAS: &[&str] = &[
    "example",
    "examples",
    "description",
    "title",
    "default",
    "discriminator",
    "externalDocs",
    "xml",
    "nullable",
];

fn convert_object(map: &Map<String, Value>, wanted: &mut Vec<String>) -> Value {
    if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
        wanted.push(reference.trim_start_matches('#').to_owned());
        return json!({ "$ref": reference });
    }
    let nullable = map.get("nullable") == Some(&Value::Bool(true));
    let mut out = Map::new();
    for (key, value) in map {
        // A property may well be called `title` or `example`: its value then is a schema all the same.
        let converted = match key.as_str() {
            "properties" | "patternProperties" | "definitions" => {
                let named = value.as_object().into_iter().flatten();
                Value::Object(
                    named
                        .map(|(name, schema)| (name.clone(), convert(schema, wanted)))
                        .collect(),
                )
            }
            "enum" | "required" | "const" => value.clone(),
            key if NOT_SCHEMAS.contains(&key) || key.starts_with("x-") => continue,
            _ => convert(value, wanted),
        };
        out.insert(key.clone(), converted);
    }
    if !nullable {
        return Value::Object(out);
    }
    json!({ "anyOf": [{ "type": "null" }, out] })
}
