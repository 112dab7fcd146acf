//! Clone URLs, and which host an SSH one leads to.

use url::Url;

/// A clone URL without user name and password: Bitbucket writes the asking account into it.
pub(crate) fn without_user(mut url: Url) -> Url {
    // Fails only for URLs that cannot have them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// The pattern that known_hosts(5) lines of this clone URL's host begin with: `host`, or `[host]:port`
/// where the port is not 22. Reads `ssh://git@host:port/path` and `git@host:path`.
pub(crate) fn known_hosts_pattern(clone_ssh: &str) -> Option<String> {
    if let Ok(url) = Url::parse(clone_ssh)
        && url.scheme() == "ssh"
    {
        let host = url.host_str()?.trim_matches(['[', ']']);
        return Some(match url.port() {
            None | Some(22) => host.to_owned(),
            Some(port) => format!("[{host}]:{port}"),
        });
    }
    let (authority, _) = clone_ssh.split_once(':')?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    (!host.is_empty() && host.bytes().all(plain)).then(|| host.to_owned())
}

/// known_hosts(5) lines for a host's public keys, each `algorithm base64`.
pub(crate) fn known_hosts_lines(clone_ssh: &str, keys: &[String]) -> Vec<String> {
    let Some(pattern) = known_hosts_pattern(clone_ssh) else {
        return Vec::new();
    };
    let is_key = |key: &&String| ssh_key::PublicKey::from_openssh(key).is_ok();
    keys.iter()
        .filter(is_key)
        .map(|key| format!("{pattern} {key}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_found_in_both_forms_of_an_ssh_url() {
        let pattern = |url| known_hosts_pattern(url);
        assert_eq!(pattern("git@github.com:o/r.git").as_deref(), Some("github.com"));
        assert_eq!(
            pattern("ssh://git@github.com/o/r.git").as_deref(),
            Some("github.com")
        );
        assert_eq!(
            pattern("ssh://git@github.com:22/o/r.git").as_deref(),
            Some("github.com")
        );
        assert_eq!(
            pattern("ssh://git@127.0.0.1:2222/o/r.git").as_deref(),
            Some("[127.0.0.1]:2222")
        );
        assert_eq!(
            pattern("ssh://git@[::1]:2222/o/r.git").as_deref(),
            Some("[::1]:2222")
        );
        assert_eq!(pattern("nonsense"), None);
        assert_eq!(pattern("git@bad host:x"), None);
    }

    #[test]
    fn only_readable_keys_become_lines() {
        let key = crate::generate_deploy_key("").unwrap().public;
        let keys = [
            key.trim().to_owned(),
            "ssh-ed25519 nonsense\nevil * ssh-rsa".to_owned(),
        ];
        let lines = known_hosts_lines("git@github.com:o/r.git", &keys);
        assert_eq!(lines, [format!("github.com {}", key.trim())]);
    }

    #[test]
    fn a_user_name_in_a_clone_url_is_dropped() {
        let url = without_user("https://octocat:x@bitbucket.org/o/r.git".parse().unwrap());
        assert_eq!(url.as_str(), "https://bitbucket.org/o/r.git");
    }
}
