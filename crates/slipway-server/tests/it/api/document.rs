//! The OpenAPI document and the router say the same.

use axum::http::Method;
use serde_json::Value;

use super::client::Site;

/// Every operation of the document: method, path, and what it says.
fn operations(document: &Value) -> Vec<(Method, &str, &Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if let Ok(method) = method.to_uppercase().parse::<Method>()
                && operation.get("responses").is_some()
            {
                found.push((method, path.as_str(), operation));
            }
        }
    }
    found
}

/// A path with something in place of its parameters.
fn filled(path: &str) -> String {
    let parts = path
        .split('/')
        .map(|part| if part.starts_with('{') { "1" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_described_operation_is_there_and_asks_who_is_asking_unless_it_says_otherwise() {
    let site = Site::start().await;
    let document = site.nobody().get("/api/openapi.json").await.expect(200).json;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let operations = operations(&document);
    assert!(operations.len() > 40, "only {} operations", operations.len());
    for (method, path, operation) in operations {
        let open = operation
            .get("security")
            .is_some_and(|security| security == &serde_json::json!([{}]));
        let answer = site.nobody().ask(method.clone(), &filled(path), &[], "").await;
        let expected: &[u16] = if open { &[200, 404] } else { &[401] };
        assert!(
            expected.contains(&answer.status.as_u16()),
            "{method} {path}: {} {}",
            answer.status,
            answer.text
        );
    }
}

#[test]
fn every_operation_is_described_whole() {
    let document = serde_json::to_value(slipway_server::api::document()).unwrap();
    let mut ids: Vec<&str> = Vec::new();
    for (method, path, operation) in operations(&document) {
        assert!(
            operation["summary"].as_str().is_some_and(|text| !text.is_empty()),
            "{method} {path}"
        );
        assert!(operation["tags"][0].is_string(), "{method} {path}");
        assert_eq!(
            operation["responses"]["default"]["$ref"], "#/components/responses/Problem",
            "{method} {path}"
        );
        let named = path.split('/').filter(|part| part.starts_with('{')).count();
        let parameters = operation["parameters"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let described = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .count();
        assert_eq!(named, described, "{method} {path}: parameters of the path");
        ids.push(operation["operationId"].as_str().unwrap());
    }
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "operation ids differ");
}

#[test]
fn every_reference_leads_somewhere() {
    let document = serde_json::to_value(slipway_server::api::document()).unwrap();
    let text = document.to_string();
    let mut references = 0;
    for rest in text.split("\"$ref\":\"#").skip(1) {
        let pointer = rest.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer} is not there");
        references += 1;
    }
    assert!(references > 50, "only {references} references");
}

#[tokio::test]
async fn no_route_is_there_that_is_not_described() {
    // Routes are made from descriptions, but for the one that says that there is nothing.
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
    let mut plain = Vec::new();
    for entry in std::fs::read_dir(source).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        plain.extend(
            text.split(".route(")
                .skip(1)
                .map(|rest| rest.split(',').next().unwrap().trim().to_owned()),
        );
    }
    assert_eq!(plain, ["\"/api/{*rest}\""]);
}
