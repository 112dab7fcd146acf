//! A GitHub App, from its manifest to a token for one repository.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use slipway_devforge::{App, Kind, NewApp, NewRepository};
use slipway_forge::{
    AppConfig, AppReach, ConvertedApp, Event, Forge, ForgeError, GithubApp, InstallationChange, OwnerKind,
    RemoteRepositoryId, RepositoryKey, RepositoryPath, RepositoryQuery, Status, StatusState,
};
use slipway_types::forge::Selection;

use crate::{
    deliveries::Receiver,
    world::{CALLBACK, World, callback, http},
};

/// An App of acme's, and Slipway as that App.
struct Installed {
    world: World,
    app: App,
    forge: std::sync::Arc<dyn Forge>,
    receiver: Receiver,
}

impl Installed {
    async fn start() -> Self {
        let world = World::start(Kind::GitHub).await;
        let receiver = Receiver::start().await;
        let app = world
            .provider
            .register_app(NewApp {
                name: "Slipway".to_owned(),
                owner: "acme".to_owned(),
                callback: CALLBACK.to_owned(),
                setup: None,
                webhook: receiver.url.to_string(),
            })
            .await
            .unwrap();
        let forge = world.configured(|config| {
            config.client_id = app.client_id();
            config.client_secret = app.client_secret().into();
            config.app = Some(AppConfig {
                app_id: app.id().to_string(),
                page: app.page().parse().unwrap(),
                private_key: app.private_key().into(),
            });
        });
        Self {
            world,
            app,
            forge,
            receiver,
        }
    }

    fn as_app(&self) -> &GithubApp {
        self.forge.app().unwrap()
    }

    /// A person's token, as linking gets it.
    async fn token(&self, login: &str) -> SecretString {
        let url = self.forge.authorize_url(&slipway_forge::AuthorizeRequest {
            redirect_uri: callback(),
            state: "s".to_owned(),
            pkce_challenge: None,
            select_account: false,
        });
        assert!(
            !url.as_str().contains("scope"),
            "an App asks for no scopes: {url}"
        );
        let mut browser = self.world.provider.browser();
        browser.sign_in(login, "secret").await.unwrap();
        let back = browser.authorize(url.as_str()).await.unwrap();
        let code = crate::world::code(back.split_once('?').unwrap().1);
        let grant = self.forge.exchange(&code, &callback(), None).await.unwrap();
        assert_eq!(grant.expires_in, Some(Duration::from_hours(8)));
        assert!(grant.refresh_token.is_some());
        grant.access_token
    }

    async fn events(&self) -> Vec<Event> {
        self.world.devforge.deliveries().flush().await;
        let secret = self.app.webhook_secret().into();
        let got = std::mem::take(&mut *self.receiver.got.lock().unwrap());
        got.iter()
            .map(|(headers, body)| {
                self.forge.verify(headers, body, &[&secret]).unwrap();
                self.forge.parse(headers, body).unwrap()
            })
            .collect()
    }
}

fn id(repository: &slipway_devforge::Repository) -> RemoteRepositoryId {
    repository.id().into()
}

#[tokio::test]
async fn a_code_becomes_an_app_once() {
    let world = World::start(Kind::GitHub).await;
    let manifest = slipway_forge::AppManifest {
        name: "Slipway at acme".to_owned(),
        homepage: "http://127.0.0.1:9/".parse().unwrap(),
        callback: callback(),
        setup: "http://127.0.0.1:9/installed".parse().unwrap(),
        created: "http://127.0.0.1:9/created".parse().unwrap(),
        webhook: "http://127.0.0.1:9/hooks/apps/x".parse().unwrap(),
    };
    let mut browser = world.provider.browser();
    browser.sign_in("ada", "secret").await.unwrap();
    let page = slipway_forge::AppManifest::page(&world.config.web_url, Some("acme"), "a-state");
    let form = [("manifest", manifest.to_json())];
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let asked = browser.submit(page.as_str(), &form).await.unwrap();
    let mut fields = asked.hidden_fields();
    fields.push(("name".to_owned(), manifest.name.clone()));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let back = browser.submit("/settings/apps/manifest", &fields).await.unwrap();
    let back: url::Url = back.location.unwrap().parse().unwrap();
    assert!(back.as_str().starts_with(manifest.created.as_str()), "{back}");
    assert!(
        back.query_pairs()
            .any(|(name, value)| name == "state" && value == "a-state")
    );

    let code = crate::world::code(back.query().unwrap());
    let app = ConvertedApp::of_code(&world.config, http(), &code).await.unwrap();
    assert_eq!(app.name, manifest.name);
    let forge = world.configured(|config| {
        config.client_id.clone_from(&app.client_id);
        config.client_secret = app.client_secret.clone();
        config.app = Some(AppConfig {
            app_id: app.app_id.clone(),
            page: app.page.clone(),
            private_key: app.private_key.clone(),
        });
    });
    forge.app().unwrap().check().await.unwrap();
    forge.check_client(&callback()).await.unwrap();
    let again = ConvertedApp::of_code(&world.config, http(), &code).await;
    assert!(matches!(again, Err(ForgeError::NotFound { .. })), "{again:?}");
}

