//! Where to go after signing in. It comes with the request, so it could be anybody's: only a path of ours counts.

/// The path to go to, or `/` where what was asked for is not a path of ours.
pub(super) fn safe(asked: &str) -> &str {
    let ours = asked.starts_with('/')
        && !asked.starts_with("//")
        // Browsers read `\` as `/`, and drop tabs and line ends, before they look at an address.
        && !asked.contains('\\')
        && !asked.chars().any(char::is_control)
        && asked.len() <= 2000;
    if ours { asked } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_ours_is_followed() {
        assert_eq!(safe("/acme/app/builds?q=x#L1"), "/acme/app/builds?q=x#L1");
        for foreign in [
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "javascript:alert(1)",
            "",
            "acme",
            " /x",
            "/a\r\nSet-Cookie: x",
        ] {
            assert_eq!(safe(foreign), "/", "{foreign:?}");
        }
    }
}
