//! The documents: loaded once per process, validators compiled once per use.
//!
//! GitHub's description is 13 MB of JSON, and a test runner starts a process per test: the part
//! that is served here is cut out once and kept in the system's temporary directory, named by the
//! original's path, size and time.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::{Descriptions, Subject, by_hand, schema};
use crate::error::{DevForgeError, Result};
use crate::people::Kind;
use crate::secrets::lock;

/// What the check says about one route and status, or one payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every body fits the description.
    Ok,
    /// What does not fit, each with the place in the body.
    Violations(Vec<String>),
    /// The description does not say.
    NotDescribed,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::NotDescribed => f.write_str("not described"),
            Self::Violations(all) => write!(f, "violations: {}", all.join("; ")),
        }
    }
}

/// Judges all bodies seen for a subject.
pub(super) fn judge(descriptions: &Descriptions, subject: &Subject, bodies: &[Vec<u8>]) -> Result<Verdict> {
    match expected(descriptions, subject)? {
        Expected::Unknown => Ok(Verdict::NotDescribed),
        Expected::Wrong(why) => Ok(Verdict::Violations(vec![why])),
        Expected::Empty => {
            let empty = bodies.iter().all(Vec::is_empty);
            Ok(if empty {
                Verdict::Ok
            } else {
                Verdict::Violations(vec!["a body where none belongs".to_owned()])
            })
        }
        Expected::Like(validator) => Ok(compare(&validator, bodies)),
    }
}

fn compare(validator: &Validator, bodies: &[Vec<u8>]) -> Verdict {
    let mut all = Vec::new();
    for body in bodies {
        match serde_json::from_slice::<Value>(body) {
            Err(error) => all.push(format!("not JSON: {error}")),
            Ok(value) => {
                let errors = validator.iter_errors(&value);
                all.extend(errors.map(|error| format!("at {}: {error}", error.instance_path())));
            }
        }
    }
    all.sort();
    all.dedup();
    for line in &mut all {
        if let Some((end, _)) = line.char_indices().nth(400) {
            line.truncate(end);
            line.push('…');
        }
    }
    if all.is_empty() {
        Verdict::Ok
    } else {
        Verdict::Violations(all)
    }
}

enum Expected {
    Like(Arc<Validator>),
    Empty,
    Unknown,
    Wrong(String),
}

fn expected(descriptions: &Descriptions, subject: &Subject) -> Result<Expected> {
    match subject {
        Subject::Payload {
            kind: Kind::GitHub,
            event,
            action,
        } => {
            let document = document(&descriptions.github_webhooks, false)?;
            let name = match action {
                Some(action) => format!("{event}${action}"),
                None => format!("{event}$event"),
            };
            let root = json!({ "$ref": format!("#/definitions/{name}") });
            if document.pointer(&format!("/definitions/{name}")).is_none() {
                return Ok(Expected::Unknown);
            }
            like(&document, &format!("webhook {name}"), &root)
        }
        Subject::Payload {
            kind: Kind::Bitbucket,
            event,
            ..
        } => {
            let document = document(&descriptions.bitbucket_api, false)?;
            match by_hand::bitbucket_payload(event) {
                Some(root) => like(&document, &format!("webhook {event}"), &root),
                None => Ok(Expected::Unknown),
            }
        }
        Subject::Answer {
            kind,
            method,
            template,
            status,
        } => {
            let document = match kind {
                Kind::GitHub => document(&descriptions.github_api, true)?,
                Kind::Bitbucket => document(&descriptions.bitbucket_api, false)?,
            };
            answer(&document, *kind, method, template, *status)
        }
    }
}

fn answer(document: &Value, kind: Kind, method: &str, template: &str, status: u16) -> Result<Expected> {
    let key = format!("{} {method} {template} {status}", kind.as_str());
    if let Some(root) = by_hand::answer(kind, method, template, status) {
        return like(document, &key, &root);
    }
    let path = by_hand::described_as(kind, template);
    let operation = document
        .get("paths")
        .and_then(|paths| paths.get(path)?.get(method.to_ascii_lowercase()));
    let Some(operation) = operation else {
        return undescribed(document, kind, &key, status, false);
    };
    let response = operation.pointer(&format!("/responses/{status}"));
    let Some(response) = response.map(|response| resolved(document, response)) else {
        return undescribed(document, kind, &key, status, true);
    };
    let schema = match kind {
        Kind::GitHub => response.pointer("/content/application~1json/schema"),
        Kind::Bitbucket => response.get("schema"),
    };
    match schema {
        Some(schema) => like(document, &key, schema),
        None => Ok(Expected::Empty),
    }
}

/// A status the operation does not list. A success must be listed; an error must at least look
/// like the vendor's errors, but does not count as covering the route.
fn undescribed(
    document: &Value,
    kind: Kind,
    key: &str,
    status: u16,
    operation_known: bool,
) -> Result<Expected> {
    if status < 400 {
        return Ok(if operation_known && status != 304 {
            Expected::Wrong(format!("status {status} is not described"))
        } else {
            Expected::Unknown
        });
    }
    if !operation_known {
        return Ok(Expected::Unknown);
    }
    let root = match kind {
        Kind::GitHub => json!({ "$ref": "#/components/schemas/basic-error" }),
        Kind::Bitbucket => json!({ "$ref": "#/definitions/error" }),
    };
    like(document, key, &root)
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let reference = value.get("$ref").and_then(Value::as_str);
    reference
        .and_then(|pointer| document.pointer(pointer.trim_start_matches('#')))
        .unwrap_or(value)
}

