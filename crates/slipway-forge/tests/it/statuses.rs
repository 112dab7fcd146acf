use slipway_devforge::Kind;
use slipway_forge::{Status, StatusState};
use slipway_types::CommitSha;

use crate::world::{BOTH, World};

#[tokio::test]
async fn a_later_status_of_a_context_counts() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let (repository, path) = world.repository("app").await;
        let token = world.token().await;
        let sha: CommitSha = repository.head("main").await.unwrap().parse().unwrap();
        let mut status = Status {
            state: StatusState::Running,
            context: "slipway/acme/app".to_owned(),
            description: "Building ".repeat(40),
            target_url: "https://slipway.example/builds/1".parse().unwrap(),
        };
        world
            .forge
            .set_status(&token, &path, &sha, &status)
            .await
            .unwrap();
        status.state = StatusState::Success;
        "Built".clone_into(&mut status.description);
        world
            .forge
            .set_status(&token, &path, &sha, &status)
            .await
            .unwrap();

        let told = repository.statuses();
        let last = told.last().unwrap();
        let (running, success) = match kind {
            Kind::GitHub => ("pending", "success"),
            Kind::Bitbucket => ("INPROGRESS", "SUCCESSFUL"),
        };
        assert_eq!(
            (last.state.as_str(), last.context.as_str()),
            (success, "slipway/acme/app")
        );
        assert_eq!(
            last.target_url.as_deref(),
            Some("https://slipway.example/builds/1")
        );
        assert_eq!(last.description.as_deref(), Some("Built"));
        if kind == Kind::GitHub {
            assert_eq!(told[0].state, running);
            assert_eq!(told[0].description.as_ref().unwrap().chars().count(), 140);
        } else {
            assert_eq!(told.len(), 1);
        }
    }
}

#[tokio::test]
async fn a_status_of_a_commit_that_is_gone_is_not_found() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let (_, path) = world.repository("app").await;
        let status = Status {
            state: StatusState::Failed,
            context: "slipway".to_owned(),
            description: String::new(),
            target_url: "https://slipway.example/".parse().unwrap(),
        };
        let gone = "a".repeat(40).parse().unwrap();
        let error = world
            .forge
            .set_status(&world.token().await, &path, &gone, &status)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), "not_found", "{error}");
    }
}
