use slipway_parts::Registry as RealRegistry;
use slipway_registry::{Login, Registry, RegistryError, Retry, http_client};

fn with_password(host: &str, user: &str, password: &str) -> Registry {
    Registry::new(http_client().unwrap(), host)
        .unwrap()
        .with_retry(Retry::ONCE)
        .with_login(Login {
            user: user.into(),
            password: password.into(),
        })
}

#[tokio::test]
async fn a_wrong_password_is_told_from_a_right_one() {
    let real = RealRegistry::shared();
    let login = real.login.clone().unwrap();
    let right = secrecy::ExposeSecret::expose_secret(&login.password);

    with_password(&real.host, &login.user, right)
        .check_login()
        .await
        .unwrap();

    let wrong = with_password(&real.host, &login.user, "not it")
        .check_login()
        .await;
    assert!(
        matches!(wrong, Err(RegistryError::LoginRefused { .. })),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn a_registry_that_wants_a_login_says_so_to_nobody_in_particular() {
    let real = RealRegistry::shared();
    let nobody = Registry::new(http_client().unwrap(), &real.host).unwrap();
    let answer = nobody.check_login().await;
    assert!(
        matches!(answer, Err(RegistryError::LoginNeeded { .. })),
        "{answer:?}"
    );
}

#[tokio::test]
async fn an_unreachable_host_is_no_wrong_password() {
    // A port that was just given back: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let answer = with_password(&free.to_string(), "u", "p").check_login().await;
    assert!(
        matches!(answer, Err(RegistryError::Unreachable { .. })),
        "{answer:?}"
    );
}
