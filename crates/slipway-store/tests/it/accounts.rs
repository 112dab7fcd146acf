//! People, links, what is kept at providers, configurations, and what is to be done outside.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use slipway_store::{
    Answered, AuditOf, ConfigurationFields, CredentialOf, ForgeFields, Grantee, LinkHealth, LinkOwner,
    LinkTo, NewAct, NewLinkAttempt, NewOutboxRow, NewSession, NewUser, RegistryFields, RepositoryFields,
    SourceFacts, StoreError, StoredRule, Tokens, Tx, db_test,
};
use slipway_types::{
    ForgeId, LinkId, NamespaceId, RepositoryId, RuleId, SessionId, SlugName, SourceId, Timestamp, UserId,
    forge::{
        ClientKind, ForgeKind, Health, HealthReason, LinkState, OutboxKind, OutboxState, OwnerReach,
        ResourceKind, ResourceState,
    },
    rights::{Level, Role},
    rule::{Autotest, ConfigurationState, DeliveryMode, RuleFields, Supersede},
};

fn slug(name: &str) -> SlugName {
    name.parse().unwrap()
}

pub(crate) async fn user(tx: &Tx, name: &str) -> (UserId, NamespaceId) {
    let name = slug(name);
    let new = NewUser {
        name: &name,
        display_name: "",
        email: None,
        password_hash: "hash",
        is_admin: false,
    };
    let id = tx.users().insert(&new).await.unwrap();
    (
        id,
        tx.namespaces().insert(&name, Some(id), "standard").await.unwrap(),
    )
}

async fn session(tx: &Tx, of: UserId, hash: &str, expires_at: Timestamp) -> SessionId {
    let new = NewSession {
        token_hash: hash,
        user: of,
        csrf_token: "c",
        user_agent: "",
        address: "",
        expires_at,
    };
    tx.sessions().insert(&new).await.unwrap()
}

pub(crate) async fn forge(tx: &Tx) -> ForgeId {
    let fields = ForgeFields {
        kind: ForgeKind::Github,
        name: "github".to_owned(),
        display_name: "GitHub".to_owned(),
        web_url: "https://github.example/".parse().unwrap(),
        api_url: "https://api.github.example/".parse().unwrap(),
        known_hosts: vec!["github.example ssh-ed25519 AAAA".to_owned()],
    };
    let id = tx.forges().insert(&fields).await.unwrap();
    tx.forges()
        .put_client(id, ClientKind::Oauth, "client", &"client secret".into())
        .await
        .unwrap();
    id
}

fn tokens(access: &str) -> Tokens {
    Tokens {
        access: access.into(),
        refresh: Some("refresh".into()),
        expires_at: Some(Timestamp::from_millis(5)),
        scopes: vec!["repo".to_owned()],
    }
}

fn octo() -> CredentialOf {
    CredentialOf {
        account_id: "7".to_owned(),
        login: "octo".to_owned(),
        avatar_url: None,
    }
}

pub(crate) async fn link(tx: &Tx, namespace: NamespaceId, forge: ForgeId, by: UserId) -> LinkId {
    let client = tx
        .forges()
        .client_of(forge, ClientKind::Oauth)
        .await
        .unwrap()
        .unwrap()
        .id;
    let credential = match tx.credentials().of_account(client, "7").await.unwrap() {
        Some(there) => there.id,
        None => tx
            .credentials()
            .insert(client, &octo(), &tokens("access"))
            .await
            .unwrap(),
    };
    let to = LinkTo {
        credential,
        account_id: "7".to_owned(),
        login: "octo".to_owned(),
        by,
    };
    tx.links().insert(namespace, forge, &to).await.unwrap()
}

async fn source(tx: &Tx, namespace: NamespaceId, forge: ForgeId) -> SourceId {
    let facts = SourceFacts {
        provider_id: "1".to_owned(),
        owner: "octo".to_owned(),
        name: "app".to_owned(),
        private: false,
        default_branch: "main".to_owned(),
        web_url: "https://github.example/octo/app".to_owned(),
        clone_ssh: "git@github.example:octo/app.git".to_owned(),
        clone_https: "https://github.example/octo/app.git".to_owned(),
    };
    tx.source_repositories()
        .ensure(namespace, forge, &facts)
        .await
        .unwrap()
        .id
}

