//! Secrets: sealed while they rest, hashed where comparing is enough, masked where text goes out.
//!
//! Three things, and nothing else of Slipway does any of them:
//! - [`Vault`] seals a secret for one place in the database, and opens it there and nowhere else;
//! - [`TokenHash`] is what is kept of a token that somebody will show us again;
//! - [`mask::Masker`] takes secrets out of logs and messages, in whatever pieces these come.
//!
//! Invariants kept here: what is stored cannot be read without the key file, nor moved to another row or column;
//! no error, `Debug` or `Display` of this crate holds a byte of a secret; bytes of keys and opened secrets are
//! wiped when they are dropped (the tables of a masker are the exception, see there).

mod error;
mod key;
mod key_file;
pub mod mask;
mod sealed;
mod token;
mod vault;

pub use error::{KeyError, VaultError};
pub use key::{KeyId, KeyRing};
pub use key_file::{load, load_or_create, rotate};
pub use sealed::{Place, Sealed};
pub use token::TokenHash;
pub use vault::Vault;

#[cfg(test)]
mod tests;