#[tokio::test]
async fn a_key_that_is_not_the_apps_is_refused() {
    let installed = Installed::start().await;
    installed.as_app().check().await.unwrap();
    let other = Installed::start().await;
    let wrong = installed.world.configured(|config| {
        config.app = Some(AppConfig {
            app_id: installed.app.id().to_string(),
            page: installed.app.page().parse().unwrap(),
            private_key: other.app.private_key().into(),
        });
    });
    let error = wrong.app().unwrap().check().await.unwrap_err();
    assert_eq!(error.kind(), "app_rejected");
}

#[tokio::test]
async fn a_token_reaches_its_one_repository_and_no_other() {
    let installed = Installed::start().await;
    let (one, path) = installed.world.repository("one").await;
    let (two, other) = installed.world.repository("two").await;
    let installation = installed.app.install("acme", Some(&[&one])).unwrap().into();
    let app = installed.as_app();
    let token = app
        .installation_token(&installation, &id(&one), AppReach::Build)
        .await
        .unwrap()
        .token;
    assert!(token.expose_secret().len() > 255, "tokens may be long");
    let forge = &installed.forge;
    assert_eq!(forge.heads(&token, &path).await.unwrap().len(), 1);
    let sha = forge.heads(&token, &path).await.unwrap().remove(0).commit;
    let status = Status {
        state: StatusState::Pending,
        context: "slipway".to_owned(),
        description: "Queued".to_owned(),
        target_url: "http://127.0.0.1:9/".parse().unwrap(),
    };
    forge.set_status(&token, &path, &sha, &status).await.unwrap();
    let hidden = forge.repository(&token, RepositoryKey::Path(&other)).await;
    assert!(matches!(hidden, Err(ForgeError::NotFound { .. })), "{hidden:?}");

    let clone = app
        .installation_token(&installation, &id(&one), AppReach::Clone)
        .await
        .unwrap()
        .token;
    let more = forge.set_status(&clone, &path, &sha, &status).await;
    assert!(matches!(more, Err(ForgeError::Forbidden { .. })), "{more:?}");

    let refused = app
        .installation_token(&installation, &id(&two), AppReach::Build)
        .await;
    assert_eq!(refused.unwrap_err().kind(), "repository_not_selected");
}

#[tokio::test]
async fn suspension_and_removal_are_told_apart() {
    let installed = Installed::start().await;
    let (one, _) = installed.world.repository("one").await;
    let number = installed.app.install("acme", None).unwrap();
    let ask = async || {
        let app = installed.as_app();
        app.installation_token(&number.into(), &id(&one), AppReach::Build)
            .await
            .map_err(|error| error.kind())
    };
    let before = ask().await.unwrap().token;
    installed.app.suspend(number, true);
    assert_eq!(ask().await.unwrap_err(), "installation_suspended");
    let path = RepositoryPath::new("acme", "one").unwrap();
    let dead = installed.forge.heads(&before, &path).await;
    assert!(matches!(dead, Err(ForgeError::Unauthorized { .. })), "{dead:?}");
    installed.app.suspend(number, false);
    ask().await.unwrap();
    installed.app.uninstall(number);
    assert_eq!(ask().await.unwrap_err(), "installation_removed");

    let changes: Vec<InstallationChange> = installed
        .events()
        .await
        .into_iter()
        .filter_map(|event| match event {
            Event::Installation { change, .. } => Some(change),
            _ => None,
        })
        .collect();
    assert_eq!(
        changes,
        [
            InstallationChange::Created,
            InstallationChange::Suspended,
            InstallationChange::Unsuspended,
            InstallationChange::Deleted,
        ]
    );
}

