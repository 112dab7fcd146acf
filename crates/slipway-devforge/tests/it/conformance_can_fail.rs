//! A check that cannot fail proves nothing: here it does.

use serde_json::{Value, json};
use slipway_devforge::{Kind, Verdict};

use crate::support::World;

#[tokio::test]
async fn the_check_fails_for_a_route_that_no_description_covers() {
    let world = World::conforming(Kind::GitHub).await;
    let api = world.api("ada").await;
    api.get("/user").await;
    world.forge.conformance_report().assert_clean();
    api.expect(404, "GET", "/repos/acme/web/never-built", None).await;
    let problems = world.forge.conformance_report().problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("never-built"), "{problems:?}");
}

/// The check is told a stricter description than the vendor's, and must notice that the
/// simulation's true answer does not fit it.
#[tokio::test]
async fn the_check_fails_for_an_answer_that_does_not_fit() {
    let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut descriptions = slipway_devforge::Descriptions::from_env(&workspace);
    let original = std::fs::read(&descriptions.bitbucket_api).unwrap();
    let mut changed: Value = serde_json::from_slice(&original).unwrap();
    changed["definitions"]["account"]["allOf"][1]["properties"]["display_name"]["type"] = json!("integer");
    let dir = tempfile::tempdir().unwrap();
    descriptions.bitbucket_api = dir.path().join("swagger.json");
    std::fs::write(&descriptions.bitbucket_api, changed.to_string()).unwrap();

    let config = slipway_devforge::Config {
        conformance: Some(descriptions),
        ..Default::default()
    };
    let world = World::start(Kind::Bitbucket, config).await;
    world.api("ada").await.get("/user").await;
    let problems = world.forge.conformance_report().problems();
    assert!(
        problems.iter().any(|problem| problem.contains("display_name")),
        "{problems:?}"
    );
}

/// The same on GitHub's side, with a description small enough to read: `bio` is null in the
/// answer, so it fits only where the description says `nullable`.
#[tokio::test]
async fn nullable_is_honoured_and_its_absence_noticed() {
    for (nullable, problems_expected) in [(true, 0), (false, 1)] {
        let user = json!({
            "type": "object",
            "required": ["login", "bio"],
            "properties": { "login": { "type": "string" }, "bio": { "type": "string", "nullable": nullable } },
        });
        let content = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/user" } } });
        let document = json!({
            "paths": { "/user": { "get": { "responses": { "200": { "content": content } } } } },
            "components": { "schemas": { "user": user } },
        });
        let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut descriptions = slipway_devforge::Descriptions::from_env(&workspace);
        let dir = tempfile::tempdir().unwrap();
        descriptions.github_api = dir.path().join("api.json");
        std::fs::write(&descriptions.github_api, document.to_string()).unwrap();

        let config = slipway_devforge::Config {
            conformance: Some(descriptions),
            ..Default::default()
        };
        let world = World::start(Kind::GitHub, config).await;
        world.api("ada").await.get("/user").await;
        let lines = world.forge.conformance_report().lines;
        let wrong = lines
            .iter()
            .filter(|line| matches!(line.verdict, Verdict::Violations(_)))
            .count();
        assert_eq!(wrong, problems_expected, "{lines:?}");
    }
}
