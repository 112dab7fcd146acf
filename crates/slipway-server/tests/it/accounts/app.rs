//! A GitHub App beside an OAuth client: which is offered, and what happens to hooks and keys on the way from one to the
//! other.

use slipway_devforge::NewApp;
use slipway_server::services::{linking::LinkOutcome, source_providers::AppForm};
use slipway_types::forge::ClientKind;

use super::{World, query, slug};

impl World {
    /// Makes Slipway a GitHub App, too.
    async fn with_app(&self) -> slipway_devforge::App {
        let app = self
            .provider()
            .register_app(NewApp {
                name: "Slipway".to_owned(),
                owner: "acme".to_owned(),
                callback: self.config.callback_url(self.forge()).to_string(),
                setup: None,
                webhook: "http://127.0.0.1:9/hooks/apps/x".to_owned(),
            })
            .await
            .unwrap();
        let mut form = self.form();
        form.app = Some(AppForm {
            app_id: app.id().to_string(),
            page: app.page().parse().unwrap(),
            client_id: app.client_id(),
            client_secret: app.client_secret().into(),
            private_key: app.private_key().into(),
            webhook_secret: app.webhook_secret().into(),
        });
        self.providers.configure(&[form]).await.unwrap();
        app
    }
}

#[tokio::test]
async fn the_app_is_offered_first_and_the_oauth_client_stays() {
    let world = World::github().await;
    let ada = world.administrator().await;
    world.with_app().await;
    let shown = world.links.overview(&ada, &slug("ada")).await.unwrap();
    assert_eq!(shown[0].clients, [ClientKind::App, ClientKind::Oauth]);
    world.link(&ada, &slug("ada"), "octo").await;
    let shown = world.links.overview(&ada, &slug("ada")).await.unwrap();
    assert_eq!(shown[0].through, Some(ClientKind::App));
    assert!(shown[0].install_url.is_some());
}

#[tokio::test]
async fn going_over_to_the_app_takes_hooks_and_keys_away_with_the_token_that_made_them() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let source = world.source("acme/web").await;
    let repository = world.repository(&slug("ada"), "web").await;
    world.link(&ada, &slug("ada"), "octo").await;
    world
        .configure(&ada, &slug("ada"), &repository, "acme/web")
        .await
        .unwrap();
    world.settle().await;
    assert_eq!((source.hooks().len(), source.keys().len()), (1, 1));

    let app = world.with_app().await;
    app.install("acme", Some(&[&source])).unwrap();
    world.link(&ada, &slug("ada"), "octo").await;
    world.settle().await;
    assert!(source.hooks().is_empty(), "the App's own webhook serves all");
    assert!(source.keys().is_empty(), "clones use the installation's tokens");
    let tokens = world.provider().tokens();
    let by_oauth: Vec<_> = tokens
        .iter()
        .filter(|token| token.client_id == world.client.client_id)
        .collect();
    assert!(
        !by_oauth.is_empty() && by_oauth.iter().all(|token| !token.valid),
        "the OAuth token is given back, after it removed what it made"
    );
    let view = world
        .configuring
        .view(&ada, &slug("ada"), &repository)
        .await
        .unwrap()
        .unwrap();
    assert!(view.through_app && view.hook.is_none() && view.key.is_none());
    let (_, token) = world.forges.for_source(view.source.id).await.unwrap();
    let narrowed = app.tokens().into_iter().next_back().unwrap();
    assert_eq!(narrowed.repositories, Some(vec![source.id()]));
    assert_eq!(secrecy::ExposeSecret::expose_secret(&token), narrowed.value);
}

#[tokio::test]
async fn back_from_the_app_to_oauth_makes_hook_and_key() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let source = world.source("acme/web").await;
    let repository = world.repository(&slug("ada"), "web").await;
    let app = world.with_app().await;
    app.install("acme", None).unwrap();
    world.link(&ada, &slug("ada"), "octo").await;
    world
        .configure(&ada, &slug("ada"), &repository, "acme/web")
        .await
        .unwrap();
    world.settle().await;
    assert!(source.hooks().is_empty() && source.keys().is_empty());

    let url = world
        .linking
        .start_through(&ada, &slug("ada"), "github", Some(ClientKind::Oauth), false)
        .await
        .unwrap();
    let back = world.browser("octo").await.authorize(url.as_str()).await.unwrap();
    let linked = world.back(&ada, &query(&back)).await.unwrap();
    assert!(matches!(linked, LinkOutcome::Linked { .. }), "{linked:?}");
    world.settle().await;
    assert_eq!((source.hooks().len(), source.keys().len()), (1, 1));
}