#[tokio::test]
async fn a_person_sees_installations_and_what_both_reach() {
    let installed = Installed::start().await;
    let (one, _) = installed.world.repository("one").await;
    installed.world.repository("two").await;
    installed
        .world
        .provider
        .create_repository(NewRepository::new("ada/own").private())
        .await
        .unwrap();
    installed
        .world
        .provider
        .create_user("eve", "Eve", "secret")
        .unwrap();
    let number = installed.app.install("acme", Some(&[&one])).unwrap();
    installed.app.install("eve", None).unwrap();
    let token = installed.token("ada").await;
    let forge = &installed.forge;

    let owners = forge.owners(&token).await.unwrap();
    assert_eq!(
        owners.len(),
        1,
        "Eve's installation is not Ada's to see: {owners:?}"
    );
    let installation = owners[0].installation.clone().unwrap();
    assert_eq!(owners[0].login, "acme");
    assert_eq!(installation.id, number.into());
    assert_eq!(installation.selection, Selection::Selected);
    assert!(!installation.suspended);

    let query = RepositoryQuery {
        owner_kind: OwnerKind::Organization,
        owner: "acme",
        search: None,
        page: None,
    };
    let listed = forge.repositories(&token, query).await.unwrap().repositories;
    let names: Vec<_> = listed.iter().map(|found| found.path.to_string()).collect();
    assert_eq!(names, ["acme/one"]);
    let missing = RepositoryPath::new("acme", "two").unwrap();
    let missing = forge.repository(&token, RepositoryKey::Path(&missing)).await;
    assert!(matches!(missing, Err(ForgeError::NotFound { .. })), "{missing:?}");
}

#[tokio::test]
async fn a_refresh_token_of_an_app_is_good_once() {
    let installed = Installed::start().await;
    let url = installed.forge.authorize_url(&slipway_forge::AuthorizeRequest {
        redirect_uri: callback(),
        state: "s".to_owned(),
        pkce_challenge: None,
        select_account: false,
    });
    let mut browser = installed.world.provider.browser();
    browser.sign_in("ada", "secret").await.unwrap();
    let back = browser.authorize(url.as_str()).await.unwrap();
    let code = crate::world::code(back.split_once('?').unwrap().1);
    let grant = installed.forge.exchange(&code, &callback(), None).await.unwrap();
    let refresh = grant.refresh_token.unwrap();
    let renewed = installed.forge.refresh(&refresh).await.unwrap();
    let old = installed.forge.account(&grant.access_token).await;
    assert!(matches!(old, Err(ForgeError::Unauthorized { .. })), "{old:?}");
    installed.forge.account(&renewed.access_token).await.unwrap();
    let error = installed.forge.refresh(&refresh).await.unwrap_err();
    assert_eq!(error.kind(), "refresh_refused");
}

#[tokio::test]
async fn the_app_hears_of_pushes_where_it_is_installed_and_of_a_revoked_grant() {
    let installed = Installed::start().await;
    let (one, _) = installed.world.repository("one").await;
    let (two, _) = installed.world.repository("two").await;
    installed.app.install("acme", Some(&[&one])).unwrap();
    let token = installed.token("ada").await;
    installed.events().await;
    one.push("main", &[("a", "1\n")], "One").await.unwrap();
    two.push("main", &[("a", "1\n")], "Two").await.unwrap();
    let events = installed.events().await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(matches!(&events[0], Event::Push { repository, .. } if repository.id == id(&one)));

    installed.forge.revoke_grant(&token).await.unwrap();
    let events = installed.events().await;
    assert!(
        matches!(events.as_slice(), [Event::AuthorizationRevoked { .. }]),
        "{events:?}"
    );
}
