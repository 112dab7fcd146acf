//! Passwords are argon2id hashes (RFC 9106, the crate's defaults: 19 MiB, 2 passes, OWASP's minimum), computed off the
//! runtime's threads.

use std::sync::LazyLock;

use argon2::{
    Argon2,
    password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString, rand_core::OsRng},
};
use secrecy::{ExposeSecret as _, SecretString};

use super::ServiceError;

/// The shortest password that is taken, in characters (NIST SP 800-63B asks for 8 at least).
pub const PASSWORD_MIN: usize = 10;
/// The longest, so that hashing cannot be made to work on megabytes.
const PASSWORD_MAX: usize = 1024;

/// The hash of a password that nobody has: what is compared when there is no such user.
pub(super) fn of_nobody() -> String {
    NOBODY.clone()
}

static NOBODY: LazyLock<String> = LazyLock::new(|| {
    let salt = SaltString::generate(&mut OsRng);
    let hash = Argon2::default().hash_password(salt.as_str().as_bytes(), &salt);
    hash.map(|hash| hash.to_string()).unwrap_or_default()
});

/// Hashes a new password.
///
/// # Errors
/// [`ServiceError::Invalid`] when it is too short or too long.
pub(super) async fn hash(password: &SecretString) -> Result<String, ServiceError> {
    let length = password.expose_secret().chars().count();
    if length < PASSWORD_MIN {
        let message = format!("a password has at least {PASSWORD_MIN} characters");
        return Err(ServiceError::invalid("password", message));
    }
    if length > PASSWORD_MAX {
        return Err(ServiceError::invalid(
            "password",
            format!("a password has at most {PASSWORD_MAX} characters"),
        ));
    }
    let password = password.clone();
    off_the_runtime(move || {
        let salt = SaltString::generate(&mut OsRng);
        let hash = Argon2::default().hash_password(password.expose_secret().as_bytes(), &salt);
        hash.map(|hash| hash.to_string())
            .map_err(|_| ServiceError::Internal("a password could not be hashed"))
    })
    .await?
}

/// Whether this is the password that the hash was made of.
///
/// # Errors
/// None of its own: that the runtime is ending.
pub(super) async fn verify(password: &SecretString, hash: String) -> Result<bool, ServiceError> {
    if password.expose_secret().len() > 4 * PASSWORD_MAX {
        return Ok(false);
    }
    let password = password.clone();
    off_the_runtime(move || {
        PasswordHash::new(&hash).is_ok_and(|hash| {
            Argon2::default()
                .verify_password(password.expose_secret().as_bytes(), &hash)
                .is_ok()
        })
    })
    .await
}

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ServiceError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| ServiceError::Internal("a computation was ended"))
}
