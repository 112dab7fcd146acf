use slipway_forge::PullRequestState;

use crate::world::{BOTH, World};

#[tokio::test]
async fn pull_requests_are_told_with_whole_commits_and_where_they_come_from() {
    for kind in BOTH {
        let world = World::start(kind).await;
        world.provider.create_user("eve", "Eve", "secret").unwrap();
        let (repository, path) = world.repository("app").await;
        repository.set_private(false);
        let inside = repository.push("topic", &[("a", "1")], "Inside").await.unwrap();
        repository
            .open_pull_request("topic", "main", "From here")
            .await
            .unwrap();
        let fork = world.provider.fork(&repository, "eve").await.unwrap();
        let outside = fork.push("patch", &[("b", "2")], "Outside").await.unwrap();
        repository
            .open_pull_request_from(&fork, "patch", "main", "From a fork")
            .await
            .unwrap();

        let token = world.token().await;
        let mut open = world.forge.pull_requests(&token, &path).await.unwrap();
        open.sort_by_key(|pull_request| pull_request.number);
        let told: Vec<_> = open
            .iter()
            .map(|found| {
                (
                    found.title.as_str(),
                    found.is_external(),
                    found.head.sha.as_ref().unwrap().as_str(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("From here", false, inside.as_str()),
                ("From a fork", true, outside.as_str())
            ]
        );

        let one = world
            .forge
            .pull_request(&token, &path, open[1].number)
            .await
            .unwrap();
        assert_eq!(one, open[1]);
        assert_eq!((one.author.as_str(), one.state), ("eve", PullRequestState::Open));
        assert_eq!(
            (one.head.branch.as_str(), one.base.branch.as_str()),
            ("patch", "main")
        );
        assert_eq!(one.head.path.unwrap().to_string(), "eve/app");

        let missing = world.forge.pull_request(&token, &path, 99).await.unwrap_err();
        assert_eq!(missing.kind(), "not_found");
    }
}
