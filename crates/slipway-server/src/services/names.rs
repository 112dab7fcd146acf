//! The names of users and organizations. They are the first part of their pages' addresses, so none may be called
//! like a page of ours: it would hide behind that page, or in front of it.

use slipway_types::SlugName;

use super::ServiceError;

/// The first parts of our own addresses, and some that may become one.
const RESERVED: &[&str] = &[
    "about",
    "admin",
    "api",
    "assets",
    "docs",
    "events",
    "explore",
    "healthz",
    "help",
    "hooks",
    "metrics",
    "oauth",
    "organizations",
    "problems",
    "repositories",
    "settings",
    "setup",
    "sign-in",
    "sign-out",
    "slipway",
    "users",
];

/// The name of a new user or organization, as it was entered.
///
/// # Errors
/// [`ServiceError::Invalid`] when it is no name, or one that our own pages have.
pub(super) fn of_namespace(text: &str) -> Result<SlugName, ServiceError> {
    let name: SlugName = text
        .parse()
        .map_err(|error| ServiceError::invalid("name", format!("{error}")))?;
    if RESERVED.contains(&name.as_str()) {
        return Err(ServiceError::invalid(
            "name",
            format!("{name} is a page's name: choose another"),
        ));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_part_of_every_address_is_reserved() {
        // Every quoted path of the pages and of `/hooks`; the API and its problems are one part each.
        let sources = [
            include_str!("../web/mod.rs"),
            include_str!("../receive/mod.rs"),
            "\"/api/\" \"/problems/\"",
        ];
        let mut checked = 0;
        for source in sources {
            for path in source.split("\"/").skip(1) {
                let first = path.split(['/', '"']).next().unwrap_or_default();
                if first.is_empty() || first.starts_with('{') {
                    continue;
                }
                assert!(
                    RESERVED.contains(&first),
                    "/{first} is an address of ours and not reserved"
                );
                checked += 1;
            }
        }
        assert!(
            checked > 20,
            "only {checked} addresses were found: this test looks in the wrong place"
        );
    }

    #[test]
    fn a_reserved_name_is_refused_at_its_field() {
        assert!(
            matches!(of_namespace("settings"), Err(ServiceError::Invalid { field, .. }) if field == "name")
        );
        assert_eq!(of_namespace("settings-team").unwrap().as_str(), "settings-team");
    }
}