/// By document and by what is validated.
type Compiled = HashMap<(usize, String), Arc<Validator>>;

fn like(document: &Value, key: &str, root: &Value) -> Result<Expected> {
    // Documents are loaded once and never dropped, so their address tells them apart.
    static COMPILED: OnceLock<Mutex<Compiled>> = OnceLock::new();
    let place = (std::ptr::from_ref(document).addr(), key.to_owned());
    let compiled = COMPILED.get_or_init(Mutex::default);
    if let Some(known) = lock(compiled).get(&place) {
        return Ok(Expected::Like(known.clone()));
    }
    let schema = schema::closed(document, root);
    let validator = jsonschema::options().should_validate_formats(true).build(&schema);
    let validator = Arc::new(validator.map_err(|error| DevForgeError::Description {
        path: PathBuf::from(key),
        reason: error.to_string(),
    })?);
    lock(compiled).insert(place, validator.clone());
    Ok(Expected::Like(validator))
}

/// A document, parsed once per process.
fn document(path: &Path, cut: bool) -> Result<Arc<Value>> {
    static LOADED: OnceLock<Mutex<HashMap<PathBuf, Arc<Value>>>> = OnceLock::new();
    let loaded = LOADED.get_or_init(Mutex::default);
    let mut loaded = lock(loaded);
    if let Some(known) = loaded.get(path) {
        return Ok(known.clone());
    }
    let document = Arc::new(if cut { load_cut(path)? } else { parse(path)? });
    loaded.insert(path.to_owned(), document.clone());
    Ok(document)
}

fn parse(path: &Path) -> Result<Value> {
    let unusable = |reason: String| DevForgeError::Description {
        path: path.to_owned(),
        reason,
    };
    let text = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))
}

/// Parts of the API that are served here, by how their templates begin.
const SERVED: &[&str] = &[
    "/user",
    "/orgs/{org}/repos",
    "/repos/{owner}/{repo}",
    "/applications/{client_id}/",
    "/meta",
    "/app",
    "/app-manifests/{code}",
];

fn load_cut(path: &Path) -> Result<Value> {
    let kept = cut_path(path)?;
    if let Ok(cut) = parse(&kept) {
        return Ok(cut);
    }
    let cut = cut_out(&parse(path)?);
    // Kept for the next process; without it each parses the whole again, which is only slow.
    let own = kept.with_extension(std::process::id().to_string());
    if std::fs::write(&own, cut.to_string())
        .and_then(|()| std::fs::rename(&own, &kept))
        .is_err()
    {
        tracing::debug!(path = %kept.display(), "cannot keep the cut description");
    }
    Ok(cut)
}

fn cut_path(path: &Path) -> Result<PathBuf> {
    let metadata = std::fs::metadata(path).map_err(DevForgeError::file(path))?;
    let mut hasher = DefaultHasher::new();
    (path, metadata.len(), metadata.modified().ok(), SERVED).hash(&mut hasher);
    Ok(std::env::temp_dir().join(format!("slipway-devforge-github-{:016x}.json", hasher.finish())))
}

/// The served operations' responses, with every component they reach.
fn cut_out(document: &Value) -> Value {
    let served = |template: &str| {
        SERVED.iter().any(|start| match template.strip_prefix(start) {
            Some(rest) => rest.is_empty() || rest.starts_with('/') || start.ends_with('/'),
            None => false,
        })
    };
    let mut cut = json!({ "paths": {} });
    let paths = document.get("paths").and_then(Value::as_object);
    let mut wanted = vec!["/components/schemas/basic-error".to_owned()];
    for (template, operations) in paths
        .into_iter()
        .flatten()
        .filter(|(template, _)| served(template))
    {
        let mut kept = Map::new();
        for (method, operation) in operations.as_object().into_iter().flatten() {
            if let Some(responses) = operation.get("responses") {
                references(responses, &mut wanted);
                kept.insert(method.clone(), json!({ "responses": responses }));
            }
        }
        cut["paths"][template] = Value::Object(kept);
    }
    let mut done = std::collections::BTreeSet::new();
    while let Some(pointer) = wanted.pop() {
        if let Some(target) = document
            .pointer(&pointer)
            .filter(|_| done.insert(pointer.clone()))
        {
            references(target, &mut wanted);
            schema::insert(&mut cut, &pointer, target.clone());
        }
    }
    cut
}

fn references(value: &Value, wanted: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, wanted)),
        Value::Object(map) => {
            for (key, value) in map
                .iter()
                .filter(|(key, _)| *key != "examples" && *key != "example")
            {
                match (key.as_str(), value.as_str()) {
                    ("$ref", Some(pointer)) => wanted.push(pointer.trim_start_matches('#').to_owned()),
                    _ => references(value, wanted),
                }
            }
        }
        _ => {}
    }
}
