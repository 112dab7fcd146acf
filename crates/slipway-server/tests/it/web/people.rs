//! From nothing to a signed-in person with an organization, a token and a list of browsers.

use axum::http::StatusCode;

use super::browser::{PASSWORD, Site};

#[tokio::test]
async fn the_first_person_becomes_the_administrator_and_nobody_after_them() {
    let site = Site::start().await;
    assert_eq!(site.browser().get("/").await.location(), "/setup");
    let stranger = site.browser();
    let early = stranger.get("/setup").await;

    let first = site.administrator().await;
    let list = first.get("/setup").await;
    assert!(list.body.contains("Check-list") && list.body.contains("dockhand"));

    let fields = [("name", "mallory"), ("password", PASSWORD), ("again", PASSWORD)];
    let late = stranger.submit(&early, "/setup", &fields).await;
    assert_eq!(late.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", late.body);
    assert_eq!(stranger.get("/setup").await.location(), "/sign-in?next=%2Fsetup");
}

#[tokio::test]
async fn a_person_comes_back_to_the_page_they_wanted_and_to_no_other_site() {
    let site = Site::start().await;
    site.administrator().await;
    let browser = site.browser();
    let wanted = browser.get("/settings/security?x=1").await;
    assert_eq!(wanted.location(), "/sign-in?next=%2Fsettings%2Fsecurity%3Fx%3D1");
    let page = browser.get(wanted.location()).await;
    let sign_in = |next| [("user", "dockhand"), ("password", PASSWORD), ("next", next)];

    let answer = browser
        .submit(&page, "/sign-in", &sign_in("/settings/security?x=1"))
        .await;
    assert_eq!(answer.location(), "/settings/security?x=1");
    assert!(answer.header("set-cookie").contains("HttpOnly; SameSite=Lax"));

    let other = site.browser();
    let page = other.get("/sign-in").await;
    let answer = other.submit(&page, "/sign-in", &sign_in("//evil.example/")).await;
    assert_eq!(answer.location(), "/");
}

#[tokio::test]
async fn over_https_the_cookie_is_bound_to_this_host() {
    let site = Site::at("https://slipway.example").await;
    let browser = site.browser();
    let page = browser.get("/setup").await;
    assert!(page.header("set-cookie").starts_with("__Host-slipway-visitor="));
    let fields = [("name", "dockhand"), ("password", PASSWORD), ("again", PASSWORD)];
    let answer = browser.submit(&page, "/setup", &fields).await;
    let cookie = answer.header("set-cookie");
    assert!(
        cookie.starts_with("__Host-slipway=") && cookie.contains("; Secure"),
        "{cookie}"
    );
    assert!(!answer.header("strict-transport-security").is_empty());
}

#[tokio::test]
async fn tries_of_signing_in_run_out() {
    let site = Site::start().await;
    site.administrator().await;
    let browser = site.browser();
    let page = browser.get("/sign-in").await;
    let wrong = [("user", "dockhand"), ("password", "wrong"), ("next", "/")];
    for _ in 0..5 {
        let answer = browser.submit(&page, "/sign-in", &wrong).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.body.contains("User name or password is wrong."));
    }
    let right = [("user", "dockhand"), ("password", PASSWORD), ("next", "/")];
    let answer = browser.submit(&page, "/sign-in", &right).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn signing_out_ends_the_session_everywhere() {
    let site = Site::start().await;
    let browser = site.administrator().await;
    let page = browser.get("/settings/security").await;
    let session = page.csrf();
    assert_eq!(
        browser.submit(&page, "/sign-out", &[]).await.location(),
        "/sign-in"
    );
    assert_eq!(
        browser.get("/settings/security").await.status,
        StatusCode::SEE_OTHER
    );
    let replay = browser
        .post("/organizations", &[("csrf", &session), ("name", "acme")], &[])
        .await;
    assert_eq!(replay.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_token_is_shown_once() {
    let site = Site::start().await;
    let browser = site.administrator().await;
    let page = browser.get("/settings/access-tokens").await;
    let made = browser
        .submit(
            &page,
            "/settings/access-tokens",
            &[("name", "ci"), ("scope", "build")],
        )
        .await;
    assert!(made.body.contains("slw_pat_"));
    assert_eq!(made.header("cache-control"), "no-store");
    let later = browser.get("/settings/access-tokens").await;
    assert!(later.body.contains("ci") && !later.body.contains("slw_pat_"));
}

#[tokio::test]
async fn an_organization_is_made_and_its_wrong_names_are_said_at_the_field() {
    let site = Site::start().await;
    let browser = site.administrator().await;
    let page = browser.get("/organizations").await;
    let wrong = browser
        .submit(&page, "/organizations", &[("name", "Not A Name")])
        .await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.body.contains("aria-invalid=\"true\"") && wrong.body.contains("Not A Name"));
    let made = browser.submit(&page, "/organizations", &[("name", "acme")]).await;
    assert_eq!(made.location(), "/organizations/acme/members?done=created");
    let members = browser.get("/organizations/acme/members").await;
    assert!(members.body.contains("dockhand") && members.body.contains("owner"));
}

#[tokio::test]
async fn an_administrator_lets_people_in_and_shuts_them_out() {
    let site = Site::start().await;
    let admin = site.administrator().await;
    let page = admin.get("/admin/users").await;
    let new = [
        ("name", "grace"),
        ("password", "a first password"),
        ("role", "user"),
    ];
    let reserved = [("name", "settings"), ("password", PASSWORD), ("role", "user")];
    let refused = admin.submit(&page, "/admin/users", &reserved).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.body.contains("aria-invalid=\"true\"") && !refused.body.contains(PASSWORD));
    let made = admin.submit(&page, "/admin/users", &new).await;
    assert_eq!(made.location(), "/admin/users?done=created");

    let sign_in = async |password| {
        let browser = site.browser();
        let page = browser.get("/sign-in").await;
        let fields = [("user", "grace"), ("password", password), ("next", "/")];
        let answer = browser.submit(&page, "/sign-in", &fields).await;
        (browser, answer.status)
    };
    let (grace, status) = sign_in("a first password").await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    for page in ["/admin/users", "/admin/users/dockhand"] {
        assert_eq!(grace.get(page).await.status, StatusCode::FORBIDDEN, "{page}");
    }

    let page = admin.get("/admin/users/grace").await;
    let disabled = admin.submit(&page, "/admin/users/grace/disable", &[]).await;
    assert_eq!(disabled.location(), "/admin/users/grace?done=saved");
    assert_eq!(
        grace.get("/settings/security").await.status,
        StatusCode::SEE_OTHER
    );
    assert_eq!(
        sign_in("a first password").await.1,
        StatusCode::UNPROCESSABLE_ENTITY
    );

    admin.submit(&page, "/admin/users/grace/enable", &[]).await;
    let another = [("password", "another password")];
    admin.submit(&page, "/admin/users/grace/password", &another).await;
    assert_eq!(
        sign_in("a first password").await.1,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(sign_in("another password").await.1, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn what_was_done_is_read_by_owners_and_administrators() {
    let site = Site::start().await;
    let admin = site.administrator().await;
    let page = admin.get("/organizations").await;
    admin.submit(&page, "/organizations", &[("name", "acme")]).await;
    let page = admin.get("/admin/users").await;
    let new = [("name", "grace"), ("password", PASSWORD), ("role", "user")];
    admin.submit(&page, "/admin/users", &new).await;

    let of_acme = admin.get("/settings/audit?namespace=acme").await;
    assert!(of_acme.body.contains("organization.created") && !of_acme.body.contains("user.created"));
    let of_everything = admin.get("/admin/audit").await;
    assert!(of_everything.body.contains("organization.created"));
    assert!(of_everything.body.contains("user.created") && of_everything.body.contains("grace"));
    assert!(!of_everything.body.contains(PASSWORD));

    let grace = site.browser();
    let page = grace.get("/sign-in").await;
    let fields = [("user", "grace"), ("password", PASSWORD), ("next", "/")];
    grace.submit(&page, "/sign-in", &fields).await;
    assert_eq!(grace.get("/settings/audit").await.status, StatusCode::OK);
    let of_others = grace.get("/settings/audit?namespace=acme").await;
    assert_eq!(of_others.status, StatusCode::NOT_FOUND);
    assert_eq!(grace.get("/admin/audit").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_administrator_cannot_shut_themselves_out() {
    let site = Site::start().await;
    let admin = site.administrator().await;
    let own = admin.get("/admin/users/dockhand").await;
    assert!(own.body.contains("This is you"));
    let page = admin.get("/admin/users").await;
    let refused = admin.submit(&page, "/admin/users/dockhand/disable", &[]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(admin.get("/admin/users").await.status, StatusCode::OK);
}