async fn repository(tx: &Tx, namespace: NamespaceId, name: &str, private: bool) -> RepositoryId {
    let fields = RegistryFields {
        name: "r",
        host: "registry.example",
        path_prefix: "",
        username: "me",
        password: Some(&"registry password".into()),
        verified_at: None,
    };
    let registry = tx.registries().insert(Some(namespace), &fields).await.unwrap();
    let path = name.parse().unwrap();
    let fields = RepositoryFields {
        description: "",
        private,
        registry,
        image_path: &path,
    };
    tx.repositories()
        .insert(namespace, &slug(name), &fields)
        .await
        .unwrap()
}

fn fields() -> ConfigurationFields {
    ConfigurationFields {
        autotest: Autotest::Internal,
        auto_repair: true,
        repository_links: true,
        delivery_mode: DeliveryMode::WebhookAndPolling,
        poll_interval: Duration::from_mins(5),
        supersede: Supersede::Branches,
        time_limit: Some(Duration::from_hours(1)),
        builder_labels: vec!["big".to_owned()],
    }
}

db_test! {
    async fn a_session_ends_by_itself_and_by_hand(store: Store) {
        let tx = store.begin().await.unwrap();
        let (ada, _) = user(&tx, "ada").await;
        let soon = Timestamp::now().plus(Duration::from_hours(1));
        let id = session(&tx, ada, "one", soon).await;
        session(&tx, ada, "two", soon).await;
        session(&tx, ada, "past", Timestamp::from_millis(1)).await;
        tx.commit().await.unwrap();

        assert_eq!(store.sessions().by_token_hash("one").await.unwrap().unwrap().id, id);
        assert!(store.sessions().by_token_hash("past").await.unwrap().is_none());
        assert_eq!(store.sessions().of_user(ada).await.unwrap().len(), 2);
        let tx = store.begin().await.unwrap();
        assert_eq!(tx.sessions().sweep(Timestamp::now()).await.unwrap(), 1);
        assert_eq!(tx.sessions().end_others(ada, Some(id)).await.unwrap(), 1);
        assert!(tx.sessions().end(ada, id).await.unwrap());
        assert!(!tx.sessions().end(ada, id).await.unwrap());
        tx.commit().await.unwrap();
        assert!(store.sessions().of_user(ada).await.unwrap().is_empty());
    }

    async fn a_name_is_taken_once(store: Store) {
        let tx = store.begin().await.unwrap();
        user(&tx, "ada").await;
        tx.commit().await.unwrap();
        let tx = store.begin().await.unwrap();
        let again = tx.namespaces().insert(&slug("ada"), None, "standard").await;
        assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    }

    async fn rights_come_from_the_role_the_person_and_the_team(store: Store) {
        let tx = store.begin().await.unwrap();
        let (ada, own) = user(&tx, "ada").await;
        let (bob, _) = user(&tx, "bob").await;
        let org = tx.namespaces().insert(&slug("acme"), None, "team").await.unwrap();
        tx.namespaces().set_member(org, ada, Role::Owner).await.unwrap();
        tx.namespaces().set_member(org, bob, Role::Member).await.unwrap();
        let open = repository(&tx, org, "open", false).await;
        let closed = repository(&tx, org, "closed", true).await;
        let team = tx.teams().insert(org, &slug("builders")).await.unwrap();
        tx.teams().add_member(team, bob).await.unwrap();
        tx.teams().add_member(team, bob).await.unwrap();
        tx.commit().await.unwrap();

        let roles = store.namespaces();
        assert_eq!(roles.role_of(ada, own).await.unwrap(), Some(Role::Owner));
        assert_eq!(roles.role_of(bob, org).await.unwrap(), Some(Role::Member));
        assert_eq!(roles.role_of(bob, own).await.unwrap(), None);
        let names = async |person| {
            let seen = store.repositories().visible_to(person, "", None, 10).await.unwrap();
            seen.into_iter().map(|it| it.id).collect::<Vec<_>>()
        };
        assert_eq!(names(ada).await, [open, closed]);
        assert_eq!(names(bob).await, [open]);
        assert_eq!(store.permissions().level_of(bob, closed).await.unwrap(), None);

        let tx = store.begin().await.unwrap();
        tx.permissions().set(closed, Grantee::User(bob), Level::Read).await.unwrap();
        tx.permissions().set(closed, Grantee::Team(team), Level::Write).await.unwrap();
        tx.permissions().set(closed, Grantee::Team(team), Level::Admin).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.permissions().level_of(bob, closed).await.unwrap(), Some(Level::Admin));
        assert_eq!(store.permissions().of(closed).await.unwrap().len(), 2);
        assert_eq!(names(bob).await, [open, closed]);

        let tx = store.begin().await.unwrap();
        assert!(tx.namespaces().remove_member(org, bob).await.unwrap());
        tx.permissions().remove(closed, Grantee::User(bob)).await.unwrap();
        tx.commit().await.unwrap();
        assert!(names(bob).await.is_empty(), "the team's right goes with the membership");
    }

    async fn searching_takes_text_as_it_is(store: Store) {
        let tx = store.begin().await.unwrap();
        let (ada, own) = user(&tx, "ada").await;
        repository(&tx, own, "web_app", false).await;
        repository(&tx, own, "web-app", false).await;
        tx.commit().await.unwrap();
        for (search, found) in [("web_", 1), ("WEB", 2), ("%", 0), ("!", 0), ("ada", 2)] {
            let seen = store.repositories().visible_to(ada, search, None, 10).await.unwrap();
            assert_eq!(seen.len(), found, "{search}");
        }
        let first = store.repositories().visible_to(ada, "", None, 1).await.unwrap();
        let second = store.repositories().visible_to(ada, "", Some(first[0].id), 1).await.unwrap();
        assert_ne!(first[0].id, second[0].id);
    }

    async fn a_namespace_has_one_link_per_forge_and_several_share_a_credential(store: Store) {
        let tx = store.begin().await.unwrap();
        let (ada, own) = user(&tx, "ada").await;
        let (_, other) = user(&tx, "bob").await;
        let forge = forge(&tx).await;
        let first = link(&tx, own, forge, ada).await;
        let second = link(&tx, other, forge, ada).await;
        tx.commit().await.unwrap();

        let credential = store.links().find(first).await.unwrap().unwrap().credential.unwrap();
        assert_eq!(store.links().sharing(credential).await.unwrap(), 2);
        let tx = store.begin().await.unwrap();
        let to = LinkTo { credential, account_id: "7".to_owned(), login: "octo".to_owned(), by: ada };
        let again = tx.links().insert(own, forge, &to).await;
        assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
        drop(tx);

        let tx = store.begin().await.unwrap();
        tx.links().set_unlinking(first).await.unwrap();
        assert!(tx.links().current(own, forge).await.unwrap().is_none());
        assert_eq!(tx.links().sharing(credential).await.unwrap(), 1);
        assert_eq!(tx.links().of_credential(credential).await.unwrap().len(), 2);
        tx.links().set_unlinked(first).await.unwrap();
        tx.links().set_unlinked(second).await.unwrap();
        tx.credentials().erase(credential).await.unwrap();
        tx.commit().await.unwrap();
        let ended = store.links().find(first).await.unwrap().unwrap();
        assert_eq!((ended.state, ended.credential), (LinkState::Unlinked, None));
    }

    async fn a_credential_that_a_link_holds_is_not_erased(store: Store) {
        let tx = store.begin().await.unwrap();
        let (ada, own) = user(&tx, "ada").await;
        let forge = forge(&tx).await;
        let id = link(&tx, own, forge, ada).await;
        tx.commit().await.unwrap();
        let credential = store.links().find(id).await.unwrap().unwrap().credential.unwrap();
        let tx = store.begin().await.unwrap();
        let erased = tx.credentials().erase(credential).await;
        assert!(matches!(erased, Err(StoreError::NotFound(_))), "{erased:?}");
    }

    async fn of_two_renewals_one_counts(store: Store) {
        let tx = store.begin().await.unwrap();
        let (ada, own) = user(&tx, "ada").await;
        let forge = forge(&tx).await;
        let id = link(&tx, own, forge, ada).await;
        tx.commit().await.unwrap();
        let id = store.links().find(id).await.unwrap().unwrap().credential.unwrap();
        let before = store.credentials().find(id).await.unwrap().unwrap();

        let tx = store.begin().await.unwrap();
        assert!(tx.credentials().replace_tokens(id, before.obtained_at, &tokens("first")).await.unwrap());
        assert!(!tx.credentials().replace_tokens(id, before.obtained_at, &tokens("second")).await.unwrap());
        tx.commit().await.unwrap();
        let access = store.credentials().open_access_token(id).await.unwrap();
        assert_eq!(access.expose_secret(), "first");
        let refresh = store.credentials().open_refresh_token(id).await.unwrap().unwrap();
        assert_eq!(refresh.expose_secret(), "refresh");
    }

    async fn an_attempt_is_consumed_once_and_not_after_its_time(store: Store) {
        let tx = store.begin().await.unwrap();
        let (ada, own) = user(&tx, "ada").await;
        let forge = forge(&tx).await;
        let client = tx.forges().client_of(forge, ClientKind::Oauth).await.unwrap().unwrap().id;
        let session = session(&tx, ada, "one", Timestamp::now().plus(Duration::from_hours(1))).await;
        let verifier = SecretString::from("verifier");
        let new = |hash, expires_at| NewLinkAttempt {
            state_hash: hash,
            session,
            user: ada,
            namespace: own,
            client,
            verifier: Some(&verifier),
            expires_at,
        };
        let soon = Timestamp::now().plus(Duration::from_mins(10));
        tx.link_attempts().insert(&new("good", soon)).await.unwrap();
        tx.link_attempts().insert(&new("late", Timestamp::from_millis(1))).await.unwrap();
        assert!(tx.link_attempts().consume("good").await.unwrap());
        assert!(!tx.link_attempts().consume("good").await.unwrap());
        tx.link_attempts().reopen("good").await.unwrap();
        assert!(tx.link_attempts().consume("good").await.unwrap());
        assert!(!tx.link_attempts().consume("late").await.unwrap());
        tx.link_attempts().hold_grant("good", &"grant".into(), soon).await.unwrap();
        tx.commit().await.unwrap();

        assert_eq!(store.link_attempts().open_verifier("good").await.unwrap().unwrap().expose_secret(), "verifier");
        assert_eq!(store.link_attempts().open_grant("good").await.unwrap().unwrap().expose_secret(), "grant");
        let expired = store.link_attempts().expired(Timestamp::now()).await.unwrap();
        assert_eq!(expired.iter().map(|it| it.state_hash.as_str()).collect::<Vec<_>>(), ["late"]);

        // Ending the browser session ends what was begun in it, but loses no token.
        let tx = store.begin().await.unwrap();
        tx.sessions().end(ada, session).await.unwrap();
        assert_eq!(tx.link_attempts().find("good").await.unwrap().unwrap().session, None);
        assert!(tx.link_attempts().release_grant("good").await.unwrap());
        assert!(!tx.link_attempts().release_grant("good").await.unwrap());
        tx.commit().await.unwrap();
        assert!(store.link_attempts().open_grant("good").await.unwrap().is_none());
    }

    async fn health_and_owners_are_what_was_seen_last(store: Store) {
        let tx = store.begin().await.unwrap();
        let (ada, own) = user(&tx, "ada").await;
        let forge = forge(&tx).await;
        let id = link(&tx, own, forge, ada).await;
        let owner = |name: &str, reach| LinkOwner {
            owner_id: name.to_owned(),
            name: name.to_owned(),
            role: Role::Member,
            reach,
            detail: None,
            installation: None,
            checked_at: Timestamp::now(),
        };
        tx.link_owners().replace(id, &[owner("b", OwnerReach::Granted), owner("a", OwnerReach::Granted)]).await.unwrap();
        tx.link_owners().put(id, &owner("a", OwnerReach::NotGranted)).await.unwrap();
        let broken = LinkHealth::because(Health::Broken, HealthReason::TokenRevoked, "gone");
        tx.links().set_health(id, &broken).await.unwrap();
        tx.commit().await.unwrap();
        let owners = store.link_owners().of(id).await.unwrap();
        assert_eq!(owners.iter().map(|it| it.reach).collect::<Vec<_>>(), [OwnerReach::NotGranted, OwnerReach::Granted]);
        let link = store.links().find(id).await.unwrap().unwrap();
        assert_eq!((link.health, link.health_reason), (Health::Broken, Some(HealthReason::TokenRevoked)));
        let since = link.health_since.unwrap();
        let tx = store.begin().await.unwrap();
        tx.links().set_health(id, &LinkHealth { detail: Some("still".to_owned()), ..broken }).await.unwrap();
        let at = Timestamp::now().plus(Duration::from_mins(1));
        tx.links().check_again_at(id, at).await.unwrap();
        tx.commit().await.unwrap();
        let link = store.links().find(id).await.unwrap().unwrap();
        assert_eq!(link.health_since, Some(since), "a reason that stays keeps its beginning");
        assert!(store.links().to_be_checked(Timestamp::now(), 9).await.unwrap().is_empty());
        assert_eq!(store.links().to_be_checked(at, 9).await.unwrap().len(), 1);
    }

    async fn a_source_has_one_hook_of_a_link_and_it_loses_its_secret_when_it_goes(store: Store) {
        let tx = store.begin().await.unwrap();
        let (ada, own) = user(&tx, "ada").await;
        let forge = forge(&tx).await;
        let link = link(&tx, own, forge, ada).await;
        let source = source(&tx, own, forge).await;
        let hook = tx.provider_resources().insert_hook(source, link, "path", &"hook secret".into()).await.unwrap();
        tx.commit().await.unwrap();
        let tx = store.begin().await.unwrap();
        let again = tx.provider_resources().insert_hook(source, link, "other", &"x".into()).await;
        assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
        drop(tx);

        let tx = store.begin().await.unwrap();
        let resources = tx.provider_resources();
        resources.settle_failed(hook, HealthReason::WebhookMissing, "no").await.unwrap();
        assert!(resources.settle_active(hook, "42").await.unwrap());
        let there = resources.by_hook_path("path").await.unwrap().unwrap();
        assert_eq!((there.state, there.remote_id.as_deref(), there.reason), (ResourceState::Active, Some("42"), None));
        assert_eq!(resources.open_secrets(hook).await.unwrap().unwrap().current.expose_secret(), "hook secret");
        resources.count_rejected(hook).await.unwrap();
        assert_eq!(resources.find(hook).await.unwrap().unwrap().rejected, 1);
        resources.set_removing(hook).await.unwrap();
        // Making it has overtaken removing it: it is removed all the same, and now by its id.
        assert!(!resources.settle_active(hook, "43").await.unwrap());
        let there = resources.find(hook).await.unwrap().unwrap();
        assert_eq!((there.state, there.remote_id.as_deref()), (ResourceState::Removing, Some("43")));
        assert!(resources.serving(source, link, ResourceKind::Webhook).await.unwrap().is_none());
        resources.insert_hook(source, link, "next", &"next".into()).await.unwrap();
        resources.settle_removed(hook).await.unwrap();
        assert!(resources.open_secrets(hook).await.unwrap().is_none());
        tx.commit().await.unwrap();
    }

    async fn a_configuration_that_was_overtaken_is_not_saved(store: Store) {
        let tx = store.begin().await.unwrap();
        let (_, own) = user(&tx, "ada").await;
        let forge = forge(&tx).await;
        let source = source(&tx, own, forge).await;
        let repository = repository(&tx, own, "app", false).await;
        let id = tx.configurations().insert(repository, source, &fields()).await.unwrap();
        assert!(tx.configurations().update(id, 1, source, &fields()).await.unwrap());
        assert!(!tx.configurations().update(id, 1, source, &fields()).await.unwrap());
        tx.configurations().set_state(id, ConfigurationState::Disconnected, Some("unlinked")).await.unwrap();
        tx.commit().await.unwrap();
        let there = store.configurations().of_repository(repository).await.unwrap().unwrap();
        assert_eq!((there.version, there.state, there.fields), (2, ConfigurationState::Disconnected, fields()));
        assert_eq!(store.configurations().of_forge(own, forge).await.unwrap().len(), 1);
        assert_eq!(store.configurations().of_source(source).await.unwrap().len(), 1);
    }

    async fn rules_keep_their_order_and_variables_their_values(store: Store) {
        let tx = store.begin().await.unwrap();
        let (ada, own) = user(&tx, "ada").await;
        let forge = forge(&tx).await;
        let source = source(&tx, own, forge).await;
        let repository = repository(&tx, own, "app", false).await;
        let id = tx.configurations().insert(repository, source, &fields()).await.unwrap();
        let rule = |branch| StoredRule { id: RuleId::fresh(), fields: RuleFields::default_for(branch) };
        let (one, two) = (rule("one"), rule("two"));
        tx.configurations().set_rules(id, &[one.clone(), two.clone()]).await.unwrap();
        tx.configurations().set_rules(id, &[two.clone(), one.clone()]).await.unwrap();
        let value = |name: &str, value: Option<&str>| (name.to_owned(), value.map(SecretString::from));
        tx.variables().replace(id, &[value("A", Some("a")), value("B", Some("b"))]).await.unwrap();
        tx.variables().replace(id, &[value("C", Some("c")), value("A", None)]).await.unwrap();
        let trigger = tx.triggers().insert(id, "ci", "hash", ada).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.configurations().rules(id).await.unwrap(), [two, one]);
        let opened = store.variables().open_all(id).await.unwrap();
        let opened: Vec<_> = opened.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
        assert_eq!(opened, [("C", "c"), ("A", "a")]);
        assert_eq!(store.triggers().by_token_hash("hash").await.unwrap().unwrap().id, trigger);

        let tx = store.begin().await.unwrap();
        let missing = tx.variables().replace(id, &[value("NONE", None)]).await;
        assert!(matches!(missing, Err(StoreError::NotFound(_))), "{missing:?}");
        drop(tx);

        let tx = store.begin().await.unwrap();
        tx.configurations().delete(id).await.unwrap();
        tx.commit().await.unwrap();
        assert!(store.triggers().by_token_hash("hash").await.unwrap().is_none());
    }

    async fn the_outbox_keeps_order_per_key_and_does_things_once(store: Store) {
        let tx = store.begin().await.unwrap();
        let push = async |key: &str, order: &str| {
            let row = NewOutboxRow {
                kind: OutboxKind::CreateWebhook,
                idempotency_key: key.to_owned(),
                order_key: order.to_owned(),
                payload: &key.to_owned(),
                forge: None,
                link: None,
            };
            tx.outbox().push(&row).await.unwrap()
        };
        assert!(push("a1", "a").await);
        assert!(push("a2", "a").await);
        assert!(push("b1", "b").await);
        assert!(!push("a1", "a").await, "once is enough");
        tx.commit().await.unwrap();

        let due = async || {
            let rows = store.outbox().due(Timestamp::now(), 10).await.unwrap();
            rows.iter().map(|row| row.payload::<String>().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(due().await, ["a1", "b1"]);
        let first = store.outbox().due(Timestamp::now(), 1).await.unwrap().remove(0);
        let tx = store.begin().await.unwrap();
        assert!(tx.outbox().claim(&first, first.next_attempt_at).await.unwrap().is_some());
        tx.outbox().defer(first.id, Timestamp::now().plus(Duration::from_hours(1)), "no answer").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(due().await, ["b1"], "what comes after waits with it");
        let row = store.outbox().find(first.id).await.unwrap().unwrap();
        assert_eq!((row.attempts, row.last_error.as_deref()), (1, Some("no answer")));

        let tx = store.begin().await.unwrap();
        tx.outbox().give_up(first.id, "never").await.unwrap();
        tx.outbox().done(first.id).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(due().await, ["a2", "b1"], "settled is settled");
        assert_eq!(store.outbox().find(first.id).await.unwrap().unwrap().state, OutboxState::GivenUp);
        assert_eq!(store.outbox().count_pending().await.unwrap(), 2);
    }

    /// What it waited for is settled while it is still looking: the news must not be overwritten.
    async fn what_is_hastened_while_it_is_worked_is_not_put_off(store: Store) {
        let tx = store.begin().await.unwrap();
        let row = NewOutboxRow {
            kind: OutboxKind::ReturnToken,
            idempotency_key: "key".to_owned(),
            order_key: "key".to_owned(),
            payload: &(),
            forge: None,
            link: None,
        };
        assert!(tx.outbox().push(&row).await.unwrap());
        tx.commit().await.unwrap();
        for hastened in [true, false] {
            let now = Timestamp::now();
            let row = store.outbox().due(now, 1).await.unwrap().remove(0);
            let tx = store.begin().await.unwrap();
            let taken = tx.outbox().claim(&row, now.plus(Duration::from_mins(5))).await.unwrap().unwrap();
            if hastened {
                tx.outbox().hasten(LinkId::fresh()).await.unwrap();
            }
            tx.outbox().postpone(row.id, taken, now.plus(Duration::from_mins(1))).await.unwrap();
            tx.commit().await.unwrap();
            let due = store.outbox().due(now.plus(Duration::from_secs(30)), 1).await.unwrap();
            assert_eq!(due.len(), usize::from(hastened));
        }
    }

    async fn the_audit_trail_is_read_backwards_by_namespace(store: Store) {
        let tx = store.begin().await.unwrap();
        let (ada, own) = user(&tx, "ada").await;
        for (act, namespace) in [("one", Some(own)), ("two", None), ("three", Some(own))] {
            let new = NewAct {
                user: Some(ada),
                actor: "ada",
                address: Some("127.0.0.1"),
                namespace,
                repository: None,
                act,
                object: "x",
                detail: serde_json::json!({ "n": act }),
            };
            tx.audit().record(&new).await.unwrap();
        }
        tx.commit().await.unwrap();
        let acts = |page: Vec<slipway_store::Act>| page.into_iter().map(|it| it.act).collect::<Vec<_>>();
        assert_eq!(acts(store.audit().page(AuditOf::Everything, None, 9).await.unwrap()), ["three", "two", "one"]);
        let first = store.audit().page(AuditOf::Namespace(own), None, 1).await.unwrap();
        let next = store.audit().page(AuditOf::Namespace(own), Some(first[0].id), 9).await.unwrap();
        assert_eq!(acts(next), ["one"]);
    }

    async fn an_answer_is_remembered_under_its_key(store: Store) {
        let tx = store.begin().await.unwrap();
        let (ada, _) = user(&tx, "ada").await;
        let answered = Answered { request_hash: "h".to_owned(), status: 201, body: "{}".to_owned() };
        assert!(tx.idempotency_keys().insert(ada, "k", &answered).await.unwrap());
        assert!(!tx.idempotency_keys().insert(ada, "k", &answered).await.unwrap());
        tx.settings().set("a", "1").await.unwrap();
        tx.settings().set("a", "2").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.idempotency_keys().find(ada, "k").await.unwrap(), Some(answered));
        assert_eq!(store.settings().get("a").await.unwrap().as_deref(), Some("2"));
    }

    async fn a_registrys_password_is_kept_when_none_is_entered(store: Store) {
        let tx = store.begin().await.unwrap();
        let (_, own) = user(&tx, "ada").await;
        repository(&tx, own, "app", false).await;
        let registry = tx.registries().usable_by(own).await.unwrap().remove(0);
        let fields = RegistryFields {
            name: "renamed",
            host: "registry.example",
            path_prefix: "team",
            username: "me",
            password: None,
            verified_at: None,
        };
        tx.registries().update(registry.id, &fields).await.unwrap();
        tx.commit().await.unwrap();
        let password = store.registries().open_password(registry.id).await.unwrap().unwrap();
        assert_eq!(password.expose_secret(), "registry password");
        let tx = store.begin().await.unwrap();
        let deleted = tx.registries().delete(registry.id).await;
        assert!(matches!(deleted, Err(StoreError::NotFound(_))), "a repository points at it: {deleted:?}");
    }
}
