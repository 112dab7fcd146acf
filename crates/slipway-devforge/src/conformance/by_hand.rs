//! The few things that are newer than the descriptions, or described elsewhere in them.
//!
//! Each with its source. Everything else has to be in the vendor's document.

use serde_json::{Value, json};

use crate::people::Kind;

/// Templates that are described under another one.
///
/// `/repositories/{id}`: GitHub's redirects of renamed repositories lead there ("Best practices for
/// using the REST API", Follow redirects); it answers like the repository's own route.
pub(super) fn described_as(kind: Kind, template: &str) -> &str {
    match (kind, template) {
        (Kind::GitHub, "/repositories/{repository_id}") => "/repos/{owner}/{repo}",
        _ => template,
    }
}

/// A schema for an answer the description does not have, in the description's own terms.
pub(super) fn answer(kind: Kind, method: &str, template: &str, status: u16) -> Option<Value> {
    let (Kind::Bitbucket, "GET") = (kind, method) else {
        return None;
    };
    match (template, status) {
        // Atlassian's changelog, CHANGE-2770 (2025/2026): successor of `/workspaces`.
        ("/user/workspaces", 200) => Some(json!({
            "type": "object",
            "required": ["values", "pagelen"],
            "additionalProperties": false,
            "properties": {
                "page": { "type": "integer", "minimum": 1 },
                "pagelen": { "type": "integer", "minimum": 1 },
                "size": { "type": "integer", "minimum": 0 },
                "next": { "type": "string", "format": "uri" },
                "previous": { "type": "string", "format": "uri" },
                "values": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["type", "administrator", "workspace"],
                        "properties": {
                            "type": { "const": "workspace_access" },
                            "administrator": { "type": "boolean" },
                            "workspace": { "$ref": "#/definitions/workspace" },
                        },
                    },
                },
            },
        })),
        // The same change: what was removed answers 410 with the vendor's error object.
        (
            "/workspaces"
            | "/repositories"
            | "/user/permissions/workspaces"
            | "/user/permissions/repositories",
            410,
        ) => Some(json!({ "$ref": "#/definitions/error" })),
        _ => None,
    }
}

/// Bitbucket's payloads: "Event payloads" in its documentation, whose parts are objects of the API
/// description. The API's own `branch` and `tag` do not know payload types like `annotated_tag`,
/// but do not forbid them.
pub(super) fn bitbucket_payload(event: &str) -> Option<Value> {
    let object = |name: &str| json!({ "$ref": format!("#/definitions/{name}") });
    if event == "repo:deleted" {
        // Named in the API description's list of events; it carries what every repository event carries.
        return Some(json!({
            "type": "object",
            "required": ["actor", "repository"],
            "properties": { "actor": object("account"), "repository": object("repository") },
        }));
    }
    let (own, schema) = if event == "repo:push" {
        let end = json!({
            "anyOf": [
                { "type": "null" },
                {
                    "allOf": [
                        { "$ref": "#/definitions/ref" },
                        {
                            "required": ["type", "name", "target"],
                            "properties": { "type": { "enum": ["branch", "tag", "annotated_tag", "bookmark"] } },
                        },
                    ],
                },
            ],
        });
        let change = json!({
            "type": "object",
            "required": ["old", "new", "created", "closed", "forced", "truncated", "commits"],
            "properties": {
                "old": end,
                "new": end,
                "created": { "type": "boolean" },
                "closed": { "type": "boolean" },
                "forced": { "type": "boolean" },
                "truncated": { "type": "boolean" },
                "commits": { "type": "array", "maxItems": 5, "items": { "$ref": "#/definitions/commit" } },
            },
        });
        let push = json!({
            "type": "object",
            "required": ["changes"],
            "properties": { "changes": { "type": "array", "minItems": 1, "items": change } },
        });
        ("push", push)
    } else if event.starts_with("pullrequest:") {
        ("pullrequest", object("pullrequest"))
    } else {
        return None;
    };
    let mut properties = json!({ "actor": object("account"), "repository": object("repository") });
    properties[own] = schema;
    Some(json!({ "type": "object", "required": ["actor", "repository", own], "properties": properties }))
}
