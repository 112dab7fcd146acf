use slipway_devforge::{Kind, Role};
use slipway_forge::{OwnerAccess, OwnerKind, OwnerRole};

use crate::world::{BOTH, World};

#[tokio::test]
async fn owners_are_told_with_the_role_there() {
    for kind in BOTH {
        let world = World::start(kind).await;
        world.provider.create_user("bob", "Bob", "secret").unwrap();
        world
            .provider
            .create_organization("guild", &[("bob", Role::Owner), ("ada", Role::Member)])
            .unwrap();
        let owners = world.forge.owners(&world.token().await).await.unwrap();
        let mut told: Vec<_> = owners
            .iter()
            .map(|owner| (owner.login.as_str(), owner.kind, owner.role))
            .collect();
        told.sort_by_key(|(login, ..)| *login);
        // At Bitbucket even what is one's own is in a workspace.
        let own = if kind == Kind::GitHub {
            OwnerKind::User
        } else {
            OwnerKind::Organization
        };
        let organization = OwnerKind::Organization;
        assert_eq!(
            told,
            [
                ("acme", organization, OwnerRole::Admin),
                ("ada", own, OwnerRole::Admin),
                ("guild", organization, OwnerRole::Member)
            ]
        );
    }
}

#[tokio::test]
async fn an_organization_that_one_is_not_in_is_no_access() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let token = world.token().await;
        for login in ["nobody", "../user", ""] {
            let access = world.forge.owner_access(&token, login).await.unwrap();
            assert_eq!(access, OwnerAccess::NotAMember, "{login}");
        }
    }
}

#[tokio::test]
async fn an_organization_one_is_in_is_granted() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let access = world
            .forge
            .owner_access(&world.token().await, "ACME")
            .await
            .unwrap();
        assert!(matches!(access, OwnerAccess::Granted(owner) if owner.login == "acme"));
    }
}
