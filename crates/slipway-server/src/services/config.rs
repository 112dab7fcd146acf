//! What an administrator decides for the whole server, and the addresses that follow from it.

use url::Url;

/// Server-wide configuration, as the use cases need it.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where people and providers reach this server, as `https://slipway.example/`.
    pub public_url: Url,
}

impl Config {
    /// Where a provider sends a person back to after they granted access.
    pub fn callback_url(&self, forge: &str) -> Url {
        self.page(&["settings", "linked-accounts", forge, "callback"])
    }

    /// Where a provider sends the deliveries of the hook with this path.
    pub fn hook_url(&self, path: &str) -> Url {
        self.page(&["hooks", path])
    }

    /// Where a GitHub App's one webhook goes.
    pub fn app_hook_url(&self, path: &str) -> Url {
        self.page(&["hooks", "apps", path])
    }

    /// Where a person comes back to after installing a GitHub App, or choosing other repositories.
    pub fn installed_url(&self, forge: &str) -> Url {
        self.page(&["settings", "linked-accounts", forge, "installed"])
    }

    /// Where an administrator comes back to with a new GitHub App's code.
    pub fn app_created_url(&self, forge: &str) -> Url {
        self.page(&["admin", "source-providers", forge, "app", "created"])
    }

    /// Where a build trigger is called: Docker Hub's own path, so that only the host changes in an old line.
    pub fn trigger_url(&self, source: &str, token: &str) -> Url {
        self.page(&[
            "api", "build", "v1", "source", source, "trigger", token, "call", "",
        ])
    }

    /// A page of this server.
    pub fn page(&self, segments: &[&str]) -> Url {
        let mut url = self.public_url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lie_below_the_public_url_whatever_its_path() {
        for base in ["https://ci.example/slipway", "https://ci.example/slipway/"] {
            let config = Config {
                public_url: base.parse().unwrap(),
            };
            assert_eq!(
                config.hook_url("x").as_str(),
                "https://ci.example/slipway/hooks/x"
            );
            assert_eq!(
                config.trigger_url("s", "t").as_str(),
                "https://ci.example/slipway/api/build/v1/source/s/trigger/t/call/"
            );
        }
    }
}
