//! Who may do what (interface.md, "Permissions"; Docker Hub's words and table).

use crate::words::words;

words! {
    /// What a person is in an organization.
    Role {
        /// Belongs to it.
        Member = "member",
        /// Decides about it. Everybody is the owner of their own namespace.
        Owner = "owner",
    }
}

words! {
    /// What a person may do with a repository; each includes the ones before.
    Level {
        /// See it and its builds.
        Read = "read",
        /// Start, cancel and retry builds.
        Write = "write",
        /// Edit its settings and its build configuration.
        Admin = "admin",
        /// Delete the configuration; link and unlink for the namespace.
        Owner = "owner",
    }
}

words! {
    /// What an access token of the API may do; each includes the ones before.
    TokenScope {
        /// See.
        Read = "read",
        /// Start, cancel and retry builds.
        Build = "build",
        /// Everything that its owner may.
        Admin = "admin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_includes_less() {
        assert!(Level::Owner > Level::Admin && Level::Admin > Level::Write && Level::Write > Level::Read);
        assert!(TokenScope::Admin > TokenScope::Build && TokenScope::Build > TokenScope::Read);
        assert!(Role::Owner > Role::Member);
    }
}
